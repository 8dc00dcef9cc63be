"""Autoregressive convolutions: a picture is told pixel by pixel, row by row, each pixel knowing those before it, and in a pixel green knows red, blue both.

    log p(x) = Σ_t log p(x_t | x_1, …, x_{t−1})        t runs in reading order

One convolutional network gives all the factors in one pass, if no factor can see its own place or a later one. Masks see to that: the first layer's hides the
centre of its kernel and all that comes after (mask A); the layers above read features that are clean already, so theirs may keep the centre (mask B).

Stacked 3×3 masks reach one column to the right for each row up. What lies further to the right, though it comes before, is never seen: the blind spot of
`PixelCNN`. `GatedPixelCNN` cures it with two stacks: one reads all rows above, whole; the other its own row, to the left, and what the first one found.

Images are (b, colours, h, w) in [0, 1], on the grid k/(levels − 1).

Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, "Pixel recurrent neural networks", ICML, §3.4–3.5; van den Oord, Kalchbrenner, Vinyals, Espeholt,
Graves, Kavukcuoglu 2016, "Conditional image generation with PixelCNN decoders", NeurIPS, §2.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gensr.models.autoregressive import MaskedConv2d, ancestral, begin, check_image, to_image, to_levels


class MaskedBlock(nn.Module):
    """x + conv1×1(relu(maskedB(relu(x)))): a residual block that sees its place and those before."""

    def __init__(self, channels: int, colours: int = 1):
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(), MaskedConv2d("B", channels, channels, colours=colours), nn.ReLU(), MaskedConv2d("B", channels, channels, 1, colours=colours)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.branch(x)


class PixelCNN(nn.Module):
    """A distribution over images of few or many grey levels, or over grids of whole numbers that have no order, the words of a VQ-VAE.

    Args:
        levels: how many there are.
        hidden: channels of the features.
        layers: residual blocks; each widens the view by one row up, and one column to either side.
        size: of the first layer's kernel.
        colours: of an image, 1 or 3; None for grids of words (b, h, w), integers from 0 to levels − 1.
        grid: rows and columns, if all grids are the same; each place then has a learned vector, and the network need not count from the border.

    Raises:
        ValueError: levels, hidden or layers below 1, or hidden that cannot be dealt to the colours.

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, §3.4–3.5.
    """

    def __init__(
        self, levels: int = 128, hidden: int = 64, layers: int = 6, *, size: int = 5, colours: int | None = None,
        grid: tuple[int, int] | list[int] | None = None,
    ):
        super().__init__()
        if min(levels, hidden, layers, 1 if colours is None else colours) < 1:
            raise ValueError(f"levels, hidden, layers, colours: expected at least 1, got {levels}, {hidden}, {layers} and {colours}")
        self.levels, self.colours, c = levels, colours, colours or 1
        self.embedding = nn.Embedding(levels, hidden) if colours is None else None  # the distance between two words' numbers means nothing
        self.first = MaskedConv2d("A", colours or hidden, hidden, size, colours=c)
        self.place = None if grid is None else nn.Parameter(torch.zeros(hidden, *grid))
        self.blocks = nn.Sequential(*(MaskedBlock(hidden, c) for _ in range(layers)))
        self.last = nn.Sequential(nn.ReLU(), MaskedConv2d("B", hidden, c * levels, 1, colours=c))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the level at each place, given those before it: (b, levels, colours, h, w) of an image, (b, levels, h, w) of words.

        The first rows may come alone.

        Raises:
            ValueError: not an image of so many colours and finite values; words that are not integers, or not in 0 … levels − 1; with a `grid`, another size.
        """
        self.check(x)
        features = self.first(2 * x - 1 if self.embedding is None else self.embedding(x.long()).movedim(-1, 1))
        if self.place is not None:
            features = features + self.place[:, : x.shape[-2]]
        logits = self.last(self.blocks(features))
        return logits if self.colours is None else logits.unflatten(1, (self.colours, self.levels)).movedim(1, 2)

    def log_prob(self, x: Tensor) -> Float[Tensor, " b"]:
        """log p(x) in nats per image or grid."""
        level = x.long() if self.colours is None else to_levels(x, self.levels)
        return -F.cross_entropy(self(x), level, reduction="none").flatten(1).sum(1)

    def loss(self, x: Tensor) -> Float[Tensor, ""]:
        """−log p(x) in nats per image or grid, averaged over the batch."""
        return -self.log_prob(x).mean()

    @torch.no_grad()
    def sample(
        self, n: int, shape: tuple[int, int], *, temperature: float = 1.0, given: Tensor | None = None, known: Tensor | None = None,
        noise: Float[Tensor, "n c h w"] | None = None,
    ) -> Tensor:
        """Ancestral sampling: each level is drawn from its factor, given those drawn before. One pass of the network for each place and colour.

        Args:
            n: how many.
            shape: rows and columns.
            temperature: divides the logits; below 1, each draw favours what is likely.
            given, known, noise: as for `GatedPixelCNN.sample`.

        Raises:
            ValueError: n or shape below 1, a temperature that is not positive, given rows or noise that do not fit.
        """
        if given is not None and self.colours is None:
            self.check(given)
            given = to_image(given[:, None], self.levels, next(self.parameters()))
        level, known, noise = begin(n, self.colours or 1, shape, self.levels, temperature, given, known, noise, next(self.parameters()))

        def logits(i: int, j: int, colour: int) -> Float[Tensor, "n k"]:
            rows = level[:, :, : i + 1]  # those below cannot matter
            found = self(rows[:, 0])[:, :, None] if self.colours is None else self(to_image(rows, self.levels, noise))
            return found[:, :, colour, i, j] / temperature

        ancestral(level, known, noise, logits)
        return level[:, 0] if self.colours is None else to_image(level, self.levels, noise)

    def check(self, x: Tensor) -> None:
        if self.colours is not None:
            check_image(x, self.colours, self.levels)
        elif x.dim() != 3 or x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise ValueError(f"codes: expected integers (b, h, w), got {x.dtype} of shape {tuple(x.shape)}")
        elif x.numel() and not 0 <= int(x.min()) <= int(x.max()) < self.levels:
            raise ValueError(f"codes: expected numbers from 0 to {self.levels - 1}, got {int(x.min())} … {int(x.max())}")
        if self.place is not None and (x.shape[-2] > self.place.shape[1] or x.shape[-1] != self.place.shape[2]):
            raise ValueError(f"codes: expected a grid of {tuple(self.place.shape[1:])}, got {tuple(x.shape[-2:])}")


class GatedLayer(nn.Module):
    """One layer of the two stacks: v reads rows, h reads v and its own row's past. Each is gated: tanh(a) · sigmoid(b).

    v at (i, j) has seen the rows ≤ i, so it reaches h one row further down; h never reaches v.

    Args:
        channels: of the input.
        hidden: of the output.
        size: odd; v's kernel has (size + 1)/2 rows and `size` columns, h's has one row.
        colours, context: as for `GatedPixelCNN`.
        first: mask A instead of B for h, and no residual.

    Reference: van den Oord et al. 2016 (decoders), figure 2.
    """

    def __init__(self, channels: int, hidden: int, size: int, colours: int, context: int, first: bool):
        super().__init__()
        self.size, self.colours, self.first = size, colours, first
        self.down = nn.Conv2d(channels, 2 * hidden, (size // 2 + 1, size))
        self.link = nn.Conv2d(2 * hidden, 2 * hidden, 1)
        self.across = MaskedConv2d("A" if first else "B", channels, 2 * hidden, (1, size), colours=colours, padded=False)
        self.out = MaskedConv2d("B", hidden, hidden, 1, colours=colours)
        self.context = nn.ModuleList(nn.Linear(context, 2 * hidden, bias=False) for _ in range(2)) if context else None

    def gate(self, x: Float[Tensor, "b d h w"], context: Tensor | None, stack: int) -> Float[Tensor, "b c h w"]:
        if self.context is not None:
            x = x + self.context[stack](context)[:, :, None, None]
        a, b = x.unflatten(1, (self.colours, 2, -1)).unbind(2)  # each colour has its a and its b
        return (a.tanh() * b.sigmoid()).flatten(1, 2)

    def row(self, h: Float[Tensor, "b c h w"], above: Float[Tensor, "b d h w2"], context: Tensor | None) -> Float[Tensor, "b e h w2"]:
        """h's part, from rows with size − 1 more columns, and what v found above them."""
        half = self.size // 2
        new = self.out(self.gate(self.across(h) + self.link(above), context, 1))
        return new if self.first else new + h[..., half : h.shape[-1] - half]

    def forward(self, v: Float[Tensor, "b c h w"], h: Float[Tensor, "b c h w"], context: Tensor | None) -> tuple[Tensor, Tensor]:
        half = self.size // 2
        below = self.down(F.pad(v, (half, half, half, 0)))
        above = F.pad(below, (0, 0, 1, -1))  # one row down
        return self.gate(below, context, 0), self.row(F.pad(h, (half, half)), above, context)


class GatedPixelCNN(nn.Module):
    """A distribution over images whose every pixel sees all of its past.

    Args:
        levels: grey levels of an image.
        hidden: channels of the features.
        layers: of the two stacks.
        colours: 1, or 3, told in the order red, green, blue.
        size: of the kernels, odd.
        first: of the first layer's kernels, odd.
        context: length of a vector that every image is conditioned on: a class as its one-hot vector, or a latent. 0 for none.

    Raises:
        ValueError: levels below 2, another number below its least, or hidden that cannot be dealt to the colours.

    Reference: van den Oord et al. 2016 (decoders), §2.
    """

    def __init__(self, levels: int = 256, hidden: int = 32, layers: int = 8, *, colours: int = 1, size: int = 3, first: int = 7, context: int = 0):
        super().__init__()
        if min(levels - 1, hidden, layers, colours, size, first) < 1 or context < 0:
            raise ValueError(f"levels, hidden, layers, colours, context: expected at least 2, 1, 1, 1, 0, got {levels, hidden, layers, colours, context}")
        self.levels, self.colours = levels, colours
        self.layers = nn.ModuleList(
            GatedLayer(hidden if i else colours, hidden, size if i else first, colours, context, first=i == 0) for i in range(layers)
        )
        self.last = nn.Sequential(
            nn.ReLU(), MaskedConv2d("B", hidden, hidden, 1, colours=colours), nn.ReLU(), MaskedConv2d("B", hidden, colours * levels, 1, colours=colours)
        )

    def forward(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b d"] | None = None) -> Float[Tensor, "b k c h w"]:
        """Logits of the levels of each pixel and colour, given those before it.

        Raises:
            ValueError: an x that is no such image, or a context that is missing, of another length, or not wanted.
        """
        self.check(x, context)
        v = h = 2 * x - 1
        for layer in self.layers:
            v, h = layer(v, h, context)
        return self.last(h).unflatten(1, (self.colours, self.levels)).movedim(1, 2)

    def log_prob(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b d"] | None = None) -> Float[Tensor, " b"]:
        """log p(x), or log p(x ∣ context), in nats per image. Its gradient in x is that by way of the pixels after each; of its own, a level has none."""
        return -F.cross_entropy(self(x, context), to_levels(x, self.levels), reduction="none").sum((1, 2, 3))

    def loss(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b d"] | None = None) -> Float[Tensor, ""]:
        """−log p(x) in nats per image, averaged over the batch."""
        return -self.log_prob(x, context).mean()

    @torch.no_grad()
    def sample(
        self, n: int, shape: tuple[int, int] = (28, 28), *, context: Float[Tensor, "n d"] | None = None, temperature: float = 1.0,
        given: Float[Tensor, "n c h w"] | None = None, known: Tensor | None = None, noise: Float[Tensor, "n c h w"] | None = None, cached: bool = True,
    ) -> Float[Tensor, "n c h w"]:
        """Ancestral sampling: every level is drawn from its factor, given those drawn before.

        Args:
            n: how many images.
            shape: rows and columns.
            context: one for each image.
            temperature: divides the logits; below 1, each draw favours what is likely.
            given: images whose pixels are kept where `known` (h, w) is True, and before which the others are drawn; or, without `known`, the first rows.
                A pixel drawn knows those before it, given or drawn, but not the given ones that follow.
            noise: u ~ U(0, 1) of each level; the same gives the same images.
            cached: keep the features of each layer, so that a pixel costs one column of the network, not all of it; the images are the same.

        Raises:
            ValueError: n or shape below 1, a temperature that is not positive, or given, known, noise or context that do not fit.
        """
        level, known, noise = begin(n, self.colours, shape, self.levels, temperature, given, known, noise, next(self.parameters()))
        self.check(noise, context)
        if cached:
            ancestral(level, known, noise, self.columns(level, known, context, temperature), visit=True)
        else:
            rows = partial(to_image, levels=self.levels, like=noise)
            ancestral(level, known, noise, lambda i, j, colour: self(rows(level[:, :, : i + 1]), context)[:, :, colour, i, j] / temperature)
        return to_image(level, self.levels, noise)

    def columns(self, level: Int[Tensor, "n c h w"], known: Tensor, context: Tensor | None, temperature: float) -> Callable[[int, int, int], Tensor]:
        """A function (i, j, colour) → logits, to be called in reading order. It computes v once a row and h one place at a time, from what it has kept."""
        n, _, _, width = level.shape
        layers: list[GatedLayer] = list(self.layers)  # type: ignore[arg-type]
        zeros = next(self.parameters()).new_zeros
        rows = [zeros(n, layer.down.in_channels, layer.size // 2 + 1, width + layer.size - 1) for layer in layers]  # what v's kernel reads, with a border
        past = [zeros(n, layer.down.in_channels, 1, width + layer.size - 1) for layer in layers]  # this row's h, with a border
        above = [zeros(n, layer.link.in_channels, 1, width) for layer in layers]

        def pixels(i: int, j: slice) -> Tensor:
            return 2 * to_image(level[:, :, i : i + 1, j], self.levels, past[0]) - 1

        def next_row(v: Tensor) -> None:
            for k, layer in enumerate(layers):
                half = layer.size // 2
                rows[k] = torch.cat([rows[k][:, :, 1:], F.pad(v, (half, half))], 2)
                above[k] = layer.down(rows[k])
                v = layer.gate(above[k], context, 0)

        def logits(i: int, j: int, colour: int) -> Float[Tensor, "n k"]:
            if j == colour == 0 and i > 0:
                next_row(pixels(i - 1, slice(None)))
            if known[i].all():  # nothing to draw in this row, and those below read v only
                return zeros(n, self.levels)
            h = pixels(i, slice(j, j + 1))
            for k, layer in enumerate(layers):
                half = layer.size // 2
                if k == 0 and j > 0:  # the colours of the last pixel, all known by now
                    past[0][..., half + j - 1 : half + j] = pixels(i, slice(j - 1, j))
                past[k][..., half + j : half + j + 1] = h
                h = layer.row(past[k][..., j : j + layer.size], above[k][..., j : j + 1], context)
            return self.last(h).unflatten(1, (self.colours, self.levels))[:, colour, :, 0, 0] / temperature

        return logits

    def check(self, x: Tensor, context: Tensor | None) -> None:
        check_image(x, self.colours, self.levels)
        wanted = self.layers[0].context
        if wanted is None and context is not None:
            raise ValueError("context: this model was made without (context=0)")
        if wanted is not None and (context is None or context.shape != (len(x), wanted[0].in_features)):  # type: ignore[index,union-attr]
            got = "none" if context is None else tuple(context.shape)
            raise ValueError(f"context: expected the shape {(len(x), wanted[0].in_features)}, got {got}")  # type: ignore[index,union-attr]
