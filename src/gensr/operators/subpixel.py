"""A⁺ of a downsampling as one convolution: s² kernels on the small image, then a pixel shuffle. Read off the exact A⁺, or found by descent.

Far from the border R⁺ of one axis repeats itself: moving on by one small pixel moves its column down by s rows. So A⁺ is a convolution there,
with s × s different kernels, one for each place of a large pixel over the small one; the shuffle puts their outputs in place.

With a symmetric filter this holds up to the border. Let E continue a signal by its mirror image to a periodic one of twice the length, EᵀE = 2I, and
let C be filter and stride on periodic signals. C makes mirrored signals from mirrored signals, CE = ER; so does Cᵀ, CᵀE = ERᵀ; hence C⁺E = ER⁺. To
apply R⁺, continue y by its mirror image, convolve, and cut. All that is lost is the tail of the kernel.

Reference: Shi et al. 2016, "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural network", CVPR;
Sønderby et al. 2017, "Amortised MAP inference for image super-resolution", ICLR, §3.1 and appendix.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gensr.operators.base import check_images
from gensr.operators.downsample import Downsample, axis


class SubPixel(Downsample):
    """A with its A⁺ as one convolution, whose kernels `weight` (s², 1, size, size) a training may change. A and Aᵀ stay what they are.

    Because the kernels are cut off, A(A⁺y) = y holds only roughly. For the exact one use `Downsample`; this one is for networks that learn A⁺ along with
    the rest, and where only convolutions can be used. To keep A⁺ as it is in training, ``requires_grad_(False)``.

    Args:
        A: the downsampling.
        size: side of the kernels in small pixels, an odd number. For bicubic 4× the part of A⁺ that is cut off has 1.6e-2 of its norm for 7, 1.7e-3
            for 11, 5.7e-4 for 13, 2.0e-5 for 19: a third for each small pixel. The more A weakens, the longer are the tails.

    Raises:
        TypeError: A is no Downsample.
        ValueError: a size that is even or below 1.
    """

    def __init__(self, A: Downsample, size: int = 13):
        if not isinstance(A, Downsample):
            raise TypeError(f"A: expected a Downsample, got {type(A).__name__}")
        super().__init__(A.scale, A.kernel if isinstance(A.kernel, str) else torch.tensor(A.kernel, dtype=torch.float64))
        self.weight = nn.Parameter(sub_pixel_kernels(A, size).to(torch.get_default_dtype()))

    def pinv(self, y: Float[Tensor, "b c h2 w2"]) -> Float[Tensor, "b c h w"]:
        """A⁺y but for the tails of the kernels; each channel by itself."""
        check_images("y", y)
        return sub_pixel(y, self.weight.to(y))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, size={self.weight.shape[-1]}"


def sub_pixel(y: Float[Tensor, "b c h2 w2"], kernels: Float[Tensor, "ss 1 k k"]) -> Float[Tensor, "b c h w"]:
    """Each channel of y, continued by its mirror image, convolved with s² kernels, whose outputs are laid out as s × s pixels."""
    if y.dim() != 4 or min(y.shape[1:]) < 1:
        raise ValueError(f"y: expected images (b, c, h, w), got shape {tuple(y.shape)}")
    if kernels.dim() != 4 or kernels.shape[1] != 1 or round(kernels.shape[0] ** 0.5) ** 2 != kernels.shape[0] or kernels.shape[2] % 2 == 0:
        raise ValueError(f"kernels: expected (s², 1, size, size) of an odd size, got shape {tuple(kernels.shape)}")
    (b, c, h, w), s, r = y.shape, round(kernels.shape[0] ** 0.5), kernels.shape[-1] // 2
    for dim, n in ((-2, h), (-1, w)):
        i = torch.arange(-r, n + r, device=y.device).remainder(2 * n)  # … 1 0 | 0 1 … n−1 | n−1 n−2 …
        y = y.index_select(dim, torch.where(i < n, i, 2 * n - 1 - i))
    out = F.conv2d(y.reshape(b * c, 1, h + 2 * r, w + 2 * r), kernels)  # (b·c, s², h, w)
    return F.pixel_shuffle(out, s).reshape(b, c, s * h, s * w)


def sub_pixel_kernels(A: Downsample, size: int, of: str = "pinv") -> Float[Tensor, "ss 1 size size"]:
    """The kernels of A⁺ (of="pinv") or of Aᵀ (of="adjoint"), read off the matrix of a long axis in its middle, in float64.

    Kernel u·s + v makes the large pixel at row u, column v of the s × s that lie over a small one. Aᵀ is complete once
    size ≥ 2 ⌈(taps − s)/2s⌉ + 1, which is 5 for bicubic.

    Raises:
        ValueError: a size that is even or below 1, or another `of`.
    """
    if not isinstance(A, Downsample):
        raise TypeError(f"A: expected a Downsample, got {type(A).__name__}")
    if not isinstance(size, int) or size < 1 or size % 2 == 0:
        raise ValueError(f"size: expected an odd number of small pixels, got {size!r}")
    if of not in ("pinv", "adjoint"):
        raise ValueError(f"of: expected 'pinv' or 'adjoint', got {of!r}")
    s, r = A.scale, size // 2
    middle = size + 40  # so far inside that the border's mirror images have died away
    matrix = axis((2 * middle + 1) * s, s, A.kernel)
    columns = matrix[1] if of == "pinv" else matrix[0].T
    phase = columns[s * middle : s * middle + s, middle - r : middle + r + 1]  # (s, size): what the s samples over one take from its neighbours
    return torch.einsum("iu,jv->ijuv", phase, phase).reshape(s * s, 1, size, size)


def fit_sub_pixel(
    A: Downsample, size: int = 19, *, steps: int = 250, lr: float = 0.3, weight: float | None = None, inside: bool = True, batch: int = 8,
    side: int = 24, seed: int = 0, callback: Callable[[int, float, float, Tensor], None] | None = None,
) -> SubPixel:
    """A⁺ as one convolution by stochastic descent: each step draws x and y of white noise and lowers ‖Ax − ABAx‖² + w ‖By − BABy‖².

    `fit_pseudo_inverse` does the same with matrices and needs no samples. As there, A is first divided by its largest singular value, the start is
    B = Aᵀ, and the gradient has the form Aᵀ(…). But a kernel has a size, and cutting a gradient off takes it out of the range of Aᵀ. What then gets into
    the null space no loss sees, and nothing takes it out again. Hence the descent is over the kernel g of B = Aᵀ G, with G a convolution of small
    images: no step can leave the range, and the only optimum is G = (AAᵀ)⁻¹, cut off. On bicubic 4× it ends 2e-4 from A⁺, relative to its norm;
    with all s² kernels free (inside=False) it ends at 4.5e-3, although both losses are smaller there. The steps that are needed grow with (σ_max / σ_min)⁶,
    because Aᵀ weakens g once more: 250 do for bicubic and for a Gaussian of σ = 1.6 at 4×; with σ = 2 it is still 0.5 away after 600.

    Args:
        A: the downsampling.
        size: side of the kernels of B in small pixels, odd; g is smaller by the width of Aᵀ less 1 (4 for bicubic).
        lr: step of gradient descent with momentum 0.9; it falls to 0 over the last half of the steps.
        weight: w. By default 4 (σ_min / σ_max)⁴, at most 0.1: at twice that ℓ₂, which is 0 at B = 0, too, begins to hold the weakest directions there.
        inside: descend over g; otherwise over all s² kernels.
        batch, side: each step draws that many y of side × side, and x of s·side × s·side.
        seed: of the noise; the global random state stays untouched.
        callback: gets step, ℓ₁ and ℓ₂ (of the scaled problem, for each small pixel) and the kernels of B, (s², 1, size, size).

    Raises:
        TypeError: A is no Downsample.
        ValueError: a size that is even or does not hold Aᵀ, or settings that are not positive.
        FloatingPointError: lr is too large, or the batch too small for so many numbers in g, and B grew without bound.

    Reference: Sønderby et al. 2017, appendix.
    """
    if min(steps, batch, side) < 1 or not lr > 0 or (weight is not None and not weight >= 0):
        raise ValueError(f"steps, batch, side, lr, weight: expected positive numbers, got {steps}, {batch}, {side}, {lr}, {weight}")
    fitted = SubPixel(A, size)
    s = A.scale
    width = 2 * -(-max(A.filter().numel() - s, 0) // (2 * s)) + 1  # of the kernels of Aᵀ
    if size < width:
        raise ValueError(f"size: expected at least {width}, which Aᵀ needs, got {size}")
    values = torch.linalg.svdvals(axis(s * (2 * size + 1), s, A.kernel)[0])  # of one axis, falling; those of A are their products
    largest = values[0].item() ** 2
    if weight is None:
        weight = min(0.1, 4 * (values[-1] / values[0]).item() ** 8)
    adjoint = (sub_pixel_kernels(A, width if inside else size, "adjoint") / largest).to(fitted.weight)
    side_g = size - width + 1
    if inside:  # G = 1, so that B = Aᵀ
        p = torch.zeros(1, 1, side_g, side_g).to(adjoint)
        p[..., side_g // 2, side_g // 2] = 1
    else:
        p = adjoint.clone()
    speed, generator = torch.zeros_like(p), torch.Generator().manual_seed(seed)
    for step in range(steps):
        p.requires_grad_(True)
        b = F.conv2d(F.pad(adjoint, (side_g - 1,) * 4), p.flip(-2, -1)) if inside else p  # the kernels of AᵀG: those of Aᵀ convolved with g
        x, y = torch.randn(batch, 1, s * side, s * side, generator=generator), torch.randn(batch, 1, side, side, generator=generator)
        ax, by = A(x) / largest, sub_pixel(y, b)
        l1 = (ax - A(sub_pixel(ax, b)) / largest).square().sum() / y.numel()
        l2 = (by - sub_pixel(A(by) / largest, b)).square().sum() / y.numel()
        (gradient,) = torch.autograd.grad(l1 + weight * l2, p)
        if callback is not None:
            callback(step, l1.item(), l2.item(), b.detach() / largest)
        speed = 0.9 * speed + gradient
        p = p.detach() - lr * min(1.0, 2 - 2 * step / steps) * speed
    if not torch.isfinite(p).all():
        raise FloatingPointError(f"lr: steps of {lr} are too long for {batch} images of side {side}, B grew without bound")
    b = F.conv2d(F.pad(adjoint, (side_g - 1,) * 4), p.flip(-2, -1)) if inside else p
    fitted.weight.data = b / largest
    return fitted
