"""Tiles: the result is that of one pass, whatever the size; memory stays bounded; grey stays grey and alpha is kept."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from gensr.cli import enlarge as module
from gensr.cli.enlarge import PINV_REACH, Enlarger, check_size, default_tile, enlarge, enlarger, margin, windows
from gensr.io import ImageError, Picture
from gensr.nets import SubPixelNet
from gensr.operators import Downsample
from gensr.resize import bicubic_upsample
from gensr.superres.affine import AffineProjection
from gensr.superres.edsr import EDSR, self_ensemble
from gensr.superres.srcnn import SRCNN

CPU = torch.device("cpu")


def bytes_of(x: torch.Tensor) -> np.ndarray:
    return (x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


@torch.inference_mode()
def in_one_pass(net, y):
    return bytes_of(net(y))


def lively(net: torch.nn.Module) -> torch.nn.Module:
    """Untrained weights change the image little; four times as strong, a wrong margin shows."""
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1.5 if isinstance(net, EDSR) else 2.0)
    return net.eval()


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (47, 61), (90, 33)])
def test_tiles_give_what_one_pass_gives(scale, size):
    net = lively(EDSR(scale))  # the network at its shipped size, whose view is 19 + 2 pixels on each side
    y = torch.rand(1, 3, *size)
    tiled = np.array(enlarge(Picture(y, None, False), Enlarger("edsr", scale, net, margin(net, scale), 16, CPU)))
    assert np.abs(tiled.astype(int) - in_one_pass(net, y).astype(int)).max() <= 1  # two sums in another order may round apart
    assert (tiled != in_one_pass(net, y)).mean() < 1e-3


def test_tiles_of_srcnn_and_bicubic_too():
    y = torch.rand(1, 3, 41, 53)
    net = lively(SRCNN(4))
    tiled = np.array(enlarge(Picture(y, None, False), Enlarger("srcnn", 4, net, margin(net, 4), 16, CPU)))
    assert np.abs(tiled.astype(int) - in_one_pass(net, y).astype(int)).max() <= 1
    tiled = np.array(enlarge(Picture(y, None, False), enlarger("bicubic", 3, tile=8)))
    assert np.abs(tiled.astype(int) - bytes_of(bicubic_upsample(y, 3)).astype(int)).max() <= 1


def test_tiles_of_the_self_ensemble_too(zoo):
    y = torch.rand(1, 3, 40, 30)
    how = enlarger("edsr", 2, ensemble=True, tile=9)
    net = enlarger("edsr", 2).run
    tiled = np.array(enlarge(Picture(y, None, False), how))
    assert how.label == "edsr+"
    assert np.abs(tiled.astype(int) - in_one_pass(lambda v: self_ensemble(net, v), y).astype(int)).max() <= 1


def test_the_margin_is_needed():
    """With a margin of 4 the seams show; a test of seams that passes there would prove nothing."""
    net = lively(EDSR(2))
    y = torch.rand(1, 3, 60, 60)
    tiled = np.array(enlarge(Picture(y, None, False), Enlarger("edsr", 2, net, 4, 16, CPU)))
    assert np.abs(tiled.astype(int) - in_one_pass(net, y).astype(int)).max() > 1


def test_the_margin_is_what_edsr_sees():
    """The gradient of one output pixel reaches 19 LR pixels: 3x3 convolutions, 1 head, 16 in blocks, 1 after them, 1 tail."""
    net = EDSR(2)
    with torch.no_grad():  # positive weights: no path is cut by a ReLU, no two cancel
        for p in net.parameters():
            p.abs_()
    y = torch.full((1, 3, 61, 61), 1.0, requires_grad=True)
    net(y)[0, :, 60:62, 60:62].sum().backward()
    rows = y.grad.abs().sum((0, 1, 3)).nonzero()
    assert (rows.min().item(), rows.max().item()) == (30 - 19, 30 + 19) and margin(net, 2) == 19 + 2
    assert margin(SRCNN(4), 4) == 2 + 2  # 4 + 2 + 2 enlarged pixels are two of the photo's; bicubic reads two more


def tiles_of(net: torch.nn.Module, y: torch.Tensor, margin: int, tile: int = 16) -> torch.Tensor:
    """The enlarged picture in floats, which `enlarge` never holds."""
    out = torch.zeros(1, 3, 4 * y.shape[2], 4 * y.shape[3])
    with torch.inference_mode():
        for top, bottom in windows(y.shape[2], tile):
            for left, right in windows(y.shape[3], tile):
                out[..., 4 * top : 4 * bottom, 4 * left : 4 * right] = module._middle(y, (top, bottom, left, right), margin, 4, net)
    return out


@pytest.fixture
def projected():
    """Untrained, and so lively that without the projection it would miss y by a third of the grey scale."""
    state = torch.get_rng_state()
    torch.manual_seed(0)
    net = AffineProjection(SubPixelNet(4, 3, channels=8, blocks=2), Downsample(4))
    torch.set_rng_state(state)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2.0)
    return net.eval()


def test_a_projection_survives_the_tiles(projected):
    """A reaches over the seams; A x̂ = y holds there only because both sides were made as in one pass."""
    y, A = torch.rand(1, 3, 45, 70), projected.operator
    with torch.no_grad():
        assert (A(projected.network(y)) - y).abs().max() > 0.3
    tiled = tiles_of(projected, y, margin(projected, 4))
    assert (A(tiled) - y).abs().max() < 1e-6
    with torch.inference_mode():
        assert (tiled - projected(y)).abs().max() < 1e-5


def test_the_margin_of_a_projection_is_needed(projected):
    y, A, reach = torch.rand(1, 3, 45, 70), projected.operator, margin(projected, 4)
    assert reach == margin(projected.network, 4) + 2 + PINV_REACH
    assert (A(tiles_of(projected, y, margin(projected.network, 4))) - y).abs().max() > 2e-5


@pytest.mark.parametrize("net", [EDSR(2), EDSR(4), SRCNN(4)])
def test_a_default_tile_is_worth_its_margin(net):
    assert 64 <= default_tile(net, 4) <= 384


@pytest.mark.parametrize(("n", "tile"), [(1, 16), (16, 16), (17, 16), (1000, 384), (33, 32)])
def test_windows_cover_without_overlap(n, tile):
    pieces = list(windows(n, tile))
    assert [i for a, b in pieces for i in range(a, b)] == list(range(n)) and max(b - a for a, b in pieces) <= tile


def test_grey_stays_grey_and_alpha_is_bicubic(zoo):
    alpha = torch.rand(1, 1, 20, 25)
    grey = torch.rand(1, 1, 20, 25).expand(1, 3, -1, -1)
    out = np.array(enlarge(Picture(grey, alpha, True), enlarger("edsr", 4, tile=8)))
    assert out.shape == (80, 100, 2)
    assert np.abs(out[..., 1:].astype(int) - bytes_of(bicubic_upsample(alpha, 4)).astype(int)).max() <= 1
    plain = np.array(enlarge(Picture(grey, None, True), enlarger("bicubic", 4)))
    assert np.abs(plain[..., None].astype(int) - bytes_of(bicubic_upsample(grey[:, :1], 4)).astype(int)).max() <= 1


def test_a_constant_stays_constant_across_seams():
    out = np.array(enlarge(Picture(torch.full((1, 3, 70, 70), 0.5), None, False), enlarger("bicubic", 2, tile=8)))
    assert np.unique(out).tolist() == [128]


def test_too_much_is_refused_before_the_work(tmp_path):
    with pytest.raises(ImageError, match="smaller --scale"):
        check_size(tmp_path / "a.png", torch.empty(1).expand(1, 3, 10_000, 10_000), 4)
    with pytest.raises(ImageError, match="WEBP holds at most"):
        check_size(tmp_path / "a.webp", torch.empty(1).expand(1, 3, 100, 5_000), 4)
    with pytest.raises(ImageError, match="JPEG holds at most"):
        check_size(tmp_path / "a.jpg", torch.empty(1).expand(1, 3, 10, 20_000), 4)
    check_size(tmp_path / "a.png", torch.empty(1).expand(1, 3, 10_000, 10_000), 2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads VmHWM from /proc")
def test_memory_stays_bounded_for_fifty_megapixels(tmp_path, zoo):
    """The finished picture in 8 bits takes 202 MB, and one pass in float32 would take 600 MB for the output alone."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1536, 2048, 3), np.uint8)).save(tmp_path / "a.png")
    script = (
        "import sys; from gensr.cli import main; import gensr.cli.upscale\n"
        "peak = lambda: int(next(v for v in open('/proc/self/status') if v.startswith('VmHWM')).split()[1]) / 1024\n"
        "before = peak(); code = main(sys.argv[1:]); print('grew by', peak() - before, 'MiB', file=sys.stderr); sys.exit(code)"
    )
    command = ["upscale", tmp_path / "a.png", "-o", tmp_path / "b.tif", "--method", "bicubic", "--scale", 4]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, command)], capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    grew = float(done.stderr.split("grew by")[1].split()[0])
    assert grew < 450, f"memory grew by {grew:.0f} MiB"  # 202 the picture, 38 the photo in floats, about 40 to read it, and tiles
    with Image.open(tmp_path / "b.tif") as image:
        assert image.size == (8192, 6144)


def test_the_zoo_is_the_package_unless_named(monkeypatch, zoo):
    assert module.zoo() == zoo and module.scales("edsr") == [2, 4] and module.methods(4) == ["bicubic", "srcnn", "edsr"] and module.methods(3) == ["bicubic"]
    monkeypatch.delenv("GENSR_ZOO")
    assert module.zoo() is None
