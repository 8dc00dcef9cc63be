"""Small networks that several methods share."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gensr.resize import bicubic_upsample


class MLP(nn.Sequential):
    """Linear layers with SiLU between them: ``MLP(2, 64, 64, 1)`` has two hidden layers of 64. ValueError: fewer than two sizes, or one below 1."""

    def __init__(self, *sizes: int):
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes: expected at least two, of at least 1, got {sizes}")
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


class SubPixelNet(nn.Module):
    """A small network from LR to HR: residual blocks at LR size, a pixel shuffle, and a bicubic enlargement to which all is added. Any size, any colours.

    It is EDSR for any number of colours and for channels that are no colour, such as noise; 32 channels and 4 blocks make 98k parameters for ×4 and RGB.

    Args:
        scale: enlargement factor s.
        colours: of images in and out, 1 or 3.
        extra: further channels of the input, after the colours. They reach the residual blocks only.
        channels: feature channels.
        blocks: residual blocks.
        skip: add to the bicubic enlargement; without it the network makes the whole image, beginning with mid grey.

    Raises:
        ValueError: a size below 1, a negative extra, or an input of another number of channels.

    Reference: Shi et al. 2016 (sub-pixel convolution); Lim et al. 2017 (the blocks).
    """

    shift: Tensor

    def __init__(self, scale: int = 4, colours: int = 3, *, extra: int = 0, channels: int = 32, blocks: int = 4, skip: bool = True):
        super().__init__()
        if min(scale, colours, channels, blocks) < 1 or extra < 0:
            got = f"{scale}, {colours}, {channels}, {blocks} and {extra}"
            raise ValueError(f"scale, colours, channels, blocks, extra: expected at least 1, for extra at least 0, got {got}")
        self.scale, self.colours, self.skip = scale, colours, skip
        self.register_buffer("shift", torch.tensor([0.5] * colours + [0.0] * extra).view(1, -1, 1, 1), persistent=False)  # the border is mid grey, not black
        self.head = nn.Conv2d(colours + extra, channels, 3, padding=1)
        self.body = nn.Sequential(*(ResBlock(channels) for _ in range(blocks)), nn.Conv2d(channels, channels, 3, padding=1))
        self.tail = nn.Sequential(nn.Conv2d(channels, colours * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, y: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Enlarge LR images in [0, 1], with the extra channels after their colours; the output is not clipped."""
        if y.dim() != 4 or y.shape[1] != self.shift.shape[1] or not y.is_floating_point():
            raise ValueError(f"y: expected floats of shape (b, {self.shift.shape[1]}, h, w), got {y.dtype} of {tuple(y.shape)}")
        h = self.head(y - self.shift)
        start = bicubic_upsample(y[:, : self.colours], self.scale) if self.skip else 0.5
        return start + self.tail(h + self.body(h))


class PatchCritic(nn.Module):
    """A critic of images in [0, 1] of any size: one logit for each of many overlapping patches, 3·2ᵈ pixels on a side for depth d.

    Where the losses average over all logits, the critic learns log p/q of *patches*. A generator that descends −E[logit] then makes the mean KL of the patches
    small. That is at most the KL of whole images, for what holds of an image holds of its parts; the long-range order is left to the measurement.

    Args:
        colours: of the images.
        channels: after the first convolution; doubled with each halving of the size, up to four times as many.
        depth: halvings.

    Raises:
        ValueError: a size below 1, or images of other colours or with a side below 2ᵈ.

    Reference: Isola, Zhu, Zhou, Efros 2017, §3.2.2 (patches; no normalisation here, for noise on its input keeps it smooth); He et al. 2015 (initial weights).
    """

    def __init__(self, colours: int = 3, *, channels: int = 32, depth: int = 3):
        super().__init__()
        if min(colours, channels, depth) < 1:
            raise ValueError(f"colours, channels, depth: expected at least 1, got {colours}, {channels} and {depth}")
        self.depth, self.colours = depth, colours
        sizes = [channels * min(2**i, 4) for i in range(depth + 1)]
        layers: list[nn.Module] = [nn.Conv2d(colours, channels, 3, padding=1), nn.LeakyReLU(0.2)]
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, nn.Conv2d(sizes[-1], 1, 1))
        for m in self.net:  # torch's own start shrinks what passes a layer, and the critic then sleeps for its first thousand steps
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, a=0.2)
                nn.init.zeros_(m.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """The logits, h/2ᵈ by w/2ᵈ of them, rounded down."""
        if x.dim() != 4 or x.shape[1] != self.colours or not x.is_floating_point():
            raise ValueError(f"x: expected floats of shape (b, {self.colours}, h, w), got {x.dtype} of {tuple(x.shape)}")
        if min(x.shape[-2:]) < 2**self.depth:
            raise ValueError(f"x: expected sides of at least {2**self.depth}, got {x.shape[-2]}x{x.shape[-1]}")
        return self.net(4 * x - 2)  # grey levels with a deviation of about 1: details are a small part of them, and it learns to see them many times faster


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
