"""Image resampling that agrees with MATLAB's ``imresize`` to the last bit.

Resampling is linear and separable: one sparse matrix for the rows, one for the columns. Published super-resolution numbers were all made with
MATLAB's cubic kernel (a = -0.5), widened when an image shrinks; other libraries use another kernel or forget to widen it.

Reference: Keys 1981, "Cubic convolution interpolation for digital image processing", eq. 15; MATLAB R2019b ``imresize``.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Num, Shaped
from torch import Tensor


def cubic(u: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -0.5; support (-2, 2)."""
    u = u.abs()
    near = (1.5 * u - 2.5) * u * u + 1
    far = ((-0.5 * u + 2.5) * u - 4) * u + 2
    return torch.where(u <= 1, near, torch.where(u <= 2, far, 0.0))


def linear(u: Tensor) -> Tensor:
    """Triangle kernel; support (-1, 1)."""
    return (1 - u.abs()).clamp(min=0)


def box(u: Tensor) -> Tensor:
    """Box kernel: the nearest pixel, or the plain average when widened; support [-0.5, 0.5)."""
    return ((u >= -0.5) & (u < 0.5)).to(u.dtype)


def lanczos3(u: Tensor) -> Tensor:
    """Windowed sinc; support (-3, 3)."""
    return torch.where(u.abs() < 3, torch.sinc(u) * torch.sinc(u / 3), 0.0)


KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {"bicubic": (cubic, 4), "bilinear": (linear, 2), "box": (box, 1), "lanczos3": (lanczos3, 6)}


def taps(n_in: int, n_out: int, scale: float, *, kernel: str = "bicubic", antialias: bool = True, border: str = "symmetric") -> tuple[Tensor, Tensor]:
    """Which input samples make each output sample, and with what weight.

    Output k sits at input coordinate u = k/s + ½(1/s - 1), counted from 0. When s < 1 the kernel is widened by 1/s, so that it also low-passes.

    Returns:
        indices (n_out, P) int64 and weights (n_out, P) float64; each row of weights sums to 1.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel: expected one of {', '.join(KERNELS)}, got {kernel!r}")
    if border not in ("symmetric", "replicate"):
        raise ValueError(f"border: expected 'symmetric' or 'replicate', got {border!r}")
    h, width = KERNELS[kernel]
    shrink = min(scale, 1.0) if antialias else 1.0
    support = width / shrink
    p = math.ceil(support) + 2
    u = torch.arange(n_out, dtype=torch.float64) / scale + 0.5 * (1 / scale - 1)
    left = torch.floor(u - support / 2)
    indices = left[:, None] + torch.arange(p, dtype=torch.float64)
    weights = shrink * h(shrink * (u[:, None] - indices))  # (n_out, P)
    weights = weights / weights.sum(1, keepdim=True)
    i = indices.long()
    if border == "symmetric":  # ... 2 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
        i = i.remainder(2 * n_in)
        i = torch.where(i < n_in, i, 2 * n_in - 1 - i)
    else:
        i = i.clamp(0, n_in - 1)
    used = (weights != 0).any(0)
    return i[:, used], weights[:, used]


def resize_matrix(n_in: int, n_out: int, scale: float, *, kernel: str = "bicubic", antialias: bool = True, border: str = "symmetric") -> Tensor:
    """The (n_out, n_in) float64 matrix that resamples one axis."""
    i, w = taps(n_in, n_out, scale, kernel=kernel, antialias=antialias, border=border)
    return torch.zeros(n_out, n_in, dtype=torch.float64).scatter_add_(1, i, w)


def imresize(
    x: Shaped[Tensor, "*batch h w"], scale: float | None = None, size: tuple[int, int] | None = None, *,
    kernel: str = "bicubic", antialias: bool = True, border: str = "symmetric",
) -> Shaped[Tensor, "*batch h2 w2"]:
    """Resample the last two axes by a factor or to a size, as MATLAB does.

    Float images come back unrounded and may leave [0, 1] (the cubic kernel overshoots). uint8 images come back uint8, rounded and clipped after
    *each* of the two passes, which is what MATLAB's files contain.

    Args:
        x: image or batch of images, float or uint8.
        scale: one factor for both axes; the result has ceil(scale · n) samples.
        size: (h2, w2) instead of a factor; each axis then has its own factor.
        kernel: "bicubic" (a = -0.5), "bilinear", "box" or "lanczos3".
        antialias: widen the kernel when shrinking.
        border: "symmetric" (MATLAB today) or "replicate" (MATLAB before about 2010).

    Raises:
        ValueError: neither or both of `scale` and `size`, or a factor or size that is not positive.
        TypeError: x is an integer tensor other than uint8.

    Reference: MATLAB ``imresize``; Keys 1981, eq. 15.
    """
    if (scale is None) == (size is None):
        raise ValueError("scale, size: give exactly one of them")
    if x.dim() < 2:
        raise ValueError(f"x: expected at least two axes (h, w), got shape {tuple(x.shape)}")
    if not (x.dtype == torch.uint8 or x.is_floating_point()):
        raise TypeError(f"x: expected a float or uint8 tensor, got {x.dtype}")
    h, w = x.shape[-2:]
    if min(h, w) == 0:
        raise ValueError(f"x: expected a non-empty image, got shape {tuple(x.shape)}")
    if scale is not None:
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale: expected a positive number, got {scale}")
        # The small slack keeps 1.1 · 50 = 55.00000000000001 from becoming 56 samples.
        size, factors = (math.ceil(h * scale - 1e-9), math.ceil(w * scale - 1e-9)), (scale, scale)
    else:
        assert size is not None
        if min(size) < 1:
            raise ValueError(f"size: expected positive lengths, got {size}")
        factors = (size[0] / h, size[1] / w)
    # MATLAB resamples the axis that shrinks most first, rows when they tie.
    for axis in sorted((0, 1), key=lambda a: factors[a]):
        i, weight = taps((h, w)[axis], size[axis], factors[axis], kernel=kernel, antialias=antialias, border=border)
        x = _along(x, axis - 2, i.to(x.device), weight.to(x.device))
    return x


def _along(x: Num[Tensor, "*batch h w"], dim: int, i: Tensor, weight: Tensor) -> Tensor:
    whole = x.dtype == torch.uint8
    v = x.double() if whole else x
    weight = weight.to(v.dtype) if dim == -1 else weight.to(v.dtype)[:, :, None]
    out = v.index_select(dim, i[:, 0]) * weight[:, 0]
    for p in range(1, i.shape[1]):
        out = out + v.index_select(dim, i[:, p]) * weight[:, p]
    return (out + 0.5).floor().clamp(0, 255).to(torch.uint8) if whole else out


def bicubic_upsample(x: Num[Tensor, "b c h w"], scale: int) -> Num[Tensor, "b c h2 w2"]:
    """The same as ``imresize(x, scale)`` for a whole factor, as one convolution.

    Between two input pixels only `scale` different sets of weights occur, so upsampling is a convolution with scale² kernels followed by a pixel shuffle.
    Networks use this form: it is fast, and it can be exported with free height and width.
    """
    b, c, h, w = x.shape
    phase = resize_matrix(7, 7 * scale, float(scale))[3 * scale : 4 * scale, 1:6]  # (s, 5): the weights of the s outputs over the middle sample
    kernel = torch.einsum("iu,jv->ijuv", phase, phase).reshape(scale * scale, 1, 5, 5).to(x)
    for dim, n in ((-2, h), (-1, w)):  # symmetric border, two pixels on each side
        i = torch.arange(-2, n + 2, device=x.device)
        i = torch.where(i < 0, -1 - i, i)
        i = torch.where(i >= n, 2 * n - 1 - i, i).clamp(0, n - 1)
        x = x.index_select(dim, i)
    out = torch.nn.functional.conv2d(x.reshape(b * c, 1, h + 4, w + 4), kernel)  # (b·c, s², h, w)
    return torch.nn.functional.pixel_shuffle(out, scale).reshape(b, c, h * scale, w * scale)
