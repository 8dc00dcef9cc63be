"""Figures stay small and widgets are plain, accessible HTML that needs no kernel and no network."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image
from torch import nn

from gensr import _inpage, plots, widgets
from gensr.data.photos import example
from gensr.likelihoods import Bernoulli, DiscretizedLogistic
from gensr.models.vqvae import VQVAE
from gensr.nets import MLP, GenerativeCell


def decode(picture):
    return Image.open(io.BytesIO(picture.data))


def test_image_grid_shows_the_pixels():
    red = torch.zeros(3, 8, 8)
    red[0] = 1
    shown = decode(plots.images(red, torch.zeros(8, 8), height=1)).convert("RGB")
    colours = {c for _, c in shown.getcolors(100_000)}
    assert (255, 0, 0) in colours and (0, 0, 0) in colours


def test_photographs_stay_under_the_limit():
    x = example("coffee")
    noise = torch.rand(3, 300, 300)
    for picture in (plots.images(x, x, x, titles=("a", "b", "c"), height=2.5), plots.images(noise, height=4)):
        assert len(picture.data) <= plots.LIMIT


def test_figures_are_reproducible():
    a, b = (plots.curves(None, {"loss": [3, 2, 1.0], "test": [3, 2.5, 2.4]}, xlabel="step", log=True) for _ in range(2))
    assert a.data == b.data and a.format == "png"


def test_density_puts_mass_where_it_is():
    picture = decode(plots.density(lambda x: -0.5 * ((x - torch.tensor([2.0, 2.0])) ** 2).sum(1) * 20, points=torch.tensor([[-2.0, -2.0]]))).convert("L")
    w, h = picture.size
    dark_right = sum(picture.getpixel((int(0.8 * w), y)) < 128 for y in range(h // 2))
    dark_left = sum(picture.getpixel((int(0.35 * w), y)) < 128 for y in range(h // 2))
    assert dark_right > dark_left


@pytest.mark.parametrize("bad", [torch.zeros(2, 8, 8), torch.zeros(4), torch.zeros(2, 3, 8, 8)])
def test_bad_shapes_are_named(bad):
    with pytest.raises(ValueError, match="pictures: expected"):
        plots.images(bad)


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def named(self, name):
        return [a for t, a in self.tags if t == name]


def test_frames_are_accessible_and_self_contained():
    pictures = [torch.full((3, 4, 4), v) for v in (0.0, 0.5, 1.0)]
    out = widgets.frames(pictures, ["0", "½", "<1>"], "grey level", ["black", "grey", 'white "all"'], start=1).data
    tags = Tags(out)
    images = tags.named("img")
    assert [("hidden" in a) for a in images] == [True, False, True]
    assert [a["alt"] for a in images] == ["black", "grey", 'white "all"']
    (slider,) = tags.named("input")
    assert slider["type"] == "range" and slider["max"] == "2" and slider["aria-valuetext"] == "½"
    assert tags.named("label")[0]["for"] == slider["id"]
    assert "http" not in out and "<script" not in out
    first = Image.open(io.BytesIO(base64.b64decode(images[1]["src"].split(",")[1])))
    assert first.convert("RGB").getpixel((0, 0)) == (128, 128, 128)


def test_frames_can_be_played_by_a_button_that_has_a_name():
    pictures = [torch.full((3, 4, 4), v) for v in (0.0, 0.5, 1.0)]
    plain = widgets.frames(pictures, ["0", "1", "2"], "step", ["a", "b", "c"]).data
    assert not Tags(plain).named("button")
    out = widgets.frames(pictures, ["0", "1", "2"], 'the "step"', ["a", "b", "c"], play=True).data
    play, after = Tags(out).named("button")
    (slider,) = Tags(out).named("input")
    for button, name in ((play, "play"), (after, "next")):
        assert button["type"] == "button" and button["aria-label"] == f'{name}: the "step"' and button["aria-controls"] == slider["id"]
    assert "prefers-reduced-motion" in out and "<script" not in out and "http" not in out


def test_compare_has_both_pictures_and_a_labelled_slider():
    out = widgets.compare(torch.zeros(3, 4, 4), torch.ones(3, 4, 4), ("bicubic", "EDSR"), alt="A cat's eye").data
    tags = Tags(out)
    assert [a["alt"] for a in tags.named("img")] == ["A cat's eye: bicubic", "A cat's eye: EDSR"]
    assert tags.named("input")[0]["aria-label"] and re.search("clip-path", out)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([], [], "n", []), "equal lengths"),
        (([torch.zeros(3, 2, 2)], ["a", "b"], "n", ["x"]), "equal lengths"),
        (([torch.zeros(3, 2, 2)], ["a|b"], "n", ["x"]), "labels"),
        (([torch.zeros(2, 2, 2)], ["a"], "n", ["x"]), "pictures"),
    ],
)
def test_bad_widgets(arguments, message):
    with pytest.raises(ValueError, match=message):
        widgets.frames(*arguments)


def small() -> nn.Sequential:
    return nn.Sequential(MLP(2, 8, 9), nn.Unflatten(1, (1, 3, 3)))


def test_a_plane_is_accessible_and_self_contained():
    net, points = small(), torch.tensor([[0.0, 1.0], [1.0, 1.0], [9.0, 9.0]])
    out = widgets.plane(net, Bernoulli(), alt='A digit "made" of z', name="z", limits=(-2, 2), start=(0.5, -1), points=points, labels=["<a>", "b", "b"]).data
    tags = Tags(out)
    (figure,), (still,), (pad,) = tags.named("figure"), tags.named("img"), tags.named("svg")
    assert figure["aria-label"] == "z" and still["alt"] == 'A digit "made" of z'
    assert pad["role"] == "application" and pad["tabindex"] == "0" and "arrow keys" in pad["aria-label"]
    assert [(s["type"], float(s["min"]), float(s["max"]), float(s["value"])) for s in tags.named("input")] == [("range", -2, 2, 0.5), ("range", -2, 2, -1)]
    assert len(tags.named("label")) == 2 and out.count("<a>") == 0 and "&lt;a&gt;" in out
    assert not re.search(r"https?:(?!//www\.w3\.org)|//cdn|\beval\(|new Function|import\(|fetch\(", out)
    assert json.loads(figure["data-net"])["points"] == [[0, 1, "<a>"], [1, 1, "b"], [9, 9, "b"]]
    assert out.count("h0") == 2, "a point beyond the limits is not drawn"
    with torch.no_grad():
        wanted = net(torch.tensor([[0.5, -1.0]])).sigmoid()[0, 0]
    shown = Image.open(io.BytesIO(base64.b64decode(still["src"].split(",")[1])))
    assert shown.getpixel((2, 1)) == round(255 * wanted[1, 2].item())


def test_a_painting_is_accessible_and_small():
    torch.manual_seed(0)
    vq = VQVAE(hidden=32, codes=128, dim=16)
    starts = torch.randint(128, (6, 7, 7))
    names = [f"digit <{i}>" for i in range(6)]
    out = widgets.paint(vq.quantizer.codebook, vq.decoder, vq.likelihood, starts=starts, names=names, alt="The digit of the codes").data
    assert len(out) <= 250_000
    tags = Tags(out)
    assert [a["alt"] for a in tags.named("img")] == ["The digit of the codes"]
    roles = {t.get("role"): t.get("aria-label") for _, t in tags.tags if t.get("role")}
    assert set(roles) == {"group", "grid", "radiogroup"} and all(roles.values())
    data = json.loads(tags.named("figure")[0]["data-net"])
    assert data["starts"] == starts.tolist() and sorted(data["order"]) == list(range(128))
    light = [data["light"][k] for k in data["order"]]
    assert light == sorted(light)


def test_translation_is_a_list_with_the_weights_in_its_order():
    net = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.PixelShuffle(2))
    done = _inpage.translate(net, DiscretizedLogistic(), (2,))
    assert done.layers == [["linear", 8, 2], ["silu"], ["shape", 2, 2, 2], ["conv", 4, 2, 3, 1], ["shuffle", 2], ["location"]] and done.shape == (1, 4, 4)
    halves = torch.frombuffer(bytearray(base64.b64decode(done.halves())), dtype=torch.float16)
    assert torch.equal(halves, torch.cat([net[0].weight.flatten(), net[0].bias, net[3].weight.flatten(), torch.zeros(4)]).half())


def test_a_view_leaves_the_decoder_in_its_mode():
    net = nn.Sequential(nn.Linear(2, 9), nn.Dropout(0.9), nn.Unflatten(1, (1, 3, 3)))
    net[1].eval()
    state = torch.get_rng_state()
    a, b = (widgets.plane(net, Bernoulli(), alt="What the decoder makes").data for _ in range(2))
    assert a == b and torch.equal(torch.get_rng_state(), state)
    assert net.training and net[0].training and not net[1].training


def out_of(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4)), *layers)


class Odd(nn.Sequential):
    def forward(self, x):
        return super().forward(x) + 1


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (out_of(nn.BatchNorm2d(1)), "BatchNorm2d does not run in the page; what does: Linear, Conv2d"),
        (out_of(nn.Sequential(nn.ReLU(), GenerativeCell(1))), "GenerativeCell does not run"),
        (Odd(nn.Linear(2, 2)), "Odd does not run"),
        (out_of(nn.ConvTranspose2d(1, 1, 2)), "ConvTranspose2d does not run"),
        (out_of(nn.Conv2d(1, 1, 3, stride=2)), "stride=\\(2, 2\\).* on an input of shape \\(1, 4, 4\\) does not run"),
        (out_of(nn.Conv2d(1, 1, 3, padding="same")), "padding=same"),
        (out_of(nn.Conv2d(1, 1, (1, 3), padding=(0, 1))), "kernel_size=\\(1, 3\\)"),
        (out_of(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")), "padding_mode=reflect"),
        (out_of(nn.Conv2d(3, 1, 3)), "input of shape \\(1, 4, 4\\)"),
        (out_of(nn.Linear(4, 4)), "Linear.* on an input of shape \\(1, 4, 4\\)"),
        (out_of(nn.PixelShuffle(2)), "PixelShuffle"),
        (out_of(nn.Flatten(2)), "Flatten"),
        (nn.Linear(3, 2), "Linear.* on an input of shape \\(2,\\)"),
        (nn.Linear(2, 16), "expected an image"),
        (out_of(nn.Conv2d(1, 2, 1)), "expected an image .* got \\(2, 4, 4\\)"),
        (nn.Sequential(MLP(2, 300, 300, 64), nn.Unflatten(1, (1, 8, 8))), "characters of HTML, at most 250,000"),
    ],
)
def test_a_decoder_that_cannot_run_in_the_page(net, message):
    with pytest.raises(ValueError, match=f"decoder: .*{message}"):
        widgets.plane(net, alt="What the decoder makes of z")


@pytest.mark.parametrize("value", [torch.nan, 1e5])
def test_a_weight_that_is_no_16_bit_float(value):
    net = small()
    net[0][0].bias.data[0] = value
    with pytest.raises(ValueError, match="decoder: expected finite weights below 65504"):
        widgets.plane(net, alt="What the decoder makes of z")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": (2, -2)}, "limits"),
        ({"start": (0, 4)}, "start"),
        ({"labels": ["a"]}, "labels: expected one for each of 0 points, got 1"),
        ({"points": torch.zeros(2, 2), "labels": ["a"]}, "labels: expected one for each of 2 points, got 1"),
    ],
)
def test_a_bad_plane(options, message):
    with pytest.raises(ValueError, match=message):
        widgets.plane(small(), alt="What the decoder makes of z", **options)


@pytest.mark.parametrize(
    ("starts", "names", "message"),
    [
        (torch.zeros(0, 2, 2).long(), [], "starts, names"),
        (torch.zeros(2, 2, 2).long(), ["a"], "starts, names: expected equal lengths, at least 1, got 2 and 1"),
        (torch.full((1, 2, 2), 8), ["a"], "codes from 0 to 7, got 8 to 8"),
        (torch.full((1, 2, 2), -1), ["a"], "codes from 0 to 7"),
    ],
)
def test_a_bad_painting(starts, names, message):
    vq = VQVAE(hidden=4, codes=8, dim=3)
    with pytest.raises(ValueError, match=message):
        widgets.paint(vq.quantizer.codebook, vq.decoder, vq.likelihood, starts=starts, names=names, alt="The digit of the codes")
