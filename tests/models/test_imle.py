"""IMLE: the nearest sample to each datum, found exactly; all modes covered, at the price of samples in between; held-out data projected."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from gensr.models.imle import IMLE, nearest
from gensr.nets import MLP
from gensr.train import cosine, fit

ANGLES = torch.arange(8) * math.pi / 4
CENTRES = 2 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
SIGMA = 0.1


def ring(n: int) -> torch.Tensor:
    """Eight Gaussians on a circle."""
    return CENTRES[torch.randint(8, (n,))] + SIGMA * torch.randn(n, 2)


class Shuffled:
    def __init__(self, x: torch.Tensor, batch: int = 200):
        self.x, self.batch = x, batch

    def __iter__(self):
        for rows in torch.randperm(len(self.x)).split(self.batch):
            yield self.x[rows]


def modes_and_quality(samples: torch.Tensor) -> tuple[int, float]:
    """Modes that hold at least 1 % of the samples within 3 σ, and the share of all samples that is within 3 σ of some mode."""
    distance, mode = torch.cdist(samples, CENTRES).min(1)
    good = distance < 3 * SIGMA
    counts = torch.bincount(mode[good], minlength=8)
    return int((counts >= 0.01 * len(samples)).sum()), good.float().mean().item()


def new_imle(**keywords) -> IMLE:
    return IMLE(MLP(2, 64, 64, 2), 2, **keywords)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(u, v) for u, v in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# ---- the search ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (2,), (64,), (3, 8, 8)])
@pytest.mark.parametrize("chunk", [1, 1000, 1 << 19])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearest_equals_brute_force(shape, chunk, dtype):
    x, pool = torch.randn(83, *shape, dtype=dtype), torch.randn(301, *shape, dtype=dtype)
    found = nearest(x, pool, chunk=chunk)
    distance, index = torch.cdist(x.flatten(1), pool.flatten(1), compute_mode="donot_use_mm_for_euclid_dist").min(1)
    torch.testing.assert_close(found.distance, distance)
    assert torch.equal(found.index, index)
    theirs, rows = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(pool.flatten(1).double().numpy()).kneighbors(x.flatten(1).double().numpy())
    np.testing.assert_allclose(found.distance, theirs[:, 0], rtol=1e-5)
    assert (found.index.numpy() == rows[:, 0]).mean() == 1


def test_nearest_where_matrix_products_fail():
    """Clouds far from the origin: the expanded square loses every digit that matters, the search must not."""
    side = torch.where(torch.rand(400, 1) < 0.5, 1000.0, -1000.0)
    for centre in (torch.full((400, 1), 1000.0), side):  # the second stays far after centring
        pool = centre + 0.01 * torch.randn(400, 16)
        x = pool[:100] + 0.001 * torch.randn(100, 16)
        distance, index = torch.cdist(x.double(), pool.double(), compute_mode="donot_use_mm_for_euclid_dist").min(1)
        naive = (x.square().sum(1)[:, None] - 2 * x @ pool.T + pool.square().sum(1)).argmin(1)
        assert (naive != index).float().mean() > 0.2  # so the case is a hard one
        found = nearest(x, pool)
        assert torch.equal(found.index, index)
        torch.testing.assert_close(found.distance.double(), distance, rtol=1e-6, atol=0)


def test_nearest_of_equals_is_the_first_and_self_is_at_zero():
    pool = torch.randn(20, 3).repeat(3, 1)
    found = nearest(pool, pool)
    assert torch.equal(found.index, torch.arange(20).repeat(3)) and (found.distance == 0).all()
    assert nearest(pool[:0], pool).index.shape == (0,)


def test_nearest_refuses():
    with pytest.raises(ValueError, match="pool: expected rows of shape"):
        nearest(torch.zeros(3, 2), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="pool: expected at least one row"):
        nearest(torch.zeros(3, 2), torch.zeros(0, 2))
    with pytest.raises(ValueError, match="x: expected finite"):
        nearest(torch.full((3, 2), math.nan), torch.zeros(3, 2))


# ---- the loss ------------------------------------------------------------------------------------------------------------------------


def test_each_datum_picks_a_sample():
    """x = (2 z₁, −z₂): the loss by brute force over the pool, and its gradient; a sample that no datum picks gets no pull."""
    model = IMLE(nn.Linear(2, 2), 2, pool=50, reuse=1)
    model.generator.weight.data = torch.tensor([[2.0, 0.0], [0.0, -1.0]])
    nn.init.zeros_(model.generator.bias)
    x = torch.tensor([[0.5, 0.5], [-1.0, 0.0], [-1.1, 0.1]])
    loss = model.loss(x)
    made = model.z * torch.tensor([2.0, -1.0])
    torch.testing.assert_close(model.samples, made)
    picked = torch.stack([made[(made - one).square().sum(1).argmin()] for one in x])
    torch.testing.assert_close(loss, 0.5 * (x - picked).square().sum(1).mean())
    loss.backward()
    torch.testing.assert_close(model.generator.bias.grad, (picked - x).mean(0))


def test_the_pool_serves_reuse_steps():
    model = new_imle(pool=30, reuse=3)
    x, pools = ring(10), []
    for _ in range(7):
        model.loss(x)
        pools.append((model.z.clone(), model.samples.clone()))
        with torch.no_grad():  # the generator moves on; what the pool looked like when it was drawn stays
            model.generator[-1].bias += 1
    for (before, after), new in zip(itertools.pairwise(pools), [False, False, True] * 2, strict=True):
        assert torch.equal(before[0], after[0]) != new and torch.equal(before[1], after[1]) != new
    assert pools[-1][0].mean().abs() < 0.6 and 0.5 < pools[-1][0].std() < 1.5


def test_building_leaves_the_generator_as_it_was():
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    model = IMLE(net, 2, pool=5)
    assert net.training and net[1].num_batches_tracked == 0 and model.samples.shape == (5, 3)


@pytest.mark.parametrize("stop", [1, 5, 13])  # within a pool's life and at its end
def test_resume_is_bit_for_bit(tmp_path, stop):
    x = ring(100)

    def run(steps, path, seed):
        torch.manual_seed(0)
        model = new_imle(pool=40, reuse=5)
        torch.manual_seed(seed)
        return model, fit(model, Shuffled(x, 30), steps=steps, lr=0.01, checkpoint=path, progress=False).losses

    whole, losses = run(20, None, 1)
    run(stop, tmp_path / "c.pt", 1)
    again, resumed = run(20, tmp_path / "c.pt", 999)
    assert losses == resumed and same(whole, again)


# ---- what it learns ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_covers_every_mode(seed):
    """All 8, in two seconds; but only a fifth to a third of the samples lie in a mode, and the rest in between: IMLE's price, measured, not hidden."""
    torch.manual_seed(seed)
    model = new_imle(pool=200, reuse=5)
    history = fit(model, Shuffled(ring(2000)), steps=1000, lr=cosine(5e-3, 1000), progress=False)
    modes, quality = modes_and_quality(model.sample(5000))
    assert modes == 8
    assert 0.12 < quality < 0.6
    assert np.mean(history.losses[-100:]) < 0.2 * np.mean(history.losses[:5])
    assert nearest(ring(500), model.sample(5000)).distance.mean() < SIGMA  # every datum, also held out, has a sample nearby


@pytest.mark.parametrize("seed", range(4))
def test_matching_from_the_wrong_side_drops_modes(seed):
    """Each sample to its nearest datum: high quality, and modes are gone, for no datum complains."""

    class Wrong(IMLE):
        def loss(self, x):
            made = self.generator(torch.randn(len(x), 2))
            return 0.5 * (made - x[nearest(made, x).index]).square().sum(1).mean()

    torch.manual_seed(seed)
    model = Wrong(MLP(2, 64, 64, 2), 2)
    fit(model, Shuffled(ring(2000)), steps=400, lr=cosine(5e-3, 400), progress=False)
    modes, quality = modes_and_quality(model.sample(5000))
    assert modes <= 4 and quality > 0.9


def test_projection_recovers_a_datum():
    """Of a generator with an inverse: z comes back, alone or in a batch, and the weights stay."""
    model = IMLE(nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(0.5), nn.Linear(2, 5)), 2, pool=200)
    z = torch.randn(6, 2)
    x = model.generator(z).detach()
    before = [p.clone() for p in model.parameters()]
    with torch.no_grad():  # whoever calls it
        found = model.project(x, steps=800)
    torch.testing.assert_close(found, z, atol=5e-3, rtol=0)
    assert all(torch.equal(p, q) and p.grad is None for p, q in zip(model.parameters(), before, strict=True))
    assert not found.requires_grad and model.step == 0
    torch.testing.assert_close(model.project(x[:1], steps=800), z[:1], atol=5e-3, rtol=0)


def test_projection_never_gets_worse_with_steps():
    model, x = new_imle(pool=50), ring(20)

    def error(steps):
        torch.manual_seed(3)
        return (x - model.generator(model.project(x, steps=steps, lr=0.5))).square().sum(1)  # a rate at which Adam jumps about

    errors = [error(steps).detach() for steps in (0, 1, 10, 50)]
    for worse, better in itertools.pairwise(errors):
        assert (better <= worse + 1e-6).all()
    assert errors[-1].mean() < errors[0].mean()


def test_bad_arguments():
    for name in ("latent", "pool", "reuse"):
        with pytest.raises(ValueError, match=f"{name}: expected at least 1"):
            IMLE(nn.Linear(1, 1), **{"latent": 1, "pool": 5, "reuse": 1, name: 0})
    with pytest.raises(ValueError, match="steps"):
        new_imle().project(ring(2), steps=-1)
