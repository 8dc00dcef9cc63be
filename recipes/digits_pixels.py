"""The autoregressive models on scikit-learn's digits, a CPU minute each: what they reach in nats; and how much faster it is to keep features when drawing.

    OMP_NUM_THREADS=1 python recipes/digits_pixels.py

1,400 images to train on, 397 to test; 8×8 pixels of 17 levels. The rate falls along half a cosine of the CPU time used, so another machine takes another
number of steps. Nothing is chosen by the test images: what counts is the averaged model at the end. Results go to book/chapters/measured/digits_pixels.json,
and the claims to digits_pixels_claims.json. Finished runs are kept in runs/digits_pixels.json, so it can be stopped and started again.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from common import ROOT, RUNS, revision
from gensr.claims import claim
from gensr.data.digits import LEVELS, digits
from gensr.models.pixelcnn import GatedPixelCNN, PixelCNN
from gensr.models.pixelcnnpp import PixelCNNpp
from gensr.models.pixelrnn import PixelRNN
from gensr.train import fit

MEASURED = ROOT / "book" / "chapters" / "measured"
SECONDS, SEEDS, FRESH = 60.0, range(3), range(10, 15)  # fresh ones for the claim
MODELS: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "PixelCNN": (lambda: PixelCNN(LEVELS, 32, 5, size=5, colours=1), 5e-3),
    "Row LSTM": (lambda: PixelRNN(LEVELS, 32, 2, kind="row", size=5), 6e-3),
    "Diagonal BiLSTM": (lambda: PixelRNN(LEVELS, 32, 1, size=5), 6e-3),
    "gated PixelCNN": (lambda: GatedPixelCNN(LEVELS, 32, 5, first=5), 5e-3),
    "PixelCNN++": (lambda: PixelCNNpp(LEVELS, 24, 1, colours=1, mixtures=5, dropout=0.1, resolutions=2), 5e-3),
}


class Shuffled:
    def __init__(self, x: Tensor):
        self.x = x

    def __iter__(self) -> Iterator[Tensor]:
        yield from self.x[torch.randperm(len(self.x))].split(50)


def histograms(train: Tensor, test: Tensor) -> float:
    """A histogram for each place, each level seen half a time more than it was."""
    counts = torch.stack([((train[:, 0] * (LEVELS - 1)).round() == k).float().sum(0) for k in range(LEVELS)]) + 0.5
    log_p = (counts / counts.sum(0)).log().gather(0, (test[:, 0] * (LEVELS - 1)).round().long().view(-1, 8, 8))
    return -log_p.sum((1, 2)).mean().item()


def train(name: str, seed: int, seconds: float) -> dict[str, float]:
    torch.manual_seed(seed)
    data = digits()
    build, rate = MODELS[name]
    model: Any = build()
    if isinstance(model, PixelCNNpp):
        model.initialise(data.train[:100])
    began = time.process_time()

    def lr(step: int) -> float:
        return rate * min((step + 1) / 20, 0.01 + 0.495 * (1 + math.cos(math.pi * min(1.0, (time.process_time() - began) / seconds))))

    history = fit(
        model, Shuffled(data.train), steps=10**6, lr=lr, average=0.99, progress=False, callback=lambda now: time.process_time() - began > seconds,
    )
    spent = time.process_time() - began
    best = history.average.eval()  # type: ignore[union-attr]
    with torch.no_grad():
        found = {part: round(-best.log_prob(x).mean().item(), 2) for part, x in (("test", data.test), ("train", data.train))}  # type: ignore[operator]
    return {**found, "steps": history.steps, "cpu_seconds": round(spent, 1), "parameters": sum(p.numel() for p in model.parameters())}


def sampling_ratio(images: int) -> float:
    """CPU seconds for images of 28×28, a pass of the network for every pixel, over those with the features kept."""
    torch.manual_seed(0)
    model = GatedPixelCNN(2, 48, 7, size=5)
    spent = []
    for cached in (False, True):
        start = time.process_time()
        model.sample(images, (28, 28), cached=cached)
        spent.append(time.process_time() - start)
    return round(spent[0] / spent[1], 2)


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seconds", type=float, default=SECONDS, help="of CPU time for each training")
    a = a.parse_args()
    RUNS.mkdir(exist_ok=True)
    path = RUNS / "digits_pixels.json"
    done: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def once(key: str, measure: Callable[[], Any]) -> Any:
        if key not in done:
            done[key] = measure()
            print(key, done[key], flush=True)
            path.write_text(json.dumps(done))
        return done[key]

    data = digits()
    seeds = {name: FRESH if name == "gated PixelCNN" else SEEDS for name in MODELS}
    for name, own in seeds.items():
        for seed in own:
            once(f"{name} {seed}", lambda: train(name, seed, a.seconds))  # noqa: B023
    ratios = once("ratios", lambda: {"1": sampling_ratio(1), "8": sampling_ratio(8)})
    command = " ".join(["OMP_NUM_THREADS=1 python", *sys.argv])
    rows = {name: [done[f"{name} {seed}"] for seed in own] for name, own in seeds.items()}
    found = {
        "about": f"nats an image after {a.seconds:.0f} CPU seconds of training, one row for each seed", "command": command, "revision": revision(),
        "uniform": round(64 * math.log(LEVELS), 1), "histograms": round(histograms(data.train, data.test), 2), "models": rows, "sampling_ratio": ratios,
    }
    MEASURED.mkdir(exist_ok=True)
    (MEASURED / "digits_pixels.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    where = MEASURED / "digits_pixels_claims.json"
    where.unlink(missing_ok=True)
    cost = f"{len(FRESH) * a.seconds / 60:.0f} CPU minutes of training for the first, 2 for the second"
    effects = {
        "digits": claim("8 × 8 digits, a CPU minute of training: test nats of the gated PixelCNN", lambda s: done[f"gated PixelCNN {s}"]["test"], seeds=FRESH,
                        at_most=88.5, unit="nats"),
        "ratio": claim("Eight images of 28 × 28: time of naive sampling over cached sampling", ratios["8"], at_least=10, unit="times"),
    }
    for name, effect in effects.items():
        effect.save(where, command, cost, name)


if __name__ == "__main__":
    main()
