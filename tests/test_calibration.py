"""Calibration error against hand-made cases."""

import pytest
import torch

from gensr.metrics.calibration import auroc, entropy, expected_calibration_error, reliability


def test_overconfident_answers():
    """100 answers given with probability 0.95, of which 60 are right: one bin, off by 0.35."""
    probs = torch.tensor([[0.95, 0.05]]).expand(100, 2)
    labels = torch.tensor([0] * 60 + [1] * 40)
    assert expected_calibration_error(probs, labels) == pytest.approx(0.35, abs=1e-6)
    r = reliability(probs, labels, bins=10)
    assert r.count.tolist() == [0] * 9 + [100]
    assert r.accuracy[9].item() == pytest.approx(0.6)
    assert r.confidence[:9].isnan().all()


def test_bins_are_weighted_by_their_size():
    probs = torch.tensor([[0.95, 0.05]] * 30 + [[0.55, 0.45]] * 10)
    labels = torch.tensor([0] * 30 + [1] * 10)  # off by 0.05 in 30, by 0.55 in 10
    assert expected_calibration_error(probs, labels) == pytest.approx((0.05 * 30 + 0.55 * 10) / 40, abs=1e-6)


def test_drawn_from_its_own_probabilities_it_is_calibrated():
    probs = torch.rand(200_000, 3).softmax(1)
    labels = torch.multinomial(probs, 1)[:, 0]
    assert expected_calibration_error(probs, labels) < 0.005


def test_entropy_is_that_of_torch():
    probs = torch.rand(3, 5).softmax(1)
    torch.testing.assert_close(entropy(probs), torch.distributions.Categorical(probs).entropy())
    assert entropy(torch.tensor([1.0, 0.0])) == 0


def test_auroc_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    inside, outside = torch.randn(300).round(decimals=1), (torch.randn(200) + 0.7).round(decimals=1)  # rounded, so that there are ties
    expected = roc_auc_score([0] * 300 + [1] * 200, torch.cat([inside, outside]).numpy())
    assert auroc(inside, outside) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="inside, outside"):
        auroc(inside[:0], outside)


@pytest.mark.parametrize(
    ("probs", "labels", "bins", "word"),
    [
        (torch.randn(3, 2), torch.zeros(3).long(), 15, "probs"), (torch.full((3, 2), 0.5), torch.zeros(2).long(), 15, "labels"),
        (torch.zeros(0, 2), torch.zeros(0).long(), 15, "labels"), (torch.full((3, 2), 0.5), torch.zeros(3).long(), 0, "bins"),
    ],
)
def test_bad_arguments(probs, labels, bins, word):
    with pytest.raises(ValueError, match=word):
        reliability(probs, labels, bins)


def test_a_sure_answer_falls_into_the_last_bin():
    found = reliability(torch.eye(3), torch.tensor([0, 1, 0]), bins=4)
    assert found.count.tolist() == [0, 0, 0, 3] and found.confidence[3] == 1 and found.accuracy[3] == pytest.approx(2 / 3)


def test_auroc_of_single_scores():
    assert auroc(torch.tensor([0.0, 2.0]), torch.tensor([1.0])) == 0.5 and auroc(torch.tensor([0.0]), torch.tensor([1.0, 2.0])) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: reliability(torch.tensor([[1.5, -0.5]]), torch.tensor([0])), "probs: expected rows of probabilities"),
        (lambda: reliability(torch.tensor([[0.2, 0.2]]), torch.tensor([0])), "probs: expected rows of probabilities"),
        (lambda: reliability(torch.tensor([[0.5, 0.5]]), torch.tensor([2])), "labels: expected numbers from 0 to 1, got 2 … 2"),
        (lambda: reliability(torch.tensor([[0.5, 0.5]]), torch.tensor([-1])), "labels: expected numbers from 0 to 1, got -1"),
        (lambda: reliability(torch.eye(2), torch.tensor([[0], [1]])), r"labels: expected as many .* got \(2, 1\)"),
        (lambda: reliability(torch.tensor([0.5, 0.5]), torch.tensor([0, 1])), "labels: expected as many"),
        (lambda: entropy(torch.tensor([[-1.0, 2.0]])), "probs: expected rows of probabilities"),
        (lambda: entropy(torch.tensor([2.0, 1.0])), "probs: expected rows of probabilities"),
        (lambda: entropy(torch.tensor([float("nan"), 1.0])), "probs: expected rows of probabilities"),
        (lambda: auroc(torch.tensor([0.0, float("nan")]), torch.tensor([1.0])), "inside, outside: contain NaN"),
        (lambda: auroc(torch.tensor([0.0]), torch.tensor([float("nan")])), "inside, outside: contain NaN"),
        (lambda: auroc(torch.rand(3, 2), torch.rand(3)), "inside, outside: expected scores in both"),
    ],
)
def test_what_is_no_probability_no_label_or_no_score_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
