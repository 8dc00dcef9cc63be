"""Ensembles and MC dropout against nets written one by one, and against the law of the mask."""

import pytest
import torch

from gensr.models.ensemble import Ensemble
from gensr.train import fit


def squares(out, y):
    return -0.5 * (y - out).square().sum(1)


def test_members_are_ordinary_nets():
    model, x = Ensemble(3, 4, 6, 2, log_likelihood=squares), torch.randn(5, 4)
    first, second = model.weights
    for k, out in enumerate(model(x)):
        hidden = torch.nn.functional.linear(x, first[k, :-1].T, first[k, -1]).relu()
        torch.testing.assert_close(out, torch.nn.functional.linear(hidden, second[k, :-1].T, second[k, -1]))


def test_members_learn_as_they_would_alone():
    """The loss is a sum over members and Adam works weight by weight, so a member's path does not depend on the others."""
    x, y = torch.randn(20, 3), torch.randn(20, 1)
    many, one = Ensemble(4, 3, 5, 1, log_likelihood=squares), Ensemble(1, 3, 5, 1, log_likelihood=squares)
    with torch.no_grad():
        for alone, crowd in zip(one.weights, many.weights, strict=True):
            alone.copy_(crowd[2:3])
    for model in (many, one):
        fit(model, [(x, y)], steps=50, lr=0.01, progress=False)
    for alone, crowd in zip(one.weights, many.weights, strict=True):
        torch.testing.assert_close(alone[0], crowd[2])
    assert not torch.allclose(many.weights[0][0], many.weights[0][2])


def test_dropout_at_prediction_keeps_the_mean():
    """With one hidden layer the output is linear in the mask: its mean is that of no dropout, its variance Σ (v h)² p/(1 − p)."""
    model, x = Ensemble(1, 3, 8, 1, log_likelihood=squares, dropout=0.3), torch.randn(2, 3)
    draws = model.predict(x, 20_000)  # standard error of the mean: std/141
    assert draws.shape == (20_000, 2, 1)
    model.dropout = 0.0
    plain = model.predict(x)[0]
    hidden = (torch.nn.functional.pad(x, (0, 1), value=1.0) @ model.weights[0][0]).relu()
    variance = (hidden * model.weights[1][0, :-1, 0]).square().sum(1, keepdim=True) * 0.3 / 0.7
    torch.testing.assert_close(draws.var(0), variance.detach(), rtol=0.06, atol=1e-6)
    assert ((draws.mean(0) - plain).abs() < 5 * draws.std(0) / 141).all()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Ensemble(0, 2, 2, log_likelihood=squares), "members"), (lambda: Ensemble(1, 2, log_likelihood=squares), "sizes"),
        (lambda: Ensemble(1, 2, 2, log_likelihood=squares, dropout=1.0), "dropout"),
        (lambda: Ensemble(1, 2, 2, log_likelihood=squares).predict(torch.zeros(1, 2), 0), "samples"),
    ],
)
def test_bad_arguments(make, word):
    with pytest.raises(ValueError, match=word):
        make()
