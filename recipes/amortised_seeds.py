"""Is AffMSE at least as good as MSE? Both trained from nothing, side by side, over five seeds: same start, same batches, steps chosen on validation images.

    OMP_NUM_THREADS=1 python recipes/amortised_seeds.py            # 40 CPU minutes; each run is kept in runs/amortised_seeds.jsonl

In float32, so that rounding takes no part: the differences are hundredths of a decibel. "MSE, projected" is the MSE network with the layer put behind it
afterwards. That can only help: x lies in the set that the answer is moved to, and the nearest point of a flat set is nearer to all of it. Two bodies: one
adds a bicubic enlargement to what it makes (the shipped networks), the other, "plain", makes the whole image; it has seeds of its own. Writes the claims
*_seeds_* and *_plain_* of book/chapters/measured/amortised_claims.json.
"""

import itertools
import json
import sys
from typing import Any

import torch
from torch.nn import functional as F

from amortised import BATCH, SIZE, A, Crops, body, pictures
from common import ROOT, RUNS
from gensr.claims import claim
from gensr.data.textures import tiles
from gensr.metrics import psnr
from gensr.superres.affine import AffineProjection
from gensr.superres.amortised import Regression
from gensr.train import cosine, fit

SEEDS = {"seeds": range(5), "plain": range(200, 205)}  # of the body with the bicubic enlargement, and of the plain one
STEPS = 1500
KEPT = RUNS / "amortised_seeds.jsonl"
COMMAND = "OMP_NUM_THREADS=1 python recipes/amortised_seeds.py"


def run(data: str, kind: str, method: str, seed: int) -> dict[str, Any]:
    """Train one, and judge the averaged network at the step that did best on validation images."""
    torch.manual_seed(seed)
    net: torch.nn.Module = body(1, 0, 32, 6, skip=kind != "plain")
    if method == "AffMSE":
        net = AffineProjection(net, A)
    crops = Crops(pictures(data), SIZE[data], BATCH[data], data == "grass")
    crops.generator.manual_seed(seed)
    validation = torch.stack([x.float() / 255 for x in pictures(data, "validation")])
    held_out = pictures(data, "test")
    test = torch.stack([x.float() / 255 for x in held_out]) if data == "faces" else tiles(held_out[0], 96).float() / 255
    best: dict[str, Any] = {"validation": 0.0}

    @torch.no_grad()
    def look(now: dict[str, Any]) -> None:
        if now["step"] % 75:
            return
        g = now["average"].generator.eval()
        reached = psnr(g(A(validation)).clamp(0, 1), validation, data_range=1.0).mean().item()
        if reached > best["validation"]:
            y = A(test)
            made = g(y)
            moved = A.project(made, y)
            best.update(
                validation=reached, step=now["step"], psnr=psnr(made, test, data_range=1.0).mean().item(), miss=(A(made) - y).square().mean().item(),
                psnr_projected=psnr(moved, test, data_range=1.0).mean().item(),
            )

    fit(Regression(net, F.mse_loss), crops, steps=STEPS, lr=cosine(1e-3, STEPS, warmup=20), average=0.998, callback=look, progress=False)
    return {"data": data, "kind": kind, "method": method, "seed": seed, **best}


def main(sets: list[str]) -> None:
    RUNS.mkdir(exist_ok=True)
    done = {(r["data"], r["kind"], r["method"], r["seed"]): r for r in map(json.loads, KEPT.read_text().splitlines() if KEPT.exists() else [])}
    for data, kind in itertools.product(sets, SEEDS):
        for seed, method in itertools.product(SEEDS[kind], ("MSE", "AffMSE")):
            if (data, kind, method, seed) not in done:
                done[data, kind, method, seed] = found = run(data, kind, method, seed)
                with open(KEPT, "a") as f:
                    f.write(json.dumps(found) + "\n")
                print(found, flush=True)
        affine, plain = ([done[data, kind, method, seed] for seed in SEEDS[kind]] for method in ("AffMSE", "MSE"))
        body = ", plain body" if kind == "plain" else ""
        for key, statement, values in (
            ("trained", f"AffMSE minus MSE{body}, both trained from nothing, PSNR", [a["psnr"] - m["psnr"] for a, m in zip(affine, plain, strict=True)]),
            ("after", f"MSE{body} with the projection put behind it, minus MSE, PSNR", [m["psnr_projected"] - m["psnr"] for m in plain]),
        ):
            judged = claim(f"{data}: {statement}", values.__getitem__, range(len(values)), at_least=0.0, unit="dB")
            judged.save(ROOT / "book" / "chapters" / "measured" / "amortised_claims.json", COMMAND, "40 CPU minutes", f"{data}_{kind}_{key}")
            print(judged)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:] or ["faces", "grass"])
