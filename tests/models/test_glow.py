"""Glow: a bijection with the determinant it claims, and bits per dimension that are those of the grey levels."""

import math

import pytest
import torch
from torch import nn

from gensr.data.digits import LEVELS, digits
from gensr.densities import bits_per_dim
from gensr.models.glow import Glow
from gensr.train import cosine, fit


def randomised(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.eval()


@pytest.mark.parametrize(("shape", "levels"), [((1, 4, 4), 1), ((1, 4, 4), 2), ((3, 4, 4), 2), ((1, 8, 8), 3)])
def test_logdet_equals_the_jacobian(shape, levels):
    model = randomised(Glow(shape, levels, 2, 8, n_bins=17)).double()
    v = torch.rand(2, *shape, dtype=torch.float64)
    with torch.no_grad():
        z, logdet = model(v)
        back, backward_logdet = model.inverse(z)
    assert z.shape == (2, math.prod(shape)) and logdet.abs().min() > 0.1
    for k in range(2):
        J = torch.autograd.functional.jacobian(lambda u: model(u)[0][0], v[k : k + 1]).reshape(model.dims, model.dims)
        assert abs(torch.linalg.slogdet(J).logabsdet - logdet[k]) < 1e-6
    torch.testing.assert_close(back, v, atol=1e-8, rtol=0)
    torch.testing.assert_close(backward_logdet, -logdet)


def test_round_trip_in_single_precision():
    model = randomised(Glow((3, 8, 8), 2, 4, 16))
    v = torch.rand(10, 3, 8, 8)
    with torch.no_grad():
        assert (model.inverse(model(v)[0])[0] - v).abs().max() < 1e-4


def test_dequantise_and_quantise():
    model = Glow(n_bins=17)
    x = digits().train[:200]
    v = model.dequantise(x)
    assert v.min() >= 0 and v.max() < 1 and torch.equal(model.quantise(v), x)
    noise = v * 17 - (x * 16).round()
    assert noise.min() > -1e-5 and noise.max() < 1 + 1e-5 and abs(noise.mean() - 0.5) < 0.02 and abs(noise.std() - 12**-0.5) < 0.02
    assert torch.equal(model.quantise(torch.tensor([[[[-0.3, 1.7]]]])), torch.tensor([[[[0.0, 1.0]]]]))


def test_a_uniform_density_costs_log2_of_the_levels():
    """A model that is uniform on [0, 1) gives every grey level the probability 1/17: 181.3 nats an image, 4.09 bits a pixel."""

    class Uniform(Glow):
        def log_density(self, v):
            return torch.where((v >= 0) & (v < 1), 0.0, -math.inf).flatten(1).sum(1)

    model, x = Uniform(n_bins=LEVELS), digits().test
    torch.testing.assert_close(-model.log_prob(x), torch.full((397,), 64 * math.log(17)))
    assert abs(model.loss(x) - 181.3) < 0.05
    torch.testing.assert_close(model.bits_per_dim(x), torch.full((397,), math.log2(17)))


def test_bits_per_dim_equals_that_of_the_density():
    """The library's other route: the density's bits per dimension plus log₂ K."""
    model, x = randomised(Glow(n_bins=17, steps=2, hidden=8)), digits().test[:20]
    with torch.no_grad():
        torch.manual_seed(1)
        ours = model.bits_per_dim(x)
        torch.manual_seed(1)
        density = model.log_density(model.dequantise(x))
    torch.testing.assert_close(ours, bits_per_dim(density, 64, levels=17))


def test_the_bound_is_below_the_probability_of_the_cell():
    """Two 2×2 images' worth of dimensions can be integrated: P(x) by Monte Carlo over the cell, E log p(v) below it, and Σ P over all levels 1."""
    model = randomised(Glow((1, 2, 2), 1, 2, 8, n_bins=2)).double()
    with torch.no_grad():
        model.levels[0][1].log_s.add_(math.log(4))  # make the density about as wide as [0, 1)⁴
        x = torch.tensor([[0.0, 1, 1, 0]], dtype=torch.float64).view(1, 1, 2, 2).expand(20_000, -1, -1, -1)
        log_p = model.log_prob(x)
        assert log_p.mean() + 0.01 < log_p.exp().mean().log()
        z = torch.randn(50_000, 4, dtype=torch.float64)
        v = model.inverse(z)[0]
        cell = ((v >= 0) & (v < 1)).flatten(1).all(1) & (model.quantise(v) == x[:1]).flatten(1).all(1)
        assert abs(cell.double().mean() - log_p.exp().mean()) < 0.01  # the model's own samples fall in that cell as often


def test_learns_digits():
    """In 80 steps far below the uniform 181.3 nats, on images not trained on."""
    d, model = digits(), Glow((1, 8, 8), 2, 4, 32, n_bins=LEVELS)
    fit(model, torch.utils.data.DataLoader(d.train, batch_size=100, shuffle=True), steps=80, lr=cosine(5e-3, 80), progress=False)
    with torch.no_grad():
        nats = model.loss(d.test)
        assert nats < 145
        z, _ = model(model.dequantise(d.test))
    assert abs(z.mean()) < 0.2 and 0.8 < z.std() < 1.2  # noise in, noise out
    x = model.sample(5, tau=0.7)
    assert x.shape == (5, 1, 8, 8) and torch.equal(x * 16, (x * 16).round()) and x.min() >= 0 and x.max() <= 1


def test_temperature():
    model = randomised(Glow(n_bins=256, steps=2, hidden=8))
    assert torch.equal(model.sample(3, tau=0.0)[0], model.sample(3, tau=0.0)[1])
    assert model.sample(50, tau=0.3).std(0).mean() < model.sample(50, tau=1.0).std(0).mean()


def test_gradients_reach_every_parameter():
    model = randomised(Glow((1, 4, 4), 2, 2, 8, n_bins=17))
    model.loss(torch.randint(17, (30, 1, 4, 4)) / 16).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().max() > 0, name


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="shape"):
        Glow((1, 6, 8), 2)
    with pytest.raises(ValueError, match="levels"):
        Glow(levels=0)
    with pytest.raises(ValueError, match="n_bins"):
        Glow(n_bins=1)
