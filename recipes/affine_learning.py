"""Can affine projected networks learn? Six arms of one experiment at 4×, on textures that ship in scikit-image, five seeds each.

    OMP_NUM_THREADS=1 python recipes/affine_learning.py

Stop it at will: finished runs stand in runs/affine_learning.jsonl and are not repeated.
Writes book/chapters/measured/affine_learning.json (curves) and affine_learning_claims.json.

A projected network is g(y) = f(y) + B(y − A f(y)). All arms of a seed have the same f at the start, the same batches and the same rate; they differ in B.
In the paper's names, F or T says whether B stays Fixed or is Trained along with f, and the second letter how it begins:

- FT, TT: Trained beforehand, so that B = A⁺ but for 2e-4 of its norm. One sub-pixel convolution of 19 × 19, by `fit_sub_pixel`.
- FR, TR: at Random. The same s² kernels of 19 × 19, each entry drawn from N(0, τ²) with τ² the mean square of the entries of A⁺, another draw for each seed.
- exact: B = A⁺ with nothing cut off (`Downsample`), fixed.
- none: f alone, no projection.

Two bodies f: one adds a bicubic enlargement of y to what it makes (`SubPixelNet`, the course's), the other makes the whole image ("plain": without the
projection it must first learn to copy y; without the exact arm). Bicubic enlargement is s²Aᵀ, so it lies in the range of A⁺, and I − A⁺A removes it:
behind A⁺ the two bodies learn alike. Settings and bounds were chosen on seed 100.

Reference: Sønderby, Caballero, Theis, Shi, Huszár 2017, "Amortised MAP inference for image super-resolution", ICLR, §5 (there on faces, with larger networks).
"""

import json
import platform
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common import ROOT, RUNS, revision
from gensr.claims import claim
from gensr.data.textures import NAMES, Crops, held_out
from gensr.nets import SubPixelNet
from gensr.operators import Downsample
from gensr.operators.subpixel import SubPixel, fit_sub_pixel
from gensr.superres.affine import AffineProjection
from gensr.superres.amortised import Regression, penalty
from gensr.train import cosine, fit

MEASURED, LOG = ROOT / "book" / "chapters" / "measured", RUNS / "affine_learning.jsonl"
ARMS = {"bicubic skip": ("none", "exact", "FT", "TT", "FR", "TR"), "plain": ("none", "FT", "TT", "FR", "TR")}  # of each body
SEEDS = range(5)
SCALE, SIZE, CROP, BATCH, CHANNELS, BLOCKS, STEPS, RATE = 4, 19, 48, 16, 16, 2, 500, 1e-3
POINTS = (0, 1, 2, 4, 7, 10, 15, 20, 30, 40, 50, 60, 80, 100, 125, 150, 175, 200, 225, 250, 275, 300, 350, 400, 450, 500)  # steps
EARLY = 100  # where the arms are compared early on
A = Downsample(SCALE)


class Pairs:
    """Batches (x, A x) without end."""

    def __init__(self, seed: int):
        self.crops = Crops(CROP, BATCH, seed=seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x in self.crops:
            yield x, A(x)


def network(body: str, arm: str, seed: int, fitted: SubPixel) -> nn.Module:
    """f with the arm's projection; equal seeds give equal f."""
    torch.manual_seed(seed)
    f = SubPixelNet(SCALE, 1, channels=CHANNELS, blocks=BLOCKS, skip=body != "plain")
    if arm == "none":
        return f
    if arm == "exact":
        return AffineProjection(f, A)
    B = SubPixel(A, SIZE)
    weight = fitted.weight.detach().clone()
    if arm[1] == "R":
        weight = weight.square().mean().sqrt() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1000 + seed))
    B.weight.data = weight
    return AffineProjection(f, B.requires_grad_(arm[0] == "T"))


@torch.no_grad()
def score(net: nn.Module, x: Tensor) -> tuple[float, float]:
    """Mean squared error a pixel, of the large image and of what the answer makes of the small one; nothing is clipped."""
    y = A(x)
    made = net(y)
    return F.mse_loss(made, x).item(), penalty(A, made, y).item() / y[0].numel()


def train(body: str, arm: str, seed: int, fitted: SubPixel) -> dict[str, Any]:
    """One run, with its curve on the held-out strips."""
    x = held_out("test", CROP)
    net = network(body, arm, seed, fitted)
    curve = [score(net, x)]
    began = time.process_time()

    def report(now: dict[str, Any]) -> None:
        if now["step"] in POINTS:
            curve.append(score(net, x))

    trained = [p for p in net.parameters() if p.requires_grad]
    fit(
        Regression(net, F.mse_loss), Pairs(seed), steps=STEPS, lr=cosine(RATE, STEPS), optimizer=torch.optim.Adam(trained, lr=RATE), callback=report,
        progress=False,
    )
    weights = {"distance": distance(net, fitted)} if arm in ("TT", "FR", "TR") else {}
    return {"mse": [m for m, _ in curve], "miss": [m for _, m in curve], **weights, "seconds": time.process_time() - began}


def distance(net: nn.Module, fitted: SubPixel) -> float:
    """How far the kernels of B are from those of A⁺ in the end, relative to their norm."""
    return ((net.operator.weight - fitted.weight).norm() / fitted.weight.norm()).item()


def main() -> None:
    torch.set_num_threads(1)
    RUNS.mkdir(exist_ok=True)
    fitted = fit_sub_pixel(A, SIZE)
    for seed in SEEDS:
        for body, arms in ARMS.items():
            for arm in arms:
                if (body, arm, seed) not in finished():
                    row = {"body": body, "arm": arm, "seed": seed, **train(body, arm, seed, fitted)}
                    with LOG.open("a", encoding="utf-8") as f:
                        f.write(json.dumps(row) + "\n")
                    print(f"{body:12} {arm:6} seed {seed}: {psnr(row)[-1]:.3f} dB, miss {row['miss'][-1]:.1e}, {row['seconds']:.0f} s", flush=True)
    publish(finished())


def finished() -> dict[tuple[str, str, int], dict[str, Any]]:
    lines = LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else []
    return {(r["body"], r["arm"], r["seed"]): r for r in map(json.loads, lines)}


def psnr(row: dict[str, Any]) -> np.ndarray:
    """PSNR at each point, of the error over all held-out pixels together."""
    return -10 * np.log10(np.array(row["mse"]))


def interval(values: np.ndarray, digits: int) -> dict[str, list[float]]:
    """Mean over seeds (first axis) and half the 95 % interval of the mean, by Student's t for five."""
    half = 2.7764 * values.std(0, ddof=1) / len(values) ** 0.5
    return {"mean": [round(v, digits) for v in values.mean(0).tolist()], "half": [round(v, digits) for v in half.tolist()]}


def publish(done: dict[tuple[str, str, int], dict[str, Any]]) -> None:
    """Curves, final figures and claims."""
    command, seconds = "OMP_NUM_THREADS=1 python recipes/affine_learning.py", sum(r["seconds"] for r in done.values())
    cost = f"{seconds / 60:.0f} CPU minutes of training in all"
    curves: dict[str, dict[str, Any]] = {body: {} for body in ARMS}
    for body, arms in ARMS.items():
        for arm in arms:
            rows = [done[body, arm, seed] for seed in SEEDS]
            curves[body][arm] = {
                "psnr": interval(np.stack([psnr(r) for r in rows]), 3), "log10_miss": interval(np.log10([r["miss"] for r in rows]), 2),
                "final_psnr": [round(float(psnr(r)[-1]), 3) for r in rows], "final_mse": [float(f"{r['mse'][-1]:.4g}") for r in rows],
                "final_miss": [float(f"{r['miss'][-1]:.2g}") for r in rows], "seconds": round(sum(r["seconds"] for r in rows)),
            }
            if "distance" in rows[0]:
                curves[body][arm]["distance_from_pinv"] = [round(r["distance"], 3) for r in rows]
    x = held_out("test", CROP)
    table = {
        "command": command, "revision": revision(), "cost": cost, "cpu_seconds": round(seconds), "machine": f"{platform.machine()}, one CPU thread",
        "settings": {
            "scale": SCALE, "kernel": "bicubic", "size_of_B": SIZE, "crop": CROP, "batch": BATCH, "channels": CHANNELS, "blocks": BLOCKS, "steps": STEPS,
            "rate": f"Adam, {RATE:g} falling to 0 along half a cosine", "textures": list(NAMES), "held_out": f"{len(x)} tiles of the test strips",
            "random_B": "each entry from N(0, τ²), τ² the mean square of the entries of A⁺'s kernels", "seeds": list(SEEDS),
        },
        "bicubic": round(-10 * np.log10(F.mse_loss(bicubic(x), x).item()), 3), "pinv": round(-10 * np.log10(F.mse_loss(A.pinv(A(x)), x).item()), 3),
        "steps": list(POINTS), "arms": curves,
    }
    MEASURED.mkdir(exist_ok=True)
    (MEASURED / "affine_learning.json").write_text(json.dumps(table, ensure_ascii=False) + "\n", encoding="utf-8")
    path = MEASURED / "affine_learning_claims.json"
    path.unlink(missing_ok=True)
    for name, statement, unit, effect, bounds in claims(done):
        measured = claim(statement, effect, SEEDS, unit=unit, **bounds)
        measured.save(path, command, cost, name)
        print(name, measured, statement, sep=" | ")


def bicubic(x: Tensor) -> Tensor:
    from gensr.resize import bicubic_upsample

    return bicubic_upsample(A(x), SCALE)


def claims(done: dict[tuple[str, str, int], dict[str, Any]]) -> Iterator[tuple[str, str, str, Any, dict[str, float]]]:
    """Name, statement, unit, effect of a seed, bounds."""

    def gap(body: str, a: str, b: str, at: int = STEPS) -> Any:
        i = POINTS.index(at)
        return lambda seed: float(psnr(done[body, a, seed])[i] - psnr(done[body, b, seed])[i])

    for body, short in (("bicubic skip", "skip"), ("plain", "plain")):
        yield f"{short}_ft_none", f"FT learns at least as well as no projection ({body}): PSNR, FT minus none", "dB", gap(body, "FT", "none"), {"at_least": 0}
        yield f"{short}_early", f"FT is ahead of no projection after {EARLY} steps ({body}): by", "dB", gap(body, "FT", "none", EARLY), {"at_least": 0}
        yield f"{short}_ft_fr", f"a fixed random B learns worse ({body}): PSNR, FT minus FR", "dB", gap(body, "FT", "FR"), {"at_least": 0}
        yield f"{short}_ft_tr", f"a random B that trains along stays behind ({body}): PSNR, FT minus TR", "dB", gap(body, "FT", "TR"), {"at_least": 0}
        yield f"{short}_none_tr", f"such a B does more harm than good ({body}): PSNR, none minus TR", "dB", gap(body, "none", "TR"), {"at_least": 0}
        yield (
            f"{short}_steps", f"FT reaches what f alone has in the end ({body}): after", "of the steps",
            lambda seed, body=body: POINTS[int((psnr(done[body, "FT", seed]) >= psnr(done[body, "none", seed])[-1]).argmax())] / STEPS, {"at_most": 0.6},
        )
        if body == "bicubic skip":
            yield f"{short}_tt_ft", f"training A⁺ along gains next to nothing ({body}): PSNR, TT minus FT", "dB", gap(body, "TT", "FT"), {"at_most": 0.05}
            yield (
                f"{short}_miss", f"A⁺ that trains along loses consistency ({body}): log₁₀ of ℓ(y, A x̂), TT minus FT", "decades",
                lambda seed, body=body: float(np.log10(done[body, "TT", seed]["miss"][-1] / done[body, "FT", seed]["miss"][-1])), {"at_least": 1},
            )


if __name__ == "__main__":
    main()
