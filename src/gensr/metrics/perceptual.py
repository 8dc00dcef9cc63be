"""LPIPS: two images are alike if a network trained to tell objects apart sees alike in them, at five depths."""

from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from gensr import fetch
from gensr.metrics.full_reference import _check_pair

FOLDER = "metrics/nets"  # of the data folder and of the cache
HEADS = ("lpips_v01_heads.npz", "044a67399327d617d19c89828e7667e6bccf1d25accdba7b79010a83a7f6ab4e")
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation of red, green, blue, for values in [-1, 1]


class Net(NamedTuple):
    """A classifier's convolutions: the file and its SHA-256, the smallest side it can take, its pooling window, its layers cut into five stages."""

    file: str
    sha256: str
    smallest: int
    pool: int
    stages: tuple[tuple[str, ...], ...]


NETS = {
    "alex": Net(
        "alexnet_conv_fp16.npz", "992f47d796fda08e59d1655754cdc8f5920fefd9f8b60bb4b5672b5ed149d864", 31, 3,
        (("conv1",), ("pool", "conv2"), ("pool", "conv3"), ("conv4",), ("conv5",)),
    ),
    "vgg": Net(
        "vgg16_conv_fp16.npz", "1fca57d3583008f7514f4d303ae1a91c989ff718a75e609c8ad38f3c1e250845", 16, 2,
        (
            ("conv1_1", "conv1_2"), ("pool", "conv2_1", "conv2_2"), ("pool", "conv3_1", "conv3_2", "conv3_3"),
            ("pool", "conv4_1", "conv4_2", "conv4_3"), ("pool", "conv5_1", "conv5_2", "conv5_3"),
        ),
    ),
}


def lpips(x_hat: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"], *, net: Literal["alex", "vgg"] = "alex") -> Float[Tensor, " b"]:
    """Learned perceptual image patch similarity, version 0.1: a distance, 0 for equal images, one value per image; lower is better.

    d(x̂, x) = Σₗ 1/(HₗWₗ) Σᵢⱼ Σₖ wₗₖ (f̂ₗₖᵢⱼ − fₗₖᵢⱼ)², with fₗ the features after the last ReLU of stage l, scaled to length 1 along the channels k at
    every place ij, and weights wₗₖ ≥ 0 fitted to what people called more alike (the paper writes w² for this w; its code, which is followed here, does
    not). Symmetric, and differentiable in both images, so that it also serves as a loss. Photographs of different things are 0.7 to 0.8 apart; noise and
    a photograph can be more than 1. Papers mostly report "alex" and train with "vgg"; the two scales differ, so say which.

    It needs the folder named by GENSR_DATA, with the set "lpips" in it; the network is read once and kept.

    Args:
        x_hat: the estimate, in [0, 1]; values outside are taken as they are.
        x: the original, in [0, 1] (the scaling to the [-1, 1] that the networks know is done here). Grey images (c = 1) are repeated to three colours.
        net: AlexNet, which needs sides of at least 31 pixels, or VGG16, at least 16.

    Raises:
        ValueError: unequal shapes, other than 1 or 3 channels, NaN, an original far outside [0, 1], too small an image, or no such net.
        TypeError: tensors that are not float.
        FetchError: the networks' files are missing or damaged.

    Reference: Zhang, Isola, Efros, Shechtman, Wang 2018, eq. 1.
    """
    _check(x_hat, x, net)
    weights = _weights(net, x.device)
    total = x.new_zeros(len(x), dtype=torch.float32)
    for stage, (f_hat, f) in enumerate(zip(_features(x_hat, net, weights), _features(x, net, weights), strict=True)):
        difference = (_unit(f_hat) - _unit(f)).square()  # (b, k, h_l, w_l)
        total = total + torch.einsum("bkhw,k->bhw", difference, weights[f"lin{stage}"]).mean((1, 2))
    return total.to(x.dtype)


def _features(x: Tensor, net: str, weights: dict[str, Tensor]) -> Iterator[Tensor]:
    """The network's answers after each of its five stages, from edges to parts of objects; one at a time, to hold little in memory."""
    h = 2 * x.float().expand(-1, 3, -1, -1) - 1  # the networks know [-1, 1]
    h = (h - h.new_tensor(SHIFT).view(3, 1, 1)) / h.new_tensor(SCALE).view(3, 1, 1)
    for stage in NETS[net].stages:
        for layer in stage:
            if layer == "pool":
                h = F.max_pool2d(h, NETS[net].pool, stride=2)
            else:
                w = weights[f"{layer}.w"]
                side = w.shape[-1]
                stride, padding = (4, 2) if side == 11 else (1, side // 2)  # 11x11: AlexNet's first layer; all others keep the size
                h = F.relu(F.conv2d(h, w, weights[f"{layer}.b"], stride=stride, padding=padding))
        yield h


def _unit(f: Tensor) -> Tensor:
    """Length 1 along the channels; zero stays zero, and vector_norm's gradient is zero there, where that of a square root would be NaN."""
    return f / (torch.linalg.vector_norm(f, dim=1, keepdim=True) + 1e-10)


@cache
def _weights(net: str, device: torch.device) -> dict[str, Tensor]:
    """Convolutions "conv1.w", "conv1.b", … and heads "lin0" … "lin4" in float32. A failure is not kept: the next call tries again."""
    convolutions, heads = _read(NETS[net].file, NETS[net].sha256), _read(*HEADS)
    arrays = convolutions | {name.removeprefix(f"{net}."): a for name, a in heads.items() if name.startswith(f"{net}.")}
    with torch.inference_mode(False):  # else weights first read within inference mode could never carry a gradient
        return {name: torch.tensor(a, dtype=torch.float32, device=device) for name, a in arrays.items()}


def _read(file: str, sha256: str) -> dict[str, np.ndarray]:
    path = fetch.find(f"{FOLDER}/{file}", sha256)
    if path is None:
        raise fetch.FetchError(
            f"lpips: {file} is not here and cannot be downloaded; put it into {FOLDER} of the folder that GENSR_DATA names (`gensr data list` says what it is)"
        )
    with np.load(path) as arrays:
        return dict(arrays)


def _check(x_hat: Tensor, x: Tensor, net: str) -> None:
    _check_pair(x_hat, x)
    if net not in NETS:
        raise ValueError(f"net: expected one of {', '.join(map(repr, NETS))}, got {net!r}")
    if x.shape[1] not in (1, 3):
        raise ValueError(f"x: expected RGB (3 channels) or grey (1 channel), got {x.shape[1]} channels")
    smallest = NETS[net].smallest
    if min(x.shape[-2:]) < smallest:
        raise ValueError(f"x: LPIPS with net={net!r} needs at least {smallest}x{smallest} pixels, got {x.shape[-2]}x{x.shape[-1]}")
    if not (torch.isfinite(x_hat).all() and torch.isfinite(x).all()):
        raise ValueError("x_hat, x: contain NaN or infinite values")
    if ((x < -0.5) | (x > 1.5)).any():  # an estimate may overshoot; this is another scale
        low, high = x.min().item(), x.max().item()
        raise ValueError(f"x: expected values in [0, 1], got {low:.4g} to {high:.4g}; bring [-1, 1] or 0 to 255 to [0, 1] first")
