"""What a decoder's output means: how likely pixels are given it, the mean image, and a draw. Shared by all models that decode.

Each has `log_prob(x, out)`, pixel by pixel, in nats; `mean(out)`; and `sample(out)`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gensr.densities import bernoulli_log_prob, discretized_logistic_log_prob, normal_log_prob


class Bernoulli(nn.Module):
    """Each pixel is on with probability sigmoid(output). Grey pixels are tolerated; then the bound is a cross-entropy, not nats."""

    def log_prob(self, x: Float[Tensor, "..."], out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return bernoulli_log_prob(x, out)

    def mean(self, out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return out.sigmoid()

    def sample(self, out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return torch.bernoulli(out.sigmoid())


class Gaussian(nn.Module):
    """Each pixel is N(output, σ²) with one σ for all, learned unless `learn` is False."""

    def __init__(self, sigma: float = 0.2, learn: bool = True):
        super().__init__()
        if not sigma > 0:
            raise ValueError(f"sigma: expected a positive number, got {sigma}")
        self.logvar = nn.Parameter(torch.tensor(2 * math.log(sigma)), requires_grad=learn)

    def log_prob(self, x: Float[Tensor, "..."], out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return normal_log_prob(x, out, self.logvar)

    def mean(self, out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return out

    def sample(self, out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return out + (0.5 * self.logvar).exp() * torch.randn_like(out)


class DiscretizedLogistic(nn.Module):
    """Each pixel is one of K grey levels 0, 1/(K−1), …, 1: a true probability, comparable with any other model of the same levels.

    One scale for each position of the image, learned: border pixels are easier than the middle.
    """

    def __init__(self, levels: int = 17, shape: tuple[int, ...] = (1, 8, 8)):
        super().__init__()
        self.levels = levels
        self.log_scale = nn.Parameter(torch.full(shape, -1.5))

    def log_prob(self, x: Float[Tensor, "..."], out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return discretized_logistic_log_prob(2 * x - 1, out, self.log_scale.clamp(min=-7), self.levels)

    def mean(self, out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The location of the logistic, clipped: its median, and its mean but for the edges."""
        return (0.5 * out + 0.5).clamp(0, 1)

    def sample(self, out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        u = torch.rand_like(out).clamp(1e-6, 1 - 1e-6)
        v = 0.5 * (out + self.log_scale.clamp(min=-7).exp() * torch.logit(u)) + 0.5
        return (v * (self.levels - 1)).round().clamp(0, self.levels - 1) / (self.levels - 1)
