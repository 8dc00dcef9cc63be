"""Small networks that several methods share."""

import itertools

from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Sequential):
    """Linear layers with SiLU between them: ``MLP(2, 64, 64, 1)`` has two hidden layers of 64."""

    def __init__(self, *sizes: int):
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.SiLU()]
        super().__init__(*layers[:-1])


class ResBlock(nn.Module):
    """x + res_scale · conv(relu(conv(x))): the residual block of EDSR, with no batch normalisation."""

    def __init__(self, channels: int, res_scale: float = 1.0):
        super().__init__()
        self.res_scale = res_scale
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.res_scale * self.branch(x)
