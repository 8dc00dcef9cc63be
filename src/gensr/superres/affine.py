"""The affine projection: a last layer that makes any network's answer explain what was measured, exactly.

Reference: Sønderby, Caballero, Theis, Shi, Huszár 2017, "Amortised MAP inference for image super-resolution", ICLR, §3.1.
"""

from jaxtyping import Float
from torch import Tensor, nn

from gensr.operators import LinearOperator


class AffineProjection(nn.Module):
    """g(y) = (I − A⁺A) f(y) + A⁺y: the network f decides what A cannot see, the measurement y all the rest.

    A g(y) = (A − A A⁺A) f(y) + A A⁺y = A A⁺y, because A A⁺A = A. That is y itself for every y in the range of A, whatever f says. I − A⁺A is symmetric, so in
    training f receives the part of the gradient that lies in the null space of A, and no other.

    Args:
        network: f, from measurements (b, ...) to images or points (b, ...).
        operator: A, with its A⁺; `Downsample` for images of any size and number of channels, `Average` for points of the plane; `SubPixel` has an A⁺ that
            trains along with f.

    Raises:
        TypeError: operator is no LinearOperator.

    Reference: Sønderby et al. 2017, eq. 6.
    """

    def __init__(self, network: nn.Module, operator: LinearOperator):
        super().__init__()
        if not isinstance(operator, LinearOperator):
            raise TypeError(f"operator: expected a LinearOperator, got {type(operator).__name__}")
        self.network, self.operator = network, operator
        if hasattr(network, "scale"):  # a super-resolution network stays one
            self.scale = network.scale

    def forward(self, y: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """f(y) + A⁺(y − A f(y)), the same formula with A⁺ taken once."""
        return self.operator.project(self.network(y), y)
