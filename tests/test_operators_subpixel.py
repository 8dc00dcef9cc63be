"""Downsampling as a strided convolution with any filter; its pseudo-inverse as a sub-pixel convolution, read off and fitted."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gensr.operators import Downsample, SubPixel, dense, fit_pseudo_inverse, fit_sub_pixel
from gensr.operators.downsample import axis, gaussian_filter
from gensr.operators.subpixel import sub_pixel, sub_pixel_kernels
from gensr.resize import KERNELS

UNEVEN = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64)
OPERATORS = {
    **{f"{kernel}-{s}": Downsample(s, kernel) for s in (1, 2, 3, 4) for kernel in KERNELS},
    "gaussian-4": Downsample.gaussian(4, 1.6), "gaussian-3": Downsample.gaussian(3, 1.2), "uneven": Downsample(2, UNEVEN), "one": Downsample(3, torch.ones(1)),
}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(kernels, A):
    """‖B − A⁺‖ / ‖A⁺‖ of the s² kernels, where those of A⁺ are so long that nothing is missing."""
    exact = sub_pixel_kernels(A, 61)
    return ((F.pad(kernels.double(), ((61 - kernels.shape[-1]) // 2,) * 4) - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("A", OPERATORS.values(), ids=OPERATORS)
def test_downsample_is_a_strided_convolution(A):
    s, k, x = A.scale, A.filter(), random(2, 3, 6 * A.scale, 7 * A.scale)
    assert (len(k) - s) % 2 == 0
    if len(k) < s:  # between the taps lie pixels that nobody reads
        k = F.pad(k, ((s - len(k)) // 2,) * 2)
    side = (len(k) - s) // 2
    padded = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (side, side), (side, side)), mode="symmetric"))
    made = F.conv2d(padded, torch.outer(k, k).expand(3, 1, -1, -1), stride=s, groups=3)
    torch.testing.assert_close(A(x), made)


SMALL = {"gaussian": Downsample.gaussian(2, 0.9), "uneven": Downsample(2, UNEVEN), "singular": Downsample(1, torch.tensor([0.5, 0.0, -0.5]))}


@pytest.mark.parametrize("A", SMALL.values(), ids=SMALL)
def test_pinv_fulfils_all_four_conditions_of_penrose(A):
    shape = (1, 4 * A.scale, 5 * A.scale)
    a = dense(A, shape)
    b = A.pinv(torch.eye(len(a), dtype=torch.float64).reshape(-1, 1, 4, 5)).reshape(len(a), -1).T
    for left, right in ((a @ b @ a, a), (b @ a @ b, b), ((a @ b).T, a @ b), ((b @ a).T, b @ a)):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-10)


def test_kernels_read_off_are_out_of_the_border_s_reach():
    for A in (Downsample(4), Downsample(2, "lanczos3"), Downsample.gaussian(2, 1.2)):
        torch.testing.assert_close(sub_pixel_kernels(A, 3), sub_pixel_kernels(A, 41)[..., 19:22, 19:22], rtol=0, atol=1e-8)


def test_the_default_weight_of_the_descent_is_4_times_the_ratio_to_the_4th():
    A, size = Downsample.gaussian(2, 1.2), 9
    values = torch.linalg.svdvals(axis(2 * (2 * size + 1), 2, A.kernel)[0]).square()  # of both axes
    weight = 4 * (values[-1] / values[0]).item() ** 4
    assert weight < 0.05
    made = [fit_sub_pixel(A, size, steps=3, side=6, batch=2, weight=w).weight for w in (None, weight, 0.1)]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_the_descent_comes_to_rest_and_returns_its_last_kernels():
    kernels = []
    fitted = fit_sub_pixel(Downsample(2, UNEVEN), 9, steps=40, side=8, batch=4, callback=lambda step, l1, l2, b: kernels.append(b))
    changes = [(a - b).norm().item() for a, b in zip(kernels, [*kernels[1:], fitted.weight.detach()], strict=True)]
    assert changes[-1] < 0.1 * changes[20]  # the learning rate has fallen to a twentieth


def test_pinv_gives_back_what_a_filter_all_but_loses():
    A, y = Downsample.gaussian(2, 2.5), random(1, 1, 8, 8)
    values = torch.linalg.svdvals(axis(16, 2, A.kernel)[0])
    assert 1e-6 < values[-1] / values[0] < 3e-3
    torch.testing.assert_close(A(A.pinv(y)), y, rtol=0, atol=1e-7)


def test_gaussian_filter_has_its_width_and_keeps_brightness():
    for s, sigma in ((4, 1.6), (3, 1.6), (2, 3.0)):
        k = gaussian_filter(s, sigma)
        d = torch.arange(len(k)) - (len(k) - 1) / 2
        assert k.sum().item() == pytest.approx(1) and len(k) % 2 == s % 2
        assert (k * d**2).sum().sqrt().item() == pytest.approx(sigma, rel=0.03)  # the cut at 3σ takes a little
        torch.testing.assert_close(Downsample.gaussian(s, sigma)(torch.full((1, 1, 2 * s, 3 * s), 0.7)), torch.full((1, 1, 2, 3), 0.7))
    assert "12 taps" not in repr(Downsample.gaussian(4, 1.6)) and "10 taps" in repr(Downsample.gaussian(4, 1.6))


@pytest.mark.parametrize("A", [Downsample(4), Downsample(3), Downsample(2, "box"), Downsample.gaussian(4, 1.6)], ids=repr)
def test_the_adjoint_is_a_sub_pixel_convolution_up_to_the_border(A):
    y = random(2, 3, 5, 9)
    torch.testing.assert_close(sub_pixel(y, sub_pixel_kernels(A, 5, "adjoint")), A.adjoint(y))


@pytest.mark.parametrize(("A", "size", "most"), [
    (Downsample(4), 7, 2e-2), (Downsample(4), 13, 6e-4), (Downsample(4), 19, 2.1e-5), (Downsample(2), 13, 6e-4), (Downsample.gaussian(4, 1.6), 13, 5e-5),
    (Downsample(4), 41, 1e-9), (Downsample(3, "box"), 1, 1e-12),
])
def test_the_pseudo_inverse_as_a_convolution_lacks_only_the_tails(A, size, most):
    y = random(1, 2, 24, 31)
    exact, made = A.pinv(y), sub_pixel(y, sub_pixel_kernels(A, size))
    assert (made - exact).norm() <= most * exact.norm()
    edge = torch.ones_like(exact, dtype=torch.bool)
    edge[..., 4 * A.scale : -4 * A.scale, 4 * A.scale : -4 * A.scale] = False
    assert (made - exact)[edge].norm() <= 1.5 * most * exact[edge].norm() + 1e-12  # the border is no worse: the mirror image is exact


def test_one_convolution_for_small_images_and_many_channels():
    A, y = Downsample(4), random(3, 5, 1, 2)
    torch.testing.assert_close(sub_pixel(y, sub_pixel_kernels(A, 31)), A.pinv(y), rtol=0, atol=1e-6)


def test_sub_pixel_operator():
    A = SubPixel(Downsample.gaussian(4, 1.6))
    x, y = torch.rand(2, 3, 24, 16), torch.rand(2, 3, 6, 4)
    torch.testing.assert_close(A(x), Downsample.gaussian(4, 1.6)(x))
    torch.testing.assert_close(A.adjoint(y), Downsample.gaussian(4, 1.6).adjoint(y))
    assert A.pinv(y).dtype == torch.float32 and A.pinv(y.double()).dtype == torch.float64
    assert list(A.state_dict()) == ["weight"] and A.weight.shape == (16, 1, 13, 13) and "size=13" in repr(A)
    assert torch.autograd.gradcheck(lambda w, v: sub_pixel(v, w), (random(4, 1, 3, 3).requires_grad_(), random(1, 2, 3, 2).requires_grad_()))
    A.pinv(y).sum().backward()
    assert A.weight.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def fits():
    """Bicubic 2×, kernels of 19: the losses, distances to A⁺ and results of the descent inside the range of Aᵀ, and with all kernels free."""
    A, state, out = Downsample(2), torch.random.get_rng_state(), {}
    for inside in (True, False):
        curve = []
        fitted = fit_sub_pixel(A, 19, steps=160, inside=inside, callback=lambda *a, curve=curve: curve.append((*a[1:3], distance(a[3], A))))
        out[inside] = fitted, curve
    assert torch.equal(state, torch.random.get_rng_state())
    return out


def test_descent_over_the_kernel_of_g_ends_at_the_pseudo_inverse(fits):
    fitted, curve = fits[True]
    assert distance(fitted.weight.data, Downsample(2)) < 5e-4  # the bar is 1e-3; what is left is the cut of g
    assert curve[0][2] > 0.3 and curve[0][0] > 1e-2 and curve[0][1] > 1e-2
    assert curve[-1][0] < 1e-6 and curve[-1][1] < 1e-6
    y = torch.rand(1, 3, 9, 8)
    torch.testing.assert_close(fitted.pinv(y), Downsample(2).pinv(y), rtol=0, atol=2e-3)


def test_with_all_kernels_free_the_losses_vanish_far_from_the_pseudo_inverse(fits):
    fitted, curve = fits[False]
    assert curve[-1][0] < 1e-6 and curve[-1][1] < 1e-6
    assert distance(fitted.weight.data, Downsample(2)) > 4 * distance(fits[True][0].weight.data, Downsample(2))


@pytest.mark.parametrize(("inside", "least", "most"), [(True, 0.999, 1.001), (False, 0.0, 0.1)])
def test_what_separates_the_fit_from_the_pseudo_inverse(fits, inside, least, most):
    """Inside the range of Aᵀ, A sees all of it. With free kernels nearly all of it lies in the null space, where no loss reaches."""
    A, y = Downsample(2), random(1, 1, 40, 40)
    difference = sub_pixel(y, fits[inside][0].weight.data.double()) - A.pinv(y)
    assert least <= A.pinv(A(difference)).norm() / difference.norm() <= most


def test_the_weight_of_the_second_loss_holds_weak_directions_at_zero_unless_it_is_small():
    """One axis of a wide Gaussian: σ_max / σ_min = 3.9, so w must stay below 8 / 3.9⁴ = 0.034."""
    matrix, exact = axis(48, 4, tuple(gaussian_filter(4, 2.4).tolist()))
    values = torch.linalg.svdvals(matrix)
    assert (values[0] / values[-1]).item() == pytest.approx(3.9, abs=0.1)
    far, near = fit_pseudo_inverse(matrix, steps=1000, weight=0.1), fit_pseudo_inverse(matrix, steps=1000)
    assert (far - exact).norm() > 0.2 * exact.norm() and (near - exact).norm() < 1e-3 * exact.norm()


def test_the_first_step_of_the_fit_is_at_the_adjoint():
    A, first = Downsample(3), []
    fit_sub_pixel(A, 9, steps=1, batch=1, side=4, callback=lambda step, l1, l2, b: first.append(b))
    largest = torch.linalg.matrix_norm(axis(60, 3, "bicubic")[0], 2) ** 2
    torch.testing.assert_close(first[0].double(), sub_pixel_kernels(A, 9, "adjoint") / largest**2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: Downsample(4, "gaussian"), ValueError, "kernel: expected a filter or one of bicubic"),
    (lambda: Downsample(4, torch.ones(5)), ValueError, "kernel: expected an even number of float taps for scale 4"),
    (lambda: Downsample(3, torch.ones(4)), ValueError, "kernel: expected an odd number"),
    (lambda: Downsample(2, torch.ones(2, 2)), ValueError, "kernel: expected"),
    (lambda: Downsample(2, torch.ones(2, dtype=torch.long)), ValueError, "kernel: .*int64"), (lambda: Downsample(2, torch.ones(0)), ValueError, "kernel"),
    (lambda: Downsample(2, torch.zeros(2)), ValueError, "kernel: is zero"),
    (lambda: Downsample(2, torch.tensor([1.0, float("nan")])), ValueError, "kernel: .*NaN"),
    (lambda: Downsample.gaussian(2, 0.0), ValueError, "sigma"), (lambda: Downsample.gaussian(2, float("inf")), ValueError, "sigma"),
    (lambda: Downsample.gaussian(0, 1.0), ValueError, "scale"),
    (lambda: SubPixel(torch.nn.Identity()), TypeError, "A: expected a Downsample"), (lambda: SubPixel(Downsample(2), 4), ValueError, "size"),
    (lambda: SubPixel(Downsample(2)).pinv(torch.ones(2, 2)), ValueError, "y: expected images"),
    (lambda: sub_pixel_kernels(Downsample(2), 3, "A"), ValueError, "of"),
    (lambda: fit_sub_pixel(Downsample(4), 3), ValueError, "size: expected at least 5"), (lambda: fit_sub_pixel(Downsample(2), steps=0), ValueError, "steps"),
    (lambda: fit_sub_pixel(Downsample(2), lr=0.0), ValueError, "lr"), (lambda: fit_sub_pixel(Downsample(2), weight=-1.0), ValueError, "weight"),
    (lambda: fit_sub_pixel(Downsample(2), 7, lr=50.0, steps=40, batch=1, side=8), FloatingPointError, "lr: steps of 50"),
])
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_kernels_and_images_that_do_not_fit_are_named():
    y = torch.rand(1, 1, 4, 4)
    for shape in ((3, 1, 3, 3), (4, 1, 2, 2), (4, 2, 3, 3), (4, 3, 3)):
        with pytest.raises(ValueError, match=r"kernels: expected \(s², 1, size, size\) of an odd size"):
            sub_pixel(y, torch.rand(shape))
    for bad in (y[0], y[:, :, :0]):
        with pytest.raises(ValueError, match=r"y: expected images \(b, c, h, w\)"):
            sub_pixel(bad, torch.rand(4, 1, 3, 3))
    with pytest.raises(TypeError, match="A: expected a Downsample, got str"):
        sub_pixel_kernels("bicubic", 3)  # type: ignore[arg-type]
