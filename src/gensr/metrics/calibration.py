"""Calibration: of the answers given with probability 0.8, are 80 % right? And does doubt grow where it should?"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Reliability(NamedTuple):
    """For each bin of confidence: the mean confidence, the share of right answers, and how many there are; NaN where a bin is empty."""

    confidence: Float[Tensor, " bins"]
    accuracy: Float[Tensor, " bins"]
    count: Int[Tensor, " bins"]


def reliability(probs: Float[Tensor, "n classes"], labels: Int[Tensor, " n"], bins: int = 15) -> Reliability:
    """The reliability diagram: the most probable class of each datum, sorted by its probability into equal bins of [0, 1].

    Args:
        probs: of the classes, each row sums to 1.
        labels: the right classes.

    Raises:
        ValueError: rows that are no probabilities, no data, a number of labels that differs, labels of no class, or bins below 1.

    Reference: DeGroot & Fienberg 1983; Guo, Pleiss, Sun, Weinberger 2017, §2.
    """
    if probs.dim() != 2 or len(probs) == 0 or labels.shape != probs.shape[:1]:
        raise ValueError(f"labels: expected as many as rows in probs, at least one, got {tuple(labels.shape)} for {tuple(probs.shape)}")
    _check(probs)
    if labels.min() < 0 or labels.max() >= probs.shape[1]:
        raise ValueError(f"labels: expected numbers from 0 to {probs.shape[1] - 1}, got {labels.min()} … {labels.max()}")
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins}")
    confidence, answer = probs.double().max(1)
    right = (answer == labels).double()
    place = (confidence * bins).long().clamp(max=bins - 1)  # (n,)
    count = torch.bincount(place, minlength=bins)
    return Reliability(
        torch.bincount(place, confidence, minlength=bins) / count, torch.bincount(place, right, minlength=bins) / count, count
    )


def expected_calibration_error(probs: Float[Tensor, "n classes"], labels: Int[Tensor, " n"], bins: int = 15) -> float:
    """ECE: the mean over the data of the distance, in its bin, between accuracy and confidence; from 0 (calibrated, up to the bins) to 1.

    With few data it is biased upwards: a calibrated model has about √(bins/n)·0.3, not 0. Compare models on the same data.

    Raises:
        ValueError: as `reliability`.

    Reference: Naeini, Cooper, Hauskrecht 2015; Guo et al. 2017, eq. 3.
    """
    confidence, accuracy, count = reliability(probs, labels, bins)
    return ((accuracy - confidence).abs().nan_to_num() * count).sum().item() / len(labels)


def entropy(probs: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch"]:
    """−Σ p log p of each row of probabilities, in nats: 0 for a sure answer, log(classes) for none.

    Raises:
        ValueError: rows that are no probabilities.

    Reference: Shannon 1948.
    """
    _check(probs)
    return torch.special.entr(probs).sum(-1)


def auroc(inside: Float[Tensor, " n"], outside: Float[Tensor, " m"]) -> float:
    """How well a score tells two sets apart: the probability that one drawn from `outside` scores higher than one from `inside`; a tie counts half.

    0.5 for a score that knows nothing, 1 for a perfect one. With `entropy` as the score: is doubt larger on foreign data than on familiar data? The mean
    entropy of foreign data alone does not say so: a net that always doubts has it too.

    Raises:
        ValueError: one of them empty, with NaN, or not of one axis.

    Reference: Hanley & McNeil 1982 (the area under the curve is this probability); Hendrycks & Gimpel 2017 (for foreign data).
    """
    if inside.dim() != 1 or outside.dim() != 1 or len(inside) == 0 or len(outside) == 0:
        raise ValueError(f"inside, outside: expected scores in both, (n,) and (m,), got {tuple(inside.shape)} and {tuple(outside.shape)}")
    if inside.isnan().any() or outside.isnan().any():
        raise ValueError("inside, outside: contain NaN")
    ordered = inside.sort().values
    below = torch.searchsorted(ordered, outside.contiguous()) + torch.searchsorted(ordered, outside.contiguous(), right=True)
    return below.double().mean().item() / (2 * len(inside))


def _check(probs: Tensor) -> None:
    if probs.dim() == 0 or not ((probs >= 0).all() and torch.allclose(probs.sum(-1), torch.ones_like(probs[..., 0]), atol=1e-3)):
        raise ValueError("probs: expected rows of probabilities that sum to 1 (softmax of the logits, not the logits)")
