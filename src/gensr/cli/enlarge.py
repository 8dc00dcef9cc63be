"""Enlarge a picture of any size tile by tile, so that memory holds one tile of floats and the finished picture in 8 bits.

A tile is read with a margin at least as wide as the network sees, and only its middle is kept. A tile is never cut at the picture's own edge, so
that the network pads there as it would have padded the whole picture: the result is that of one pass, up to the last bits of float32.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from gensr import weights
from gensr.io import SUFFIXES, ImageError, Picture
from gensr.resize import bicubic_upsample
from gensr.superres.affine import AffineProjection
from gensr.superres.edsr import self_ensemble

MAX_OUTPUT = 500_000_000  # pixels; the finished picture takes 4 bytes each
BICUBIC_REACH = 2  # LR pixels on each side
PINV_REACH = 4  # LR pixels after which float32 sees nothing of what the tails of bicubic's A⁺ bring: to a third with each, of what is little at the start
SIDES = {"JPEG": 65_500, "WEBP": 16_383}  # the longest side a format can hold
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Enlarger(NamedTuple):
    """A method ready to use: its label, the factor, the function LR (1, 3, h, w) → HR, and how a picture is cut, in LR pixels."""

    label: str
    scale: int
    run: Callable[[Tensor], Tensor]
    margin: int
    tile: int
    device: torch.device


def zoo() -> Path | None:
    """The folder of weights named by GENSR_ZOO, or None for the weights of the package."""
    folder = os.environ.get("GENSR_ZOO")
    return Path(folder) if folder else None


def scales(method: str) -> list[int]:
    """The factors for which there are weights of a method."""
    found = [n.removeprefix(f"{method}_x") for n in weights.names(zoo()) if n.startswith(f"{method}_x")]
    return sorted(int(s) for s in found if s.isdecimal())


def methods(scale: int) -> list[str]:
    """All methods for a factor: bicubic first, then as they measured, the best last."""
    found = [n for n in weights.names(zoo()) if n.endswith(f"_x{scale}")]
    found.sort(key=lambda n: weights.card(n, zoo()).get("measured", {}).get("psnr", 0.0))
    return ["bicubic", *(n.removesuffix(f"_x{scale}") for n in found)]


def enlarger(method: str, scale: int, *, ensemble: bool = False, tile: int | None = None) -> Enlarger:
    """Make a method ready.

    Args:
        method: "bicubic", or the name of a weight before its "_x4".
        scale: factor.
        ensemble: average over the eight flips and turns of the picture.
        tile: side of a tile in LR pixels, without its margin; by default as fits about 300 MB.

    Raises:
        ValueError: no such method, or not for this factor. WeightsError: a damaged weight.
    """
    if tile is not None and tile < 8:
        raise ValueError(f"--tile: expected at least 8 pixels, got {tile}")
    if method == "bicubic":
        if not 2 <= scale <= 8:
            raise ValueError(f"--scale: bicubic goes from 2 to 8, got {scale}")
        return Enlarger("bicubic", scale, lambda y: bicubic_upsample(y, scale), BICUBIC_REACH, tile or 192, torch.device("cpu"))
    if scale not in (found := scales(method)):
        others = sorted({n.rsplit("_x", 1)[0] for n in weights.names(zoo()) if "_x" in n})
        if not found:
            raise ValueError(f"--method: there is no {method!r}, expected one of {', '.join(['bicubic', *others])}")
        raise ValueError(f"--scale: {method} has no weights for ×{scale}, only for {', '.join(f'×{s}' for s in found)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = weights.load(f"{method}_x{scale}", zoo()).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.4 times as fast
    run: Callable[[Tensor], Tensor] = (lambda y: self_ensemble(net, y)) if ensemble else net
    return Enlarger(method + ("+" if ensemble else ""), scale, run, margin(net, scale), tile or default_tile(net, scale), device)


def margin(net: nn.Module, scale: int) -> int:
    """LR pixels that a network of convolutions sees on each side, at most: every convolution widens the view by half its kernel.

    An affine projection widens it by A and by A⁺, so that A x̂ = y holds across the seams, too. (With the margin of its network alone an untrained one
    misses y there by 1e-4, and a trained one, whose answer needs little correction, by nothing that float32 shows.)
    """
    if isinstance(net, AffineProjection):
        taps = net.operator.filter().numel()  # type: ignore[operator]
        return margin(net.network, scale) + -(-(taps - scale) // (2 * scale)) + PINV_REACH
    reach = sum(max(d * (k - 1) // 2 for k, d in zip(m.kernel_size, m.dilation, strict=True)) for m in _convolutions(net))
    return BICUBIC_REACH + (reach if _is_late(net) else -(-reach // scale))


def default_tile(net: nn.Module, scale: int) -> int:
    """A side for which the output of the widest layer takes about 25 MB."""
    width = max(m.out_channels for m in _convolutions(net)) * (1 if _is_late(net) else scale**2)
    return max(32, min(384, int((25e6 / 4 / width) ** 0.5) - 2 * margin(net, scale)))


def _convolutions(net: nn.Module) -> list[nn.Conv2d]:
    return [m for m in net.modules() if isinstance(m, nn.Conv2d)]


def _is_late(net: nn.Module) -> bool:
    """Whether the network works on LR pixels and makes the sub-pixels at its end; otherwise it works on the enlarged picture, as SRCNN."""
    return any(isinstance(m, nn.PixelShuffle) for m in net.modules())


def check_size(path: Path, color: Tensor, scale: int) -> None:
    """Raise `ImageError` where the enlarged picture is more than we, or the format, can hold."""
    h, w = color.shape[-2] * scale, color.shape[-1] * scale
    if h * w > MAX_OUTPUT:
        raise ImageError(f"{path}: would have {w}x{h} pixels, more than {MAX_OUTPUT // 10**6} megapixels; use a smaller --scale")
    kind = SUFFIXES[path.suffix.lower()]
    if max(h, w) > SIDES.get(kind, 2**31 - 1):
        raise ImageError(f"{path}: would have {w}x{h} pixels, but {kind} holds at most {SIDES[kind]} on a side; use .png")


def windows(n: int, tile: int) -> Iterator[tuple[int, int]]:
    """Cut 0..n into about equal pieces no longer than a tile."""
    count = -(-n // tile)
    yield from itertools.pairwise(n * k // count for k in range(count + 1))


@torch.inference_mode()
def enlarge(picture: Picture, e: Enlarger, *, progress: bool | None = None) -> Image.Image:
    """The enlarged picture, 8 bits: grey stays grey, and alpha is enlarged by bicubic.

    Args:
        progress: show a bar; by default on a terminal only.
    """
    y, s = picture.color, e.scale
    h, w = y.shape[-2:]
    mode = ("L" if picture.grey else "RGB") + ("" if picture.alpha is None else "A")
    image = Image.new(mode, (w * s, h * s))
    tiles = list(itertools.product(windows(h, e.tile), windows(w, e.tile)))
    show = {True: False, False: True, None: None}[progress]  # tqdm's None: a bar only on a terminal
    for (top, bottom), (left, right) in tqdm(tiles, desc=f"{e.label} ×{s}", unit="tile", disable=show, leave=False):
        part = _middle(y, (top, bottom, left, right), e.margin, s, lambda v: e.run(v.to(e.device, memory_format=torch.channels_last)).cpu())
        if picture.grey:
            part = torch.einsum("c,bchw->bhw", torch.tensor(GREY), part)[:, None]
        if picture.alpha is not None:
            alpha = _middle(picture.alpha, (top, bottom, left, right), BICUBIC_REACH, s, lambda v: bicubic_upsample(v, s))
            part = torch.cat([part, alpha], 1)
        a = (part[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        image.paste(Image.fromarray(a[:, :, 0] if mode == "L" else a), (left * s, top * s))
    return image


def _middle(y: Tensor, box: tuple[int, int, int, int], margin: int, s: int, run: Callable[[Tensor], Tensor]) -> Tensor:
    top, bottom, left, right = box
    above, before = min(margin, top), min(margin, left)
    out = run(y[..., top - above : bottom + margin, left - before : right + margin])
    return out[..., above * s : (above + bottom - top) * s, before * s : (before + right - left) * s]


def to_tensor(image: Image.Image) -> Tensor:
    """A finished picture as RGB (1, 3, h, w) in [0, 1]."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].contiguous().float().div_(255)
