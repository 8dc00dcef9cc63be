"""One operator after another, as in "first blur, then shrink"."""

from jaxtyping import Float
from torch import Tensor, nn

from gensr.operators.base import LinearOperator


class Compose(LinearOperator):
    """``Compose(A, B)(x) = A(B(x))``: written as in formulas, the last operator acts first.

    The adjoint turns the order round, (AB)ᵀ = BᵀAᵀ. The pseudo-inverse does not: (AB)⁺ is in general not B⁺A⁺, so it is found by conjugate
    gradients.

    Args:
        operators: two or more; one is allowed and changes nothing.

    Raises:
        TypeError: something that is not a LinearOperator.
        ValueError: no operator.
    """

    def __init__(self, *operators: LinearOperator):
        super().__init__()
        if not operators:
            raise ValueError("operators: expected at least one")
        for k, A in enumerate(operators):
            if not isinstance(A, LinearOperator):
                raise TypeError(f"operators: number {k} is a {type(A).__name__}, not a LinearOperator")
        self.operators = nn.ModuleList(operators)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """A(B(…x))."""
        for A in reversed(self.operators):
            x = A(x)
        return x

    def adjoint(self, y: Float[Tensor, "b c2 h2 w2"]) -> Float[Tensor, "b c h w"]:
        """…BᵀAᵀy."""
        for A in self.operators:
            y = A.adjoint(y)  # pyright: ignore[reportCallIssue]
        return y
