"""PixelCNN++: what each place can see, that the mixture is a distribution, that samples follow it, and that a known law is learned."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from gensr.densities import discretized_logistic_log_prob
from gensr.models.pixelcnnpp import GatedBlock, Mixture, PixelCNNpp, concat_elu, to_grid
from gensr.models.shifted import ShiftedConv2d, ShiftedConvTranspose2d
from gensr.train import fit


def ready(*arguments, **keywords) -> PixelCNNpp:
    """A model in float64 whose layers are awake, so that an error shows."""
    model = PixelCNNpp(*arguments, **keywords).double().eval()
    context = torch.randn(16, model.context).double() if model.context else None
    model.initialise(grids(16, model.colours, 6, 6, model.levels), context)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model


def grids(n: int, colours: int, h: int, w: int, levels: int) -> torch.Tensor:
    return torch.randint(levels, (n, colours, h, w)).double() / (levels - 1)


def every_image(colours: int, h: int, w: int, levels: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(levels), repeat=colours * h * w))).view(-1, colours, h, w).double() / (levels - 1)


# Who sees whom


@pytest.mark.parametrize(("h", "w"), [(8, 8), (5, 7), (2, 2), (1, 5), (4, 1), (1, 1)])
def test_every_parameter_sees_the_whole_past_and_nothing_else(h, w):
    model = ready(8, 8, 2, mixtures=2)
    x = grids(2, 3, h, w, 8).requires_grad_()
    mixture = model(x)
    for t in range(0, h * w, 1 if h * w < 40 else 5):  # 5 and 8 share no factor: every column, and rows odd and even
        i, j = divmod(t, w)
        (g,) = torch.autograd.grad(sum(v[..., i, j].square().sum() for v in mixture), x, retain_graph=True)
        seen = (g != 0).flatten(2).all(0)  # (colours, places); the two images do not mix, and both see
        assert seen[:, :t].all()
        assert not (g != 0).flatten(2)[:, :, t:].any()


def test_a_factor_sees_the_earlier_colours_of_its_pixel():
    model = ready(8, 8, 1, mixtures=2)
    x = grids(1, 3, 3, 4, 8)
    y = x.clone().requires_grad_()
    mixture = model(x)  # of x: what is seen through the network is not counted here
    means = mixture.means_given(2 * y - 1)
    for c in range(3):
        (g,) = torch.autograd.grad(means[0, :, c, 2, 1].sum(), y, retain_graph=True)
        assert (g[0, :, 2, 1] != 0).tolist() == [True] * c + [False] * (3 - c)
        g[0, :, 2, 1] = 0
        assert not g.any()


@pytest.mark.parametrize("layers", [1, 2])
def test_a_pixel_sees_as_far_as_the_text_says(layers):
    model, w = ready(8, 8, layers, colours=1, mixtures=1), 24
    for i in (2, 3):
        x = grids(1, 1, 4, w, 8).requires_grad_()
        (g,) = torch.autograd.grad(sum(v[..., i, 0].square().sum() for v in model(x)), x)
        above = g[0, 0, i - 1] != 0
        reach = int(above.nonzero().max())
        assert above[: reach + 1].all()
        (g,) = torch.autograd.grad(sum(v[..., i, w - 1].square().sum() for v in model(x)), x)
        left = w - 1 - int((g[0, 0, i] != 0).nonzero().min())
        if i % 2:
            assert reach == left == 4 * layers + 2
        else:
            assert min(reach, left) > 4 * layers + 2


@pytest.mark.parametrize(("h", "w"), [(7, 6), (4, 5), (2, 3)])
def test_the_first_rows_may_come_alone(h, w):
    model = ready(8, 8, 1, mixtures=2)
    x = grids(2, 3, h, w, 8)
    all_rows = model(x)
    for rows in range(1, h):
        for whole, part in zip(all_rows, model(x[:, :, :rows]), strict=True):
            torch.testing.assert_close(whole[..., :rows, :], part, rtol=0, atol=1e-12)


def test_shifted_convolution_reads_what_its_name_says():
    for right, expected in ((False, [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0]]), (True, [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0]])):
        conv = ShiftedConv2d(1, 1, (2, 2 if right else 3), right=right)
        x = torch.randn(1, 1, 5, 5, requires_grad=True)
        (g,) = torch.autograd.grad(conv(x)[0, 0, 2, 2], x)
        assert (g[0, 0] != 0).int().tolist() == [[0] * 5, *expected, [0] * 5, [0] * 5]


def test_strided_and_transposed_sizes():
    for h, w in ((4, 6), (5, 7), (1, 1), (3, 2)):
        for right in (False, True):
            x = torch.randn(2, 3, h, w)
            y = ShiftedConv2d(3, 4, (2, 2 if right else 3), right=right, stride=2)(x)
            assert y.shape == (2, 4, (h + 1) // 2, (w + 1) // 2)
            assert ShiftedConvTranspose2d(4, 5, right=right)(y, (h, w)).shape == (2, 5, h, w)


def test_weight_has_its_length_whatever_its_direction():
    weight = ShiftedConv2d(3, 4, (2, 3)).weight
    torch.testing.assert_close(weight().flatten(1).norm(dim=1), weight.length.flatten())
    before = weight()
    with torch.no_grad():
        weight.direction.mul_(7)
    torch.testing.assert_close(weight(), before)
    up = ShiftedConvTranspose2d(3, 5, right=False).weight
    torch.testing.assert_close(up().transpose(0, 1).flatten(1).norm(dim=1), up.length.flatten())


# The distribution


@pytest.mark.parametrize("levels", [2, 17, 32, 256])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.0, 4.0])
def test_a_mixture_sums_to_one(levels, log_scale):
    means = torch.tensor([-30.0, -1.0, -1 + 1e-9, 0.13, 1.0, 3.0]).double().view(1, 6, 1, 1, 1)
    mixture = Mixture(torch.randn(1, 6, 1, 1).double(), means, torch.full_like(means, log_scale), means[:, :, :0])
    x = torch.linspace(-1, 1, levels, dtype=torch.float64).view(1, 1, 1, levels)
    spread = Mixture(*(v.expand(*v.shape[:-1], levels) for v in mixture))
    assert spread.log_prob(x, levels).exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("levels", [2, 4])
def test_colours_of_a_pixel_sum_to_one(levels):
    for k in range(4):
        torch.manual_seed(k)
        sizes = ((5,), (5, 3), (5, 3), (5, 3))
        logits, means, log_scales, coefficients = (torch.randn(1, *size, 1, 1).double() * 2 for size in sizes)
        one = Mixture(logits, means, log_scales - 1, coefficients.tanh())
        x = every_image(3, 1, 1, levels)
        log_p = Mixture(*(v.expand(len(x), *v.shape[1:]) for v in one)).log_prob(2 * x - 1, levels)
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("colours", "h", "w", "levels", "context"), [(1, 2, 2, 3, 0), (1, 2, 2, 3, 2), (1, 1, 3, 4, 0), (3, 1, 1, 4, 0), (3, 1, 2, 3, 0)])
def test_all_images_sum_to_one(colours, h, w, levels, context):
    model = ready(levels, 8, 1, colours=colours, mixtures=3, context=context)
    x = every_image(colours, h, w, levels)
    c = torch.randn(1, context).double().expand(len(x), -1) if context else None
    log_p = model.log_prob(x, c)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert log_p.max() - log_p.min() > 1
    assert model.loss(x, c).item() == pytest.approx(-log_p.mean().item())


def slow_log_prob(logits, means, log_scales, coefficients, rgb, levels):
    """One pixel in plain Python, with the plain difference of two sigmoids: lists (k,), (k, 3), (k, 3), (k, 3); rgb are whole numbers."""

    def sigmoid(v):
        return 1 / (1 + math.exp(-v))

    r, g, b = (2 * level / (levels - 1) - 1 for level in rgb)
    total = 0.0
    for k in range(len(logits)):
        alpha, beta, gamma = coefficients[k]
        mu = (means[k][0], means[k][1] + alpha * r, means[k][2] + beta * r + gamma * g)
        p = math.exp(logits[k]) / sum(map(math.exp, logits))
        for value, level, m, log_s in zip((r, g, b), rgb, mu, log_scales[k], strict=True):
            s, half = math.exp(log_s), 1 / (levels - 1)
            up = 1.0 if level == levels - 1 else sigmoid((value - m + half) / s)
            low = 0.0 if level == 0 else sigmoid((value - m - half) / s)
            p *= up - low
        total += p
    return math.log(total)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_mixture_equals_a_slow_one(levels):
    n, k = 40, 4
    logits, means, log_scales, coefficients = (torch.randn(n, *size, 1, 1).double() for size in ((k,), (k, 3), (k, 3), (k, 3)))
    mixture = Mixture(logits, means, log_scales - 1, coefficients.tanh())
    level = torch.randint(levels, (n, 3, 1, 1))
    level[0], level[1] = 0, levels - 1
    log_p = mixture.log_prob(level.double() * 2 / (levels - 1) - 1, levels)
    for t in range(n):
        expected = slow_log_prob(*(v[t, ..., 0, 0].tolist() for v in mixture), level[t, :, 0, 0].tolist(), levels)
        assert log_p[t].item() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_on_and_between_the_levels(dtype):
    model = ready(256, 8, 1, mixtures=3).to(dtype)
    for x in (torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5), torch.rand(2, 3, 4, 5), (torch.rand(2, 3, 4, 5) * 255).round() / 255):
        x = x.to(dtype).requires_grad_()
        model.zero_grad()
        log_p = model.log_prob(x)
        log_p.sum().backward()
        assert log_p.isfinite().all()
        assert x.grad.isfinite().all() and x.grad.any()
        assert all(p.grad.isfinite().all() for p in model.parameters())


def test_gradient_in_x_is_that_of_finite_differences():
    model = ready(16, 4, 1, mixtures=2)
    x = (0.15 + 0.7 * torch.rand(1, 3, 2, 2)).double().requires_grad_()  # the two end bins differ from the others: the density jumps there
    assert torch.autograd.gradcheck(model.log_prob, (x,))


def test_extreme_mixtures_stay_finite():
    means = torch.tensor([-100.0, 0.0, 100.0]).view(1, 3, 1, 1, 1).requires_grad_()
    log_scales = torch.tensor([-7.0, -7.0, 20.0]).view(1, 3, 1, 1, 1).requires_grad_()
    for value in (-1.0, 0.3, 1.0):
        log_p = Mixture(torch.zeros(1, 3, 1, 1), means, log_scales, means[:, :, :0]).log_prob(torch.full((1, 1, 1, 1), value), 256)
        assert log_p.isfinite().all()
        assert all(g.isfinite().all() for g in torch.autograd.grad(log_p.sum(), (means, log_scales)))


def test_parameters_keep_their_bounds():
    model = ready(256, 8, 1, mixtures=3)
    with torch.no_grad():
        model.last.weight.length.mul_(100)
    mixture = model(torch.rand(2, 3, 4, 4).double())
    assert mixture.log_scales.min() == -7
    assert 0.9 < mixture.coefficients.abs().max() <= 1
    assert [v.shape for v in mixture] == [(2, 3, 4, 4), (2, 3, 3, 4, 4), (2, 3, 3, 4, 4), (2, 3, 3, 4, 4)]
    assert PixelCNNpp(16, 4, 1, colours=1, mixtures=2)(torch.rand(1, 1, 2, 2)).coefficients.shape == (1, 2, 0, 2, 2)


# Samples


@pytest.mark.parametrize(("shape", "colours", "context"), [((8, 8), 3, 0), ((5, 7), 1, 0), ((6, 9), 3, 3), ((2, 2), 3, 0), ((1, 4), 3, 0), ((3, 1), 1, 2)])
def test_naive_and_cached_samples_are_the_same(shape, colours, context):
    model = ready(16, 8, 1, colours=colours, mixtures=2, context=context)
    u = torch.rand(3, 1 + colours, *shape).double()
    c = torch.randn(3, context).double() if context else None
    naive, cached = (model.sample(3, shape, context=c, noise=u, cached=cached, temperature=0.8) for cached in (False, True))
    assert torch.equal(naive, cached)
    assert naive.unique().numel() > 4
    assert torch.equal(naive, to_grid(naive, 16))
    other = model.sample(3, shape, context=c, noise=1 - u)
    assert not torch.equal(other, cached)


def test_cached_mixtures_are_those_of_a_full_pass():
    for resolutions in (1, 2, 4):
        model = ready(16, 8, 1, mixtures=2, resolutions=resolutions)
        x = grids(2, 3, 7, 6, 16)
        whole, look = model(x), model.places(x, None)
        for i, j in itertools.product(range(7), range(6)):
            for a, b in zip(whole, look(i, j), strict=True):
                torch.testing.assert_close(a[..., i : i + 1, j : j + 1], b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("colours", "shape", "levels", "temperature"), [(1, (2, 2), 3, 1.0), (3, (1, 1), 4, 1.0), (3, (1, 2), 2, 1.0), (1, (2, 2), 3, 0.6)])
def test_samples_follow_log_prob(colours, shape, levels, temperature):
    model, n = ready(levels, 8, 1, colours=colours, mixtures=2), 4_000
    x = every_image(colours, *shape, levels)
    with torch.no_grad():
        m = model(x)
        cooler = Mixture(m.logits / temperature, m.means, m.log_scales + math.log(temperature), m.coefficients)
        expected = n * cooler.log_prob(2 * x - 1, levels).sum((1, 2)).exp()
    drawn = (model.sample(n, shape, temperature=temperature) * (levels - 1)).round().long().flatten(1)
    counts = torch.bincount((drawn * levels ** torch.arange(drawn.shape[1] - 1, -1, -1)).sum(1), minlength=len(x)).double()
    often = expected >= 5
    f_obs = torch.cat([counts[often], counts[~often].sum(0, keepdim=True)])
    f_exp = torch.cat([expected[often], expected[~often].sum(0, keepdim=True)])
    f_obs, f_exp = f_obs[f_exp > 0], f_exp[f_exp > 0]
    assert len(f_obs) > 12
    assert stats.chisquare(f_obs, f_exp * (f_obs.sum() / f_exp.sum())).pvalue > 1e-3
    assert stats.chisquare(f_obs, torch.full_like(f_obs, n / len(f_obs))).pvalue < 1e-6  # the test can fail


def test_green_is_drawn_given_the_red_that_was_drawn():
    """Mean 0 for all, red wide, green = α red with next to no noise of its own."""
    n, levels = 200, 17
    log_scales = torch.tensor([0.0, -7.0, -7.0]).double().view(1, 1, 3, 1, 1)
    coefficients = torch.tensor([1.0, 0.0, -1.0]).double().view(1, 1, 3, 1, 1)  # G on R, B on R, B on G
    m = Mixture(*(v.expand(n, *v.shape[1:]) for v in (torch.zeros(1, 1, 1, 1).double(), torch.zeros_like(log_scales), log_scales, coefficients)))
    x = m.draw(torch.rand(n, 4, 1, 1).double(), levels, 1.0)
    assert torch.equal(x[:, 1], x[:, 0])  # red after it was put on the grid and into [0, 1]
    torch.testing.assert_close(x[:, 2], 1 - x[:, 1])
    assert x[:, 0].unique().numel() == levels


@pytest.mark.parametrize("cached", [True, False])
def test_known_pixels_are_kept(cached):
    model = ready(8, 8, 1, mixtures=2)
    given, known = grids(4, 3, 5, 4, 8), torch.rand(5, 4) < 0.5
    u = torch.rand(4, 4, 5, 4).double()
    x = model.sample(4, (5, 4), given=given, known=known, noise=u, cached=cached)
    assert torch.equal(x[:, :, known], given[:, :, known])
    assert not torch.equal(x, given)
    assert torch.equal(x, model.sample(4, (5, 4), given=given, known=known, noise=u, cached=not cached))
    rows = model.sample(4, (5, 4), given=given[:, :, :2], noise=u, cached=cached)
    assert torch.equal(rows[:, :, :2], given[:, :, :2])
    empty = model.sample(4, (5, 4), given=given, known=torch.zeros(5, 4).bool(), noise=u, cached=cached)
    assert torch.equal(empty, model.sample(4, (5, 4), noise=u, cached=cached))


def test_the_same_seed_gives_the_same_images_in_the_same_mode():
    model = ready(8, 8, 1, mixtures=2, dropout=0.5).train()
    torch.manual_seed(3)
    a = model.sample(3, (4, 4))
    torch.manual_seed(3)
    assert torch.equal(a, model.sample(3, (4, 4)))  # although it is in training: no dropout
    assert model.training
    assert not torch.equal(a, model.sample(3, (4, 4)))


def test_noise_at_its_ends_gives_levels():
    model = ready(8, 8, 1, mixtures=2)
    for u in (0.0, 1.0):
        x = model.sample(1, (2, 2), noise=torch.full((1, 4, 2, 2), u).double())
        assert (x == u).all()


# The network


def test_dropout_is_off_in_evaluation():
    model, x = ready(8, 8, 1, mixtures=2, dropout=0.5), grids(2, 3, 4, 4, 8)
    assert torch.equal(model.log_prob(x), model.log_prob(x))
    model.train()
    assert not torch.equal(model.log_prob(x), model.log_prob(x))
    model = ready(8, 8, 1, mixtures=2, dropout=0.0).train()
    assert torch.equal(model.log_prob(x), model.log_prob(x))


def test_dropout_in_training_lies_after_the_nonlinearity():
    """Of the 2·hidden numbers that the second convolution reads, each is dropped by itself, the others are scaled."""
    seen, block = {}, GatedBlock(16, 0, False, 0.25, 0).train()
    block.first.register_forward_hook(lambda m, _, y: seen.update(y=y))
    block.second.register_forward_pre_hook(lambda m, given: seen.update(read=given[0]))
    torch.manual_seed(0)
    block(torch.randn(4, 16, 8, 8), None, None)
    dropped = seen["read"] == 0
    assert 0.2 < dropped.float().mean() < 0.3
    assert not torch.equal(dropped[:, :16], dropped[:, 16:])
    torch.testing.assert_close(seen["read"][~dropped], (concat_elu(seen["y"]) / 0.75)[~dropped])


def test_new_weights_have_length_about_the_scale():
    torch.manual_seed(0)
    for conv, scale in ((ShiftedConv2d(64, 16, (2, 3)), 1.0), (ShiftedConv2d(64, 16, (2, 2), right=True, scale=0.1), 0.1),
                        (ShiftedConvTranspose2d(64, 16, right=True), 1.0)):
        assert conv.weight.length.numel() == 16
        assert conv.weight.length.mean().item() == pytest.approx(scale, rel=0.1)


def test_initialise_standardises_every_layer():
    model = PixelCNNpp(256, 8, 1, mixtures=2, dropout=0.0, context=2).double()
    x, c = grids(32, 3, 8, 8, 256), torch.randn(32, 2).double()
    model.initialise(x, c)
    seen = []

    def look(conv, _, y):
        seen.append((conv.scale, y.mean((0, 2, 3)), y.std((0, 2, 3), unbiased=False)))

    for m in model.modules():
        if isinstance(m, ShiftedConv2d | ShiftedConvTranspose2d):
            m.register_forward_hook(look)
    model(x, c)
    assert len(seen) > 30
    assert {scale for scale, _, _ in seen} == {1.0, 0.1}
    for scale, mean, deviation in seen:
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-9)
        torch.testing.assert_close(deviation, torch.full_like(deviation, scale), rtol=1e-6, atol=0)


def test_initialise_on_a_tiny_image_blows_nothing_up():
    """The coarsest features of the first 4 × 4 pixels have seen nothing: they do not vary, and have no deviation to divide by."""
    for dtype in (torch.float32, torch.float64):
        model, x = PixelCNNpp(8, 8, 1, mixtures=2).to(dtype), grids(16, 3, 2, 2, 8).to(dtype)
        model.initialise(x)
        assert max(p.abs().max().item() for p in model.parameters()) < 1e4
        assert model.loss(x).item() < 40 * 12


def test_context_matters_and_is_told_by_image():
    model, x = ready(8, 8, 1, mixtures=2, context=3), grids(4, 3, 4, 4, 8)
    c = torch.randn(4, 3).double()
    log_p = model.log_prob(x, c)
    assert not torch.isclose(log_p, model.log_prob(x, c.roll(1, 0))).any()
    torch.testing.assert_close(log_p.flip(0), model.log_prob(x.flip(0), c.flip(0)))


def test_block_and_concat_elu():
    block, x = GatedBlock(4, 0, False, 0.0, 0), torch.randn(1, 4, 3, 3)
    with torch.no_grad():
        block.second.weight.length.zero_()
    assert torch.equal(block(x, None, None), x)  # a = b = 0
    torch.testing.assert_close(concat_elu(x), torch.cat([F.elu(x), F.elu(-x)], 1))


class Copies:
    """4×4 grey images of 8 levels: each pixel is its left neighbour (at the left border, the one above) or, with probability 0.3, one level up, in a circle."""

    moves = 0.3
    entropy = math.log(8) + 15 * (-moves * math.log(moves) - (1 - moves) * math.log(1 - moves))  # 11.2 nats; the uniform law's is 33.3

    def __iter__(self):
        while True:
            k = torch.randint(8, (64, 4, 4))
            for t in range(1, 16):
                i, j = divmod(t, 4)
                before = k[:, i, j - 1] if j else k[:, i - 1, j]
                k[:, i, j] = (before + (torch.rand(64) < self.moves)) % 8
            yield k[:, None] / 7

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        k = (x[:, 0] * 7).round()
        moved = (k[:, :, 1:] != k[:, :, :-1]).sum((1, 2)) + (k[:, 1:, 0] != k[:, :-1, 0]).sum(1)
        return -math.log(8) + moved * math.log(self.moves) + (15 - moved) * math.log(1 - self.moves)


def test_learns_a_law_to_its_entropy():
    law = Copies()
    model = PixelCNNpp(8, 12, 1, colours=1, mixtures=8, dropout=0.0, resolutions=2)
    stream = iter(law)
    model.initialise(next(stream))
    fit(model, law, steps=180, lr=lambda step: 3e-2 * (1 - step / 180), progress=False)
    x = torch.cat(list(itertools.islice(stream, 10)))
    truth = law.log_prob(x)
    assert -truth.mean().item() == pytest.approx(law.entropy, abs=0.3)
    with torch.no_grad():
        excess = (truth - model.log_prob(x)).mean().item()  # KL[law‖model] in nats per image
    assert 0 < excess < 0.5


def test_a_tie_of_the_colours_is_learned_at_once():
    """Grey noise in three equal colours: without the coefficients each colour would cost log 16 nats."""
    model = PixelCNNpp(16, 8, 1, mixtures=1, dropout=0.0, resolutions=1)

    def batches():
        while True:
            yield (torch.randint(16, (32, 1, 4, 4)) / 15).expand(-1, 3, -1, -1)

    fit(model, batches(), steps=150, lr=1e-2, progress=False)
    nats = model.loss(next(batches())).item() / 16
    assert math.log(16) < nats < 1.3 * math.log(16)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m(torch.zeros(1, 3, 2, 2).long()), "x: expected floats"),
        (lambda m: m(torch.zeros(1, 1, 2, 2)), r"x: expected floats \(b, 3, h, w\)"),
        (lambda m: m.log_prob(torch.full((1, 3, 2, 2), 255.0), torch.zeros(1, 2)), "x: expected levels"),
        (lambda m: m(torch.zeros(1, 3, 2, 2)), r"context: expected \(1, 2\), got none"),
        (lambda m: m(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3)), r"context: expected \(1, 2\), got \(1, 3\)"),
        (lambda m: PixelCNNpp(4, 4, 1)(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3)), r"context: expected no context, got \(1, 3\)"),
        (lambda m: m.sample(1, (2, 2)), "context"),
        (lambda m: m.sample(0, (2, 2)), "n, shape"),
        (lambda m: m.sample(1, (0, 2)), "n, shape"),
        (lambda m: m.sample(1, (2, 2), temperature=0), "temperature"),
        (lambda m: m.sample(1, (2, 2), noise=torch.rand(1, 3, 2, 2)), r"noise: expected the shape \(1, 4, 2, 2\)"),
        (lambda m: m.sample(1, (2, 2), given=torch.zeros(2, 3, 2, 2)), "given"),
        (lambda m: m.sample(1, (2, 2), known=torch.ones(2, 2).bool()), "known"),
        (lambda m: PixelCNNpp(1), "levels, context, dropout"),
        (lambda m: PixelCNNpp(dropout=1.0), "levels, context, dropout"),
        (lambda m: PixelCNNpp(context=-1), "levels, context, dropout"),
        (lambda m: PixelCNNpp(hidden=0), "hidden, layers, mixtures, resolutions, colours"),
        (lambda m: PixelCNNpp(resolutions=0), "hidden, layers, mixtures, resolutions, colours"),
        (lambda m: PixelCNNpp(colours=2), "hidden, layers, mixtures, resolutions, colours"),
        (lambda m: m.loss(torch.full((1, 3, 2, 2), float("nan")), torch.zeros(1, 2)), "x: expected levels"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call(PixelCNNpp(4, 4, 1, mixtures=2, context=2))


def test_one_component_is_the_discretised_logistic():
    mean, log_scale = torch.randn(1, 1, 1, 2, 2).double(), torch.randn(1, 1, 1, 2, 2).double()
    x = grids(1, 1, 2, 2, 8) * 2 - 1
    log_p = Mixture(torch.randn(1, 1, 2, 2).double(), mean, log_scale, mean[:, :, :0]).log_prob(x, 8)
    torch.testing.assert_close(log_p, discretized_logistic_log_prob(x, mean[:, 0], log_scale[:, 0], 8)[:, 0])


def test_noise_that_is_not_uniform_is_refused():
    model = PixelCNNpp(4, 2, 1, colours=1, mixtures=1, resolutions=1)
    for u in (float("nan"), 2.0, -1.0):
        noise = torch.full((1, 2, 2, 2), 0.5)
        noise[0, 0, 0, 0] = u
        with pytest.raises(ValueError, match="noise: expected the shape .* numbers from 0 to 1"):
            model.sample(1, (2, 2), noise=noise)
