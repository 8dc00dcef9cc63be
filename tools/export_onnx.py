"""Export what the browser demo runs: EDSR and bicubic enlargement as ONNX files with free height and width, each checked against torch.

    python tools/export_onnx.py                          edsr_x4 into book/_assets/_demo/
    python tools/export_onnx.py --weight edsr_x4 --out FOLDER

Where the weight is not in the zoo, an untrained network is written, and the page that shows it says so.
"""

import argparse
import hashlib
import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.export import Dim

from gensr import weights
from gensr.data.photos import crop_to_multiple, example
from gensr.io import write_image
from gensr.resize import bicubic_upsample, imresize
from gensr.superres.edsr import EDSR

ROOT = Path(__file__).parents[1]
OUT = ROOT / "book" / "_assets" / "_demo"
SIZES = ((8, 8), (24, 20), (37, 61), (136, 136))  # of the parity check: tiny, the traced one, odd, a whole tile
TOLERANCE = 1e-5


class Bicubic(nn.Module):
    """`bicubic_upsample` with no weights at all."""

    def __init__(self, scale: int):
        super().__init__()
        self.scale = scale

    def forward(self, y: Tensor) -> Tensor:
        return bicubic_upsample(y, self.scale)


def network(name: str) -> tuple[nn.Module, bool]:
    """The weight of that name and True, or an untrained EDSR and False where it has not been trained yet."""
    if (weights.ZOO / "manifest.toml").exists() and name in weights.names():
        return weights.load(name), True
    torch.manual_seed(0)
    return EDSR(scale=int(name.rsplit("_x", 1)[1])).eval(), False


def export(net: nn.Module, path: Path) -> float:
    """Write `net`, (1, 3, h, w) -> (1, 3, s·h, s·w), to `path` and return the largest difference from torch over `SIZES`.

    Raises:
        RuntimeError: a difference above `TOLERANCE`.
    """
    free = {2: Dim("h", min=4, max=4096), 3: Dim("w", min=4, max=4096)}
    for name in ("torch.onnx._internal.exporter._registration", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.rand(1, 3, 24, 20),), path, dynamo=True, input_names=["y"], output_names=["x"], dynamic_shapes=(free,),
            external_data=False, verbose=False,
        )
    onnx.save(bare(onnx.load(path)), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for h, w in SIZES:
        y = torch.rand(1, 3, h, w, generator=torch.Generator().manual_seed(h))
        with torch.no_grad():
            wanted = net(y).numpy()
        worst = max(worst, float(np.abs(session.run(None, {"y": y.numpy()})[0] - wanted).max()))
    if not worst <= TOLERANCE:
        raise RuntimeError(f"{path.name} differs from torch by {worst:.1e}, more than {TOLERANCE:.0e}")
    return worst


def bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes, which hold the paths of the machine that made it and change from run to run."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.metadata_props[:]
    for function in model.functions:
        del function.metadata_props[:]
    return model


def main() -> int:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--weight", default="edsr_x4")
    a.add_argument("--out", type=Path, default=OUT)
    a = a.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    net, trained = network(a.weight)
    card = {"weight": a.weight, "trained": trained, "scale": net.scale, "parameters": sum(p.numel() for p in net.parameters())}
    for kind, module in (("network", net), ("bicubic", Bicubic(net.scale))):
        path = a.out / (f"{a.weight}.onnx" if kind == "network" else f"bicubic_x{net.scale}.onnx")
        worst = export(module, path)
        # The hash in the address keeps a browser from showing an older file out of its cache.
        card[kind] = f"{path.name}?{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB, differs from torch by at most {worst:.1e}")
    write_image(a.out / "example.png", imresize(crop_to_multiple(example("chelsea"), net.scale), 1 / net.scale))
    (a.out / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    if not trained:
        print(f"{a.weight} is not in the zoo: the network is untrained", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
