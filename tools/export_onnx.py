"""Export what the browser demo runs as ONNX files with free height and width, each checked against torch: bicubic enlargement, EDSR, AffMSE, AffGAN, and A.

    python tools/export_onnx.py                          all of it into book/_assets/_demo/
    python tools/export_onnx.py --weights edsr_x4 affgan_x4 --out FOLDER

Where a weight is not in the zoo, an untrained network is written, and the page that shows it says so.

The exact A⁺ of `Downsample` is a matrix for each length of an axis, and a graph with free height and width can hold none. So a projection is exported as two
convolutions on mirrored images: A is one of stride s, exactly; A⁺ is a sub-pixel convolution with 19 × 19 kernels, which lack 2e-5 of its norm.
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
from torch.nn import functional as F

from gensr import weights
from gensr.data.photos import crop_to_multiple, example
from gensr.io import write_image
from gensr.nets import SubPixelNet
from gensr.operators import Downsample
from gensr.operators.subpixel import sub_pixel_kernels
from gensr.resize import bicubic_upsample, imresize
from gensr.superres.affine import AffineProjection
from gensr.superres.edsr import EDSR

ROOT = Path(__file__).parents[1]
OUT = ROOT / "book" / "_assets" / "_demo"
SCALE = 4
LABELS = {"bicubic": "bicubic", "edsr_x4": "EDSR", "affmse_x4": "AffMSE", "affgan_x4": "AffGAN"}  # in the order of the page's lists
SIZES = ((8, 8), (24, 20), (37, 61), (152, 152))  # of the parity check, in small pixels: tiny, the traced one, odd, a whole tile
TOLERANCE = 1e-5  # of what is exported as it is
PROJECTED = 1e-4  # of a projection, whose A⁺ is cut off
KERNEL = 19  # side of its kernels


class Bicubic(nn.Module):
    """`bicubic_upsample` with no weights at all."""

    def __init__(self, scale: int):
        super().__init__()
        self.scale = scale

    def forward(self, y: Tensor) -> Tensor:
        return bicubic_upsample(y, self.scale)


def mirrored(x: Tensor, margin: int) -> Tensor:
    """The image (1, c, h, w) continued by its mirror image as (c, 1, h + 2·margin, w + 2·margin). `sub_pixel` takes a remainder, which has no export."""
    (_, c, h, w) = x.shape
    for dim, n in ((-2, h), (-1, w)):
        i = torch.arange(-margin, n + margin)
        for _ in range(3):  # enough for a margin of 9 around 4 pixels
            i = torch.where(i < 0, -1 - i, i)
            i = torch.where(i >= n, 2 * n - 1 - i, i)
        x = x.index_select(dim, i)
    return x.reshape(c, 1, h + 2 * margin, w + 2 * margin)


class Measure(nn.Module):
    """A as a convolution of stride s."""

    kernel: Tensor

    def __init__(self, A: Downsample):
        super().__init__()
        self.scale = A.scale
        k = A.filter()
        self.register_buffer("kernel", torch.outer(k, k)[None, None].to(torch.get_default_dtype()))

    def forward(self, x: Tensor) -> Tensor:
        _, c, h, w = x.shape
        out = F.conv2d(mirrored(x, (self.kernel.shape[-1] - self.scale) // 2), self.kernel, stride=self.scale)  # (c, 1, h/s, w/s)
        return out.reshape(1, c, h // self.scale, w // self.scale)


class Projected(nn.Module):
    """x + A⁺(y − A x) with x = f(y), by convolutions alone."""

    kernels: Tensor

    def __init__(self, net: AffineProjection):
        super().__init__()
        self.network, self.measure = net.network, Measure(net.operator)
        self.register_buffer("kernels", sub_pixel_kernels(net.operator, KERNEL).to(torch.get_default_dtype()))

    def forward(self, y: Tensor) -> Tensor:
        x = self.network(y)
        missing = F.conv2d(mirrored(y - self.measure(x), KERNEL // 2), self.kernels)  # (c, s², h, w)
        return x + F.pixel_shuffle(missing, self.measure.scale).reshape(x.shape)


def network(name: str) -> tuple[nn.Module, bool]:
    """The weight of that name and True, or an untrained network of its kind and False where it has not been trained yet."""
    if name == "bicubic":
        return Bicubic(SCALE), True
    if (weights.ZOO / "manifest.toml").exists() and name in weights.names():
        return weights.load(name), True
    torch.manual_seed(0)
    if name.startswith("aff"):
        return AffineProjection(SubPixelNet(SCALE, 3, channels=32, blocks=6), Downsample(SCALE)).eval(), False
    return EDSR(scale=SCALE).eval(), False


def export(net: nn.Module, path: Path) -> float:
    """Write `net`, (1, 3, h, w) -> (1, 3, s·h, s·w), to `path` and return the largest difference from torch over `SIZES`. A `Measure` goes the other way.

    Raises:
        RuntimeError: a difference above `TOLERANCE`, for a projection above `PROJECTED`.
    """
    projected, down = isinstance(net, AffineProjection), isinstance(net, Measure)
    free, traced = {2: Dim("h", min=4, max=4096), 3: Dim("w", min=4, max=4096)}, (24, 20)
    if down:
        free, traced = {2: SCALE * Dim("h", min=4, max=4096), 3: SCALE * Dim("w", min=4, max=4096)}, (96, 80)
    for name in ("torch.onnx._internal.exporter._registration", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Projected(net) if projected else net, (torch.rand(1, 3, *traced),), path, dynamo=True, input_names=["x" if down else "y"],
            output_names=["y" if down else "x"], dynamic_shapes=(free,), external_data=False, verbose=False,
        )
    onnx.save(bare(onnx.load(path)), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for h, w in SIZES:
        given = torch.rand(1, 3, *((SCALE * h, SCALE * w) if down else (h, w)), generator=torch.Generator().manual_seed(h))
        with torch.no_grad():
            wanted = (Downsample(SCALE) if down else net)(given).numpy()
        worst = max(worst, float(np.abs(session.run(None, {"x" if down else "y": given.numpy()})[0] - wanted).max()))
    if not worst <= (PROJECTED if projected else TOLERANCE):
        raise RuntimeError(f"{path.name} differs from torch by {worst:.1e}, more than {PROJECTED if projected else TOLERANCE:.0e}")
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
    a.add_argument("--weights", nargs="+", default=[n for n in LABELS if n != "bicubic"])
    a.add_argument("--out", type=Path, default=OUT)
    a = a.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    card: dict = {"scale": SCALE, "networks": []}
    for name in ("bicubic", *a.weights):
        net, trained = network(name)
        parameters = sum(p.numel() for p in net.parameters())
        card["networks"].append({
            "name": name, "label": LABELS.get(name, name), "parameters": parameters, "trained": trained, "projected": isinstance(net, AffineProjection),
            "file": write(net, a.out / f"{name}.onnx"),
        })
        if not trained:
            print(f"{name} is not in the zoo: the network is untrained", file=sys.stderr)
    card["measure"] = write(Measure(Downsample(SCALE)), a.out / "measure.onnx")
    write_image(a.out / "example.png", imresize(crop_to_multiple(example("chelsea"), SCALE), 1 / SCALE))
    (a.out / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return 0


def write(net: nn.Module, path: Path) -> str:
    """Export, say how it went, and give the file's address, whose hash keeps a browser from showing an older file out of its cache."""
    worst = export(net, path)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB, differs from torch by at most {worst:.1e}")
    return f"{path.name}?{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


if __name__ == "__main__":
    sys.exit(main())
