"""What recipes compute by a short cut of their own equals the library's way."""

from pathlib import Path

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
