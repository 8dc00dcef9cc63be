"""RIDE: two schedules of one recurrence, a density that sums to 1 and sees exactly its past, draws that belong to it, and the published weights."""

import itertools
import math

import numpy as np
import pytest
import torch

from gensr import weights
from gensr.io import read_image
from gensr.models import ride
from gensr.models.mcgsm import contexts, dequantise
from gensr.models.ride import OFFSETS, RIDE, SpatialLSTM, flushed, load_published


def small(layers: int = 1, tile: int | None = None, scale: float = 2.0) -> RIDE:
    """A RIDE in double precision with weights far from their start, and a whitening that is not the identity."""
    model = RIDE(5, layers, 3, 2, 4, tile=tile).double()
    with torch.no_grad():
        for p in model.slstm.parameters():
            p.add_(0.3 * torch.randn_like(p))
        model.readout.a.normal_()
        model.readout.m.normal_()
        model.readout.log_L.normal_(std=0.3)
        model.whitening.mean_in.fill_(0.4)
        model.whitening.whiten_in.copy_(scale * torch.eye(12) + 0.2 * torch.rand(12, 12))
        model.whitening.mean_out.fill_(0.45)
        model.whitening.predictor.copy_(0.1 * torch.randn(12))
        model.whitening.whiten_out.fill_(1.7)
    return model


# ---- the recurrence ----------------------------------------------------------------------------------------------------------------


def test_a_cell_by_hand():
    """Two steps of one unit along a row, in plain numbers: h = tanh(o·c), where o·tanh(c) would give something else."""
    layer = SpatialLSTM(1, 1).double()
    U, V = [0.5, 1.0, -0.5, 0.3, 0.8], [1.0, -0.7, 0.4, 0.9, -0.2]  # g, o, i, left, up
    with torch.no_grad():
        layer.input.weight.copy_(torch.tensor(U)[:, None])
        layer.left.weight.copy_(torch.tensor(V)[:, None])
    g, o, i, *_ = np.tanh(0.5 * 2), *(1 / (1 + np.exp(-2 * np.array(U[1:]))))
    c = g * i
    h = np.tanh(o * c)
    a = [-1 * u + h * v for u, v in zip(U, V, strict=True)]
    o2, i2, left, _ = 1 / (1 + np.exp(-np.array(a[1:])))
    h2 = np.tanh(o2 * (left * c + i2 * np.tanh(a[0])))
    x = torch.tensor([2.0, -1.0], dtype=torch.float64)
    expected = torch.tensor([[h, h2]])
    torch.testing.assert_close(layer(x.reshape(1, 1, 1, 2))[0, 0], expected)
    torch.testing.assert_close(layer.raster(x.reshape(1, 1, 1, 2))[0, 0], expected)
    with torch.no_grad():  # the same down a column, where the past is above
        layer.up.weight.copy_(layer.left.weight[[0, 1, 2, 4, 3]])
        layer.input.weight.copy_(layer.input.weight[[0, 1, 2, 4, 3]])
    torch.testing.assert_close(layer(x.reshape(1, 1, 2, 1))[0, 0, :, 0], expected[0])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (6, 1), (4, 7), (9, 5), (6, 6)])
def test_diagonals_equal_the_raster(height, width):
    layer, x = SpatialLSTM(3, 8), torch.randn(2, 3, height, width, requires_grad=True)
    with torch.no_grad():
        layer.input.bias.normal_()
    a, b = layer(x), layer.raster(x)
    assert (a - b).abs().max() < 1e-5 and a.shape == (2, 8, height, width)
    weight = torch.randn_like(a)
    for p, q in zip(*(torch.autograd.grad((h * weight).sum(), [x, *layer.parameters()]) for h in (a, b)), strict=True):
        torch.testing.assert_close(p, q, atol=1e-4, rtol=1e-4)


def test_cells_stop_growing(monkeypatch):
    """With both forget gates open a cell doubles at each of 511 diagonals. Stopped, all is finite; let go, gradients are not."""
    layer, x = SpatialLSTM(1, 2), torch.randn(1, 1, 256, 256)
    with torch.no_grad():
        layer.input.bias[4:] = 20.0  # i and both f

    def gradients() -> torch.Tensor:
        h = layer(x)
        return torch.cat([h.detach().flatten(), *(g.flatten() for g in torch.autograd.grad(h.square().mean(), [*layer.parameters()]))])

    assert gradients().isfinite().all()
    monkeypatch.setattr(ride, "CELL_LIMIT", math.inf)
    assert not gradients().isfinite().all()


def test_tiny_numbers_are_flushed_and_the_mode_is_put_back():
    tiny = torch.full((1,), 1.2e-38)
    assert tiny * 0.5 > 0
    with flushed():
        assert tiny * 0.5 == 0
        with flushed():
            pass
        assert tiny * 0.5 == 0  # the inner one found it on, and left it on
    assert tiny * 0.5 > 0
    with pytest.raises(KeyError), flushed():
        raise KeyError
    assert tiny * 0.5 > 0


# ---- the density -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "layers"), [((1, 2), 1), ((2, 1), 2)])
def test_integrates_to_one(shape, layers):
    """Over both pixels of an image: nothing is missing from the conditionals, the whitening's Jacobian included."""
    model, points = small(layers), torch.linspace(-9, 9, 241, dtype=torch.float64)
    x = torch.cartesian_prod(points, points).reshape(-1, 1, *shape)
    with torch.no_grad():
        total = torch.logsumexp(model.log_prob(model.framed(x)), 0).exp() * (points[1] - points[0]) ** 2
    assert abs(total - 1) < 1e-3


@pytest.mark.parametrize(("layers", "tile"), [(1, None), (2, None), (1, 3)])
def test_sees_its_past_and_nothing_else(layers, tile):
    """The gradient of one conditional: never zero over the whole reach, zero elsewhere."""
    model = small(layers, tile)
    x = torch.rand(1, 1, 8, 11, dtype=torch.float64, requires_grad=True)
    log_prob = model.pixel_log_prob(x)[0]  # (6, 7)
    rows, columns = torch.arange(8)[:, None], torch.arange(11)
    for i, j in [(0, 0), (2, 3), (5, 1), (5, 6), (3, 6), (4, 4)]:
        row, column = i + 2, j + 2
        reach = ((rows < row) & (columns <= column + 2)) | ((rows == row) & (columns <= column))
        if tile:  # the memory began with the tile's first pixel, whose neighbourhood begins two rows up and two columns to the left
            reach &= (rows >= i // tile * tile) & (columns >= j // tile * tile)
        (gradient,) = torch.autograd.grad(log_prob[i, j], x, retain_graph=True)
        assert torch.equal(gradient[0, 0] != 0, reach), (i, j)


def test_a_pixel_far_up_to_the_right_is_never_seen():
    """The reading order allows it, the recurrence does not: the price of two neighbours, left and above."""
    model = small(2)
    x = torch.rand(1, 1, 10, 20, dtype=torch.float64)
    moved = x.clone()
    moved[..., 0, 12] += 0.5
    with torch.no_grad():
        change = (model.pixel_log_prob(x) - model.pixel_log_prob(moved))[0].abs()
    assert (change[:, :8] == 0).all() and (change[:, 8:].amax(0) > 0).all()  # column 8 within the frame is 10 of x, which sees up to 12


def test_tiles_are_images_of_their_own():
    model, x = small(2, tile=4), torch.rand(2, 1, 12, 15, dtype=torch.float64)  # 10 × 11 within the frame: the last tiles are cut
    with torch.no_grad():
        tiled = model.pixel_log_prob(x)
        model.tile = None
        whole = model.pixel_log_prob(x)
        for i, j in itertools.product((0, 4, 8), repeat=2):
            alone = model.pixel_log_prob(x[:, :, i : i + 6, j : j + 8])
            torch.testing.assert_close(tiled[:, i : i + 4, j : j + 4], alone)
    torch.testing.assert_close(tiled[:, :4, :4], whole[:, :4, :4])
    assert (tiled - whole).abs()[:, 5:, 5:].min() > 0


def test_units():
    model, x = small(), torch.rand(3, 1, 7, 9, dtype=torch.float64)
    with torch.no_grad():
        nats = model.pixel_log_prob(x)
        assert nats.shape == (3, 5, 5)
        torch.testing.assert_close(model.log_prob(x), nats.sum((1, 2)))
        torch.testing.assert_close(model.loss(x), -model.log_prob(x).mean() / 25)
        torch.testing.assert_close(model.bits(x), model.log_prob(x) / (25 * math.log(2)))
        assert model.pixel_log_prob(model.framed(x)).shape == (3, 7, 9)


# ---- drawing -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "tile"), [(1, None), (2, 3)])
def test_a_draw_belongs_to_the_density(layers, tile):
    """One pass over the finished image, all pixels known, gives every pixel the state it was drawn from: the same noise then gives the same pixel."""
    model = small(layers, tile, scale=0.5)
    x, u, e = torch.rand(2, 1, 8, 12, dtype=torch.float64), torch.rand(2, 8, 12, dtype=torch.float64), torch.randn(2, 8, 12, dtype=torch.float64)
    drawn = model.draw(x, noise=(u, e))
    frame = torch.ones(8, 12, dtype=torch.bool)
    frame[2:, 2:-2] = False
    assert torch.equal(drawn[:, 0, frame], x[:, 0, frame]) and (drawn != x)[:, 0, ~frame].all()
    z, v, _ = model.whitening(*contexts(drawn, OFFSETS))
    again = model.readout.sample(model.states(z).detach(), u[:, 2:, 2:-2], e[:, 2:, 2:-2])
    torch.testing.assert_close(again, v)
    torch.testing.assert_close(model.draw(x, together=False, noise=(u, e)), drawn)


def test_draws_have_the_density_that_log_prob_gives():
    """One pixel, 20,000 times: the histogram is that of exp(log_prob)."""
    model, edges = small(), torch.linspace(-1.5, 2.5, 17, dtype=torch.float64)
    drawn = model.draw(model.framed(torch.zeros(20_000, 1, 1, 1, dtype=torch.float64)))[:, 0, 2, 2]
    points = torch.linspace(-1.5, 2.5, 1601, dtype=torch.float64)
    with torch.no_grad():
        density = model.log_prob(model.framed(points.reshape(-1, 1, 1, 1))).exp()
    expected = torch.stack([torch.trapezoid(density[k : k + 101], points[k : k + 101]) for k in range(0, 1600, 100)])
    found = torch.histogram(drawn, edges).hist / len(drawn)
    assert expected.sum() > 0.5
    assert ((found - expected).abs() < 5 * (expected * (1 - expected) / len(drawn)).sqrt() + 1e-4).all()


def test_sample():
    model = small(2)
    x = model.sample(2, (5, 7), burn_in=3)
    assert x.shape == (2, 1, 5, 7) and x.min() >= 0 and x.max() <= 1 and x.std() > 0
    torch.manual_seed(1)
    a = model.sample(1, (4, 3), burn_in=2)
    torch.manual_seed(1)
    torch.testing.assert_close(model.sample(1, (4, 3), burn_in=2, together=False), a)


# ---- learning ----------------------------------------------------------------------------------------------------------------------


def test_learns_how_large_the_noise_is():
    """Every image is noise of one of two sizes. Who looks at the pixels before pays the entropy given the size; who does not, that of the mixture."""
    model = RIDE(8, 1, 2, 3, 4)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)

    def images(n: int) -> torch.Tensor:
        return torch.randn(n, 1, 12, 12) * torch.where(torch.rand(n, 1, 1, 1) < 0.5, 0.2, 1.0)

    losses = []
    for _ in range(120):
        loss = model.loss(images(32))
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimiser.step()
        losses.append(loss.item())
    known = 0.5 * math.log(2 * math.pi * math.e) + 0.5 * math.log(0.2)  # mean entropy of the two sizes
    with torch.no_grad():
        found = model.loss(images(1000)).item()
    mixed = -torch.stack([torch.distributions.Normal(0.0, s).log_prob(torch.linspace(-9, 9, 9001)) for s in (0.2, 1.0)]).logsumexp(0) + math.log(2)
    blind = (mixed * (-mixed).exp()).sum().item() * 18 / 9000  # entropy of the mixture
    assert known - 0.02 < found < known + 0.3 * (blind - known), (known, found, blind)


# ---- the published weights ---------------------------------------------------------------------------------------------------------


def published_formula(w: dict, x: np.ndarray) -> np.ndarray:
    """Log₂-density per pixel of one image, from the data's description, pixel after pixel in double precision; no code is shared with the library."""
    height, width = x.shape[0] - 2, x.shape[1] - 4
    layers = sum(name.endswith(".W_g") for name in w)

    def sigma(a: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-a))

    n, out, h, c = len(w["slstm0.b_g"]), np.zeros((height, width)), {}, {}
    for i, j in itertools.product(range(height), range(width)):
        past = np.concatenate([x[i, j : j + 5], x[i + 1, j : j + 5], x[i + 2, j : j + 2]])
        z = w["pre.whiten_in"] @ (past - w["pre.mean_in"])
        v = (x[i + 2, j + 2] - w["pre.mean_out"] - w["pre.predictor"] @ z) * w["pre.whiten_out"]
        s = z
        for k in range(layers):
            zero = np.zeros(n)
            all_in = np.concatenate([s, h.get((k, i, j - 1), zero), h.get((k, i - 1, j), zero)])
            gate = {name: w[f"slstm{k}.W_{name}"] @ all_in + w[f"slstm{k}.b_{name}"] for name in ("g", "i", "o", "f_i", "f_j")}
            c[k, i, j] = sigma(gate["f_i"]) * c.get((k, i - 1, j), zero) + sigma(gate["f_j"]) * c.get((k, i, j - 1), zero)
            c[k, i, j] += sigma(gate["i"]) * np.tanh(gate["g"])
            h[k, i, j] = s = np.tanh(sigma(gate["o"]) * c[k, i, j])
        square = (w["mcgsm.weights"] ** 2 * (w["mcgsm.features"].T @ s) ** 2).sum(1) - 2 * w["mcgsm.linear_features"] @ s
        precision = np.exp(w["mcgsm.scales"])
        gate = w["mcgsm.priors"] - 0.5 * precision * square[:, None]
        error = w["mcgsm.cholesky"] * (v - w["mcgsm.predictors"] @ s - w["mcgsm.means"])
        joint = gate - 0.5 * precision * error[:, None] ** 2 + 0.5 * w["mcgsm.scales"] + np.log(abs(w["mcgsm.cholesky"]))[:, None] - 0.5 * np.log(2 * np.pi)
        out[i, j] = np.log(np.exp(joint - gate.max()).sum()) - np.log(np.exp(gate - gate.max()).sum()) + np.log(w["pre.whiten_out"])
    return out / np.log(2)


def made_up(layers: int, n: int = 5, k: int = 3, s: int = 2, f: int = 4) -> dict:
    """Arrays with the names and shapes of the published ones, smaller and random."""
    normal = np.random.default_rng(layers).standard_normal
    w = {"pre.mean_in": 0.4 + 0.1 * normal(12), "pre.mean_out": np.array(0.45), "pre.predictor": 0.1 * normal(12), "pre.whiten_out": np.array(9.0)}
    w |= {"pre.whiten_in": 5 * np.eye(12) + normal((12, 12)), "mcgsm.priors": normal((k, s)), "mcgsm.scales": normal((k, s)), "mcgsm.weights": normal((k, f))}
    w |= {"mcgsm.features": normal((n, f)), "mcgsm.cholesky": normal(k), "mcgsm.predictors": normal((k, n)), "mcgsm.linear_features": normal((k, n))}
    w["mcgsm.means"] = normal(k)
    for layer, gate in itertools.product(range(layers), ("g", "i", "o", "f_i", "f_j")):
        w |= {f"slstm{layer}.W_{gate}": 0.5 * normal((n, (n if layer else 12) + 2 * n)), f"slstm{layer}.b_{gate}": normal(n)}
    return w


@pytest.mark.parametrize("layers", [1, 2])
def test_arrays_are_read_as_their_description_says(layers, tmp_path):
    w, x = made_up(layers), np.random.default_rng(0).random((9, 12))
    np.savez(tmp_path / "ride.npz", **w)
    model = load_published(tmp_path / "ride.npz")
    assert model.tile == 64
    assert not model.training
    with torch.no_grad():
        found = model.pixel_log_prob(torch.from_numpy(x)[None, None].float())[0] / math.log(2)
    torch.testing.assert_close(found, torch.from_numpy(published_formula(w, x)).float(), atol=1e-4, rtol=1e-4)


def crops(folder) -> torch.Tensor:
    return torch.from_numpy(np.load(folder / "gen/ride/crops.npz")["x"])[:, None].float() / 255


@pytest.mark.data
@pytest.mark.parametrize("layers", [1, 2])
def test_published_weights_on_a_corner(layers, data_folder):
    """The formula in double precision, the diagonals and the raster, on a few hundred pixels."""
    path = data_folder / f"gen/ride/ride_{layers}layer.npz"
    model, x = load_published(path), crops(data_folder)[3:4, :, 100:116, 60:80]
    with torch.no_grad():
        found = model.pixel_log_prob(x)[0] / math.log(2)
        z = model.whitening(*contexts(x, OFFSETS))[0].movedim(-1, 1)
        for layer in model.slstm:
            assert (layer(z) - layer.raster(z)).abs().max() < 1e-5
            z = layer(z)
    w = {name: array.astype(np.float64) for name, array in np.load(path).items()}
    torch.testing.assert_close(found.double(), torch.from_numpy(published_formula(w, x[0, 0].double().numpy())), atol=1e-3, rtol=1e-3)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("layers", "bits"), [(1, 3.636), (2, 3.674)])
def test_published_weights_reach_their_figure(layers, bits, data_folder):
    """Golden: measured once with another implementation on the same 240 tiles of 64 × 64."""
    tiles = crops(data_folder).unfold(2, 64, 64).unfold(3, 64, 64).reshape(-1, 1, 64, 64)
    model = load_published(data_folder / f"gen/ride/ride_{layers}layer.npz")
    with torch.no_grad(), flushed():
        found = torch.cat([model.bits(part) for part in tiles.split(30)]).mean().item()
    assert abs(found - bits) < 0.003, found


@pytest.mark.data
@pytest.mark.slow
def test_published_weights_stay_finite_on_a_large_image(data_folder):
    """Two layers at 256 × 256: the density and its gradient, on a crop where without tiles the gradient is NaN."""
    model, x = load_published(data_folder / "gen/ride/ride_2layer.npz"), crops(data_folder)[4:5].requires_grad_()
    with flushed():
        model.tile = None
        free = model.log_prob(x)
        assert free.isfinite().all() and not torch.autograd.grad(free.sum(), x)[0].isfinite().all()
        model.tile = 64
        log_prob = model.log_prob(x)
        (gradient,) = torch.autograd.grad(log_prob.sum(), x)
    assert log_prob.isfinite().all() and gradient.isfinite().all() and gradient.abs().max() > 0


# ---- the shipped weights -----------------------------------------------------------------------------------------------------------


def test_shipped_weights_use_their_memory():
    """What they draw is more likely under the whole memory than under one wiped every 4 pixels: a KL divergence, so positive, and here large."""
    model = weights.load("ride_skin")
    x = model.sample(2, (40, 40))
    with torch.no_grad():
        whole = model.log_prob(x).mean() / (38 * 36)
        model.tile = 4
        short = model.log_prob(x).mean() / (38 * 36)
    assert whole - short > 0.05  # 0.15 when it was made
    with torch.no_grad():
        z = model.whitening(*contexts(x, OFFSETS))[0].movedim(-1, 1)
        assert (model.slstm[0](z) - model.slstm[0].raster(z)).abs().max() < 1e-5


@pytest.mark.data
def test_shipped_weights_cost_what_their_card_says(data_folder):
    """−log p on the 48 columns nobody trained on, in nats per pixel; the last 250 × 36 pixels, which MCGSMs with windows of 7 × 13 see too."""
    x = read_image(data_folder / "gen/textures/portilla_simoncelli/reptil_skin.png").mean(1, keepdim=True)[..., 208:]
    x = dequantise((255 * x).round().to(torch.uint8)[0], torch.Generator().manual_seed(1))[None]
    with torch.no_grad(), flushed():
        nats = -weights.load("ride_skin").pixel_log_prob(x)[0, 4:, 4:-4].mean().item()
    assert nats == pytest.approx(weights.card("ride_skin")["measured"]["nats"], abs=0.005)  # rounding to float16 included


# ---- what it refuses ---------------------------------------------------------------------------------------------------------------


def test_errors(tmp_path):
    for wrong in ({"hidden": 0}, {"layers": 0}, {"tile": 0}):
        with pytest.raises(ValueError, match="hidden, layers, tile: expected at least 1"):
            RIDE(**wrong)
    with pytest.raises(ValueError, match="channels, hidden: expected at least 1"):
        SpatialLSTM(0, 3)
    model = RIDE(2, 1, 2, 1, 1)
    for call in (model.log_prob, model.draw):
        with pytest.raises(ValueError, match="x: expected more than 2 rows and 4 columns, got 2×9"):
            call(torch.rand(1, 1, 2, 9))
    for n, shape, burn_in in [(0, (2, 2), 0), (1, (0, 2), 0), (1, (2, 2), -1)]:
        with pytest.raises(ValueError, match="n, shape, burn_in"):
            model.sample(n, shape, burn_in=burn_in)
    np.savez(tmp_path / "other.npz", weight=np.zeros(3))
    with pytest.raises(ValueError, match=r"path: expected arrays slstm0\.W_g"):
        load_published(tmp_path / "other.npz")


def test_burn_in_is_cut_off_at_the_top_and_both_sides():
    model = small()
    torch.manual_seed(3)
    whole = model.sample(1, (3 + 2, 4 + 4), burn_in=0)
    torch.manual_seed(3)
    assert torch.equal(model.sample(1, (3, 4), burn_in=2), whole[:, :, 2:, 2:-2])


def test_the_frame_is_the_mean_and_the_first_frame_of_a_texture_is_noise_around_it(monkeypatch):
    model = small()
    model.whitening.mean_out.fill_(0.3)
    frame = model.framed(torch.ones(1, 1, 3, 4).double())
    assert frame.shape == (1, 1, 5, 8) and frame[..., 2:, 2:-2].min() == 1
    frame[..., 2:, 2:-2] = 0.3
    torch.testing.assert_close(frame, torch.full_like(frame, 0.3))
    monkeypatch.setattr(model, "draw", lambda x, **_: x)
    torch.manual_seed(0)
    start = model.sample(1, (60, 60), burn_in=0, limits=(-9.0, 9.0))
    assert abs(start.mean() - 0.3) < 0.01 and abs(start.std() - 0.1) < 0.01


def test_a_new_layer_has_weights_of_unit_sums_and_open_half_gates():
    torch.manual_seed(0)
    layer = SpatialLSTM(12, 32)
    for part in (layer.input, layer.left, layer.up):
        assert part.weight.std().item() == pytest.approx((12 + 2 * 32) ** -0.5, rel=0.05)
    assert not layer.input.bias.any()


def test_noise_of_another_size_or_an_image_that_is_not_grey_is_refused():
    model, x = small(), torch.rand(1, 1, 6, 7).double()
    for shape in ((1, 9, 9), (1, 4, 3), (6, 7)):
        with pytest.raises(ValueError, match=r"noise: expected two of the shape \(1, 6, 7\)"):
            model.draw(x, noise=(torch.rand(1, 6, 7).double(), torch.rand(shape).double()))
    for call in (model.log_prob, model.draw):
        with pytest.raises(ValueError, match=r"x: expected floats \(b, 1, h, w\)"):
            call(torch.rand(1, 3, 6, 7))
