"""RIDE, the recurrent image density estimator: a memory that crosses the image, and a mixture that turns it into a density for the next pixel.

    p(x) = Πᵢⱼ p(xᵢⱼ ∣ x₍<ᵢⱼ₎)              pixels in reading order
    hᵢⱼ = SLSTM(cᵢⱼ, hᵢ,ⱼ₋₁, hᵢ₋₁,ⱼ)         c is a small causal neighbourhood; h sums up what came before and hands it on, to the right and down
    p(xᵢⱼ ∣ x₍<ᵢⱼ₎) = MCGSM(xᵢⱼ ∣ hᵢⱼ)        a mixture of Gaussians whose weights and means depend on h

An MCGSM alone sees the twelve pixels of c. Through h it hears of everything above and to the left, at any distance.

What to know before using it:

- **Order.** hᵢⱼ waits for its left and its upper neighbour, so the pixels cannot all be computed at once. Those of one anti-diagonal can: H + W − 1 steps
  instead of H·W.
- **Reach.** hᵢⱼ reads columns up to j + 2. Pixels further right, though above and so before xᵢⱼ, are never seen, with any number of layers.
- **Growth.** Nothing keeps the sum of a cell's two forget gates below 1. It can come near 2, and the cell doubles at each anti-diagonal; with the two
  layers that were published, float32 overflows within 160 to 380 of them on photographs of 481 × 321, and ∞ − ∞ is NaN. Two guards. Cells stop at
  ±`CELL_LIMIT`, where tanh(o·c) has long been ±1 unless the output gate is all but shut: the density is finite at any size. Its gradient need not be: going
  back it grows by the same sums, along paths that no stopped cell blocks. So `tile` starts the memory anew at every so many pixels: a different model (a
  shorter memory; each conditional still reads only the past, so it is still a density), and the regime of small patches in which a RIDE is trained.
- **Slowness.** Where tanh saturates, gradients fade to numbers below 10⁻³⁸, which many processors handle slowly (a fifth of the time to go back through two
  published layers): run within `flushed()`.

Reference: Theis & Bethge 2015, "Generative image modeling using spatial LSTMs", NeurIPS.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gensr.models.mcgsm import MCGSM, Whitening, contexts, neighbourhood

OFFSETS = neighbourhood(3, 5)  # 12 pixels: two rows above, two columns to each side
TOP, SIDE = 2, 2
CELL_LIMIT = 1e6


class SpatialLSTM(nn.Module):
    """One layer of spatial LSTM: an LSTM with two pasts, one to the left and one above.

        (g, o, i, f_left, f_up) = (tanh, σ, σ, σ, σ)(U x_ij + V_left h_i,j−1 + V_up h_i−1,j + b)
        c_ij = f_left ⊙ c_i,j−1 + f_up ⊙ c_i−1,j + i ⊙ g
        h_ij = tanh(o ⊙ c_ij)

    Mind the last line: the gate is inside. An LSTM in common use has o ⊙ tanh(c). States outside the image are 0.

    Args:
        channels: of the input.
        hidden: n, numbers in h and in c.

    Raises:
        ValueError: channels or hidden below 1.

    Reference: Theis & Bethge 2015, §2.2; Graves & Schmidhuber 2009 (LSTMs with many pasts).
    """

    def __init__(self, channels: int, hidden: int = 64):
        super().__init__()
        if min(channels, hidden) < 1:
            raise ValueError(f"channels, hidden: expected at least 1, got {channels} and {hidden}")
        self.hidden = hidden
        self.input = nn.Linear(channels, 5 * hidden)  # U and b
        self.left = nn.Linear(hidden, 5 * hidden, bias=False)
        self.up = nn.Linear(hidden, 5 * hidden, bias=False)
        for layer in (self.input, self.left, self.up):
            nn.init.normal_(layer.weight, std=(channels + 2 * hidden) ** -0.5)
        nn.init.zeros_(self.input.bias)  # both forget gates at ½: a cell is the mean of its two pasts, and neither grows nor fades

    def cell(
        self, a: Float[Tensor, "*p a"], h_left: Float[Tensor, "*p n"], h_up: Float[Tensor, "*p n"], c_left: Float[Tensor, "*p n"], c_up: Float[Tensor, "*p n"]
    ) -> tuple[Float[Tensor, "*p n"], Float[Tensor, "*p n"]]:
        """h and c of one or many pixels, given a = U x + b and what their neighbours left."""
        g, *gates = (a + self.left(h_left) + self.up(h_up)).chunk(5, -1)
        o, i, f_left, f_up = (gate.sigmoid() for gate in gates)
        c = f_left * c_left + f_up * c_up + i * g.tanh()
        c = c.clamp(-CELL_LIMIT, CELL_LIMIT)
        return (o * c).tanh(), c

    def raster(self, x: Float[Tensor, "b k h w"]) -> Float[Tensor, "b n h w"]:
        """The recurrence as it is defined, pixel after pixel: to be read, and to compare `forward` with."""
        b, _, height, width = x.shape
        a = iter(self.input(x.flatten(2).permute(2, 0, 1)))  # of one pixel (b, 5n); slicing a tensor would fill a whole image with zeros at each step back
        zero = x.new_zeros(b, self.hidden)
        h, c = {}, {}
        for i in range(height):
            for j in range(width):
                left, up = (i, j - 1), (i - 1, j)
                h[i, j], c[i, j] = self.cell(next(a), h.get(left, zero), h.get(up, zero), c.get(left, zero), c.get(up, zero))
        return torch.stack(list(h.values()), -1).unflatten(-1, (height, width))

    def forward(self, x: Float[Tensor, "b k h w"]) -> Float[Tensor, "b n h w"]:
        """h of all pixels, one anti-diagonal after another.

        Pixels with the same i + j do not need each other. Put in the order of their diagonals, the image falls into H + W − 1 pieces; the piece before
        holds both neighbours of every pixel, the left one in its row and the upper one in the row before. (Shifting row i right by i, the usual way,
        turns diagonals into columns with holes; this is the same without the holes.)
        """
        b, _, height, width = x.shape
        i, j = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        order = (i + j).flatten().argsort(stable=True).to(x.device)  # within a diagonal from the top down
        sizes = (i + j).flatten().bincount().tolist()
        pieces = self.input(x.flatten(2).permute(2, 0, 1)[order]).split(sizes)  # (rows, b, 5n) each
        h = c = x.new_zeros(0, b, self.hidden)
        out, top = [], 0  # top is the first row of the diagonal at hand
        for d, a in enumerate(pieces):
            last, top = top, max(0, d - width + 1)
            h, c = F.pad(h, (0, 0, 0, 0, 1, 1)), F.pad(c, (0, 0, 0, 0, 1, 1))  # rows last − 1, …
            up = slice(top - last, top - last + len(a))
            left = slice(up.start + 1, up.stop + 1)
            h, c = self.cell(a, h[left], h[up], c[left], c[up])
            out.append(h)
        return torch.cat(out)[order.argsort()].permute(1, 2, 0).unflatten(-1, (height, width))


class RIDE(nn.Module):
    """Layers of spatial LSTM on whitened neighbourhoods, and an MCGSM that reads the last layer's h.

    Like `MarkovMesh` it is a density of the pixels whose neighbourhood lies inside the image, given the others: two rows above, two columns at each side.
    `framed(x)` gives an image such a frame of constant grey; then all pixels of x count, and log_prob(framed(x)) is a density of the whole of x.

    Before training: `model.whitening.fit(*pairs(images, OFFSETS))`. It starts with short images and ends with longer ones (8 to 22 pixels in the paper):
    gradients through a long memory are of use only when the short one is in place.

    Args:
        hidden: n, of each layer.
        layers: of spatial LSTM; the second reads the first's h, and so on.
        components: K, of the MCGSM.
        scales: S.
        features: F.
        tile: None, or rows and columns after which the memory starts anew.

    Raises:
        ValueError: hidden, layers or tile below 1.

    Reference: Theis & Bethge 2015, §2.3 and §3.
    """

    def __init__(self, hidden: int = 64, layers: int = 1, components: int = 32, scales: int = 4, features: int = 32, *, tile: int | None = None):
        super().__init__()
        if min(hidden, layers) < 1 or (tile is not None and tile < 1):
            raise ValueError(f"hidden, layers, tile: expected at least 1, got {hidden}, {layers} and {tile}")
        self.tile = tile
        self.whitening = Whitening(len(OFFSETS))
        self.slstm = nn.Sequential(*(SpatialLSTM(hidden if layer else len(OFFSETS), hidden) for layer in range(layers)))
        self.readout = MCGSM(hidden, components, scales, features)

    def states(self, z: Float[Tensor, "b h w k"]) -> Float[Tensor, "b h w n"]:
        """h of the last layer from whitened neighbourhoods; tiles, if any, side by side in the batch."""
        (b, height, width, _), z, t = z.shape, z.movedim(-1, 1), self.tile
        if t is None:
            return self.slstm(z).movedim(1, -1)
        z = F.pad(z, (0, -width % t, 0, -height % t))
        rows, columns = z.shape[2] // t, z.shape[3] // t
        z = z.unflatten(3, (columns, t)).unflatten(2, (rows, t)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)  # (b·rows·columns, k, t, t)
        h = self.slstm(z).unflatten(0, (b, rows, columns)).permute(0, 1, 4, 2, 5, 3)  # (b, rows, t, columns, t, n)
        return h.flatten(3, 4).flatten(1, 2)[:, :height, :width]

    def pixel_log_prob(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b h2 w2"]:
        """log p(xᵢⱼ ∣ x₍<ᵢⱼ₎) of the h − 2 by w − 4 pixels within the frame, in nats, the whitening's log-Jacobian included; differentiable in x."""
        z, v, log_jacobian = self.whitening(*contexts(x, OFFSETS))
        return self.readout.log_prob(self.states(z), v) + log_jacobian

    def log_prob(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
        """log p(interior ∣ frame) in nats per image; a density, so it may be positive."""
        return self.pixel_log_prob(x).sum((1, 2))

    def loss(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """−log p in nats per pixel, averaged: per pixel, so that short and long images weigh alike and one learning rate does for all."""
        return -self.pixel_log_prob(x).mean()

    def bits(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
        """Log₂-density per pixel on [0, 1] pixels: *higher is better*. 8 minus this is the cost in bits per pixel of the 256 levels."""
        return self.pixel_log_prob(x).mean((1, 2)) / math.log(2)

    def framed(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """x with two rows of mean grey above and two columns at each side, so that every pixel of x has a whole neighbourhood."""
        return F.pad(x, (SIDE, SIDE, TOP, 0), value=float(self.whitening.get_buffer("mean_out")))

    @torch.no_grad()
    def draw(
        self, x: Float[Tensor, "b 1 h w"], *, together: bool = True, limits: tuple[float, float] = (-math.inf, math.inf),
        noise: tuple[Float[Tensor, "b h w"], Float[Tensor, "b h w"]] | None = None,
    ) -> Float[Tensor, "b 1 h w"]:
        """Draw the interior anew given the frame, each pixel given those before it; the states are kept, so that a pixel costs one cell per layer.

        The last one a pixel waits for lies one row up and two columns to the right: pixels with the same 3i + j do not need each other, and are drawn at once.

        Args:
            together: otherwise one by one, in reading order. The same noise gives the same image.
            limits: every pixel is clipped to them; by default none are, and x is a draw from the density that `log_prob` gives.
            noise: u ~ U(0, 1) and e ~ N(0, 1) of each pixel, for `MCGSM.sample`; drawn if not given.
        """
        b, _, height, width = x.shape
        height, width = height - TOP, width - 2 * SIDE
        contexts(x, OFFSETS)  # refuses what is too small
        if noise is not None and any(v.shape != x[:, 0].shape for v in noise):
            raise ValueError(f"noise: expected two of the shape {tuple(x[:, 0].shape)}, got {[tuple(v.shape) for v in noise]}")
        u, e = noise or (torch.rand_like(x[:, 0]), torch.randn_like(x[:, 0]))
        x = x[:, 0].clone()
        h, c = ([x.new_zeros(b, height, width, layer.hidden) for layer in self.slstm] for _ in range(2))  # type: ignore[misc]
        tile = self.tile or max(height, width)
        di, dj = torch.tensor(OFFSETS, device=x.device).T
        rows, columns = torch.arange(height, device=x.device)[:, None], torch.arange(width, device=x.device)
        time = (3 if together else width) * rows + columns
        for t in range(int(time.max()) + 1):
            i, j = (time == t).nonzero(as_tuple=True)
            if not len(i):
                continue
            has_left, has_up = ((k % tile > 0).to(x.dtype)[:, None] for k in (j, i))
            row, column = i + TOP, j + SIDE
            z, _, _ = self.whitening(x[:, row[:, None] + di, column[:, None] + dj], x[:, row, column])  # (b, m, 12)
            s = z
            for layer, hs, cs in zip(self.slstm, h, c, strict=True):
                left, up = (i, j - 1), (i - 1, j)  # −1 is the far border, but then the factor is 0
                states = (past[:, k, m] * has for past in (hs, cs) for (k, m), has in ((left, has_left), (up, has_up)))
                s, cs[:, i, j] = layer.cell(layer.input(s), *states)  # type: ignore[operator]
                hs[:, i, j] = s
            v = self.readout.sample(s, u[:, row, column], e[:, row, column])
            x[:, row, column] = self.whitening.inverse(z, v).clamp(*limits)
        return x[:, None]

    def sample(
        self, n: int, shape: tuple[int, int], *, burn_in: int = 16, together: bool = True, limits: tuple[float, float] = (0.0, 1.0)
    ) -> Float[Tensor, "n 1 h w"]:
        """Draw textures, from a frame of noise around the mean grey; `burn_in` more rows and columns at each side are cut off, until it is forgotten.

        Args:
            shape: rows and columns.
            together, limits: as for `draw`; clipping by default, as a value far from all data would upset those after it.

        Raises:
            ValueError: n or shape below 1, or a negative burn_in.
        """
        height, width = shape
        if min(n, height, width) < 1 or burn_in < 0:
            raise ValueError(f"n, shape, burn_in: expected at least 1, 1 and 0, got {n}, {shape} and {burn_in}")
        mean, top, side = self.whitening.get_buffer("mean_out"), TOP + burn_in, SIDE + burn_in
        noise = torch.randn(n, 1, height + top, width + 2 * side, dtype=mean.dtype, device=mean.device)
        return self.draw((mean + 0.1 * noise).clamp(*limits), together=together, limits=limits)[:, :, top:, side : side + width]


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Within it, numbers too small for full precision (below 1.2e-38 in float32) count as 0; afterwards, as before. It holds for the thread that calls it.

    >>> with flushed():
    ...     loss = model.loss(x)
    ...     loss.backward()
    """
    before = bool(torch.full((1,), 1.2e-38) * 0.5 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def load_published(path: str | Path, *, tile: int | None = 64) -> RIDE:
    """Weights published with the reference below, as arrays in an .npz file: 1 or 2 layers of 64, K = 32, S = 4, F = 32; in eval mode.

    Made for photographs, 8-bit grey levels divided by 255, and for images of about 64 × 64: on larger ones the cells run away, hence the default tile.

    Raises:
        ValueError: a file without the arrays of such a model.

    Reference: Dave, Vadathya, Subramanyam, Baburajan, Mitra 2019, "Solving inverse computational imaging problems using deep pixel-level prior", IEEE TCI 5.
    """
    with np.load(path) as file:
        w = {name: torch.from_numpy(np.atleast_1d(file[name])).float() for name in file.files}
    layers = sum(name.endswith(".W_g") for name in w)
    if layers == 0 or "mcgsm.priors" not in w or "pre.mean_in" not in w:
        raise ValueError(f"path: expected arrays slstm0.W_g, …, mcgsm.priors, … and pre.mean_in, …, got {sorted(w)[:3]} … in {path}")
    hidden, (components, scales), features = len(w["slstm0.b_g"]), w["mcgsm.priors"].shape, w["mcgsm.features"].shape[1]
    model = RIDE(hidden, layers, components, scales, features, tile=tile)
    new = {}
    for k in range(layers):
        gates = ["g", "o", "i", "f_j", "f_i"]  # f_j belongs to the past on the left, f_i to the one above
        W = torch.cat([w[f"slstm{k}.W_{gate}"] for gate in gates])  # columns: input, h_left, h_up
        parts = W.split([W.shape[1] - 2 * hidden, hidden, hidden], 1)
        new |= {f"slstm.{k}.{name}.weight": part for name, part in zip(("input", "left", "up"), parts, strict=True)}
        new[f"slstm.{k}.input.bias"] = torch.cat([w[f"slstm{k}.b_{gate}"] for gate in gates])
    names = {"alpha": "scales", "eta": "priors", "b": "features", "beta": "weights", "omega": "linear_features", "a": "predictors", "m": "means"}
    new |= {f"readout.{ours}": w[f"mcgsm.{theirs}"] for ours, theirs in names.items()}
    new["readout.log_L"] = w["mcgsm.cholesky"].abs().log()
    new |= {f"whitening.{name}": w[f"pre.{name}"] for name in ("mean_in", "predictor")}
    new |= {f"whitening.{name}": w[f"pre.{name}"][0] for name in ("mean_out", "whiten_out")}
    new["whitening.whiten_in"] = w["pre.whiten_in"].T  # ours multiplies from the right
    model.load_state_dict(new)
    return model.eval()
