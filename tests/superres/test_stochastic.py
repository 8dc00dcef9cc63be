"""StAffGAN's generator: noise moves the answer on the slice A x = y only; draws repeat; the GAN loss is variational inference; two modes are drawn."""

import pytest
import torch
from torch import nn

from gensr.models.gan import anneal
from gensr.nets import MLP, PatchCritic, SubPixelNet
from gensr.operators import Average, Downsample
from gensr.superres.amortised import AmortisedGAN
from gensr.superres.stochastic import StochasticProjection
from gensr.train import cosine, fit_gan

A = Average()


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("scale", [2, 4])
def test_noise_moves_images_in_the_null_space_only(scale, colours):
    A = Downsample(scale)
    net = StochasticProjection(SubPixelNet(scale, colours, extra=2, channels=8, blocks=1), A, latent=2).double()
    y = torch.rand(2, colours, 6, 5, dtype=torch.float64)
    one, two = net(y, net.noise(y)), net(y, net.noise(y))
    assert one.shape == (2, colours, 6 * scale, 5 * scale) and net.scale == scale
    assert (one - two).abs().max() > 0.01
    assert (A(one) - y).abs().max() < 1e-12 and (A(two) - y).abs().max() < 1e-12
    assert (A(net.network(torch.cat([y, net.noise(y)], 1))) - y).abs().max() > 0.01  # the network alone does not know y so well
    assert (one - two - A.project(one - two, torch.zeros_like(y))).abs().max() < 1e-12  # the difference is its own projection to the null space


def test_draws():
    net = StochasticProjection(MLP(4, 16, 2), A, latent=3)
    y = torch.randn(5, 1)
    made = net.sample(y, 7, generator=torch.Generator().manual_seed(1))
    assert made.shape == (5, 7, 2) and not made.requires_grad
    assert torch.equal(made, net.sample(y, 7, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(made, net.sample(y, 7, generator=torch.Generator().manual_seed(2)))
    torch.testing.assert_close(made.mean(2), y.expand(5, 7))  # all on the line of their y, in the right order
    assert made[:, :, 0].std(1).min() > 1e-3
    z = torch.randn(5, 7, 3)
    made = net.sample(y, 7, z=z)
    for i in range(5):
        for k in range(7):
            torch.testing.assert_close(made[i, k], net(y[i : i + 1], z[i : i + 1, k])[0])
    assert not torch.equal(net(y), net(y))  # new noise at every call
    image = StochasticProjection(SubPixelNet(2, 1, extra=1, channels=4, blocks=1), Downsample(2))
    assert image.sample(torch.rand(2, 1, 3, 4), 3).shape == (2, 3, 1, 6, 8)


def test_each_place_of_an_image_has_its_own_noise():
    """A change of z at one LR pixel is seen near it and not at the far end."""
    net = StochasticProjection(SubPixelNet(2, 1, extra=1, channels=4, blocks=1), Downsample(2))
    y, z = torch.rand(1, 1, 24, 24), torch.zeros(1, 1, 24, 24)
    other = z.clone()
    other[..., 2, 2] = 3
    moved = (net(y, other) - net(y, z)).abs()[0, 0]
    assert moved[:8, :8].max() > 1e-3 and moved[36:, 36:].max() < 1e-6


class LinearGaussian(nn.Module):
    """f([y, z]) whose projection is (y, y) + (a y + b + c z)·(1, −1)."""

    def __init__(self):
        super().__init__()
        self.abc = nn.Parameter(torch.tensor([0.3, -0.8, 0.5], dtype=torch.float64))

    def forward(self, yz):
        a, b, c = self.abc
        return (a * yz[:, :1] + b + c * yz[:, 1:]) * torch.tensor([1.0, -1.0], dtype=torch.float64)


def test_the_gan_loss_is_variational_inference_of_the_posterior():
    """For Gaussians, with the best critic log p(x)/q(x) that sees no y, the loss's gradient is that of E_y KL[q(x|y) ‖ p(x|y)].

    In the coordinates y = (x₁ + x₂)/2 and v = (x₁ − x₂)/2, p is y ~ N(0, 1), v|y ~ N(αy + β, γ²), and q the same with (a, b, c): the KL of two such v, with
    means apart by d, is log(γ/c) + (c² + d²)/(2γ²) − ½, and E_y d² = (a − α)² + (b − β)².
    """
    alpha, beta, gamma = -0.4, 0.6, 0.9
    generator = StochasticProjection(LinearGaussian(), A).double()
    n = 64
    yz = torch.randn(n, 2, dtype=torch.float64)
    yz = yz - yz.mean(0)
    yz = torch.linalg.solve_triangular(torch.linalg.cholesky(yz.T @ yz / n), yz.T, upper=False).T  # exact moments: means of quadratics are exact
    y, generator.noise = yz[:, :1], lambda y, generator=None: yz[:, 1:]  # the noise that the GAN will draw

    def log_prob(x, slope, offset, width):
        y, v = x.sum(1) / 2, (x[:, 0] - x[:, 1]) / 2
        return torch.distributions.Normal(0, 1).log_prob(y) + torch.distributions.Normal(slope * y + offset, width).log_prob(v)

    held = generator.network.abc.detach().clone()

    class Best(nn.Module):
        def forward(self, x):
            return log_prob(x, alpha, beta, gamma) - log_prob(x, *held)

    model = AmortisedGAN(generator, Best(), A).eval()
    (found,) = torch.autograd.grad(model.generator_loss(y.repeat(1, 2), y), generator.network.abc)
    a, b, c = generator.network.abc
    kl = (gamma / c).log() + (c**2 + (a - alpha) ** 2 + (b - beta) ** 2) / (2 * gamma**2) - 0.5
    (exact,) = torch.autograd.grad(kl, generator.network.abc)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-10)
    assert model.generator_loss(y.repeat(1, 2), y).item() == pytest.approx(kl.item())


class TwoModes:
    """Endless x = (y + v, y − v), y ~ N(0, 1), v = ±1.5 with equal chance and noise of 0.2."""

    def __iter__(self):
        while True:
            y = torch.randn(256, 1)
            v = 1.5 * torch.randint(2, (256, 1)).mul(2).sub(1) + 0.2 * torch.randn(256, 1)
            yield torch.cat([y + v, y - v], 1), y


def test_it_learns_a_posterior_of_two_modes():
    torch.manual_seed(0)
    generator = StochasticProjection(MLP(2, 32, 32, 2), A)
    model = AmortisedGAN(generator, MLP(2, 64, 64, 1), A, sigma=anneal(1.0, 375, 0.2))
    average = fit_gan(model, TwoModes(), steps=500, lr=cosine(4e-3, 500), critic_steps=2, average=0.98, progress=False).average
    y = torch.tensor([[-1.0], [0.0], [1.0]])
    made = average.generator.sample(y, 1000, generator=torch.Generator().manual_seed(0))
    assert (made.mean(2) - y).abs().max() < 1e-5
    v = (made[..., 0] - made[..., 1]) / 2
    share = (v > 0).float().mean(1)
    assert share.min() > 0.2 and share.max() < 0.8  # both modes, for each y
    assert ((v.abs() - 1.5).abs() < 0.6).float().mean(1).min() > 0.8  # three deviations around them


def test_the_gan_draws_new_noise_at_every_call():
    class Spy(MLP):
        def forward(self, yz):
            seen.append(yz.detach()[:, 1:])
            return super().forward(yz)

    seen: list = []
    model, y = AmortisedGAN(StochasticProjection(Spy(3, 2), A, latent=2), MLP(2, 1), A), torch.zeros(2000, 1)
    for _ in range(2):
        model.critic_loss(y.repeat(1, 2), y)
        model.generator_loss(y.repeat(1, 2), y)
    assert len(seen) == 4
    for i, z in enumerate(seen):
        assert z.shape == (2000, 2) and z.mean().abs() < 0.1 and z.std() == pytest.approx(1, abs=0.05)
        assert all((z != other).all() for other in seen[:i])


def test_it_trains_on_images():
    """Textures of upright stripes with a phase that A cannot see: the GAN gives the answers contrast, each on its slice."""
    operator, phase = Downsample(4), 2 * torch.pi * torch.rand(16, 1, 1, 1)
    x = (0.5 + 0.4 * torch.sin(torch.pi / 1.5 * torch.arange(16) + phase)).expand(16, 1, 16, 16)  # waves of 3 pixels: gone at a quarter of the size
    y = operator(x)
    generator = StochasticProjection(SubPixelNet(4, 1, extra=1, channels=16, blocks=1), operator)
    model = AmortisedGAN(generator, PatchCritic(1, channels=16, depth=1), operator, sigma=0.1)
    before = generator(y).std().item()
    fit_gan(model, [(x, y)], steps=60, lr=3e-3, progress=False)
    made = generator.sample(y, 2)
    assert made.std() > before + 0.1 and (made[:, 0] - made[:, 1]).abs().max() > 1e-3
    assert (operator(made.flatten(0, 1)) - y.repeat_interleave(2, 0)).abs().max() < 3e-6


def test_bad_arguments():
    with pytest.raises(TypeError, match="operator: expected a LinearOperator, got Linear"):
        StochasticProjection(MLP(2, 2), nn.Linear(2, 1))
    with pytest.raises(ValueError, match="latent: expected at least 1, got 0"):
        StochasticProjection(MLP(2, 2), A, latent=0)
    net, y = StochasticProjection(MLP(3, 2), A, latent=2), torch.zeros(4, 1)
    with pytest.raises(ValueError, match=r"z: expected shape \(4, 2\), got \(4, 3\)"):
        net(y, torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"z: expected shape \(4, 5, 2\), got \(20, 2\)"):
        net.sample(y, 5, z=torch.zeros(20, 2))
    with pytest.raises(ValueError, match="n: expected at least 1, got 0"):
        net.sample(y, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_as_precise_as_the_measurement(dtype):
    net = StochasticProjection(MLP(3, 2), Average(), 2)
    assert net.noise(torch.zeros(4, 1, dtype=dtype)).dtype == dtype


def test_one_answer_may_be_asked_for():
    assert StochasticProjection(MLP(2, 2), Average()).sample(torch.zeros(3, 1), 1).shape == (3, 1, 2)
