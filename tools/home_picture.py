"""Make the pictures of the home page, book/_static/home/: one photograph, measured, and three ways to enlarge the measurement.

    python tools/home_picture.py

Run it again when edsr_x4 changes; a test compares the files, and the decibels in book/intro.md, with what this makes.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from gensr import weights
from gensr.data.photos import example
from gensr.io import write_image
from gensr.metrics import sr_scores
from gensr.operators import Downsample
from gensr.resize import bicubic_upsample, imresize

OUT = Path(__file__).parents[1] / "book" / "_static" / "home"
TOP, LEFT, SIDE, SCALE = 24, 132, 176, 4  # the astronaut's face


def pictures() -> tuple[dict[str, Tensor], dict[str, float]]:
    """The five pictures, (3, SIDE, SIDE) each, and the PSNR in dB (Y channel, SCALE pixels shaved) of the three that are estimates."""
    x = example("astronaut")[..., TOP : TOP + SIDE, LEFT : LEFT + SIDE].contiguous()
    A = Downsample(SCALE)
    y = A(x)
    with torch.no_grad():
        guesses = {"bicubic": bicubic_upsample(y, SCALE), "pinv": A.pinv(y), "edsr": weights.load("edsr_x4")(y)}
    found = {"lr": imresize(y, SCALE, kernel="box")} | guesses | {"truth": x}
    scores = {name: float(sr_scores(guess.clamp(0, 1), x, SCALE).psnr) for name, guess in guesses.items()}
    return {name: picture[0].clamp(0, 1) for name, picture in found.items()}, scores


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    found, scores = pictures()
    for name, picture in found.items():
        write_image(OUT / f"{name}.jpg", picture)
        print(f"{name}: {(OUT / f'{name}.jpg').stat().st_size / 1024:.0f} KB" + (f", {scores[name]:.1f} dB" if name in scores else ""))
    (OUT / "psnr.json").write_text(json.dumps({k: round(v, 2) for k, v in scores.items()}) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
