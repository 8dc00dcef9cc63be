"""LPIPS against the published values, against the same networks built from torch's own layers, and its errors."""

import csv

import pytest
import torch
from torch import nn

from gensr import fetch
from gensr.data import sets
from gensr.fetch import FetchError
from gensr.io import read_image
from gensr.metrics import lpips, perceptual

NETS = ("alex", "vgg")


# ---- with the real networks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def image(data_folder):
    return lambda path: read_image(data_folder / "metrics" / path)


# ex_ref against ex_p0 and ex_p1. The README of richzhang/PerceptualSimilarity prints 0.722 and 0.138 for AlexNet; the fourth digits, and VGG16's, are
# those of its code with these files. float16 weights cost at most 1e-4.
@pytest.mark.data
@pytest.mark.parametrize("net, far, near", [("alex", 0.7219, 0.1376), ("vgg", 0.5686, 0.4217)])
def test_the_example_of_the_authors(image, net, far, near):
    x, x_hat = image("lpips_example/ex_ref.png").expand(2, -1, -1, -1), torch.cat([image("lpips_example/ex_p0.png"), image("lpips_example/ex_p1.png")])
    expected = torch.tensor([far, near])
    torch.testing.assert_close(lpips(x_hat, x, net=net), expected, rtol=0, atol=3e-4)
    # lpips scales [0, 1] to [-1, 1]; handing it (x + 1) / 2 undoes that, which is the mistake of forgetting it
    assert ((lpips((x_hat + 1) / 2, (x + 1) / 2, net=net) - expected).abs() > 5e-4).all()


# Three distorted images of TID2013 and what the authors' code gives for them (results_official.csv); VGG16's values are of an independent implementation.
@pytest.mark.data
@pytest.mark.parametrize(("name", "vgg"), [("I03", 0.7614), ("I04", 0.2090), ("I19", 0.5971)])
def test_the_calibration_pairs(image, data_folder, name, vgg):
    with open(data_folder / "metrics/iqa_calibration/results_official.csv", encoding="utf-8") as file:
        alex = next(float(row[f"{name}.bmp"]) for row in csv.DictReader(file) if row["Method"] == "lpips")
    x_hat, x = (image(f"iqa_calibration/{kind}/{name}.png") for kind in ("dist", "ref"))
    assert lpips(x_hat, x).item() == pytest.approx(alex, abs=5e-4)
    assert lpips(x_hat, x, net="vgg").item() == pytest.approx(vgg, abs=5e-4)


@pytest.mark.data
@pytest.mark.parametrize("net", NETS)
def test_descending_it_brings_an_image_nearer(image, net):
    x = image("lpips_example/ex_ref.png")
    x_hat = image("lpips_example/ex_p0.png").requires_grad_()
    before = lpips(x_hat, x, net=net)
    (gradient,) = torch.autograd.grad(before.sum(), x_hat)
    assert torch.isfinite(gradient).all() and gradient.norm() > 0
    after = lpips(x_hat - 0.1 * gradient / gradient.norm(), x, net=net)  # a step of length 0.1 in 12,288 dimensions
    assert after.item() < before.item() - 1e-3


def test_features_that_are_all_zero_stay_zero_and_pass_no_nan():
    f = torch.zeros(1, 4, 2, 2)
    f[..., 0, 0] = torch.tensor([3.0, 0.0, 4.0, 0.0])
    f.requires_grad_()
    unit = perceptual._unit(f)
    torch.testing.assert_close(unit[0, :, 0, 0], torch.tensor([0.6, 0.0, 0.8, 0.0]))
    assert not unit[..., 1, :].any()
    (unit * torch.arange(16.0).view(1, 4, 2, 2)).sum().backward()
    assert torch.isfinite(f.grad).all()


@pytest.mark.data
def test_first_used_in_inference_mode_it_still_carries_gradients(image):
    perceptual._weights.cache_clear()
    x = image("lpips_example/ex_ref.png")
    with torch.inference_mode():
        lpips(x, x)
    x_hat = image("lpips_example/ex_p1.png").requires_grad_()
    lpips(x_hat, x).sum().backward()
    assert x_hat.grad.norm() > 0


@pytest.mark.data
def test_the_files_are_read_once(data_folder, monkeypatch):
    perceptual._weights.cache_clear()
    x = torch.rand(1, 3, 32, 32)
    first = lpips(x.flip(-1), x)
    monkeypatch.setattr(fetch, "find", lambda *a: pytest.fail("read again"))
    assert torch.equal(lpips(x.flip(-1), x), first)


# ---- without them: the same layers, four channels each, random -----------------------------------------------------------------------

LAYERS = {
    "alex": [nn.Conv2d(3, 4, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(4, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    + 3 * [nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()],
    "vgg": [layer for n in (2, 2, 3, 3, 3) for layer in [*(n * [nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]), nn.MaxPool2d(2, 2)]],
}
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}  # places in torchvision's `features` of AlexNet and VGG16: relu1 … 5, relu1_2 … 5_3


@pytest.fixture(params=NETS)
def thin(request, monkeypatch):
    """A network's name, with random weights in its place, and an implementation of LPIPS from torch's layers in the order of torchvision."""
    net, layers = request.param, []
    for i, layer in enumerate(LAYERS[request.param]):
        if isinstance(layer, nn.Conv2d):
            layer = nn.Conv2d(3 if i == 0 else 4, 4, layer.kernel_size, layer.stride, layer.padding)
            nn.init.kaiming_normal_(layer.weight)  # so that the fifth stage still sees the image and not only the biases
        layers.append(layer.requires_grad_(False))
    names = [name for stage in perceptual.NETS[net].stages for name in stage if name != "pool"]
    weights = {f"lin{k}": torch.rand(4) for k in range(5)}
    for name, conv in zip(names, [layer for layer in layers if isinstance(layer, nn.Conv2d)], strict=True):
        weights |= {f"{name}.w": conv.weight, f"{name}.b": conv.bias}
    monkeypatch.setattr(perceptual, "_weights", lambda *a: weights)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1), torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)

    def reference(x_hat, x):
        total, a, b = 0, (2 * x_hat - 1 - shift) / scale, (2 * x - 1 - shift) / scale
        for i, layer in enumerate(layers[: TAPS[net][-1] + 1]):
            a, b = layer(a), layer(b)
            if i in TAPS[net]:
                u, v = (f / (f.norm(dim=1, keepdim=True) + 1e-10) for f in (a, b))
                total += ((u - v).square() * weights[f"lin{TAPS[net].index(i)}"].view(4, 1, 1)).sum(1).mean((1, 2))
        return total

    return net, reference


@pytest.mark.parametrize("size", [(31, 31), (47, 36)])
def test_it_is_the_formula(thin, size):
    net, reference = thin
    x, x_hat = torch.rand(2, 3, *size), torch.rand(2, 3, *size)
    d = lpips(x_hat, x, net=net)
    assert d.shape == (2,) and (d > 1e-3).all()
    torch.testing.assert_close(d, reference(x_hat, x), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(lpips(x, x_hat, net=net), d)
    assert torch.equal(lpips(x, x, net=net), torch.zeros(2))


def test_a_batch_is_its_images_one_by_one(thin):
    net, _ = thin
    x, x_hat = torch.rand(3, 3, 40, 33), torch.rand(3, 3, 40, 33)
    one_by_one = torch.cat([lpips(x_hat[i : i + 1], x[i : i + 1], net=net) for i in range(3)])
    torch.testing.assert_close(lpips(x_hat, x, net=net), one_by_one)
    assert one_by_one.unique().numel() == 3
    assert lpips(x[:0], x[:0], net=net).shape == (0,)


def test_grey_is_three_equal_colours(thin):
    net, _ = thin
    x, x_hat = torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
    assert torch.equal(lpips(x_hat, x, net=net), lpips(x_hat.expand(-1, 3, -1, -1), x.repeat(1, 3, 1, 1), net=net))


def test_the_gradient_is_that_of_the_formula(thin):
    net, reference = thin
    x, x_hat = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32, requires_grad=True)
    (ours,) = torch.autograd.grad(lpips(x_hat, x, net=net).sum(), x_hat)
    (theirs,) = torch.autograd.grad(reference(x_hat, x).sum(), x_hat)
    assert theirs.norm() > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * theirs.abs().max().item())


def test_nothing_seen_gives_no_nan(thin, monkeypatch):
    """Where every channel is zero the features have no direction; the distance and its gradient stay finite."""
    net, _ = thin
    blind = {name: w if name.startswith("lin") else (w if name.endswith("w") else w * 0 - 100) for name, w in perceptual._weights().items()}
    monkeypatch.setattr(perceptual, "_weights", lambda *a: blind)
    x_hat = torch.rand(1, 3, 32, 32, requires_grad=True)
    d = lpips(x_hat, torch.rand(1, 3, 32, 32), net=net)
    d.sum().backward()
    assert d.item() == 0 and torch.equal(x_hat.grad, torch.zeros_like(x_hat))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_it_computes_in_single_precision_and_answers_in_the_type_that_came(thin, dtype):
    net, _ = thin
    x, x_hat = (torch.rand(1, 3, 32, 32).half().to(dtype) for _ in range(2))
    d = lpips(x_hat, x, net=net)
    assert d.dtype == dtype
    torch.testing.assert_close(d, lpips(x_hat.float(), x.float(), net=net).to(dtype))


# ---- errors --------------------------------------------------------------------------------------------------------------------------


def test_missing_files_are_named(monkeypatch, tmp_path):
    perceptual._weights.cache_clear()
    monkeypatch.setenv("GENSR_CACHE", str(tmp_path / "cache"))
    x = torch.rand(1, 3, 32, 32)
    for folder in (None, tmp_path):
        if folder is None:
            monkeypatch.delenv("GENSR_DATA", raising=False)
        else:
            monkeypatch.setenv("GENSR_DATA", str(folder))
        with pytest.raises(FetchError, match=r"lpips: alexnet_conv_fp16.npz is not here.*metrics/nets.*GENSR_DATA"):
            lpips(x, x)
        with pytest.raises(FetchError, match="vgg16_conv_fp16.npz"):
            lpips(x, x, net="vgg")
    with pytest.raises(FetchError, match=r"lpips: cannot be downloaded.*metrics/nets"):
        sets.get("lpips")


def test_a_damaged_file_is_refused(monkeypatch, tmp_path):
    perceptual._weights.cache_clear()
    monkeypatch.setenv("GENSR_DATA", str(tmp_path))
    (tmp_path / "metrics/nets").mkdir(parents=True)
    (tmp_path / "metrics/nets/alexnet_conv_fp16.npz").write_bytes(b"PK, but no archive")
    with pytest.raises(FetchError, match=r"alexnet_conv_fp16.npz: damaged"):
        lpips(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))


def test_the_hashes_are_those_of_the_catalogue():
    mine = {f"{perceptual.FOLDER}/{file}": sha256 for file, sha256 in [perceptual.HEADS, *((n.file, n.sha256) for n in perceptual.NETS.values())]}
    assert mine == {f.path: f.sha256 for f in sets.files("lpips")}


def test_the_smallest_images(thin):
    net, _ = thin
    side = {"alex": 31, "vgg": 16}[net]
    assert torch.isfinite(lpips(torch.rand(1, 3, side, side), torch.rand(1, 3, side, side), net=net)).all()
    for h, w in ((side - 1, 64), (64, side - 1)):
        with pytest.raises(ValueError, match=f"x: .*{net}.*at least {side}x{side} pixels, got {h}x{w}"):
            lpips(torch.rand(1, 3, h, w), torch.rand(1, 3, h, w), net=net)


def test_wrong_input_is_named():
    x = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="x_hat, x: expected equal shapes"):
        lpips(x, x[..., :31])
    with pytest.raises(ValueError, match=r"\(b, c, h, w\)"):
        lpips(x[0], x[0])
    with pytest.raises(TypeError, match="float"):
        lpips((255 * x).to(torch.uint8), (255 * x).to(torch.uint8))
    with pytest.raises(ValueError, match="3 channels.*got 2"):
        lpips(x[:, :2], x[:, :2])
    with pytest.raises(ValueError, match="net: expected one of 'alex', 'vgg', got 'squeeze'"):
        lpips(x, x, net="squeeze")
    for bad in (float("nan"), float("inf")):
        spoilt = x.clone()
        spoilt[0, 1, 2, 3] = bad
        for pair in ((spoilt, x), (x, spoilt)):
            with pytest.raises(ValueError, match="x_hat, x: contain NaN"):
                lpips(*pair)
    for other in (255 * x, 2 * x - 1):
        with pytest.raises(ValueError, match=r"x: expected values in \[0, 1\]"):
            lpips(other, other)


@pytest.mark.parametrize("extreme", [-0.6, 1.6])
def test_an_original_a_little_outside_is_refused_and_names_its_range(extreme):
    x = torch.full((1, 3, 32, 32), 0.5)
    x[..., 0, 0] = extreme
    with pytest.raises(ValueError, match=r"x: expected values in \[0, 1\], got"):
        lpips(torch.zeros(1, 3, 32, 32), x)
