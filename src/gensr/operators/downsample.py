"""Antialiased downsampling as a linear operator, with its exact pseudo-inverse.

The operator is separable: Y = R_h X R_wᵀ with one small matrix for each axis, so A⁺ is separable too:
X = R_h⁺ Y (R_w⁺)ᵀ with R⁺ = Rᵀ(RRᵀ)⁻¹. No network and no training are needed to undo the measurement as far as it can be undone.
"""

import functools

import torch
from jaxtyping import Float
from torch import Tensor

from gensr.operators.base import LinearOperator, check_images
from gensr.resize import KERNELS, resize_matrix


class Downsample(LinearOperator):
    """Shrink an image by a whole factor with MATLAB's antialiased kernel; equals ``imresize(x, 1 / scale)``.

    Args:
        scale: factor s ≥ 1; image sides must be multiples of it.
        kernel: "bicubic", "bilinear", "box" or "lanczos3"; the border is symmetric.

    Raises:
        ValueError: a factor that is not a whole number ≥ 1, another kernel, or images whose sides are not multiples of s.

    Reference: Penrose 1955 for A⁺; Sønderby et al. 2017 for its use in super-resolution, there fitted to a strided convolution.
    """

    def __init__(self, scale: int, kernel: str = "bicubic"):
        super().__init__()
        if not isinstance(scale, int) or scale < 1:
            raise ValueError(f"scale: expected a whole number of at least 1, got {scale!r}")
        if kernel not in KERNELS:
            raise ValueError(f"kernel: expected one of {', '.join(KERNELS)}, got {kernel!r}")
        self.scale, self.kernel = scale, kernel

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
        return f"scale={self.scale}, kernel={self.kernel!r}"


@functools.lru_cache(maxsize=64)
def axis(n: int, scale: int, kernel: str) -> tuple[Float[Tensor, "m n"], Float[Tensor, "n m"]]:
    """R and R⁺ of one axis of n samples, in float64."""
    r = resize_matrix(n, n // scale, 1 / scale, kernel=kernel)
    return r, torch.linalg.solve(r @ r.T, r).T.contiguous()
