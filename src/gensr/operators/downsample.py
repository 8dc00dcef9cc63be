"""Antialiased downsampling as a linear operator, with its exact pseudo-inverse.

It is a convolution with stride s and the kernel k kᵀ, k the filter of one axis, on the image continued by its mirror image. The operator is
separable: Y = R_h X R_wᵀ with one small matrix for each axis, whose rows hold k moved on by s, so A⁺ is separable too:
X = R_h⁺ Y (R_w⁺)ᵀ with R⁺ = Rᵀ(RRᵀ)⁻¹. No network and no training are needed to undo the measurement as far as it can be undone.
"""

import functools

import torch
from jaxtyping import Float
from torch import Tensor

from gensr.operators.base import LinearOperator, check_images
from gensr.resize import KERNELS, resize_matrix


class Downsample(LinearOperator):
    """Shrink an image by a whole factor with a convolution of stride s; with a kernel's name it equals MATLAB's ``imresize(x, 1 / scale)``.

    Args:
        scale: factor s ≥ 1; image sides must be multiples of it.
        kernel: "bicubic", "bilinear", "box" or "lanczos3", widened by s; or your own filter k of one axis, (taps,), used for rows and columns. Its
            middle lies over the middle of the s pixels that become one, so taps must be even for an even s and odd for an odd one. Where such
            a filter loses something (singular values below 1e-9 of the largest), `pinv` sets it to 0. The border is symmetric.

    Raises:
        ValueError: a factor that is not a whole number ≥ 1, another kernel, a filter that has another number of taps than stated, is zero or
            holds NaN, or images whose sides are not multiples of s.

    Reference: Penrose 1955 for A⁺; Sønderby et al. 2017 for its use in super-resolution, there fitted to a strided convolution.
    """

    def __init__(self, scale: int, kernel: str | Float[Tensor, " taps"] = "bicubic"):
        super().__init__()
        if not isinstance(scale, int) or scale < 1:
            raise ValueError(f"scale: expected a whole number of at least 1, got {scale!r}")
        if not isinstance(kernel, Tensor) and (not isinstance(kernel, str) or kernel not in KERNELS):
            raise ValueError(f"kernel: expected a filter or one of {', '.join(KERNELS)}, got {kernel!r}")
        self.scale = scale
        self.kernel: str | tuple[float, ...] = _taps(kernel, scale) if isinstance(kernel, Tensor) else kernel

    @staticmethod
    def gaussian(scale: int, sigma: float) -> "Downsample":
        """A Gaussian blur of standard deviation σ (pixels of the large image), cut off at 3σ, of which every s-th pixel in each direction is kept."""
        if not 0 < sigma < float("inf"):
            raise ValueError(f"sigma: expected a positive number of pixels, got {sigma}")
        return Downsample(scale, gaussian_filter(scale, sigma))

    def filter(self) -> Float[Tensor, " taps"]:
        """k, in float64: A x is ``conv2d(x, outer(k, k), stride=s)`` once x is continued by (taps − s)/2 mirrored pixels on each side."""
        if not isinstance(self.kernel, str):
            return torch.tensor(self.kernel, dtype=torch.float64)
        row = axis(17 * self.scale, self.scale, self.kernel)[0][8]  # so long that the border is out of reach
        used = row.nonzero()
        return row[used[0] : used[-1] + 1]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """A x."""
        check_images("x", x)
        h, w = x.shape[-2:]
        if h % self.scale or w % self.scale:
            raise ValueError(f"x: expected sides that are multiples of {self.scale}, got {h}x{w}")
        (rows, _), (columns, _) = axis(h, self.scale, self.kernel), axis(w, self.scale, self.kernel)
        return rows.to(x) @ x @ columns.T.to(x)

    def adjoint(self, y: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """Aᵀy: spreads each LR pixel over the HR pixels it was made of. The sum keeps, so the image comes back s² times too dark."""
        check_images("y", y)
        h, w = y.shape[-2] * self.scale, y.shape[-1] * self.scale
        (rows, _), (columns, _) = axis(h, self.scale, self.kernel), axis(w, self.scale, self.kernel)
        return rows.T.to(y) @ y @ columns.to(y)

    def pinv(self, y: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """A⁺y, exactly: A(A⁺y) = y, and no other image of that kind has a smaller norm."""
        check_images("y", y)
        h, w = y.shape[-2] * self.scale, y.shape[-1] * self.scale
        (_, rows), (_, columns) = axis(h, self.scale, self.kernel), axis(w, self.scale, self.kernel)
        return rows.to(y) @ y @ columns.T.to(y)

    def extra_repr(self) -> str:
        return f"scale={self.scale}, kernel={self.kernel!r}" if isinstance(self.kernel, str) else f"scale={self.scale}, kernel={len(self.kernel)} taps"


@functools.lru_cache(maxsize=64)
def axis(n: int, scale: int, kernel: str | tuple[float, ...]) -> tuple[Float[Tensor, "m n"], Float[Tensor, "n m"]]:
    """R and R⁺ of one axis of n samples, in float64."""
    if isinstance(kernel, str):
        r = resize_matrix(n, n // scale, 1 / scale, kernel=kernel)
        return r, torch.linalg.solve(r @ r.T, r).T.contiguous()
    i = scale * torch.arange(n // scale)[:, None] + torch.arange(len(kernel)) + (scale - len(kernel)) // 2  # (m, taps)
    i = i.remainder(2 * n)  # … 2 1 0 | 0 1 2 … n−1 | n−1 n−2 …
    weights = torch.tensor(kernel, dtype=torch.float64).expand(i.shape)
    r = torch.zeros(n // scale, n, dtype=torch.float64).scatter_add_(1, torch.where(i < n, i, 2 * n - 1 - i), weights)
    return r, torch.linalg.pinv(r, rtol=1e-9)


def gaussian_filter(scale: int, sigma: float) -> Float[Tensor, " taps"]:
    """k ∝ exp(−d²/2σ²), Σk = 1, at the distances d ≤ 3σ from the middle of `scale` pixels: halves for an even scale, whole numbers for an odd one."""
    n = 2 * max(1, round(3 * sigma)) + scale % 2
    d = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    k = torch.exp(-0.5 * (d / sigma) ** 2)
    return k / k.sum()


def _taps(kernel: Tensor, scale: int) -> tuple[float, ...]:
    if kernel.dim() != 1 or not kernel.is_floating_point() or kernel.numel() == 0 or (kernel.numel() - scale) % 2:
        parity = "odd" if scale % 2 else "even"
        raise ValueError(f"kernel: expected an {parity} number of float taps for scale {scale}, got {kernel.dtype} of shape {tuple(kernel.shape)}")
    if not torch.isfinite(kernel).all() or not kernel.any():
        raise ValueError("kernel: is zero, or contains NaN or infinite values")
    return tuple(kernel.double().tolist())
