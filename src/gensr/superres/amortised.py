"""Amortised MAP inference: a network x̂ = g(y) that is trained once to give likely answers, in place of a search for each y.

With no noise in y = A x, the posterior p(x|y) is p(x) on the set {x : A x = y} and 0 elsewhere. The MAP estimate maximises log p(x̂) on that set. So give g an
`AffineProjection`, which keeps x̂ on the set, and minimise the cross-entropy

    H[q, p] = −E_y[log p(g(y))],   q the law of g(y)

The density p is not known. This file holds three ways round that, and each takes the generator with the projection ("Aff") or without it, when a penalty
`soft`·‖A x̂ − y‖² must do ("Soft"):

- `Regression` asks for x̂ near x: not MAP at all. The mean or median of all x that explain y.
- `AmortisedGAN` learns log q/p from samples and descends KL[q ‖ p] = H[q, p] − H[q].
- `AmortisedDAE` learns ∇log p from samples and ascends it: H[q, p] alone, with p blurred.

Reference: Sønderby, Caballero, Theis, Shi, Huszár 2017, "Amortised MAP inference for image super-resolution", ICLR.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gensr.models.gan import Game, instance_noise, kl
from gensr.operators import LinearOperator

Level = float | Callable[[int], float]


class Regression(nn.Module):
    """min E[distance(g(y), x)]: MSE and MAE, or AffMSE and AffMAE if g ends in an `AffineProjection`.

    Args:
        generator: g, from y (b, ...) to x̂ (b, ...).
        distance: (x̂, x) -> scalar, such as `torch.nn.functional.mse_loss` or `l1_loss`. Of all functions of y, the posterior mean has the least squared
            error, and the posterior median, entry by entry, the least absolute error.

    Reference: Sønderby et al. 2017, §2.
    """

    def __init__(self, generator: nn.Module, distance: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.generator, self.distance = generator, distance

    def loss(self, x: Float[Tensor, "b ..."], y: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        """The mean distance over pairs with y = A x."""
        return self.distance(self.generator(y), x)


class AmortisedGAN(nn.Module):
    """AffGAN and SoftGAN: the generator descends KL[q ‖ p], q the law of g(y), along a critic that tells data from answers. Train with `fit_gan`.

    The critic sees x̂ and not y: it learns log p(x)/q(x). Where q ≪ p in spread, as for a curve in the plane, that ratio is infinite, so both are blurred by
    `instance_noise`, and what falls is KL[q_σ ‖ p_σ] (at equality of the two, q = p for every σ).

    Args:
        generator: g, from y (b, ...) to x̂ (b, ...).
        critic: (b, ...) -> logits, larger for data.
        operator: A, for the penalty.
        soft: weight of ‖A x̂ − y‖², a mean over the batch: 0 for AffGAN, positive for SoftGAN.
        sigma: of the instance noise, a number or a function of the generator's step such as `gensr.models.gan.anneal(2.0, 4000, 0.2)`.
        losses: a game of `gensr.models.gan`; `kl` is the paper's.

    Raises:
        ValueError: a negative soft or sigma.

    Reference: Sønderby et al. 2017, §3.2 and §3.3.
    """

    step: Int[Tensor, ""]

    def __init__(
        self, generator: nn.Module, critic: nn.Module, operator: LinearOperator, *, soft: float = 0.0, sigma: Level = 0.0, losses: Game = kl
    ):
        super().__init__()
        _check(soft, sigma)
        self.generator, self.critic, self.operator = generator, critic, operator
        self.soft, self.sigma, self.losses = soft, sigma, losses
        self.register_buffer("step", torch.tensor(0))  # the generator's steps so far: a resumed noise goes on where it was

    def critic_loss(self, x: Float[Tensor, "b ..."], y: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        """What the critic makes small; x̂ is a constant to it."""
        with torch.no_grad():
            fake = self.generator(y)
        return self.losses(self._logits(x), self._logits(fake)).critic

    def generator_loss(self, x: Float[Tensor, "b ..."], y: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        """−E[logit(g(y) + σn)] + soft·E‖A g(y) − y‖². Its gradient goes through the critic, whose weights get none; in training it counts a step."""
        frozen = [p for p in self.critic.parameters() if p.requires_grad]
        for p in frozen:
            p.requires_grad_(False)
        try:
            fake = self.generator(y)
            loss = self.losses(self._logits(x), self._logits(fake)).generator + self.soft * penalty(self.operator, fake, y)
        finally:
            for p in frozen:
                p.requires_grad_(True)
        if self.training:
            self.step += 1
        return loss

    def _logits(self, x: Tensor) -> Tensor:
        return self.critic(instance_noise(x, _at(self.sigma, self.step)))


class AmortisedDAE(nn.Module):
    """AffDAE and SoftDAE (the paper's AffDG and SoftDG, denoiser guidance): g ascends the score that a denoising autoencoder has learnt beforehand.

    The chain rule through x̂ = g(y) gives ∂/∂θ of −E[log p_σ(g(y))] = −E[∇log p_σ(x̂)ᵀ ∂g/∂θ]. The loss below has that gradient: the score is held constant, so
    the gradient in x̂ is −score(x̂) and nothing flows through the denoiser. Its *value* means nothing; watch the outputs, not the curve.

    p_σ is p blurred. A large σ leads from afar, a small one is faithful, so σ falls during training, and the denoiser must know every level on the way.

    Args:
        generator: g, from y (b, ...) to x̂ (b, ...).
        denoiser: has `score(x, sigma)`, the score of p blurred by sigma: a trained `gensr.models.denoiser.DAE`. It stays as it is.
        operator: A, for the penalty.
        soft: weight of ‖A x̂ − y‖², a mean over the batch: 0 for AffDAE, positive for SoftDAE.
        sigma: a number, or a function of the step such as `gensr.models.gan.anneal(2.0, 4000, 0.2)`.

    Raises:
        ValueError: a negative soft or sigma.

    Reference: Sønderby et al. 2017, §3.4; Alain & Bengio 2014.
    """

    step: Int[Tensor, ""]

    def __init__(self, generator: nn.Module, denoiser: nn.Module, operator: LinearOperator, *, soft: float = 0.0, sigma: Level = 0.3):
        super().__init__()
        _check(soft, sigma)
        self.generator, self.denoiser, self.operator = generator, denoiser.requires_grad_(False), operator
        self.soft, self.sigma = soft, sigma
        self.register_buffer("step", torch.tensor(0))

    def loss(self, x: Float[Tensor, "b ..."], y: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        """−E[stop_grad(score(x̂))ᵀ x̂] + soft·E‖A x̂ − y‖²; x is not used. In training it counts a step."""
        made = self.generator(y)
        with torch.no_grad():
            score = self.denoiser.score(made, _at(self.sigma, self.step))  # type: ignore[operator]
        if self.training:
            self.step += 1
        return -(score * made).flatten(1).sum(1).mean() + self.soft * penalty(self.operator, made, y)


def penalty(operator: LinearOperator, x: Float[Tensor, "b ..."], y: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
    """E‖A x − y‖², summed over the entries of y and averaged over the batch: how far x is from explaining y."""
    return (operator(x) - y).square().flatten(1).sum(1).mean()


def _at(sigma: Level, step: Tensor) -> float:
    return sigma(int(step)) if callable(sigma) else sigma


def _check(soft: float, sigma: Level) -> None:
    if soft < 0:
        raise ValueError(f"soft: expected at least 0, got {soft}")
    if not callable(sigma) and sigma < 0:
        raise ValueError(f"sigma: expected at least 0, got {sigma}")
