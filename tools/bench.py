"""Timings as ratios, both sides measured in turn in one run: `make bench`.

A machine's seconds mean little to another machine; a ratio does. Each line gives the median over rounds of (other / ours): above 1 we are faster.
"""

import statistics
import time
from collections.abc import Callable

import skimage.metrics
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn import functional as F
from vector_quantize_pytorch import VectorQuantize

from gensr.metrics import ssim
from gensr.models.imle import nearest
from gensr.models.pixelcnn import GatedPixelCNN
from gensr.models.pixelcnnpp import PixelCNNpp
from gensr.models.pixelrnn import PixelRNN
from gensr.models.ride import SpatialLSTM
from gensr.models.vqvae import VectorQuantizer
from gensr.operators import Downsample
from gensr.resize import bicubic_upsample, imresize
from gensr.superres.edsr import EDSR
from gensr.train import has_fast_bfloat16


def ratio(other: Callable[[], object], ours: Callable[[], object], rounds: int = 7, seconds: float = 20.0) -> float:
    """Median of time(other) / time(ours) over interleaved rounds, after one warm-up of each; no new round is begun after so many seconds."""
    other()
    ours()
    found, start = [], time.perf_counter()
    while len(found) < rounds and (not found or time.perf_counter() - start < seconds):
        a = time.perf_counter()
        other()
        b = time.perf_counter()
        ours()
        found.append((b - a) / (time.perf_counter() - b))
    return statistics.median(found)


def training_step(bfloat16: bool) -> Callable[[], None]:
    net = EDSR(4).to(memory_format=torch.channels_last)
    y, x = torch.rand(8, 3, 24, 24), torch.rand(8, 3, 96, 96)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = net.loss(y, x)
        loss.backward()

    return step


def searches(data: Tensor, pool: Tensor) -> list[tuple[str, Callable[[], object], Callable[[], object]]]:
    """IMLE's search, which is exact, against others that are, and against torch's fast one, which rounds."""
    n, d = data.shape
    label = f"nearest of {len(pool):,} samples for {n:,} data of dimension {d},"

    def library() -> object:  # a tree where the dimension is low, else all distances
        return NearestNeighbors(n_neighbors=1).fit(pool.numpy()).kneighbors(data.numpy())

    return [
        (f"{label} torch.cdist by subtraction / nearest", lambda: torch.cdist(data, pool, compute_mode="donot_use_mm_for_euclid_dist").min(1),
         lambda: nearest(data, pool)),
        (f"{label} torch.cdist by matrix products / nearest", lambda: torch.cdist(data, pool, compute_mode="use_mm_for_euclid_dist").min(1),
         lambda: nearest(data, pool)),
        (f"{label} scikit-learn / nearest", library, lambda: nearest(data, pool)),
    ]


def quantisers(k: int, d: int, batch: int, side: int) -> tuple[str, Callable[[], object], Callable[[], object]]:
    """A training step of a codebook that moves by averages: nearest words, copied gradient, commitment, update."""
    z = torch.randn(batch, d, side, side, requires_grad=True)
    ours = VectorQuantizer(k, d, decay=0.9)
    theirs = VectorQuantize(dim=d, codebook_size=k, decay=0.9, commitment_weight=0.25, rotation_trick=False, threshold_ema_dead_code=0, accept_image_fmap=True)

    def other() -> None:
        out, _, loss = theirs(z)
        (out.square().sum() + loss.sum()).backward()

    def mine() -> None:
        out = ours(z)
        (out.z.square().sum() + out.loss).backward()

    return f"{k} words of {d} numbers, {batch}×{side}×{side} vectors, training step: vector-quantize-pytorch / VectorQuantizer", other, mine


def spatial_lstm(side: int) -> tuple[str, Callable[[], object], Callable[[], object]]:
    """One layer of 64 on an image, forward and backward: pixel after pixel, and one anti-diagonal after another."""
    layer, x = SpatialLSTM(12, 64), torch.randn(1, 12, side, side)

    def step(schedule: Callable[[Tensor], Tensor]) -> None:
        layer.zero_grad()
        schedule(x).square().mean().backward()

    return f"spatial LSTM, {side}×{side}, raster / anti-diagonals", lambda: step(layer.raster), lambda: step(layer)


def pixel_by_pixel(model: GatedPixelCNN) -> tuple[str, Callable[[], object], Callable[[], object]]:
    """Four images of 28×28 drawn in reading order: one pass of the network for each pixel, and one column of it with the rest kept."""
    sample = lambda cached: model.sample(4, (28, 28), cached=cached)  # noqa: E731
    return "GatedPixelCNN, 4 samples of 28×28, naive / cached", lambda: sample(False), lambda: sample(True)


def recurrent(kind: str) -> tuple[str, Callable[[], object], Callable[[], object]]:
    """Sixteen images of 28×28 drawn in reading order: one pass of the network for each pixel, and one pixel of it with a row of states kept."""
    model = PixelRNN(2, 32, 2, kind=kind)
    return f"PixelRNN ({kind}), 16 samples of 28×28, naive / cached", lambda: model.sample(16, (28, 28), cached=False), lambda: model.sample(16, (28, 28))


def two_streams() -> tuple[str, Callable[[], object], Callable[[], object]]:
    """Sixteen images of 28×28 drawn in reading order: one pass of the network for each pixel, and a row of one stream, a place of the other, with rows kept."""
    model = PixelCNNpp(256, 8, 1, colours=1)
    return "PixelCNN++, 16 samples of 28×28, naive / cached", lambda: model.sample(16, (28, 28), cached=False), lambda: model.sample(16, (28, 28))


def main() -> None:
    x = torch.rand(1, 3, 256, 256)
    small = torch.rand(1, 3, 64, 64)
    a, b = (torch.rand(256, 256, dtype=torch.float64) for _ in range(2))
    down = Downsample(4)
    y = down(x)
    rows = [
        ("bicubic ×4, torch's interpolate / bicubic_upsample",
         lambda: F.interpolate(small, scale_factor=4, mode="bicubic"), lambda: bicubic_upsample(small, 4)),
        ("bicubic ×¼, torch's antialiased interpolate / imresize",
         lambda: F.interpolate(x, scale_factor=0.25, mode="bicubic", antialias=True), lambda: imresize(x, 0.25)),
        ("A⁺y, conjugate gradients / closed form", lambda: super(Downsample, down).pinv(y), lambda: down.pinv(y)),
        ("SSIM, scikit-image / gensr",
         lambda: skimage.metrics.structural_similarity(a.numpy(), b.numpy(), data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False),
         lambda: ssim(a[None, None], b[None, None], data_range=1)),
    ]
    for d, n in ((2, 1000), (16, 1000), (64, 1000), (1024, 100)):
        rows += searches(torch.rand(n, d), torch.rand(10_000, d))
    rows += [quantisers(128, 16, 64, 7), quantisers(512, 64, 64, 8), spatial_lstm(160), pixel_by_pixel(GatedPixelCNN(2, 48, 7, size=5))]
    rows += [recurrent("row"), recurrent("diagonal"), two_streams()]
    if has_fast_bfloat16():
        rows.append(("EDSR training step, float32 / bfloat16", training_step(False), training_step(True)))
    print(f"{torch.get_num_threads()} thread(s), torch {torch.__version__}")
    for label, other, ours in rows:
        print(f"{ratio(other, ours):7.2f}  {label}")


if __name__ == "__main__":
    main()
