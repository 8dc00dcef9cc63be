"""AffLL: its loss and gradient against closed forms, its optimum against the MAP estimate, its limits, and real image priors."""

import pytest
import torch
from torch import nn

from gensr.models.mcgsm import MCGSM, MarkovMesh, neighbourhood
from gensr.models.pixelcnnpp import PixelCNNpp
from gensr.nets import MLP, SubPixelNet
from gensr.operators import Average, Downsample
from gensr.superres.affine import AffineProjection
from gensr.superres.amortised import AmortisedLL
from gensr.train import cosine, fit

A = Average()
MEAN, COVARIANCE = torch.tensor([1.0, -0.5]), torch.tensor([[2.0, 0.6], [0.6, 0.5]])


class Gaussian(nn.Module):
    """N(m, S) of points, with weights and a dropout that must both stay out of play."""

    def __init__(self):
        super().__init__()
        self.mean, self.precision = nn.Parameter(MEAN.clone()), nn.Parameter(COVARIANCE.inverse())
        self.dropout = nn.Dropout(0.5)

    def log_prob(self, x):
        d = self.dropout(x - self.mean)
        return -0.5 * ((d @ self.precision) * d).sum(1) + 0.5 * torch.logdet(self.precision / (2 * torch.pi))


class Free(nn.Module):
    """Answers with its weights."""

    def __init__(self, x):
        super().__init__()
        self.x = nn.Parameter(x.clone())

    def forward(self, y):
        return self.x


def gradient(model, x, y):
    return torch.autograd.grad(model.loss(x, y), model.generator.x)[0]


def test_loss_and_gradient_for_a_gaussian():
    """−log p = (x − m)ᵀS⁻¹(x − m)/2 + log det(2πS)/2 nats, with the slope S⁻¹(x − m); the penalty (mean(x) − y)² has (mean(x) − y)·(1, 1)."""
    x, y = torch.randn(5, 2), torch.randn(5, 1)
    for soft in (0.0, 3.0):
        model = AmortisedLL(Free(x), Gaussian(), A, soft=soft)
        miss = x.mean(1, keepdim=True) - y
        exact = torch.distributions.MultivariateNormal(MEAN, COVARIANCE)
        expected = -exact.log_prob(x).mean() + soft * miss.square().mean()
        assert model.loss(x, y).item() == pytest.approx(expected.item(), rel=1e-5)
        slope = (x - MEAN) @ COVARIANCE.inverse() + soft * miss
        torch.testing.assert_close(gradient(model, x, y), slope / 5, rtol=1e-4, atol=1e-6)


def test_the_optimum_is_the_map_estimate_of_every_slice():
    """On A x = y a Gaussian is largest at m + S Aᵀ(A S Aᵀ)⁻¹(y − A m): linear in y, so a linear network can reach it."""
    model = AmortisedLL(AffineProjection(nn.Linear(1, 2), A), Gaussian(), A)
    y = 2 * torch.randn(256, 1)
    fit(model, [(torch.zeros(256, 2), y)], steps=300, lr=cosine(0.1, 300), progress=False)
    a = torch.tensor([[0.5, 0.5]])
    gain = COVARIANCE @ a.T / (a @ COVARIANCE @ a.T)  # (2, 1)
    new = torch.tensor([[-4.0], [0.0], [3.0]])
    with torch.no_grad():
        torch.testing.assert_close(model.generator(new), MEAN + (new - MEAN.mean()) @ gain.T, rtol=0, atol=1e-3)


def test_the_prior_is_left_alone():
    prior = Gaussian()
    model = AmortisedLL(AffineProjection(MLP(1, 8, 2), A), prior, A)
    before = {name: v.clone() for name, v in prior.state_dict().items()}
    fit(model, [(torch.zeros(16, 2), torch.randn(16, 1))], steps=5, lr=0.1, average=0.9, progress=False)
    assert all(torch.equal(v, before[name]) for name, v in prior.state_dict().items()) and all(p.grad is None for p in prior.parameters())
    model.train()
    assert model.generator.training and not prior.training and not prior.dropout.training
    x = torch.randn(16, 2)
    assert torch.equal(model.log_prob(x), model.log_prob(x))  # no dropout
    assert all(p.grad is not None for p in model.generator.parameters())


def test_a_function_is_a_prior_too():
    exact = torch.distributions.MultivariateNormal(MEAN, COVARIANCE)
    x, y = torch.randn(5, 2), torch.randn(5, 1)
    torch.testing.assert_close(gradient(AmortisedLL(Free(x), exact.log_prob, A), x, y), gradient(AmortisedLL(Free(x), Gaussian(), A), x, y))


def test_gaussian_tails_outside_the_limits():
    """p of the unit square with the slope (3, −3): inside that slope; outside −(x − c)/tail², and for that entry nothing of p's."""
    x = torch.tensor([[0.2, 0.8], [1.1, 0.5], [-0.2, 1.3]], dtype=torch.float64)
    model = AmortisedLL(Free(x), lambda x: 3 * x[:, 0] - 3 * x[:, 1], A, limits=(0.0, 1.0), tail=0.1)
    torch.testing.assert_close(model.log_prob(x), torch.tensor([-1.8, 1.5 - 0.5, -3.0 - 2.0 - 4.5], dtype=torch.float64))
    slope = torch.tensor([[3.0, -3.0], [-10.0, -3.0], [20.0, -30.0]], dtype=torch.float64)
    torch.testing.assert_close(gradient(model, x, x[:, :1]), -slope / 3)
    assert torch.autograd.gradcheck(model.log_prob, x.requires_grad_())


def test_what_left_the_limits_comes_back_and_stays():
    """The prior would have the pixel ever brighter: it ends at the limit."""
    model = AmortisedLL(Free(torch.tensor([[1.7, -0.6]])), lambda x: 50 * x[:, 0] - 50 * x[:, 1], A, limits=(0.0, 1.0))
    fit(model, [(torch.zeros(1, 2), torch.zeros(1, 1))], steps=400, lr=cosine(0.05, 400), progress=False)
    torch.testing.assert_close(model.generator.x.detach(), torch.tensor([[1.0, 0.0]]), rtol=0, atol=0.01)


def tiny_pixelcnn():
    return PixelCNNpp(levels=32, hidden=6, layers=1, colours=1, mixtures=2, resolutions=2), (0.0, 1.0)


def tiny_mesh():
    mesh = MarkovMesh(neighbourhood(2, 3), MCGSM(contexts=4, components=2, scales=2, features=2))
    mesh.whitening.fit(torch.rand(200, 4), torch.rand(200))
    return mesh, None


@pytest.mark.parametrize("make", [tiny_pixelcnn, tiny_mesh], ids=["PixelCNN++", "MCGSM"])
def test_with_a_prior_of_images_log_p_rises(make):
    prior, limits = make()
    model = AmortisedLL(AffineProjection(SubPixelNet(2, 1, channels=8, blocks=1), Downsample(2)), prior, Downsample(2), limits=limits)
    x = torch.rand(4, 1, 8, 8)
    y = Downsample(2)(x)
    with torch.no_grad():
        before = model.log_prob(model.generator(y)).mean().item()
    fit(model, [(x, y)], steps=25, lr=3e-3, progress=False)
    with torch.no_grad():
        made = model.generator(y)
        after = model.log_prob(made).mean().item()
    assert after > before + 1  # nats per image of 64 pixels
    assert (Downsample(2)(made) - y).abs().max() < 3e-6
    assert all(p.grad is None for p in prior.parameters())


def test_a_model_of_grey_levels_refuses_other_values_without_limits():
    prior, _ = tiny_pixelcnn()
    x = torch.full((1, 1, 4, 4), 1.2)
    model = AmortisedLL(Free(x), prior, Downsample(2))
    with pytest.raises(ValueError, match="in \\[0, 1\\], got values from 1.2 to 1.2"):
        model.loss(x, torch.zeros(1, 1, 2, 2))
    model.limits = (0.0, 1.0)
    assert model.loss(x, torch.zeros(1, 1, 2, 2)).isfinite()


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"soft": -1}, "soft: expected at least 0, got -1"),
        ({"limits": (1.0, 0.0)}, "limits: expected a lower and a higher number"),
        ({"limits": (0.0, 1.0), "tail": 0}, "tail: expected a positive number, got 0"),
    ],
)
def test_bad_arguments(keywords, message):
    with pytest.raises(ValueError, match=message):
        AmortisedLL(nn.Linear(1, 2), Gaussian(), A, **keywords)


@pytest.mark.parametrize(
    "prior, message",
    [
        (lambda x: x[:, 0].log(), "prior: log p is not finite for 1 of 2 x, with values from -1 to 2; does it need limits"),
        (lambda x: x[:, 0] / 0, "prior: log p is not finite for 2 of 2 x"),
        (lambda x: x, r"prior: expected log p of shape \(2,\), one for each x, got \(2, 2\)"),
    ],
    ids=["nan", "inf", "shape"],
)
def test_bad_log_p(prior, message):
    x = torch.tensor([[1.0, 2.0], [-1.0, 1.0]])
    with pytest.raises(ValueError, match=message):
        AmortisedLL(Free(x), prior, A).loss(x, x[:, :1])
