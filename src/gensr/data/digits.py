"""Handwritten digits of 8×8 pixels and 17 grey levels, which ship inside scikit-learn: the smallest real images there are."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

LEVELS = 17  # grey levels 0 … 16


class Split(NamedTuple):
    """Images in [0, 1] and the digit that each shows."""

    train: Float[Tensor, "n 1 8 8"]
    test: Float[Tensor, "m 1 8 8"]
    train_labels: Int[Tensor, " n"]
    test_labels: Int[Tensor, " m"]


def digits() -> Split:
    """The 1797 images, level/16, shuffled once and for all and cut into 1400 for training and 397 for testing.

    The shuffle matters: the file is ordered by writer.

    Reference: Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits".
    """
    images, labels = _load()
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(images)))
    x, y = (images / 16).float()[order], labels[order]
    return Split(x[:1400], x[1400:], y[:1400], y[1400:])


def dequantised(seed: int = 0) -> Float[Tensor, "1797 1 8 8"]:
    """All images in the file's order, (level + U(0, 1))/16, float64: grey levels smeared over their cells, so that a density makes sense.

    A density fitted to bare grey levels can grow without bound, by putting a spike on each.

    Reference: Theis, van den Oord, Bethge 2016, §3.1.
    """
    images, _ = _load()
    noise = np.random.RandomState(seed).rand(len(images), 64)
    return images / 16 + torch.from_numpy(noise).view(-1, 1, 8, 8) / 16


def _load() -> tuple[Float[Tensor, "n 1 8 8"], Int[Tensor, " n"]]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return torch.from_numpy(bunch.data).view(-1, 1, 8, 8), torch.from_numpy(bunch.target).long()  # type: ignore[attr-defined]
