"""Tikhonov regularisation: the most probable image under a Gaussian prior.

Let y = A x + n with noise n ~ N(0, σ²I) and a prior x ~ N(μ, σₓ²I). By Bayes' rule log p(x|y) = log p(y|x) + log p(x) - log p(y), and the
last term does not depend on x. Written out, with every constant dropped,

    -log p(x|y) = ‖y - A x‖² / (2σ²) + ‖x - μ‖² / (2σₓ²) + const.

Multiply by 2σ²: the most probable x minimises ‖y - A x‖² + λ‖x - μ‖² with λ = σ²/σₓ². Its gradient,
2Aᵀ(A x - y) + 2λ(x - μ), is 0 where

    (AᵀA + λI)(x - μ) = Aᵀ(y - A μ).

For λ > 0 the matrix on the left is invertible whatever A is, so there is exactly one answer. It tends to μ + A⁺(y - A μ) as λ → 0,
and to μ as λ → ∞. The posterior is Gaussian, so its mode is also its mean: the same x minimises the expected squared error.

Reference: Tikhonov 1963; Hoerl and Kennard 1970 (ridge regression).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gensr.operators.base import LinearOperator, dot, least_squares


def tikhonov(
    A: LinearOperator, y: Float[Tensor, "b c h2 w2"], lam: float, mean: float | Float[Tensor, "#b #c #h #w"] = 0.0, *,
    steps: int = 1000, tol: float | None = None,
) -> Float[Tensor, "b c h w"]:
    """argmin ‖y - A x‖² + λ‖x - μ‖² for any operator, by conjugate gradients.

    Args:
        lam: λ = σ²/σₓ² ≥ 0; 0 gives the pseudo-inverse (around μ).
        mean: μ, the image to fall back on where the measurement says nothing: a number, or an image.
        steps, tol: see `gensr.operators.least_squares`.

    Raises:
        ValueError: y is not a batch of images, or λ is negative.
    """
    mu = mean + torch.zeros_like(A.adjoint(y))  # an image of the right size
    return mu + least_squares(A, y - A(mu), lam, steps=steps, tol=tol)


def tikhonov_descent(
    A: LinearOperator, y: Float[Tensor, "b c h2 w2"], lam: float, mean: float | Float[Tensor, "#b #c #h #w"] = 0.0, *,
    steps: int = 200, lr: float | None = None, callback: Callable[[int, Tensor], None] | None = None,
) -> Float[Tensor, "b c h w"]:
    """The same minimum, by plain gradient descent from μ: slower than `tikhonov`, and the way priors without a closed form are handled.

    Args:
        lr: step; by default 1 / (σ_max² + λ), with the largest singular value of A found by the power method. Twice that diverges.
        callback: gets each step's number and image.

    Raises:
        ValueError: y is not a batch of images, λ is negative, or a step that is not positive.
    """
    if not lam >= 0:
        raise ValueError(f"lam: expected a number that is not negative, got {lam}")
    if lr is not None and not lr > 0:
        raise ValueError(f"lr: expected a positive number, got {lr}")
    mu = mean + torch.zeros_like(A.adjoint(y))
    if lr is None:
        lr = 1 / (largest_eigenvalue(A, mu) + lam or 1.0)
    x = mu
    for step in range(steps):
        gradient = A.adjoint(A(x) - y) + lam * (x - mu)  # half of it
        x = x - lr * gradient
        if callback is not None:
            callback(step, x)
    return x


def largest_eigenvalue(A: LinearOperator, x: Float[Tensor, "b c h w"], steps: int = 30) -> float:
    """σ_max² of A for images like x by the power method: multiply by AᵀA and normalise, again and again. Enlarged by 2 %, to be on the safe side."""
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    size = 0.0
    for _ in range(steps):
        v = A.adjoint(A(v))
        size = dot(v, v).sqrt().max().item()
        if size == 0:
            break
        v = v / size
    return 1.02 * size
