"""Train VQ-VAEs of the 8×8 digits with and without revival of dead words, six seeds each, and count the words in use.

    OMP_NUM_THREADS=1 python recipes/vq_revival.py

Stop it at will: finished runs stand in runs/vq_revival.jsonl and are not repeated. Writes book/chapters/measured/vq_revival.json and vq_claims.json.

All arms are equal in everything but what happens to a word whose moving count has fallen below half a use a batch: nothing; it gets a new vector, but keeps its
old count and sum; it gets all three. One more arm learns the codebook by gradient. Settings were chosen on seed 0; these are 100 to 105.
"""

import json
import math
import sys
import time
from typing import Any

import torch
from torch import Tensor

from common import ROOT, RUNS
from gensr.claims import claim
from gensr.data.digits import digits
from gensr.likelihoods import DiscretizedLogistic
from gensr.models.vqvae import VQVAE, VectorQuantizer, perplexity
from gensr.train import cosine, fit

MEASURED, LOG = ROOT / "book" / "chapters" / "measured", RUNS / "vq_revival.jsonl"
SEEDS, CODES, STEPS = range(100, 106), 128, 600
ARMS: dict[str, dict[str, Any]] = {
    "no revival": {"decay": 0.95}, "word only": {"decay": 0.95}, "word, count and sum": {"decay": 0.95, "revive": 0.5}, "by gradient": {"decay": None},
}


class WordOnly(VectorQuantizer):
    """The common mistake: the word is moved to a vector of the batch, its count and its sum stay what they were."""

    @torch.no_grad()
    def update(self, rows: Tensor, codes: Tensor) -> None:
        super().update(rows, codes)
        dead = self.count < 0.5
        self.codebook[dead] = rows[torch.randint(len(rows), (int(dead.sum()),))]


class Shuffled:
    """Batches of 100 digits, in a new order in each pass."""

    def __init__(self, x: Tensor):
        self.x = x

    def __iter__(self):
        yield from self.x[torch.randperm(len(self.x))].split(100)


def train(arm: str, seed: int) -> dict[str, float]:
    torch.manual_seed(seed)
    data = digits()
    model = VQVAE(1, 16, codes=CODES, dim=8, halvings=1, likelihood=DiscretizedLogistic(), **ARMS[arm])
    if arm == "word only":
        state = model.quantizer.state_dict()
        model.quantizer = WordOnly(CODES, 8, **ARMS[arm])
        model.quantizer.load_state_dict(state)
    start = time.process_time()
    fit(model, Shuffled(data.train), steps=STEPS, lr=cosine(5e-3, STEPS), progress=False)
    seconds = time.process_time() - start
    with torch.no_grad():
        codes = model.encode(data.test)
        nats = -model.likelihood.log_prob(data.test, model.decoder(model.quantizer.embed(codes))).flatten(1).sum(1).mean().item()
    words = model.encode(data.train)
    return {"perplexity": perplexity(words, CODES), "used": int(words.unique().numel()), "nats": nats, "seconds": seconds}


def finished() -> dict[tuple[str, int], dict[str, float]]:
    lines = LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else []
    return {(r["arm"], r["seed"]): r for r in map(json.loads, lines)}


def publish(done: dict[tuple[str, int], dict[str, float]]) -> None:
    command, cost = " ".join(["python", *sys.argv]), f"{sum(r['seconds'] for r in done.values()) / 60:.1f} min of one core in all"
    means = {arm: {key: round(sum(done[arm, s][key] for s in SEEDS) / len(SEEDS), 2) for key in ("perplexity", "used", "nats")} for arm in ARMS}
    table = {"command": command, "cost": cost, "codes": CODES, "steps": STEPS, "seeds": list(SEEDS), "arms": means}
    (MEASURED / "vq_revival.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def gain(statement: str, a: str, b: str, key: str, name: str, unit: str, bound: float) -> None:
        measured = claim(statement, lambda s: done[a, s][key] - done[b, s][key], SEEDS, at_least=bound, unit=unit)
        measured.save(MEASURED / "vq_claims.json", command, cost, name)
        print(statement, measured, sep=" | ")

    full, settings = "word, count and sum", f"digits, K = {CODES}, {STEPS} steps"
    gain(f"Revival raises the perplexity ({settings}): with minus without", full, "no revival", "perplexity", "perplexity", "words", 10)
    both = "Resetting count and sum too, not the word alone, raises the perplexity at the end"
    gain(f"{both} ({settings}, revival after each batch)", full, "word only", "perplexity", "all_three", "words", 5)
    gain(f"Revival lowers −log p(x|words) of test digits ({settings}): without minus with", "no revival", full, "nats", "nats", "nats", 0)
    gain(f"Against a codebook learned by gradient ({settings}): perplexity", full, "by gradient", "perplexity", "by_gradient", "words", 10)


def main() -> None:
    RUNS.mkdir(exist_ok=True)
    MEASURED.mkdir(exist_ok=True)
    for seed in SEEDS:
        for arm in ARMS:
            if (arm, seed) not in finished():
                row = {"arm": arm, "seed": seed, **train(arm, seed)}
                if not math.isfinite(row["nats"]):
                    sys.exit(f"{row}: the loss is not finite")
                with LOG.open("a", encoding="utf-8") as f:
                    f.write(json.dumps(row, ensure_ascii=False) + "\n")
                print(row, flush=True)
    publish(finished())


if __name__ == "__main__":
    main()
