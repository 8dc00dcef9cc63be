"""Figures stay small and widgets are plain, accessible HTML that needs no kernel and no network."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from gensr import plots, widgets
from gensr.data.photos import example


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
