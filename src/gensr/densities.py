"""Log-densities and divergences, written out so that they can be read beside the formulas.

All are elementwise unless the docstring says otherwise: sum over pixels or latents yourself, then average over the batch. Everything is in nats.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

LOG_2PI = math.log(2 * math.pi)


def normal_log_prob(x: Float[Tensor, "..."], mu: Float[Tensor, "..."] | float, logvar: Float[Tensor, "..."] | float) -> Float[Tensor, "..."]:
    """Log-density of a Gaussian: log N(x; μ, σ²) = −½ (log 2π + log σ² + (x − μ)²/σ²), with log σ² = `logvar`.

    The arguments broadcast; one value in nats per element.

    Reference: Bishop 2006, eq. 2.42.
    """
    logvar = torch.as_tensor(logvar, dtype=x.dtype, device=x.device)
    return -0.5 * (LOG_2PI + logvar + (x - mu).square() * (-logvar).exp())


def kl_normal(
    mu: Float[Tensor, "..."], logvar: Float[Tensor, "..."], mu_p: Float[Tensor, "..."] | float = 0.0, logvar_p: Float[Tensor, "..."] | float = 0.0
) -> Float[Tensor, "..."]:
    """KL[q ‖ p] of q = N(μ, σ²) from p = N(μₚ, σₚ²): ½ (log σₚ² − log σ² + (σ² + (μ − μₚ)²)/σₚ² − 1).

    By default p = N(0, 1), as in a VAE. One value ≥ 0 in nats per element: sum over the latents.

    Reference: Kingma & Welling 2014, appendix B.
    """
    logvar_p = torch.as_tensor(logvar_p, dtype=mu.dtype, device=mu.device)
    return 0.5 * (logvar_p - logvar + (logvar.exp() + (mu - mu_p).square()) * (-logvar_p).exp() - 1)


def bernoulli_log_prob(x: Float[Tensor, "..."], logits: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log of pˣ (1 − p)¹⁻ˣ with p = sigmoid(logits): x·logits − log(1 + e^logits).

    A probability when x is 0 or 1. For grey values in between it is minus the cross-entropy, which is no longer the log of a normalised distribution.
    """
    return x * logits - F.softplus(logits)


def gsm_log_prob(
    x: Float[Tensor, "*batch d"], logits: Float[Tensor, " s"], log_precision: Float[Tensor, " s"],
    mean: Float[Tensor, " d"] | None = None, cholesky: Float[Tensor, "d d"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Log-density of a Gaussian scale mixture: one shape, several sizes: log Σₛ πₛ N(x; m, (e^{αₛ} L Lᵀ)⁻¹), π = softmax(logits).

    Heavy tails at the price of a few scalars: neighbouring pixels, and filter responses, look like this.

    Args:
        x: points, d numbers each.
        logits: of the S mixture weights.
        log_precision: αₛ, the log of the factor on the precision matrix.
        mean: m, 0 by default.
        cholesky: L, lower triangular with a positive diagonal, of the precision L Lᵀ; the identity by default.

    Returns:
        One value in nats per point.

    Raises:
        ValueError: logits and log_precision of different lengths, or a `cholesky` that is not d × d.

    Reference: Wainwright & Simoncelli 2000; Theis, Hosseini, Bethge 2012.
    """
    d = x.shape[-1]
    if logits.shape != log_precision.shape:
        raise ValueError(f"logits, log_precision: expected equal shapes, got {tuple(logits.shape)} and {tuple(log_precision.shape)}")
    if cholesky is not None and cholesky.shape != (d, d):
        raise ValueError(f"cholesky: expected shape ({d}, {d}), got {tuple(cholesky.shape)}")
    white = x if mean is None else x - mean
    log_det = 0.0
    if cholesky is not None:
        white = white @ cholesky  # row vectors: (Lᵀ v)ᵀ = vᵀ L
        log_det = cholesky.diagonal().log().sum()
    energy = white.square().sum(-1, keepdim=True)  # (*batch, 1)
    component = -0.5 * log_precision.exp() * energy + 0.5 * d * (log_precision - LOG_2PI) + log_det  # (*batch, s)
    return torch.logsumexp(logits.log_softmax(0) + component, -1)


def discretized_logistic_log_prob(
    x: Float[Tensor, "..."], mean: Float[Tensor, "..."], log_scale: Float[Tensor, "..."], levels: int = 256
) -> Float[Tensor, "..."]:
    """Log-probability of a grey level: the logistic distribution's mass in the level's bin.

    P(x) = σ(a) − σ(b) with a = (x − μ + h)/s, b = (x − μ − h)/s and half-bin h = 1/(K − 1); the first bin reaches to −∞, the last to +∞,
    so that the K levels sum to 1.

    The difference is computed as σ(a) σ(−b) (1 − e^{b−a}), a product of three factors whose logs are stable everywhere. (PixelCNN++ subtracts
    two sigmoids and falls back on the density at the bin's centre where the difference is below 1e-5; nothing of the kind is needed here.)

    Args:
        x: grey levels on the grid −1, −1 + 2h, …, 1.
        mean: μ, any real number.
        log_scale: log s.
        levels: K.

    Returns:
        One value in nats per element.

    Raises:
        ValueError: fewer than 2 levels.

    Reference: Salimans, Karpathy, Chen, Kingma 2017, eq. 2.
    """
    if levels < 2:
        raise ValueError(f"levels: expected at least 2, got {levels}")
    half = 1 / (levels - 1)
    inv_scale = (-log_scale).exp()
    a = (x - mean + half) * inv_scale
    b = (x - mean - half) * inv_scale
    left, right = F.logsigmoid(a), F.logsigmoid(-b)  # the mass below the bin's upper end, above its lower end
    middle = left + right + torch.log(-torch.expm1(-2 * half * inv_scale))
    return torch.where(x < -1 + half, left, torch.where(x > 1 - half, right, middle))


def bits_per_dim(log_prob: Float[Tensor, "..."], dims: int, *, levels: int = 1) -> Float[Tensor, "..."]:
    """Bits that a perfect coder spends per dimension: −log p / (D log 2) + log₂ K.

    Args:
        log_prob: nats per image.
        dims: D, the number of pixels times channels.
        levels: 1 for the log-probability of grey levels. K (256, say) for the log-density of an image scaled to [0, 1] whose pixels are K levels with
            noise added: a level is a cell of width 1/K, so its probability is about p/K.

    Raises:
        ValueError: dims or levels below 1.

    Reference: Theis, van den Oord, Bethge 2016, §3.1.
    """
    if dims < 1 or levels < 1:
        raise ValueError(f"dims, levels: expected at least 1, got {dims} and {levels}")
    return -log_prob / (dims * math.log(2)) + math.log2(levels)


def grid_kl(log_p: Float[Tensor, "*batch n"], log_q: Float[Tensor, "*batch n"], cell: float) -> Float[Tensor, "*batch"]:
    """KL[p ‖ q] of two densities given on the same grid: Σᵢ pᵢ (log pᵢ − log qᵢ) · cell.

    For densities of one or two dimensions, where every integral can be a sum. Cells where p is 0 count 0, as p log p → 0; where p has mass and q has none
    the divergence is +∞. For the other direction exchange the two. It can be differentiated.

    Args:
        log_p, log_q: log-densities at the centres of n cells, in nats, in any order of the cells; −∞ is allowed.
        cell: length or area of one cell, as from `gensr.data.toy2d.grid`.

    Returns:
        Nats, one value for each pair of densities.

    Raises:
        ValueError: unequal shapes, a cell that is not positive, or a density whose sum over the grid is not within 1 % of 1.

    Reference: Kullback & Leibler 1951.
    """
    if log_p.shape != log_q.shape:
        raise ValueError(f"log_p, log_q: expected equal shapes, got {tuple(log_p.shape)} and {tuple(log_q.shape)}")
    if problem := _grid_problem(cell, log_p=log_p, log_q=log_q):
        raise ValueError(problem)
    p = log_p.exp()
    gap = torch.where(p > 0, log_p, 0.0) - torch.where(p > 0, log_q, 0.0)  # 0 where p is: there even log_q = −∞ does no harm
    return (p * gap).sum(-1) * cell


def grid_js(log_p: Float[Tensor, "*batch n"], log_q: Float[Tensor, "*batch n"], cell: float) -> Float[Tensor, "*batch"]:
    """Jensen-Shannon divergence of two densities on a grid: ½ KL[p ‖ m] + ½ KL[q ‖ m] with m = (p + q)/2.

    Symmetric, and never more than log 2 = 0.693 nats: that is its value, whatever the distance, when p and q do not overlap.
    Since log p − log m = log 2 − log(1 + q/p), no m is needed: that is how it is computed, and where q is 0 it stays finite.

    Args:
        log_p, log_q, cell: as in `grid_kl`.

    Returns:
        Nats in [0, log 2], one value for each pair of densities.

    Raises:
        ValueError: as in `grid_kl`.

    Reference: Lin 1991, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory.
    """
    if log_p.shape != log_q.shape:
        raise ValueError(f"log_p, log_q: expected equal shapes, got {tuple(log_p.shape)} and {tuple(log_q.shape)}")
    if problem := _grid_problem(cell, log_p=log_p, log_q=log_q):
        raise ValueError(problem)
    halves = 0.0
    for ours, other in ((log_p, log_q), (log_q, log_p)):
        density = ours.exp()
        inside = density > 0
        log_ratio = torch.where(inside, other, 0.0) - torch.where(inside, ours, 0.0)
        halves = halves + (density * (math.log(2) - F.softplus(log_ratio))).sum(-1)
    return 0.5 * halves * cell


def _grid_problem(cell: float, **log_densities: Tensor) -> str:
    """What is wrong with densities on a grid of cells of this size; empty if nothing is."""
    if not 0 < cell < math.inf:
        return f"cell: expected a positive number, got {cell}"
    for name, log_density in log_densities.items():
        mass = log_density.detach().exp().sum(-1) * cell
        bad = ~((mass - 1).abs() <= 0.01)  # catches NaN too
        if bad.any():
            return f"{name}: expected a density, but it sums to {mass[bad].flatten()[0]:.3g} over the grid; normalise it, or take a wider or finer grid"
    return ""
