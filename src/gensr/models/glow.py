"""Glow: a multi-scale flow for images, trained by exact maximum likelihood on dequantised pixels.

    v = (level + u)/K,  u ~ U(0, 1)        dequantise: grey levels become numbers in [0, 1)
    log P(x) ≥ E_u[log p(v)] − D log K     a grey level is a cell of width 1/K in each of the D dimensions

Reference: Kingma & Dhariwal 2018, "Glow: Generative flow with invertible 1×1 convolutions", NeurIPS.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gensr import densities
from gensr.densities import normal_log_prob
from gensr.models.flows import ActNorm, AffineCoupling, FlowSequence, InvertibleConv1x1, Split, Squeeze


class Glow(nn.Module):
    """L levels, each a squeeze, K steps of (ActNorm, 1×1 convolution, coupling), and, but for the last, a split.

    The flow is a bijection between dequantised images and vectors z of the same number of dimensions, standard normal under the model. z holds what left
    at the first split, then at the second, …, then what came out at the end: from fine detail to coarse.

    Args:
        shape: of one image, (c, h, w); h and w divisible by 2^levels.
        levels: L.
        steps: K, at each level.
        hidden: width of the couplings' networks.
        n_bins: grey levels of the data: 0, 1/(n_bins − 1), …, 1. 17 for the digits, 256 for 8-bit images.

    Raises:
        ValueError: a size that cannot be halved often enough; levels or steps below 1; n_bins below 2.

    Reference: Kingma & Dhariwal 2018, figure 2.
    """

    def __init__(self, shape: Sequence[int] = (1, 8, 8), levels: int = 2, steps: int = 8, hidden: int = 64, *, n_bins: int = 256):
        super().__init__()
        if levels < 1 or steps < 1:
            raise ValueError(f"levels, steps: expected at least 1, got {levels} and {steps}")
        if n_bins < 2:
            raise ValueError(f"n_bins: expected at least 2, got {n_bins}")
        c, h, w = shape
        if h % 2**levels or w % 2**levels:
            raise ValueError(f"shape: expected height and width divisible by {2**levels} for {levels} levels, got {h}×{w}")
        self.n_bins, self.dims = n_bins, c * h * w
        self.levels, self.splits = nn.ModuleList(), nn.ModuleList()
        self.sizes: list[tuple[int, int, int]] = []  # of the parts of z
        for level in range(levels):
            c, h, w = 4 * c, h // 2, w // 2
            layers = [layer for _ in range(steps) for layer in (ActNorm(c), InvertibleConv1x1(c), AffineCoupling(c, hidden))]
            self.levels.append(FlowSequence([Squeeze(), *layers]))
            if level < levels - 1:
                self.splits.append(Split(c))
                self.sizes.append((c - c // 2, h, w))
                c = c // 2
        self.sizes.append((c, h, w))

    def forward(self, v: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
        """From dequantised images in [0, 1) to noise."""
        x, logdet = self.levels[0](v - 0.5)
        z = []
        for split, level in zip(self.splits, self.levels[1:], strict=True):
            x, e, d_split = split(x)
            x, d_level = level(x)
            z.append(e)
            logdet = logdet + d_split + d_level
        return torch.cat([part.flatten(1) for part in [*z, x]], 1), logdet

    def inverse(self, z: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """From noise to dequantised images, which may lie outside [0, 1) where the model puts mass there."""
        parts = z.split([math.prod(size) for size in self.sizes], 1)
        *noise, x = [part.unflatten(1, size) for part, size in zip(parts, self.sizes, strict=True)]
        logdet = z.new_zeros(len(z))
        for k in range(len(self.levels) - 1, -1, -1):
            x, d_level = self.levels[k].inverse(x)  # type: ignore[operator]
            logdet = logdet + d_level
            if k > 0:
                x, d_split = self.splits[k - 1].inverse(x, noise[k - 1])  # type: ignore[operator]
                logdet = logdet + d_split
        return x + 0.5, logdet

    def log_density(self, v: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Exact log p(v) of dequantised images, in nats per image; a density, so it may be positive."""
        z, logdet = self(v)
        return normal_log_prob(z, 0.0, 0.0).sum(1) + logdet

    def dequantise(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """(level + u)/n_bins in [0, 1), for images in [0, 1] on the grid of grey levels: the data plus U(0, 1/n_bins)."""
        return ((x * (self.n_bins - 1)).round() + torch.rand_like(x)) / self.n_bins

    def quantise(self, v: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The image in [0, 1] on the grid of grey levels in whose cell v lies; values outside [0, 1) go to the nearest level."""
        return (v * self.n_bins).floor().clamp(0, self.n_bins - 1) / (self.n_bins - 1)

    def log_prob(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """A one-sample estimate of a lower bound on the log-probability of grey levels: log p(v) − D log n_bins, nats per image.

        log P(x) = log ∫ p(v) dv over the cell ≥ log(cell's volume) + E_u[log p(v)], by Jensen. Comparable with any other model of the same levels.

        Reference: Theis, van den Oord, Bethge 2016, §3.1; Kingma & Dhariwal 2018, eq. 2.
        """
        return self.log_density(self.dequantise(x)) - self.dims * math.log(self.n_bins)

    def loss(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """Minus the bound, averaged over the batch, in nats per image."""
        return -self.log_prob(x).mean()

    def bits_per_dim(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """The same bound as a code length, in bits per pixel and channel."""
        return densities.bits_per_dim(self.log_prob(x), self.dims)

    @torch.no_grad()
    def sample(self, n: int, tau: float = 1.0) -> Float[Tensor, "n c h w"]:
        """Draw z ~ N(0, tau² I), invert the flow, round to grey levels. tau below 1 gives likelier, less varied images."""
        weight = next(self.parameters())
        return self.quantise(self.inverse(tau * torch.randn(n, self.dims, device=weight.device, dtype=weight.dtype))[0])
