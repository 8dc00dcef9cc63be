"""Generative adversarial networks: a generator that learns from a critic, and the losses the two may play for.

The critic gives a logit, not a probability: D(x) = sigmoid(logit). Trained to tell x ~ p (real → 1) from x ~ q (made → 0), its best logit is the log-ratio

    logit*(x) = log p(x) − log q(x)

so every loss below asks the generator to walk along the gradient of some function of that ratio. They differ in which function, hence in which divergence.

Reference: Goodfellow et al. 2014, "Generative Adversarial Nets", NeurIPS.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import softplus


class Losses(NamedTuple):
    """What the critic and what the generator make small, both averaged over the batch."""

    critic: Float[Tensor, ""]
    generator: Float[Tensor, ""]


Game = Callable[[Tensor, Tensor], Losses]


def saturating(real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Losses:
    """The standard game: the critic makes −E_p[log D] − E_q[log(1 − D)] small, the generator makes E_q[log(1 − D)] small.

    Against the best critic the generator's gradient is that of 2 JS[p, q]. Where the critic is sure (logit → −∞) it vanishes: log(1 − D) is flat there.

    Args:
        real: logits of data, any shape.
        fake: logits of samples.

    Reference: Goodfellow et al. 2014, eq. 1.
    """
    return Losses(softplus(-real).mean() + softplus(fake).mean(), -softplus(fake).mean())


def non_saturating(real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Losses:
    """The same critic; the generator makes −E_q[log D] small, which is steep where the critic is sure.

    Against the best critic its gradient is that of KL[q ‖ p] − 2 JS[p, q].

    Reference: Goodfellow et al. 2014, §3; Arjovsky & Bottou 2017, theorem 2.5.
    """
    return Losses(softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean())


def kl(real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Losses:
    """The same critic; the generator makes −E_q[logit] small, and so descends KL[q ‖ p].

    With samples x = g(z), z of a fixed law, and q the law of x,

        KL[q ‖ p] = E_z[log q(g(z)) − log p(g(z))] = −E_z[logit*(g(z))]

    Its derivative in the generator's weights θ has two parts. The first moves the samples and holds the functions: −E_z[∇logit*(g(z))ᵀ ∂g/∂θ], exactly
    the gradient of the loss below with the critic fixed. The second holds the samples and moves log q: E_q[∂ log q/∂θ] = ∂/∂θ ∫q = 0. So the sign is a minus
    where data carry the label 1; with the labels swapped the logit changes sign, and the loss becomes +E_q[logit].

    Reference: Sønderby et al. 2017, "Amortised MAP Inference for Image Super-resolution", ICLR, §3.2.
    """
    return Losses(softplus(-real).mean() + softplus(fake).mean(), -fake.mean())


def least_squares(real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Losses:
    """LSGAN: half the mean of squares to the labels 1 (data) and 0 (samples); the generator wants 1. A sample far on the right side is pulled back too.

    Reference: Mao et al. 2017, eq. 9 (a = 0, b = c = 1).
    """
    return Losses(0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean(), 0.5 * (fake - 1).square().mean())


def relativistic_average(real: Float[Tensor, "..."], fake: Float[Tensor, "..."]) -> Losses:
    """Each sample is judged against the mean logit of the other class: is it more real than the average of them?

    The generator plays the same game with the roles swapped, so its loss holds the data too: it wants samples above the average datum, and data below the
    average sample.

    Reference: Jolicoeur-Martineau 2019, "The relativistic discriminator", ICLR, eq. 11 and 12.
    """
    above, below = real - fake.mean(), fake - real.mean()
    return Losses(softplus(-above).mean() + softplus(below).mean(), softplus(above).mean() + softplus(-below).mean())


def instance_noise(x: Float[Tensor, "..."], sigma: float) -> Float[Tensor, "..."]:
    """x + sigma·n, n ~ N(0, I): noise on what the critic sees, on data **and** samples, in the steps of **both** players.

    It makes the supports of p and q overlap, so that log p/q is finite; what is then made small is the divergence of the two blurred densities.

    Raises:
        ValueError: a negative sigma.

    Reference: Sønderby et al. 2017, §3.3; Arjovsky & Bottou 2017.
    """
    if not sigma >= 0:
        raise ValueError(f"sigma: expected at least 0, got {sigma}")
    return x + sigma * torch.randn_like(x) if sigma > 0 else x


def anneal(sigma: float, steps: int, end: float = 0.0) -> Callable[[int], float]:
    """A schedule for the noise: a straight line from `sigma` at step 0 to `end` at step `steps`, and `end` ever after.

    Raises:
        ValueError: a negative sigma or end, or steps below 1.
    """
    for name, value in (("sigma", sigma), ("end", end)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}: expected at least 0, got {value}")
    if not steps >= 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    return lambda step: sigma + (end - sigma) * min(1.0, step / steps)


class GAN(nn.Module):
    """x = generator(z), z ~ N(0, I), trained against a critic by `gensr.train.fit_gan`.

    Args:
        generator: (b, latent) -> (b, ...), what a datum looks like.
        critic: (b, ...) -> logits of any shape that starts with b, larger for data.
        latent: dimension k of z.
        losses: one of the functions of this file, or your own: (logits of data, logits of samples) -> `Losses`.
        sigma: of the instance noise: a number, or a function of the generator's step such as `anneal(1.0, 2000)`.

    Raises:
        ValueError: latent below 1, or a negative sigma.
    """

    step: Int[Tensor, ""]

    def __init__(
        self, generator: nn.Module, critic: nn.Module, latent: int, *, losses: Game = non_saturating, sigma: float | Callable[[int], float] = 0.0
    ):
        super().__init__()
        if latent < 1:
            raise ValueError(f"latent: expected at least 1, got {latent}")
        if not callable(sigma) and not sigma >= 0:
            raise ValueError(f"sigma: expected at least 0, got {sigma}")
        self.generator, self.critic, self.latent, self.losses, self.sigma = generator, critic, latent, losses, sigma
        self.register_buffer("step", torch.tensor(0))  # the generator's steps so far: in checkpoints, so that a resumed noise goes on where it was

    def critic_loss(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        """What the critic makes small. The samples are constants to it: no gradient reaches the generator."""
        fake = self.sample(len(x))
        return self.losses(self._logits(x), self._logits(fake)).critic

    def generator_loss(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        """What the generator makes small. Its gradient goes through the critic, but no weight of the critic gets any; in training it counts a step."""
        frozen = [p for p in self.critic.parameters() if p.requires_grad]
        for p in frozen:
            p.requires_grad_(False)
        try:
            fake = self.generator(self._z(len(x)))
            loss = self.losses(self._logits(x), self._logits(fake)).generator
        finally:
            for p in frozen:
                p.requires_grad_(True)
        if self.training:
            self.step += 1
        return loss

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n ..."]:
        """Draw z from its prior and show what the generator makes of it."""
        return self.generator(self._z(n))

    def _logits(self, x: Tensor) -> Tensor:
        return self.critic(instance_noise(x, self.sigma(int(self.step)) if callable(self.sigma) else self.sigma))

    def _z(self, n: int) -> Tensor:
        weight = next(self.parameters())
        return torch.randn(n, self.latent, device=weight.device, dtype=weight.dtype)
