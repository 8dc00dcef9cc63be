"""Amortised MAP inference: a network x̂ = g(y) that is trained once to give likely answers, in place of a search for each y.

With no noise in y = A x, the posterior p(x|y) is p(x) on the set {x : A x = y} and 0 elsewhere. The MAP estimate maximises log p(x̂) on that set. So give g an
`AffineProjection`, which keeps x̂ on the set, and minimise the cross-entropy

    H[q, p] = −E_y[log p(g(y))],   q the law of g(y)

The density p is not known. This file holds four ways round that, and each takes the generator with the projection ("Aff") or without it, when a penalty
`soft`·‖A x̂ − y‖² must do ("Soft"):

- `Regression` asks for x̂ near x: not MAP at all. The mean or median of all x that explain y.
- `AmortisedGAN` learns log q/p from samples and descends KL[q ‖ p] = H[q, p] − H[q].
- `AmortisedDAE` learns ∇log p from samples and ascends it: H[q, p] alone, with p blurred.
- `AmortisedLL` takes a model of p that was fitted beforehand and has an explicit density: H[q, p] alone, with the model's p.

Reference: Sønderby, Caballero, Theis, Shi, Huszár 2017, "Amortised MAP inference for image super-resolution", ICLR.
"""

from collections.abc import Callable
from typing import Any

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


class AmortisedLL(nn.Module):
    """AffLL and SoftLL: the generator descends H[q, p] = −E[log p(g(y))] for a density that can be written down. Train with `gensr.train.fit`.

    The prior was fitted before and stays as it is: its weights get no gradient and it stays in evaluation mode, without dropout, while g trains.

    **Outside the limits.** Models of grey levels know only [0, 1], but x̂ is real. Setting log p = −∞ outside has no gradient; asking p at the clipped image
    c(x̂) has one that is 0 there, and a pixel that has left never comes back. So outside, p goes on as a Gaussian around the nearest image inside:

        log p̃(x̂) = log p(c(x̂)) − ‖x̂ − c(x̂)‖²/(2 tail²)

    Inside nothing changes. At the limits p̃ is continuous. A pixel outside has the slope −(x̂ − c)/tail², which leads back whatever p says, and no other: c does
    not move with it. (Passing p's own slope straight through the clipping would push it on for ever where p would have it brighter than white.)

    Args:
        generator: g, from y (b, ...) to x̂ (b, ...).
        prior: has `log_prob(x) -> (b,)`, or is such a function; nats for each x. It must be differentiable in x: `PixelCNNpp`, `RIDE`, `MarkovMesh`, a toy of
            the plane. A softmax over levels is not: it rounds the pixel whose probability it gives. A module given here is frozen; freeze what a function holds
            yourself. `RIDE` and `MarkovMesh` give p(interior ∣ border), and x̂ is free to choose a border they like; to count it, give x a frame
            first: ``lambda x: ride.log_prob(ride.framed(x))``.
        operator: A, for the penalty.
        soft: weight of ‖A x̂ − y‖², a mean over the batch: 0 for AffLL, positive for SoftLL.
        limits: lowest and highest value that the prior takes, (0, 1) for models of grey levels; None for a density on all numbers.
        tail: deviation of the Gaussian outside the limits, in the units of x.

    Raises:
        ValueError: a negative soft, limits not in order, a tail not positive; in `loss`, log p of another shape than (b,), or not finite.

    Reference: Sønderby et al. 2017 (AffLL); the tails are ours.
    """

    def __init__(
        self, generator: nn.Module, prior: Any, operator: LinearOperator, *, soft: float = 0.0, limits: tuple[float, float] | None = None,
        tail: float = 0.05,
    ):
        super().__init__()
        _check(soft, 0.0)
        if limits is not None and not limits[0] < limits[1]:
            raise ValueError(f"limits: expected a lower and a higher number, got {limits}")
        if not tail > 0:
            raise ValueError(f"tail: expected a positive number, got {tail}")
        self.generator, self.prior, self.operator = generator, prior, operator
        self.soft, self.limits, self.tail = soft, limits, tail
        if isinstance(prior, nn.Module):
            prior.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "AmortisedLL":
        """Training mode for the generator alone."""
        super().train(mode)
        if isinstance(self.prior, nn.Module):
            self.prior.eval()
        return self

    def log_prob(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
        """log p̃(x) in nats for each x: the prior's inside the limits, with Gaussian tails outside."""
        inside = x.clamp(*self.limits) if self.limits else x
        log_p = getattr(self.prior, "log_prob", self.prior)(inside)
        if log_p.shape != (len(x),):
            raise ValueError(f"prior: expected log p of shape ({len(x)},), one for each x, got {tuple(log_p.shape)}")
        if not log_p.isfinite().all():
            low, high, bad = x.min().item(), x.max().item(), (~log_p.isfinite()).sum().item()
            raise ValueError(f"prior: log p is not finite for {bad} of {len(x)} x, with values from {low:.3g} to {high:.3g}; does it need limits?")
        return log_p - (x - inside).square().flatten(1).sum(1) / (2 * self.tail**2) if self.limits else log_p

    def loss(self, x: Float[Tensor, "b ..."], y: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        """−E[log p̃(g(y))] + soft·E‖A g(y) − y‖², nats for each image; x is not used."""
        made = self.generator(y)
        return -self.log_prob(made).mean() + self.soft * penalty(self.operator, made, y)


def penalty(operator: LinearOperator, x: Float[Tensor, "b ..."], y: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
    """E‖A x − y‖², summed over the entries of y and averaged over the batch: how far x is from explaining y; ValueError unless there is one y for each x."""
    made = operator(x)
    if made.dim() != y.dim() or len(made) != len(y):  # else it would be every x against every y
        raise ValueError(f"y: expected the shape {tuple(made.shape)} of A x, got {tuple(y.shape)}")
    return (made - y).square().flatten(1).sum(1).mean()


def _at(sigma: Level, step: Tensor) -> float:
    return sigma(int(step)) if callable(sigma) else sigma


def _check(soft: float, sigma: Level) -> None:
    if not soft >= 0:
        raise ValueError(f"soft: expected at least 0, got {soft}")
    if not callable(sigma) and not sigma >= 0:
        raise ValueError(f"sigma: expected at least 0, got {sigma}")
