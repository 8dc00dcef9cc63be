"""Small networks that several methods share."""

import itertools

import torch
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


def squeeze_excite(channels: int) -> nn.Sequential:
    """One number in (0, 1) for each channel, from the channels' means over the image (Hu et al. 2018)."""
    inner = max(4, channels // 16)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 1), nn.Sigmoid())


class GenerativeCell(nn.Module):
    """x + 0.1 · se(BN, 1×1 up, BN-swish, depthwise 5×5, BN-swish, 1×1 down, BN): a wide view at the price of a narrow convolution.

    Reference: Vahdat & Kautz 2020, figure 3a.
    """

    def __init__(self, channels: int, expand: int = 3):
        super().__init__()
        wide = expand * channels
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels), nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU(),
            nn.Conv2d(wide, wide, 5, padding=2, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.SiLU(),
            nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels),
        )
        self.excite = squeeze_excite(channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        y = self.body(x)
        return x + 0.1 * y * self.excite(y)


class EncoderCell(nn.Module):
    """x + 0.1 · se(BN-swish, 3×3, BN-swish, 3×3): ordinary convolutions, for the encoder needs no wide view.

    Reference: Vahdat & Kautz 2020, figure 3b.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.excite = squeeze_excite(channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        y = self.body(x)
        return x + 0.1 * y * self.excite(y)


def spectral_norms(model: nn.Module) -> Float[Tensor, ""]:
    """Σ over convolutions of the largest singular value of the weight (as a matrix of its outputs), plus Σ over batch normalisations of the largest absolute γ.

    It bounds how fast the networks can change, and with them the KL of a group. (The paper follows the singular vectors by power iteration; at our sizes the
    exact value is cheap, and leaves no state that a resumed training would have to bring back.)

    Reference: Vahdat & Kautz 2020, §3.2; Yoshida & Miyato 2017.
    """
    total = next(model.parameters()).new_zeros(())
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            total = total + m.weight.abs().max()
        elif isinstance(m, nn.Conv2d):
            total = total + torch.linalg.matrix_norm(m.weight.flatten(1), 2)
    return total
