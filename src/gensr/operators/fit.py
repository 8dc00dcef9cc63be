"""A pseudo-inverse found by gradient descent, for operators without a closed form.

The two losses ask for two of Penrose's four conditions: A B A = A and B A B = B. *Any* right inverse fulfils both, so the losses alone
do not single out A⁺. The start does: from B = cAᵀ each gradient step is again of the form Aᵀ(…), so the columns of B never leave the range
of Aᵀ, and there only A⁺ makes both losses zero. For large images see `fit_sub_pixel`, the same descent over the kernel of a convolution.

Reference: Sønderby, Caballero, Theis, Shi, Huszár 2017, "Amortised MAP Inference for Image Super-resolution", ICLR, appendix.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gensr.operators.base import LinearOperator, dense


def pseudo_inverse_losses(A: Float[Tensor, "m n"], B: Float[Tensor, "n m"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """ℓ₁ = E‖A x - A B A x‖² and ℓ₂ = E‖B y - B A B y‖² for white noise x and y, where the expectations are Frobenius norms."""
    return (A - A @ B @ A).square().sum(), (B - B @ A @ B).square().sum()


def fit_pseudo_inverse(
    A: LinearOperator | Float[Tensor, "m n"], shape: tuple[int, int, int] | None = None, *,
    steps: int = 500, lr: float = 0.4, weight: float | None = None, callback: Callable[[int, float, float], None] | None = None,
) -> Float[Tensor, "n m"]:
    """Minimise ℓ₁ + w ℓ₂ over B by plain gradient descent from Aᵀ; the result is A⁺ as a matrix, in float64.

    A is first divided by its largest singular value. ℓ₂ alone is also 0 at B = 0, and pulls weak directions there: the sum has no false
    minimum as long as w < 8 (σ_min / σ_max)⁴, with σ_min the smallest singular value that is not 0. The steps that are needed grow with
    (σ_max / σ_min)⁴: at 4×, bicubic is done after 100, a Gaussian of σ = 2 is 0.2 away after 500 and 8e-6 after 2000. Plain steps matter: Adam scales every
    entry by itself and would leave the range of Aᵀ.

    Args:
        A: a matrix, or an operator together with the `shape` (c, h, w) of its images.
        lr: step for the scaled problem; below 1 / (1 + w) it is stable.
        weight: w; by default 4 (σ_min / σ_max)⁴, half of what is allowed, and at most 0.1.
        callback: gets step, ℓ₁ and ℓ₂ (of the scaled problem).

    Raises:
        ValueError: a matrix without two axes, an operator without shape, a matrix of zeros or with NaN, or settings that are not positive.
        FloatingPointError: the steps were too long and B grew without bound.
    """
    if isinstance(A, LinearOperator) and shape is None:
        raise ValueError("shape: an operator needs the shape (c, h, w) of its images")
    matrix = dense(A, shape) if isinstance(A, LinearOperator) and shape is not None else A
    if not isinstance(matrix, Tensor) or matrix.dim() != 2:
        raise ValueError(f"A: expected an operator or a matrix (m, n), got {tuple(matrix.shape) if isinstance(matrix, Tensor) else type(A).__name__}")
    if steps < 1 or not lr > 0 or (weight is not None and not weight >= 0):
        raise ValueError(f"steps, lr, weight: expected positive numbers, got {steps}, {lr}, {weight}")
    if not matrix.any() or not torch.isfinite(matrix).all():
        raise ValueError("A: is zero, or contains NaN or infinite values")
    largest = torch.linalg.matrix_norm(matrix.detach().double(), 2)
    a = matrix.detach().double() / largest
    if weight is None:
        values = torch.linalg.svdvals(a)
        weight = min(0.1, 4 * values[values > 1e-9].min().item() ** 4)
    b = a.T.clone()
    for step in range(steps):
        b.requires_grad_(True)
        l1, l2 = pseudo_inverse_losses(a, b)
        (gradient,) = torch.autograd.grad(l1 + weight * l2, b)
        b = b.detach() - lr * gradient
        if callback is not None:
            callback(step, l1.item(), l2.item())
    if not torch.isfinite(b).all():
        raise FloatingPointError(f"lr: steps of {lr} are too long, B grew without bound")
    return b / largest
