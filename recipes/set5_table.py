"""Measure every shipped super-resolution weight and both baselines on Set5 by the published protocol; the chapter shows what this wrote.

    OMP_NUM_THREADS=1 python recipes/set5_table.py

Writes book/chapters/measured/set5.json (the table) and set5_gain.json (the claim), each with this command and its cost.
"""

import json
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from common import ROOT, data_folder
from gensr import weights
from gensr.claims import claim
from gensr.data.photos import crop_to_multiple, load_folder
from gensr.metrics import sr_scores, to_y
from gensr.operators import Downsample
from gensr.resize import bicubic_upsample, imresize
from gensr.superres.edsr import self_ensemble

MEASURED = ROOT / "book" / "chapters" / "measured"


def on_luma(method: Callable[[Tensor], Tensor], x: Tensor, scale: int) -> list[float]:
    """A method without colour, by the route of the published bicubic numbers: Y in 8 bits, then an LR that is not rounded."""
    v = (to_y(x) * 255).round() / 255
    return [float(s) for s in sr_scores(method(imresize(v, 1 / scale)), v, scale)]


def on_colour(net: nn.Module | Callable[[Tensor], Tensor], x: Tensor, scale: int) -> list[float]:
    """A network that maps 8-bit RGB to RGB; only the score is taken on Y."""
    y = imresize((x * 255).round().to(torch.uint8), 1 / scale).float() / 255
    return [float(s) for s in sr_scores(net(y), x, scale)]


@torch.no_grad()
def main() -> None:
    start, rows, per_image = time.monotonic(), [], {}
    photographs = [x[None].float() / 255 for x in load_folder(data_folder() / "sr" / "set5" / "hr")]
    for s in (2, 3, 4):
        originals = [crop_to_multiple(x, s) for x in photographs]
        methods = {
            "bicubic": lambda x, s=s: on_luma(lambda y: bicubic_upsample(y, s), x, s),
            "A⁺y": lambda x, s=s: on_luma(Downsample(s).pinv, x, s),
        }
        for name in (n for n in weights.names() if n.endswith(f"_x{s}")):
            net = weights.load(name)
            methods[name] = lambda x, net=net, s=s: on_colour(net, x, s)
            if name.startswith("edsr"):
                methods[name + "+"] = lambda x, net=net, s=s: on_colour(lambda y: self_ensemble(net, y), x, s)
        for method, score in methods.items():
            scores = torch.tensor([score(x) for x in originals])
            per_image[method, s] = scores[:, 0].tolist()
            psnr, ssim = scores.mean(0).tolist()
            rows.append({"scale": s, "method": method, "psnr": round(psnr, 2), "ssim": round(ssim, 4)})
            print(rows[-1], flush=True)
    command, cost = " ".join(["python", *sys.argv]), f"{time.monotonic() - start:.0f} s on one core"
    MEASURED.mkdir(exist_ok=True)
    table = {"command": command, "cost": cost, "protocol": "Y channel, 8 bits, as many pixels shaved as the scale, mean over 5 images", "rows": rows}
    (MEASURED / "set5.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    gain = claim(
        "EDSR over bicubic on Set5 ×4, mean over its five photographs", unit="dB", at_least=0.5,
        effect=lambda k: per_image["edsr_x4", 4][k] - per_image["bicubic", 4][k], seeds=range(5),
    )
    gain.save(MEASURED / "set5_gain.json", command, cost)
    print(gain)


if __name__ == "__main__":
    main()
