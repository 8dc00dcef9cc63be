"""The mean of a few numbers: super-resolution at its smallest, from one number back to two."""

from jaxtyping import Float
from torch import Tensor

from gensr.operators.base import LinearOperator


class Average(LinearOperator):
    """y = (x₁ + … + xₙ)/n, for points x (b, n) and measurements y (b, 1).

    Aᵀy = (y, …, y)/n, and because A Aᵀ = 1/n the pseudo-inverse is A⁺y = Aᵀ(A Aᵀ)⁻¹y = (y, …, y). The null space holds what A cannot see: for n = 2 the
    differences (v, −v).

    Args:
        n: how many numbers, 2 by default: a point of the plane.

    Raises:
        ValueError: n below 1, or points or measurements of another shape. TypeError: they are not floats.

    Reference: Sønderby et al. 2017, §5.1.
    """

    def __init__(self, n: int = 2):
        super().__init__()
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"n: expected a whole number of at least 1, got {n!r}")
        self.n = n

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b 1"]:
        """A x, the mean of each row."""
        _check("x", x, self.n)
        return x.mean(1, keepdim=True)

    def adjoint(self, y: Float[Tensor, "b 1"]) -> Float[Tensor, "b n"]:
        """Aᵀy = (y, …, y)/n."""
        return self.pinv(y) / self.n

    def pinv(self, y: Float[Tensor, "b 1"]) -> Float[Tensor, "b n"]:
        """A⁺y = (y, …, y): of all points with mean y, the one nearest to 0."""
        _check("y", y, 1)
        return y.repeat(1, self.n)

    def extra_repr(self) -> str:
        return f"n={self.n}"


def _check(name: str, v: Tensor, n: int) -> None:
    if not isinstance(v, Tensor) or not v.is_floating_point():
        raise TypeError(f"{name}: expected a float tensor, got {v.dtype if isinstance(v, Tensor) else type(v).__name__}")
    if v.dim() != 2 or v.shape[1] != n:
        raise ValueError(f"{name}: expected shape (b, {n}), got {tuple(v.shape)}")
