"""The denoising autoencoder: its score against densities whose score is known, in closed form and by learning."""

import math

import pytest
import torch
from torch import nn

from gensr.models.denoiser import DAE
from gensr.nets import MLP
from gensr.train import cosine, fit

MEAN, STD = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 1.5])  # of a Gaussian with independent entries


class Gaussian:
    """Endless batches."""

    def __iter__(self):
        while True:
            yield (MEAN + STD * torch.randn(512, 2),)


def best_for_gaussian(sigma):
    """The network whose f is E[x|x̃] = (s²x̃ + σ²μ)/(s² + σ²): f(x) − x = σ²(μ − x)/(s² + σ²), so it gives σ(μ − x)/(s² + σ²)."""
    net = nn.Linear(2, 2)
    net.weight.data, net.bias.data = torch.diag(-sigma / (STD**2 + sigma**2)), sigma * MEAN / (STD**2 + sigma**2)
    return net


@pytest.mark.parametrize("sigma", [0.1, 0.7, 3.0])
def test_the_best_denoiser_has_the_score_of_the_blurred_gaussian(sigma):
    model, x = DAE(best_for_gaussian(sigma), sigma), torch.randn(20, 2).requires_grad_()
    blurred = torch.distributions.Normal(MEAN, (STD**2 + sigma**2).sqrt())
    (score,) = torch.autograd.grad(blurred.log_prob(x).sum(), x)
    torch.testing.assert_close(model.score(x), score, rtol=1e-4, atol=1e-5)
    posterior = (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)
    torch.testing.assert_close(model(x), posterior, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_its_loss_is_the_posterior_variance_and_no_other_is_smaller(sigma):
    """E‖f(x̃) − x‖² of the best f is the sum of s²σ²/(s² + σ²)."""
    x = MEAN + STD * torch.randn(200_000, 2)
    best = DAE(best_for_gaussian(sigma), sigma)
    expected = (STD**2 * sigma**2 / (STD**2 + sigma**2)).sum().item()
    assert best.loss(x).item() * sigma**2 == pytest.approx(expected, rel=0.01)  # 4 standard errors of the mean of 200,000 squares
    for change in (0.8, 1.2):
        other = DAE(best_for_gaussian(sigma), sigma)
        other.network.weight.data *= change
        assert other.loss(x) > best.loss(x)
    idle = DAE(nn.Linear(2, 2), sigma)
    for p in idle.parameters():
        p.data.zero_()
    assert idle.loss(x).item() == pytest.approx(2, rel=0.02)  # f(x) = x leaves all the noise: E‖σn‖²/σ²


def test_learns_the_gaussians_closed_form():
    model = DAE(nn.Linear(2, 2), 0.6)
    average = fit(model, Gaussian(), steps=1500, lr=cosine(0.02, 1500), average=0.99, progress=False).average
    best = best_for_gaussian(0.6)
    torch.testing.assert_close(average.network.weight, best.weight, atol=0.03, rtol=0)
    torch.testing.assert_close(average.network.bias, best.bias, atol=0.03, rtol=0)


def test_one_network_learns_the_scores_of_a_mixture_at_all_levels():
    """½N((−1.5, 0), 0.3² I) + ½N((1.5, 0), 0.3² I): blurred by σ it is the same mixture with variance 0.09 + σ², whose score autograd gives."""

    def sample(n):
        return torch.where(torch.rand(n, 1) < 0.5, -1.0, 1.0) * torch.tensor([1.5, 0.0]) + 0.3 * torch.randn(n, 2)

    class Batches:
        def __iter__(self):
            while True:
                yield (sample(256),)

    def log_prob(x, sigma):
        return torch.logsumexp(-((x[:, None] - torch.tensor([[-1.5, 0.0], [1.5, 0.0]])).square().sum(2) / (2 * (0.09 + sigma**2))), 1)

    model = DAE(MLP(3, 64, 64, 2), (0.2, 2.0))
    average = fit(model, Batches(), steps=1500, lr=cosine(5e-3, 1500), average=0.99, progress=False).average
    for sigma in (0.2, 0.6, 2.0):
        x = (sample(2000) + sigma * torch.randn(2000, 2)).requires_grad_()
        (score,) = torch.autograd.grad(log_prob(x, sigma).sum(), x)
        error = (average.score(x, sigma) - score).square().sum(1).mean() / score.square().sum(1).mean()
        assert error < 0.05, (sigma, error.item())  # of the score's mean square; a wrong sign gives 4, a forgotten σ² more
        wrong = average.score(x, 0.2 if sigma > 1 else 2.0)
        assert (wrong - score).square().sum(1).mean() / score.square().sum(1).mean() > 0.1  # the level matters


def test_levels_are_drawn_between_low_and_high_evenly_in_log():
    class Spy(nn.Module):
        def forward(self, seen):
            self.seen = seen
            return seen[:, :-1]

    model = DAE(Spy(), (0.1, 10.0))
    model.loss(torch.zeros(20_000, 2))
    level = model.network.seen[:, 2]
    assert math.log(0.1) <= level.min() and level.max() <= math.log(10)
    assert abs(level.mean()) < 0.05 and (level < 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    noise = model.network.seen[:, :2] / level.exp()[:, None]
    assert noise.var().item() == pytest.approx(1, rel=0.05)  # the level told is the level used


def test_images_get_the_level_as_one_more_channel():
    model = DAE(nn.Conv2d(4, 3, 3, padding=1), (0.01, 0.2))
    x = torch.rand(2, 3, 6, 5)
    assert model(x, 0.1).shape == model.score(x).shape == x.shape and model.loss(x).ndim == 0
    torch.testing.assert_close(model.score(x), model.score(x, 0.01))  # the lowest level unless told otherwise
    torch.testing.assert_close((model(x, 0.1) - x) / 0.01, model.score(x, 0.1))


def test_bad_arguments():
    for sigma in (0.0, -1.0, (0.0, 1.0), (2.0, 1.0), (1.0, 1.0), float("nan"), float("inf")):
        with pytest.raises(ValueError, match="^sigma: expected a positive number"):
            DAE(nn.Identity(), sigma)
    model = DAE(MLP(3, 4, 2), (0.1, 1.0))
    for sigma in (0.05, 2.0):
        with pytest.raises(ValueError, match="sigma: expected a level between 0.1 and 1.0"):
            model.score(torch.zeros(1, 2), sigma)
    with pytest.raises(ValueError, match="sigma"):
        DAE(nn.Linear(2, 2), 0.3)(torch.zeros(1, 2), 0.4)


def test_an_answer_of_another_shape_is_not_spread_over_the_entries():
    for network in (nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))):
        with pytest.raises(ValueError, match=r"network: expected an answer of the shape \(2, 2\)"):
            DAE(network).score(torch.zeros(2, 2))
