"""Metrics against published constants and scikit-image, and their errors."""

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gensr.data.photos import crop_to_multiple, example
from gensr.metrics import lr_psnr, psnr, sr_scores, ssim, to_y
from gensr.operators import Downsample
from gensr.resize import imresize

SET5 = ("baby", "bird", "butterfly", "head", "woman")


def set5_y(data_folder, scale):
    """Y of the five originals, rounded to 8 bits and cropped: the route of the published tables."""
    for name in SET5:
        x = torch.from_numpy(np.array(Image.open(data_folder / f"sr/set5/hr/{name}.png").convert("RGB"))).permute(2, 0, 1)[None].double() / 255
        yield crop_to_multiple((255 * to_y(x)).round() / 255, scale)


# Published by Timofte et al. 2014 and every paper since; the same numbers stand in Lim et al. 2017, table 3.
@pytest.mark.data
@pytest.mark.parametrize("scale, db, similarity", [(2, 33.66, 0.9299), (3, 30.39, 0.8682), (4, 28.42, 0.8104)])
def test_bicubic_baseline_on_set5_is_the_published_one(data_folder, scale, db, similarity):
    scores = [sr_scores(imresize(imresize(x, 1 / scale), scale), x, scale) for x in set5_y(data_folder, scale)]
    assert abs(np.mean([s.psnr.item() for s in scores]) - db) <= 0.01
    assert abs(np.mean([s.ssim.item() for s in scores]) - similarity) <= 0.0005


@pytest.mark.data
@pytest.mark.parametrize("scale, db", [(2, 34.89), (3, 31.25), (4, 29.21)])
def test_pseudo_inverse_needs_no_training_to_beat_bicubic(data_folder, scale, db):
    A = Downsample(scale)
    scores = [sr_scores(A.pinv(A(x)), x, scale).psnr.item() for x in set5_y(data_folder, scale)]
    assert abs(np.mean(scores) - db) <= 0.05


@pytest.mark.data
def test_rgb_route_differs_by_a_hundredth(data_folder):
    scores = []
    for name in SET5:
        x = torch.from_numpy(np.array(Image.open(data_folder / f"sr/set5/hr/{name}.png").convert("RGB"))).permute(2, 0, 1)[None]
        x = crop_to_multiple(x, 4)
        scores.append(sr_scores(imresize(imresize(x, 0.25), 4).float() / 255, x.float() / 255, 4).psnr.item())
    assert abs(np.mean(scores) - 28.43) <= 0.01  # RGB resized and rounded as MATLAB does, Y unrounded: measured 28.429


def reference_ssim(a, b, data_range):
    """Mean of scikit-image's map over the windows that lie inside the image; its own mean leaves out the same 5 pixels."""
    return np.mean([
        structural_similarity(u, v, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, truncate=3.5)
        for u, v in zip(a.double().numpy(), b.double().numpy(), strict=True)
    ])


@pytest.mark.parametrize("data_range", [1.0, 255.0])
@pytest.mark.parametrize("shape", [(2, 1, 11, 11), (1, 3, 32, 47)])
def test_ssim_equals_scikit_image_on_random_images(shape, data_range):
    x = torch.rand(shape, dtype=torch.float64) * data_range
    x_hat = x + 0.1 * data_range * torch.randn(shape, dtype=torch.float64)
    ours = ssim(x_hat, x, data_range=data_range)
    theirs = [reference_ssim(a, b, data_range) for a, b in zip(x_hat, x, strict=True)]
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["camera", "chelsea"])
def test_ssim_equals_scikit_image_on_photographs(name):
    x = torch.from_numpy(np.array(getattr(skimage.data, name)())).double() / 255
    x = x[None, None] if x.dim() == 2 else x.permute(2, 0, 1)[None]
    x = crop_to_multiple(x, 4)
    x_hat = imresize(imresize(x, 0.25), 4)
    assert abs(ssim(x_hat, x, data_range=1.0).item() - reference_ssim(x_hat[0], x[0], 1.0)) <= 1e-6


def test_ssim_properties():
    x = torch.rand(1, 3, 24, 24, dtype=torch.float64)
    u = torch.rand(1, 3, 24, 24, dtype=torch.float64)
    assert ssim(x, x, data_range=1).item() == pytest.approx(1, abs=1e-12)
    assert ssim(1 - x, x, data_range=1).item() < 0
    assert ssim(x, u, data_range=1).item() == pytest.approx(ssim(u, x, data_range=1).item(), abs=1e-12)


def test_psnr_by_hand_and_by_scikit_image():
    x = torch.zeros(2, 1, 4, 4)
    x_hat = torch.stack([torch.full((1, 4, 4), 0.1), torch.full((1, 4, 4), 0.01)])
    torch.testing.assert_close(psnr(x_hat, x, data_range=1), torch.tensor([20.0, 40.0]), rtol=0, atol=1e-4)
    a, b = torch.rand(1, 3, 9, 9), torch.rand(1, 3, 9, 9)
    assert psnr(a, b, data_range=1).item() == pytest.approx(peak_signal_noise_ratio(b.numpy(), a.numpy(), data_range=1), abs=1e-4)
    assert psnr(255 * a, 255 * b, data_range=255).item() == pytest.approx(psnr(a, b, data_range=1).item(), abs=1e-4)
    assert torch.isinf(psnr(x, x, data_range=1)).all()


def test_luma_constants():
    # the corners of the RGB cube after MATLAB's rgb2ycbcr: black 16, white 235, and the weights of BT.601 scaled by 219
    corners = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64).reshape(5, 3, 1, 1)
    expected = torch.tensor([16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966], dtype=torch.float64)
    torch.testing.assert_close(255 * to_y(corners).flatten(), expected)


def test_sr_scores_protocol():
    x = torch.rand(2, 3, 40, 40)
    noisy = x.clone()
    noisy[..., :4, :] = 0  # inside the shaved border: must not count
    noisy[..., :, -4:] = 1
    assert torch.isinf(sr_scores(noisy, x, 4).psnr).all()
    assert torch.isfinite(sr_scores(noisy, x, 3).psnr).all()
    eight_bit = (255 * x).round() / 255
    torch.testing.assert_close(sr_scores(eight_bit + 0.0015, eight_bit, 4).ssim, torch.ones(2))  # less than half a grey level is rounded away
    loud = torch.where(eight_bit > 0.5, 1.5, -0.5)
    torch.testing.assert_close(sr_scores(loud, eight_bit, 4).psnr, sr_scores(loud.clamp(0, 1), eight_bit, 4).psnr)  # clipped as in a file
    assert sr_scores(x[:, :1], x[:, 1:2], 2).psnr.shape == (2,)


def test_lr_psnr_of_the_measurement_itself_and_of_another_image():
    x = crop_to_multiple(example("chelsea"), 4)
    whole = (255 * x).round().to(torch.uint8)
    y = imresize(whole, 0.25).float() / 255
    assert torch.isinf(lr_psnr(x, y)).all()
    A = Downsample(4)
    assert lr_psnr(A.pinv(y), y).item() > 45  # consistent up to rounding and clipping
    assert lr_psnr(imresize(y, 4), y).item() < 43 < lr_psnr(A.pinv(y), y).item() - 5  # bicubic is not
    assert lr_psnr(x.flip(-1), y).item() < 20


def test_wrong_input_is_named():
    x = torch.rand(1, 3, 16, 16)
    with pytest.raises(ValueError, match="x_hat, x"):
        psnr(x, x[..., :8], data_range=1)
    with pytest.raises(ValueError, match=r"\(b, c, h, w\)"):
        psnr(x[0], x[0], data_range=1)
    with pytest.raises(TypeError, match="float"):
        psnr((255 * x).to(torch.uint8), (255 * x).to(torch.uint8), data_range=255)
    with pytest.raises(ValueError, match="data_range"):
        psnr(x, x, data_range=0)
    with pytest.raises(ValueError, match="data_range"):
        ssim(x, x, data_range=-1)
    with pytest.raises(ValueError, match="11x11"):
        ssim(x[..., :10], x[..., :10], data_range=1)
    with pytest.raises(ValueError, match="3 h w|RGB"):
        to_y(x[:, :1])
    with pytest.raises(ValueError, match="channels"):
        sr_scores(x[:, :2], x[:, :2], 2)
    with pytest.raises(ValueError, match="shaving"):
        sr_scores(x, x, 8)
    with pytest.raises(ValueError, match="NaN"):
        sr_scores(x * float("nan"), x, 2)
    with pytest.raises(ValueError, match="multiple"):
        lr_psnr(x, x[..., :5, :5])
    with pytest.raises(ValueError, match="multiple"):
        lr_psnr(x, x[..., :8, :4])


@pytest.mark.parametrize("scale", [0, -1, 2.0])
def test_a_scale_that_is_no_factor_is_named(scale):
    x = torch.rand(1, 1, 24, 24)
    with pytest.raises(ValueError, match="scale: expected a whole number of at least 1"):
        sr_scores(x, x, scale)


def test_lr_psnr_and_luma_refuse_what_would_give_a_number_of_nonsense():
    x, y = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 4, 4)
    holed = x.clone()
    holed[0, 0, 0, 0] = float("nan")  # as a byte it would be some grey level
    with pytest.raises(ValueError, match="x_hat: contains NaN"):
        lr_psnr(holed, y)
    with pytest.raises(ValueError, match="y: contains NaN"):
        lr_psnr(x, y * float("nan"))
    with pytest.raises(TypeError, match="x_hat: expected float tensors"):
        lr_psnr((255 * x).byte(), y)
    with pytest.raises(ValueError, match="y: expected a batch of images"):
        lr_psnr(x, y[:, :, :0])
    with pytest.raises(TypeError, match="x: expected a float tensor"):
        to_y((255 * x).byte())


def test_no_images_give_no_scores():
    none = torch.rand(0, 3, 16, 16)
    assert psnr(none, none, data_range=1).shape == ssim(none, none, data_range=1).shape == (0,)
    with pytest.raises(ValueError, match="x: expected a batch of images"):
        psnr(none[:, :0], none[:, :0], data_range=1)
