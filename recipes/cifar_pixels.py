"""PixelRNN, gated PixelCNN and PixelCNN++ on 32×32 colour photographs: 4,000 of CIFAR-10, the same few CPU minutes for each.

    OMP_NUM_THREADS=1 python recipes/cifar_pixels.py rnn | gated | plusplus | baselines

3,400 images to train on (mirrored at random), 100 to choose the weights by, 500 held out and looked at once, at the end; one seed. The rate falls along half a
cosine of the CPU time used, or on a busy machine of the time on the clock, so that another machine takes another number of steps. Bits per dimension of
8-bit colours go to book/chapters/measured/cifar_pixels.json, samples of the models to cifar_pixels_samples.png beside it.
"""

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common import ROOT, RUNS, data_folder, revision
from gensr.densities import bits_per_dim, discretized_logistic_log_prob
from gensr.io import write_image
from gensr.models.pixelcnn import GatedPixelCNN
from gensr.models.pixelcnnpp import PixelCNNpp
from gensr.models.pixelrnn import PixelRNN
from gensr.train import fit

MODELS: dict[str, tuple[type[nn.Module], dict[str, Any], float]] = {
    "rnn": (PixelRNN, {"levels": 256, "hidden": 24, "layers": 2, "colours": 3}, 3e-3),
    "gated": (GatedPixelCNN, {"levels": 256, "hidden": 36, "layers": 6, "colours": 3}, 2e-3),
    "plusplus": (PixelCNNpp, {"levels": 256, "hidden": 24, "layers": 1, "colours": 3, "mixtures": 5, "dropout": 0.1}, 3e-3),
}
MEASURED = ROOT / "book" / "chapters" / "measured"
BATCH, WARMUP, CHECKS = 8, 20, 8
ROWS = ("rnn", "gated", "plusplus")


def parts() -> tuple[Tensor, Tensor, Tensor]:
    """Training, validation and held-out images, whole numbers (n, 3, 32, 32)."""
    x = torch.from_numpy(np.load(data_folder() / "gen" / "cifar10" / "cifar10_part.npz")["x"]).movedim(-1, 1)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    return x[:3400], x[3400:3500], x[3500:]


class Mirrored:
    """Batches of images, each mirrored or not."""

    def __init__(self, x: Tensor):
        self.x, self.generator = x, torch.Generator().manual_seed(0)

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            for rows in torch.randperm(len(self.x), generator=self.generator).split(BATCH):
                x = self.x[rows].float() / 255
                yield torch.where(torch.rand(len(x), 1, 1, 1, generator=self.generator) < 0.5, x, x.flip(-1))


@torch.no_grad()
def bits(model: Any, x: Tensor) -> float:
    """Bits per dimension, averaged over the images, without dropout."""
    training = model.training
    model.eval()
    log_p = torch.cat([model.log_prob(part.float() / 255) for part in x.split(25)])
    model.train(training)
    return bits_per_dim(log_p.mean(), x[0].numel()).item()


def train(name: str, minutes: float, wall: float) -> None:
    torch.manual_seed(0)
    train_part, validation, held_out = parts()
    kind, arguments, rate = MODELS[name]
    model: Any = kind(**arguments)
    if isinstance(model, PixelCNNpp):
        model.initialise(next(iter(Mirrored(train_part))))
    began, began_wall, checks, curve = time.process_time(), time.monotonic(), 0, []
    best: tuple[float, int, dict[str, Any]] = (math.inf, 0, {})
    spent = 0.0  # CPU seconds of the checks, which are not training

    def cpu() -> float:
        return (time.process_time() - began - spent) / 60

    def used() -> float:
        return max(cpu() / minutes, (time.monotonic() - began_wall) / (60 * wall))

    def lr(step: int) -> float:
        return rate * min((step + 1) / WARMUP, 0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, used()))))

    def check(now: dict[str, Any]) -> bool:
        nonlocal best, checks, spent
        share, minutes_now = used(), cpu()
        if share >= checks / CHECKS:
            start = time.process_time()
            losses = torch.tensor(now["history"].losses[-50:])
            point = {
                "step": now["step"], "cpu_minutes": round(minutes_now, 2), "train": round(bits_per_dim(-losses.mean(), 3072).item(), 3),
                "validation": round(bits(model, validation), 4),
            }
            curve.append(point)
            if point["validation"] < best[0]:
                best = (point["validation"], now["step"], copy.deepcopy(model.state_dict()))
            checks += 1
            spent += time.process_time() - start
            print(json.dumps(point), flush=True)
        return checks > CHECKS

    history = fit(model, Mirrored(train_part), steps=10**6, lr=lr, callback=check, progress=False)
    training_minutes = cpu()
    model.load_state_dict(best[2])
    entry = {
        "model": f"{kind.__module__}.{kind.__name__}", "arguments": arguments, "parameters": sum(p.numel() for p in model.parameters()),
        "train": round(bits(model, train_part[:300]), 3), "held_out": round(bits(model, held_out), 3), "validation": round(best[0], 3),
        "steps": history.steps, "best_step": best[1], "epochs": round(history.steps * BATCH / len(train_part), 2),
        "cpu_minutes": round(training_minutes, 1), "cpu_minutes_with_checks": round((time.process_time() - began) / 60, 1),
        "command": " ".join(["OMP_NUM_THREADS=1 python", *sys.argv]), "revision": revision(), "curve": curve,
    }
    store(name, entry)
    torch.manual_seed(1)
    torch.save({"arguments": arguments, "model": model.state_dict()}, RUNS / f"cifar_pixels_{name}.pt")
    start = time.process_time()
    images = model.sample(6, (32, 32))
    entry["sample_cpu_seconds"] = round(time.process_time() - start, 1)
    torch.save(images, RUNS / f"cifar_pixels_{name}_samples.pt")
    store(name, entry)


def store(name: str, entry: dict[str, Any]) -> None:
    """Put the entry beside those there are, and the samples of all models that have some in one picture: a row a model, in the order of ROWS."""
    print(json.dumps({k: v for k, v in entry.items() if k != "curve"}), flush=True)
    path = MEASURED / "cifar_pixels.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    stored["about"] = "bits per dimension (8-bit colours) on 4,000 CIFAR-10 images: 3,400 to train, 100 to choose the step, 500 held out; one seed each"
    stored[name] = entry
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
    rows = [RUNS / f"cifar_pixels_{row}_samples.pt" for row in ROWS]
    if all(row.exists() for row in rows):
        frame = [nn.functional.pad(torch.load(row), (1, 1, 1, 1), value=1.0) for row in rows]
        write_image(MEASURED / "cifar_pixels_samples.png", torch.cat([torch.cat(list(row), -1) for row in frame], -2)[None])


def baselines() -> None:
    """What can be had without a network. Fitted on the training part; in bits per dimension on both."""
    began = time.process_time()
    train_part, _, held_out = parts()
    table = {"uniform": {"train": 8.0, "held_out": 8.0}}

    def histogram(x: Tensor, cells: Tensor, extra: float) -> Tensor:  # log₂ probabilities; `cells` says which histogram a number belongs to
        counts = torch.zeros(int(cells.max()) + 1, 256)
        counts.view(-1).index_add_(0, (cells.expand_as(x) * 256 + x).flatten(), torch.ones(x.numel()))
        return ((counts + extra) / (counts + extra).sum(1, keepdim=True)).log2()

    colour, place = torch.arange(3).view(3, 1, 1), torch.arange(3 * 32 * 32).view(3, 32, 32)
    for label, cells, extra in (("a histogram for each colour", colour, 1.0), ("a histogram for each colour and place", place, 0.5)):
        log2 = histogram(train_part.long(), cells, extra)
        table[label] = {k: round(-log2[cells.expand_as(x), x.long()].mean().item(), 3) for k, x in (("train", train_part), ("held_out", held_out))}

    def logistic(label: str, guess: Any) -> None:
        """One discretised logistic a colour around `guess`, its mean and scale fitted."""
        mean, log_scale = torch.zeros(3, 1, 1, requires_grad=True), torch.full((3, 1, 1), -1.0, requires_grad=True)
        optimizer = torch.optim.LBFGS([mean, log_scale], max_iter=40, line_search_fn="strong_wolfe")

        def value(x: Tensor) -> Tensor:
            x = x.float() / 127.5 - 1
            return bits_per_dim(discretized_logistic_log_prob(x, mean + guess(x), log_scale).sum((1, 2, 3)).mean(), x[0].numel())

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = value(train_part[:500])
            loss.backward()
            return loss

        optimizer.step(closure)
        with torch.no_grad():
            table[label] = {"train": round(value(train_part).item(), 3), "held_out": round(value(held_out).item(), 3)}

    def neighbour(x: Tensor) -> Tensor:  # the same colour to the left; at the left border, above
        left = nn.functional.pad(x, (1, -1, 0, 0))
        left[..., 1:, 0] = x[..., :-1, 0]
        return left

    def neighbour_and_colour(x: Tensor) -> Tensor:  # the left neighbour, moved as the colour before it moved at this pixel
        left = neighbour(x)
        return left + nn.functional.pad(x - left, (0, 0, 0, 0, 1, -1))

    logistic("one discretised logistic for each colour", lambda x: 0.0)
    logistic("a discretised logistic around the left neighbour", neighbour)
    logistic("the same, moved as the colour before it", neighbour_and_colour)
    minutes = round((time.process_time() - began) / 60, 2)
    store("baselines", {"rows": table, "cpu_minutes": minutes, "command": " ".join(["OMP_NUM_THREADS=1 python", *sys.argv]), "revision": revision()})


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", choices=[*MODELS, "baselines"])
    arguments.add_argument("--minutes", type=float, default=8.0, help="of CPU time for training")
    arguments.add_argument("--wall", type=float, default=1e9, help="minutes on the clock after which training ends even so")
    options = arguments.parse_args()
    RUNS.mkdir(exist_ok=True)
    baselines() if options.model == "baselines" else train(options.model, options.minutes, options.wall)
