"""PixelCNN: what each place can see, that all grids' probabilities sum to 1, that samples follow them, and that a known law is learned."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import nn

from gensr.models.pixelcnn import MaskedBlock, MaskedConv2d, PixelCNN
from gensr.train import fit


def seen_from(model: PixelCNN, h: int, w: int, i: int, j: int) -> torch.Tensor:
    """Where the logits at (i, j) have a gradient: (h, w) of booleans, from random codes in float64."""
    model = model.double()
    x = model.embedding(torch.randint(model.levels, (4, h, w))).detach().movedim(-1, 1).requires_grad_()
    y = model.last(model.blocks(model.first(x) + (0 if model.place is None else model.place)))
    (g,) = torch.autograd.grad(y[:, :, i, j].square().sum(), x)
    return g.abs().sum((0, 1)) != 0


def order(h: int, w: int) -> torch.Tensor:
    return torch.arange(h * w).view(h, w)


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (2, 2), (3, 0), (4, 4), (4, 2)])
@pytest.mark.parametrize("grid", [None, (5, 5)])
def test_no_place_sees_itself_or_what_follows(place, grid):
    i, j = place
    seen = seen_from(PixelCNN(5, 8, 3, grid=grid), 5, 5, i, j)
    assert not seen[order(5, 5) >= 5 * i + j].any()


def test_everything_before_is_seen_but_for_the_blind_spot():
    """First kernel 3, five blocks: d rows up, at most d columns to the right, and 6 places to the left in all."""
    seen = seen_from(PixelCNN(5, 12, 5, size=3), 6, 7, 4, 2)
    row, column = torch.meshgrid(torch.arange(6), torch.arange(7), indexing="ij")
    up, right = 4 - row, column - 2
    before = (up > 0) | ((up == 0) & (right < 0))
    blind = right > up
    assert torch.equal(seen, before & ~blind)
    assert (before & blind).sum() == 3 + 2 + 1  # it is not empty: the row above lacks its last three columns, the next two, the next one


def test_a_wider_first_kernel_narrows_the_blind_spot():
    narrow, wide = (seen_from(PixelCNN(5, 12, 5, size=size), 6, 7, 4, 2)[3].tolist() for size in (3, 5))  # the row above
    assert narrow == [True] * 4 + [False] * 3
    assert wide == [True] * 5 + [False] * 2


def test_masks():
    a, b = MaskedConv2d("A", 1, 1), MaskedConv2d("B", 1, 1)
    assert a.seen.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert b.seen.tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    x = torch.randn(2, 1, 4, 5)
    expected = nn.functional.conv2d(x, a.weight * a.seen, a.bias, padding=1)
    assert torch.equal(a(x), expected)
    assert "seen" not in a.state_dict()


def test_mask_a_in_every_layer_would_lose_the_last_place():
    """Why B: with A twice, what is one step back is never read."""
    y = MaskedConv2d("A", 1, 1)(MaskedConv2d("A", 1, 1)(x := torch.randn(1, 1, 1, 5, requires_grad=True)))
    (g,) = torch.autograd.grad(y[0, 0, 0, 3], x)
    assert g[0, 0, 0, 2] == 0
    assert g[0, 0, 0, 1] != 0


def all_grids(levels: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(levels), repeat=4))).view(-1, 2, 2)


def sharpened(model: PixelCNN) -> PixelCNN:
    """A law far from uniform, so that an error shows."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


@pytest.mark.parametrize("grid", [None, (2, 2)])
def test_all_grids_sum_to_one(grid):
    model = sharpened(PixelCNN(3, 8, 2, grid=grid)).double()
    log_p = model.log_prob(all_grids(3))
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert log_p.max() - log_p.min() > 2
    assert model.loss(all_grids(3)).item() == pytest.approx(-log_p.mean().item())


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_follow_log_prob(temperature):
    model, n = sharpened(PixelCNN(3, 8, 2)), 20_000
    grids = all_grids(3)
    with torch.no_grad():  # at another temperature each factor is sharpened by itself
        factors = (model(grids) / temperature).log_softmax(1).gather(1, grids[:, None])
    expected = n * factors.sum((1, 2, 3)).double().exp()
    drawn = model.sample(n, (2, 2), temperature=temperature)
    counts = torch.bincount((drawn.view(n, 4) * torch.tensor([27, 9, 3, 1])).sum(1), minlength=81).double()
    rare = expected < 5
    f_obs = torch.cat([counts[~rare], counts[rare].sum(0, keepdim=True)])
    f_exp = torch.cat([expected[~rare], expected[rare].sum(0, keepdim=True)])
    assert len(f_obs) > 15
    assert stats.chisquare(f_obs[f_exp > 0], f_exp[f_exp > 0] * (f_obs.sum() / f_exp.sum())).pvalue > 1e-3
    flat = torch.full_like(f_exp, n / len(f_exp))
    assert stats.chisquare(f_obs, flat).pvalue < 1e-6  # the test can fail


def test_first_rows_are_kept_and_the_rest_drawn():
    model = sharpened(PixelCNN(4, 8, 2))
    given = torch.randint(4, (50, 2, 3))
    drawn = model.sample(50, (4, 3), given=given)
    assert torch.equal(drawn[:, :2], given)
    assert drawn[:, 2:].unique().numel() > 1
    assert torch.equal(model.sample(50, (2, 3), given=given), given)


def test_the_same_seed_gives_the_same_grids():
    model = sharpened(PixelCNN(4, 8, 2))
    torch.manual_seed(3)
    a = model.sample(5, (3, 3))
    torch.manual_seed(3)
    assert torch.equal(a, model.sample(5, (3, 3)))
    assert not torch.equal(a, model.sample(5, (3, 3)))


class Copies:
    """3×3 grids whose numbers repeat the left neighbour (at the left border, the one above) with probability 0.8, else are another of the four, evenly."""

    keep = 0.8
    entropy = math.log(4) + 8 * (-keep * math.log(keep) - (1 - keep) * math.log((1 - keep) / 3))  # 7.15 nats; the uniform law's is 12.48

    def __iter__(self):
        while True:
            k = torch.randint(4, (128, 3, 3))
            for t in range(1, 9):
                i, j = divmod(t, 3)
                before = k[:, i, j - 1] if j else k[:, i - 1, j]
                other = (before + torch.randint(1, 4, (128,))) % 4
                k[:, i, j] = torch.where(torch.rand(128) < self.keep, before, other)
            yield k

    def log_prob(self, k: torch.Tensor) -> torch.Tensor:
        kept = (k[:, :, 1:] == k[:, :, :-1]).sum((1, 2)) + (k[:, 1:, 0] == k[:, :-1, 0]).sum(1)
        return -math.log(4) + kept * math.log(self.keep) + (8 - kept) * math.log((1 - self.keep) / 3)


def test_learns_a_law_to_its_entropy():
    model, law = PixelCNN(4, 12, 1), Copies()
    fit(model, law, steps=200, lr=1e-2, progress=False)
    grids = torch.cat(list(itertools.islice(law, 40)))
    truth = law.log_prob(grids)
    assert -truth.mean().item() == pytest.approx(law.entropy, abs=0.15)
    with torch.no_grad():
        excess = (truth - model.log_prob(grids)).mean().item()  # KL[law‖model], with less noise than the nats themselves
    assert 0 < excess < 0.1


def test_block_is_residual():
    block, x = MaskedBlock(4), torch.randn(1, 4, 3, 3)
    block.branch[-1].weight.data.zero_()
    block.branch[-1].bias.data.zero_()
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m(torch.zeros(1, 2, 2)), "codes: expected integers, got torch.float32"),
        (lambda m: m(torch.zeros(1, 2, 2, dtype=torch.bool)), "codes: expected integers, got torch.bool"),
        (lambda m: m(torch.full((1, 2, 2), 4)), "codes: expected numbers from 0 to 3, got 4 … 4"),
        (lambda m: m.log_prob(torch.full((1, 2, 2), -1)), "codes: expected numbers from 0 to 3"),
        (lambda m: m(torch.zeros(1, 3, 2).long()), r"codes: expected a grid of \(2, 2\), got \(3, 2\)"),
        (lambda m: m.sample(1, (2, 3)), r"codes: expected a grid of \(2, 2\)"),
        (lambda m: m.sample(0, (2, 2)), "n, shape"),
        (lambda m: m.sample(1, (0, 2)), "n, shape"),
        (lambda m: m.sample(1, (2, 2), temperature=0), "temperature"),
        (lambda m: m.sample(1, (2, 2), temperature=float("nan")), "temperature"),
        (lambda m: m.sample(2, (2, 2), given=torch.zeros(1, 1, 2).long()), "given: expected the first rows of 2 grids of 2×2"),
        (lambda m: m.sample(1, (2, 2), given=torch.full((1, 1, 2), 9)), "codes: expected numbers"),
        (lambda m: PixelCNN(0), "levels, hidden, layers"),
        (lambda m: MaskedConv2d("C", 1, 1), "mask: expected 'A' or 'B', got 'C'"),
        (lambda m: MaskedConv2d("A", 1, 1, 4), "size: expected an odd number, got 4"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call(PixelCNN(4, 4, 1, grid=(2, 2)))
