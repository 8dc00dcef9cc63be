"""Densities against torch.distributions, closed forms and autograd."""

import math

import pytest
import torch
from torch import distributions as D

from gensr.densities import (
    bernoulli_log_prob,
    bits_per_dim,
    discretized_logistic_log_prob,
    grid_js,
    grid_kl,
    gsm_log_prob,
    kl_normal,
    normal_log_prob,
)


def test_normal_equals_torch():
    x, mu, logvar = torch.randn(3, 5, 4, dtype=torch.float64).unbind(0)
    torch.testing.assert_close(normal_log_prob(x, mu, logvar), D.Normal(mu, (0.5 * logvar).exp()).log_prob(x))
    torch.testing.assert_close(normal_log_prob(x, 0.0, 0.0), D.Normal(0.0, 1.0).log_prob(x))


@pytest.mark.parametrize("prior", [False, True])
def test_kl_equals_torch(prior):
    mu, logvar, mu_p, logvar_p = torch.randn(4, 6, 3, dtype=torch.float64).unbind(0)
    if not prior:
        ours, p = kl_normal(mu, logvar), D.Normal(torch.zeros_like(mu), 1.0)
    else:
        ours, p = kl_normal(mu, logvar, mu_p, logvar_p), D.Normal(mu_p, (0.5 * logvar_p).exp())
    torch.testing.assert_close(ours, D.kl_divergence(D.Normal(mu, (0.5 * logvar).exp()), p))


def test_kl_is_zero_only_at_the_prior_and_its_gradient_vanishes_there():
    mu, logvar = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    kl = kl_normal(mu, logvar)
    assert kl.abs().max() == 0
    grads = torch.autograd.grad(kl.sum(), (mu, logvar))
    assert all(g.abs().max() == 0 for g in grads)
    assert (kl_normal(torch.randn(100), torch.randn(100)) > 0).all()


def test_kl_equals_a_monte_carlo_mean():
    mu, logvar = torch.tensor(0.7), torch.tensor(-1.0)
    z = mu + (0.5 * logvar).exp() * torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    difference = normal_log_prob(z, mu, logvar) - normal_log_prob(z, 0.0, 0.0)
    # the integrand's standard deviation is about 1, so 5 standard errors are 0.008
    assert abs(difference.mean() - kl_normal(mu, logvar)) < 0.008


def test_bernoulli_equals_torch_and_is_stable():
    logits, x = torch.randn(50, dtype=torch.float64) * 5, torch.randint(0, 2, (50,)).double()
    torch.testing.assert_close(bernoulli_log_prob(x, logits), D.Bernoulli(logits=logits).log_prob(x))
    far = bernoulli_log_prob(torch.tensor([1.0, 0.0]), torch.tensor([-200.0, 200.0]))
    torch.testing.assert_close(far, torch.tensor([-200.0, -200.0]))


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("mean", [-3.0, -1.0, -0.999, -0.5, 0.0, 0.7, 0.999, 1.0, 1.2])
@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -1.0, 1.0])
def test_discretized_logistic_sums_to_one(levels, mean, log_scale):
    x = torch.linspace(-1, 1, levels, dtype=torch.float64)
    log_p = discretized_logistic_log_prob(x, torch.tensor(mean, dtype=torch.float64), torch.tensor(log_scale, dtype=torch.float64), levels)
    assert abs(log_p.logsumexp(0)) < 1e-10


def test_discretized_logistic_sums_to_one_in_float32_from_bytes():
    x = torch.arange(256) / 127.5 - 1
    mean = torch.tensor([-1.3, -0.999, 0.0, 0.999, 1.4])[:, None]
    for log_scale in (-7.0, -5.0, -2.0, 0.0):
        log_p = discretized_logistic_log_prob(x, mean, torch.tensor(log_scale))
        # at s = e⁻⁷ the argument (x − μ ± h)/s is about 1000, so its rounding moves a bin's edge by about 1e-4 of a scale
        assert log_p.logsumexp(1).abs().max() < 2e-4


def test_discretized_logistic_equals_differences_of_the_distribution_function():
    """Independent reference: the sigmoid's differences, in float64, where they are far from rounding."""
    levels, mean, scale = 17, torch.tensor(0.23, dtype=torch.float64), torch.tensor(0.15, dtype=torch.float64)
    edges = torch.linspace(-1, 1, levels, dtype=torch.float64)[:-1] + 1 / (levels - 1)
    cdf = torch.cat([torch.zeros(1), torch.sigmoid((edges - mean) / scale), torch.ones(1)]).double()
    x = torch.linspace(-1, 1, levels, dtype=torch.float64)
    torch.testing.assert_close(discretized_logistic_log_prob(x, mean, scale.log(), levels).exp(), cdf.diff(), atol=1e-12, rtol=1e-9)


def test_discretized_logistic_catches_only_the_end_levels():
    """Level 254 is not an edge: with a mean far to the right it is much less probable than 255."""
    x = torch.tensor([254, 255]) / 127.5 - 1
    log_p = discretized_logistic_log_prob(x, torch.tensor(2.0), torch.tensor(-3.0))
    assert log_p[1] > -1e-6 and log_p[0] < -5


@pytest.mark.parametrize("mean", [-50.0, -1.0, 0.0, 1.0, 50.0])
@pytest.mark.parametrize("log_scale", [-7.0, 0.0, 3.0])
def test_discretized_logistic_has_finite_gradients(mean, log_scale):
    m, s = torch.tensor(mean, requires_grad=True), torch.tensor(log_scale, requires_grad=True)
    x = torch.arange(256) / 127.5 - 1
    value = discretized_logistic_log_prob(x, m, s)
    assert torch.isfinite(value).all()
    for g in torch.autograd.grad(value.sum(), (m, s)):
        assert torch.isfinite(g)


def test_discretized_logistic_gradient_equals_finite_differences():
    x = torch.linspace(-1, 1, 17, dtype=torch.float64)
    m, s = torch.tensor(-0.4, dtype=torch.float64, requires_grad=True), torch.tensor(-1.2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, s: discretized_logistic_log_prob(x, m, s, 17), (m, s))


def test_gsm_equals_a_mixture_of_torch():
    d, s = 3, 4
    x, logits, alpha, mean = torch.randn(7, d).double(), torch.randn(s).double(), torch.randn(s).double(), torch.randn(d).double()
    L = torch.randn(d, d).double().tril(-1) + torch.eye(d).double() * 1.3
    precision = alpha.exp()[:, None, None] * (L @ L.T)
    mixture = D.MixtureSameFamily(D.Categorical(logits=logits), D.MultivariateNormal(mean.expand(s, d), precision_matrix=precision))
    torch.testing.assert_close(gsm_log_prob(x, logits, alpha, mean, L), mixture.log_prob(x))


def test_gsm_of_one_scale_is_a_gaussian_and_many_scales_integrate_to_one():
    x = torch.linspace(-60, 60, 200_001, dtype=torch.float64)[:, None]
    one = gsm_log_prob(x, torch.zeros(1).double(), torch.tensor([-0.6]).double())
    torch.testing.assert_close(one, normal_log_prob(x, 0.0, 0.6)[:, 0])
    many = gsm_log_prob(x, torch.randn(5).double(), torch.linspace(-3, 3, 5).double())
    assert abs(torch.trapezoid(many.exp(), x[:, 0]) - 1) < 1e-6


def test_bits_per_dim():
    uniform = -64 * math.log(17)  # log-probability of an image under the uniform distribution on 17 levels
    torch.testing.assert_close(bits_per_dim(torch.tensor([uniform]), 64), torch.tensor([math.log2(17)]))
    # the uniform density on [0, 1]⁶⁴ is 1, and is the same statement about 17 cells
    torch.testing.assert_close(bits_per_dim(torch.zeros(1), 64, levels=17), torch.tensor([math.log2(17)]))


GRID = torch.linspace(-30, 30, 6001, dtype=torch.float64)
CELL = float(GRID[1] - GRID[0])


def uniform(low, high):
    """log-density on GRID of a uniform density over the cells whose centres lie in [low, high); −∞ elsewhere."""
    inside = (low <= GRID) & (high > GRID)
    return torch.full_like(GRID, -math.log(CELL * int(inside.sum()))).masked_fill(~inside, -math.inf)


def test_grid_kl_equals_the_closed_form_of_gaussians():
    """The sum is exact to rounding: for smooth densities that vanish at the ends, the trapezoidal rule converges faster than any power of the step."""
    mu, logvar, mu_p, logvar_p = torch.tensor([[0.7, -3.0, 0.0], [-1.0, 0.8, 0.0], [0.0, 1.0, 0.0], [0.5, 1.1, 0.0]], dtype=torch.float64)
    log_q, log_p = normal_log_prob(GRID, mu[:, None], logvar[:, None]), normal_log_prob(GRID, mu_p[:, None], logvar_p[:, None])
    torch.testing.assert_close(grid_kl(log_q, log_p, CELL), kl_normal(mu, logvar, mu_p, logvar_p), atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(grid_kl(log_p, log_q, CELL), kl_normal(mu_p, logvar_p, mu, logvar), atol=1e-12, rtol=1e-9)
    assert abs(grid_kl(log_q[0], log_p[0], CELL) - grid_kl(log_p[0], log_q[0], CELL)) > 0.1  # the two directions differ


def test_grid_kl_in_the_plane_adds_over_independent_coordinates():
    from gensr.data.toy2d import grid

    points, area = grid(12.0, 300)
    mu, logvar = torch.tensor([0.3, -0.8], dtype=torch.float64), torch.tensor([-0.5, 0.4], dtype=torch.float64)
    value = grid_kl(normal_log_prob(points, mu, logvar).sum(1), normal_log_prob(points, 0.0, 0.0).sum(1), area)
    torch.testing.assert_close(value, kl_normal(mu, logvar).sum(), atol=1e-10, rtol=1e-8)


def test_grid_divergences_of_uniform_densities():
    """With −∞ outside: half inside the other, disjoint, equal."""
    small, large, far = uniform(0, 1), uniform(0, 2), uniform(5, 6)
    torch.testing.assert_close(grid_kl(small, large, CELL), torch.tensor(math.log(2)).double())
    assert grid_kl(large, small, CELL) == math.inf and grid_kl(small, far, CELL) == math.inf
    torch.testing.assert_close(grid_js(small, far, CELL), torch.tensor(math.log(2)).double())
    # m = ¾ on the half they share and ¼ on the other: ½ log 4/3 + ½ (½ log 2/3 + ½ log 2)
    torch.testing.assert_close(grid_js(small, large, CELL), torch.tensor(0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3) + 0.25 * math.log(2)).double())
    assert grid_kl(small, small, CELL) == 0 and grid_js(small, small, CELL).abs() < 1e-15


def test_grid_js_equals_its_definition_and_is_symmetric():
    p, q = D.Normal(0.3, 0.7), D.Normal(torch.tensor(-1.1).double(), torch.tensor(1.9).double())
    log_p, log_q = p.log_prob(GRID), q.log_prob(GRID)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    torch.testing.assert_close(grid_js(log_p, log_q, CELL), 0.5 * grid_kl(log_p, log_m, CELL) + 0.5 * grid_kl(log_q, log_m, CELL))
    torch.testing.assert_close(grid_js(log_p, log_q, CELL), grid_js(log_q, log_p, CELL))
    assert 0 < grid_js(log_p, log_q, CELL) < math.log(2)


def test_gradients_of_grid_divergences():
    """Autograd through the sum: against the closed form for Gaussians, and finite with a target that is zero in most cells."""
    mu, logvar = torch.tensor(0.7, dtype=torch.float64, requires_grad=True), torch.tensor(-0.4, dtype=torch.float64, requires_grad=True)
    log_p = normal_log_prob(GRID, 0.0, 0.0)
    ours = torch.autograd.grad(grid_kl(normal_log_prob(GRID, mu, logvar), log_p, CELL), (mu, logvar))
    torch.testing.assert_close(ours, torch.autograd.grad(kl_normal(mu, logvar), (mu, logvar)))
    assert torch.autograd.gradcheck(lambda m, v: grid_js(log_p, normal_log_prob(GRID, m, v), CELL), (mu, logvar))
    for divergence in (grid_kl, grid_js):
        for g in torch.autograd.grad(divergence(uniform(0, 1), normal_log_prob(GRID, mu, logvar), CELL), (mu, logvar)):
            assert torch.isfinite(g) and g != 0


@pytest.mark.parametrize("divergence", [grid_kl, grid_js])
def test_grid_divergences_refuse_what_is_no_density(divergence):
    log_p = normal_log_prob(GRID, 0.0, 0.0)
    with pytest.raises(ValueError, match="equal shapes"):
        divergence(log_p, log_p[:-1], CELL)
    with pytest.raises(ValueError, match="cell"):
        divergence(log_p, log_p, 0.0)
    with pytest.raises(ValueError, match="log_p: expected a density, but it sums to 2.72"):
        divergence(log_p + 1, log_p, CELL)
    with pytest.raises(ValueError, match="log_q.*wider"):  # a third of its mass lies beyond the grid
        divergence(log_p, normal_log_prob(GRID, 29.0, 1.6), CELL)
    with pytest.raises(ValueError, match="log_q.*nan"):
        divergence(log_p, log_p * math.nan, CELL)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="levels"):
        discretized_logistic_log_prob(torch.zeros(1), torch.zeros(1), torch.zeros(1), levels=1)
    with pytest.raises(ValueError, match="dims"):
        bits_per_dim(torch.zeros(1), 0)
    with pytest.raises(ValueError, match="logits"):
        gsm_log_prob(torch.zeros(1, 2), torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match="cholesky"):
        gsm_log_prob(torch.zeros(1, 2), torch.zeros(3), torch.zeros(3), cholesky=torch.eye(3))
