"""StAffGAN: many answers to one measurement. A generator that takes noise, behind the affine projection, draws from the posterior.

Let q be the law of x̂ = g(y, z), with y from the data and z ~ N(0, I). The projection makes A x̂ = y, so y is a function of x̂, as it is of x. A KL between x's is
then one between pairs (x, y), which the chain rule takes apart:

    KL[q(x) ‖ p(x)] = KL[q(y) ‖ p(y)] + E_y KL[q(x|y) ‖ p(x|y)] = E_y KL[q(x|y) ‖ p(x|y)]

The first term is 0, as both laws of y are that of the data. So `gensr.superres.amortised.AmortisedGAN`, whose critic never sees y, does amortised variational
inference with this generator: no likelihood, no reconstruction term, and a q whose density nobody can write down. Without z, q(x|y) is a single point.

KL[q ‖ p] seeks modes: a q that stays in one of two equal modes pays log 2 nats only, and there is no slope from one to the other.

Reference: Sønderby, Caballero, Theis, Shi, Huszár 2017, "Amortised MAP inference for image super-resolution", ICLR (the stochastic extension, StAffGAN).
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from gensr.operators import LinearOperator
from gensr.superres.affine import AffineProjection


class StochasticProjection(AffineProjection):
    """g(y, z) = (I − A⁺A) f([y, z]) + A⁺y: the noise z moves the answer in the null space of A, and nowhere else.

    A g(y, z₁) − A g(y, z₂) = (A − A A⁺A)(f₁ − f₂) = 0. Noise enters as further channels of y, at the size of y: every place of an image has its own, which is
    what a network of convolutions needs to vary all of it. (Size and law of z are our choice.)

    Trained in place of g by `AmortisedGAN`, it draws new noise at every call.

    Args:
        network: f, from y with noise (b, c + latent, ...) to images or points (b, ...): ``SubPixelNet(4, extra=latent)``, ``MLP(1 + latent, 64, 2)``.
        operator: A, with its A⁺.
        latent: numbers z at each place of y.

    Raises:
        TypeError: operator is no LinearOperator.
        ValueError: latent below 1, or noise of another shape.

    Reference: Sønderby et al. 2017.
    """

    def __init__(self, network: nn.Module, operator: LinearOperator, latent: int = 1):
        super().__init__(network, operator)
        if latent < 1:
            raise ValueError(f"latent: expected at least 1, got {latent}")
        self.latent = latent

    def forward(self, y: Float[Tensor, "b ..."], z: Float[Tensor, "b ..."] | None = None) -> Float[Tensor, "b ..."]:
        """One answer for each y, with the noise z (b, latent, ...), or new noise if none is given."""
        z = self.noise(y) if z is None else z
        if z.shape != (len(y), self.latent, *y.shape[2:]):
            raise ValueError(f"z: expected shape {(len(y), self.latent, *y.shape[2:])}, got {tuple(z.shape)}")
        return self.operator.project(self.network(torch.cat([y, z], 1)), y)

    def noise(self, y: Float[Tensor, "b ..."], generator: Generator | None = None) -> Float[Tensor, "b ..."]:
        """z ~ N(0, I) for each y, (b, latent, ...)."""
        return torch.randn(len(y), self.latent, *y.shape[2:], generator=generator, device=y.device, dtype=y.dtype)

    @torch.no_grad()
    def sample(
        self, y: Float[Tensor, "b ..."], n: int, *, generator: Generator | None = None, z: Float[Tensor, "b n ..."] | None = None
    ) -> Float[Tensor, "b n ..."]:
        """n answers to each y; the same `generator` seed, or the same z (b, n, latent, ...), gives the same.

        Raises:
            ValueError: n below 1, or z of another shape.
        """
        if n < 1:
            raise ValueError(f"n: expected at least 1, got {n}")
        many = y.repeat_interleave(n, 0)  # all of the first y, then all of the second
        z = self.noise(many, generator).unflatten(0, (len(y), n)) if z is None else z
        if z.shape != (len(y), n, self.latent, *y.shape[2:]):
            raise ValueError(f"z: expected shape {(len(y), n, self.latent, *y.shape[2:])}, got {tuple(z.shape)}")
        return self(many, z.flatten(0, 1)).unflatten(0, (len(y), n))
