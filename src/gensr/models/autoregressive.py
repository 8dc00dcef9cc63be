"""What autoregressive models of images share: who may see whom, grey levels, and ancestral sampling.

    log p(x) = Σ_t log p(x_t | x_1, …, x_{t−1})        t runs in reading order; in a pixel red comes first, then green, then blue

Images are (b, colours, h, w) in [0, 1], on the grid k/(levels − 1).

Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, "Pixel recurrent neural networks", ICML, §2 and §3.4.
"""

from collections.abc import Callable
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


def earlier(mask: str, channels: int, out: int, colours: int) -> Float[Tensor, "out channels"]:
    """Who may read whom at one place: with mask A a feature of colour k reads those of colours < k, with mask B of colours ≤ k.

    Channels are dealt to the colours in equal runs: first those of red, then green, then blue.

    Raises:
        ValueError: a mask that is neither A nor B, or channels that cannot be dealt evenly.
    """
    if mask not in ("A", "B"):
        raise ValueError(f"mask: expected 'A' or 'B', got {mask!r}")
    if colours < 1 or channels % colours or out % colours:
        raise ValueError(f"channels, out: expected multiples of the number of colours, got {channels} and {out} for {colours}")
    reader = torch.arange(colours).repeat_interleave(out // colours)[:, None]
    read = torch.arange(colours).repeat_interleave(channels // colours)
    return (read < reader if mask == "A" else read <= reader).float()


class MaskedConv2d(nn.Conv2d):
    """A convolution whose kernel reads only what comes before its place in reading order, and at its place what `earlier` allows.

    Args:
        mask: "A" for the first layer, which must not see its own pixel, "B" for the others.
        channels, out: of its input and output.
        size: odd, of the kernel, or its height and width.
        colours: 3 if the pixel's colours are told one after the other.
        padded: whether zeros are put around the input, so that the output has its size.

    Raises:
        ValueError: a mask that is neither, an even size, or channels that cannot be dealt to the colours.

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, figure 2.
    """

    seen: Float[Tensor, "..."]

    def __init__(self, mask: str, channels: int, out: int, size: int | tuple[int, int] = 3, *, colours: int = 1, padded: bool = True):
        height, width = (size, size) if isinstance(size, int) else size
        if min(height, width) < 1 or height % 2 == 0 or width % 2 == 0:
            raise ValueError(f"size: expected odd numbers, got {size}")
        centre = earlier(mask, channels, out, colours)
        super().__init__(channels, out, (height, width), padding=(height // 2, width // 2) if padded else 0)
        seen = torch.zeros(out, channels, height * width)
        seen[:, :, : height * width // 2] = 1  # reading order is the order of memory
        seen[:, :, height * width // 2] = centre
        self.register_buffer("seen", seen.view_as(self.weight), persistent=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        return F.conv2d(x, self.weight * self.seen, self.bias, padding=self.padding)  # type: ignore[arg-type]


def check_image(x: Tensor, colours: int, levels: int, name: str = "x") -> None:
    """ValueError that names x unless it is (b, colours, h, w) of numbers in [0, 1]."""
    if x.dim() != 4 or x.shape[1] != colours or min(x.shape[2:]) < 1 or not x.is_floating_point():
        raise ValueError(f"{name}: expected floats (b, {colours}, h, w), got {x.dtype} of shape {tuple(x.shape)}")
    if x.numel() and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"{name}: expected levels k/{levels - 1} in [0, 1], got values from {x.min():.3g} to {x.max():.3g}")


def to_levels(x: Float[Tensor, "b c h w"], levels: int) -> Int[Tensor, "b c h w"]:
    """The number k of the nearest grey level k/(levels − 1)."""
    return (x * (levels - 1)).round().long()


def to_image(level: Int[Tensor, "b c h w"], levels: int, like: Tensor) -> Float[Tensor, "b c h w"]:
    """Grey levels k/(levels − 1), of the precision of `like`."""
    return level.to(like.dtype) / max(1, levels - 1)


def begin(
    n: int, colours: int, shape: tuple[int, int], levels: int, temperature: float, given: Tensor | None, known: Tensor | None, noise: Tensor | None,
    like: Tensor,
) -> tuple[Int[Tensor, "n c h w"], Tensor, Float[Tensor, "n c h w"]]:
    """Check what `sample` got: the levels with those given in place, which places are known, and u ~ U(0, 1) for each level to be drawn."""
    h, w = shape
    if min(n, h, w) < 1:
        raise ValueError(f"n, shape: expected at least 1, got {n} and {shape}")
    if not temperature > 0:
        raise ValueError(f"temperature: expected a positive number, got {temperature}")
    level = torch.zeros(n, colours, h, w, dtype=torch.long, device=like.device)
    mask = torch.zeros(h, w, dtype=torch.bool)
    if given is not None:
        rows = given.shape[2] if given.dim() == 4 else 0
        if given.shape != (n, colours, rows, w) or rows > h or (known is not None and rows != h):
            raise ValueError(f"given: expected {n} images of {colours}×{h}×{w}, or, without `known`, their first rows; got the shape {tuple(given.shape)}")
        check_image(given, colours, levels, "given")
        level[:, :, :rows] = to_levels(given, levels)
        mask[:rows] = True
    if known is not None:
        if given is None or known.dtype != torch.bool or known.shape != (h, w):
            raise ValueError(f"known: expected booleans ({h}, {w}) beside `given`, got {known.dtype} of shape {tuple(known.shape)}")
        mask = known.cpu()
    u = torch.rand(level.shape, dtype=like.dtype, device=like.device) if noise is None else noise
    if u.shape != level.shape:
        raise ValueError(f"noise: expected the shape {tuple(level.shape)}, got {tuple(u.shape)}")
    if not (u.min() >= 0 and u.max() <= 1):
        raise ValueError(f"noise: expected numbers from 0 to 1, got {u.min():.3g} to {u.max():.3g}")
    return level, mask, u


def ancestral(
    level: Int[Tensor, "n c h w"], known: Tensor, noise: Float[Tensor, "n c h w"], logits: Callable[[int, int, int], Tensor], *, visit: bool = False
) -> None:
    """Fill in what is not known, in reading order: the level drawn is the number of cumulated probabilities that do not exceed u.

    `logits(i, j, colour)` may read all levels before its place. With `visit` it is called at known places too.
    """
    for i, j, colour in product(*(range(level.shape[k]) for k in (2, 3, 1))):
        if visit or not known[i, j]:
            table = logits(i, j, colour).softmax(1).cumsum(1)
        if not known[i, j]:
            level[:, colour, i, j] = (table <= noise[:, colour, i, j, None]).sum(1).clamp(max=table.shape[1] - 1)
