"""RealNVP on two moons, ours beside zuko's: parameters equal within 5 %, the same batches, steps and schedule, five seeds.

    OMP_NUM_THREADS=1 python recipes/flows_peer.py

Writes book/chapters/measured/flows_peer.json: the claim, which the chapter shows, and beside it flows_peer_runs.json with every run and its CPU seconds.
"""

import json
import sys
import time

import torch
import zuko
from torch import nn

from common import ROOT
from gensr.claims import claim
from gensr.data.toy2d import TwoMoons
from gensr.models.flows import RealNVP
from gensr.train import cosine, fit

STEPS, MEASURED = 1500, ROOT / "book" / "chapters" / "measured"


class Zuko(nn.Module):
    """zuko's RealNVP with the loss that `fit` asks for."""

    def __init__(self):
        super().__init__()
        self.flow = zuko.flows.RealNVP(2, transforms=6, hidden_features=(33, 33))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return -self.flow().log_prob(x).mean()


def train(name: str, seed: int) -> dict:
    """One training; nats on 20000 points not trained on, the same for both."""
    torch.manual_seed(seed)
    model = RealNVP(2, layers=6, hidden=32) if name == "gensr" else Zuko()
    toy, generator = TwoMoons(), torch.Generator().manual_seed(seed)
    batches = [toy.sample(256, generator) for _ in range(STEPS)]
    start = time.process_time()
    fit(model, batches, steps=STEPS, lr=cosine(5e-3, STEPS, warmup=40), progress=False)
    seconds = time.process_time() - start
    with torch.no_grad():
        nats = model.loss(toy.sample(20_000, torch.Generator().manual_seed(1000))).item()
    row = {"model": name, "seed": seed, "parameters": sum(p.numel() for p in model.parameters()), "nats": round(nats, 4), "cpu_seconds": round(seconds, 1)}
    print(row, flush=True)
    return row


def main() -> None:
    rows = []

    def difference(seed: int) -> float:
        ours, theirs = train("gensr", seed), train("zuko", seed)
        rows.extend([ours, theirs])
        return ours["nats"] - theirs["nats"]

    found = claim("RealNVP on two moons, equal size, steps, batches: held-out nats, ours minus zuko's", difference, range(10, 15), at_most=0.05, unit="nats")
    seconds = {name: sum(r["cpu_seconds"] for r in rows if r["model"] == name) for name in ("gensr", "zuko")}
    found.save(MEASURED / "flows_peer.json", " ".join(["python", *sys.argv]), f"{seconds['gensr']:.0f} + {seconds['zuko']:.0f} CPU s (ours + zuko) on one core")
    (MEASURED / "flows_peer_runs.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(found)


if __name__ == "__main__":
    main()
