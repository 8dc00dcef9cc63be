"""PixelRNN: both LSTMs against loops over pixels, what each pixel and colour can see, sums to 1, samples that follow the law, and a law that is learned."""

import itertools
import math

import pytest
import torch
from scipy import stats

from gensr.models.pixelrnn import ConvLSTM, DiagonalBiLSTM, PixelRNN, RowLSTM, skew, unskew
from gensr.train import fit

KINDS = pytest.mark.parametrize("kind", ["row", "diagonal"])


def sharpened(model: PixelRNN, by: float = 0.3) -> PixelRNN:
    """A law far from uniform, so that an error shows; in float64."""
    model = model.double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(by * torch.randn_like(p))
    return model


def lstm_loop(lstm: ConvLSTM, a: torch.Tensor, pasts: list[tuple[int, int]], columns: range) -> torch.Tensor:
    """The paper's recurrence, pixel after pixel: h (h, w, b, n) from a = K_is ∗ x (h, w, b, 4n); `pasts` are the pixels read, the first gives its c."""
    height, width, b, _ = a.shape
    n = lstm.hidden
    weights = lstm.state.weight.split(n, 1)
    h, c = {}, {}
    for i in range(height):
        for j in columns:
            s = a[i, j]
            for weight, (di, dj) in zip(weights, pasts, strict=True):
                s = s + h.get((i + di, j + dj), a.new_zeros(b, n)) @ weight.T
            o, f, gate, g = s[:, :n], s[:, n : 2 * n], s[:, 2 * n : 3 * n], s[:, 3 * n :]
            before = c.get((i + pasts[0][0], j + pasts[0][1]), a.new_zeros(b, n))
            c[i, j] = torch.sigmoid(f) * before + torch.sigmoid(gate) * torch.tanh(g)
            h[i, j] = torch.sigmoid(o) * torch.tanh(c[i, j])
    return torch.stack([torch.stack([h[i, j] for j in range(width)]) for i in range(height)])


def test_row_lstm_is_the_loop():
    layer, x = RowLSTM(4).double(), torch.randn(2, 8, 5, 6).double()
    a = torch.zeros(5, 6, 2, 16).double()
    left, here = (layer.lstm.input.weight[:, :, 0, k] for k in (0, 1))  # the third is masked
    for i, j in itertools.product(range(5), range(6)):
        a[i, j] = layer.lstm.input.bias + x[:, :, i, j] @ here.T + (x[:, :, i, j - 1] @ left.T if j else 0)
    h = lstm_loop(layer.lstm, a, [(-1, 0), (-1, -1), (-1, 1)], range(6))
    torch.testing.assert_close(layer(x), x + layer.up(h.permute(2, 3, 0, 1)), atol=1e-6, rtol=0)


def test_diagonal_bilstm_is_two_loops():
    layer, x = DiagonalBiLSTM(4).double(), torch.randn(2, 8, 5, 6).double()
    left, right = ((torch.einsum("bmij,nm->ijbn", x, part.input.weight[:, :, 0, 0]) + part.input.bias) for part in (layer.left, layer.right))
    h = lstm_loop(layer.left, left, [(0, -1), (-1, 0)], range(6))
    h[1:] += lstm_loop(layer.right, right, [(0, 1), (-1, 0)], range(5, -1, -1))[:-1]  # what the row above heard from its right
    torch.testing.assert_close(layer(x), x + layer.up(h.permute(2, 3, 0, 1)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("layer", [RowLSTM, DiagonalBiLSTM])
def test_gates_of_colours_keep_apart(layer):
    """With three colours, at the place itself: thirds of h read thirds of x, own and earlier, in every gate."""
    layer, x = layer(6, 3).double(), torch.randn(1, 12, 1, 1).double().requires_grad_()
    y = layer(x)
    for out, inp in itertools.product(range(3), range(3)):
        (g,) = torch.autograd.grad(y[0, 4 * out : 4 * out + 4].sum(), x, retain_graph=True)
        assert (g[0, 4 * inp : 4 * inp + 4] != 0).any() == (inp <= out)


def test_skew():
    x = torch.arange(1.0, 7).view(2, 3, 1, 1)
    assert skew(x)[..., 0, 0].tolist() == [[1, 2, 3, 0], [0, 4, 5, 6]]
    x = torch.randn(5, 3, 2, 2)
    assert torch.equal(unskew(skew(x)), x)


def seen_from(model: PixelRNN, h: int, w: int, i: int, j: int, colour: int = 0) -> torch.Tensor:
    """Which numbers (colours, h, w) the logits of a colour at (i, j) have a gradient in."""
    x = torch.rand(3, model.colours, h, w, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(model(x)[:, :, colour, i, j].square().sum(), x)
    return (g != 0).any(0)


def before(h: int, w: int, i: int, j: int) -> torch.Tensor:
    return (torch.arange(h * w) < i * w + j).view(h, w)


@pytest.mark.parametrize("place", [(0, 0), (0, 4), (2, 2), (4, 0), (4, 4), (3, 1)])
@pytest.mark.parametrize(("layers", "size"), [(1, 3), (2, 5)])
def test_diagonal_sees_the_whole_past_and_nothing_else(place, layers, size):
    model = PixelRNN(5, 8, layers, kind="diagonal", size=size).double()
    assert torch.equal(seen_from(model, 5, 5, *place)[0], before(5, 5, *place))


def test_without_a_column_more_the_end_of_the_row_above_is_never_seen():
    """Why it is there: mask A keeps a pixel from its own features, and those below it lie to the right of the reader."""
    model = PixelRNN(5, 8, 3, size=3).double()
    model.more = 0
    missed = before(5, 6, 3, 2) & ~seen_from(model, 5, 6, 3, 2)[0]
    assert missed.nonzero().tolist() == [[2, 5]]
    assert not (before(5, 6, 3, 4) & ~seen_from(model, 5, 6, 3, 4)[0]).any()  # near the edge the first kernel reaches it


@pytest.mark.parametrize("place", [(5, 3), (5, 7), (3, 0), (0, 5), (5, 0), (4, 8)])
@pytest.mark.parametrize(("layers", "size"), [(1, 3), (1, 5), (2, 3)])
def test_row_sees_a_triangle(place, layers, size):
    """d rows up, first kernel 2s + 1: s + d − 1 columns to the right, s + d + layers to the left; of its own row s + layers pixels."""
    model, (i, j), s = PixelRNN(5, 8, layers, kind="row", size=size).double(), place, size // 2
    row, column = torch.meshgrid(torch.arange(6), torch.arange(9), indexing="ij")
    up, right = i - row, column - j
    triangle = (right <= s + up - 1) & (right >= -(s + up + layers)) & before(6, 9, i, j)
    assert torch.equal(seen_from(model, 6, 9, i, j)[0], triangle)
    if place == (5, 3):
        assert (before(6, 9, i, j) & ~triangle).any()  # there is something it misses


@KINDS
def test_green_knows_red_and_blue_knows_both(kind):
    model, (i, j) = PixelRNN(4, 9, 2, kind=kind, colours=3, size=3).double(), (2, 2)
    for colour in range(3):
        seen = seen_from(model, 4, 5, i, j, colour)
        assert seen[:, i, j].tolist() == [k < colour for k in range(3)]
        assert seen[:, i, :j].all()
        assert seen[:, i - 1, : j + 2].all()
        assert not seen[:, i, j + 1 :].any()
        assert not seen[:, i + 1 :].any()


@KINDS
@pytest.mark.parametrize(("levels", "colours", "h", "w"), [(3, 1, 2, 2), (3, 3, 1, 1), (2, 3, 1, 2)])
def test_all_images_sum_to_one(kind, levels, colours, h, w):
    model = sharpened(PixelRNN(levels, 6, 2, kind=kind, colours=colours, size=3), 0.5)
    images = torch.tensor(list(itertools.product(range(levels), repeat=colours * h * w))).view(-1, colours, h, w).double() / (levels - 1)
    log_p = model.log_prob(images)
    assert len(images) == levels ** (colours * h * w)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert log_p.max() - log_p.min() > 2
    assert model.loss(images).item() == pytest.approx(-log_p.mean().item())


@KINDS
def test_first_rows_may_come_alone(kind):
    model, x = sharpened(PixelRNN(4, 5, 2, kind=kind)), torch.rand(2, 1, 5, 4).double()
    torch.testing.assert_close(model(x)[:, :, :, :3], model(x[:, :, :3]))


@KINDS
@pytest.mark.parametrize(("colours", "context", "size"), [(1, 0, 3), (1, 2, 7), (3, 2, 5)])
def test_cached_and_naive_samples_are_the_same(kind, colours, context, size):
    model = sharpened(PixelRNN(5, 6, 2, kind=kind, colours=colours, context=context, size=size))
    noise = torch.rand(3, colours, 4, 5).double()
    known = torch.rand(4, 5) < 0.3
    given = torch.randint(5, noise.shape) / 4
    vector = torch.randn(3, context).double() if context else None
    for extra in ({}, {"given": given.double(), "known": known, "temperature": 0.7}):
        a, b = (model.sample(3, (4, 5), noise=noise, context=vector, cached=cached, **extra) for cached in (True, False))
        assert torch.equal(a, b)
        assert a.unique().numel() > 2


@KINDS
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_follow_log_prob(kind, temperature):
    model, n = sharpened(PixelRNN(3, 6, 1, kind=kind, size=3)), 10_000
    level = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 1, 2, 2)
    with torch.no_grad():  # at another temperature each factor is sharpened by itself
        factors = (model(level.double() / 2) / temperature).log_softmax(1).gather(1, level[:, None])
    expected = n * factors.sum((1, 2, 3, 4)).exp()
    drawn = model.sample(n, (2, 2), temperature=temperature)
    counts = torch.bincount((2 * drawn.view(n, 4) @ torch.tensor([27.0, 9, 3, 1]).double()).round().long(), minlength=81).double()
    rare = expected < 5
    f_obs = torch.cat([counts[~rare], counts[rare].sum(0, keepdim=True)])
    f_exp = torch.cat([expected[~rare], expected[rare].sum(0, keepdim=True)])
    assert len(f_obs) > 15
    assert stats.chisquare(f_obs[f_exp > 0], f_exp[f_exp > 0] * (f_obs.sum() / f_exp.sum())).pvalue > 1e-3
    assert stats.chisquare(f_obs, torch.full_like(f_exp, n / len(f_exp))).pvalue < 1e-6  # the test can fail


@KINDS
def test_inpainting_keeps_what_is_known(kind):
    model = sharpened(PixelRNN(4, 6, 1, kind=kind, colours=3, size=3)).float()
    given, known = torch.randint(4, (20, 3, 4, 3)) / 3, torch.rand(4, 3) < 0.5
    drawn = model.sample(20, (4, 3), given=given, known=known)
    assert torch.equal(drawn[..., known], given[..., known])
    assert not torch.equal(drawn, given)
    rows = model.sample(20, (4, 3), given=given[:, :, :2])
    assert torch.equal(rows[:, :, :2], given[:, :, :2])
    assert torch.equal(model.sample(20, (4, 3), given=given), given)


@KINDS
def test_context_is_heard_everywhere(kind):
    model = PixelRNN(4, 6, 1, kind=kind, context=3).double()
    x, context = torch.rand(2, 1, 3, 3).double(), torch.randn(2, 3).double().requires_grad_()
    logits = model(x, context)
    for i, j in itertools.product(range(3), range(3)):
        (g,) = torch.autograd.grad(logits[0, :, :, i, j].square().sum(), context, retain_graph=True)
        assert (g[0] != 0).all()
        assert (g[1] == 0).all()


class Copies:
    """3×3 images of 4 levels that repeat the left neighbour (at the left border, the one above) with probability 0.8, else show another one, evenly."""

    keep = 0.8
    entropy = math.log(4) + 8 * (-keep * math.log(keep) - (1 - keep) * math.log((1 - keep) / 3))  # 7.15 nats; the uniform law's is 12.48

    def __iter__(self):
        while True:
            k = torch.randint(4, (64, 1, 3, 3))
            for t in range(1, 9):
                i, j = divmod(t, 3)
                last = k[:, :, i, j - 1] if j else k[:, :, i - 1, j]
                k[:, :, i, j] = torch.where(torch.rand(64, 1) < self.keep, last, (last + torch.randint(1, 4, (64, 1))) % 4)
            yield k / 3

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        k = x[:, 0]
        kept = (k[:, :, 1:] == k[:, :, :-1]).sum((1, 2)) + (k[:, 1:, 0] == k[:, :-1, 0]).sum(1)
        return -math.log(4) + kept * math.log(self.keep) + (8 - kept) * math.log((1 - self.keep) / 3)


@KINDS
def test_learns_a_law_to_its_entropy(kind):
    model, law = PixelRNN(4, 12, 1, kind=kind, size=3), Copies()
    fit(model, law, steps=150, lr=2e-2, progress=False)
    images = torch.cat(list(itertools.islice(law, 80)))
    truth = law.log_prob(images)
    assert -truth.mean().item() == pytest.approx(law.entropy, abs=0.15)
    with torch.no_grad():
        excess = (truth - model.log_prob(images)).mean().item()  # KL[law‖model], with less noise than the nats themselves
    assert 0 < excess < 0.15


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m(torch.zeros(1, 3, 2, 2)), r"x: expected floats \(b, 1, h, w\)"),
        (lambda m: m.log_prob(torch.full((1, 1, 2, 2), 1.5)), "x: expected levels"),
        (lambda m: m(torch.zeros(1, 1, 2, 2), torch.zeros(1, 3)), "context: expected the shape"),
        (lambda m: PixelRNN(4, 4, 1, context=3)(torch.zeros(2, 1, 2, 2)), r"context: expected the shape \(2, 3\), got none"),
        (lambda m: PixelRNN(4, 4, 1, context=3)(torch.zeros(2, 1, 2, 2), torch.zeros(1, 3)), r"context: expected the shape \(2, 3\)"),
        (lambda m: m.sample(0, (2, 2)), "n, shape"),
        (lambda m: m.sample(1, (0, 2)), "n, shape"),
        (lambda m: m.sample(1, (2, 2), temperature=0), "temperature"),
        (lambda m: m.sample(1, (2, 2), known=torch.ones(2, 2, dtype=torch.bool)), "known"),
        (lambda m: m.sample(2, (2, 2), given=torch.zeros(1, 1, 2, 2)), "given"),
        (lambda m: m.sample(2, (2, 2), noise=torch.zeros(1, 1, 2, 2)), "noise"),
        (lambda m: m.sample(2, (2, 2), context=torch.zeros(2, 3)), "context"),
        (lambda m: PixelRNN(0), "levels, hidden, layers, colours"),
        (lambda m: PixelRNN(4, 4, 0), "levels, hidden, layers, colours"),
        (lambda m: PixelRNN(4, 4, 1, context=-1), "context"),
        (lambda m: PixelRNN(4, 4, 1, kind="column"), "kind: expected 'diagonal' or 'row', got 'column'"),
        (lambda m: PixelRNN(4, 4, 1, size=4), "size: expected an odd number"),
        (lambda m: PixelRNN(4, 4, 1, size=1), "size: expected an odd number from 3, got 1"),
        (lambda m: PixelRNN(4, 4, 1, colours=3), "multiples of the number of colours"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call(PixelRNN(4, 4, 1))


def test_the_two_directions_have_weights_of_their_own():
    layer = DiagonalBiLSTM(4)
    ours, theirs = ({id(p) for p in lstm.parameters()} for lstm in (layer.left, layer.right))
    assert len(ours) == len(theirs) == 3 and not ours & theirs
