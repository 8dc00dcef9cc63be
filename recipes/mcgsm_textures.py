"""Five conditionals on 13 textures: independent Gaussian, linear regression, GSM, mixture of conditional Gaussians, MCGSM; held-out nats per pixel.

    OMP_NUM_THREADS=1 GENSR_DATA=... python recipes/mcgsm_textures.py [TEXTURE ...]

Stop it at will: finished runs stand in runs/mcgsm_textures.jsonl and are not repeated. With textures named, only those are run. Once all are there it
writes book/chapters/measured/mcgsm_textures.json, and its claims into mcgsm_claims.json.

A texture is brick, grass or gravel, the photographs that ship in scikit-image; or one of the ten classes in the data folder's part of DTD, with all of its
pictures, four to eight. No choice is made by looking. (At first one or two pictures stood for a class. Two of "banded" turned out to be drawings of stripes,
and on these no model gained. In one all rows are equal: given its neighbours, nothing of a pixel is left open but the dequantising noise, which no model
can foretell. So now every picture is measured, and how many of them a step gains on is a claim of its own.)

Grey is Pillow's "L", 0.299 R + 0.587 G + 0.114 B, rounded to 8 bits and dequantised: (level + u)/256. Each picture is cut into strips: 11/16 of
its columns to learn from, 2/16 to decide when to stop, 3/16 to test on. All models see the same pairs. L-BFGS goes in rounds of ten steps; the
round that is best on the middle strip is kept. Settings were chosen on seed 0, on brick, grass and gravel. A seed draws the pairs, the
dequantising noise and the start. Pixels of one picture are not independent: the intervals of one picture run over blocks of 32×32 pixels of the
test strip, those of a class over its pictures (Student's t, each block or picture averaged over seeds), those of the claims over seeds.
"""

import copy
import json
import math
import sys
import time
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import stats
from torch import Tensor

from common import ROOT, RUNS, data_folder
from gensr.claims import claim
from gensr.data.textures import NAMES, texture
from gensr.densities import normal_log_prob
from gensr.models.mcgsm import MCGSM, MarkovMesh, contexts, dequantise, lbfgs, neighbourhood, pairs

MEASURED, LOG = ROOT / "book" / "chapters" / "measured", RUNS / "mcgsm_textures.jsonl"
SEEDS = range(100, 105)
MODELS = {"linear": (1, 1, 0), "GSM": (1, 4, 24), "MoG": (4, 1, 24), "MCGSM": (4, 4, 24)}  # components, scales, features
PAIRS, ROUNDS, BLOCK = 25_000, 6, 32
OFFSETS = neighbourhood()


def pictures() -> dict[str, Tensor]:
    """Name → 8-bit grey picture (1, h, w)."""
    found = {name: texture(name) for name in NAMES}
    for folder in sorted((data_folder() / "gen" / "textures" / "dtd_part").iterdir()):
        for path in sorted(folder.glob("*.jpg")):
            found[path.stem] = torch.from_numpy(np.array(Image.open(path).convert("L")))[None]
    return found


def strips(picture: Tensor) -> tuple[Tensor, ...]:
    """What to train on, what to stop by, and what to test on."""
    a, b, w = picture.shape[2] * 11 // 16, picture.shape[2] * 13 // 16, picture.shape[2]
    return picture.split([a, b - a, w - b], 2)


def train(model: MarkovMesh, c: Tensor, y: Tensor, validation: tuple[Tensor, Tensor]) -> None:
    """L-BFGS in rounds, until one does not help on the validation pairs."""
    (z, v, _), best = model.whitening(c, y), -math.inf
    for _ in range(ROUNDS):
        before = copy.deepcopy(model.conditional.state_dict())
        lbfgs(model.conditional, z, v, steps=10, chunk=5000)
        with torch.no_grad():
            score = model.pixel_log_prob(*validation).mean().item()
        if score < best:
            model.conditional.load_state_dict(before)
            break
        best = score


@torch.no_grad()
def by_block(log_prob: Tensor) -> list[float]:
    """Means over blocks of an (h, w) map; what is left at the edges is dropped."""
    return log_prob.unfold(0, BLOCK, BLOCK).unfold(1, BLOCK, BLOCK).mean((2, 3)).flatten().tolist()


def run(picture: Tensor, seed: int) -> dict[str, Any]:
    """Held-out log p per pixel in nats, for each model and block, of pixels on [0, 1]."""
    torch.manual_seed(seed)
    learn, stop, test = strips(picture)
    c, y = pairs([learn], OFFSETS, PAIRS, seed)
    validation = pairs([stop], OFFSETS, PAIRS // 4, seed + 2)
    context, pixel = (part[0] for part in contexts(dequantise(test, torch.Generator().manual_seed(seed + 1))[None], OFFSETS))
    rows, seconds = {"independent": by_block(normal_log_prob(pixel, y.mean(), y.var().log().expand_as(pixel)))}, {}
    for name, (components, scales, features) in MODELS.items():
        start = time.process_time()
        model = MarkovMesh(OFFSETS, MCGSM(len(OFFSETS), components, scales, features))
        model.whitening.fit(c, y)  # linear regression is done with that
        if name != "linear":
            train(model, c, y, validation)
        seconds[name] = time.process_time() - start
        with torch.no_grad():
            rows[name] = by_block(torch.stack([model.pixel_log_prob(a, b) for a, b in zip(context, pixel, strict=True)]))
    return {"blocks": rows, "seconds": seconds}


def interval(values: np.ndarray) -> list[float]:
    """Mean and 95 % interval of the mean, by Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return [round(float(v), 4) for v in (values.mean(), values.mean() - half, values.mean() + half)]


def finished() -> dict[tuple[str, int], dict[str, Any]]:
    lines = LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else []
    return {(r["texture"], r["seed"]): r for r in map(json.loads, lines)}


def publish(done: dict[tuple[str, int], dict[str, Any]]) -> None:
    names = list(pictures())
    command = "python recipes/mcgsm_textures.py"
    cost = f"{sum(sum(r['seconds'].values()) for r in done.values()) / 60:.0f} min of one core"
    steps = {"gsm_over_gaussian": ("GSM", "linear"), "mcgsm_over_gsm": ("MCGSM", "GSM"), "mcgsm_over_mog": ("MCGSM", "MoG")}
    each = {}
    for name in names:
        blocks = {m: np.mean([done[name, s]["blocks"][m] for s in SEEDS], 0) for m in ("independent", *MODELS)}
        each[name] = {
            "nats": {m: round(float(v.mean()), 4) for m, v in blocks.items()},
            "gains": {step: interval(blocks[better] - blocks[worse]) for step, (better, worse) in steps.items()}, "blocks": len(blocks["linear"]),
        }  # fmt: skip
    textures: dict[str, list[str]] = {}
    for name in names:
        textures.setdefault(name.split("_")[0], []).append(name)
    table: dict[str, Any] = {}
    for name, members in textures.items():
        nats = {m: np.array([each[n]["nats"][m] for n in members]) for m in ("independent", *MODELS)}
        gains = {step: interval(nats[better] - nats[worse]) for step, (better, worse) in steps.items()} if len(members) > 1 else each[name]["gains"]
        table[name] = {"pictures": len(members), "nats": {m: round(float(v.mean()), 4) for m, v in nats.items()}, "gains": gains}
    words = {
        "gsm_over_gaussian": "GSM beats the linear Gaussian", "mcgsm_over_gsm": "MCGSM beats GSM",
        "mcgsm_over_mog": "MCGSM beats the mixture of conditional Gaussians",
    }  # fmt: skip
    for step, (better, worse) in steps.items():

        def smallest(seed: int, better: str = better, worse: str = worse) -> float:
            gain = {n: float(np.mean(done[n, seed]["blocks"][better]) - np.mean(done[n, seed]["blocks"][worse])) for n in names}
            return min(float(np.mean([gain[n] for n in members])) for members in textures.values())

        clear, single = ([row["gains"][step][1] > 0 for row in rows.values()] for rows in (table, each))
        for key, found in (
            ("", claim(f"{words[step]} on each of {len(table)} textures: the smallest gain", smallest, SEEDS, at_least=0, unit="nats per pixel")),
            ("_clear", claim(f"{words[step]}, with the interval over pictures above 0", sum(clear), at_least=len(clear), unit=f"of {len(clear)} textures")),
            ("_pictures", claim(f"{words[step]}, with the interval over blocks above 0", sum(single), at_least=len(single), unit=f"of {len(single)} pictures")),
        ):
            found.save(MEASURED / "mcgsm_claims.json", command, cost, step + key)
            print(found)
    sizes = {m: {"components": k, "scales": s, "features": f} for m, (k, s, f) in MODELS.items()}
    settings = {"pairs": PAIRS, "lbfgs_steps": f"at most {10 * ROUNDS}", "models": sizes}
    seconds = {m: round(float(np.mean([r["seconds"][m] for r in done.values()])), 1) for m in MODELS}
    unit = "log-density of pixels on [0, 1], dequantised, higher is better; gains in nats per pixel, 95 % intervals over blocks of one picture, or pictures"
    stored = {"command": command, "cost": cost, "unit": unit, "settings": settings, "seconds": seconds, "textures": table, "pictures": each}
    (MEASURED / "mcgsm_textures.json").write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)
    RUNS.mkdir(exist_ok=True)
    found = pictures()
    for name, picture in ((n, found[n]) for n in sys.argv[1:] or found):
        for seed in SEEDS:
            if (name, seed) not in finished():
                row = {"texture": name, "seed": seed, **run(picture, seed)}
                with LOG.open("a", encoding="utf-8") as f:
                    f.write(json.dumps(row) + "\n")
                means = {m: round(float(np.mean(v)), 4) for m, v in row["blocks"].items()}
                print(name, seed, means, {m: round(s, 1) for m, s in row["seconds"].items()}, flush=True)
    if all((name, seed) in finished() for name in found for seed in SEEDS):
        publish(finished())


if __name__ == "__main__":
    main()
