"""Toys of the plane: densities that integrate to 1 and agree with their samples; the posterior along a line, normalised, and its maximum."""

import math

import pytest
import torch
from sklearn.datasets import make_swiss_roll
from sklearn.neighbors import KernelDensity

from gensr.data.toy2d import KDE, Checkerboard, EightGaussians, Pinwheel, SwissRoll, TwoMoons, entropy, grid, line, line_map, line_posterior

TOYS = {"swiss roll": SwissRoll(), "two moons": TwoMoons(), "eight Gaussians": EightGaussians(), "pinwheel": Pinwheel(), "checkerboard": Checkerboard()}
every_toy = pytest.mark.parametrize("toy", TOYS.values(), ids=TOYS.keys())


@every_toy
def test_integrates_to_one(toy):
    points, area = grid(toy.extent, 400)
    assert abs(toy.log_prob(points).exp().sum() * area - 1) < 1e-3


@every_toy
def test_samples_agree_with_the_density(toy):
    """The mean of −log p over samples is the entropy, and the frequencies of a coarse grid are its cells' probabilities."""
    x = toy.sample(40_000)
    assert x.shape == (40_000, 2) and x.dtype == torch.float32
    surprise = -toy.log_prob(x.double())
    assert abs(surprise.mean() - entropy(toy)) < 4 * surprise.std() / 200 + 1e-3  # 4 standard errors of a mean over 40,000
    points, area = grid(toy.extent, 400)
    mass = (toy.log_prob(points).exp() * area).view(8, 50, 8, 50).sum((1, 3))  # [row, column] of 8 × 8 blocks; rows are x₂
    column, row = ((x + toy.extent) / (2 * toy.extent) * 8).floor().long().clamp(0, 7).T
    frequency = torch.zeros(64).index_add(0, 8 * row + column, torch.ones(len(x))).view(8, 8) / len(x)
    assert (frequency - mass).abs().max() < 0.01  # 5 standard errors of a frequency of 0.2, and more of smaller ones
    assert mass.max() > 0.015  # so a density at the wrong place would show


@every_toy
def test_the_generator_decides(toy):
    a, b, c = (toy.sample(50, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


@every_toy
def test_single_precision_is_enough(toy):
    x = toy.sample(500)
    assert toy.log_prob(x).dtype == torch.float32
    torch.testing.assert_close(toy.log_prob(x), toy.log_prob(x.double()).float(), atol=1e-3, rtol=0)


def test_swiss_roll_is_scikit_learns():
    roll = SwissRoll(scale=1.0, noise=0.1)
    x, t = make_swiss_roll(200, noise=0.0, random_state=0)
    ours = roll.curve(torch.from_numpy((t / (1.5 * math.pi) - 1) / 2))
    torch.testing.assert_close(ours, torch.from_numpy(x[:, [0, 2]]))


@pytest.mark.parametrize("roll", [SwissRoll(), SwissRoll(noise=0.05, scale=1.0)], ids=["default", "thinnest allowed"])
def test_the_quadrature_is_converged(roll):
    """A sum over 40,000 points of the roll, an independent route to the integral."""
    x = roll.sample(50).double()
    u = (torch.arange(40_000, dtype=torch.float64) + 0.5) / 40_000
    distance2 = (x[:, None] - roll.curve(u)).square().sum(-1)
    reference = (-distance2 / (2 * roll.noise**2)).exp().mean(1).log() - math.log(2 * math.pi * roll.noise**2)
    torch.testing.assert_close(roll.log_prob(x), reference, atol=2e-4, rtol=0)


def test_checkerboard_by_hand():
    board = Checkerboard()
    x = torch.tensor([[-3.0, -3.0], [-1.0, -1.0], [-3.0, -1.0], [3.0, 3.0], [5.0, 3.0]])
    assert (board.log_prob(x) == torch.tensor([-math.log(32), -math.log(32), -math.inf, -math.log(32), -math.inf])).all()
    assert abs(entropy(board) - math.log(32)) < 1e-12


def test_kde_equals_scikit_learn():
    points, x = torch.randn(100, 2, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
    ours = KDE(points, 0.3).log_prob(x)
    torch.testing.assert_close(ours, torch.from_numpy(KernelDensity(bandwidth=0.3).fit(points.numpy()).score_samples(x.numpy())))


def test_kde_approaches_the_density():
    """With 4000 points and Scott's bandwidth, a Gaussian's density is met within a few hundredths of a nat on average."""
    x = torch.randn(4000, 2)
    truth = torch.distributions.Normal(0.0, 1.0)
    test = torch.randn(500, 2)
    assert (KDE(x).log_prob(test) - truth.log_prob(test).sum(1)).mean().abs() < 0.1


@pytest.mark.parametrize("name", ["swiss roll", "two moons", "pinwheel"])
def test_posterior_is_normalised_and_on_the_line(name):
    toy = TOYS[name]
    y = toy.sample(20).double().mean(1)
    post = line_posterior(toy, y)
    width = post.s[1] - post.s[0]
    torch.testing.assert_close(post.log_prob.exp().sum(1) * width, torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close(post.x.mean(-1), y[:, None].expand(-1, 2000))
    # Bayes: p(x|y) p(y) = p(x) once per unit of (y, s), where an element of area is √2 dy ds.
    joint = toy.log_prob(post.x.reshape(-1, 2)).view(20, -1) + 0.5 * math.log(2)
    torch.testing.assert_close(post.log_prob + post.log_evidence[:, None], joint)


def test_evidence_is_the_density_of_y():
    """p(y) integrates to 1, and gives the mean and variance that samples have."""
    toy = TwoMoons()
    y = torch.linspace(-2, 2, 201, dtype=torch.float64)
    p = line_posterior(toy, y, 1000).log_evidence.exp()
    assert abs(torch.trapezoid(p, y) - 1) < 1e-4
    samples = toy.sample(100_000).double().mean(1)
    assert abs(torch.trapezoid(p * y, y) - samples.mean()) < 0.01
    assert abs(torch.trapezoid(p * y**2, y) - samples.square().mean()) < 0.01


@pytest.mark.parametrize("name", ["swiss roll", "two moons", "pinwheel"])
def test_map_is_the_maximum(name):
    toy = TOYS[name]
    y = toy.sample(30).double().mean(1)
    best = line_map(toy, y)
    torch.testing.assert_close(best.mean(1), y)  # a valid answer
    on_grid = toy.log_prob(line_posterior(toy, y, 3000).x.reshape(-1, 2)).view(30, 3000).amax(1)
    assert (toy.log_prob(best) >= on_grid - 1e-9).all()
    s = ((best[:, 0] - best[:, 1]) / math.sqrt(2)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(toy.log_prob(line(y, s[:, None])[:, 0]).sum(), s)
    assert slope.abs().max() < 1e-3  # stationary; a step of the grid away it would be above 1


def test_map_picks_the_higher_of_two_modes():
    """On the line y = 0 of two Gaussians at ±(1, −1) the heavier wins, though the grid puts a point nearer to the lighter one's peak."""

    class Two:
        extent = 2.0
        s = torch.tensor([0.0, 0.0], dtype=torch.float64)

        def log_prob(self, x):
            s = (x[:, 0] - x[:, 1]) / math.sqrt(2)
            return torch.logaddexp(-0.5 * ((s - self.s[0]) / 0.1) ** 2, -0.5 * ((s - self.s[1]) / 0.1) ** 2 + 1e-4)

    two, y = Two(), torch.zeros(1, dtype=torch.float64)
    cells = line_posterior(two, y, 500).s
    two.s = torch.stack([cells[100], (cells[400] + cells[401]) / 2])  # on a point of the grid; between two, so that the grid misses its top by more than 1e-4
    best = line_map(two, y, 500)[0]
    assert abs((best[0] - best[1]) / math.sqrt(2) - two.s[1]) < 1e-5


def test_swiss_roll_has_the_papers_cross_entropies():
    """The paper gives 3.15 nats for MAP and 9.10 for squared error, whose optimum is the posterior mean: two numbers for our two free ones."""
    toy = SwissRoll()
    y = toy.sample(200).double().mean(1)
    post = line_posterior(toy, y, 300)
    mean = (post.x * post.log_prob.exp()[..., None]).sum(1) * (post.s[1] - post.s[0])
    h_map, h_mean = (-toy.log_prob(x).mean() for x in (line_map(toy, y), mean))
    assert abs(h_map - 3.15) < 0.15 and 7 < h_mean < 11  # the second varies much from y to y
    assert h_map < entropy(toy)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="scale"):
        SwissRoll(scale=0.0)
    with pytest.raises(ValueError, match="noise"):
        SwissRoll(noise=0.01, scale=1.0)
    with pytest.raises(ValueError, match="noise"):
        TwoMoons(0.0)
    with pytest.raises(ValueError, match="sigma"):
        EightGaussians(sigma=-1.0)
    with pytest.raises(ValueError, match="width"):
        Pinwheel(width=0.0)
    with pytest.raises(ValueError, match="bandwidth"):
        KDE(torch.zeros(3, 2), -1.0)
    with pytest.raises(ValueError, match="points"):
        KDE(torch.zeros(1, 2))
    with pytest.raises(ValueError, match="points"):
        line_posterior(TwoMoons(), torch.zeros(1), 1)
    with pytest.raises(ValueError, match="points"):
        line_map(TwoMoons(), torch.zeros(1), 3)
