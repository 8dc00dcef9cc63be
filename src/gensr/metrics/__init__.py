"""Quality metrics; each returns one value per image."""

from gensr.metrics.calibration import expected_calibration_error, reliability
from gensr.metrics.full_reference import Scores, lr_psnr, psnr, sr_scores, ssim, to_y
from gensr.metrics.perceptual import lpips

__all__ = ["Scores", "expected_calibration_error", "lpips", "lr_psnr", "psnr", "reliability", "sr_scores", "ssim", "to_y"]
