"""Train the gated PixelCNN on MNIST in black and white: data → train → evaluate → safetensors + card.

    OMP_NUM_THREADS=1 python recipes/mnist_pixelcnn.py

Training images are drawn anew at every meeting. The test set is one fixed draw, `binarised(test, seed=0)`, looked at once, at the end.
Stops and resumes at will. The rate follows the first two thirds of a cosine; the average of the weights does the rest.
"""

import argparse
import json
import sys
import time
from typing import Any

import torch
from torch import Tensor

from common import RUNS, publish
from gensr.data.mnist import Binarised, binarised, mnist
from gensr.models.pixelcnn import GatedPixelCNN
from gensr.train import cosine, fit, has_fast_bfloat16

ARGUMENTS = {"levels": 2, "hidden": 48, "layers": 7, "size": 5}
STEPS, HORIZON, BATCH, LR, EVERY = 6000, 9000, 32, 2e-3, 1000


@torch.no_grad()
def nats(model: GatedPixelCNN, x: Tensor) -> float:
    return -torch.cat([model.log_prob(part) for part in x.split(250)]).mean().item()


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--steps", type=int, default=STEPS)
    a = a.parse_args()
    torch.manual_seed(0)
    data = mnist()
    validation = binarised(data.train[-1000:], seed=1)
    model = GatedPixelCNN(**ARGUMENTS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    RUNS.mkdir(exist_ok=True)
    log = RUNS / "mnist_pixelcnn.jsonl"
    started = time.process_time()

    def callback(now: dict[str, Any]) -> None:
        if now["step"] % EVERY == 0 or now["step"] in (100, 300):
            losses = now["history"].losses[-EVERY:]
            line = {"step": now["step"], "loss": round(sum(losses) / len(losses), 2), "nats": round(nats(now["average"], validation), 2)}
            with open(log, "a") as f:
                f.write(json.dumps({**line, "cpu_seconds": round(time.process_time() - started)}) + "\n")

    history = fit(
        model, Binarised(data.train[:-1000], BATCH), steps=a.steps, lr=cosine(LR, HORIZON, warmup=200), checkpoint=RUNS / "mnist_pixelcnn.pt",
        average=0.999, bfloat16=has_fast_bfloat16(), callback=callback, progress=False,
    )
    best = history.average.half().float()  # type: ignore[union-attr]  # what will be shipped
    measured = {"nats": round(nats(best, binarised(data.test, seed=0)), 2), "validation": round(nats(best, validation), 2)}  # type: ignore[arg-type]
    curve = [[c["step"], c["nats"]] for c in (json.loads(line) for line in log.read_text().splitlines())]
    publish(
        "mnist_pixelcnn", best, "gensr.models.pixelcnn.GatedPixelCNN", ARGUMENTS, history, measured, " ".join(["python", *sys.argv]), curve=curve,
        data="MNIST, 59,000 training images drawn anew at every meeting; figures: binarised(test, seed=0)", licence="weights MIT; data MIT (rasbt/mnist-pngs)",
    )


if __name__ == "__main__":
    main()
