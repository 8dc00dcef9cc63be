"""Blur as a linear operator, with its pseudo-inverse in closed form.

The border is circular: what leaves on the right comes back on the left. Then the Fourier transform turns blurring into one multiplication for
each frequency, and undoing it into one division. Real photographs do not wrap around: to deblur one, fade its edges or cut them off afterwards.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gensr.operators.base import LinearOperator, check_images


class Blur(LinearOperator):
    """Convolution of each channel with one kernel, y = k ∗ x, circular border; sizes stay.

    Args:
        kernel: k, (kh, kw), at most as large as the image; its middle is entry (kh // 2, kw // 2). A blur that keeps brightness sums to 1.
        tol: frequencies that the kernel weakens below tol times the strongest count as lost: `pinv` sets them to 0.

    Raises:
        ValueError: a kernel that is not (kh, kw) or holds NaN, a negative tol, or an image smaller than the kernel.
        TypeError: a kernel that is not a float tensor.
    """

    kernel: Tensor

    def __init__(self, kernel: Float[Tensor, "kh kw"], tol: float = 1e-4):
        super().__init__()
        if not isinstance(kernel, Tensor) or not kernel.is_floating_point():
            raise TypeError(f"kernel: expected a float tensor, got {kernel.dtype if isinstance(kernel, Tensor) else type(kernel).__name__}")
        if kernel.dim() != 2 or kernel.numel() == 0:
            raise ValueError(f"kernel: expected (kh, kw), got shape {tuple(kernel.shape)}")
        if not torch.isfinite(kernel).all():
            raise ValueError("kernel: contains NaN or infinite values")
        if not 0 <= tol < 1:
            raise ValueError(f"tol: expected a number in [0, 1), got {tol}")
        self.tol = tol
        self.register_buffer("kernel", kernel.detach().clone(), persistent=False)

    @staticmethod
    def gaussian(sigma: float, **options: float) -> "Blur":
        """A Gaussian blur of standard deviation σ pixels, cut off at 3σ."""
        if not 0 < sigma < float("inf"):
            raise ValueError(f"sigma: expected a positive number of pixels, got {sigma}")
        radius = max(1, round(3 * sigma))
        g = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma) ** 2)
        g = g / g.sum()
        return Blur(torch.outer(g, g), **options)

    def spectrum(self, x: Float[Tensor, "b c h w"]) -> Complex[Tensor, "h f"]:
        """What the blur multiplies each frequency of an image with; half of them, as `rfft2` orders them."""
        (kh, kw), (h, w) = self.kernel.shape, x.shape[-2:]
        if kh > h or kw > w:
            raise ValueError(f"x: an image of {h}x{w} is smaller than the kernel of {kh}x{kw}")
        k = torch.zeros(h, w, dtype=torch.float64, device=x.device)
        k[:kh, :kw] = self.kernel.to(k)
        k = k.roll((-(kh // 2), -(kw // 2)), (0, 1))  # the middle of the kernel to pixel (0, 0)
        return torch.fft.rfft2(k).to(torch.complex128 if x.dtype == torch.float64 else torch.complex64)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A x = k ∗ x."""
        check_images("x", x)
        return self._filter(x, self.spectrum(x))

    def adjoint(self, y: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Aᵀy: convolution with the kernel turned by 180°. It blurs a second time."""
        check_images("y", y)
        return self._filter(y, self.spectrum(y).conj())

    def pinv(self, y: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A⁺y: each frequency divided by what the blur multiplied it with, and 0 where the blur left (almost) nothing."""
        check_images("y", y)
        k = self.spectrum(y)
        seen = k.abs() > self.tol * k.abs().max()
        return self._filter(y, torch.where(seen, 1 / torch.where(seen, k, 1), 0))

    @staticmethod
    def _filter(x: Tensor, k: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * k, s=x.shape[-2:])

    def extra_repr(self) -> str:
        return f"kernel={self.kernel.shape[0]}x{self.kernel.shape[1]}, tol={self.tol}"
