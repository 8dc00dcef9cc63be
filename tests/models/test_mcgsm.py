"""MCGSM: a density that is right to the last constant, in white coordinates, in pixels and for whole images, and that beats its own special cases."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.distributions as D
from PIL import Image
from torch import nn

from gensr.data.textures import regions
from gensr.densities import normal_log_prob
from gensr.models.mcgsm import GSM, MCGSM, MarkovMesh, Whitening, contexts, dequantise, lbfgs, margins, neighbourhood, pairs
from gensr.train import cosine, fit

OFFSETS = neighbourhood(2, 3)  # (−1, −1), (−1, 0), (−1, 1), (0, −1)


def randomised(model: nn.Module, by: float = 0.3) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            p.add_(by * torch.randn_like(p))
    return model


def photo_like(h=40, w=50):
    """8-bit noise, smooth enough for neighbours to tell something of a pixel."""
    x = torch.nn.functional.avg_pool2d(torch.rand(1, 1, h + 4, w + 4), 5, 1)[0]
    return ((x - x.min()) / (x.max() - x.min()) * 255).byte()


def mesh(components=3, scales=2) -> MarkovMesh:
    """A small model of images, of random parameters, whitened by data; double precision."""
    model = MarkovMesh(OFFSETS, randomised(MCGSM(len(OFFSETS), components, scales, 5)))
    model.whitening.fit(*pairs([photo_like()], OFFSETS))
    return model.double()


# --- neighbourhoods


def test_neighbourhoods_have_the_sizes_of_the_papers_and_come_before_the_pixel():
    assert len(neighbourhood()) == 24 and len(neighbourhood(3, 5)) == 12 and neighbourhood(1, 3) == [(0, -1)]
    assert OFFSETS == [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
    for rows, columns in ((4, 7), (3, 5), (2, 1)):
        offsets = neighbourhood(rows, columns)
        assert len(set(offsets)) == (rows - 1) * columns + columns // 2
        assert all(di * 1000 + dj < 0 for di, dj in offsets)


def test_contexts_equal_a_loop():
    x, offsets = torch.rand(2, 1, 7, 9), neighbourhood(3, 5)
    context, pixel = contexts(x, offsets)
    assert context.shape == (2, 5, 5, 12) and pixel.shape == (2, 5, 5)
    for b, i, j in ((0, 2, 2), (1, 6, 6), (0, 4, 5)):
        assert pixel[b, i - 2, j - 2] == x[b, 0, i, j]
        assert context[b, i - 2, j - 2].tolist() == [x[b, 0, i + di, j + dj] for di, dj in offsets]


def test_pairs_keep_context_and_pixel_together():
    """On a ramp, every neighbour differs from the pixel by what its offset says, up to the noise of one grey level."""
    ramp = (torch.arange(30)[:, None] * 3 + torch.arange(40)).byte()[None]
    context, pixel = pairs([ramp, ramp.flip(0)[:, :20]], OFFSETS, 500, seed=1)
    slopes = torch.tensor([[3 * di + dj, -3 * di + dj] for di, dj in OFFSETS]).T / 256  # of the ramp, and of its mirror image
    errors = ((context - pixel[:, None])[:, None] - slopes).abs().amax(-1).amin(1)
    assert errors.max() < 1 / 256 and 500 <= len(pixel) <= 502
    assert not torch.equal(pixel, pairs([ramp, ramp.flip(0)[:, :20]], OFFSETS, 500, seed=2)[1])
    everything, _ = pairs([ramp], OFFSETS)
    assert len(everything) == 29 * 38
    _, bare = pairs([ramp], OFFSETS, noise=False)
    torch.testing.assert_close((255 * bare).sort().values, ramp[0, 1:, 1:-1].flatten().float().sort().values)


def test_pairs_are_taken_from_each_image_by_its_size():
    dark, light = torch.zeros(1, 20, 40).byte(), torch.full((1, 20, 10), 255).byte()
    _, pixel = pairs([dark, light], OFFSETS, 100, noise=False)
    assert int((pixel == 0).sum()) == 80 and int((pixel == 1).sum()) == 20
    halves = torch.cat([dark, torch.full_like(dark, 255)], 1)
    _, pixel = pairs([halves], OFFSETS, 100, noise=False)
    assert 25 < int((pixel == 1).sum()) < 75  # from everywhere, not the first ones


def test_the_gate_starts_with_the_energy_of_a_joint_gsm():
    model = MCGSM(6, 3, 4, 5)
    assert torch.equal(model.eta, 3 * model.alpha) and model.eta.data_ptr() != model.alpha.data_ptr()


def test_dequantised_levels_stay_in_their_cells():
    x = torch.arange(256).byte().repeat(50, 1)
    v = dequantise(x, torch.Generator().manual_seed(0))
    assert torch.equal((v * 256).floor().byte(), x) and abs((v * 256 - x).mean() - 0.5) < 0.01


# --- the conditional


def joint_of_gsms(k=3, s=2, n=4):
    """Mixture of K GSMs with means over (c, y), and the MCGSM whose p(y ∣ c) it must have, derived on paper:

    with precision Λₖ = [[C, d], [dᵀ, ℓ²]] of (c, y) and mean (μ, ν): a = −d/ℓ², m = ν − a·μ, L = ℓ; the marginal of c has the precision
    Kₖ = C − d dᵀ/ℓ² = Σ_f β² b bᵀ and ω = Kₖ μ; η = log π + ½ n α + ½ log det Kₖ − ½ e^α μᵀ Kₖ μ.
    """
    model = MCGSM(n, k, s, k * n).double()
    root = torch.randn(k, n + 1, n + 1).double() + 2 * torch.eye(n + 1)
    precision = root @ root.mT
    mean, alpha, log_pi = torch.randn(k, n + 1).double(), torch.randn(k, s).double(), torch.randn(k * s).double().log_softmax(0).view(k, s)
    C, d, ell2, mu = precision[:, :n, :n], precision[:, :n, n], precision[:, n, n], mean[:, :n]
    K = C - d[:, :, None] * d[:, None] / ell2[:, None, None]
    values, vectors = torch.linalg.eigh(K)
    beta = torch.zeros(k, k * n).double()
    for c in range(k):
        beta[c, c * n : (c + 1) * n] = values[c].sqrt()
    energy = torch.einsum("kn,knm,km->k", mu, K, mu)
    a = -d / ell2[:, None]
    found = {
        "alpha": alpha, "eta": log_pi + 0.5 * n * alpha + 0.5 * torch.logdet(K)[:, None] - 0.5 * alpha.exp() * energy[:, None],
        "b": vectors.permute(1, 0, 2).flatten(1), "beta": beta, "omega": torch.einsum("knm,km->kn", K, mu),
        "a": a, "m": mean[:, n] - (a * mu).sum(1), "log_L": 0.5 * ell2.log(),
    }  # fmt: skip
    model.load_state_dict(found)
    full = alpha.exp()[:, :, None, None] * precision[:, None]

    def mixture(dims):
        covariance = torch.linalg.inv(full)[:, :, :dims, :dims].flatten(0, 1)
        loc = mean[:, None, :dims].expand(k, s, dims).flatten(0, 1)
        return D.MixtureSameFamily(D.Categorical(logits=log_pi.flatten()), D.MultivariateNormal(loc, covariance))

    return model, mixture(n + 1), mixture(n)


def test_it_is_the_conditional_of_a_mixture_of_gsms():
    """log p(c, y) − log p(c) by torch.distributions: every sign and constant of gate and expert, ω included."""
    model, joint, marginal = joint_of_gsms()
    c, y = 1.5 * torch.randn(200, 4).double(), 2 * torch.randn(200).double()
    expected = joint.log_prob(torch.cat([c, y[:, None]], 1)) - marginal.log_prob(c)
    torch.testing.assert_close(model.log_prob(c, y), expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(model.loss(c, y), -expected.mean())
    torch.testing.assert_close(torch.logsumexp(model.energies(c, y)[0], (1, 2)) - marginal.log_prob(c), torch.full((200,), 2 * math.log(2 * math.pi)).double())


BUGS = {
    "the gate does not share the precision": lambda m, c, y: (gate := m.eta - 0.5 * square(m, c), gate + expert(m, c, y)),
    "the gate looks at the pixel": lambda m, c, y: (m.energies(c, y)[1],) * 2,
    "ω with the other sign": lambda m, c, y: (gate := m.eta - 0.5 * m.alpha.exp() * square(m, c, sign=1), gate + expert(m, c, y)),
    "β not squared": lambda m, c, y: (gate := m.eta - 0.5 * m.alpha.exp() * square(m, c, power=1), gate + expert(m, c, y)),
    "gate without ½": lambda m, c, y: (gate := m.eta - m.alpha.exp() * square(m, c), gate + expert(m, c, y)),
    "expert without ½ α": lambda m, c, y: (gate := m.energies(c, y)[0], gate + expert(m, c, y) - 0.5 * m.alpha),
    "expert without log L": lambda m, c, y: (gate := m.energies(c, y)[0], gate + expert(m, c, y) - m.log_L[:, None]),
    "α is a log-variance": lambda m, c, y: (gate := m.energies(c, y)[0], gate + expert(m, c, y, sign=-1)),
}


def square(m, c, sign=-1, power=2):
    return torch.einsum("bf,kf->bk", (c @ m.b) ** 2, m.beta**power)[..., None] + 2 * sign * (c @ m.omega.T)[..., None]


def expert(m, c, y, sign=1):
    mean = (c @ m.a.T + m.m)[..., None]
    return normal_log_prob(y[:, None, None], mean, (-sign * m.alpha - 2 * m.log_L[:, None]).expand(len(y), -1, -1))


def test_the_helpers_of_the_bugs_rebuild_the_model():
    model, c, y = randomised(MCGSM(4, 3, 2, 5)).double(), torch.randn(10, 4).double(), torch.randn(10).double()
    gate = model.eta - 0.5 * model.alpha.exp() * square(model, c)
    torch.testing.assert_close(model.energies(c, y), (gate, gate + expert(model, c, y)))


@pytest.mark.parametrize("bug", BUGS)
def test_each_bug_would_be_noticed(bug):
    model, joint, marginal = joint_of_gsms()
    c, y = torch.randn(50, 4).double(), torch.randn(50).double()
    gate, both = BUGS[bug](model, c, y)
    wrong = torch.logsumexp(both, (1, 2)) - torch.logsumexp(gate, (1, 2))
    expected = joint.log_prob(torch.cat([c, y[:, None]], 1)) - marginal.log_prob(c)
    assert (wrong - expected).abs().mean() > 0.05


@pytest.mark.parametrize(("components", "scales", "features"), [(1, 1, 0), (1, 4, 3), (5, 1, 3), (4, 3, 6)])
@pytest.mark.parametrize("far", [0.0, 1.0, 10.0])
def test_the_conditional_integrates_to_one(components, scales, features, far):
    """Whatever the context: also one far from all data, where the gate's logits are in the thousands."""
    model = randomised(MCGSM(6, components, scales, features)).double()
    c, y = far * torch.randn(3, 6).double(), torch.linspace(-60, 60, 24_001).double()
    with torch.no_grad():
        density = model.log_prob(c[:, None].expand(3, len(y), 6), y.expand(3, -1)).exp()
    assert (torch.trapezoid(density, y) - 1).abs().max() < 1e-6


def regression(c, y):
    """Linear regression with a constant by numpy, and the log-density of y under it."""
    design = np.c_[c.double().numpy(), np.ones(len(c))]
    weights = np.linalg.lstsq(design, y.double().numpy(), rcond=None)[0]
    variance = np.mean((y.double().numpy() - design @ weights) ** 2)
    log_p = -0.5 * (math.log(2 * math.pi * variance) + (y.double().numpy() - design @ weights) ** 2 / variance)
    return torch.from_numpy(weights), variance, torch.from_numpy(log_p)


def test_one_component_of_one_scale_is_linear_regression():
    c = torch.randn(2000, 5).double() @ torch.randn(5, 5).double() + 1
    y = c @ torch.randn(5).double() + 0.7 + 0.3 * torch.randn(2000).double()
    model = randomised(MCGSM(5, 1, 1, 4)).double()
    lbfgs(model, c, y, steps=200, chunk=700)
    weights, variance, log_p = regression(c, y)
    torch.testing.assert_close(model.a[0].detach(), weights[:5], atol=1e-4, rtol=0)
    assert abs(model.m.item() - weights[5]) < 1e-4
    assert abs((-model.alpha - 2 * model.log_L).exp().item() - variance) < 1e-4
    torch.testing.assert_close(model.log_prob(c, y), log_p, atol=1e-3, rtol=0)


def test_samples_have_the_density():
    """Kolmogorov-Smirnov against the integrated density, at one context; 1.95/√n is exceeded once in 1000 times."""
    model = randomised(MCGSM(4, 3, 2, 5)).double()
    c, y, n = torch.randn(4).double(), torch.linspace(-30, 30, 60_001).double(), 20_000
    with torch.no_grad():
        cdf = model.log_prob(c.expand(len(y), 4), y).exp().cumsum(0) * (y[1] - y[0])
    drawn = model.sample(c.expand(n, 4), torch.rand(n).double(), torch.randn(n).double()).sort().values
    empirical = torch.arange(1, n + 1) / n
    assert (cdf[torch.searchsorted(y, drawn)] - empirical).abs().max() < 1.95 / n**0.5


# --- whitening


def test_whitening_makes_white_and_leaves_what_regression_leaves():
    c, y = pairs([photo_like()], OFFSETS)
    whitening = Whitening(4)
    torch.testing.assert_close(whitening(c, y)[:2], (c, y))
    whitening.fit(c, y)
    z, v, log_jacobian = whitening.double()(c.double(), y.double())
    torch.testing.assert_close(torch.cov(torch.cat([z, v[:, None]], 1).T, correction=0), torch.eye(5).double(), atol=1e-3, rtol=0)
    assert z.mean(0).abs().max() < 1e-3 and abs(v.mean()) < 1e-3
    torch.testing.assert_close(whitening.inverse(z, v), y.double())
    pixel = y.double().requires_grad_()
    slope = torch.autograd.grad(whitening(c.double(), pixel)[1].sum(), pixel)[0]
    torch.testing.assert_close(slope.log(), log_jacobian.expand_as(slope))


def test_density_of_pixels_has_the_whitening_jacobian():
    """Without training, K = S = 1 on whitened pairs is linear regression on pixels, to the last constant. Without log σ it is off by nats."""
    c, y = pairs([photo_like()], OFFSETS)
    model = MarkovMesh(OFFSETS, MCGSM(4, 1, 1, 3))
    model.whitening.fit(c, y)
    _, variance, log_p = regression(c, y)
    with torch.no_grad():
        torch.testing.assert_close(model.double().pixel_log_prob(c.double(), y.double()), log_p, atol=1e-3, rtol=0)
    assert abs(0.5 * math.log(variance)) > 1


def test_density_of_pixels_integrates_to_one():
    model = mesh()
    c, _ = pairs([photo_like()], OFFSETS, 5)
    y = torch.linspace(-6, 7, 26_001).double()
    with torch.no_grad():
        density = model.pixel_log_prob(c.double()[:, None].expand(-1, len(y), -1), y.expand(len(c), -1)).exp()
    assert (torch.trapezoid(density, y) - 1).abs().max() < 1e-5


# --- images


def test_log_prob_of_an_image_equals_a_loop():
    model, x = mesh(), torch.rand(2, 1, 4, 6).double()
    total = torch.zeros(2).double()
    with torch.no_grad():
        for i in range(1, 4):
            for j in range(1, 5):
                c = torch.stack([x[:, 0, i + di, j + dj] for di, dj in OFFSETS], 1)
                total += model.pixel_log_prob(c, x[:, 0, i, j])
        torch.testing.assert_close(model.log_prob(x), total)
        torch.testing.assert_close(model.bits(x), total / (12 * math.log(2)))


def test_an_image_of_two_pixels_integrates_to_one():
    """1 × 3 pixels, the first given: ∫∫ p(x₂, x₃ ∣ x₁) = 1 on a grid."""
    offsets = neighbourhood(1, 3)
    model = MarkovMesh(offsets, randomised(MCGSM(1, 3, 2, 2))).double()
    axis = torch.linspace(-25, 25, 801).double()
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).flatten(0, 1)
    x = torch.cat([torch.full((len(grid), 1), 0.3).double(), grid], 1)[:, None, None]
    with torch.no_grad():
        mass = model.log_prob(x).exp().sum() * (axis[1] - axis[0]) ** 2
    assert abs(mass - 1) < 1e-3


def test_log_prob_is_differentiable_in_the_image():
    model = mesh()
    assert torch.autograd.gradcheck(lambda x: model.log_prob(x), torch.rand(1, 1, 3, 4).double().requires_grad_())


def test_each_pixel_depends_on_its_neighbourhood_and_on_nothing_else():
    model, x = mesh(), torch.rand(1, 1, 5, 6).double().requires_grad_()
    log_p = model.pixel_log_prob(*contexts(x, OFFSETS))[0, 2, 1]  # of pixel (3, 2)
    moved = torch.autograd.grad(log_p, x)[0][0, 0].nonzero().tolist()
    assert sorted(map(tuple, moved)) == sorted([(3, 2), *((3 + di, 2 + dj) for di, dj in OFFSETS)])


@pytest.mark.parametrize("size", [(2, 3), (4, 7)])
def test_the_order_of_drawing_matters_not(size):
    model = MarkovMesh(neighbourhood(*size), randomised(MCGSM(len(neighbourhood(*size)), 2, 2, 3), 0.1)).double()
    torch.manual_seed(3)
    at_once = model.sample(2, (6, 7), burn_in=2)
    torch.manual_seed(3)
    one_by_one = model.sample(2, (6, 7), burn_in=2, together=False)
    assert at_once.shape == (2, 1, 6, 7) and at_once.dtype == torch.float64 and at_once.std() > 0.1
    torch.testing.assert_close(at_once, one_by_one, atol=1e-9, rtol=0)


def test_sampled_textures_have_the_model_s_moments():
    """p(y ∣ left) = N(½ + 0.8 (left − ½), 0.1²): the chain's mean is ½, its variance 0.01/(1 − 0.64), its correlation 0.8."""
    model = MarkovMesh([(0, -1)], MCGSM(1, 1, 1, 0))
    with torch.no_grad():
        model.whitening.mean_out.fill_(0.5), model.whitening.mean_in.fill_(0.5)
        model.whitening.predictor.fill_(0.8), model.whitening.whiten_out.fill_(10.0)
    x = model.sample(40, (20, 60), burn_in=20, limits=(-math.inf, math.inf))[:, 0]
    assert abs(x.mean() - 0.5) < 0.01 and abs(x.var() / (0.01 / 0.36) - 1) < 0.05
    assert abs(torch.corrcoef(torch.stack([x[..., 1:].flatten(), x[..., :-1].flatten()]))[0, 1] - 0.8) < 0.01
    assert model.sample(4, (20, 60), limits=(0.4, 0.6)).aminmax() == (pytest.approx(0.4), pytest.approx(0.6))


# --- GSM


def test_gsm_starts_as_the_gaussian_and_learns_heavier_tails():
    x = torch.randn(3000, 2) @ torch.tensor([[1.0, 0.5], [0.0, 0.6]]) * torch.where(torch.rand(3000, 1) < 0.3, 3.0, 0.5) + 1
    train, test = x[:2000], x[2000:]
    gaussian, gsm = GSM(2, 1), GSM(2, 3)
    gaussian.start(train), gsm.start(train)
    expected = D.MultivariateNormal(train.mean(0), torch.cov(train.T, correction=0)).log_prob(test)
    torch.testing.assert_close(gaussian.log_prob(test), expected, atol=1e-4, rtol=1e-4)
    losses = lbfgs(gsm, train, steps=40)
    assert losses[-1] < losses[0] - 0.1 and gsm.log_prob(test).mean() > expected.mean() + 0.2
    drawn = gsm.sample(20_000)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(train.T), atol=0.2, rtol=0.1)
    assert abs(gsm.log_prob(drawn).mean() - gsm.log_prob(test).mean()) < 0.1


# --- learning


def test_it_learns_the_density_it_was_drawn_from():
    """Pairs from a joint mixture of GSMs: learnt from 4000, it comes within 0.03 nats of the truth on 4000 others; the Gaussian is far off."""
    truth, joint, _ = joint_of_gsms(2, 2, 2)
    v = joint.sample((8000,))
    (c, test_c), (y, test_y) = v[:, :2].split(4000), v[:, 2].split(4000)
    model, gaussian = MCGSM(2, 2, 2, 4).double(), MCGSM(2, 1, 1, 0).double()
    lbfgs(model, c, y, steps=150)
    lbfgs(gaussian, c, y)
    with torch.no_grad():
        best, ours, linear = (-m.loss(test_c, test_y).item() for m in (truth, model, gaussian))
    assert best - 0.03 < ours < best + 0.01 and linear < best - 0.05


def test_adam_learns_too():
    c, y = pairs([photo_like()], OFFSETS)
    model = MarkovMesh(OFFSETS, MCGSM(4, 2, 2, 4))
    model.whitening.fit(c, y)
    before = model.loss(c, y).item()
    fit(model, list(zip(c.split(200), y.split(200), strict=True)), steps=60, lr=cosine(0.03, 60), progress=False)
    assert model.loss(c, y).item() < before - 0.05


@pytest.mark.parametrize("name", ["brick", "grass", "gravel"])
def test_mcgsm_beats_gsm_beats_gaussian_on_a_texture(name):
    """Trained on the left strip, tested on the right one; each step of the ladder by more than 4 standard errors of the paired difference."""
    strips, offsets = regions(name), neighbourhood(3, 5)
    c, y = pairs([strips.train], offsets, 8000)
    test = pairs([strips.test], offsets, 8000, seed=1)
    log_p = []
    for components, scales in ((1, 1), (1, 4), (4, 4)):
        model = MarkovMesh(offsets, MCGSM(12, components, scales, 8))
        model.whitening.fit(c, y)
        if scales > 1:
            z, v, _ = model.whitening(c, y)
            lbfgs(model.conditional, z, v, steps=30)
        with torch.no_grad():
            log_p.append(model.pixel_log_prob(*test))
    for worse, better in itertools.pairwise(log_p):
        gain = better - worse
        assert gain.mean() > 4 * gain.std() / len(gain) ** 0.5


@pytest.mark.data
def test_bits_on_photographs(data_folder):
    """A short training on BSDS: far above linear regression (2.24 bits a pixel); log₂ density of [0, 1] pixels, higher is better."""

    def grey(folder, count):
        return [torch.from_numpy(np.array(Image.open(p).convert("L")))[None] for p in sorted((data_folder / folder).glob("*.jpg"))[:count]]

    offsets = neighbourhood()
    c, y = pairs(grey("train/bsds300_train", 12), offsets, 40_000)
    test = pairs(grey("sr/bsd100/hr", 12), offsets, 10_000, seed=1)
    model = MarkovMesh(offsets, MCGSM(24, 16, 4, 24))
    model.whitening.fit(c, y)
    z, v, _ = model.whitening(c, y)
    linear, steps = MarkovMesh(offsets, MCGSM(24, 1, 1, 0)), 500
    linear.whitening.fit(c, y)
    fit(model.conditional, list(zip(z.split(500), v.split(500), strict=True)), steps=steps, lr=cosine(0.02, steps), progress=False)
    with torch.no_grad():
        assert model.pixel_log_prob(*test).mean() / math.log(2) > 3.3 > 2.6 > linear.pixel_log_prob(*test).mean() / math.log(2) > 1.9


# --- errors


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="rows, columns: expected .* odd number .* got 4 and 6"):
        neighbourhood(4, 6)
    for bad in ([], [(0, 0)], [(0, 1)], [(1, -1)]):
        with pytest.raises(ValueError, match="offsets: expected places above"):
            margins(bad)
    with pytest.raises(ValueError, match="offsets"):
        MarkovMesh([(0, 1)], MCGSM(1))
    with pytest.raises(ValueError, match="x: expected more than 3 rows and 6 columns, got 3×9"):
        contexts(torch.rand(1, 1, 3, 9), neighbourhood())
    with pytest.raises(ValueError, match="images: expected at least one"):
        pairs([], OFFSETS)
    with pytest.raises(ValueError, match="contexts, components, scales, features: .* got 24, 0, 4, 24"):
        MCGSM(components=0)
    with pytest.raises(ValueError, match="dims, scales: expected at least 1, got 0 and 4"):
        GSM(0)
    with pytest.raises(ValueError, match="context: expected a covariance of full rank"):
        Whitening(2).fit(torch.rand(50, 1).expand(50, 2), torch.rand(50))
    c = torch.randn(50, 2)
    with pytest.raises(ValueError, match="pixel: expected something left"):
        Whitening(2).fit(c, 2 * c[:, 0])
    with pytest.raises(ValueError, match="n, shape, burn_in"):
        mesh().sample(0, (4, 4))


def test_what_is_no_grey_image_or_no_pair_is_refused():
    """Unchecked, each of these gives a number: of the red channel alone, of levels taken for [0, 1], of every context with every pixel."""
    for x in (torch.rand(1, 3, 9, 9), torch.rand(1, 9, 9), torch.ones(1, 1, 9, 9).byte()):
        with pytest.raises(ValueError, match=r"x: expected floats \(b, 1, h, w\)"):
            mesh().log_prob(x)
    with pytest.raises(ValueError, match="x: expected grey levels as whole numbers"):
        dequantise(torch.rand(1, 3, 3))
    for n in (0, -3, float("nan")):
        with pytest.raises(ValueError, match="n: expected at least one"):
            pairs([photo_like()], OFFSETS, n)
    for pixel in (torch.rand(7, 1), torch.rand(()), torch.rand(6)):
        with pytest.raises(ValueError, match=r"pixel: expected one for each context, \(7,\)"):
            MCGSM(2, 2, 2, 2).loss(torch.rand(7, 2), pixel)


def test_burn_in_is_cut_off_at_the_top_and_both_sides():
    model = mesh()
    torch.manual_seed(3)
    whole = model.sample(2, (4 + 3, 5 + 6), burn_in=0)
    torch.manual_seed(3)
    assert torch.equal(model.sample(2, (4, 5), burn_in=3), whole[:, :, 3:, 3:-3])


def test_a_uniform_number_of_one_picks_the_last_scale():
    model = randomised(MCGSM(2, 2, 3, 2))
    c, nothing = torch.randn(5, 2), torch.zeros(5)
    torch.testing.assert_close(model.sample(c, torch.full((5,), 1.1), nothing), c @ model.a[1] + model.m[1])
