"""Two cheap rivals of a Bayesian net: several nets from several starts, and one net with units dropped at random, at prediction too.

Neither knows a prior or a bound. Both answer, like `gensr.models.bayes.BayesianMLP`, with many outputs for one input, whose probabilities are to be averaged.

Reference: Lakshminarayanan, Pritzel, Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles";
Gal & Ghahramani 2016, "Dropout as a Bayesian approximation".
"""

import itertools
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Ensemble(nn.Module):
    """So many MLPs side by side, trained on the same batches with `gensr.train.fit`; they differ in where they start.

    All weights of a layer stand in one tensor, so five small nets cost little more than one. With `members=1` it is an ordinary net, with `dropout` besides
    it is MC dropout: the units are dropped at prediction as well, anew for each draw and each datum.

    Args:
        members: K, how many nets.
        sizes: of the layers, inputs first; ReLU between them.
        log_likelihood: (output (n, m), y) -> (n,), log p(y|x, w) in nats.
        dropout: the share of the hidden units that is dropped.

    Raises:
        ValueError: members below 1, fewer than two sizes, or dropout outside [0, 1).

    Reference: Lakshminarayanan et al. 2017, §2.4, without their adversarial examples; Gal & Ghahramani 2016, §3.
    """

    def __init__(self, members: int, *sizes: int, log_likelihood: Callable[[Tensor, Tensor], Tensor], dropout: float = 0.0):
        super().__init__()
        if members < 1:
            raise ValueError(f"members: expected at least 1, got {members}")
        if len(sizes) < 2:
            raise ValueError(f"sizes: expected at least two, got {sizes}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected 0 up to, not including, 1, got {dropout}")
        self.weights = nn.ParameterList(
            torch.empty(members, a + 1, b).uniform_(-1 / math.sqrt(a), 1 / math.sqrt(a)) for a, b in itertools.pairwise(sizes)
        )  # the last row is the bias
        self.log_likelihood, self.dropout = log_likelihood, dropout

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "k b m"]:
        """The output of each member."""
        h = x.expand(len(self.weights[0]), *x.shape)  # (k, b, n)
        for i, w in enumerate(self.weights):
            if i:
                h = F.dropout(h.relu(), self.dropout)
            h = F.pad(h, (0, 1), value=1.0) @ w
        return h

    def loss(self, x: Float[Tensor, "b n"], y: Tensor) -> Float[Tensor, ""]:
        """−log p(y|x, w), the mean over the batch, summed over members: none shares a weight with another, so each descends its own."""
        out = self(x)  # (k, b, m)
        return -self.log_likelihood(out.flatten(0, 1), y.expand(len(out), *y.shape).flatten(0, 1)).sum() / len(x)

    @torch.no_grad()
    def predict(self, x: Float[Tensor, "b n"], samples: int = 1) -> Float[Tensor, "draws b m"]:
        """Outputs of all members under so many draws of dropout: samples · K of them.

        Raises:
            ValueError: samples below 1.
        """
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        return torch.cat([self(x) for _ in range(samples)])
