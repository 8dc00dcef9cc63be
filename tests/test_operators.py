"""Every operator: adjoint by the dot test, pinv and project against the dense matrix, dtypes, sizes, errors."""

import pytest
import torch

from gensr.operators import Blur, Compose, Downsample, LinearOperator, Mask, dense, fit_pseudo_inverse, least_squares
from gensr.operators.base import divide, dot
from gensr.operators.downsample import axis
from gensr.operators.fit import pseudo_inverse_losses
from gensr.resize import KERNELS, imresize


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uneven_kernel(kh, kw):
    k = torch.rand(kh, kw, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return k / k.sum()


HOLES = torch.rand(9, 8, generator=torch.Generator().manual_seed(1)) < 0.4
CASES = {
    **{f"down{s}-{k}": (Downsample(s, k), (2, 2 * s, 3 * s)) for s in (2, 3, 4) for k in KERNELS},
    "down1": (Downsample(1), (1, 4, 5)),
    "down4-one-pixel": (Downsample(4), (1, 4, 4)),
    "down8": (Downsample(8), (1, 16, 8)),
    "down4-gaussian": (Downsample.gaussian(4, 1.6), (2, 8, 12)),
    "down3-gaussian": (Downsample.gaussian(3, 1.2), (1, 6, 9)),
    "down2-own-filter": (Downsample(2, uneven_kernel(1, 6)[0]), (2, 6, 8)),
    "down3-one-tap": (Downsample(3, torch.tensor([2.0])), (1, 6, 9)),
    "down1-loses-the-mean": (Downsample(1, torch.tensor([0.5, 0.0, -0.5])), (1, 4, 5)),
    "blur-uneven": (Blur(uneven_kernel(4, 3)), (2, 6, 7)),
    "blur-even-size": (Blur(uneven_kernel(3, 6)), (1, 8, 6)),
    "blur-gaussian": (Blur.gaussian(1.0), (1, 9, 10)),
    "blur-box-with-zeros": (Blur(torch.full((1, 4), 0.25, dtype=torch.float64), tol=1e-9), (1, 3, 8)),
    "mask": (Mask(HOLES), (3, 9, 8)),
    "mask-channels": (Mask(torch.stack([HOLES, ~HOLES])), (2, 9, 8)),
    "compose": (Compose(Downsample(2), Blur.gaussian(0.7)), (1, 8, 10)),
    "compose-three": (Compose(Mask(HOLES[:4, :5]), Downsample(2), Blur(uneven_kernel(3, 3))), (2, 8, 10)),
    "compose-one": (Compose(Downsample(2)), (1, 4, 4)),
}


@pytest.fixture(params=CASES, ids=str)
def case(request):
    return CASES[request.param]


def reference_pinv(A):
    """numpy's definition with the operator's own tolerance."""
    operator, shape = A
    matrix = dense(operator, shape)
    return matrix, torch.linalg.pinv(matrix, rtol=getattr(operator, "tol", 1e-9))


def test_forward_is_linear_and_keeps_dtype(case):
    A, shape = case
    u, v = random(2, *shape), random(2, *shape, seed=1)
    torch.testing.assert_close(A(2 * u - 3 * v), 2 * A(u) - 3 * A(v))
    for dtype in (torch.float32, torch.float64):
        y = A(u.to(dtype))
        assert y.dtype == A.adjoint(y).dtype == A.pinv(y).dtype == A.project(u.to(dtype), y).dtype == dtype
        assert A.adjoint(y).shape == A.pinv(y).shape == u.shape


def test_adjoint_passes_the_dot_test_and_is_the_transpose(case):
    A, shape = case
    x = random(3, *shape)
    y = random(*A(x).shape, seed=1)
    torch.testing.assert_close((A(x) * y).sum((1, 2, 3)), (x * A.adjoint(y)).sum((1, 2, 3)), rtol=1e-12, atol=1e-12)
    matrix = dense(A, shape)
    torch.testing.assert_close(A.adjoint(y).flatten(1), y.flatten(1) @ matrix, rtol=0, atol=1e-13)


def test_adjoint_is_what_autograd_finds(case):
    A, shape = case
    x = random(1, *shape).requires_grad_()
    y = A(x)
    v = random(*y.shape, seed=1)
    (gradient,) = torch.autograd.grad((y * v).sum(), x)
    torch.testing.assert_close(gradient, A.adjoint(v), rtol=0, atol=1e-13)


def test_pinv_and_project_equal_those_of_the_dense_matrix(case):
    A, shape = case
    matrix, inverse = reference_pinv(case)
    x = random(3, *shape)
    y = random(*A(x).shape, seed=1)  # in general no image explains this one exactly: least squares
    # conjugate gradients stop at a relative gradient of 1e-12, magnified by the condition number (below 1e4 here)
    close = {"rtol": 0, "atol": 1e-8 * max(1.0, inverse.abs().max().item())}
    torch.testing.assert_close(A.pinv(y).flatten(1), y.flatten(1) @ inverse.T, **close)
    projected = x.flatten(1) + (y.flatten(1) - x.flatten(1) @ matrix.T) @ inverse.T
    torch.testing.assert_close(A.project(x, y).flatten(1), projected, **close)


def test_conjugate_gradients_agree_with_every_closed_form(case):
    A, shape = case
    y = random(2, *A(random(1, *shape)).shape[1:], seed=2)
    matrix = dense(A, shape)
    if getattr(A, "tol", 0) > 1e-6 and torch.linalg.cond(matrix) > 1 / A.tol:
        pytest.skip("the closed form drops frequencies that conjugate gradients keep")
    size = A.pinv(y).abs().max().item()
    torch.testing.assert_close(least_squares(A, y), A.pinv(y), rtol=0, atol=1e-7 * max(1.0, size))


def test_projection_explains_the_measurement_and_is_the_nearest_that_does(case):
    A, shape = case
    truth, x = random(2, *shape), random(2, *shape, seed=5)
    y = A(truth)
    p = A.project(x, y)
    torch.testing.assert_close(A(p), y, rtol=0, atol=2e-4 if isinstance(A, Blur) else 1e-9)  # a blur gives up what it weakens below tol
    torch.testing.assert_close(A.project(p, y), p, rtol=0, atol=1e-7)  # twice is once
    torch.testing.assert_close(A.project(truth, y), truth, rtol=0, atol=1e-7)
    # Pythagoras: the step to p is at right angles to the way from p to any other explanation
    others = A.project(truth, y)
    assert ((p - x) * (others - p)).sum((1, 2, 3)).abs().max() < 1e-3


def test_works_in_float32(case):
    A, shape = case
    x = random(2, *shape)
    y = A(x)
    assert (A(x.float()).double() - y).abs().max() < 1e-5
    exact = A.pinv(y)
    # float32 carries 6e-8 relative error, which the inverse of a blur multiplies by at most 1 / tol = 1e4
    assert (A.pinv(y.float()).double() - exact).abs().max() < (5e-3 if isinstance(A, Blur) else 1e-4) * max(1.0, exact.abs().max().item())


def test_gradients_flow_through_pinv(case):
    A, shape = case
    y = A(random(1, *shape)).requires_grad_()
    v = random(1, *shape, seed=4)
    (gradient,) = torch.autograd.grad((A.pinv(y) * v).sum(), y)
    _, inverse = reference_pinv(case)
    if type(A) is not Compose:  # the loop of conjugate gradients is not linear in y step by step; its derivative is only approximate
        torch.testing.assert_close(gradient.flatten(1), v.flatten(1) @ inverse, rtol=0, atol=1e-8 * max(1.0, inverse.abs().max().item()))
    assert torch.isfinite(gradient).all()


def test_downsample_is_imresize():
    x = random(2, 3, 24, 36)
    for scale in (1, 2, 3, 4, 6, 12):
        torch.testing.assert_close(Downsample(scale)(x), imresize(x, 1 / scale), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_downsample_is_well_conditioned_at_every_size(scale, kernel):
    # the closed form solves with RRᵀ: its condition number is what float64 accuracy hangs on
    for n in (1, 2, 3, 5, 17):
        assert torch.linalg.cond(axis(n * scale, scale, kernel)[0]) < 2


def test_downsample_keeps_brightness_and_its_adjoint_does_not():
    flat = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    A = Downsample(4)
    torch.testing.assert_close(A(flat), torch.ones(1, 1, 4, 4, dtype=torch.float64))
    assert A.adjoint(A(flat)).mean().item() == pytest.approx(1 / 16)
    assert A.pinv(A(flat)).mean().item() == pytest.approx(1, abs=0.02)


def test_blur_of_a_point_is_the_kernel():
    k = uneven_kernel(3, 5)
    x = torch.zeros(1, 1, 8, 9, dtype=torch.float64)
    x[0, 0, 4, 4] = 1
    torch.testing.assert_close(Blur(k)(x)[0, 0, 3:6, 2:7], k, rtol=0, atol=1e-14)
    corner = torch.zeros(1, 1, 8, 9, dtype=torch.float64)
    corner[0, 0, 0, 0] = 1
    torch.testing.assert_close(Blur(k)(corner), Blur(k)(x).roll((-4, -4), (2, 3)), rtol=0, atol=1e-14)  # circular


def test_blur_equals_circular_convolution_by_torch():
    k, x = uneven_kernel(3, 5), random(2, 3, 10, 12)
    padded = torch.nn.functional.pad(x, (2, 2, 1, 1), mode="circular")
    theirs = torch.nn.functional.conv2d(padded, k.flip(0, 1).expand(3, 1, 3, 5), groups=3)  # conv2d does not turn its kernel
    torch.testing.assert_close(Blur(k)(x), theirs, rtol=0, atol=1e-13)


def test_gaussian_blur_has_its_width():
    k = Blur.gaussian(1.5).kernel
    t = torch.arange(k.shape[0], dtype=torch.float64) - k.shape[0] // 2
    assert k.sum().item() == pytest.approx(1)
    assert (k.sum(0) * t**2).sum().sqrt().item() == pytest.approx(1.5, rel=0.03)  # cut at 3σ


def test_mask_is_a_projection():
    A = Mask(HOLES)
    x = random(2, 3, 9, 8)
    assert torch.equal(A(A(x)), A(x)) and torch.equal(A.pinv(x), A(x)) and torch.equal(A.adjoint(x), A(x))
    assert torch.equal(Mask(HOLES.float())(x), A(x))
    assert torch.equal(Mask(HOLES.expand(2, 1, 9, 8))(x), A(x))
    assert torch.equal(A(torch.where(HOLES, x, float("nan"))), A(x))  # what is not seen cannot leak, not even as NaN


def test_pinv_of_a_composition_is_not_the_composition_of_pinvs():
    B, A = Blur.gaussian(1.0), Downsample(2)
    y = random(1, 1, 4, 4)
    both = Compose(A, B)
    naive = B.pinv(A.pinv(y))
    torch.testing.assert_close(both(naive), y, rtol=0, atol=1e-4)  # it explains y …
    assert both.pinv(y).norm() < 0.9 * naive.norm()  # … but is not the least image that does


def test_least_squares_of_zero_and_of_mixed_batches():
    A = Compose(Downsample(2), Blur.gaussian(0.7))
    y = torch.cat([torch.zeros(1, 1, 4, 4, dtype=torch.float64), random(1, 1, 4, 4)])
    x = least_squares(A, y)
    assert torch.equal(x[:1], torch.zeros_like(x[:1]))  # 0 / 0 would be NaN
    torch.testing.assert_close(x[1:], least_squares(A, y[1:]))  # images of a batch do not disturb one another


def test_state_dict_stays_empty_and_modules_nest():
    assert not Compose(Mask(HOLES), Blur.gaussian(1.0)).state_dict()
    assert "Downsample(scale=2" in repr(Compose(Downsample(2)))


@pytest.mark.parametrize("A, shape", [
    (Downsample(2), (1, 8, 8)), (Downsample(4), (1, 8, 8)),
    (Compose(Mask(HOLES[:4, :4]), Downsample(2)), (1, 8, 8)), (Blur(uneven_kernel(2, 2)[:, :1] * 0 + 0.5), (1, 4, 4)),
])
def test_fitted_pseudo_inverse_is_the_pseudo_inverse(A, shape):
    matrix = dense(A, shape)
    torch.testing.assert_close(fit_pseudo_inverse(A, shape, steps=1500), torch.linalg.pinv(matrix, rtol=1e-9), rtol=0, atol=1e-6)


def test_fitted_pseudo_inverse_of_one_axis_in_few_steps():
    matrix = axis(32, 4, "bicubic")[0]
    torch.testing.assert_close(fit_pseudo_inverse(matrix, steps=200), axis(32, 4, "bicubic")[1], rtol=0, atol=1e-9)


def test_losses_are_zero_for_any_right_inverse_and_only_the_start_singles_out_one():
    matrix = axis(16, 4, "bicubic")[0]
    inverse = torch.linalg.pinv(matrix)
    other = inverse + (torch.eye(16, dtype=torch.float64) - inverse @ matrix) @ random(16, 4)
    l1, l2 = pseudo_inverse_losses(matrix, other)
    assert l1 < 1e-20 and l2 < 1e-20 and (other - inverse).norm() > 1
    fitted = fit_pseudo_inverse(matrix)
    assert ((torch.eye(16, dtype=torch.float64) - inverse @ matrix) @ fitted).norm() < 1e-12  # never left the range of Aᵀ


def test_the_losses_reported_are_those_of_the_scaled_problem_in_their_order():
    matrix, losses = 3 * axis(16, 4, "bicubic")[0], []
    fit_pseudo_inverse(matrix, steps=2, lr=0.3, weight=0.1, callback=lambda step, l1, l2: losses.append((l1, l2)))
    a = matrix / torch.linalg.matrix_norm(matrix, 2)
    b = a.T.clone().requires_grad_()  # where both losses are equal
    l1, l2 = pseudo_inverse_losses(a, b)
    moved = b - 0.3 * torch.autograd.grad(l1 + 0.1 * l2, b)[0]
    for found, at in zip(losses, (b, moved), strict=True):
        assert found == pytest.approx([v.item() for v in pseudo_inverse_losses(a, at)])
    assert losses[1][0] != pytest.approx(losses[1][1], rel=0.01)


def test_the_default_weight_leaves_no_false_minimum():
    """diag(1, r): with t = r b the loss of the weak direction is r² (1 − t)² (1 + w t²/r⁴), which has a second minimum from w = 8 r⁴ on; b starts at r."""
    matrix = torch.diag(torch.tensor([1.0, 0.3], dtype=torch.float64))
    torch.testing.assert_close(fit_pseudo_inverse(matrix, steps=2500), torch.diag(torch.tensor([1.0, 1 / 0.3], dtype=torch.float64)), rtol=0, atol=1e-4)
    assert fit_pseudo_inverse(matrix, steps=2500, weight=0.1)[1, 1] < 0.4  # w > 8 r⁴ = 0.065: caught near the start


def test_fit_reports_its_losses():
    losses = []
    fit_pseudo_inverse(axis(8, 2, "box")[0], steps=50, callback=lambda step, l1, l2: losses.append((step, l1, l2)))
    assert [step for step, _, _ in losses] == list(range(50))
    assert losses[-1][1] <= losses[0][1] and losses[-1][2] <= losses[0][2] + 1e-20


@pytest.mark.parametrize("call, error, message", [
    (lambda: Downsample(0), ValueError, "scale"), (lambda: Downsample(2.5), ValueError, "scale"), (lambda: Downsample(2, "cubic"), ValueError, "kernel"),
    (lambda: Downsample(4)(torch.zeros(1, 3, 10, 8)), ValueError, "x: .*multiples of 4"),
    (lambda: Downsample(4)(torch.zeros(1, 3, 8, 10)), ValueError, "x: .*multiples of 4, got 8x10"),
    (lambda: Downsample(2)(torch.zeros(3, 8, 8)), ValueError, r"x: .*\(b, c, h, w\)"),
    (lambda: Downsample(2)(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), TypeError, "x: .*float"),
    (lambda: Downsample(2).pinv(torch.zeros(8, 8)), ValueError, "y: "), (lambda: Downsample(2).adjoint(torch.zeros(1, 1, 0, 8)), ValueError, "y: "),
    (lambda: Blur(torch.ones(3)), ValueError, "kernel"), (lambda: Blur(torch.ones(3, 3, dtype=torch.int64)), TypeError, "kernel"),
    (lambda: Blur([[1.0]]), TypeError, "kernel"), (lambda: Blur(torch.full((3, 3), float("nan"))), ValueError, "kernel"),
    (lambda: Blur(torch.ones(3, 3), tol=-1), ValueError, "tol"),
    (lambda: Blur(torch.ones(5, 5))(torch.zeros(1, 1, 4, 8)), ValueError, "x: .*smaller than the kernel"),
    (lambda: Blur.gaussian(0), ValueError, "sigma"), (lambda: Blur(torch.ones(3, 3)).adjoint(torch.zeros(4, 4)), ValueError, "y: "),
    (lambda: Mask(torch.tensor([[0.5, 1.0]])), ValueError, "mask"), (lambda: Mask(torch.ones(4)), ValueError, "mask"), (lambda: Mask([[1]]), TypeError, "mask"),
    (lambda: Mask(torch.ones(4, 4))(torch.zeros(1, 3, 4, 5)), ValueError, "x: .*mask"),
    (lambda: Mask(torch.ones(2, 4, 4)).pinv(torch.zeros(1, 3, 4, 4)), ValueError, "y: .*mask"),
    (lambda: Compose(), ValueError, "operators"), (lambda: Compose(Downsample(2), torch.nn.Identity()), TypeError, "operators: number 1"),
    (lambda: least_squares(Downsample(2), torch.zeros(1, 1, 2, 2), -1.0), ValueError, "lam"),
    (lambda: least_squares(Downsample(2), torch.zeros(1, 1, 2, 2), float("nan")), ValueError, "lam"),
    (lambda: dense(Downsample(2), (4, 4)), ValueError, "shape"), (lambda: LinearOperator().adjoint(torch.zeros(1, 1, 2, 2)), NotImplementedError, "adjoint"),
    (lambda: fit_pseudo_inverse(Downsample(2)), ValueError, "shape"), (lambda: fit_pseudo_inverse(torch.zeros(2, 2)), ValueError, "A: is zero"),
    (lambda: fit_pseudo_inverse(torch.zeros(2)), ValueError, "A: expected"), (lambda: fit_pseudo_inverse(torch.eye(2), lr=0), ValueError, "lr"),
    (lambda: fit_pseudo_inverse(axis(8, 2, "bicubic")[0], lr=50, steps=50), FloatingPointError, "lr"),
])
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_each_image_of_a_batch_has_its_own_steps():
    a, b = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]), torch.tensor([[[[5.0, 6.0]]], [[[7.0, 8.0]]]])
    assert dot(a, b).shape == (2, 1, 1, 1) and dot(a, b).flatten().tolist() == [17.0, 53.0]
    assert divide(torch.tensor([1.0, 0.0, 3.0]), torch.tensor([2.0, 0.0, 0.0])).tolist() == [0.5, 0.0, 0.0]


def test_gradients_are_finite_where_an_image_of_the_batch_is_black():
    A, y = Downsample(2), torch.cat([torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)]).requires_grad_()
    (gradient,) = torch.autograd.grad(least_squares(A, y, 0.1, steps=5).square().sum(), y)
    assert gradient.isfinite().all() and gradient[1].abs().min() > 0  # 0 / 0 in a branch not taken still spoils the gradient


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Downsample(2).project(torch.rand(1, 3, 4, 4), torch.rand(1, 1, 2, 2)), ValueError, r"y: expected the shape \(1, 3, 2, 2\) of A x"),
        (lambda: Downsample(2).project(torch.rand(1, 3, 4, 4), torch.rand(2, 3, 2, 2)), ValueError, "y: expected the shape"),
        (lambda: Downsample(2, [0.5, 0.5]), ValueError, "kernel: expected a filter or one of"),
        (lambda: Blur.gaussian(float("inf")), ValueError, "sigma: expected a positive number"),
        (lambda: least_squares(Downsample(2), torch.rand(1, 1, 2, 2), steps=0), ValueError, "steps, tol: expected positive numbers, got 0"),
        (lambda: least_squares(Downsample(2), torch.rand(1, 1, 2, 2), tol=-1.0), ValueError, "steps, tol: expected positive numbers"),
        (lambda: fit_pseudo_inverse(torch.full((2, 2), float("nan"))), ValueError, "A: is zero, or contains NaN"),
    ],
)
def test_what_would_be_silently_wrong_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
