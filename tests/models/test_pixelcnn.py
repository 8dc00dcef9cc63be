"""PixelCNN, plain and gated: what each place can see, that all images' probabilities sum to 1, that samples follow them, and that a known law is learned."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import nn

from gensr.data.digits import LEVELS, digits
from gensr.models.autoregressive import MaskedConv2d, ancestral, earlier
from gensr.models.pixelcnn import GatedLayer, GatedPixelCNN, MaskedBlock, PixelCNN
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
    assert a.seen[0, 0].tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert b.seen[0, 0].tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
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


def sharpened(model):
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
        (lambda m: m(torch.zeros(1, 2, 2)), r"codes: expected integers \(b, h, w\), got torch.float32"),
        (lambda m: m(torch.zeros(1, 2, 2, dtype=torch.bool)), r"codes: expected integers \(b, h, w\), got torch.bool"),
        (lambda m: m(torch.full((1, 2, 2), 4)), "codes: expected numbers from 0 to 3, got 4 … 4"),
        (lambda m: m.log_prob(torch.full((1, 2, 2), -1)), "codes: expected numbers from 0 to 3"),
        (lambda m: m(torch.zeros(1, 3, 2).long()), r"codes: expected a grid of \(2, 2\), got \(3, 2\)"),
        (lambda m: m.sample(1, (2, 3)), r"codes: expected a grid of \(2, 2\)"),
        (lambda m: m.sample(0, (2, 2)), "n, shape"),
        (lambda m: m.sample(1, (0, 2)), "n, shape"),
        (lambda m: m.sample(1, (2, 2), temperature=0), "temperature"),
        (lambda m: m.sample(1, (2, 2), temperature=float("nan")), "temperature"),
        (lambda m: m.sample(2, (2, 2), given=torch.zeros(1, 1, 2).long()), "given: expected 2 images of 1×2×2"),
        (lambda m: m.sample(1, (2, 2), given=torch.full((1, 1, 2), 9)), "codes: expected numbers"),
        (lambda m: PixelCNN(0), "levels, hidden, layers"),
        (lambda m: MaskedConv2d("C", 1, 1), "mask: expected 'A' or 'B', got 'C'"),
        (lambda m: MaskedConv2d("A", 1, 1, 4), "size: expected odd numbers, got 4"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call(PixelCNN(4, 4, 1, grid=(2, 2)))


# Images: the plain model with colours, and the gated one

IMAGE_MODELS = {
    "plain": lambda colours, context=0: PixelCNN(3, 12, 3, colours=colours),
    "gated": lambda colours, context=0: GatedPixelCNN(3, 12, 3, colours=colours, first=3, context=context),
    "gated, wide": lambda colours, context=0: GatedPixelCNN(3, 12, 2, colours=colours, first=5, size=5, context=context),
}


def who_sees(model, h: int, w: int, i: int, j: int, context=None) -> torch.Tensor:
    """(reader's colour, read colour, h, w) of booleans: where the logits at (i, j) have a gradient."""
    model = sharpened(model).double()
    x = torch.rand(6, model.colours, h, w, dtype=torch.float64, requires_grad=True)  # six, as a ReLU may be off at one
    logits = model(x) if context is None else model(x, context)
    found = [torch.autograd.grad(logits[:, :, k, i, j].square().sum(), x, retain_graph=True)[0].abs().sum(0) != 0 for k in range(model.colours)]
    return torch.stack(found)


@pytest.mark.parametrize("name", IMAGE_MODELS)
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("place", [(0, 0), (0, 4), (3, 2), (4, 4), (3, 0)])
def test_a_colour_sees_nothing_that_comes_after(name, colours, place):
    i, j = place
    seen = who_sees(IMAGE_MODELS[name](colours), 5, 5, i, j)
    assert not seen[:, :, order(5, 5) > 5 * i + j].any()
    assert torch.equal(seen[:, :, i, j], torch.ones(colours, colours).tril(-1).bool())  # R sees none, G red, B red and green


@pytest.mark.parametrize("place", [(0, 3), (2, 0), (3, 2), (4, 4), (4, 0)])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("name", ["gated", "gated, wide"])
def test_the_gated_one_sees_its_whole_past(name, colours, place):
    """Five layers of size 3, first of 3: 5 rows up and 5 columns to either side. No place of a 5 × 5 image before it is out of its sight."""
    i, j = place
    size = {"gated": 3, "gated, wide": 5}[name]
    seen = who_sees(GatedPixelCNN(3, 12, 5, colours=colours, first=size, size=size), 5, 5, i, j)
    assert seen[:, :, order(5, 5) < 5 * i + j].all()


def test_the_plain_one_has_a_blind_spot_and_the_gated_one_none():
    """The same place, kernels and depth; the last columns of the row above are lost to the plain one."""
    plain = who_sees(PixelCNN(3, 12, 5, size=3, colours=1), 6, 7, 4, 2)[0, 0]
    gated = who_sees(GatedPixelCNN(3, 12, 6, first=3), 6, 7, 4, 2)[0, 0]
    before = order(6, 7) < 4 * 7 + 2
    assert torch.equal(gated, before)
    assert (before & ~plain).nonzero().tolist() == [[1, 6], [2, 5], [2, 6], [3, 4], [3, 5], [3, 6]]


def test_masks_of_colours():
    """Two features each of red, green and blue read two each."""
    pairs = torch.ones(2, 2)
    assert torch.equal(earlier("A", 6, 6, 3), torch.kron(torch.ones(3, 3).tril(-1), pairs))
    assert torch.equal(earlier("B", 6, 6, 3), torch.kron(torch.ones(3, 3).tril(), pairs))
    assert earlier("A", 3, 6, 3).tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0]]
    conv = MaskedConv2d("A", 3, 3, colours=3)
    assert conv.seen[:, :, 0].all() and conv.seen[:, :, 1, 0].all() and not conv.seen[:, :, 2].any() and not conv.seen[:, :, 1, 2].any()
    assert torch.equal(conv.seen[:, :, 1, 1], torch.ones(3, 3).tril(-1))


def all_images(levels: int, colours: int, h: int, w: int) -> torch.Tensor:
    x = torch.tensor(list(itertools.product(range(levels), repeat=colours * h * w)), dtype=torch.float64)
    return x.view(-1, h, w, colours).permute(0, 3, 1, 2) / (levels - 1)


@pytest.mark.parametrize("name", IMAGE_MODELS)
@pytest.mark.parametrize(("colours", "h", "w"), [(1, 2, 2), (3, 1, 2), (3, 2, 1), (1, 1, 1)])
def test_all_images_sum_to_one(name, colours, h, w):
    model, x = sharpened(IMAGE_MODELS[name](colours)).double(), all_images(3, colours, h, w)
    assert len(x) == 3 ** (colours * h * w)  # 81 of the first kind
    log_p = model.log_prob(x)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert log_p.max() - log_p.min() > 0.02
    assert model.loss(x).item() == pytest.approx(-log_p.mean().item())


def test_all_images_sum_to_one_given_a_context():
    model, x = sharpened(IMAGE_MODELS["gated"](1, 2)).double(), all_images(3, 1, 2, 2)
    one, other = (model.log_prob(x, torch.tensor([c], dtype=torch.float64).expand(81, 2)) for c in ([1.0, 0.0], [0.0, 1.0]))
    assert one.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert other.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert (one - other).abs().max() > 0.1  # it is heard


def test_every_layer_hears_the_context_in_both_stacks():
    layer = GatedLayer(1, 4, 3, 1, 2, first=True)
    v, h = layer(*[torch.rand(1, 1, 4, 4)] * 2, c := torch.rand(1, 2, requires_grad=True))
    for out in (v, h[:, :, :1]):  # of h the first row, which v does not reach
        (g,) = torch.autograd.grad(out.sum(), c, retain_graph=True)
        assert (g != 0).all()
    with torch.no_grad():  # each stack has weights of its own
        layer.context[1].weight.zero_()
    v, h = layer(*[torch.rand(1, 1, 4, 4)] * 2, c)
    assert torch.autograd.grad(v.sum(), c, retain_graph=True)[0].any() and not torch.autograd.grad(h[:, :, :1].sum(), c)[0].any()


@pytest.mark.parametrize(("colours", "context", "shape"), [(1, 0, (6, 5)), (3, 0, (4, 5)), (1, 3, (5, 4)), (3, 2, (3, 3)), (1, 0, (1, 1))])
@pytest.mark.parametrize(("first", "size"), [(5, 3), (3, 5), (1, 1), (7, 3)])
def test_cached_and_naive_sampling_agree(colours, context, shape, first, size):
    model = sharpened(GatedPixelCNN(4, 6, 3, colours=colours, first=first, size=size, context=context)).double()
    c = torch.randn(3, context, dtype=torch.float64) if context else None
    u = torch.rand(3, colours, *shape, dtype=torch.float64)
    cached = model.sample(3, shape, context=c, noise=u)
    assert torch.equal(cached, model.sample(3, shape, context=c, noise=u, cached=False))
    assert shape == (1, 1) or cached.unique().numel() > 1
    known = torch.rand(shape) < 0.5
    given = torch.randint(4, (3, colours, *shape)).double() / 3
    filled = model.sample(3, shape, context=c, noise=u, given=given, known=known)
    assert torch.equal(filled, model.sample(3, shape, context=c, noise=u, given=given, known=known, cached=False))
    assert torch.equal(filled[..., known], given[..., known])


@pytest.mark.parametrize("name", ["plain", "gated"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_images_drawn_follow_log_prob(name, temperature):
    model, n = sharpened(IMAGE_MODELS[name](1)), 20_000
    x = all_images(3, 1, 2, 2).float()
    with torch.no_grad():
        factors = (model(x) / temperature).log_softmax(1).gather(1, (2 * x).long()[:, None])
    expected = n * factors.flatten(1).sum(1).double().exp()
    drawn = model.sample(n, (2, 2), temperature=temperature)
    assert set(drawn.unique().tolist()) <= {0.0, 0.5, 1.0}
    counts = torch.bincount(((2 * drawn).long().view(n, 4) * torch.tensor([27, 9, 3, 1])).sum(1), minlength=81).double()
    rare = expected < 5
    f_obs, f_exp = (torch.cat([v[~rare], v[rare].sum(0, keepdim=True)]) for v in (counts, expected))
    assert stats.chisquare(f_obs[f_exp > 0], f_exp[f_exp > 0] * (f_obs.sum() / f_exp.sum())).pvalue > 1e-3
    assert stats.chisquare(f_obs, torch.full_like(f_exp, n / len(f_exp))).pvalue < 1e-6  # the test can fail


def test_inpainting_draws_from_the_conditional():
    """Given the first row, the second is drawn from p(second ∣ first), exactly; given the second, the first is not: it does not know what follows."""
    model, n = sharpened(GatedPixelCNN(2, 8, 2, first=3)), 4000
    given = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).expand(n, 1, 2, 2)
    x = all_images(2, 1, 2, 2).float()
    with torch.no_grad():
        p = model.log_prob(x).double().exp()
    p = p / p.sum()
    rows = (x.view(-1, 4) * torch.tensor([8, 4, 2, 1])).sum(1).long()
    table = torch.zeros(16, dtype=torch.float64).scatter_(0, rows, p).view(4, 4)  # first row × second row
    lower = model.sample(n, (2, 2), given=given, known=torch.tensor([[True, True], [False, False]]))
    counts = torch.bincount((lower[:, 0, 1] * torch.tensor([2, 1])).sum(1).long(), minlength=4)
    assert stats.chisquare(counts, n * table[2] / table[2].sum()).pvalue > 1e-3
    upper = model.sample(n, (2, 2), given=given, known=torch.tensor([[False, False], [True, True]]))
    counts = torch.bincount((upper[:, 0, 0] * torch.tensor([2, 1])).sum(1).long(), minlength=4)
    assert stats.chisquare(counts, n * table.sum(1)).pvalue > 1e-3  # the marginal


def test_gradient_of_log_prob_equals_differences():
    """In x between the levels too; a level's own term has none."""
    model = sharpened(GatedPixelCNN(5, 6, 2, first=3)).double()
    x = (0.25 * torch.randint(0, 5, (1, 1, 3, 3)).double()).clamp(0.05, 0.95).requires_grad_()
    (g,) = torch.autograd.grad(model.log_prob(x).sum(), x)
    step = 1e-5 * torch.randn_like(x)
    with torch.no_grad():
        change = model.log_prob(x + step) - model.log_prob(x - step)
    assert change.item() == pytest.approx(2 * (g * step).sum().item(), rel=1e-4)


def test_the_gated_one_learns_a_law_to_its_entropy():
    model, law = GatedPixelCNN(4, 12, 2, first=3), Copies()
    fit(model, ((k[:, None] / 3,) for k in iter(law)), steps=200, lr=1e-2, progress=False)
    grids = torch.cat(list(itertools.islice(law, 40)))
    with torch.no_grad():
        excess = (law.log_prob(grids) - model.log_prob(grids[:, None] / 3)).mean().item()
    assert 0 < excess < 0.1


def test_it_learns_which_class_is_which():
    """Two digits' pictures from 8 × 8: after training, a picture is likelier given its own class, nearly always."""
    data = digits()
    chosen = data.train_labels < 2
    x, y = data.train[chosen], nn.functional.one_hot(data.train_labels[chosen], 2).float()
    model = GatedPixelCNN(LEVELS, 12, 3, first=5, context=2)
    torch.manual_seed(0)

    def batches():
        while True:
            i = torch.randint(len(x), (32,))
            yield x[i], y[i]

    fit(model, batches(), steps=120, lr=5e-3, progress=False)
    chosen = data.test_labels < 2
    x, y = data.test[chosen], nn.functional.one_hot(data.test_labels[chosen], 2).float()
    with torch.no_grad():
        right, wrong = model.log_prob(x, y), model.log_prob(x, 1 - y)
    assert (right > wrong).float().mean() > 0.95


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m(torch.zeros(1, 1, 2, 2).long()), "x: expected floats"),
        (lambda m: m(torch.zeros(1, 3, 2, 2)), r"x: expected floats \(b, 1, h, w\)"),
        (lambda m: m(torch.full((1, 1, 2, 2), 1.5)), "x: expected levels"),
        (lambda m: m.log_prob(torch.full((1, 1, 2, 2), float("nan"))), "x: expected levels"),
        (lambda m: m(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2)), "context: this model was made without"),
        (lambda m: GatedPixelCNN(4, 4, 1, context=3)(torch.zeros(1, 1, 2, 2)), r"context: expected the shape \(1, 3\), got none"),
        (lambda m: GatedPixelCNN(4, 4, 1, context=3).sample(2, (2, 2), context=torch.zeros(1, 3)), r"context: expected the shape \(2, 3\)"),
        (lambda m: m.sample(0, (2, 2)), "n, shape"),
        (lambda m: m.sample(1, (2, 2), temperature=0), "temperature"),
        (lambda m: m.sample(2, (2, 2), given=torch.zeros(1, 1, 2, 2)), "given: expected 2 images"),
        (lambda m: m.sample(1, (2, 2), known=torch.ones(2, 2).bool()), "known: expected booleans .* beside `given`"),
        (lambda m: m.sample(1, (2, 2), given=torch.zeros(1, 1, 2, 2), known=torch.ones(2, 2)), "known: expected booleans"),
        (lambda m: m.sample(1, (2, 2), noise=torch.zeros(1, 1, 3, 3)), "noise: expected the shape"),
        (lambda m: GatedPixelCNN(1), "levels, hidden, layers"),
        (lambda m: GatedPixelCNN(4, 4, 2, size=2), "size: expected odd numbers"),
        (lambda m: GatedPixelCNN(4, 4, 1, colours=3), "channels, out: expected multiples of the number of colours"),
        (lambda m: PixelCNN(4, 6, 1, colours=3)(torch.zeros(1, 1, 2, 2)), r"x: expected floats \(b, 3, h, w\)"),
    ],
)
def test_bad_arguments_of_images(call, words):
    with pytest.raises(ValueError, match=words):
        call(GatedPixelCNN(4, 4, 1))


def test_ancestral_counts_what_does_not_exceed_u():
    """Probabilities 0, ½, ½: u = 0 must not draw the impossible first level, and u = 1 the last, not one after it; a known place stays."""
    level, seen = torch.full((1, 1, 1, 5), 9), []

    def logits(i, j, colour):
        seen.append(j)
        return torch.tensor([[-torch.inf, 0.0, 0.0]])

    known = torch.tensor([[False, False, False, False, True]])
    ancestral(level, known, torch.tensor([0.0, 0.49, 0.5, 1.0, 0.0]).view(1, 1, 1, 5), logits)
    assert level.flatten().tolist() == [1, 1, 2, 2, 9] and seen == [0, 1, 2, 3]
    ancestral(level, known, torch.zeros(1, 1, 1, 5), logits, visit=True)
    assert seen[4:] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("values", [lambda g: 255 * g, lambda g: (255 * g).byte(), lambda g: g * float("nan"), lambda g: g - 3])
def test_given_pixels_that_are_no_grey_levels_are_refused(values):
    """Unchecked, they come back as part of the sample, unlike any image."""
    given = values(torch.ones(1, 1, 2, 2))
    for model in (PixelCNN(4, 4, 1, colours=1), GatedPixelCNN(4, 4, 1)):
        with pytest.raises(ValueError, match="given: expected"):
            model.sample(1, (2, 2), given=given, known=torch.eye(2).bool())


def test_noise_that_is_not_uniform_and_images_without_pixels_are_refused():
    model = GatedPixelCNN(4, 4, 1)
    for u in (float("nan"), 2.0, -1.0):
        with pytest.raises(ValueError, match="noise: expected numbers from 0 to 1"):
            model.sample(1, (2, 2), noise=torch.full((1, 1, 2, 2), u))
    with pytest.raises(ValueError, match="x: expected floats"):
        model(torch.rand(1, 1, 0, 3))
    with pytest.raises(ValueError, match="levels, hidden, layers, colours: expected at least 1"):
        PixelCNN(4, 4, 1, colours=0)


def test_words_of_any_whole_type_and_only_grids_of_them():
    model, words = PixelCNN(5, 6, 1), torch.randint(0, 5, (2, 3, 3))
    torch.testing.assert_close(model.log_prob(words.byte()), model.log_prob(words))
    for x in (words[0], words[:, None]):
        with pytest.raises(ValueError, match=r"codes: expected integers \(b, h, w\)"):
            model(x)
