"""Has the hierarchical VAE learnt MNIST by heart? Count the pixels by which its samples differ from the nearest training image.

    OMP_NUM_THREADS=1 python recipes/nvae_neighbours.py

Needs the weight mnist_nvae and MNIST. Writes book/chapters/measured/nvae_neighbours.json: counts by distance, no image.

Everything is black and white: samples are draws of p(x|z) at τ = 1, the training set is binarised(train, seed=1), and there are two yardsticks. Test images,
binarised(test, seed=0), are as near to the training set as new digits are. Training images drawn anew (seed 2) are as near as copies are: they differ from
their original only in the pixels that were drawn otherwise.
"""

import json
import sys
import time

import torch
from torch import Tensor

from common import ROOT
from gensr import weights
from gensr.data.mnist import binarised, mnist

MEASURED, N = ROOT / "book" / "chapters" / "measured", 1000


def nearest(x: Tensor, train: Tensor, train_sizes: Tensor) -> Tensor:
    """For each row of x (n, d) of zeros and ones the least number of pixels by which it differs from a row of train."""
    both = torch.cat([(x @ part.T - 0.5 * size).amax(1, keepdim=True) for part, size in zip(train.split(10_000), train_sizes.split(10_000), strict=True)], 1)
    return (x.sum(1) - 2 * both.amax(1)).round().int()  # the difference is Σx + Σy − 2 Σxy


def main() -> None:
    started = time.process_time()
    data = mnist()
    train = binarised(data.train, seed=1).flatten(1)
    sizes = train.sum(1)
    model = weights.load("mnist_nvae")
    torch.manual_seed(0)
    order = torch.randperm(len(data.train))[:N]
    sets = {
        "samples": torch.cat([model.sample(250) for _ in range(N // 250)]).flatten(1),  # type: ignore[operator]
        "test images": binarised(data.test, seed=0)[:N].flatten(1),
        "training images drawn anew": binarised(data.train[order], seed=2).flatten(1),
    }
    distances = {name: nearest(x, train, sizes) for name, x in sets.items()}
    found = {
        name: {
            "counts": torch.bincount(d.clamp(max=199), minlength=200).tolist(), "median": d.median().item(), "least": d.min().item(),
            "mean": round(d.float().mean().item(), 2),
        }
        for name, d in distances.items()
    }
    near = distances["training images drawn anew"].median().item()
    share = {name: round((d <= near).float().mean().item(), 4) for name, d in distances.items()}
    about = {
        "n": N, "near": near, "share": share, "sha256": weights.card("mnist_nvae")["sha256"],
        "command": " ".join(["python", *sys.argv]), "seconds": round(time.process_time() - started),
    }
    MEASURED.mkdir(exist_ok=True)
    MEASURED.joinpath("nvae_neighbours.json").write_text(json.dumps({**about, "distances": found}) + "\n", encoding="utf-8")
    print(about, {k: {q: v[q] for q in ("median", "mean", "least")} for k, v in found.items()})


if __name__ == "__main__":
    main()
