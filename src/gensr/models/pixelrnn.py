"""PixelRNN: an LSTM crosses the image and tells, for each pixel in turn, how likely each of its levels is, given all it has read.

    log p(x) = Σᵢⱼ Σₖ log p(xᵢⱼₖ ∣ x₍<ᵢⱼ₎, xᵢⱼ,₍<ₖ₎)         pixels in reading order; within a pixel R, then G, then B
    (o, f, i, g) = (σ, σ, σ, tanh)(K_ss ∗ h_before + K_is ∗ x)      state-to-state and input-to-state convolutions
    c = f ⊙ c_before + i ⊙ g
    h = o ⊙ tanh(c)                                           gate outside; in the spatial LSTM of RIDE it is inside, tanh(o ⊙ c)

There are two ways to cross:

- **Row LSTM.** A whole row at once, from the top; what is before is the row above, three pixels of it. The view is a triangle: one column wider at each side
  for each row up. What lies outside is never seen, though it comes before.
- **Diagonal BiLSTM.** A whole anti-diagonal at once; what is before is the left and the upper neighbour. Once from the left corner, once from the right one:
  together they see all that comes before. Twice the work, and h + w − 1 steps instead of h.

The input-to-state map is computed for all pixels at once, masked so that no pixel reads itself or what follows; states are of the past, and need no mask.

One pixel would escape the diagonals: the last one of the row above. Mask A hides each pixel from its own features, so it is read by features one row further
down at the earliest, and the LSTM at the left of the image never gets to them. A column more at the right edge, of features without a pixel, cures this.

Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, "Pixel recurrent neural networks", ICML.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gensr.models.autoregressive import MaskedConv2d, ancestral, begin, check_image, to_image, to_levels

Rows = dict[str, Tensor]  # what a layer keeps while sampling


def skew(x: Float[Tensor, "h w b n"]) -> Float[Tensor, "h s b n"]:
    """Row i moves right by i, so that anti-diagonals become columns, s = h + w − 1 of them; the holes are 0.

    Rows are padded to w + h and laid end to end, then cut anew at w + h − 1: each begins one place later than the one before.
    """
    h, w = x.shape[:2]
    return F.pad(x, (0, 0, 0, 0, 0, h)).flatten(0, 1)[: h * (w + h - 1)].unflatten(0, (h, w + h - 1))


def unskew(x: Float[Tensor, "h s b n"]) -> Float[Tensor, "h w b n"]:
    """`skew` undone."""
    h, s = x.shape[:2]
    return F.pad(x.flatten(0, 1), (0, 0, 0, 0, 0, h)).unflatten(0, (h, s + 1))[:, : s - h + 1]


class ConvLSTM(nn.Module):
    """An LSTM that crosses a map column by column, all lines at once; a line hears of its neighbours in the column before.

    Args:
        hidden: n, numbers in h and in c.
        taps: a line l reads the state of the lines l − tap. The first is 0: its own, whose c it goes on with.
        size: columns of the input-to-state kernel, which is one row high and has mask B.
        colours: 1 or 3.
        context: length of the vector that each image is conditioned on; 0 for none.

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, equation 3.
    """

    def __init__(self, hidden: int, taps: tuple[int, ...], size: int, colours: int, context: int):
        super().__init__()
        self.hidden, self.taps, self.colours = hidden, taps, colours
        self.input = MaskedConv2d("B", 2 * hidden, 4 * hidden, (1, size), colours=colours, padded=False)  # K_is
        self.state = nn.Linear(len(taps) * hidden, 4 * hidden, bias=False)  # K_ss; no bias: where nothing is read, nothing is added
        self.context = nn.Linear(context, 4 * hidden, bias=False) if context else None

    def gates(self, x: Float[Tensor, "b m h w2"], context: Float[Tensor, "b k"] | None) -> Float[Tensor, "h w b n4"]:
        """K_is ∗ x and what the context adds, pixels first; x brings its border along."""
        a = self.input(x).permute(2, 3, 0, 1)
        a = a.unflatten(3, (self.colours, 4, -1)).transpose(3, 4).flatten(3)  # a colour's features are its four gates; now each gate has its colours
        return a if self.context is None or context is None else a + self.context(context)

    def cell(self, a: Float[Tensor, "*p n4"], before: Float[Tensor, "*p tn"], c: Float[Tensor, "*p n"]) -> tuple[Float[Tensor, "*p n"], Float[Tensor, "*p n"]]:
        """h and c of one or many places, from a = K_is ∗ x, the h of all taps, and the c of the first."""
        gates, g = (a + self.state(before)).split([3 * self.hidden, self.hidden], -1)
        o, f, i = gates.sigmoid().chunk(3, -1)
        c = f * c + i * g.tanh()
        return o * c.tanh(), c

    def forward(self, a: Float[Tensor, "lines steps b n4"]) -> Float[Tensor, "lines steps b n"]:
        """h of the whole map, from its `gates`.

        Where a is 0 and no state is read, g = tanh(0), and c and h stay 0: the holes of a skewed map do no harm.
        """
        h = c = a.new_zeros(a.shape[0], a.shape[2], self.hidden)
        out = []
        for column in a.unbind(1):  # a slice a[:, t] would fill a whole map with zeros at each step back
            before = torch.cat([F.pad(h, (0, 0, 0, 0, tap, -tap)) if tap else h for tap in self.taps], -1)
            h, c = self.cell(column, before, c)
            out.append(h)
        return torch.stack(out, 1)


class RowLSTM(nn.Module):
    """x + K_up ∗ LSTM(x), the LSTM going from row to row. Steps are rows, lines are columns.

    Args:
        hidden: n of the LSTM; x has 2n features.
        colours, context: as for `ConvLSTM`.

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, §3.1 and figure 5 (the residual connection).
    """

    def __init__(self, hidden: int, colours: int = 1, context: int = 0):
        super().__init__()
        self.lstm = ConvLSTM(hidden, (0, 1, -1), 3, colours, context)
        self.up = MaskedConv2d("B", hidden, 2 * hidden, 1, colours=colours)

    def forward(self, x: Float[Tensor, "b m h w"], context: Float[Tensor, "b k"] | None = None) -> Float[Tensor, "b m h w"]:
        a = self.lstm.gates(F.pad(x, (1, 1)), context)
        return x + self.up(self.lstm(a.transpose(0, 1)).permute(2, 3, 1, 0))

    def start(self, b: int, width: int) -> Rows:
        """Before the first row: the row at hand and the one above, a zero at either end."""
        zero = self.up.weight.new_zeros
        return {"x": zero(b, 2 * self.lstm.hidden, 1, width + 2)} | {name: zero(b, width + 2, self.lstm.hidden) for name in ("h", "c", "h_up", "c_up")}

    def place(self, x: Float[Tensor, "b m 1 1"], j: int, rows: Rows, context: Float[Tensor, "b k"] | None) -> Float[Tensor, "b m 1 1"]:
        """One pixel of `forward`, given the rows that are kept."""
        rows["x"][..., j + 1 : j + 2] = x
        a, h = self.lstm.gates(rows["x"][..., j : j + 3], context)[0, 0], rows["h_up"]
        rows["h"][:, j + 1], rows["c"][:, j + 1] = h, _ = self.lstm.cell(a, torch.cat([h[:, j + 1], h[:, j], h[:, j + 2]], -1), rows["c_up"][:, j + 1])
        return x + self.up(h[..., None, None])

    def next_row(self, rows: Rows, context: Float[Tensor, "b k"] | None) -> None:
        rows["h"], rows["h_up"], rows["c"], rows["c_up"] = rows["h_up"], rows["h"], rows["c_up"], rows["c"]


class DiagonalBiLSTM(nn.Module):
    """x + K_up ∗ (LSTM(x) + LSTM of the mirror image, mirrored back and moved down by a row). Steps are anti-diagonals, lines are rows.

    In the skewed map the column before holds a pixel's left neighbour in its own line and its upper neighbour in the line above. The LSTM from the right
    has read pixels to the right in its own row, which come later; a row further down, they come before.

    Args:
        hidden: n of each LSTM; x has 2n features.
        colours, context: as for `ConvLSTM`.

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, §3.2, figures 3 and 5.
    """

    def __init__(self, hidden: int, colours: int = 1, context: int = 0):
        super().__init__()
        self.left, self.right = (ConvLSTM(hidden, (0, 1), 1, colours, context) for _ in range(2))
        self.up = MaskedConv2d("B", hidden, 2 * hidden, 1, colours=colours)

    def forward(self, x: Float[Tensor, "b m h w"], context: Float[Tensor, "b k"] | None = None) -> Float[Tensor, "b m h w"]:
        left = unskew(self.left(skew(self.left.gates(x, context))))
        right = unskew(self.right(skew(self.right.gates(x, context).flip(1)))).flip(1)
        return x + self.up((left + F.pad(right, (0, 0, 0, 0, 0, 0, 1, -1))).permute(2, 3, 0, 1))

    def start(self, b: int, width: int) -> Rows:
        """Before the first row: the row at hand and the one above, a zero before them; of the right LSTM only the one above."""
        zero, n = self.up.weight.new_zeros, self.left.hidden
        return {"x": zero(b, 2 * n, 1, width), "right": zero(b, width, n)} | {name: zero(b, width + 1, n) for name in ("h", "c", "h_up")}

    def place(self, x: Float[Tensor, "b m 1 1"], j: int, rows: Rows, context: Float[Tensor, "b k"] | None) -> Float[Tensor, "b m 1 1"]:
        """One pixel of `forward`, given the rows that are kept."""
        rows["x"][..., j : j + 1] = x
        before = torch.cat([rows["h"][:, j], rows["h_up"][:, j + 1]], -1)
        rows["h"][:, j + 1], rows["c"][:, j + 1] = h, _ = self.left.cell(self.left.gates(x, context)[0, 0], before, rows["c"][:, j])
        return x + self.up((h + rows["right"][:, j])[..., None, None])

    def next_row(self, rows: Rows, context: Float[Tensor, "b k"] | None) -> None:
        """A row is complete: now the right LSTM can cross it."""
        rows["h"], rows["h_up"] = rows["h_up"], rows["h"]
        a, up = self.right.gates(rows["x"], context)[0], rows["right"]
        h = c = torch.zeros_like(up[:, 0])
        out = []
        for j in reversed(range(up.shape[1])):
            h, c = self.right.cell(a[j], torch.cat([h, up[:, j]], -1), c)
            out.append(h)
        rows["right"] = torch.stack(out[::-1], 1)


class PixelRNN(nn.Module):
    """A distribution over images whose pixels take `levels` values, k/(levels − 1) with k = 0 … levels − 1.

    Args:
        levels: how many values there are.
        hidden: n of each LSTM, a multiple of colours; the layers pass on 2n features.
        layers: of LSTM.
        kind: "diagonal", which sees all that comes before, or "row", which is faster and sees a triangle of it.
        colours: 1 or 3.
        context: length of a vector that each image is conditioned on, 0 for none: for a class one 1 among zeros, or a latent vector.
        size: odd, at least 3, of the first layer's kernel.

    Raises:
        ValueError: another kind; levels, hidden, layers or colours below 1, a negative context, an even size or one below 3, or hidden that cannot be dealt
            to the colours.

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, §3 and table 1.
    """

    def __init__(self, levels: int = 256, hidden: int = 32, layers: int = 2, *, kind: str = "diagonal", colours: int = 1, context: int = 0, size: int = 7):
        super().__init__()
        if min(levels, hidden, layers, colours) < 1 or context < 0:
            raise ValueError(f"levels, hidden, layers, colours: expected at least 1, got {levels}, {hidden}, {layers}, {colours}; context 0, got {context}")
        if kind not in ("diagonal", "row"):
            raise ValueError(f"kind: expected 'diagonal' or 'row', got {kind!r}")
        if size < 3 or size % 2 == 0:
            raise ValueError(f"size: expected an odd number from 3, got {size}")
        self.levels, self.colours, self.context, self.frame = levels, colours, context, size // 2
        self.more = int(kind == "diagonal")  # columns at the right edge
        self.first = MaskedConv2d("A", colours, 2 * hidden, size, colours=colours, padded=False)
        layer = DiagonalBiLSTM if kind == "diagonal" else RowLSTM
        self.layers = nn.ModuleList(layer(hidden, colours, context) for _ in range(layers))
        last = [MaskedConv2d("B", 2 * hidden, out, 1, colours=colours) for out in (2 * hidden, colours * levels)]
        self.last = nn.Sequential(nn.ReLU(), last[0], nn.ReLU(), last[1], nn.Unflatten(1, (colours, levels)))

    def forward(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b k"] | None = None) -> Float[Tensor, "b levels c h w"]:
        """Logits of the level of each pixel and colour, given those before it. The first rows of an image may come alone.

        Raises:
            ValueError: x that is no image of so many colours in [0, 1]; a context that is missing, not expected or of another shape.
        """
        self.check(x, context)
        features = self.first(self.bordered(2 * x - 1))  # in −1 … 1, so that the 0 outside the image is neither black nor white
        for layer in self.layers:
            features = layer(features, context)
        return self.last(features[..., : x.shape[3]]).transpose(1, 2)

    def log_prob(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b k"] | None = None) -> Float[Tensor, " b"]:
        """log p(x) in nats per image."""
        return -F.cross_entropy(self(x, context), to_levels(x, self.levels), reduction="none").sum((1, 2, 3))

    def loss(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b k"] | None = None) -> Float[Tensor, ""]:
        """−log p(x) in nats per image, averaged over the batch."""
        return -self.log_prob(x, context).mean()

    @torch.no_grad()
    def sample(
        self, n: int, shape: tuple[int, int] = (28, 28), *, context: Float[Tensor, "n k"] | None = None, temperature: float = 1.0,
        given: Float[Tensor, "n c rows w"] | None = None, known: Bool[Tensor, "h w"] | None = None, noise: Float[Tensor, "n c h w"] | None = None,
        cached: bool = True,
    ) -> Float[Tensor, "n c h w"]:
        """Ancestral sampling: each level is drawn from its factor, given those drawn before.

        Args:
            n: how many images.
            shape: rows and columns.
            context: one for each image.
            temperature: divides the logits; below 1, each draw favours what is likely.
            given: images whose pixels are kept where `known` is True; or, without `known`, the first rows. A pixel drawn knows those before it, given or
                drawn, but not the given ones that follow.
            noise: u ~ U(0, 1) of each level; the same gives the same images.
            cached: keep two rows of states in each layer, so that a pixel costs one pixel of the network, not all of it; the images are the same.

        Raises:
            ValueError: n or shape below 1, a temperature that is not positive, or given, known, noise or context that do not fit.
        """
        level, known, noise = begin(n, self.colours, shape, self.levels, temperature, given, known, noise, self.first.weight)
        self.check(noise, context)

        def whole(i: int, j: int, k: int) -> Float[Tensor, "n levels"]:
            return self(to_image(level[:, :, : i + 1], self.levels, noise), context)[:, :, k, i, j]  # the rows below cannot matter

        look = self.pixels(level, context) if cached else whole
        ancestral(level, known, noise, lambda i, j, k: look(i, j, k) / temperature, visit=cached)
        return to_image(level, self.levels, noise)

    def pixels(self, level: Int[Tensor, "n c h w"], context: Float[Tensor, "n k"] | None) -> Callable[[int, int, int], Tensor]:
        """A function (i, j, colour) → logits of one pixel, to be called in reading order. It goes on from the states it has kept."""
        width, s = level.shape[3], self.frame
        layers = [(layer, layer.start(len(level), width + self.more)) for layer in self.layers]  # type: ignore[operator]
        x = self.bordered(torch.zeros_like(level).to(self.first.weight))

        def features(i: int, j: int) -> Float[Tensor, "n m 1 1"]:
            x[:, :, s + i : s + i + 1, s : s + width] = 2 * to_image(level[:, :, i : i + 1], self.levels, x) - 1
            found = self.first(x[:, :, i : i + 2 * s + 1, j : j + 2 * s + 1])
            for layer, rows in layers:
                found = layer.place(found, j, rows, context)  # type: ignore[operator]
            return found

        def logits(i: int, j: int, colour: int) -> Float[Tensor, "n levels"]:
            if i > 0 and j == colour == 0:
                features(i - 1, width - 1 + self.more)
                for layer, rows in layers:
                    layer.next_row(rows, context)  # type: ignore[operator]
            return self.last(features(i, j))[:, colour, :, 0, 0]

        return logits

    def bordered(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        return F.pad(x, (self.frame, self.frame + self.more, self.frame, self.frame))

    def check(self, x: Tensor, context: Tensor | None) -> None:
        check_image(x, self.colours, self.levels)
        if context is None and self.context:
            raise ValueError(f"context: expected the shape {(len(x), self.context)}, got none")
        if context is not None and (not self.context or context.shape != (len(x), self.context)):
            raise ValueError(f"context: expected the shape {(len(x), self.context)} (none if 0), got {tuple(context.shape)}")
