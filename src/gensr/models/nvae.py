"""A deep hierarchy of latent variables, from coarse to fine, with the cells and the tricks that let it train: NVAE at teaching size.

    p(z) = p(z₁) ∏ p(z_l | z_<l),      q(z|x) = q(z₁|x) ∏ q(z_l | z_<l, x)
    log p(x) ≥ E_q[log p(x|z)] − Σ_l E_q[KL[q(z_l | z_<l, x) ‖ p(z_l | z_<l)]]

Both go down the same path: the image is read upwards once, then each group of latents is drawn, shown to the next, and the last feature map becomes the image.

Reference: Vahdat & Kautz 2020, "NVAE: A deep hierarchical variational autoencoder", NeurIPS; Sønderby et al. 2016 (ladder VAE, the shared way down).
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gensr.densities import kl_normal, normal_log_prob
from gensr.likelihoods import Bernoulli
from gensr.nets import EncoderCell, GenerativeCell, spectral_norms


class Elbo(NamedTuple):
    """The terms of the bound, in nats per image: E_q[log p(x|z)], and the KL of each group of latents, coarse to fine."""

    reconstruction: Float[Tensor, " b"]
    kls: Float[Tensor, "b groups"]

    @property
    def kl(self) -> Float[Tensor, " b"]:
        """The rate: the KL of all groups together."""
        return self.kls.sum(1)

    @property
    def total(self) -> Float[Tensor, " b"]:
        """The bound itself: reconstruction − kl ≤ log p(x)."""
        return self.reconstruction - self.kl


class Draw(NamedTuple):
    """One group of latents: the draw, its KL by channel and place, and log q − log p at the draw."""

    z: Float[Tensor, "b k h w"]
    kl: Float[Tensor, "b k h w"]
    log_ratio: Float[Tensor, " b"]


class Group(nn.Module):
    """One group of latents z_l: its prior from the way down, its posterior from both ways, and the cell that shows the draw to the rest.

    The posterior is told relative to the prior: N(μ + Δμ, σ²·Δσ²). When the prior moves, the posterior moves along, and Δ = 0 costs nothing.

    Args:
        channels, latent: of the features and of z_l.
        residual: tell the posterior relative to the prior (§3.2); False tells it absolutely, to compare.
        flow: pass z through an affine map whose parameters depend on the posterior's features and on half of z: a small normalising flow.
    """

    def __init__(self, channels: int, latent: int, *, first: bool = False, residual: bool = True, flow: bool = False):
        super().__init__()
        self.residual = residual
        self.prior = None if first else nn.Sequential(nn.SiLU(), nn.Conv2d(channels, 2 * latent, 1))
        self.posterior = nn.Sequential(nn.Conv2d(2 * channels, channels, 1), EncoderCell(channels), nn.SiLU(), nn.Conv2d(channels, 2 * latent, 1))
        self.flow = nn.Conv2d(latent - latent // 2 + channels, 2 * (latent // 2), 3, padding=1) if flow else None
        self.show = nn.Conv2d(latent, channels, 1)
        self.cell = GenerativeCell(channels)

    def parameters_of_prior(self, down: Float[Tensor, "b c h w"], latent: int) -> tuple[Tensor, Tensor]:
        """μ and σ of p(z_l | z_<l)."""
        if self.prior is None:
            zero = down.new_zeros(len(down), latent, *down.shape[2:])
            return zero, zero + 1
        mu, log_sigma = self.prior(down).chunk(2, 1)
        return soft_clamp(mu), soft_clamp(log_sigma).exp() + 0.01

    def draw(self, down: Float[Tensor, "b c h w"], up: Float[Tensor, "b c h w"], latent: int) -> Draw:
        """z_l ~ q(z_l | z_<l, x)."""
        mu_p, sigma_p = self.parameters_of_prior(down, latent)
        mu, log_sigma = self.posterior(torch.cat([down, up], 1)).chunk(2, 1)
        mu_q, sigma_q = soft_clamp(mu), soft_clamp(log_sigma).exp() + 0.01
        if self.residual:
            mu_q, sigma_q = mu_p + mu_q, sigma_p * sigma_q
        z = mu_q + sigma_q * torch.randn_like(mu_q)
        log_q = normal_log_prob(z, mu_q, 2 * sigma_q.log())
        if self.flow is not None:  # z₂ ← t + e^s z₂ with s, t from z₁ and the image: log q loses Σ s
            kept, moved = z.tensor_split([latent - latent // 2], 1)
            shift, log_scale = self.flow(torch.cat([kept, up], 1)).chunk(2, 1)
            log_scale = soft_clamp(log_scale, 2.0)
            z = torch.cat([kept, shift + log_scale.exp() * moved], 1)
            log_q = log_q - torch.cat([torch.zeros_like(kept), log_scale], 1)
            kl = log_q - normal_log_prob(z, mu_p, 2 * sigma_p.log())  # no closed form any more: one draw
            return Draw(z, kl, kl.flatten(1).sum(1))
        log_ratio = log_q - normal_log_prob(z, mu_p, 2 * sigma_p.log())
        # the closed form in the σ's that are drawn from, clamped and floored, not in Δσ
        return Draw(z, kl_normal(mu_q, 2 * sigma_q.log(), mu_p, 2 * sigma_p.log()), log_ratio.flatten(1).sum(1))

    def forward(self, down: Float[Tensor, "b c h w"], z: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        """The features with the draw written into them."""
        return self.cell(down + self.show(z))


def soft_clamp(v: Float[Tensor, "..."], bound: float = 5.0) -> Float[Tensor, "..."]:
    """bound · tanh(v/bound): the identity near 0, never beyond ±bound."""
    return bound * torch.tanh(v / bound)


class NVAE(nn.Module):
    """A hierarchy on two grids, a quarter and a half of the image's side; train it with `gensr.train.fit`.

    Args:
        shape: of one image, (c, h, w); h and w divisible by 4.
        groups: of latents on the coarse and on the fine grid.
        channels, latent: of the features (an even number), and of z_l at each place.
        likelihood: what the output means: one of `gensr.likelihoods`, `Bernoulli()` by default. One with an attribute `outputs` is given so many channels for
            each channel of the image.
        warmup: steps over which the weight of the KL rises from 0 to 1; meanwhile groups are balanced.
        spectral: weight λ of the spectral regulariser.
        residual, flow: as for `Group`.
        checkpointing: forget the features inside each cell and compute them again on the way back: less memory, more time.

    Raises:
        ValueError: a side that is not divisible by 4, no group, an odd number of channels, or a negative weight.

    Reference: Vahdat & Kautz 2020.
    """

    step: Int[Tensor, ""]

    def __init__(
        self, shape: tuple[int, int, int] | list[int] = (1, 28, 28), groups: tuple[int, int] | list[int] = (2, 2), channels: int = 32, latent: int = 8, *,
        likelihood: Any = None, warmup: int = 0, spectral: float = 0.0, residual: bool = True, flow: bool = False, checkpointing: bool = False,
    ):
        super().__init__()
        c, h, w = shape
        if h % 4 or w % 4:
            raise ValueError(f"shape: expected height and width divisible by 4, got {h}×{w}")
        if min(groups) < 0 or groups[0] < 1:
            raise ValueError(f"groups: expected at least one on the coarse grid, got {groups}")
        if channels < 2 or channels % 2:
            raise ValueError(f"channels: expected an even number, got {channels}")
        if warmup < 0 or spectral < 0:
            raise ValueError(f"{'warmup' if warmup < 0 else 'spectral'}: expected at least 0, got {min(warmup, spectral)}")
        self.latent, self.grid, self.coarse, self.likelihood = latent, (h // 4, w // 4), groups[0], likelihood or Bernoulli()
        self.warmup, self.spectral, self.checkpointing = warmup, spectral, checkpointing
        self.stem = nn.Conv2d(c, channels, 4, stride=2, padding=1)
        self.down = nn.Conv2d(channels, channels, 4, stride=2, padding=1)
        self.readers = nn.ModuleList(EncoderCell(channels) for _ in range(sum(groups)))
        self.start = nn.Parameter(torch.zeros(channels, *self.grid))
        self.groups = nn.ModuleList(Group(channels, latent, first=i == 0, residual=residual, flow=flow) for i in range(sum(groups)))
        self.up = nn.Sequential(nn.Conv2d(channels, 4 * channels, 1), nn.PixelShuffle(2))
        self.out = nn.Sequential(
            GenerativeCell(channels), nn.SiLU(), nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.PixelShuffle(2), nn.SiLU(),
            nn.Conv2d(channels // 2, c * getattr(self.likelihood, "outputs", 1), 3, padding=1),
        )
        self.register_buffer("step", torch.tensor(0))

    def read(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b k _ _"]]:
        """The way up: features for each group, coarse to fine."""
        up, features = self.stem(2 * x - 1), []
        for i in range(len(self.groups) - 1, -1, -1):  # the finest group reads first
            if i == self.coarse - 1:
                up = self.down(up)
            up = self._run(self.readers[i], up)
            features.append(up)
        return features[::-1]

    def walk(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, list[Draw]]:
        """The way down with latents from the posterior: the output, and the draw of each group."""
        down, draws = self.start.expand(len(x), -1, -1, -1), []
        for i, (group, up) in enumerate(zip(self.groups, self.read(x), strict=True)):
            if i == self.coarse:
                down = self.up(down)
            draw = group.draw(down, up, self.latent)  # type: ignore[operator]
            down = self._run(group, down, draw.z)
            draws.append(draw)
        return self.finish(down), draws

    def finish(self, down: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h2 w2"]:
        """The last features as an image: what the likelihood reads."""
        return self.out(self.up(down) if len(self.groups) == self.coarse else down)

    def elbo(self, x: Float[Tensor, "b c h w"]) -> Elbo:
        """A one-sample estimate of the bound, with the KL of each group.

        Reference: Vahdat & Kautz 2020, eq. 1.
        """
        out, draws = self.walk(x)
        kls = torch.stack([d.kl.flatten(1).sum(1) for d in draws], 1)  # (b, groups)
        return Elbo(self.likelihood.log_prob(x, out).flatten(1).sum(1), kls)

    def loss(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """Minus the bound, with the KL's weight on its way from 0 to 1 and the groups balanced meanwhile, plus λ times the spectral regulariser.

        Balancing multiplies group l by γ_l ∝ (its number of places) · (its mean KL): small groups on the coarse grid, which would switch off first, are
        charged less. γ carries no gradient, and is 1 once the warm-up is over: then the loss is the bound. (So it stands in the paper; the authors' own
        program divides by the number of places, which evens out the KL per latent.)

        Reference: Vahdat & Kautz 2020, §3.3 and appendix A.
        """
        e = self.elbo(x)
        weight = min(1.0, (int(self.step) + 1) / self.warmup) if self.warmup else 1.0
        kls = e.kls.mean(0)  # (groups,)
        if weight < 1:
            size = torch.tensor([math.prod(self.grid) * (1 if i < self.coarse else 4) for i in range(len(kls))]).to(kls)
            gamma = (size / size.max() * (kls.abs() + 0.01)).detach()
            kls = kls * gamma * len(kls) / gamma.sum()
        if self.training:
            self.step += 1
        loss = weight * kls.sum() - e.reconstruction.mean()
        return loss + self.spectral * spectral_norms(self) if self.spectral else loss

    def iw_bound(self, x: Float[Tensor, "b c h w"], samples: int = 64) -> Float[Tensor, " b"]:
        """log (1/K) Σ p(x, z)/q(z|x) over K draws of the whole hierarchy, in nats per image; between the ELBO and log p(x).

        Raises:
            ValueError: samples below 1.

        Reference: Burda, Grosse, Salakhutdinov 2016.
        """
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        log_w = []
        for _ in range(samples):
            out, draws = self.walk(x)
            log_w.append(self.likelihood.log_prob(x, out).flatten(1).sum(1) - sum(d.log_ratio for d in draws))
        return torch.stack(log_w).logsumexp(0) - math.log(samples)

    @torch.no_grad()
    def sample(self, n: int, tau: float = 1.0, *, mean: bool = False) -> Float[Tensor, "n c h w"]:
        """Draw z down the hierarchy, each group with τ times its σ, and x from p(x|z), or show the mean of p(x|z): no pixel noise, but then it is no draw."""
        out = self._imagine(self.start.expand(n, -1, -1, -1), [], tau)
        return self.likelihood.mean(out) if mean else self.likelihood.sample(out)

    @torch.no_grad()
    def reconstruct(self, x: Float[Tensor, "b c h w"], groups: int, tau: float = 0.0) -> Float[Tensor, "b c h w"]:
        """The mean image when only the first groups are told by x and the others are left to the prior (its mean, or τ times its σ about it).

        Raises:
            ValueError: groups below 0 or more than there are.
        """
        if not 0 <= groups <= len(self.groups):
            raise ValueError(f"groups: expected 0 to {len(self.groups)}, got {groups}")
        draws = self.walk(x)[1][:groups]
        return self.likelihood.mean(self._imagine(self.start.expand(len(x), -1, -1, -1), [d.z for d in draws], tau))

    @torch.no_grad()
    def recalibrate(self, batches: int = 20, n: int = 64, tau: float = 1.0) -> None:
        """Estimate the batch normalisations anew from samples at this temperature: their statistics were those of the posterior's draws.

        Reference: Vahdat & Kautz 2020.
        """
        norms = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
        keep = [(m.momentum, m.training) for m in norms]
        posteriors = {m for g in self.groups for m in g.posterior.modules()}  # type: ignore[union-attr]
        path = {m for part in (self.groups, self.up, self.out) for m in part.modules()} - posteriors
        for m in norms:
            if m in path:
                m.reset_running_stats()
                m.momentum = None  # the plain mean over the batches
                m.train()
        for _ in range(batches):
            self.sample(n, tau)
        for m, (momentum, training) in zip(norms, keep, strict=True):
            m.momentum = momentum
            m.train(training)

    def _imagine(self, down: Tensor, given: list[Tensor], tau: float) -> Tensor:
        for i, group in enumerate(self.groups):
            if i == self.coarse:
                down = self.up(down)
            if i < len(given):
                z = given[i]
            else:
                mu, sigma = group.parameters_of_prior(down, self.latent)  # type: ignore[operator]
                z = mu + tau * sigma * torch.randn_like(mu)
            down = group(down, z)
        return self.finish(down)

    def _run(self, module: nn.Module, *inputs: Tensor) -> Tensor:
        if self.checkpointing and self.training:
            return checkpoint(module, *inputs, use_reentrant=False)  # type: ignore[return-value]
        return module(*inputs)
