"""Resampling against MATLAB's own files, against matrices, and at the awkward sizes."""

import numpy as np
import pytest
import torch
from PIL import Image

from gensr.resize import KERNELS, bicubic_upsample, imresize, resize_matrix

SET5 = ("baby", "bird", "butterfly", "head", "woman")


def read(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


@pytest.mark.data
@pytest.mark.parametrize("border, suffix", [("symmetric", "_symmetric"), ("replicate", "")])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5_equals_matlab_files_in_every_pixel(data_folder, scale, border, suffix):
    for name in SET5:
        hr = read(data_folder / f"sr/set5/hr/{name}.png")
        h, w = hr.shape[-2:]
        ours = imresize(hr[:, : h - h % scale, : w - w % scale], 1 / scale, border=border)
        theirs = read(data_folder / f"sr/set5/lr_x{scale}{suffix}/{name}.png")
        assert ours.dtype == torch.uint8
        assert torch.equal(ours, theirs), f"{name}: {(ours != theirs).sum()} pixels differ"


@pytest.mark.data
def test_the_border_rule_matters_only_at_the_border(data_folder):
    hr = read(data_folder / "sr/set5/hr/butterfly.png")
    a, b = imresize(hr, 0.25), imresize(hr, 0.25, border="replicate")
    assert not torch.equal(a, b)
    assert torch.equal(a[:, 3:-3, 3:-3], b[:, 3:-3, 3:-3])


def test_float_and_uint8_agree_up_to_rounding():
    x = torch.randint(70, 186, (3, 40, 52), dtype=torch.uint8)  # far from 0 and 255: nothing is clipped between the passes
    for scale in (0.25, 0.5, 1.7, 3):
        exact, whole = imresize(x.double(), scale), imresize(x, scale).double()
        assert exact.shape == whole.shape
        assert (exact - whole).abs().max() <= 1.2  # each pass rounds by at most ½, and the second weighs the first's errors with Σ|w| ≤ 1.3


def test_float_result_overshoots_and_is_not_clipped():
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    out = imresize(step, 4)
    assert out.min() < -0.01 and out.max() > 1.01


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("border", ["symmetric", "replicate"])
@pytest.mark.parametrize("n_in, n_out, scale", [(12, 3, 0.25), (12, 4, 1 / 3), (7, 4, 0.5), (5, 20, 4.0), (1, 4, 4.0), (2, 9, 4.5)])
def test_matrix_rows_sum_to_one_and_equal_imresize(kernel, border, n_in, n_out, scale):
    m = resize_matrix(n_in, n_out, scale, kernel=kernel, border=border)
    assert m.shape == (n_out, n_in) and m.dtype == torch.float64
    torch.testing.assert_close(m.sum(1), torch.ones(n_out, dtype=torch.float64))
    x = torch.randn(n_in, 5, dtype=torch.float64)
    # an axis is resized by n_out / n_in when a size is given; only where that is the scale are the two the same
    if abs(n_out / n_in - scale) < 1e-12:
        torch.testing.assert_close(imresize(x, size=(n_out, 5), kernel=kernel, border=border), m @ x)


def test_agrees_with_torch_antialiased_bicubic_inside():
    # torch's antialiased mode uses the same a = -0.5 but cuts the kernel at the border instead of mirroring the image: compare the inside
    x = torch.rand(1, 3, 48, 64, dtype=torch.float64)
    theirs = torch.nn.functional.interpolate(x, scale_factor=0.25, mode="bicubic", antialias=True)
    torch.testing.assert_close(imresize(x, 0.25)[..., 3:-3, 3:-3], theirs[..., 3:-3, 3:-3], rtol=0, atol=1e-12)


def test_without_antialias_takes_four_taps():
    m = resize_matrix(40, 10, 0.25, antialias=False)
    assert (m != 0).sum(1).max() == 4
    assert (resize_matrix(40, 10, 0.25) != 0).sum(1).max() == 16


def test_box_breaks_ties_towards_the_later_pixel():
    """Halved without widening, each sample lies midway between two pixels: MATLAB's box, −½ ≤ u < ½, takes the second."""
    assert resize_matrix(4, 2, 0.5, kernel="box", antialias=False).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]


def test_constants_and_ramps_survive():
    ramp = torch.arange(32, dtype=torch.float64).expand(4, 32)
    small = imresize(ramp, 0.5)
    assert small.shape == (2, 16)
    torch.testing.assert_close(small[:, 3:-3], (torch.arange(16, dtype=torch.float64) * 2 + 0.5).expand(2, 16)[:, 3:-3])  # pixel centres
    torch.testing.assert_close(imresize(torch.full((9, 7), 0.3), 2.3), torch.full((21, 17), 0.3))


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("h, w", [(1, 1), (1, 9), (9, 1), (2, 2), (2, 5), (3, 3), (6, 11)])
def test_bicubic_upsample_equals_imresize(scale, h, w):
    x = torch.randn(2, 3, h, w, dtype=torch.float64)
    torch.testing.assert_close(bicubic_upsample(x, scale), imresize(x, scale), rtol=0, atol=1e-12)
    torch.testing.assert_close(bicubic_upsample(x.float(), scale), imresize(x.float(), scale), rtol=0, atol=3e-6)


def test_gradient_is_the_transpose():
    x = torch.rand(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    v = torch.randn(1, 1, 2, 2, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((imresize(x, 0.25) * v).sum(), x)
    m = resize_matrix(8, 2, 0.25)
    torch.testing.assert_close(gradient[0, 0], m.T @ v[0, 0] @ m)


@pytest.mark.parametrize("size, first", [((8, 40), (8, 20)), ((40, 8), (20, 8)), ((10, 10), (10, 20))])
def test_the_axis_that_shrinks_most_comes_first_and_each_pass_rounds(size, first):
    x = torch.randint(256, (20, 20), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    last = (size[0], 20) if first[0] == 20 else (20, size[1])
    assert torch.equal(imresize(x, size=size), imresize(imresize(x, size=first), size=size))
    assert not torch.equal(imresize(x, size=size), imresize(imresize(x, size=last), size=size))


def test_sizes_round_up_as_in_matlab_and_tenths_do_not_gain_a_pixel():
    assert imresize(torch.zeros(5, 7), 0.5).shape == (3, 4)
    assert imresize(torch.zeros(30, 30), 0.1).shape == (3, 3)
    assert 1.1 * 50 > 55 and imresize(torch.zeros(50, 4), 1.1).shape == (55, 5) and imresize(torch.zeros(4, 50), 1.1).shape == (5, 55)
    assert imresize(torch.zeros(2, 3, 9, 8), size=(4, 20)).shape == (2, 3, 4, 20)


@pytest.mark.parametrize("arguments, message", [
    ({}, "scale, size"), ({"scale": 2, "size": (3, 3)}, "scale, size"), ({"scale": 0}, "scale"), ({"scale": -1.0}, "scale"), ({"scale": float("nan")}, "scale"),
    ({"scale": float("inf")}, "scale"), ({"size": (0, 4)}, "size"), ({"scale": 2, "kernel": "cubic"}, "kernel"), ({"scale": 2, "border": "zero"}, "border"),
])
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        imresize(torch.zeros(4, 4), **arguments)


def test_bad_images_are_named():
    with pytest.raises(TypeError, match="int64"):
        imresize(torch.zeros(4, 4, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match="x: "):
        imresize(torch.zeros(4), 2)
    with pytest.raises(ValueError, match="non-empty"):
        imresize(torch.zeros(0, 4), 2)
