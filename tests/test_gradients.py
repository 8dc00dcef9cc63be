"""The gradient estimators against exact gradients, exact variances, and enumeration."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Dirichlet, Gamma, Gumbel, Laplace, Normal

from gensr.gradients import optimal_baseline, pathwise, score_function, value_and_score

MU = torch.tensor(1.5, dtype=torch.float64)
EULER = 0.5772156649015329


def unit_normal(mu):
    return Normal(mu, 1.0)


def square(x):
    return x.square()


def z_score(estimates, exact):
    """How many standard errors the mean lies off, the worst of all parameters."""
    error = (estimates.mean(0) - exact).abs() / (estimates.std(0) / len(estimates) ** 0.5 + 1e-9)  # some estimates do not vary at all
    return error.max().item()


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


# family, θ, f, exact gradient of E[f]
CASES = {
    "Normal mean": (unit_normal, MU, square, 2 * MU),
    "Normal mean and log σ": (lambda t: Normal(t[:, 0], t[:, 1].exp()), f64(0.5, -0.3), square, f64(1.0, 2 * math.exp(-0.6))),
    "Laplace": (lambda t: Laplace(t[:, 0], t[:, 1]), f64(0.5, 0.8), square, f64(1.0, 4 * 0.8)),  # E x² = μ² + 2b²
    "Gumbel": (lambda t: Gumbel(t[:, 0], t[:, 1]), f64(0.5, 0.8), lambda x: x, f64(1.0, EULER)),  # E x = μ + γβ
    "Gamma": (lambda a: Gamma(a, 1.0), f64(2.5)[0], square, f64(6.0)[0]),  # E x² = a² + a
    "Gamma, small shape": (lambda a: Gamma(a, 1.0), f64(0.4)[0], lambda x: x, f64(1.0)[0]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("estimator", [score_function, pathwise])
def test_unbiased_against_the_exact_gradient(estimator, name):
    family, theta, f, exact = CASES[name]
    estimates = estimator(f, family, theta, 200_000)
    assert estimates.shape == (200_000, *theta.shape)
    # 4.5 standard errors: seeds are fixed, and 12 cases of two parameters exceed it by chance once in 6000 runs
    assert z_score(estimates, exact) < 4.5


def test_a_wrong_gradient_would_be_noticed():
    assert z_score(score_function(square, unit_normal, MU, 200_000), 2.9) > 4.5


@pytest.mark.parametrize(
    ("estimates", "variance"),
    [
        (lambda n: score_function(square, unit_normal, MU, n), 51.5625),
        (lambda n: score_function(square, unit_normal, MU, n, baseline=3.25), 28.0),  # μ² + 1 = E f
        (lambda n: score_function(square, unit_normal, MU, n, baseline=5.25), 24.0),  # μ² + 3, the best constant
        (lambda n: score_function(square, unit_normal, MU, n, baseline="leave-one-out"), 28.0),  # → the mean of f
        (lambda n: pathwise(square, unit_normal, MU, n), 4.0),
    ],
    ids=["none", "mean", "optimal", "leave-one-out", "pathwise"],
)
def test_variances_on_the_gaussian(estimates, variance):
    # relative standard error of a variance from 10⁶ draws: sqrt((kurtosis − 1)/n), below 0.7 % for these cubic and quadratic polynomials
    g = estimates(1_000_000)
    assert g.var().item() == pytest.approx(variance, rel=0.03)
    assert z_score(g, 3.0) < 4.5


def test_optimal_baseline():
    assert optimal_baseline(square, unit_normal, MU, 500_000).item() == pytest.approx(5.25, abs=0.06)  # 5 standard errors
    b = optimal_baseline(lambda x: x.square().sum(1), unit_normal, MU.expand(3), 500_000)
    assert b.shape == (3,)
    assert torch.allclose(b, f64(11.75, 11.75, 11.75), atol=0.12)  # μ² + 3 + 2(μ² + 1)


@pytest.mark.parametrize("d", [1, 4, 16])
def test_growth_with_dimension(d):
    """f = Σ x_j²: quadratic without baseline, linear with the optimal constant, constant for the pathwise gradient."""
    theta, k = MU.expand(d), d - 1
    best = 5.25 + 3.25 * k
    variances = {
        51.5625 + 45.125 * k + 10.5625 * k**2: score_function(lambda x: x.square().sum(1), unit_normal, theta, 150_000),
        24 + 11 * k: score_function(lambda x: x.square().sum(1), unit_normal, theta, 150_000, baseline=torch.full((d,), best, dtype=torch.float64)),
        4: pathwise(lambda x: x.square().sum(1), unit_normal, theta, 150_000),
    }
    for exact, g in variances.items():
        assert g.shape == (150_000, d)
        assert g.var(0).mean().item() == pytest.approx(exact, rel=0.05)  # 150 000 draws: relative error ≤ 1.5 %


def test_bernoulli_by_enumeration():
    """Two draws are all there is: the expectation of the estimator, computed exactly, is the exact gradient; so is that of its square."""
    logit = f64(0.7)[0]
    p = logit.sigmoid()
    values = {0.0: 0.2025, 1.0: 0.3025}  # f(x) = (x − 0.45)²
    scores = {0.0: -p, 1.0: 1 - p}
    exact = p * (1 - p) * (values[1.0] - values[0.0])
    for b in (0.0, 0.2, 0.25):
        g = score_function(lambda x: (x - 0.45).square(), lambda t: Bernoulli(logits=t), logit, 400_000, baseline=b)
        outcomes = {x: (values[x] - b) * scores[x] for x in (0.0, 1.0)}
        assert torch.allclose((1 - p) * outcomes[0.0] + p * outcomes[1.0], exact)
        gaps = torch.stack([(g - v).abs() for v in outcomes.values()]).amin(0)
        assert gaps.max() < 1e-9  # every estimate is one of the two
        assert z_score(g, exact) < 4.5


def test_bernoulli_best_baseline_has_no_variance():
    logit, (f0, f1) = f64(0.7)[0], (2.0, 5.0)
    b = f0 * (1 - torch.sigmoid(-logit)) + f1 * torch.sigmoid(-logit)  # then both outcomes give the same estimate
    g = score_function(lambda x: f0 + (f1 - f0) * x, lambda t: Bernoulli(logits=t), logit, 1000, baseline=b)
    assert g.std() < 1e-12
    assert torch.allclose(g.mean(), 3 * logit.sigmoid() * (1 - logit.sigmoid()))
    assert torch.allclose(optimal_baseline(lambda x: f0 + (f1 - f0) * x, lambda t: Bernoulli(logits=t), logit, 400_000), b, atol=0.02)


def test_categorical_against_autograd():
    logits = f64(0.3, -1.0, 0.5, 0.0).requires_grad_()
    values = f64(1.0, -2.0, 0.5, 3.0)
    (exact,) = torch.autograd.grad((logits.softmax(0) * values).sum(), logits)
    for b in (0.0, "leave-one-out"):
        g = score_function(lambda x: values[x], lambda t: Categorical(logits=t), logits, 200_000, baseline=b)
        assert z_score(g, exact) < 4.5


def test_vectors_drawn_at_once():
    """A distribution with an event shape: log p has one value for each draw."""
    a = f64(1.0, 2.0, 3.0)
    exact = f64(5 / 36, -1 / 36, -1 / 36)  # E x₁ = a₁/Σa
    assert z_score(score_function(lambda x: x[:, 0], Dirichlet, a, 200_000), exact) < 4.5
    assert z_score(pathwise(lambda x: x[:, 0], Dirichlet, a, 200_000), exact) < 4.5


def test_leave_one_out_is_unbiased_even_with_two_draws():
    pairs = torch.stack([score_function(square, unit_normal, MU, 2, baseline="leave-one-out").mean() for _ in range(4000)])
    assert z_score(pairs, 3.0) < 4.5


def test_a_mean_over_all_draws_would_be_biased():
    """With the own draw in the mean, two draws find half the gradient: the chapter's mistake, shown here to be one."""
    value, score = value_and_score(lambda x: x[:, 0].square(), unit_normal, MU.expand(1), 20_000)
    value, score = value.view(-1, 2), score.view(-1, 2)
    wrong = ((value - value.mean(1, keepdim=True)) * score).mean(1)
    assert z_score(wrong, 1.5) < 4.5


def test_nothing_leaks_into_theta_or_f():
    theta = MU.clone().requires_grad_()
    scale = f64(2.0)[0].requires_grad_()
    for estimator in (score_function, pathwise):
        g = estimator(lambda x: scale * x.square(), unit_normal, theta, 10)
        assert not g.requires_grad
    assert theta.grad is None
    assert scale.grad is None


def test_a_step_has_a_score_function_gradient():
    """E[x > 0] = Φ(μ), so the gradient is the density at μ; the pathwise way cannot know."""
    exact = math.exp(-(0.5**2) / 2) / math.sqrt(2 * math.pi)
    assert z_score(score_function(lambda x: (x > 0).double(), unit_normal, f64(0.5)[0], 200_000), exact) < 4.5


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: pathwise(square, lambda t: Bernoulli(logits=t), MU, 5), "family: Bernoulli has no rsample"),
        (lambda: pathwise(lambda x: (x > 0).double(), unit_normal, MU, 5), "f: its values carry no gradient"),
        (lambda: pathwise(square, lambda t: Normal(torch.zeros(len(t)), 1.0), MU, 5), "family: the draws of Normal do not depend on theta"),
        (lambda: pathwise(lambda x: x.sum(), unit_normal, MU, 5), r"f: .* shape \(5,\), got \(\)"),
        (lambda: pathwise(square, lambda t: Normal(t.mean(), 1.0), MU, 5), r"family: expected draws of shape \(5, …\)"),
        (lambda: pathwise(square, unit_normal, MU, 0), "n: expected at least 1"),
        (lambda: score_function(square, unit_normal, MU, 0), "n: expected at least 1"),
        (lambda: score_function(square, lambda t: Normal(t.mean(), 1.0), MU, 5), r"family: expected draws of shape \(5, …\)"),
        (lambda: score_function(square, lambda t: Normal(torch.zeros(len(t)), 1.0), MU, 5), "family: log_prob of Normal does not depend on theta"),
        (lambda: score_function(lambda x: x.mean(), unit_normal, MU, 5), r"f: .* shape \(5,\), got \(\)"),
        (lambda: score_function(square, unit_normal, MU, 5, baseline="mean"), "baseline: .*'mean'"),
        (lambda: score_function(square, unit_normal, MU, 1, baseline="leave-one-out"), "with n = 1"),
        (lambda: score_function(square, unit_normal, MU, 5, baseline=torch.zeros(5)), r"baseline: .* got \(5,\)"),
    ],
)
def test_errors_name_the_argument(call, said):
    with pytest.raises(ValueError, match=said):
        call()
