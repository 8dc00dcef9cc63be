"""What recipes compute by a short cut of their own equals the library's way."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gensr.models.mcgsm import MCGSM

RECIPES = Path(__file__).parents[1] / "recipes"


def test_the_quick_gradient_of_the_mcgsm_is_that_of_its_loss(monkeypatch):
    """Fisher's identity against autograd, in double precision, at parameters far from the start."""
    monkeypatch.syspath_prepend(str(RECIPES))
    from mcgsm_bsds import Quick  # type: ignore[import-not-found]

    model = MCGSM(5, 3, 4, 6).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p))
    c, y = torch.randn(50, 5).double(), torch.randn(50).double()
    exact = torch.autograd.grad(model.loss(c, y), list(model.parameters()))
    quick = torch.autograd.grad(Quick(model).loss(c, y), list(model.parameters()))
    assert max(g.abs().max() for g in exact) > 0.1
    for a, b in zip(exact, quick, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.data
def test_what_the_amortised_networks_are_judged_on_was_not_trained_on(monkeypatch, data_folder):
    """Regions of one photograph share no pixel, and faces no person."""
    monkeypatch.syspath_prepend(str(RECIPES))
    from amortised import SCALE, other_textures, pictures  # type: ignore[import-not-found]

    whole = other_textures()
    left, right = pictures("grass")[1:], pictures("grass", "others")
    assert len(whole) == len(left) == len(right) == 80
    for x, a, b in zip(whole, left, right, strict=True):
        first = a.shape[2]  # the right part begins here, and may end earlier
        assert torch.equal(a, x[:, :, :first]) and torch.equal(b, x[:, : b.shape[1], first : first + b.shape[2]])
        assert b.shape[1] % SCALE == b.shape[2] % SCALE == 0 and b.shape[2] >= 0.25 * x.shape[2]
    strips = [pictures("grass", part)[0] for part in ("train", "validation", "test")]
    assert [s.shape[2] for s in strips] == [352, 64, 96]
    people = [pictures("faces", part) for part in ("train", "validation", "test")]
    assert [len(p) for p in people] == [280, 40, 80]
    as_bytes = [{x.numpy().tobytes() for x in p} for p in people]
    assert not (as_bytes[0] & as_bytes[2] or as_bytes[1] & as_bytes[2])


@pytest.mark.data
def test_a_resumed_training_keeps_the_best_step_of_the_sitting_before(monkeypatch, data_folder, tmp_path):
    """The best network on validation images survives an interruption, whichever sitting it was of."""
    monkeypatch.syspath_prepend(str(RECIPES))
    import amortised  # type: ignore[import-not-found]

    monkeypatch.setattr(amortised, "RUNS", tmp_path)
    net = amortised.Regression(amortised.body(1, 0, 4, 1), torch.nn.functional.mse_loss)
    now = {"step": 1, "history": SimpleNamespace(losses=[1.0]), "average": net}
    best = tmp_path / "net.best"
    amortised.reporter("faces", "MSE", 40, best)(now)
    first = torch.load(best)
    assert set(first) == {"psnr", "generator"} and 5 < first["psnr"] < 40
    torch.save({**first, "psnr": 99.0}, best)  # as if an earlier sitting had done better
    amortised.reporter("faces", "MSE", 40, best)(now)
    assert torch.load(best)["psnr"] == 99.0
