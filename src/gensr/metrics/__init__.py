"""Quality metrics; each returns one value per image."""

from gensr.metrics.full_reference import Scores, lr_psnr, psnr, sr_scores, ssim, to_y

__all__ = ["Scores", "lr_psnr", "psnr", "sr_scores", "ssim", "to_y"]
