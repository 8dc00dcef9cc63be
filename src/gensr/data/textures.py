"""Brick, grass and gravel: three photographs of textures that ship inside scikit-image, each cut into a part to learn from and parts held out."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

NAMES = ("brick", "grass", "gravel")
LEVELS = 256  # grey levels 0 … 255


class Regions(NamedTuple):
    """Three strips of one photograph that share no pixel."""

    train: UInt8[Tensor, "1 512 352"]
    validation: UInt8[Tensor, "1 512 64"]
    test: UInt8[Tensor, "1 512 96"]


def texture(name: str) -> UInt8[Tensor, "1 512 512"]:
    """One photograph, grey, 8 bits a pixel.

    Raises:
        ValueError: another name than "brick", "grass" or "gravel".
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}, got {name!r}")
    import skimage.data

    return torch.from_numpy(np.array(getattr(skimage.data, name)()))[None]


def regions(name: str) -> Regions:
    """The photograph cut from left to right: 352 columns to train on, 64 to decide when to stop, 96 to test on.

    Cutting first and cropping afterwards matters: random crops of one picture overlap, and a test crop that overlaps a training crop is known by heart.

    Raises:
        ValueError: no such texture.
    """
    return Regions(*texture(name).split([352, 64, 96], 2))


def tiles(x: Shaped[Tensor, "c h w"], size: int = 32) -> Shaped[Tensor, "n c size size"]:
    """The picture's square tiles side by side, row by row; what is left over at the right and at the bottom is dropped.

    Raises:
        ValueError: size below 1, or larger than the picture.
    """
    if not 1 <= size <= min(x.shape[1:]):
        raise ValueError(f"size: expected 1 to {min(x.shape[1:])}, got {size}")
    return x.unfold(1, size, size).unfold(2, size, size).permute(1, 2, 0, 3, 4).flatten(0, 1)


def held_out(part: str = "test", size: int = 32) -> Float[Tensor, "n 1 size size"]:
    """Tiles of one part of all three textures, in [0, 1]: first brick, then grass, then gravel, equally many of each.

    Raises:
        ValueError: a part other than "train", "validation" and "test", or a size that does not fit.
    """
    if part not in Regions._fields:
        raise ValueError(f"part: expected one of {', '.join(Regions._fields)}, got {part!r}")
    return torch.cat([tiles(getattr(regions(name), part), size) for name in NAMES]).float() / 255


class Crops:
    """An endless stream of batches (batch, 1, size, size) in [0, 1] from random places of the training strips, equally many of each texture on average.

    Args:
        size: side of a crop.
        batch: crops per batch.
        names: of the textures.
        flip: mirror every second crop left to right: grass and gravel look the same in a mirror, and so do bricks lit from above.
        seed: of the stream's own generator.

    Raises:
        ValueError: no such texture, or a size below 1 or above 352.
    """

    def __init__(self, size: int = 32, batch: int = 32, names: tuple[str, ...] = NAMES, flip: bool = True, seed: int = 0):
        if not 1 <= size <= 352:
            raise ValueError(f"size: expected 1 to 352, got {size}")
        self.size, self.batch, self.flip = size, batch, flip
        self.pictures = torch.stack([regions(name).train for name in names])  # (k, 1, 512, 352)
        self.generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[Float[Tensor, "b 1 size size"]]:
        while True:
            yield self.draw()

    def draw(self) -> Float[Tensor, "b 1 size size"]:
        """One batch."""
        k, h, w = len(self.pictures), *self.pictures.shape[2:]
        crops = []
        for _ in range(self.batch):
            m, i, j, mirror = (int(torch.randint(n, (), generator=self.generator)) for n in (k, h - self.size + 1, w - self.size + 1, 2))
            v = self.pictures[m, :, i : i + self.size, j : j + self.size]
            crops.append(v.flip(2) if self.flip and mirror else v)
        return torch.stack(crops).float() / 255

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
