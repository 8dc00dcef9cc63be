"""Gradients of an expectation whose distribution depends on the parameters: ∂/∂θ E_{p_θ}[f(x)], estimated from draws.

Two ways. The score function moves no draw: it asks which of them should become more probable. The pathwise gradient moves the draws.
Both functions return one estimate for each draw, so that their variance can be looked at; average over dimension 0 for a gradient.

`family` makes the distribution from θ. It is called with n copies of the parameters, shape (n, …), and must give n independent draws, one for each copy.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution


def value_and_score(
    f: Callable[[Tensor], Tensor], family: Callable[[Tensor], Distribution], theta: Float[Tensor, "*theta"], n: int
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n ..."]]:
    """For n draws x ~ p_θ: the values f(x), and the scores ∂ log p_θ(x)/∂θ.

    Args:
        f: maps draws (n, …) to values (n,); it is never differentiated and may be any function.
        family: makes a `torch.distributions` object from θ with a leading dimension, such as `lambda mu: Normal(mu, 1.0)`.
        theta: the parameters, of any shape.
        n: number of draws.

    Raises:
        ValueError: n below 1; a family that ignores θ or its leading dimension; an f that does not return one value for each draw.

    Reference: Williams 1992.
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1 draw, got {n}")
    copies = theta.detach().expand(n, *theta.shape).clone().requires_grad_()  # one θ for each draw: each gets a gradient of its own
    p = family(copies)
    x = p.sample()  # (n, …): numbers that remember nothing of θ
    if x.shape[:1] != (n,):
        raise ValueError(f"family: expected draws of shape ({n}, …), one for each copy of theta, got {tuple(x.shape)}")
    log_p = p.log_prob(x)
    if not log_p.requires_grad:
        raise ValueError(f"family: log_prob of {type(p).__name__} does not depend on theta")
    (score,) = torch.autograd.grad(log_p.sum(), copies)  # (n, *theta)
    value = f(x).detach()  # a weight, nothing to differentiate
    if value.shape != (n,):
        raise ValueError(f"f: expected one value for each draw, shape ({n},), got {tuple(value.shape)}")
    return value, score


def score_function(
    f: Callable[[Tensor], Tensor], family: Callable[[Tensor], Distribution], theta: Float[Tensor, "*theta"], n: int, *,
    baseline: float | Float[Tensor, "..."] | Literal["leave-one-out"] = 0.0,
) -> Float[Tensor, "n ..."]:
    """Score-function estimates of ∂/∂θ E[f(x)], one for each of n draws: (f(x) − b) ∂ log p_θ(x)/∂θ. Also called REINFORCE.

    Needs no derivative of f, and works for discrete x. Unbiased for any b that does not depend on the draw it is subtracted from.

    Args:
        f, family, theta, n: see `value_and_score`.
        baseline: b, a number or one for each parameter (see `optimal_baseline`); or "leave-one-out", the mean of f over the other n − 1 draws.

    Returns:
        (n, …), with theta's shape behind the n: independent estimates; with "leave-one-out" they share their baselines, so no longer quite independent.

    Raises:
        ValueError: as `value_and_score`; another word or shape for the baseline; "leave-one-out" with one draw.

    Reference: Williams 1992; Mohamed et al. 2020, section 4. Leave-one-out: Kool et al. 2019.
    """
    if isinstance(baseline, str) and (baseline != "leave-one-out" or n < 2):
        raise ValueError(f"baseline: expected a number, a tensor, or 'leave-one-out' with n ≥ 2, got {baseline!r} with n = {n}")
    if isinstance(baseline, Tensor) and baseline.shape not in (theta.shape, ()):
        raise ValueError(f"baseline: expected a number or the shape of theta, {tuple(theta.shape)}, got {tuple(baseline.shape)}")
    value, score = value_and_score(f, family, theta, n)
    value = value.reshape(n, *[1] * theta.dim())  # against (n, *theta)
    b = (value.sum() - value) / (n - 1) if baseline == "leave-one-out" else baseline
    return (value - b) * score


def optimal_baseline(
    f: Callable[[Tensor], Tensor], family: Callable[[Tensor], Distribution], theta: Float[Tensor, "*theta"], n: int
) -> Float[Tensor, "*theta"]:
    """The constant with the least variance, one for each parameter: b = E[f s²]/E[s²], s = ∂ log p_θ(x)/∂θ, from n draws of its own.

    Because the draws are its own, an estimate that subtracts it stays unbiased.

    Raises:
        ValueError: as `value_and_score`.

    Reference: Greensmith et al. 2004; Mohamed et al. 2020, section 7.4.
    """
    value, score = value_and_score(f, family, theta, n)
    s2 = score.square()
    return (value.reshape(n, *[1] * theta.dim()) * s2).mean(0) / s2.mean(0)


def pathwise(
    f: Callable[[Tensor], Tensor], family: Callable[[Tensor], Distribution], theta: Float[Tensor, "*theta"], n: int
) -> Float[Tensor, "n ..."]:
    """Pathwise estimates of ∂/∂θ E[f(x)], one for each of n draws x = g(ε, θ): ∂f(g(ε, θ))/∂θ. Also called reparameterisation.

    Needs a differentiable f, and a distribution whose draws move smoothly with θ. Gamma, Beta and the like use implicit reparameterisation inside `rsample`.

    Args:
        f: maps draws (n, …) to values (n,), differentiably.
        family, theta, n: see `value_and_score`.

    Raises:
        ValueError: a distribution without rsample; f or the draws not differentiable; otherwise as `value_and_score`.

    Reference: Kingma & Welling 2014, section 2.4; Figurnov et al. 2018 (implicit).
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1 draw, got {n}")
    copies = theta.detach().expand(n, *theta.shape).clone().requires_grad_()  # one θ for each draw
    p = family(copies)
    if not p.has_rsample:
        raise ValueError(f"family: {type(p).__name__} has no rsample: its draws do not move smoothly with theta; use score_function")
    x = p.rsample()  # (n, …): a function of θ
    if not x.requires_grad:
        raise ValueError(f"family: the draws of {type(p).__name__} do not depend on theta")
    if x.shape[:1] != (n,):
        raise ValueError(f"family: expected draws of shape ({n}, …), one for each copy of theta, got {tuple(x.shape)}")
    value = f(x)
    if value.shape != (n,):
        raise ValueError(f"f: expected one value for each draw, shape ({n},), got {tuple(value.shape)}")
    if not value.requires_grad:
        raise ValueError("f: its values carry no gradient; a step or a rounding has none. Use score_function")
    (gradient,) = torch.autograd.grad(value.sum(), copies)
    return gradient
