"""A hundred faces of 25×25 pixels, which ship inside scikit-image."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Faces(NamedTuple):
    """Grey images in [0, 1]; no test image, nor its mirror image, is in the training set."""

    train: Float[Tensor, "n 1 25 25"]
    test: Float[Tensor, "m 1 25 25"]


def faces() -> Faces:
    """Faces cut from photographs of the set "Labeled Faces in the Wild": 80 for training, each also mirrored (160 in all), and 20 for testing.

    The file's other hundred images are not faces; they are left out.

    Reference: Huang, Ramesh, Berg, Learned-Miller 2007; scikit-image, `skimage.data.lfw_subset`.
    """
    from skimage.data import lfw_subset

    x = torch.from_numpy(lfw_subset()[:100]).float()[:, None]  # (100, 1, 25, 25), faces first
    return Faces(torch.cat([x[:80], x[:80].flip(3)]), x[80:])
