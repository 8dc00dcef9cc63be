"""RealNVP beside two independent implementations: the same numbers from the same weights, and the same held-out likelihood from the same training.

zuko and normflows are development dependencies; where one is missing its tests are skipped.
"""

import pytest
import torch
from torch import nn

from gensr.data.toy2d import TwoMoons
from gensr.models.flows import MaskedCoupling, RealNVP
from gensr.train import cosine, fit

ZUKO, NORMFLOWS = "zuko is not installed (pip install gensr[dev])", "normflows is not installed (pip install gensr[dev])"


class Half(nn.Module):
    """One half of what a coupling's network gives: s, with our bounds on it, or t."""

    def __init__(self, coupling: MaskedCoupling, part: int):
        super().__init__()
        self.coupling, self.part = coupling, part

    def forward(self, x):
        half = self.coupling.net(x).chunk(2, 1)[self.part]
        return self.coupling.a * half.tanh() if self.part == 0 else half


def test_coupling_equals_that_of_normflows():
    """The same weights: the same z, the same log-determinant, and the same way back."""
    normflows = pytest.importorskip("normflows", reason=NORMFLOWS)
    torch.manual_seed(0)
    mask = torch.tensor([1.0, 0, 0, 1, 0])
    ours = MaskedCoupling(mask, 16).double()
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(0.3 * torch.randn_like(p))
    theirs = normflows.flows.MaskedAffineFlow(mask.double(), t=Half(ours, 1), s=Half(ours, 0))
    x = torch.randn(50, 5, dtype=torch.float64)
    for name in ("forward", "inverse"):
        (z, logdet), (their_z, their_logdet) = getattr(ours, name)(x), getattr(theirs, name)(x)
        assert logdet.abs().max() > 0.1
        torch.testing.assert_close(z, their_z, rtol=0, atol=1e-12)
        torch.testing.assert_close(logdet, their_logdet, rtol=0, atol=1e-12)


class Peer(nn.Module):
    """zuko's RealNVP with the loss that `fit` asks for."""

    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def loss(self, x):
        return -self.flow().log_prob(x).mean()


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def held_out_nats(model: nn.Module, steps: int = 1000) -> float:
    """Train on two moons, the same batches for every model, and score on points not trained on."""
    toy, generator = TwoMoons(), torch.Generator().manual_seed(1)
    batches = [toy.sample(256, generator) for _ in range(steps)]
    fit(model, batches, steps=steps, lr=cosine(5e-3, steps, warmup=40), progress=False)
    with torch.no_grad():
        return float(model.loss(toy.sample(5000, torch.Generator().manual_seed(2))))


def test_two_moons_as_good_as_zuko():
    """Equal parameters (±5 %), equal steps on equal batches, equal schedule: within 0.05 nats of the better-known library, or better."""
    zuko = pytest.importorskip("zuko", reason=ZUKO)
    torch.manual_seed(0)
    ours, theirs = RealNVP(2, layers=6, hidden=32), Peer(zuko.flows.RealNVP(2, transforms=6, hidden_features=(33, 33)))
    assert abs(parameters(ours) / parameters(theirs) - 1) < 0.05
    nats, peer = held_out_nats(ours), held_out_nats(theirs)
    print(f"held-out nats: ours {nats:.3f}, zuko {peer:.3f}, difference {nats - peer:+.3f}")
    assert 0.9 < peer < 1.6  # the entropy is 1.01: theirs has learnt, so the comparison means something
    assert nats - peer <= 0.05
