"""Tikhonov against the closed form, its limits, its probabilistic meaning, and gradient descent."""

import pytest
import torch

from gensr.inverse import tikhonov, tikhonov_descent
from gensr.inverse.tikhonov import largest_eigenvalue
from gensr.operators import Blur, Compose, Downsample, Mask, dense

SHAPE = (2, 8, 8)
OPERATORS = {
    "down": Downsample(2),
    "blur": Blur.gaussian(1.0),
    "mask": Mask(torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < 0.5),
    "compose": Compose(Downsample(2), Blur.gaussian(0.6)),
}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=OPERATORS, ids=str)
def A(request):
    return OPERATORS[request.param]


def measurement(A, seed=1):
    return random(*A(random(3, *SHAPE)).shape, seed=seed)


def closed_form(A, y, lam, mean):
    m = dense(A, SHAPE)
    mu = (mean + torch.zeros(len(y), *SHAPE, dtype=y.dtype)).flatten(1)
    right = (y.flatten(1) - mu @ m.T) @ m
    return (mu + torch.linalg.solve(m.T @ m + lam * torch.eye(m.shape[1], dtype=y.dtype), right.T).T).reshape(-1, *SHAPE)


@pytest.mark.parametrize("lam", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("mean", [0.0, 0.5, random(1, *SHAPE, seed=7), random(3, *SHAPE, seed=8)], ids=["zero", "half", "image", "batch"])
def test_equals_the_closed_form(A, lam, mean):
    y = measurement(A)
    torch.testing.assert_close(tikhonov(A, y, lam, mean), closed_form(A, y, lam, mean), rtol=0, atol=1e-8)


def test_gradient_descent_reaches_the_same(A):
    y = measurement(A)
    for mean in (0.0, 0.5):
        torch.testing.assert_close(tikhonov_descent(A, y, 0.1, mean, steps=600), tikhonov(A, y, 0.1, mean), rtol=0, atol=1e-8)


def test_gradient_of_the_objective_vanishes_by_autograd(A):
    y, mean = measurement(A), random(1, *SHAPE, seed=7)
    x = tikhonov(A, y, 0.3, mean).requires_grad_()
    (gradient,) = torch.autograd.grad((y - A(x)).square().sum() + 0.3 * (x - mean).square().sum(), x)
    assert gradient.abs().max() < 1e-9


def test_limits(A):
    y = A(random(2, *SHAPE))
    torch.testing.assert_close(tikhonov(A, y, 0.0), A.pinv(y), rtol=0, atol=1e-6)
    mean = random(1, *SHAPE, seed=7)
    torch.testing.assert_close(tikhonov(A, y, 1e9, mean), mean.expand(2, *SHAPE), rtol=0, atol=1e-6)
    torch.testing.assert_close(tikhonov(A, y, 0.0, mean), A.project(mean.expand(2, *SHAPE), y), rtol=0, atol=1e-6)


def test_is_the_mean_of_the_posterior_by_conditioning_a_joint_gaussian(A):
    # (x, y) is jointly Gaussian; E[x|y] = μ + Cov(x, y) Cov(y)⁻¹ (y - Aμ): a route that never mentions λ
    sigma, sigma_x, mu = 0.3, 0.7, 0.5
    m = dense(A, SHAPE)
    y = measurement(A)
    covariance = sigma_x**2 * m @ m.T + sigma**2 * torch.eye(len(m), dtype=y.dtype)
    residual = y.flatten(1) - (mu * m.sum(1))
    expected = mu + (torch.linalg.solve(covariance, residual.T).T @ m) * sigma_x**2
    torch.testing.assert_close(tikhonov(A, y, (sigma / sigma_x) ** 2, mu).flatten(1), expected, rtol=0, atol=1e-8)


def test_the_right_lambda_has_the_least_error():
    # x ~ N(0, σₓ²I): expected squared error is least at λ = σ²/σₓ²; 400 images make the difference to 2λ and λ/2 many times the noise
    A, sigma, sigma_x = Blur.gaussian(1.0), 0.2, 1.0
    x = sigma_x * random(400, 1, 8, 8)
    y = A(x) + sigma * random(400, 1, 8, 8, seed=1)
    errors = [(tikhonov(A, y, factor * (sigma / sigma_x) ** 2) - x).square().mean().item() for factor in (0.1, 0.5, 1, 2, 10)]
    assert min(errors) == errors[2]


def test_float32_and_callback():
    A = Downsample(2)
    y = measurement(A).float()
    seen = []
    x = tikhonov_descent(A, y, 0.1, steps=5, callback=lambda step, x: seen.append((step, x)))
    assert x.dtype == tikhonov(A, y, 0.1).dtype == torch.float32
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4] and torch.equal(seen[-1][1], x)


def test_power_method_finds_the_largest_singular_value(A):
    exact = torch.linalg.matrix_norm(dense(A, SHAPE), 2).item() ** 2
    assert 0.95 * exact <= largest_eigenvalue(A, random(1, *SHAPE)) <= 1.03 * exact


def test_steps_twice_too_long_diverge_and_the_default_does_not():
    A, lam = Blur.gaussian(1.0), 0.1
    y = measurement(A)
    bound = 2 / (1 + lam)  # σ_max = 1 for a blur that keeps brightness
    assert tikhonov_descent(A, y, lam, lr=1.05 * bound, steps=2000).abs().max() > 1e6
    assert tikhonov_descent(A, y, lam, lr=0.95 * bound, steps=2000).abs().max() < 1e3


def test_an_operator_that_sees_nothing_returns_the_prior():
    A = Mask(torch.zeros(4, 4))
    y = torch.zeros(1, 1, 4, 4)
    assert torch.equal(tikhonov(A, y, 0.1, 0.5), torch.full((1, 1, 4, 4), 0.5))
    assert torch.equal(tikhonov_descent(A, y, 0.0, 0.5), torch.full((1, 1, 4, 4), 0.5))


@pytest.mark.parametrize("call, error, message", [
    (lambda: tikhonov(Downsample(2), torch.zeros(1, 1, 2, 2), -0.1), ValueError, "lam"),
    (lambda: tikhonov(Downsample(2), torch.zeros(2, 2), 0.1), ValueError, "y: "),
    (lambda: tikhonov(Downsample(2), torch.zeros(1, 1, 2, 2, dtype=torch.int64), 0.1), TypeError, "y: "),
    (lambda: tikhonov_descent(Downsample(2), torch.zeros(1, 1, 2, 2), -0.1), ValueError, "lam"),
    (lambda: tikhonov_descent(Downsample(2), torch.zeros(2, 2), 0.1), ValueError, "y: "),
    (lambda: tikhonov_descent(Downsample(2), torch.zeros(1, 1, 2, 2), 0.1, lr=0.0), ValueError, "lr"),
])
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
