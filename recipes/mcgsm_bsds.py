"""MCGSM on photographs: 24 neighbours, 16 components, at most 60 seconds of one core, and the simpler conditionals beside it; bits per pixel on BSD100.

    OMP_NUM_THREADS=1 GENSR_DATA=... python recipes/mcgsm_bsds.py [SEED ...]

Stop it at will: finished runs stand in runs/mcgsm_bsds.jsonl and are not repeated. With seeds named, only those are run. Once all are there it
writes book/chapters/measured/mcgsm_bsds.json, and its claims into mcgsm_claims.json.

Training: 300,000 pairs from the 199 photographs of train/bsds300_train. Test: 200,000 pixels, 2000 from each of the 100 photographs of sr/bsd100,
which share no picture with the others. Grey is Pillow's "L", 0.299 R + 0.587 G + 0.114 B on 0 … 255, rounded to 8 bits. Neighbours are level/255: one
may condition on anything. The pixel itself is either
  dequantised: (level + u)/256 with u ~ U(0, 1), for training and test alike, or
  raw: level/255, as in the golden figures of the published RIDE weights. A density of bare grey levels has no upper limit; that figure is flattered.
Unit: mean log₂ p(pixel | 24 neighbours) of pixels on [0, 1]; higher is better. "exact": the density is integrated over the level's cell, [level,
level + 1]/256 or [level − ½, level + ½]/255; log₂ of 256 times that probability. 8 minus it are the bits that an 8-bit pixel costs. By Jensen's
inequality the mean log₂ density of dequantised pixels is never above it. A raw one may be, and what it is above is the flattery.
Seconds are CPU seconds of one thread from the whitening to the last step; decoding the JPEGs and taking the pairs come before.
Settings were chosen on seed 0; the seeds measured are 100 to 104; "a minute" was added after half a minute had been measured. A seed draws training
pairs, noise and start; the test places are always the same.
"""

import copy
import itertools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import stats
from torch import Tensor, nn

from common import ROOT, RUNS, data_folder
from gensr.claims import claim
from gensr.densities import normal_log_prob
from gensr.models.mcgsm import MCGSM, MarkovMesh, neighbourhood, pairs
from gensr.train import fit

MEASURED, LOG = ROOT / "book" / "chapters" / "measured", RUNS / "mcgsm_bsds.jsonl"
SEEDS = range(100, 105)
OFFSETS, PAIRS, PIXELS, BATCH, RATE = neighbourhood(), 300_000, 2000, 1000, 0.01
ARMS: dict[str, tuple[str, tuple[int, int, int], float]] = {  # pixels; components, scales, features; CPU seconds
    "MCGSM": ("dequantised", (16, 6, 32), 30),
    "MCGSM, raw": ("raw", (16, 4, 24), 12),
    "GSM": ("dequantised", (1, 4, 24), 4),
    "MoG": ("dequantised", (16, 1, 24), 6),
    "MCGSM, a minute": ("dequantised", (16, 6, 32), 58),
}
Pairs = tuple[Tensor, Tensor]


def grey(folder: Path) -> list[Tensor]:
    return [torch.from_numpy(np.array(Image.open(path).convert("L")))[None] for path in sorted(folder.glob("*.jpg"))]


class Quick(nn.Module):
    """The gradient of −log p at less than half the cost, by Fisher's identity: ∇ log p = E[∇ joint logits ∣ c, y] − E[∇ gate logits ∣ c].

    The value of `loss` means nothing; its gradient is that of `MCGSM.loss` (to 1e-5 of its size, compared in float32).
    """

    def __init__(self, model: MCGSM):
        super().__init__()
        self.model = model

    def loss(self, c: Tensor, y: Tensor) -> Tensor:
        m, n = self.model, len(y)
        square = (c @ m.b).square() @ m.beta.square().T - 2 * c @ m.omega.T  # (n, k)
        error = ((y[:, None] - c @ m.a.T - m.m) * m.log_L.exp()).square()
        half, shift = -0.5 * m.alpha.exp(), 0.5 * m.alpha + m.log_L[:, None]  # (k, s)
        with torch.no_grad():
            total, means, products, pulls = square + error, [], [], []
            for start, energy in ((m.eta, square), (m.eta + shift, total)):  # the gate, then the posterior
                weight = torch.addcmul(start, half, energy[..., None]).flatten(1).softmax(1).view(n, *half.shape)
                means.append(weight.mean(0))
                products.append(torch.einsum("nks,nk->ks", weight, energy) / n)
                pulls.append(torch.einsum("nks,ks->nk", weight, half) / n)
        scales = ((means[0] - means[1]) * m.eta).sum() - (means[1] * shift).sum() + ((products[0] - products[1]) * half).sum()
        return scales + ((pulls[0] - pulls[1]) * square).sum() - (pulls[1] * error).sum()


def take(photos: list[Tensor], n: int, seed: int, pixels: str) -> Pairs:
    """Neighbours, bare; the pixel dequantised or bare."""
    c, y = pairs(photos, OFFSETS, n, seed, noise=False)
    u = torch.rand(y.shape, generator=torch.Generator().manual_seed(seed))
    return c, (255 * y + u) / 256 if pixels == "dequantised" else y


@torch.no_grad()
def by_image(model: MarkovMesh, test: list[Pairs]) -> list[float]:
    """Mean log p of each photograph's pixels, in nats."""
    return [model.pixel_log_prob(c, y).mean().item() for c, y in test]


@torch.no_grad()
def exact(model: MarkovMesh, test: list[Pairs], pixels: str) -> list[float]:
    """Mean log(256 P(level)) of each photograph's pixels, in nats: the mixture's normal distribution functions at both ends of the level's cell."""
    mixture, means = copy.deepcopy(model.conditional).double(), []
    for c, y in test:
        level = (y * 256).floor() if pixels == "dequantised" else (y * 255).round()
        low, high = (level / 256, (level + 1) / 256) if pixels == "dequantised" else ((level - 0.5) / 255, (level + 0.5) / 255)
        z, a, _ = (v.double() for v in model.whitening(c, low))
        b = model.whitening(c, high)[1].double()
        gate = mixture.energies(z, a)[0].flatten(-2).softmax(-1).view(len(y), *mixture.alpha.shape)
        mean, precision = z @ mixture.a.T + mixture.m, (0.5 * mixture.alpha + mixture.log_L[:, None]).exp()
        ends = [torch.special.ndtr((v[:, None] - mean)[..., None] * precision) for v in (a, b)]
        means.append((256 * (gate * (ends[1] - ends[0])).sum((1, 2))).clamp(min=1e-12).log().mean().item())
    return means


def linear(photos: list[Tensor], test: dict[str, list[Pairs]]) -> dict[str, list[float]]:
    """The two that need no search, dequantised: pixels for themselves, and linear regression; and regression on raw pixels."""
    rows = {}
    for pixels in test:
        c, y = take(photos, PAIRS, SEEDS[0], pixels)
        model = MarkovMesh(OFFSETS, MCGSM(len(OFFSETS), 1, 1, 0))
        model.whitening.fit(c, y)
        suffix = "" if pixels == "dequantised" else ", raw"
        rows["linear" + suffix] = by_image(model, test[pixels])
        rows["independent" + suffix] = [normal_log_prob(v, y.mean(), y.var().log().expand_as(v)).mean().item() for _, v in test[pixels]]
    return rows


def run(arm: str, seed: int, photos: list[Tensor], test: dict[str, list[Pairs]]) -> dict[str, Any]:
    pixels, (components, scales, features), budget = ARMS[arm]
    torch.manual_seed(seed)
    c, y = take(photos, PAIRS, seed, pixels)
    start = time.process_time()
    model = MarkovMesh(OFFSETS, MCGSM(len(OFFSETS), components, scales, features))
    model.whitening.fit(c, y)
    with torch.no_grad():
        z, v, _ = model.whitening(c, y)

    def spent() -> float:
        return min(1.0, (time.process_time() - start) / budget)

    history = fit(
        Quick(model.conditional), list(zip(z.split(BATCH), v.split(BATCH), strict=True)), steps=10**6, progress=False,
        lr=lambda step: RATE * 0.5 * (1 + math.cos(math.pi * spent())), callback=lambda now: spent() >= 1,
    )  # fmt: skip
    seconds = time.process_time() - start
    scores = {"nats": by_image(model, test[pixels]), "exact": exact(model, test[pixels], pixels)}
    return {**scores, "seconds": round(seconds, 1), "steps": history.steps}


def interval(values: np.ndarray) -> list[float]:
    """Mean and 95 % interval of the mean, by Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return [round(float(v), 4) for v in (values.mean(), values.mean() - half, values.mean() + half)]


def finished() -> dict[tuple[str, int], dict[str, Any]]:
    lines = LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else []
    return {(r["arm"], r["seed"]): r for r in map(json.loads, lines)}


def publish(done: dict[tuple[str, int], dict[str, Any]], closed: dict[str, list[float]]) -> None:
    command, cost = "python recipes/mcgsm_bsds.py", f"{sum(r['seconds'] for r in done.values()) / 60:.0f} min of one core"
    rows = {name: {"nats": round(float(np.mean(v)), 4), "bits": round(float(np.mean(v)) / math.log(2), 4)} for name, v in closed.items()}
    nats = {arm: np.array([done[arm, s]["nats"] for s in SEEDS]) for arm in ARMS}  # (5 seeds, 100 photographs)
    for arm, (_, (components, scales, features), _) in ARMS.items():
        runs = [done[arm, s] for s in SEEDS]
        rows[arm] = {
            "nats": round(float(nats[arm].mean()), 4), "bits": round(float(nats[arm].mean()) / math.log(2), 4),
            "exact_bits": round(float(np.mean([r["exact"] for r in runs])) / math.log(2), 4),
            "bits_of_seeds": [round(float(v) / math.log(2), 4) for v in nats[arm].mean(1)],
            "components": components, "scales": scales, "features": features, "cpu_seconds": [r["seconds"] for r in runs], "steps": [r["steps"] for r in runs],
        }  # fmt: skip
    bits = {name: np.array(closed[name]) / math.log(2) for name in closed} | {arm: v.mean(0) / math.log(2) for arm, v in nats.items()}
    ladder = [("linear", "independent"), ("GSM", "linear"), ("MCGSM", "GSM"), ("MCGSM", "MoG")]
    gains = {f"{better} over {worse}": interval(bits[better] - bits[worse]) for better, worse in ladder}
    unit = "mean log2 density of pixels on [0, 1] given 24 neighbours, dequantised unless 'raw'; exact_bits: 8 minus the bits of an 8-bit pixel; "
    unit += "gains with 95 % intervals over the 100 photographs"
    table = {"command": command, "cost": cost, "unit": unit, "rows": rows, "gains_in_bits": gains}
    (MEASURED / "mcgsm_bsds.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    what = {
        "bsds_raw": ("MCGSM, raw", "nats", "raw pixels, log₂ density on [0, 1], which the grid of levels flatters"),
        "bsds": ("MCGSM", "nats", "dequantised pixels, log₂ density on [0, 1]"),
        "bsds_exact": ("MCGSM", "exact", "the same models, 8 minus the exact bits of an 8-bit pixel"),
    }
    for (key, (arm, measure, words)), longer in itertools.product(what.items(), (False, True)):
        arm = arm.replace("MCGSM", "MCGSM, a minute") if longer else arm
        if arm not in ARMS:  # raw pixels get no second try
            continue
        seconds = math.ceil(max(done[arm, s]["seconds"] for s in SEEDS))
        found = claim(
            f"16 components, 24 neighbours, BSD100 after {seconds} CPU seconds of training: {words}",
            lambda s, arm=arm, measure=measure: float(np.mean(done[arm, s][measure])) / math.log(2), SEEDS, at_least=3.70, unit="bits per pixel",
        )  # fmt: skip
        found.save(MEASURED / "mcgsm_claims.json", command, cost, key + "_minute" * longer)
        print(found)
    print(json.dumps({name: row["bits"] for name, row in rows.items()}), gains)


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    RUNS.mkdir(exist_ok=True)
    photos, unseen = grey(data_folder() / "train" / "bsds300_train"), grey(data_folder() / "sr" / "bsd100" / "hr")
    test = {p: [take([v], PIXELS, 1, p) for v in unseen] for p in ("dequantised", "raw")}
    for seed in map(int, sys.argv[1:] or SEEDS):
        for arm in ARMS:
            if (arm, seed) not in finished():
                row = {"arm": arm, "seed": seed, **run(arm, seed, photos, test)}
                with LOG.open("a", encoding="utf-8") as f:
                    f.write(json.dumps(row) + "\n")
                print(arm, seed, *(round(float(np.mean(row[m])) / math.log(2), 4) for m in ("nats", "exact")), row["seconds"], row["steps"], flush=True)
    if all((arm, seed) in finished() for arm in ARMS for seed in SEEDS):
        publish(finished(), linear(photos, test))


if __name__ == "__main__":
    main()
