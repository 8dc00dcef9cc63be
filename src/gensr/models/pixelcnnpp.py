"""PixelCNN++: a pixel's colours are drawn together from a mixture of discretised logistics, whose parameters a causal U-shaped network reads off the past.

    p(x) = Π over places of Σₖ πₖ P(R; μₖ, sₖ) P(G; μₖ + αₖ R, sₖ) P(B; μₖ + βₖ R + γₖ G, sₖ)        rows from the top, each from the left

A grey level's probability is a logistic's mass in its bin. So level 128 lies next to 127, which a softmax over 256 words has to find out; and a factor costs
10 K numbers instead of 768.

Two streams of shifted convolutions read the past: one the rows above, the other besides the places to the left. Each is a U: down to coarser resolutions,
where a few layers see far, and up again. There is no blind spot, but a reach: a coarse row has seen no further than the first of its two rows, so that in
the second only the finest layers see the row just above, and left neighbours: 4·layers + 2 columns to the right of it, as many to the left in its own row.

Images are (b, colours, h, w) in [0, 1], on the grid k/(levels − 1).

Reference: Salimans, Karpathy, Chen, Kingma 2017, "PixelCNN++: improving the PixelCNN with discretized logistic mixture likelihood and other modifications",
ICLR; Ramachandran et al. 2017, "Fast generation for convolutional autoregressive models" (sampling).
"""

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from gensr.densities import discretized_logistic_log_prob
from gensr.models.autoregressive import begin, check_image, to_image
from gensr.models.shifted import At, ShiftedConv2d, ShiftedConvTranspose2d


class Mixture(NamedTuple):
    """One mixture a place, for grey levels in [−1, 1]; C colours make P = C(C − 1)/2 pairs: RG, RB, GB."""

    logits: Float[Tensor, "b k h w"]  # of the components' weights π
    means: Float[Tensor, "b k c h w"]  # before the earlier colours' share
    log_scales: Float[Tensor, "b k c h w"]  # ≥ −7: at 256 levels a bin's half-width is e^−5.5
    coefficients: Float[Tensor, "b k p h w"]  # in (−1, 1)

    def means_given(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k c h w"]:
        """The means once the colours are known: linear for each colour in those before it."""
        means = list(self.means.unbind(2))
        for c in range(1, len(means)):
            for d in range(c):
                means[c] = means[c] + self.coefficients[:, :, c * (c - 1) // 2 + d] * x[:, None, d]
        return torch.stack(means, 2)

    def log_prob(self, x: Float[Tensor, "b c h w"], levels: int) -> Float[Tensor, "b h w"]:
        """log Σₖ πₖ Π_c P(x_c | the colours before it, k): nats per place."""
        colours = discretized_logistic_log_prob(x[:, None], self.means_given(x), self.log_scales, levels)
        return torch.logsumexp(self.logits.log_softmax(1) + colours.sum(2), 1)

    def draw(self, u: Float[Tensor, "b c1 h w"], levels: int, temperature: float) -> Float[Tensor, "b c h w"]:
        """Uniform numbers to grey levels: u[:, 0] chooses the component, u[:, 1 + c] goes through colour c's inverse distribution function."""
        cumulative = (self.logits / temperature).softmax(1).cumsum(1)
        k = (cumulative <= u[:, :1]).sum(1, keepdim=True).clamp(max=cumulative.shape[1] - 1)[:, :, None]  # (b, 1, 1, h, w)
        one = Mixture(self.logits, *(v.gather(1, k.expand(-1, 1, v.shape[2], -1, -1)) for v in self[1:]))
        x = torch.zeros_like(deviation := one.log_scales[:, 0].exp() * temperature * u[:, 1:].logit())
        for c in range(x.shape[1]):  # green's mean needs the red drawn
            x[:, c] = one.means_given(x)[:, 0, c] + deviation[:, c]
            x[:, c] = to_grid((x[:, c] + 1) / 2, levels) * 2 - 1
        return to_grid((x + 1) / 2, levels)


def to_grid(x: Float[Tensor, "..."], levels: int) -> Float[Tensor, "..."]:
    """The nearest of 0, 1/(levels − 1), …, 1."""
    return (x * (levels - 1)).round().clamp(0, levels - 1) / (levels - 1)


def concat_elu(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
    """elu of x and of −x: nothing is cut off (Shang et al. 2016 with elu for relu)."""
    return F.elu(torch.cat([x, -x], 1))


class GatedBlock(nn.Module):
    """x + a σ(b), where (a, b) come from x by two convolutions, from a side input by a 1×1 one, and from the context. Dropout lies between the two.

    Reference: Salimans et al. 2017, §2.4–2.6; van den Oord et al. 2016, eq. 2 (the gate).
    """

    def __init__(self, hidden: int, side: int, right: bool, dropout: float, context: int):
        super().__init__()
        size = (2, 2) if right else (2, 3)
        self.first = ShiftedConv2d(2 * hidden, hidden, size, right=right)
        self.side = ShiftedConv2d(2 * side, hidden) if side else None
        self.dropout = nn.Dropout(dropout)
        self.second = ShiftedConv2d(2 * hidden, 2 * hidden, size, right=right, scale=0.1)
        self.context = nn.Linear(context, 2 * hidden, bias=False) if context else None

    def forward(
        self, x: Float[Tensor, "b c h w"], side: Float[Tensor, "b d h w"] | None, context: Float[Tensor, "b l"] | None, at: At | None = None
    ) -> Float[Tensor, "b c h w"]:
        y = self.first(concat_elu(x), at)
        if self.side is not None and side is not None:
            y = y + self.side(concat_elu(side), at)
        y = self.second(self.dropout(concat_elu(y)), at)
        if self.context is not None:
            y = y + self.context(context)[:, :, None, None]
        a, b = y.chunk(2, 1)
        return x + a * b.sigmoid()


class Stream(nn.Module):
    """A U of gated blocks: some at this resolution, the coarser U, and as many again that are told, in reverse, what went before (long-range skips).

    The stream to the right is told besides what the stream above has after the same block.
    """

    def __init__(self, hidden: int, layers: int, resolutions: int, right: bool, dropout: float, context: int):
        super().__init__()
        told = hidden if right else 0
        deepest = resolutions == 1
        self.before = nn.ModuleList(GatedBlock(hidden, told, right, dropout, context) for _ in range(layers))
        self.after = nn.ModuleList(GatedBlock(hidden, hidden + told, right, dropout, context) for _ in range(layers + (not deepest)))
        self.coarser = None
        if not deepest:
            self.shrink = ShiftedConv2d(hidden, hidden, (2, 2) if right else (2, 3), right=right, stride=2)
            self.coarser = Stream(hidden, layers, resolutions - 1, right, dropout, context)
            self.grow = ShiftedConvTranspose2d(hidden, hidden, right=right)

    def forward(self, x: Float[Tensor, "b c h w"], context: Tensor | None, above: Any = None, at: At | None = None) -> tuple[Float[Tensor, "b c h w"], Any]:
        """The U's output, and what it has after each block, in the shape of the U, which is the other stream's `above`."""
        told: Any = ([], None, [])

        def here(part: int) -> list[Tensor]:  # what the stream above has at this place
            if above is None:
                return []
            v = above[part][len(told[part])]
            return [v if at is None else v[..., at.j : at.j + 1]]  # type: ignore[operator]

        skips = [x]
        for block in self.before:
            x = block(x, *(here(0) or [None]), context, at)
            skips.append(x)
            told[0].append(x)
        if self.coarser is None:
            skips.pop()
        else:
            y = self.shrink(x, at)  # called at every place, for its memory
            if at is None or at.begins:
                y, coarse = self.coarser(y, context, above and above[1], at and at.coarser())
                told = (told[0], coarse, [])
            x = self.grow(y if at is None or at.begins else None, (x.shape[2], x.shape[3]), at)
        for block in self.after:
            x = block(x, torch.cat([*here(2), skips.pop()], 1), context, at)
            told[2].append(x)
        return x, told


class PixelCNNpp(nn.Module):
    """A distribution over images whose grey levels have an order, with probabilities of whole pixels.

    Args:
        levels: grey levels of a colour, K.
        hidden: channels of the features.
        layers: gated blocks of a stream, at each resolution, on the way down; on the way up there is one more (at the coarsest as many).
        colours: 1 or 3.
        mixtures: components of a pixel's mixture.
        dropout: the share of features put to 0 inside each block in training.
        context: length of a vector that each image is conditioned on; 0 for none.
        resolutions: how many; each has half the rows and columns of the one before, rounded up.

    Raises:
        ValueError: sizes below 1, fewer than 2 levels, a negative context, or a dropout not in [0, 1).

    Reference: Salimans, Karpathy, Chen, Kingma 2017.
    """

    def __init__(
        self, levels: int = 256, hidden: int = 32, layers: int = 2, *, colours: int = 3, mixtures: int = 5, dropout: float = 0.5, context: int = 0,
        resolutions: int = 3,
    ):
        super().__init__()
        if levels < 2 or context < 0 or not 0 <= dropout < 1:
            raise ValueError(f"levels, context, dropout: expected at least 2, at least 0 and one in [0, 1), got {levels}, {context} and {dropout}")
        if min(hidden, layers, mixtures, resolutions) < 1 or colours not in (1, 3):
            got = f"{hidden}, {layers}, {mixtures}, {resolutions} and {colours}"
            raise ValueError(f"hidden, layers, mixtures, resolutions, colours: expected at least 1, and 1 or 3 colours, got {got}")
        self.levels, self.colours, self.mixtures, self.context = levels, colours, mixtures, context
        self.above = ShiftedConv2d(colours + 1, hidden, (2, 3))
        self.row_above = ShiftedConv2d(colours + 1, hidden, (1, 3))
        self.beside = ShiftedConv2d(colours + 1, hidden, (2, 1), right=True)
        self.down = Stream(hidden, layers, resolutions, False, dropout, context)
        self.right = Stream(hidden, layers, resolutions, True, dropout, context)
        self.pairs = colours * (colours - 1) // 2  # 0 or 3
        self.last = ShiftedConv2d(hidden, mixtures * (1 + 2 * colours + self.pairs))

    def forward(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b l"] | None = None) -> Mixture:
        """The mixture of each place, given the places before it. The first rows of an image may come alone.

        Raises:
            ValueError: x that is no batch of images of these colours with grey levels in [0, 1], or a context of another length or missing.
        """
        self.check(x, context)
        x = torch.cat([2 * x - 1, torch.ones_like(x[:, :1])], 1)  # with a channel of ones, the border is no mid grey
        moved_down, moved_right = F.pad(x, (0, 0, 1, -1)), F.pad(x, (1, -1, 0, 0))
        _, above = self.down(self.above(moved_down), context)
        y, _ = self.right(self.row_above(moved_down) + self.beside(moved_right), context, above)
        return self.mixture(y)

    def mixture(self, y: Float[Tensor, "b c h w"], at: At | None = None) -> Mixture:
        k = self.mixtures
        logits, means, log_scales, coefficients = self.last(F.elu(y), at).split([k, k * self.colours, k * self.colours, k * self.pairs], 1)
        parts = (v.unflatten(1, (k, v.shape[1] // k)) for v in (means, log_scales.clamp(min=-7), coefficients.tanh()))
        return Mixture(logits, *parts)

    def log_prob(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b l"] | None = None) -> Float[Tensor, " b"]:
        """log p(x) in nats per image. Between the grey levels, the mass of a bin around x: x can be moved along the gradient."""
        return self(x, context).log_prob(2 * x - 1, self.levels).sum((1, 2))

    def loss(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b l"] | None = None) -> Float[Tensor, ""]:
        """−log p(x) in nats per image, averaged over the batch."""
        return -self.log_prob(x, context).mean()

    @torch.no_grad()
    def initialise(self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "b l"] | None = None) -> None:
        """Once, before training: set lengths and biases so that on this batch each layer's channels have mean 0 and deviation 1 (0.1 before the gates).

        Reference: Salimans & Kingma 2016, eq. 6.
        """

        def standardise(conv: Any, _: Any, y: Tensor) -> Tensor:
            deviation = y.std((0, 2, 3), unbiased=False)
            factor = torch.where(deviation > 1e-5, conv.scale / deviation, 1.0)  # 1 for what does not vary, as the coarsest features of a tiny image
            shift = -y.mean((0, 2, 3)) * factor
            conv.weight.length.mul_(factor.view_as(conv.weight.length))
            conv.bias.mul_(factor).add_(shift)
            return y * factor[:, None, None] + shift[:, None, None]

        hooks = [m.register_forward_hook(standardise) for m in self.modules() if isinstance(m, ShiftedConv2d | ShiftedConvTranspose2d)]
        try:
            self(x, context)
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def sample(
        self, n: int, shape: tuple[int, int] = (32, 32), *, context: Float[Tensor, "n l"] | None = None, temperature: float = 1.0,
        given: Float[Tensor, "n c rows w"] | None = None, known: Bool[Tensor, "h w"] | None = None, noise: Float[Tensor, "n c1 h w"] | None = None,
        cached: bool = True,
    ) -> Float[Tensor, "n c h w"]:
        """Ancestral sampling, without dropout: each pixel is drawn given those drawn before, green given the red drawn, blue given both.

        Args:
            n, shape: how many images, of how many rows and columns.
            context: one for each image.
            temperature: divides the logits of the components and multiplies their scales.
            given: images whose pixels are kept where `known` is True; or, without `known`, the first rows.
            noise: u ~ U(0, 1), one number more than colours for each pixel: the first chooses the component, the others the grey levels.
            cached: each layer keeps two rows, so that a pixel costs one place of the network, and a coarse one only every second; the images are the same.

        Raises:
            ValueError: n or shape below 1, a temperature that is not positive, or given, known, noise or context that do not fit.
        """
        if noise is not None and (noise.shape != (n, 1 + self.colours, *shape) or not ((noise >= 0) & (noise <= 1)).all()):
            raise ValueError(f"noise: expected the shape {(n, 1 + self.colours, *shape)} and numbers from 0 to 1, got {tuple(noise.shape)}")
        level, kept, u = begin(n, self.colours, shape, self.levels, temperature, given, known, None if noise is None else noise[:, 1:], self.last.bias)
        u = torch.cat([torch.rand_like(u[:, :1]), u], 1) if noise is None else noise
        x = to_image(level, self.levels, u)
        self.check(x, context)
        training = self.training
        self.eval()
        look = self.places(x, context) if cached else lambda i, j: Mixture(*(v[..., i : i + 1, j : j + 1] for v in self(x, context)))
        for i, j in product(*map(range, shape)):
            if cached or not kept[i, j]:
                mixture = look(i, j)
            if not kept[i, j]:
                x[:, :, i : i + 1, j : j + 1] = mixture.draw(u[:, :, i : i + 1, j : j + 1], self.levels, temperature)
        self.train(training)
        return x

    def places(self, x: Float[Tensor, "n c h w"], context: Float[Tensor, "n l"] | None) -> Callable[[int, int], Mixture]:
        """A function (i, j) → the mixture of one place, to be called in reading order, x being filled in meanwhile.

        The stream above does a row at a time, as soon as the row before is there; the stream to the right, a place at a time.
        """
        memory: dict[nn.Module, Any] = {}
        image = F.pad(torch.cat([x, torch.ones_like(x[:, :1])], 1), (1, 0, 1, 0))  # row i of it is row i − 1 of x
        row: Any = None

        def look(i: int, j: int) -> Mixture:
            nonlocal row
            if i > 0 or j > 0:
                p, q = divmod(i * x.shape[3] + j - 1, x.shape[3])  # the pixel before
                image[:, :-1, p + 1, q + 1] = 2 * x[:, :, p, q] - 1
            if j == 0:
                at = At(memory, i, None, x.shape[3])
                moved_down = image[:, :, i : i + 1, 1:]
                row = self.row_above(moved_down, at), self.down(self.above(moved_down, at), context, None, at)[1]
            y = row[0][..., j : j + 1] + self.beside(image[:, :, i + 1 : i + 2, j : j + 1], at := At(memory, i, j, x.shape[3]))
            return self.mixture(self.right(y, context, row[1], at)[0], at)

        return look

    def check(self, x: Tensor, context: Tensor | None) -> None:
        check_image(x, self.colours, self.levels)
        if (context is None) != (self.context == 0) or (context is not None and context.shape != (len(x), self.context)):
            expected = (len(x), self.context) if self.context else "no context"
            raise ValueError(f"context: expected {expected}, got {'none' if context is None else tuple(context.shape)}")
