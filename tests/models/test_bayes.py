"""Bayesian nets against conjugate posteriors, Monte Carlo, and the exact sum over minibatches."""

import itertools
import math

import pytest
import torch
from torch import distributions as D

from gensr.models.bayes import BayesianLinear, BayesianMLP, FullCovarianceLinear, Gaussian, HintonVanCamp, ScaleMixture, categorical, gaussian
from gensr.train import cosine, fit


def test_gaussian_prior_kl_is_that_of_torch():
    mu, sigma = torch.randn(3, 4), torch.rand(3, 4) + 0.1
    expected = D.kl_divergence(D.Normal(mu, sigma), D.Normal(0.0, 0.7)).sum()
    torch.testing.assert_close(Gaussian(0.7).kl(mu, sigma), expected)


def test_scale_mixture_is_that_of_torch_and_its_kl_unbiased():
    prior = ScaleMixture(0.3, 1.0, 0.1)
    reference = D.MixtureSameFamily(D.Categorical(torch.tensor([0.3, 0.7])), D.Normal(torch.zeros(2), torch.tensor([1.0, 0.1])))
    w = torch.randn(100)
    torch.testing.assert_close(prior.log_prob(w), reference.log_prob(w), rtol=1e-4, atol=1e-5)
    mu, sigma = torch.tensor(0.2).double(), torch.tensor(0.3).double()
    grid = torch.linspace(-4, 4, 200_001).double()
    q = D.Normal(mu, sigma)
    exact = torch.trapezoid(q.log_prob(grid).exp() * (q.log_prob(grid) - prior.log_prob(grid)), grid)
    draws = torch.stack([prior.kl(mu.expand(1000), sigma.expand(1000)) / 1000 for _ in range(50)])
    assert abs(draws.mean() - exact) < 4 * draws.std() / math.sqrt(50)


def test_local_reparameterisation_has_the_same_law_for_each_datum():
    layer = BayesianLinear(3, 2, sigma=0.5)
    x = torch.randn(1, 3).expand(100_000, 3)
    layer.local = True
    local = layer(x)
    layer.local = False
    weights = torch.stack([layer(x[:1])[0] for _ in range(20_000)])
    for a, b in ((local.mean(0), weights.mean(0)), (local.std(0), weights.std(0))):
        torch.testing.assert_close(a, b, atol=0.03, rtol=0)  # std about 1, so the standard error of 20,000 draws is 0.007
    cov = torch.cov(local.T)
    torch.testing.assert_close(cov, torch.diag(cov.diagonal()), atol=0.03, rtol=0)  # different outputs read different weights


def orthogonal_problem(n=64, noise=0.3):
    """A linear regression whose posterior is known: precision I + ΦᵀΦ/σ², with the bias among the features."""
    phi = torch.randn(n, 3)
    phi = torch.linalg.qr(torch.cat([torch.ones(n, 1), phi], 1)).Q[:, 1:] * math.sqrt(n)  # columns orthogonal to each other and to the bias
    y = phi @ torch.tensor([[1.0], [-0.5], [0.2]]) + 0.4 + noise * torch.randn(n, 1)
    features = torch.cat([phi, torch.ones(n, 1)], 1)
    precision = torch.eye(4) + features.T @ features / noise**2
    mean = torch.linalg.solve(precision, features.T @ y / noise**2)[:, 0]
    return phi, y, mean, precision


def test_conjugate_posterior_with_orthogonal_features():
    phi, y, mean, precision = orthogonal_problem()
    model = BayesianMLP(3, 1, data=len(phi), log_likelihood=gaussian(0.3), local=True)
    fit(model, [(phi, y)], steps=3000, lr=cosine(0.03, 3000), progress=False)
    layer = model.layers[0]
    torch.testing.assert_close(layer.mu.detach()[0], mean, atol=1e-2, rtol=0)
    torch.testing.assert_close(layer.sigma.detach()[0].square() * precision.diagonal(), torch.ones(4), atol=0.05, rtol=0)


def test_mean_field_shrinks_to_the_inverse_of_the_diagonal():
    """With correlated features the posterior covariance Λ⁻¹ has a diagonal above 1/diag(Λ); the best diagonal q takes the latter (Bishop 2006, §10.1.2)."""
    torch.manual_seed(1)
    phi = torch.randn(64, 1).expand(64, 2) + 0.5 * torch.randn(64, 2)
    y = phi.sum(1, keepdim=True) + 0.5 * torch.randn(64, 1)
    model = BayesianMLP(2, 1, data=64, log_likelihood=gaussian(0.5), local=True)
    many = (phi.repeat(30, 1), y.repeat(30, 1))  # thirty draws for each datum, so that what is left of the noise is small
    fit(model, [many], steps=1500, lr=cosine(0.03, 1500), progress=False)
    features = torch.cat([phi, torch.ones(64, 1)], 1)
    precision = torch.eye(3) + features.T @ features / 0.25
    variance, exact = model.layers[0].sigma.detach()[0].square(), torch.linalg.inv(precision).diagonal()
    torch.testing.assert_close(variance * precision.diagonal(), torch.ones(3), atol=0.05, rtol=0)
    assert (variance[:2] < 0.5 * exact[:2]).all()


@pytest.mark.parametrize("local", [False, True])
def test_full_covariance_is_that_of_torch(local):
    """Draws of an output against μ and L Lᵀ, and the KL against torch's."""
    layer = FullCovarianceLinear(2, 2, prior=0.7, local=local).double()
    with torch.no_grad():
        layer.below.normal_(0, 0.3)
        layer.rho.normal_()
    covariance = (layer.factor @ layer.factor.T).detach()
    q = D.MultivariateNormal(layer.mu.detach().flatten(), covariance)
    prior = D.MultivariateNormal(torch.zeros(6).double(), 0.49 * torch.eye(6).double())
    torch.testing.assert_close(layer.kl().detach(), D.kl_divergence(q, prior))
    x = torch.tensor([[0.5, -1.0]]).double()
    with torch.no_grad():
        out = layer(x.expand(100_000, 2)) if local else torch.cat([layer(x) for _ in range(20_000)])
    reads = torch.block_diag(torch.tensor([[0.5, -1.0, 1.0]]), torch.tensor([[0.5, -1.0, 1.0]])).double()  # (2, 6): out = reads · w
    torch.testing.assert_close(torch.cov(out.T), reads @ covariance @ reads.T, rtol=0.05, atol=0.05)
    torch.testing.assert_close(out.mean(0), reads @ q.mean, atol=0.05, rtol=0)


def test_full_covariance_reaches_a_correlated_posterior():
    """The posterior of correlated features, mean to 1e-2 and covariance to 5 % of its norm, where mean field shrinks."""
    torch.manual_seed(1)
    phi = torch.randn(64, 1).expand(64, 2) + 0.5 * torch.randn(64, 2)
    y = phi.sum(1, keepdim=True) + 0.5 * torch.randn(64, 1)
    model = BayesianMLP(2, 1, data=64, log_likelihood=gaussian(0.5))
    model.layers[0] = FullCovarianceLinear(2, 1, local=True)
    fit(model, [(phi.repeat(30, 1), y.repeat(30, 1))], steps=800, lr=cosine(0.05, 800), progress=False)
    features = torch.cat([phi, torch.ones(64, 1)], 1)
    precision = torch.eye(3) + features.T @ features / 0.25
    mean, exact = torch.linalg.solve(precision, features.T @ y / 0.25)[:, 0], torch.linalg.inv(precision)
    layer = model.layers[0]
    torch.testing.assert_close(layer.mu.detach()[0], mean, atol=1e-2, rtol=0)
    assert (layer.factor @ layer.factor.T - exact).norm() < 0.05 * exact.norm()


def test_minibatch_gradient_is_unbiased():
    """Over all batches of 2 of 6 data the gradients average to that of the whole set: with the weight N/B on the data and 1 on the KL, and no other."""
    x, y = torch.randn(6, 2).double(), torch.randint(3, (6,))
    model = BayesianMLP(2, 3, data=6, log_likelihood=categorical).double()

    def gradient(rows):
        torch.manual_seed(0)  # the same draw of the weights for every batch
        model.zero_grad()
        model.loss(x[rows], y[rows]).backward()
        return model.layers[0].mu.grad.clone()

    batches = [gradient(list(rows)) for rows in itertools.combinations(range(6), 2)]
    torch.testing.assert_close(torch.stack(batches).mean(0), gradient(list(range(6))))


def test_minibatch_gradient_z_test():
    """The same with fresh draws of weights and batches, 2,000 of them: no component of the mean is further than 4.5 standard errors from the full gradient."""
    x, y = torch.randn(40, 3), torch.randn(40, 1)
    model = HintonVanCamp(3, 5, data=40, noise=0.5)
    full = torch.autograd.grad(model.loss(x, y), list(model.parameters()))
    flat = torch.cat([g.flatten() for g in full])
    batches = []
    for _ in range(2000):
        rows = torch.randperm(40)[:4]
        batches.append(torch.cat([g.flatten() for g in torch.autograd.grad(model.loss(x[rows], y[rows]), list(model.parameters()))]))
    g = torch.stack(batches)
    moving = g.std(0) > 1e-9
    z = (g.mean(0) - flat)[moving] / (g.std(0)[moving] / math.sqrt(2000))
    assert moving.sum() > 20
    assert z.abs().max() < 4.5


def test_hinton_van_camp_moments_equal_monte_carlo():
    model = HintonVanCamp(3, 7, 2, data=10, sigma=0.4).double()
    x = torch.randn(5, 3).double()
    mean, variance = model.moments(x)
    with torch.no_grad():
        ones = torch.ones(5, 1).double()
        w1 = model.first.mu + model.first.sigma * torch.randn(100_000, *model.first.mu.shape).double()
        w2 = model.second.mu + model.second.sigma * torch.randn(100_000, *model.second.mu.shape).double()
        h = torch.einsum("bn,smn->sbm", torch.cat([x, ones], 1), w1).relu()
        out = torch.einsum("sbh,smh->sbm", torch.cat([h, ones.expand(100_000, 5, 1)], 2), w2)
    torch.testing.assert_close(out.mean(0), mean.detach(), atol=0.02, rtol=0)
    torch.testing.assert_close(out.var(0), variance.detach(), atol=0, rtol=0.03)
    y = torch.randn(5, 2).double()
    sampled = D.Normal(out, model.noise).log_prob(y).sum(2).mean(0)
    torch.testing.assert_close(model.elbo(x, y).reconstruction, 2 * sampled.sum(), rtol=0.02, atol=0)  # N/B = 2


def test_predict_averages_over_weights():
    model = BayesianMLP(2, 8, 3, data=10, log_likelihood=categorical, sigma=0.5)
    out = model.predict(torch.randn(4, 2), 50)
    assert out.shape == (50, 4, 3)
    assert out.std(0).min() > 0.05


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Gaussian(0), "sigma"), (lambda: ScaleMixture(1.5), "pi"), (lambda: ScaleMixture(0.5, -1), "sigma1"),
        (lambda: BayesianLinear(2, 2, sigma=0), "sigma"), (lambda: FullCovarianceLinear(2, 2, prior=0.0), "prior"),
        (lambda: BayesianMLP(2, data=1, log_likelihood=categorical), "sizes"),
        (lambda: BayesianMLP(2, 2, data=0, log_likelihood=categorical), "data"), (lambda: gaussian(-1), "sigma"),
        (lambda: HintonVanCamp(1, 2, data=0), "data"), (lambda: HintonVanCamp(1, 2, data=1, noise=0), "noise"),
        (lambda: BayesianMLP(2, 2, data=1, log_likelihood=categorical).predict(torch.zeros(1, 2), 0), "samples"),
    ],
)
def test_bad_arguments(make, word):
    with pytest.raises(ValueError, match=word):
        make()
