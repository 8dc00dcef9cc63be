"""Train Glow on digits or on 32×32 textures: data → train → evaluate → safetensors + card.

    OMP_NUM_THREADS=1 python recipes/glow.py digits
    OMP_NUM_THREADS=1 python recipes/glow.py textures

Both sets are small and a flow learns them by heart, so the averaged model is scored on a validation part as it goes, and the best is kept. The test part is
looked at once, at the end. Stops and resumes at will.
"""

import argparse
import copy
import json
import math
import sys
from typing import Any

import torch
from torch import Tensor, nn

from common import RUNS, publish
from gensr.data.digits import LEVELS, digits
from gensr.data.textures import Crops, held_out
from gensr.models.glow import Glow
from gensr.train import cosine, fit

BINS = 32  # grey levels of the textures: 5 bits, as the paper's faces
SETS: dict[str, dict[str, Any]] = {
    "digits": {
        "arguments": {"shape": [1, 8, 8], "levels": 2, "steps": 8, "hidden": 96, "n_bins": LEVELS}, "steps": 3000, "every": 50, "batch": 100, "lr": 1e-3,
        "patience": 12, "weight_decay": 0.1,
        "data": "the 1400 training digits of gensr.data.digits (UCI optdigits, Alpaydin & Kaynak 1998), 200 of them to decide when to stop",
        "licence": "weights MIT; data CC BY 4.0, inside scikit-learn",
    },
    "textures": {
        "arguments": {"shape": [1, 32, 32], "levels": 3, "steps": 6, "hidden": 64, "n_bins": BINS}, "steps": 2400, "every": 200, "batch": 32, "lr": 1e-3,
        "patience": 8, "weight_decay": 0.0,
        "data": "brick, grass and gravel, the left 352 columns, and 64 columns to decide when to stop (scikit-image)",
        "licence": "weights MIT; data CC0, inside scikit-image",
    },
}


class Digits:
    """Endless random batches of the training part; its position goes into checkpoints."""

    def __init__(self, x: Tensor, batch: int):
        self.x, self.batch, self.generator = x, batch, torch.Generator().manual_seed(0)

    def __iter__(self):
        while True:
            yield self.x[torch.randint(len(self.x), (self.batch,), generator=self.generator)]

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])


def coarse(x: Tensor) -> Tensor:
    """Images of 256 levels on the grid of BINS levels."""
    return ((x * 255 * BINS / 256).floor() / (BINS - 1)).clamp(0, 1)


class Coarse(Crops):
    """Random crops with BINS grey levels."""

    def draw(self) -> Tensor:
        return coarse(super().draw())


def parts(name: str, batch: int) -> tuple[Any, Tensor, Tensor]:
    """Batches to train on, images to stop by, images to test on."""
    if name == "digits":
        split = digits()
        return Digits(split.train[200:], batch), split.train[:200], split.test
    return Coarse(batch=batch), coarse(held_out("validation")), coarse(held_out("test"))


@torch.no_grad()
def score(model: nn.Module, x: Tensor, draws: int = 4) -> float:
    """Nats per image: the mean over so many draws of the dequantisation noise."""
    was = model.training
    model.eval()
    nats = sum(model.loss(part).item() * len(part) for _ in range(draws) for part in x.split(100)) / (draws * len(x))  # type: ignore[operator]
    model.train(was)
    return nats


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("set", choices=list(SETS))
    a.add_argument("--steps", type=int)
    a = a.parse_args()
    s, name = SETS[a.set], f"glow_{a.set}"
    steps = a.steps or s["steps"]
    torch.manual_seed(0)
    batches, validation, test = parts(a.set, s["batch"])
    model = Glow(**s["arguments"])
    with torch.no_grad():
        model.loss(next(iter(batches)))  # ActNorm takes its scales from the first batch it sees, before the average is made
    RUNS.mkdir(exist_ok=True)
    log, kept = RUNS / f"{name}.jsonl", RUNS / f"{name}_best.pt"

    def callback(now: dict[str, Any]) -> bool:
        if now["step"] % s["every"]:
            return False
        nats = score(now["average"], validation)
        losses = now["history"].losses[-s["every"] :]
        line = {"step": now["step"], "loss": round(sum(losses) / len(losses), 3), "nats": round(nats, 3), "seconds": round(now["history"].seconds)}
        with open(log, "a") as f:
            f.write(json.dumps(line) + "\n")
        scores = [json.loads(line)["nats"] for line in log.read_text().splitlines()]
        since = len(scores) - 1 - scores.index(min(scores))  # evaluations since the best
        if since == 0:
            torch.save({"model": now["average"].state_dict(), "step": now["step"]}, kept)
        return since >= s["patience"]

    adam = torch.optim.AdamW(model.parameters(), lr=s["lr"], weight_decay=s["weight_decay"])
    history = fit(
        model, batches, steps=steps, lr=cosine(s["lr"], steps, warmup=50), checkpoint=RUNS / f"{name}.pt", optimizer=adam, average=0.998, callback=callback,
    )
    best = copy.deepcopy(model)
    best.load_state_dict(torch.load(kept, weights_only=True)["model"])
    best = best.half().float().eval()  # what will be shipped
    nats = score(best, test, draws=20)
    measured = {"nats": round(nats, 3), "bits_per_dim": round(nats / best.dims / math.log(2), 4), "validation": round(score(best, validation, draws=20), 3)}
    curve = [[c["step"], c["nats"]] for c in (json.loads(line) for line in log.read_text().splitlines())]
    publish(
        name, best, "gensr.models.glow.Glow", s["arguments"], history, measured, " ".join(["python", *sys.argv]), curve=curve, data=s["data"],
        licence=s["licence"], precision="float32",
    )


if __name__ == "__main__":
    main()
