"""Train SRCNN 9-5-5 on the luma: data → train → evaluate → safetensors + card.

    OMP_NUM_THREADS=1 python recipes/srcnn.py

As in the paper: mean squared error, small patches, and a last layer that learns ten times slower. Otherwise than in the paper: Adam with a falling rate
instead of SGD with a fixed one, which turns days into minutes; and a short second part on larger patches, where fewer pixels stand near a border that no
photograph has. Stops and resumes at will.
"""

import argparse
import json
import sys

import torch
from torch import Tensor

from common import RUNS, curve_callback, publish, set5_scores, training_images
from gensr.data.photos import Patches
from gensr.superres.srcnn import SRCNN
from gensr.train import History, cosine, fit, has_fast_bfloat16


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--scale", type=int, default=4)
    a.add_argument("--steps", type=int, default=24_000, help="on patches of 8 LR pixels (32 HR pixels at x4, where the paper has 33)")
    a.add_argument("--lr", type=float, default=2e-3)
    a.add_argument("--finish", type=int, default=2_500, help="further steps on patches of 16 LR pixels")
    a = a.parse_args()
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    net, images, name = SRCNN(a.scale).to(memory_format=torch.channels_last), training_images(), f"srcnn_x{a.scale}"
    first = part(net, images, name, size=8, steps=a.steps, lr=a.lr)
    assert first.average is not None
    net.load_state_dict(first.average.state_dict())
    last = part(net, images, f"{name}_finish", size=16, steps=a.finish, lr=a.lr / 8, every=500)
    assert last.average is not None
    best = SRCNN(a.scale)
    best.load_state_dict(last.average.state_dict())
    best.half().float()  # what the file will hold
    join_curves(name, a.steps)
    history = History(losses=first.losses + last.losses, seconds=first.seconds + last.seconds)
    publish(name, best, "gensr.superres.srcnn.SRCNN", {"scale": a.scale}, history, set5_scores(best), " ".join(["python", *sys.argv]))


def part(net: SRCNN, images: list[Tensor], name: str, *, size: int, steps: int, lr: float, every: int = 2000) -> History:
    """One part of the training, with its own checkpoint and curve."""
    return fit(
        net, Patches(images, net.scale, size=size, batch=16), steps=steps, lr=cosine(lr, steps, warmup=200), checkpoint=RUNS / f"{name}.pt", average=0.999,
        optimizer=torch.optim.Adam(net.parameter_groups(), lr=lr), bfloat16=has_fast_bfloat16(),
        callback=curve_callback(name, every=every, validate=set5_scores),
    )


def join_curves(name: str, steps: int) -> None:
    """Append the second part's curve to the first's, once, with its steps counted on."""
    path, second = RUNS / f"{name}.jsonl", RUNS / f"{name}_finish.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line for line in lines if line["step"] <= steps] + [
        {**line, "step": line["step"] + steps} for line in map(json.loads, second.read_text().splitlines())
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
