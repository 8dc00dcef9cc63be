"""The hierarchical VAE: its parts add up, its bounds are in order, its posterior's law is the one its KL charges for."""

import importlib
import math
from pathlib import Path

import pytest
import torch
from torch import distributions as D
from torch import nn

from gensr.data.digits import digits
from gensr.densities import normal_log_prob
from gensr.likelihoods import Bernoulli
from gensr.models.nvae import NVAE, Group
from gensr.nets import spectral_norms
from gensr.train import fit


def small(**options):
    arguments = {"shape": (1, 8, 8), "groups": (2, 1), "channels": 8, "latent": 2, "likelihood": Bernoulli()}
    return NVAE(**(arguments | options))


@pytest.fixture
def x():
    return digits().train[:20].round()


def test_the_kls_of_the_groups_sum_to_the_rate(x):
    e = small().elbo(x)
    assert e.kls.shape == (20, 3)
    torch.testing.assert_close(e.kls.sum(1), e.kl)
    torch.testing.assert_close(e.total, e.reconstruction - e.kl)
    assert (e.kls >= 0).all()


@pytest.mark.parametrize("residual", [True, False])
def test_the_kl_is_that_of_the_densities_drawn_from(residual):
    """Clamped, floored, told relative to the prior or not: KL and log-ratio are those of the Gaussians that z comes from, seen from outside."""
    group = Group(8, 2, residual=residual).eval()
    for p in group.parameters():
        nn.init.normal_(p, std=0.5)
    down, up = torch.randn(1, 8, 1, 1).expand(20_000, 8, 1, 1), torch.randn(1, 8, 1, 1).expand(20_000, 8, 1, 1)
    draw = group.draw(down, up, 2)
    mu, sigma = group.parameters_of_prior(down[:1], 2)
    z = draw.z.detach()[:, :, 0, 0]
    q = D.Normal(z.mean(0), z.std(0))
    expected = D.kl_divergence(q, D.Normal(mu[0, :, 0, 0], sigma[0, :, 0, 0]))
    torch.testing.assert_close(draw.kl[0, :, 0, 0], expected, rtol=0.05, atol=0.02)  # moments of 20,000 draws
    torch.testing.assert_close(draw.log_ratio.mean(), expected.sum(), rtol=0.05, atol=0.05)


def test_a_posterior_that_says_nothing_costs_nothing():
    """Residual: Δμ = 0 and Δσ = 1 (up to the floor of 0.01) is the prior, whatever the prior is."""
    group = Group(8, 2)
    nn.init.zeros_(group.posterior[-1].weight)
    nn.init.zeros_(group.posterior[-1].bias)
    draw = group.draw(torch.randn(5, 8, 3, 3), torch.randn(5, 8, 3, 3), 2)
    assert draw.kl.max() < 2e-4  # ½(1.01² − 1 − log 1.01²) = 1e-4


def test_the_flow_keeps_track_of_its_volume():
    """log q of the moved draw against the change of variables with the autograd Jacobian."""
    group = Group(6, 2, flow=True).eval().double()
    for p in group.parameters():
        nn.init.normal_(p, std=0.4)
    down, up = torch.randn(1, 6, 1, 1).double(), torch.randn(1, 6, 1, 1).double()
    torch.manual_seed(3)
    draw = group.draw(down, up, 2)
    group.flow, flow = None, group.flow
    torch.manual_seed(3)
    plain = group.draw(down, up, 2)  # the same noise, without the flow
    group.flow = flow

    def move(z):
        kept, moved = z.view(1, 2, 1, 1).tensor_split([1], 1)
        shift, log_scale = flow(torch.cat([kept, up], 1)).chunk(2, 1)
        return torch.cat([kept, shift + (2 * torch.tanh(log_scale / 2)).exp() * moved], 1).flatten()

    torch.testing.assert_close(move(plain.z.flatten()), draw.z.flatten())
    logdet = torch.autograd.functional.jacobian(move, plain.z.flatten()).slogdet().logabsdet
    mu, sigma = group.parameters_of_prior(down, 2)
    prior = normal_log_prob(draw.z, mu, 2 * sigma.log()).sum() - normal_log_prob(plain.z, mu, 2 * sigma.log()).sum()
    torch.testing.assert_close(draw.log_ratio[0], plain.log_ratio[0] - logdet - prior)


def test_importance_weights_tighten_the_bound(x):
    model = small().eval()
    with torch.no_grad():
        elbo = torch.stack([model.elbo(x).total for _ in range(30)]).mean()
        single = torch.stack([model.iw_bound(x, 1) for _ in range(30)]).mean()
        tight = model.iw_bound(x, 100).mean()
    assert abs(elbo - single) < 0.6  # the same expectation; the spread of 30 × 20 draws of a sum of 3 groups
    assert tight > elbo


def test_learns_digits_and_uses_every_group(x):
    model = small(channels=16, groups=(1, 1), latent=2)
    data = digits().train.round()
    history = fit(model, torch.utils.data.DataLoader(data, 100, shuffle=True), steps=250, lr=3e-3, progress=False)
    assert sum(history.losses[-20:]) / 20 < 24  # 27.3 is a Bernoulli for each pixel
    assert (model.elbo(x).kls.mean(0) > 0.3).all()


def test_reconstruction_with_all_groups_is_the_output(x):
    model = small().eval()
    torch.manual_seed(1)
    whole = model.reconstruct(x, 3)
    torch.manual_seed(1)
    torch.testing.assert_close(whole, model.likelihood.mean(model.walk(x)[0]))
    nothing = model.reconstruct(x, 0)
    torch.testing.assert_close(nothing, nothing[:1].expand_as(nothing))  # told nothing of x, all are the same
    with pytest.raises(ValueError, match="groups"):
        model.reconstruct(x, 4)


def test_samples_and_temperature():
    model = small().eval()
    assert model.sample(5).shape == (5, 1, 8, 8)
    spread = [torch.stack([model._imagine(model.start.expand(50, -1, -1, -1), [], tau) for _ in range(4)]).std().item() for tau in (0.0, 1.0)]
    assert spread[0] < spread[1]


def test_the_mean_of_a_sample_has_no_pixel_noise():
    model = small().eval()
    torch.manual_seed(4)
    grey = model.sample(200, mean=True)
    torch.manual_seed(4)
    drawn = model.sample(200)
    assert ((drawn == 0) | (drawn == 1)).all()
    assert not ((grey == 0) | (grey == 1)).any()
    # the same latents: 12,800 Bernoulli draws scatter about their means by less than 0.5, so the average by less than 0.005
    assert abs((drawn - grey).mean()) < 0.02


def test_a_likelihood_may_read_more_channels():
    class Two(nn.Module):
        outputs = 2

        def log_prob(self, x, out):
            mean, log_scale = out.chunk(2, 1)
            return normal_log_prob(x, mean, log_scale)

    model = small(likelihood=Two())
    assert model.walk(torch.rand(3, 1, 8, 8))[0].shape == (3, 2, 8, 8)
    assert model.elbo(torch.rand(3, 1, 8, 8)).total.shape == (3,)


def test_recalibration_moves_only_the_way_down():
    model = small().train()
    model.loss(torch.rand(10, 1, 8, 8))
    before = {n: b.clone() for n, b in model.named_buffers() if n.endswith("running_mean")}
    model.eval().recalibrate(batches=3, n=16)
    changed = {n for n, b in model.named_buffers() if n in before and not torch.equal(b, before[n])}
    assert changed
    assert not any(n.startswith("readers") or ".posterior." in n for n in changed)
    assert not any(m.training for m in model.modules())


def test_balancing_ends_with_the_warm_up(x):
    model = small(warmup=2)
    torch.manual_seed(0)
    model.loss(x)
    torch.manual_seed(0)
    full = model.loss(x)  # the second step: the weight is 1
    torch.manual_seed(0)
    e = model.elbo(x)
    torch.testing.assert_close(full, -e.total.mean())
    assert model.step == 2


def test_spectral_norms_are_the_largest_singular_values():
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 4, 1))
    nn.init.constant_(net[1].weight, -0.7)
    total = spectral_norms(net)
    grams = [m.weight.flatten(1) @ m.weight.flatten(1).T for m in (net[0], net[2])]  # by another route: √ of the largest eigenvalue of W Wᵀ
    expected = sum(torch.linalg.eigvalsh(g)[-1].sqrt() for g in grams) + 0.7
    torch.testing.assert_close(total, expected, rtol=1e-3, atol=0)
    total.backward()
    u, _, v = torch.linalg.svd(net[2].weight.detach().flatten(1), full_matrices=False)
    torch.testing.assert_close(net[2].weight.grad.flatten(1), torch.outer(u[:, 0], v[0]), atol=1e-2, rtol=0)


def test_checkpointing_changes_nothing_but_memory(x):
    a, b = small(), small(checkpointing=True)
    b.load_state_dict(a.state_dict())
    gradients = []
    for model in (a, b):
        torch.manual_seed(2)
        loss = model.loss(x)
        gradients.append((loss, torch.autograd.grad(loss, model.start)[0]))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"shape": (1, 10, 8)}, "shape"), ({"groups": (0, 1)}, "groups"), ({"channels": 9}, "channels"), ({"warmup": -1}, "warmup"),
        ({"spectral": -0.1}, "spectral"),
    ],
)
def test_bad_arguments(options, word):
    with pytest.raises(ValueError, match=word):
        small(**options)


def test_iw_bound_needs_a_sample(x):
    with pytest.raises(ValueError, match="samples"):
        small().iw_bound(x, 0)
    assert math.isfinite(small().iw_bound(x, 1).mean().item())


def test_the_size_for_a_gpu_takes_a_step(monkeypatch):
    """recipes/nvae_textures.py --large: twenty groups start near their priors, and one step of Adam lowers the loss on its batch."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "recipes"))
    recipe = importlib.import_module("nvae_textures")
    torch.manual_seed(0)
    model, x = recipe.build("large", steps=100), recipe.coarse(recipe.held_out("validation"))[::24]
    assert len(model.groups) == 20
    losses = []
    adam = torch.optim.Adam(model.parameters(), recipe.SIZES["large"]["lr"] / 200)  # the first rate of its warm-up
    for _ in range(2):
        model.step.zero_()
        torch.manual_seed(1)
        loss = model.loss(x)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[1] < losses[0] < 10_000  # an ordinary random start is at 10⁸
