"""MNIST: 70,000 handwritten digits of 28×28 pixels, here as black and white drawings. Needs the folder named by GENSR_DATA."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gensr.data import sets


class Split(NamedTuple):
    """Grey levels 0 … 255, and the digit that each image shows."""

    train: UInt8[Tensor, "60000 1 28 28"]
    test: UInt8[Tensor, "10000 1 28 28"]
    train_labels: Int[Tensor, " 60000"]
    test_labels: Int[Tensor, " 10000"]


def mnist() -> Split:
    """The images in their original order.

    Raises:
        FetchError: GENSR_DATA names no folder that has them, or the file is damaged.

    Reference: LeCun, Bottou, Bengio, Haffner 1998.
    """
    (path,) = sets.get("mnist")
    with np.load(path) as file:
        train, test = (torch.from_numpy(file[f"x_{part}"])[:, None] for part in ("train", "test"))
        return Split(train, test, *(torch.from_numpy(file[f"y_{part}"]).long() for part in ("train", "test")))


def binarised(x: UInt8[Tensor, "n 1 h w"], seed: int = 0) -> Float[Tensor, "n 1 h w"]:
    """One fixed draw: each pixel is 1 with probability level/255, else 0. A bound in nats needs such pixels; state the seed with every figure.

    Reference: Salakhutdinov & Murray 2008.
    """
    return torch.bernoulli(x.float() / 255, generator=torch.Generator().manual_seed(seed))


class Binarised:
    """An endless stream of batches (batch, 1, h, w) of zeros and ones: random images, each drawn anew every time it is met ("dynamic binarisation").

    Args:
        x: grey levels 0 … 255.
        batch: images per batch.
        seed: of the stream's own generator, whose place goes into checkpoints.
    """

    def __init__(self, x: UInt8[Tensor, "n 1 h w"], batch: int = 128, seed: int = 0):
        self.x, self.batch, self.generator = x, batch, torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[Float[Tensor, "b 1 h w"]]:
        while True:
            i = torch.randint(len(self.x), (self.batch,), generator=self.generator)
            yield torch.bernoulli(self.x[i].float() / 255, generator=self.generator)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
