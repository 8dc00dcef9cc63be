"""How recipes/staffgan_roll.py judges samples: known densities have the modes they have, and known samplers get the scores they must."""

import math
from pathlib import Path

import pytest
import torch

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    import staffgan_roll  # type: ignore[import-not-found]

    return staffgan_roll


def mixture(s, *parts):
    """Of (weight, mean, sigma)."""
    return sum(w * torch.exp(-0.5 * ((s - m) / d) ** 2) / (d * math.sqrt(2 * math.pi)) for w, m, d in parts)


def test_modes_are_peaks_with_deep_valleys(recipe):
    width = 0.01
    s = torch.arange(-8, 8, width, dtype=torch.float64)
    two = recipe.modes(mixture(s, (0.7, -3, 0.5), (0.3, 2, 0.25)), width)
    assert [m.mass for m in two] == pytest.approx([0.7, 0.3], abs=0.003)
    for m, (mean, sigma) in zip(two, ((-3, 0.5), (2, 0.25)), strict=True):  # 1 % of the peak: at √(2 log 100) = 3.03 deviations
        assert [s[m.start].item(), s[m.stop - 1].item()] == pytest.approx([mean - 3.035 * sigma, mean + 3.035 * sigma], abs=2 * width)
    shallow = mixture(s, (0.5, -1.15, 1.0), (0.5, 1.15, 1.0))
    assert shallow[800] < 0.999 * shallow.max() and len(recipe.modes(shallow, width)) == 1  # two peaks, hardly a valley
    assert [m.mass for m in recipe.modes(mixture(s, (1, -6, 0.3)), width)] == pytest.approx([1], abs=0.003)
    three = recipe.modes(mixture(s, (0.6, -5, 0.3), (0.2, 0, 0.3), (0.2, 1.5, 0.3)), width)
    assert [m.mass for m in three] == pytest.approx([0.6, 0.2, 0.2], abs=0.003)


def test_scores_of_known_samplers(recipe):
    exact = recipe.truth(24)
    several = exact.several
    assert 0.3 < several.double().mean() < 1 and max(len(m) for m in exact.modes) == 3
    best = recipe.measure(recipe.exact_samples(exact), exact)
    assert best["coverage"] == best["coverage_half"] == 1 and best["found"] == best["there"] > 2
    assert best["overlap"] > 0.97 and best["kl_qp"] < 0.06 and best["kl_pq"] < 0.06 and best["between"] < 0.01 and best["misfit"] < 1e-6
    assert all(abs(v - 1) < 0.1 for v in best["by_mass"] if v >= 0)
    # draws from the heaviest region alone: its mass is what is covered, and KL[q‖p] = −log of it
    s, p = exact.posterior.s, exact.posterior.log_prob.exp()
    heaviest = [max(m, key=lambda v: v.mass) for m in exact.modes]
    inside = torch.stack([torch.where((torch.arange(len(s)) >= m.start) & (torch.arange(len(s)) < m.stop), row, 0) for m, row in zip(heaviest, p, strict=True)])
    cell = torch.multinomial(inside, 1000, replacement=True, generator=torch.Generator().manual_seed(1))
    one = recipe.measure(exact.posterior.x.gather(1, cell[..., None].expand(-1, -1, 2)), exact)
    mass = torch.tensor([m.mass / sum(v.mass for v in these) for m, these in zip(heaviest, exact.modes, strict=True)], dtype=torch.float64)
    part = exact.weight * several
    assert one["coverage"] == pytest.approx(((part * mass).sum() / part.sum()).item(), abs=1e-3)
    assert one["found"] == pytest.approx(1) and one["overlap"] == pytest.approx(one["coverage"], abs=1e-3)
    dropped = -(exact.weight * torch.tensor([m.mass for m in heaviest]).log()).sum().item()
    assert one["kl_qp"] == pytest.approx(dropped, abs=0.08) and one["kl_pq"] > 3 * one["kl_qp"]
    # one answer, far from the roll: nothing covered
    middle = exact.posterior.x[torch.arange(24), p.argmin(1)][:, None].expand(-1, 50, -1)
    none = recipe.measure(middle, exact)
    assert none["coverage"] == none["overlap"] == none["sigma"] == 0 and none["between"] == 1


def test_the_covering_game_descends_kl_p_q(recipe):
    """With the best critic of two normals, q = N(θ, 1) and p = N(0, 1), KL[p‖q] = θ²/2: the gradient is θ, for the KL in either direction."""
    x = torch.randn(400_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theta = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    logits = 0.5 * (0.4**2) - 0.4 * (x + theta)  # log p − log q with the θ of q held
    for game in ("KL[q‖p]", "KL[p‖q]"):
        (slope,) = torch.autograd.grad(recipe.GAMES[game](logits.detach(), logits).generator, theta, retain_graph=True)
        assert slope.item() == pytest.approx(0.4, abs=0.01)


def test_a_short_training_has_the_parts_the_table_wants(recipe, monkeypatch, tmp_path):
    exact, train = recipe.truth(24), recipe.train
    monkeypatch.setattr(recipe, "truth", lambda: exact)
    monkeypatch.setattr(recipe, "PARTS", tmp_path)
    monkeypatch.setattr(recipe, "MEASURED", tmp_path)
    monkeypatch.setattr(recipe, "SLICES", [6, 12])
    monkeypatch.setattr(recipe, "train", lambda seed, **keywords: train(seed, steps=2, every=1, **keywords))
    parts = {name: [recipe.one_run(name, recipe.FIRST_SEED)] for name in recipe.FILES}
    assert parts == {name: [recipe.one_run(name, recipe.FIRST_SEED)] for name in recipe.FILES}  # read back
    assert parts[recipe.MAIN][0]["sigma"] > 1 and parts["AffGAN"][0]["sigma"] < 1e-4
    recipe.write(parts, "a command")
    table = recipe.json.loads((tmp_path / "staffgan_roll.json").read_text())
    assert [r["sampler"] for r in table["rows"]] == ["exact posterior", "prior, projected", *recipe.FILES]
    assert table["curve"]["step"] == [1, 2] and len(table["regions"]) == len(table["y"]) == 24 and len(table["slices"]["posterior"]) == 2
