"""What the browser runs is what torch computes: the exported projection against the exact one, at sizes the tool does not try itself."""

import numpy as np
import pytest
import torch

from gensr import weights
from gensr.data.photos import EXAMPLES, crop_to_multiple, example
from gensr.nets import SubPixelNet
from gensr.operators import Downsample
from gensr.resize import imresize
from gensr.superres.affine import AffineProjection
from tests.site.conftest import load_tool

onnxruntime = pytest.importorskip("onnxruntime", reason="the export needs the extra packages of gensr[export]")
pytest.importorskip("onnxscript", reason="the export needs the extra packages of gensr[export]")

A = Downsample(4)


@pytest.fixture(scope="module")
def tool():
    return load_tool("export_onnx")


@pytest.fixture(scope="module")
def net():
    """A network whose answer without the projection is far from explaining y."""
    state = torch.get_rng_state()
    torch.manual_seed(0)
    net = AffineProjection(SubPixelNet(4, 3, channels=6, blocks=1), A).eval()
    torch.set_rng_state(state)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2.0)
    return net


@pytest.mark.slow
def test_the_exported_projection_is_the_exact_one(tool, net, tmp_path):
    tool.export(net, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for h, w in ((4, 9), (30, 17), (124, 124)):
        y = torch.rand(1, 3, h, w)
        (made,) = session.run(None, {"y": y.numpy()})
        with torch.no_grad():
            assert np.abs(made - net(y).numpy()).max() < 1e-4
            assert (A(net.network(y)) - y).abs().max() > 0.1, "the projection has nothing to do"
        assert (A(torch.from_numpy(made)) - y).abs().max() < 1e-4


@pytest.mark.parametrize("weight, most", [("affmse_x4", 0.002), ("affgan_x4", 0.004)])
def test_what_cutting_off_the_inverse_costs_on_photographs(tool, weight, most):
    """In grey levels; the chapter amortised-map tells these figures."""
    net = weights.load(weight)
    for name in EXAMPLES:
        y = imresize(crop_to_multiple(example(name), 4), 1 / 4)
        with torch.no_grad():
            assert 255 * (tool.Projected(net)(y) - net(y)).abs().max() < most


@pytest.mark.slow
def test_the_exported_measurement_is_a(tool, tmp_path):
    tool.export(tool.Measure(A), tmp_path / "measure.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "measure.onnx", providers=["CPUExecutionProvider"])
    x = torch.rand(1, 3, 44, 92)
    assert np.abs(session.run(None, {"x": x.numpy()})[0] - A(x).numpy()).max() < 1e-6


@pytest.mark.slow
def test_another_inverse_is_refused(tool, net, tmp_path, monkeypatch):
    """Aᵀ in place of A⁺: the tool's own comparison must stop the export."""
    kernels = tool.sub_pixel_kernels
    monkeypatch.setattr(tool, "sub_pixel_kernels", lambda A, size: 16 * kernels(A, size, "adjoint"))
    with pytest.raises(RuntimeError, match="differs from torch"):
        tool.export(net, tmp_path / "net.onnx")


def test_mirrored_continues_as_the_library_does(tool):
    """Three reflections are enough for the widest margin around the smallest image."""
    from gensr.operators.subpixel import sub_pixel

    for n in (4, 5, 9, 30):
        y, kernels = torch.rand(1, 3, n, 4, dtype=torch.float64), torch.rand(16, 1, tool.KERNEL, tool.KERNEL, dtype=torch.float64)
        out = torch.nn.functional.conv2d(tool.mirrored(y, tool.KERNEL // 2), kernels)
        assert torch.allclose(torch.nn.functional.pixel_shuffle(out, 4).reshape(1, 3, 4 * n, 16), sub_pixel(y, kernels))
