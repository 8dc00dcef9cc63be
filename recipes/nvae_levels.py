"""Two levels of latents against one at equal parameters, and the residual posterior against the absolute one, on 8×8 digits over five seeds.

    OMP_NUM_THREADS=1 python recipes/nvae_levels.py

Stop it at will: finished runs stand in runs/nvae_levels.jsonl and are not repeated. Writes book/chapters/measured/nvae_levels.json and nvae_claims.json.

All arms see the same batches, with the same steps and rates. Settings were chosen on seeds 0 and 1; the seeds measured are 100 to 104. The models train on the
1400 training digits; the averaged weights of the last step are scored on the 397 others: no choice is made by looking at them.
"""

import json
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from common import ROOT, RUNS
from gensr.claims import claim
from gensr.data.digits import LEVELS, digits
from gensr.likelihoods import DiscretizedLogistic
from gensr.models.nvae import NVAE
from gensr.train import cosine, fit

MEASURED, LOG = ROOT / "book" / "chapters" / "measured", RUNS / "nvae_levels.jsonl"
SEEDS = range(100, 105)
ARMS: dict[str, dict[str, Any]] = {  # each image has 40 latent numbers in every arm
    "two levels": {"groups": (1, 1), "channels": 16, "latent": 2},
    "one level": {"groups": (1, 0), "channels": 20, "latent": 10},
    "no warm-up": {"groups": (1, 1), "channels": 16, "latent": 2, "warmup": 0},
    "two levels and a flow": {"groups": (1, 1), "channels": 16, "latent": 2, "flow": True},
}
STEPS, RATE, BATCH = 400, 5e-3, 64
FAST = {"groups": (4, 4), "channels": 12, "latent": 4}  # trained at a rate that is too high on purpose, with no warm-up of rate or KL
FAST_STEPS, FAST_RATE = 40, 2e-2


class Stream:
    """Random batches without end, the same for every arm."""

    def __init__(self, x: Tensor, batch: int, seed: int):
        self.x, self.batch, self.generator = x, batch, torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            yield self.x[torch.randint(len(self.x), (self.batch,), generator=self.generator)]


def new(seed: int, **options: Any) -> NVAE:
    torch.manual_seed(seed)
    return NVAE((1, 8, 8), likelihood=DiscretizedLogistic(LEVELS), **options)


@torch.no_grad()
def levels(arm: str, seed: int) -> dict[str, Any]:
    """Minus the bound on the test digits, in nats per image: by the ELBO (5 draws) and by 50 importance samples; the KL of each group."""
    data = digits()
    model = new(seed, **{"warmup": round(0.3 * STEPS), **ARMS[arm]})
    with torch.enable_grad():
        history = fit(model, Stream(data.train, BATCH, seed), steps=STEPS, lr=cosine(RATE, STEPS, warmup=30), average=0.99, progress=False)
    best: Any = history.average.eval()  # type: ignore[union-attr]
    bounds = [best.elbo(data.test) for _ in range(5)]
    return {
        "nats": -sum(e.total.mean().item() for e in bounds) / 5, "iw50": -best.iw_bound(data.test, 50).mean().item(),
        "kls": (sum(e.kls.mean(0) for e in bounds) / 5).tolist(), "parameters": sum(p.numel() for p in model.parameters()),
    }


def stability(residual: bool, seed: int) -> dict[str, Any]:
    """The loss on the way: the highest after the first 10 steps, and the mean of the last 20. A loss that is not finite ends the run and counts as diverged."""
    model, stream = new(seed, **FAST, residual=residual), iter(Stream(digits().train, BATCH, seed))
    adam, losses = torch.optim.Adam(model.parameters(), FAST_RATE), []
    for _ in range(FAST_STEPS):
        loss = model.loss(next(stream))
        if not torch.isfinite(loss):
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    worst, last = max(losses[10:], default=math.inf), sum(losses[-20:]) / 20
    return {"losses": [round(v, 2) for v in losses], "diverged": len(losses) < FAST_STEPS, "worst": worst, "last": last}


def main() -> None:
    RUNS.mkdir(exist_ok=True)
    MEASURED.mkdir(exist_ok=True)
    order = (("two levels", "one level"), ("residual", "absolute"), ("no warm-up",), ("two levels and a flow",))
    for arms in order:
        for arm, seed in [(arm, seed) for seed in SEEDS for arm in arms if (arm, seed) not in finished()]:
            start = time.process_time()
            row = levels(arm, seed) if arm in ARMS else stability(arm == "residual", seed)
            row = {"arm": arm, "seed": seed, **row, "seconds": round(time.process_time() - start, 1)}
            with LOG.open("a", encoding="utf-8") as f:
                f.write(json.dumps(row) + "\n")
            print({k: v for k, v in row.items() if k != "losses"}, flush=True)
        publish(finished())


def finished() -> dict[tuple[str, int], dict[str, Any]]:
    lines = LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else []
    return {(r["arm"], r["seed"]): r for r in map(json.loads, lines)}


def publish(done: dict[tuple[str, int], dict[str, Any]]) -> None:
    command, cost = " ".join(["python", *sys.argv]), f"{sum(r['seconds'] for r in done.values()) / 60:.0f} min of one core in all"
    arms, table = {arm for arm, _ in done if all((arm, seed) in done for seed in SEEDS)}, {}  # those that are complete
    for arm in [arm for arm in [*ARMS, "residual", "absolute"] if arm in arms]:
        rows = [done[arm, seed] for seed in SEEDS]
        keys = ("nats", "iw50", "parameters") if arm in ARMS else ("worst", "last", "diverged")
        table[arm] = {key: [round(r[key], 3) for r in rows] for key in keys}
        table[arm] |= {"kls": [[round(v, 2) for v in r["kls"]] for r in rows]} if arm in ARMS else {"losses": rows[0]["losses"]}
    MEASURED.joinpath("nvae_levels.json").write_text(json.dumps({"command": command, "cost": cost, **table}, indent=1) + "\n", encoding="utf-8")

    claims = [
        ("levels", "one level", "two levels", "nats", "Two levels beat one at equal parameters, unseen digits: −ELBO of one minus that of two"),
        ("levels_iw", "one level", "two levels", "iw50", "The same by 50 importance samples"),
        ("warmup", "no warm-up", "two levels", "nats", "Warm-up and balancing lower −ELBO: without minus with"),
        ("flow", "two levels", "two levels and a flow", "nats", "An affine flow in the posterior lowers −ELBO: without minus with"),
        (
            "worst", "absolute", "residual", "worst",
            "Residual posteriors train more stably (8 groups, rate too high): highest loss after step 10, absolute minus residual",
        ),
        ("last", "absolute", "residual", "last", "The same: mean loss of the last 20 of 40 steps"),
    ]
    for name, other, ours, key, statement in claims:
        if {other, ours} <= arms:
            found = claim(statement, lambda seed, o=other, u=ours, k=key: done[o, seed][k] - done[u, seed][k], SEEDS, at_least=0, unit="nats")
            found.save(MEASURED / "nvae_claims.json", command, cost, name)
            print(name, found, sep=" | ")
    if {"no warm-up", "two levels"} <= arms:
        coarse = claim(
            "Warm-up and balancing keep the coarse group talking: its KL with minus without",
            lambda seed: done["two levels", seed]["kls"][0] - done["no warm-up", seed]["kls"][0], SEEDS, at_least=0, unit="nats",
        )
        coarse.save(MEASURED / "nvae_claims.json", command, cost, "warmup_coarse")
        print("warmup_coarse", coarse, sep=" | ")


if __name__ == "__main__":
    main()
