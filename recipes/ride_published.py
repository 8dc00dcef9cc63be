"""The weights published for RIDE, measured: bits per pixel, both schedules, and how far their cells grow.

    OMP_NUM_THREADS=1 python recipes/ride_published.py

Writes book/chapters/measured/ride_published.json and ride_published_claims.json. GENSR_DATA/gen/ride holds the weights and 15 crops of BSDS photographs,
256 × 256; bits are those of its 240 tiles of 64 × 64, raw grey levels divided by 255, pixels with a whole neighbourhood only (62 × 60 of each tile).
"""

import json
import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common import ROOT, data_folder
from gensr.claims import claim
from gensr.io import read_image
from gensr.models import ride
from gensr.models.mcgsm import contexts
from gensr.models.ride import OFFSETS, RIDE, flushed, load_published

MEASURED, COMMAND = ROOT / "book" / "chapters" / "measured", "python recipes/ride_published.py"
GOLDEN = {1: 3.636, 2: 3.674}  # by another implementation, on the same tiles


def cell_sizes(model: RIDE, x: Tensor) -> list[list[float]]:
    """log₁₀ of the largest cell on each anti-diagonal of each layer, without the limit; infinite or NaN ends the list."""
    found: list[list[float]] = [[] for _ in model.slstm]
    limit, ride.CELL_LIMIT = ride.CELL_LIMIT, math.inf
    originals = [layer.cell for layer in model.slstm]  # type: ignore[union-attr]
    for sizes, layer, cell in zip(found, model.slstm, originals, strict=True):

        def spy(*inputs: Tensor, cell: Any = cell, sizes: list[float] = sizes) -> Any:
            h, c = cell(*inputs)
            sizes.append(c.abs().max().item())
            return h, c

        layer.cell = spy  # type: ignore[assignment]
    with torch.no_grad():
        model.log_prob(x)
    ride.CELL_LIMIT = limit
    for layer in model.slstm:
        del layer.cell
    kept = [sizes[: next((d for d, v in enumerate(sizes) if not math.isfinite(v)), len(sizes))] for sizes in found]
    return [[round(math.log10(v), 2) for v in sizes] for sizes in kept]


def gradient_is_finite(model: RIDE, x: Tensor) -> bool:
    x = x.clone().requires_grad_()
    log_prob = model.log_prob(x)
    (gradient,) = torch.autograd.grad(log_prob.sum(), x)
    return bool(log_prob.isfinite().all() and gradient.isfinite().all())


def main() -> None:
    start, folder, out, claims = time.process_time(), data_folder() / "gen" / "ride", {}, {}
    x = torch.from_numpy(np.load(folder / "crops.npz")["x"])[:, None].float() / 255
    photograph = read_image(data_folder() / "sr/bsd100/hr/101085.jpg").mean(1, keepdim=True)  # 481 × 321 or 321 × 481
    tiles = x.unfold(2, 64, 64).unfold(3, 64, 64).reshape(-1, 1, 64, 64)
    for layers, golden in GOLDEN.items():
        model = load_published(folder / f"ride_{layers}layer.npz", tile=None)
        with torch.no_grad(), flushed():
            bits = torch.cat([model.bits(part) for part in tiles.split(30)])
            z, gap = model.whitening(*contexts(x[3:4, :, 100:124, 60:88], OFFSETS))[0].movedim(-1, 1), 0.0
            for layer in model.slstm:
                gap = max(gap, (layer(z) - layer.raster(z)).abs().max().item())  # type: ignore[operator]
                z = layer(z)
            whole = {}
            for tile in (None, 64, 32, 16, 8):
                model.tile = tile
                whole[str(tile)] = round(torch.cat([model.bits(part) for part in x[:3].split(1)]).mean().item(), 4)
            model.tile = None
            grown = {"photograph": cell_sizes(model, photograph), "crop": cell_sizes(model, x[:1])}
            density = all(bool(model.log_prob(v).isfinite().all()) for v in (photograph, x[4:5]))
        guarded = gradient_is_finite(model, photograph) and gradient_is_finite(model, x[4:5])
        model.tile = 64
        tiled = gradient_is_finite(model, photograph) and gradient_is_finite(model, x[4:5])
        model.tile, limit, ride.CELL_LIMIT = None, ride.CELL_LIMIT, math.inf
        free = gradient_is_finite(model, photograph)
        ride.CELL_LIMIT = limit
        words = "one layer" if layers == 1 else "two layers"
        finite = {"free": free, "density, limit": density, "limit": guarded, "tiles": tiled}
        out[words] = {"bits": round(bits.mean().item(), 4), "bits_256_of_3": whole, "log10_cell": grown, "gap": gap, "finite": finite}
        print(words, bits.mean().item(), whole, finite, gap, [(len(g), max(g)) for g in grown["photograph"]], round(time.process_time() - start), flush=True)
        c = f"Published weights, {words}: bits per pixel on 240 tiles of photographs, difference from {golden}"
        claims[f"bits, {words}"] = claim(c, abs(out[words]["bits"] - golden), at_most=0.003, unit="bits")
        claims[f"gap, {words}"] = claim(f"Published weights, {words}: anti-diagonals against raster, largest difference of h", gap, at_most=1e-5)
        c = f"Published weights, {words}, 256 × 256 and a whole photograph, no tiles: density and gradient finite with the limit on cells (1 = yes)"
        claims[f"finite, {words}"] = claim(c, float(guarded), at_least=1)
        c = f"Published weights, {words}, the same two images: density and gradient finite in tiles of 64 (1 = yes)"
        claims[f"tiles, {words}"] = claim(c, float(tiled), at_least=1)
    cost = f"{time.process_time() - start:.0f} s of one core"
    for name, found in claims.items():
        found.save(MEASURED / "ride_published_claims.json", COMMAND, cost, name)
        print(name, found, sep=" | ")
    (MEASURED / "ride_published.json").write_text(json.dumps({"command": COMMAND, "cost": cost, **out}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
