"""Quality against a known original: PSNR, SSIM, and the protocol behind every published super-resolution number."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from gensr.resize import imresize


def _check_pair(x_hat: Tensor, x: Tensor, name: str = "x_hat, x") -> None:
    if x_hat.shape != x.shape:
        raise ValueError(f"{name}: expected equal shapes, got {tuple(x_hat.shape)} and {tuple(x.shape)}")
    if x.dim() != 4 or min(x.shape[1:]) < 1:
        raise ValueError(f"{name}: expected a batch of images (b, c, h, w), got shape {tuple(x.shape)}")
    if not (x_hat.is_floating_point() and x.is_floating_point()):
        raise TypeError(f"{name}: expected float tensors, got {x_hat.dtype} and {x.dtype}")


def psnr(x_hat: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"], *, data_range: float) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio, 10 log₁₀(range² / MSE), in dB, one value per image; infinite for equal images.

    Args:
        data_range: largest minus smallest possible value: 1 for [0, 1], 255 for 8-bit values.

    Raises:
        ValueError: unequal shapes, not four axes, or a range that is not positive.
    """
    _check_pair(x_hat, x)
    if not data_range > 0:
        raise ValueError(f"data_range: expected a positive number, got {data_range}")
    mse = (x_hat.double() - x.double()).square().mean((1, 2, 3))
    return (10 * torch.log10(data_range**2 / mse)).to(x.dtype)


def ssim(x_hat: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"], *, data_range: float) -> Float[Tensor, " b"]:
    """Structural similarity in [-1, 1], one value per image: the mean over all whole 11×11 windows and channels.

    SSIM = (2 μₓμᵧ + C₁)(2 σₓᵧ + C₂) / ((μₓ² + μᵧ² + C₁)(σₓ² + σᵧ² + C₂)), with Gaussian windows of σ = 1.5, C₁ = (0.01 L)², C₂ = (0.03 L)².
    No automatic downsampling; borders where the window does not fit are left out.

    Raises:
        ValueError: unequal shapes, images smaller than 11×11, or a range that is not positive.

    Reference: Wang et al. 2004, eq. 13.
    """
    _check_pair(x_hat, x)
    if not data_range > 0:
        raise ValueError(f"data_range: expected a positive number, got {data_range}")
    b, c, h, w = x.shape
    if min(h, w) < 11:
        raise ValueError(f"x: SSIM needs at least 11x11 pixels, got {h}x{w}")
    g = torch.exp(-0.5 * (torch.arange(-5, 6, dtype=torch.float64, device=x.device) / 1.5) ** 2)
    g = g / g.sum()

    def local_mean(v: Tensor) -> Tensor:
        v = F.conv2d(v, g.view(1, 1, 11, 1))
        return F.conv2d(v, g.view(1, 1, 1, 11))

    # float64: a variance is a small difference of large numbers
    u, v = x_hat.double().reshape(b * c, 1, h, w), x.double().reshape(b * c, 1, h, w)
    mu_u, mu_v = local_mean(u), local_mean(v)
    var_u, var_v = local_mean(u * u) - mu_u**2, local_mean(v * v) - mu_v**2
    cov = local_mean(u * v) - mu_u * mu_v
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    score = (2 * mu_u * mu_v + c1) * (2 * cov + c2) / ((mu_u**2 + mu_v**2 + c1) * (var_u + var_v + c2))
    return score.unflatten(0, (b, c)).mean((1, 2, 3, 4)).to(x.dtype)


def to_y(x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Luma of RGB in [0, 1] by ITU-R BT.601, in [16/255, 235/255]: (16 + 65.481 R + 128.553 G + 24.966 B) / 255, as MATLAB's ``rgb2ycbcr``."""
    if x.dim() != 4 or x.shape[1] != 3:
        raise ValueError(f"x: expected RGB images (b, 3, h, w), got shape {tuple(x.shape)}")
    if not x.is_floating_point():
        raise TypeError(f"x: expected a float tensor in [0, 1], got {x.dtype}")
    r, g, b = x.unbind(1)
    return ((16 + 65.481 * r + 128.553 * g + 24.966 * b) / 255)[:, None]


class Scores(NamedTuple):
    """PSNR in dB and SSIM, one value per image."""

    psnr: Float[Tensor, " b"]
    ssim: Float[Tensor, " b"]


def sr_scores(x_hat: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"], scale: int) -> Scores:
    """PSNR and SSIM by the published super-resolution protocol: 8-bit values, Y channel, `scale` pixels shaved off each side.

    Hand it RGB (c = 3), which is rounded to 8 bits before Y is computed, or Y itself (c = 1), which is rounded. The two routes differ by about 0.01 dB;
    papers that report bicubic at 28.42 dB on Set5 ×4 take the second.

    Args:
        x_hat: the estimate in [0, 1]; values outside are clipped, as writing the file would.
        x: the original, cropped to a multiple of the scale.

    Raises:
        ValueError: unequal shapes, other than 1 or 3 channels, NaN, a scale below 1, or nothing left after shaving.

    Reference: Timofte et al. 2014, §5; Lim et al. 2017, §4.
    """
    _check_pair(x_hat, x)
    if x.shape[1] not in (1, 3):
        raise ValueError(f"x: expected RGB (3 channels) or Y (1 channel), got {x.shape[1]} channels")
    if not (torch.isfinite(x_hat).all() and torch.isfinite(x).all()):
        raise ValueError("x_hat, x: contain NaN or infinite values")
    if not isinstance(scale, int) or scale < 1:
        raise ValueError(f"scale: expected a whole number of at least 1, got {scale!r}")
    if min(x.shape[-2:]) <= 2 * scale:
        raise ValueError(f"x: nothing is left of {x.shape[-2]}x{x.shape[-1]} pixels after shaving {scale} on each side")

    def prepare(v: Tensor) -> Tensor:
        v = (v.double() * 255).round().clamp(0, 255)
        v = v if v.shape[1] == 1 else 255 * to_y(v / 255)
        return v[..., scale:-scale, scale:-scale]

    a, b = prepare(x_hat), prepare(x)
    return Scores(psnr(a, b, data_range=255).float(), ssim(a, b, data_range=255).float())


def lr_psnr(x_hat: Float[Tensor, "b 3 h w"], y: Float[Tensor, "b 3 h2 w2"]) -> Float[Tensor, " b"]:
    """Consistency with the measurement: PSNR in dB between the downsampled estimate and the LR image, RGB, all pixels, both as 8-bit images.

    Above about 45 dB the estimate explains the measurement up to rounding.

    Raises:
        ValueError: not four axes, NaN, or x_hat is not a whole multiple of y in size. TypeError: tensors that are not float.

    Reference: Lugmayr et al. 2020 (SRFlow), §4.1.
    """
    for name, v in (("x_hat", x_hat), ("y", y)):
        _check_pair(v, v, name)
        if not torch.isfinite(v).all():
            raise ValueError(f"{name}: contains NaN or infinite values")
    (h, w), (h2, w2) = x_hat.shape[-2:], y.shape[-2:]
    if h % h2 or w % w2 or h // h2 != w // w2:
        raise ValueError(f"x_hat, y: {h}x{w} is not a whole multiple of {h2}x{w2}")
    small = imresize((x_hat * 255).round().clamp(0, 255).to(torch.uint8), size=(h2, w2))
    return psnr(small.double(), (y.double() * 255).round().clamp(0, 255), data_range=255).float()
