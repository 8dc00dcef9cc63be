"""What every measurement y = A x can do: forward, adjoint, pseudo-inverse, projection onto the images that explain y.

Noise is never inside an operator: write ``y = A(x) + sigma * torch.randn_like(A(x))``. Operators follow the
device and dtype of what they are given.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LinearOperator(nn.Module):
    """A linear map from images (b, c, h, w) to measurements (b, c', h', w'); or from points (b, n) to (b, m).

    A subclass writes `forward` and `adjoint`; pseudo-inverse and projection follow from the two. Where there is a closed form, it
    overrides `pinv` as well.
    """

    def adjoint(self, y: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Aᵀy: the one map with ⟨A x, y⟩ = ⟨x, Aᵀy⟩ for all x and y. It is not the inverse of A."""
        raise NotImplementedError(f"{type(self).__name__} does not define adjoint(y)")

    def pinv(self, y: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """A⁺y: among the images that explain y best, the one of least norm. By conjugate gradients unless a subclass knows better."""
        return least_squares(self, y)

    def project(self, x: Float[Tensor, "b ..."], y: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """x + A⁺(y - A x): of all images that explain y best, the one nearest to x.

        Raises:
            ValueError: A x has another shape than y.

        Reference: Sønderby et al. 2017, on affine projected networks (there a network makes x).
        """
        seen = self(x)
        if seen.shape != y.shape:
            raise ValueError(f"y: expected the shape {tuple(seen.shape)} of A x, got {tuple(y.shape)}")
        return x + self.pinv(y - seen)


def least_squares(
    A: LinearOperator, y: Float[Tensor, "b ..."], lam: float = 0.0, *, steps: int = 1000, tol: float | None = None
) -> Float[Tensor, "b ..."]:
    """argmin ‖y - A x‖² + λ‖x‖² by conjugate gradients on (AᵀA + λI) x = Aᵀy.

    The iteration starts at 0 and moves only along vectors Aᵀ(…), so it never gains a part in the null space: with λ = 0 it ends at A⁺y, the
    solution of least norm, whether the system has many solutions, one, or none.

    Args:
        lam: λ ≥ 0.
        steps: at most so many; in exact arithmetic the rank of A is enough.
        tol: stop when the gradient has shrunk by this factor in every image; 1e-6 in float32 and 1e-12 in float64 by default.

    Raises:
        ValueError: y is not a batch of images, λ is negative, or steps and tol are not positive.

    Reference: Hestenes and Stiefel 1952; Björck 1996, §7.4 (CGLS).
    """
    if not lam >= 0:
        raise ValueError(f"lam: expected a number that is not negative, got {lam}")
    if steps < 1 or (tol is not None and not tol > 0):
        raise ValueError(f"steps, tol: expected positive numbers, got {steps} and {tol}")
    r = y  # what is left to explain, y - A x
    s = A.adjoint(r)  # minus half the gradient, Aᵀr - λx
    x, p, gamma = torch.zeros_like(s), s, dot(s, s)
    if tol is None:
        tol = 1e-12 if y.dtype == torch.float64 else 1e-6
    goal = tol**2 * gamma
    for _ in range(steps):
        if (gamma <= goal).all():
            break
        q = A(p)
        alpha = divide(gamma, dot(q, q) + lam * dot(p, p))
        x, r = x + alpha * p, r - alpha * q
        s = A.adjoint(r) - lam * x
        gamma, last = dot(s, s), gamma
        p = s + divide(gamma, last) * p
    return x


def dot(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩ of each image in a batch, (b, 1, 1, 1); of each point, (b, 1)."""
    return (a * b).sum(tuple(range(1, a.dim())), keepdim=True)


def divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b = 0: an image of the batch that has converged stays where it is."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1), 0)


def dense(A: LinearOperator, shape: tuple[int, int, int]) -> Float[Tensor, "m n"]:
    """The matrix of A for images (c, h, w), in float64: one column for each pixel. For small images, to look at and to test with.

    Raises:
        ValueError: not three positive lengths.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape: expected three positive lengths (c, h, w), got {tuple(shape)}")
    n = shape[0] * shape[1] * shape[2]
    return A(torch.eye(n, dtype=torch.float64).reshape(n, *shape)).reshape(n, -1).T.contiguous()


def check_images(name: str, x: Tensor) -> None:
    """Raise unless x is a float batch of images."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"{name}: expected a float tensor, got {x.dtype if isinstance(x, Tensor) else type(x).__name__}")
    if x.dim() != 4 or min(x.shape[1:]) < 1:
        raise ValueError(f"{name}: expected images (b, c, h, w), got shape {tuple(x.shape)}")
