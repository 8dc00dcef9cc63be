"""Photographs for super-resolution: folders of images, and random LR/HR patches with a position that can be saved."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from PIL import Image
from torch import Tensor

from gensr.resize import imresize

EXAMPLES = ("astronaut", "chelsea", "coffee", "rocket")


def example(name: str) -> Float[Tensor, "1 3 h w"]:
    """A colour photograph that ships inside scikit-image: "astronaut" (512×512), "chelsea" (300×451), "coffee" (400×600) or "rocket" (427×640).

    Raises:
        ValueError: another name.
    """
    if name not in EXAMPLES:
        raise ValueError(f"name: expected one of {', '.join(EXAMPLES)}, got {name!r}")
    import skimage.data

    return torch.from_numpy(np.array(getattr(skimage.data, name)())).permute(2, 0, 1)[None].float() / 255


def crop_to_multiple(x: Shaped[Tensor, "*batch h w"], scale: int) -> Shaped[Tensor, "*batch h2 w2"]:
    """The top-left part whose sides are multiples of the scale, as every benchmark crops."""
    h, w = x.shape[-2:]
    return x[..., : h - h % scale, : w - w % scale]


def load_folder(folder: str | Path, limit: int | None = None) -> list[UInt8[Tensor, "3 h w"]]:
    """All PNG and JPEG images of a folder in name order, as uint8 RGB.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
    """
    paths = sorted(p for p in Path(folder).glob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))[:limit]
    if not paths:
        raise FileNotFoundError(f"folder: no PNG or JPEG image in {folder}")
    return [torch.from_numpy(np.array(Image.open(p).convert("RGB"))).permute(2, 0, 1).contiguous() for p in paths]


class Patches:
    """An endless stream of (LR, HR) patch batches for one scale, flipped and turned at random, in [0, 1].

    The LR images are made once, by the MATLAB-compatible bicubic kernel with 8-bit rounding: the kernel one trains on is the kernel one can undo.

    Args:
        images: uint8 HR images (3, h, w).
        scale: factor s.
        size: side of an LR patch; HR patches have s · size. Images smaller than that are left out.
        batch: patches per batch.
        seed: of the stream's own generator.

    Raises:
        ValueError: no image is large enough.
    """

    def __init__(self, images: Sequence[UInt8[Tensor, "3 h w"]], scale: int, size: int = 32, batch: int = 16, seed: int = 0):
        self.scale, self.size, self.batch = scale, size, batch
        self.generator = torch.Generator().manual_seed(seed)
        self.hr = [crop_to_multiple(x, scale) for x in images if min(x.shape[1:]) >= scale * size]
        if not self.hr:
            raise ValueError(f"images: none is at least {scale * size} pixels wide and high")
        self.lr = [imresize(x, 1 / scale) for x in self.hr]
        self.area = torch.tensor([float(y.shape[1] * y.shape[2]) for y in self.lr])

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h2 w2"]]]:
        while True:
            yield self.draw()

    def draw(self) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h2 w2"]]:
        """One batch; images are chosen in proportion to their area."""
        g, s, p = self.generator, self.scale, self.size
        lr, hr = [], []
        for k in torch.multinomial(self.area, self.batch, replacement=True, generator=g).tolist():
            h, w = self.lr[k].shape[1:]
            i, j, turns, flip = (int(torch.randint(n, (), generator=g)) for n in (h - p + 1, w - p + 1, 4, 2))
            for out, image, f in ((lr, self.lr[k], 1), (hr, self.hr[k], s)):
                v = image[:, f * i : f * (i + p), f * j : f * (j + p)].rot90(turns, (1, 2))
                out.append(v.flip(2) if flip else v)
        return torch.stack(lr).float() / 255, torch.stack(hr).float() / 255

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
