"""Train EDSR at teaching size: data → train → evaluate → safetensors + card.

    OMP_NUM_THREADS=1 python recipes/edsr.py --scale 4 --steps 42000
    OMP_NUM_THREADS=1 python recipes/edsr.py --scale 3 --steps 15000 --start src/gensr/zoo/edsr_x4.safetensors

Stops and resumes at will: the checkpoint holds the optimiser, the average and the position in the data.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from common import RUNS, curve_callback, publish, set5_scores, training_images
from gensr.data.photos import Patches
from gensr.superres.edsr import EDSR
from gensr.train import cosine, fit, has_fast_bfloat16


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--scale", type=int, default=4)
    a.add_argument("--steps", type=int, default=40_000)
    a.add_argument("--lr", type=float, default=1e-3)
    a.add_argument("--size", type=int, default=32, help="side of an LR patch")
    a.add_argument("--start", type=Path, help="weights (.safetensors or checkpoint .pt) whose head and body to start from")
    a = a.parse_args()
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    net = EDSR(a.scale).to(memory_format=torch.channels_last)
    if a.start:
        load_body(net, a.start)
    name = f"edsr_x{a.scale}"
    patches = Patches(training_images(), a.scale, size=a.size, batch=16)
    history = fit(
        net, patches, steps=a.steps, lr=cosine(a.lr, a.steps, warmup=200), checkpoint=RUNS / f"{name}.pt",
        average=0.999, bfloat16=has_fast_bfloat16(), callback=curve_callback(name, every=2000, validate=set5_scores),
    )
    best = EDSR(a.scale)
    assert history.average is not None
    best.load_state_dict(history.average.state_dict())
    command = " ".join(["python", *sys.argv])
    publish(name, best.half().float(), "gensr.superres.edsr.EDSR", {"scale": a.scale}, history, set5_scores(best.half().float()), command)


def load_body(net: EDSR, path: Path) -> None:
    """Head and body carry over between scales; only the tail is new (the paper starts ×3 and ×4 from ×2, we start ×2 and ×3 from ×4)."""
    state = torch.load(path, weights_only=True)["average"] if path.suffix == ".pt" else load_file(path)
    net.load_state_dict({k: v.float() for k, v in state.items() if not k.startswith("tail")}, strict=False)


if __name__ == "__main__":
    main()
