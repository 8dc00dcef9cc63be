"""Amortised MAP: every objective's gradient against autograd through the exact density; noise, penalty, who moves; and that each learns."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gensr.data.toy2d import SwissRoll, line_map
from gensr.models.gan import anneal, least_squares
from gensr.nets import MLP
from gensr.operators import Average, Downsample
from gensr.superres.affine import AffineProjection
from gensr.superres.amortised import AmortisedDAE, AmortisedGAN, Regression, penalty
from gensr.train import cosine, fit, fit_gan

A = Average()


class Exact(nn.Module):
    """A denoiser that knows: the score of a roll of noise s, blurred by sigma, is that of a roll of noise √(s² + sigma²)."""

    def __init__(self, noise=0.5):
        super().__init__()
        self.noise, self.asked = noise, []

    def log_prob(self, x, sigma):
        return SwissRoll(noise=math.hypot(self.noise, sigma)).log_prob(x)

    def score(self, x, sigma):
        self.asked.append(sigma)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.log_prob(x, sigma).sum(), x)[0]


class Pairs:
    """Endless batches of a point x ~ N((1, −1), I) of the plane and its average, or of the Swiss roll's."""

    def __init__(self, roll=None, n=128):
        self.roll, self.n = roll, n

    def __iter__(self):
        while True:
            x = self.roll.sample(self.n) if self.roll else torch.tensor([1.0, -1.0]) + torch.randn(self.n, 2)
            yield x, A(x)


def slopes(loss, model):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.generator.parameters()))])


@pytest.mark.parametrize("affine", [True, False], ids=["Aff", "Soft"])
def test_guidance_with_the_exact_score_has_the_gradient_of_the_cross_entropy(affine):
    generator = MLP(1, 16, 2).double()
    if affine:
        generator = AffineProjection(generator, A)
    y, denoiser, soft = A(SwissRoll().sample(64)).double(), Exact(), 0.0 if affine else 2.5
    model = AmortisedDAE(generator, denoiser, A, soft=soft, sigma=0.4).eval()
    made = generator(y)
    expected = -denoiser.log_prob(made, 0.4).mean() + soft * (made.mean(1) - y[:, 0]).square().mean()
    torch.testing.assert_close(slopes(model.loss(made.detach(), y), model), slopes(expected, model), rtol=1e-9, atol=1e-12)


def test_guidance_walks_uphill():
    generator = AffineProjection(MLP(1, 16, 2), A)
    x = SwissRoll().sample(256)
    y = A(x)
    model = AmortisedDAE(generator, Exact(), A, sigma=0.4)
    before = model.denoiser.log_prob(generator(y), 0.4).mean().item()
    fit(model, [(x, y)], steps=30, lr=1e-2, progress=False)
    assert model.denoiser.log_prob(generator(y), 0.4).mean().item() > before + 0.5


def test_the_denoiser_stays_as_it_is_and_gets_no_gradient():
    class Learnt(nn.Linear):
        def score(self, x, sigma):
            return self(x)

    model = AmortisedDAE(MLP(1, 8, 2), Learnt(2, 2), A)
    before = model.denoiser.weight.clone()
    fit(model, Pairs(), steps=3, lr=0.1, progress=False)
    assert model.denoiser.weight.grad is None and torch.equal(model.denoiser.weight, before)


class Slope(nn.Module):
    """A critic whose logit is a plane: its gradient is the same everywhere."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([2.0, -3.0], dtype=torch.float64))

    def forward(self, x):
        return x @ self.slope


def test_the_generator_makes_minus_the_logit_small():
    """Its gradient in x̂ is −∇logit/b, whatever the noise: here −(2, −3)/b, plus that of the penalty."""
    generator, y = MLP(1, 8, 2).double(), torch.randn(32, 1, dtype=torch.float64)
    for soft in (0.0, 4.0):
        model = AmortisedGAN(generator, Slope(), A, soft=soft, sigma=0.7).eval()
        made = generator(y)
        expected = -(made @ model.critic.slope.detach()).mean() + soft * (made.mean(1) - y[:, 0]).square().mean()
        torch.testing.assert_close(slopes(model.generator_loss(made.detach(), y), model), slopes(expected, model))


class LogRatio(nn.Module):
    """The best critic of p = N(0, I) and q, the law of (y + c, y − c) with y ~ N(0, s²), both blurred by sigma: two Gaussians' log-ratio."""

    def __init__(self, c, s, sigma):
        super().__init__()
        unit = torch.tensor([1.0, 1.0], dtype=torch.float64)
        noise = sigma**2 * torch.eye(2, dtype=torch.float64)
        self.p = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64) + noise)
        self.q = torch.distributions.MultivariateNormal(c * torch.tensor([1.0, -1.0], dtype=torch.float64), s**2 * torch.outer(unit, unit) + noise)

    def forward(self, x):
        return self.p.log_prob(x) - self.q.log_prob(x)


def test_the_generators_gradient_is_that_of_kl_q_p():
    """q moves with c: with the best critic of this c, held fixed, d/dc of the loss is d/dc KL[q_σ ‖ p_σ] = d/dc of c²·|(1, −1)|²/(2(1 + σ²))."""

    class Shift(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.c = nn.Parameter(torch.tensor(c, dtype=torch.float64))

        def forward(self, y):
            return y + self.c * torch.tensor([1.0, -1.0], dtype=torch.float64)

    c, s, sigma = 0.8, 1.0, 0.5
    model = AmortisedGAN(Shift(c), LogRatio(c, s, sigma), A, sigma=sigma).eval()
    y = s * torch.randn(400_000, 1, dtype=torch.float64)
    (slope,) = torch.autograd.grad(model.generator_loss(y.repeat(1, 2), y), [model.generator.c])
    assert slope.item() == pytest.approx(2 * c / (1 + sigma**2), abs=0.02)  # of 1.28; a Monte Carlo error of 0.005
    moved = Shift(c)
    exact = torch.distributions.kl_divergence(
        torch.distributions.MultivariateNormal(moved(torch.zeros(1, 1, dtype=torch.float64))[0], model.critic.q.covariance_matrix), model.critic.p
    )
    assert torch.autograd.grad(exact, moved.c)[0].item() == pytest.approx(2 * c / (1 + sigma**2))


def whitened(n, k):
    """n draws with mean 0 and covariance I to rounding: means of polynomials of degree ≤ 2 over them are those under N(0, I)."""
    z = torch.randn(n, k, dtype=torch.float64)
    z = z - z.mean(0)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(z.T @ z / n), z.T, upper=False).T


def test_the_generators_gradient_is_that_of_kl_q_p_for_every_gaussian_q():
    """q = N(m, L Lᵀ) is the law of m + L z. Mean *and* spread have the gradient of KL[q ‖ p], the entropy's part −∂ log det L included; sign and all.

    The best critic's logit log p − log q is quadratic, and the noise has exact moments, so the two agree to rounding.
    """

    class Affine(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = nn.Parameter(torch.tensor([0.7, -1.1], dtype=torch.float64))
            self.L = nn.Parameter(torch.tensor([[0.5, 0.0], [0.3, 1.4]], dtype=torch.float64))

        def forward(self, z):
            return self.m + z @ self.L.T

    generator = Affine()
    normal = torch.distributions.MultivariateNormal
    p = normal(torch.tensor([0.2, 0.4], dtype=torch.float64), torch.tensor([[1.3, -0.4], [-0.4, 0.8]], dtype=torch.float64))
    q = normal(generator.m.detach(), generator.L.detach() @ generator.L.detach().T)  # of these weights, held fixed

    class Best(nn.Module):
        def forward(self, x):
            return p.log_prob(x) - q.log_prob(x)

    model, z = AmortisedGAN(generator, Best(), A).eval(), whitened(64, 2)
    found = slopes(model.generator_loss(z, z), model)
    exact = slopes(torch.distributions.kl_divergence(normal(generator.m, generator.L @ generator.L.T), p), model)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-10)
    assert exact.abs().min() > 0.05  # no entry is right by being 0
    assert model.generator_loss(z, z).item() == pytest.approx(torch.distributions.kl_divergence(q, p).item())  # the value too, as −E_q[log p/q]


class Spy(nn.Module):
    """Keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach())
        return self.weight * x.sum(1)


@pytest.mark.parametrize("player", ["critic_loss", "generator_loss"])
def test_data_and_answers_are_noisy_in_both_steps(player):
    model = AmortisedGAN(AffineProjection(MLP(1, 4, 2), A), Spy(), A, sigma=0.4)
    x = torch.full((40_000, 2), -5.0)
    getattr(model, player)(x, torch.full((40_000, 1), 3.0))
    assert sorted(round(v.mean().item()) for v in model.critic.seen) == [-5, 3]
    for v in model.critic.seen:
        assert v.var(0).mean().item() == pytest.approx(0.16, rel=0.05)


def test_noise_is_annealed_by_the_generators_steps():
    seen = []
    model = AmortisedGAN(MLP(1, 4, 2), MLP(2, 4, 1), A, sigma=lambda step: seen.append(step) or 0.1)
    fit_gan(model, Pairs(), steps=3, lr=1e-3, critic_steps=2, progress=False)
    assert seen == [0] * 6 + [1] * 6 + [2] * 6
    denoiser = Exact()
    guided = AmortisedDAE(AffineProjection(MLP(1, 4, 2), A), denoiser, A, sigma=anneal(2.0, 4, 1.0))
    fit(guided, Pairs(), steps=6, lr=1e-3, progress=False)
    assert denoiser.asked == [2.0, 1.75, 1.5, 1.25, 1.0, 1.0]
    for m in (model, guided):
        steps = int(m.step)
        getattr(m, "generator_loss" if m is model else "loss")(*next(iter(Pairs())))
        assert int(m.step) == steps  # after training, looking at a loss counts nothing


def test_each_loss_moves_its_own_player_only():
    model, batch = AmortisedGAN(MLP(1, 8, 2), MLP(2, 8, 1), A, soft=1.0, sigma=0.1), next(iter(Pairs()))
    model.critic_loss(*batch).backward()
    assert all(p.grad is None for p in model.generator.parameters()) and all(p.grad is not None for p in model.critic.parameters())
    model.zero_grad()
    model.generator_loss(*batch).backward()
    assert all(p.grad is None for p in model.critic.parameters()) and all(p.grad is not None for p in model.generator.parameters())
    assert all(p.requires_grad for p in model.critic.parameters())


def test_another_game_may_be_played():
    model, (x, y) = AmortisedGAN(MLP(1, 8, 2), MLP(2, 8, 1), A, losses=least_squares), next(iter(Pairs()))
    expected = least_squares(model.critic(x), model.critic(model.generator(y)))
    torch.testing.assert_close(model.critic_loss(x, y), expected.critic)
    torch.testing.assert_close(model.generator_loss(x, y), expected.generator)


def test_penalty_of_points_and_images():
    assert penalty(A, torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.tensor([[2.0], [3.0]])).item() == 4.5  # (0 + 9)/2
    x, y = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 4)
    assert penalty(Downsample(2), x, y).item() == pytest.approx((Downsample(2)(x) - y).square().sum().item() / 2, rel=1e-5)


# ---- learning ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance, expected", [(F.mse_loss, 0.5), (F.l1_loss, 0.0)], ids=["MSE", "MAE"])
@pytest.mark.parametrize("affine", [True, False], ids=["Aff", "plain"])
def test_regression_finds_the_mean_and_the_median(distance, expected, affine):
    """x = (y + v, y − v), v = 0 with probability 3/4 and 2 otherwise: mean of v 0.5, median 0."""

    class Skewed:
        def __iter__(self):
            while True:
                y, v = torch.randn(256, 1), 2.0 * (torch.rand(256, 1) < 0.25)
                yield torch.cat([y + v, y - v], 1), y

    net = nn.Linear(1, 2)
    model = Regression(AffineProjection(net, A) if affine else net, distance)
    average = fit(model, Skewed(), steps=800, lr=cosine(0.02, 800), average=0.98, progress=False).average
    y = torch.tensor([[-1.0], [1.0]])
    v = expected * torch.tensor([[1.0, -1.0]])
    torch.testing.assert_close(average.generator(y), y + v, atol=0.08, rtol=0)


def test_the_gan_finds_a_gaussian():
    """x ~ N((1, −1), I): the likeliest x for each y is (y + 1, y − 1), and the affine answer y + c (1, −1) with the least KL[q ‖ p] has c = 1."""
    generator = AffineProjection(nn.Linear(1, 2), A)
    model = AmortisedGAN(generator, MLP(2, 32, 1), A, sigma=anneal(2.0, 800, 1.0))
    average = fit_gan(model, Pairs(), steps=1000, lr=cosine(5e-3, 1000), average=0.98, progress=False).average
    made = average.generator(torch.zeros(1, 1))
    torch.testing.assert_close(made, torch.tensor([[1.0, -1.0]]), atol=0.2, rtol=0)


def test_guided_by_the_exact_score_it_comes_near_the_map_and_not_above():
    roll, y = SwissRoll(), A(SwissRoll().sample(200))
    model = AmortisedDAE(AffineProjection(MLP(1, 64, 64, 2), A), Exact(roll.noise), A, sigma=anneal(2.0, 240, 0.2))
    average = fit(model, Pairs(roll, 64), steps=300, lr=cosine(5e-3, 300), average=0.98, progress=False).average
    reached = -roll.log_prob(average.generator(y)).mean().item()
    best = -roll.log_prob(line_map(roll, y[:, 0].double())).mean().item()
    assert best - 1e-6 < reached < best + 1.5  # 9 for the mean


def test_bad_arguments():
    for message, keywords in (("soft: expected at least 0, got -1", {"soft": -1}), ("sigma: expected at least 0, got -0.1", {"sigma": -0.1})):
        with pytest.raises(ValueError, match=message):
            AmortisedGAN(MLP(1, 2), MLP(2, 1), A, **keywords)
        with pytest.raises(ValueError, match=message):
            AmortisedDAE(MLP(1, 2), MLP(2, 2), A, **keywords)


def test_numbers_that_are_none_and_measurements_of_another_shape_are_refused():
    """y (b,) against A x (b, 1) would be every answer against every measurement."""
    for y in (torch.rand(4), torch.rand(1, 1)):
        with pytest.raises(ValueError, match=r"y: expected the shape \(4, 1\) of A x"):
            penalty(Average(), torch.rand(4, 2), y)
    nan = float("nan")
    for name in ("soft", "sigma"):
        with pytest.raises(ValueError, match=f"{name}: expected at least 0, got nan"):
            AmortisedGAN(MLP(1, 2), MLP(2, 1), Average(), **{name: nan})
