"""The VAE: bounds in the right order, exact where a closed form exists, gradients that reach the encoder."""

import math

import pytest
import torch
from torch import distributions as D
from torch import nn

from gensr.data.digits import dequantised, digits
from gensr.densities import kl_normal, normal_log_prob
from gensr.likelihoods import Bernoulli, DiscretizedLogistic, Gaussian
from gensr.models.vae import VAE, Elbo, LinearVAE
from gensr.train import cosine, fit

GOLDEN = {8: 13.8873, 2: -0.1738}  # sklearn's PCA(q).fit(X).score(X) on the dequantised digits


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def batches():
    return torch.utils.data.DataLoader(digits().train, batch_size=100, shuffle=True)


def linear_as_vae(model: LinearVAE) -> VAE:
    """The same linear model, through the general code: an independent route to its bound."""
    d, k = model.W.shape

    class Encoder(nn.Module):
        def forward(self, x):
            mu = (x.flatten(1) - model.mean) @ model.V.T
            return torch.cat([mu, model.log_s2.expand_as(mu)], 1)

    class Decoder(nn.Module):
        def forward(self, z):
            return (z @ model.W.T + model.mean).view(-1, 1, 1, d)

    gaussian = Gaussian(math.exp(0.5 * model.log_sigma2.item()), learn=False)
    return VAE((1, 1, d), k, likelihood=gaussian, encoder=Encoder(), decoder=Decoder())


def test_elbo_terms():
    e = Elbo(torch.tensor([3.0]), torch.tensor([1.0]))
    assert e.total == 2


def test_elbo_equals_torch_distributions():
    model, x = VAE(latent=3, hidden=16, likelihood=Gaussian(0.3)), torch.rand(5, 1, 8, 8)
    torch.manual_seed(3)
    e = model.elbo(x)
    torch.manual_seed(3)
    mu, logvar = model.encode(x)
    q = D.Normal(mu, (0.5 * logvar).exp())
    z = mu + q.stddev * torch.randn(5, 3)
    torch.testing.assert_close(e.reconstruction, D.Normal(model.decoder(z), 0.3).log_prob(x).sum((1, 2, 3)))
    torch.testing.assert_close(e.kl, D.kl_divergence(q, D.Normal(0.0, 1.0)).sum(1))
    torch.manual_seed(3)
    torch.testing.assert_close(model.loss(x), -e.total.mean())


def test_beta_weighs_the_kl_only():
    x = torch.rand(5, 1, 8, 8)
    model = VAE(latent=3, hidden=16, beta=4.0)
    torch.manual_seed(1)
    loss = model.loss(x)
    torch.manual_seed(1)
    e = model.elbo(x)
    torch.testing.assert_close(loss, (4 * e.kl - e.reconstruction).mean())


def test_bounds_in_order_in_the_linear_case():
    """ELBO ≤ IW(5) ≤ IW(50) ≤ exact log-likelihood, in expectation, for a model that is not at its optimum."""
    linear = LinearVAE(6, 2)
    with torch.no_grad():
        linear.W.mul_(8)
        linear.log_s2.fill_(-1.0)
    x = linear.sample(400)[:, None, None]
    vae = linear_as_vae(linear)
    with torch.no_grad():
        elbo, exact = linear.elbo(x).total, linear.log_prob(x)
        assert (elbo <= exact + 1e-5).all()  # exact bound: holds image by image
        sampled = torch.stack([vae.elbo(x).total for _ in range(300)]).mean(0)
        iw = [torch.stack([vae.iw_bound(x, k) for _ in range(40)]).mean() for k in (1, 5, 50)]
    # Means over 400 images × 40 or 300 draws: their standard errors are below 0.02 here, the gaps are above 0.1.
    assert abs(sampled.mean() - elbo.mean()) < 0.05
    assert abs(iw[0] - elbo.mean()) < 0.1
    assert iw[0] + 0.05 < iw[1] < iw[2] <= exact.mean() + 0.02


def test_iw_bound_converges_to_the_exact_likelihood():
    linear = LinearVAE(6, 2)
    x = linear.sample(50)[:, None, None]
    vae = linear_as_vae(linear)
    with torch.no_grad():
        assert (vae.iw_bound(x, 3000) - linear.log_prob(x)).abs().mean() < 0.05


def test_linear_log_prob_equals_quadrature():
    """With one latent, p(x) is a one-dimensional integral."""
    m = LinearVAE(3, 1).double()
    x, z = m.sample(4), torch.linspace(-9, 9, 4001, dtype=torch.float64)
    with torch.no_grad():
        mean = m.mean + z[:, None] * m.W.T  # (4001, 3)
        joint = normal_log_prob(x[:, None], mean, m.log_sigma2).sum(-1) + normal_log_prob(z, 0.0, 0.0)
        torch.testing.assert_close(torch.trapezoid(joint.exp(), z, dim=1).log(), m.log_prob(x))


@pytest.mark.parametrize("q", [2, 8])
def test_closed_form_is_probabilistic_pca_and_tight(q):
    x = dequantised()
    m = LinearVAE.optimum(x, q)
    with torch.no_grad():
        # scikit-learn divides by n − 1 where maximum likelihood divides by n: a difference of order 1e-5 here
        assert abs(m.log_prob(x).mean() - GOLDEN[q]) < 1e-3
        torch.testing.assert_close(m.elbo(x).total, m.log_prob(x), atol=1e-9, rtol=0)
    for g in torch.autograd.grad(m.loss(x), list(m.parameters())):
        assert g.abs().max() < 1e-6  # a stationary point


@pytest.mark.parametrize("q", [2, 8])
def test_training_reaches_the_optimum(q):
    x = dequantised().float()
    m = LinearVAE(64, q)
    fit(m, [x], steps=500, lr=cosine(0.03, 500), progress=False)
    with torch.no_grad():
        elbo, exact = m.elbo(x).total, m.log_prob(x)
    assert abs(elbo.mean() - GOLDEN[q]) < 0.02 and abs(exact.mean() - GOLDEN[q]) < 0.02
    assert (elbo <= exact + 1e-3).all()


def test_learns_digits(batches):
    """In 300 steps the ELBO on test images passes independent histograms (−107.6 nats), and the importance-weighted bound is above it."""
    model = VAE(latent=8, hidden=128, likelihood=DiscretizedLogistic())
    test = digits().test
    with torch.no_grad():
        before = model.elbo(test).total.mean()
    fit(model, batches, steps=300, lr=cosine(5e-3, 300), progress=False)
    with torch.no_grad():
        elbo = torch.stack([model.elbo(test).total for _ in range(10)]).mean()
        iw = model.iw_bound(test, 50).mean()
    assert before < -150 and -102 < elbo < -80
    assert elbo + 0.3 < iw < elbo + 5


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.2), DiscretizedLogistic(17)])
def test_gradients_reach_every_parameter(likelihood):
    model = VAE(latent=3, hidden=16, likelihood=likelihood)
    x = digits().train[:20]
    model.loss(x).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().max() > 0, name


def test_reparameterised_gradient_equals_the_exact_one():
    """In the linear case the bound is known exactly, so the mean of sampled gradients must equal its gradient."""
    linear = LinearVAE(5, 2).double()
    x = torch.randn(30, 1, 1, 5, dtype=torch.float64)
    (exact,) = torch.autograd.grad(linear.loss(x), linear.V)
    vae = linear_as_vae(linear).double()
    sampled = torch.stack([torch.autograd.grad(vae.loss(x), linear.V)[0] for _ in range(1200)])
    error = (sampled.mean(0) - exact).abs() / (sampled.std(0) / math.sqrt(1200))
    assert error.max() < 5  # standard errors


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.2), DiscretizedLogistic(17)])
def test_samples(likelihood):
    model = VAE(latent=3, hidden=16, likelihood=likelihood)
    x = model.sample(7)
    assert x.shape == (7, 1, 8, 8) and not x.requires_grad
    assert model.decode(torch.randn(7, 3)).shape == (7, 1, 8, 8)
    if not isinstance(likelihood, Gaussian):
        levels = 1 if isinstance(likelihood, Bernoulli) else 16
        assert torch.equal(x * levels, (x * levels).round()) and x.min() >= 0 and x.max() <= 1


def test_samples_follow_the_density():
    """Frequencies of sampled grey levels equal the probabilities that log_prob gives."""
    likelihood = DiscretizedLogistic(5, (1,))
    out = torch.tensor([0.3])
    draws = likelihood.sample(out.expand(40_000, 1))
    levels = torch.arange(5)[:, None] / 4
    frequency = (draws == levels.T).float().mean(0)
    with torch.no_grad():
        probability = likelihood.log_prob(levels, out).exp()[:, 0]
    assert (frequency - probability).abs().max() < 0.0125  # 5 standard errors of a frequency over 40,000 draws


def test_linear_samples_have_the_model_covariance():
    m = LinearVAE.optimum(torch.randn(500, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64), 2)
    x = m.sample(200_000)
    cov = m.W @ m.W.T + m.log_sigma2.exp() * torch.eye(4)
    assert ((x.T.cov() - cov).abs().max() / cov.abs().max()) < 0.02


def test_too_much_beta_collapses_the_posterior(batches):
    model = VAE(latent=4, hidden=64, likelihood=DiscretizedLogistic(), beta=64.0)
    fit(model, batches, steps=150, lr=cosine(5e-3, 150), progress=False)
    with torch.no_grad():
        mu, logvar = model.encode(digits().test)
    assert kl_normal(mu, logvar).sum(1).mean() < 0.05
    assert not model.active_units(digits().test).any()


def test_active_units_are_those_whose_mean_moves():
    """An encoder written by hand: mu is (a pixel, a tenth of it, a constant, a twentieth of it); the variances are 1, 0.01, 0 and 0.0025 times the pixel's."""

    class Encoder(nn.Module):
        def forward(self, x):
            p = x.flatten(1)[:, :1]
            mu = torch.cat([p, 0.1 * p, torch.full_like(p, 3.0), 0.05 * p], 1)
            return torch.cat([mu, torch.randn_like(mu)], 1)  # variances of q do not matter

    model, x = VAE((1, 1, 1), 4, hidden=4, encoder=Encoder()), torch.randn(50, 1, 1, 1)
    x = 1.1 * (x - x.mean()) / x.std()  # variance 1.21
    assert model.active_units(x).tolist() == [True, True, False, False]
    assert model.active_units(x, threshold=0.002).tolist() == [True, True, False, True]


def test_iw_gradient_weighs_the_draws():
    """For a latent that reaches the decoder, ∇ log (1/K) Σ w_k = Σ w̃_k ∇ log w_k with w̃ the weights divided by their sum."""
    model, x = VAE(latent=2, hidden=16, likelihood=Gaussian(0.3)).double(), torch.rand(3, 1, 8, 8, dtype=torch.float64)
    bias = model.decoder[0][-1].bias
    torch.manual_seed(5)
    (found,) = torch.autograd.grad(model.iw_bound(x, 4).sum(), bias)
    torch.manual_seed(5)
    log_w, gradients = [], []
    for _ in range(4):  # the draws come in the same order
        single = model.iw_bound(x, 1)
        log_w.append(single.detach())
        gradients.append(torch.stack([torch.autograd.grad(v, bias, retain_graph=True)[0] for v in single]))
    share = torch.stack(log_w).softmax(0)  # (4, b)
    torch.testing.assert_close(found, (share[..., None] * torch.stack(gradients)).sum((0, 1)))


def test_training_on_the_iw_bound():
    """A few steps up the bound with K = 5 raise it."""

    class IWAE(VAE):
        def loss(self, x):
            return -self.iw_bound(x, 5).mean()

    model, x = IWAE(latent=4, hidden=32, likelihood=DiscretizedLogistic()), digits().train
    with torch.no_grad():
        before = model.iw_bound(x[:200], 5).mean()
    fit(model, x.split(200), steps=60, lr=3e-3, progress=False)
    with torch.no_grad():
        assert model.iw_bound(x[:200], 5).mean() > before + 20


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="latent"):
        VAE(latent=0)
    with pytest.raises(ValueError, match="beta"):
        VAE(beta=-1.0)
    with pytest.raises(ValueError, match="samples"):
        VAE(hidden=8).iw_bound(torch.zeros(1, 1, 8, 8), 0)
    with pytest.raises(ValueError, match="x: expected at least 2"):
        VAE(hidden=8).active_units(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="sigma"):
        Gaussian(0.0)
    with pytest.raises(ValueError, match="latent"):
        LinearVAE(4, 4)
