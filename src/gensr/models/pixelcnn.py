"""Autoregressive convolutions: a grid of words is told place by place, row by row, each knowing those before it.

    log p(k) = Σ_t log p(k_t | k_1, …, k_{t−1})        t runs in reading order

One convolutional network gives all the factors in one pass, if no factor can see its own place or a later one. Masks see to that: the first layer's hides the
centre of its kernel and all that comes after (mask A); the layers above read features that are clean already, so theirs may keep the centre (mask B).

Stacked 3×3 masks reach one column to the right for each row up. What lies further to the right, though it comes before, is never seen: the blind spot.

Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, "Pixel recurrent neural networks", ICML, §3.4–3.5; van den Oord et al. 2016, "Conditional image
generation with PixelCNN decoders", NeurIPS (the blind spot).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class MaskedConv2d(nn.Conv2d):
    """A convolution whose kernel reads only what comes before its place in reading order, and with mask B its place too.

    Args:
        mask: "A" without the centre, for the first layer, "B" with it, for the others.
        channels, out: of its input and output.
        size: odd, of the kernel.

    Raises:
        ValueError: a mask that is neither, or an even size.

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, figure 2.
    """

    seen: Float[Tensor, "k k"]

    def __init__(self, mask: str, channels: int, out: int, size: int = 3):
        if mask not in ("A", "B"):
            raise ValueError(f"mask: expected 'A' or 'B', got {mask!r}")
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size: expected an odd number, got {size}")
        super().__init__(channels, out, size, padding=size // 2)
        seen = torch.zeros(size * size)
        seen[: size * size // 2 + (mask == "B")] = 1  # reading order is the order of memory
        self.register_buffer("seen", seen.view(size, size), persistent=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return F.conv2d(x, self.weight * self.seen, self.bias, padding=self.padding)  # type: ignore[arg-type]


class MaskedBlock(nn.Module):
    """x + conv1×1(relu(maskedB(relu(x)))): a residual block that sees its place and those before."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch = nn.Sequential(nn.ReLU(), MaskedConv2d("B", channels, channels), nn.ReLU(), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.branch(x)


class PixelCNN(nn.Module):
    """A distribution over grids of whole numbers 0 … levels − 1, which may be the words of a VQ-VAE or grey levels.

    Args:
        levels: how many numbers there are.
        hidden: channels of the features.
        layers: residual blocks; each widens the view by one row up, and one column to either side.
        size: of the first layer's kernel.
        grid: rows and columns, if all grids are the same; each place then has a learned vector, and the network need not count from the border.

    Raises:
        ValueError: levels, hidden or layers below 1.

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, §3.4–3.5.
    """

    def __init__(self, levels: int = 128, hidden: int = 64, layers: int = 6, *, size: int = 5, grid: tuple[int, int] | list[int] | None = None):
        super().__init__()
        if min(levels, hidden, layers) < 1:
            raise ValueError(f"levels, hidden, layers: expected at least 1, got {levels}, {hidden} and {layers}")
        self.levels = levels
        self.embedding = nn.Embedding(levels, hidden)  # the distance between two words' numbers means nothing
        self.first = MaskedConv2d("A", hidden, hidden, size)
        self.place = None if grid is None else nn.Parameter(torch.zeros(hidden, *grid))
        self.blocks = nn.Sequential(*(MaskedBlock(hidden) for _ in range(layers)))
        self.last = nn.Sequential(nn.ReLU(), nn.Conv2d(hidden, levels, 1))

    def forward(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b k h w"]:
        """Logits of the number at each place, given those before it. The first rows of a grid may come alone.

        Raises:
            ValueError: codes that are not integers, not in 0 … levels − 1, or, with a `grid`, of another size.
        """
        self.check(codes)
        x = self.first(self.embedding(codes).movedim(-1, 1))
        if self.place is not None:
            x = x + self.place[:, : codes.shape[1]]
        return self.last(self.blocks(x))

    def log_prob(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, " b"]:
        """log p(k) in nats per grid."""
        return -F.cross_entropy(self(codes), codes.long(), reduction="none").sum((1, 2))

    def loss(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, ""]:
        """−log p(k) in nats per grid, averaged over the batch."""
        return -self.log_prob(codes).mean()

    @torch.no_grad()
    def sample(
        self, n: int, shape: tuple[int, int], *, temperature: float = 1.0, given: Int[Tensor, "n rows w"] | None = None
    ) -> Int[Tensor, "n h w"]:
        """Ancestral sampling: each number is drawn from its factor, given those drawn before. One pass of the network for each place.

        Args:
            n: how many grids.
            shape: rows and columns.
            temperature: divides the logits; below 1, each draw favours what is likely.
            given: the first rows of each grid, to be completed.

        Raises:
            ValueError: n or shape below 1, a temperature that is not positive, or given rows that do not fit.
        """
        h, w = shape
        if min(n, h, w) < 1:
            raise ValueError(f"n, shape: expected at least 1, got {n} and {shape}")
        if not temperature > 0:
            raise ValueError(f"temperature: expected a positive number, got {temperature}")
        codes = torch.zeros(n, h, w, dtype=torch.long, device=self.embedding.weight.device)
        self.check(codes)
        start = 0
        if given is not None:
            if given.dim() != 3 or given.shape[0] != n or given.shape[2] != w or given.shape[1] > h:
                raise ValueError(f"given: expected the first rows of {n} grids of {h}×{w}, got the shape {tuple(given.shape)}")
            self.check(given)
            start = given.shape[1]
            codes[:, :start] = given
        for i in range(start, h):
            for j in range(w):
                logits = self(codes[:, : i + 1])[:, :, i, j]  # the rows below cannot matter
                codes[:, i, j] = torch.multinomial((logits / temperature).softmax(1), 1)[:, 0]
        return codes

    def check(self, codes: Tensor) -> None:
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise ValueError(f"codes: expected integers, got {codes.dtype}")
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < self.levels:
            raise ValueError(f"codes: expected numbers from 0 to {self.levels - 1}, got {int(codes.min())} … {int(codes.max())}")
        if self.place is not None and (codes.shape[1] > self.place.shape[1] or codes.shape[2] != self.place.shape[2]):
            raise ValueError(f"codes: expected a grid of {tuple(self.place.shape[1:])}, got {tuple(codes.shape[1:])}")
