"""`gensr compare` and `gensr evaluate`: right numbers, a page that needs nothing else, and one-line refusals."""

import base64
import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from gensr.cli import compare as _  # noqa: F401  (loaded before the tests that patch it)
from gensr.cli.compare import MAX_SHOWN, _crop
from gensr.data.photos import crop_to_multiple, example
from gensr.io import read_image, write_image
from gensr.metrics import lr_psnr, sr_scores
from gensr.resize import bicubic_upsample, imresize
from tests.cli.conftest import check_refusal
from tests.cli.pictures import photo


class Page(HTMLParser):
    """The elements of a page, each a tag with its attributes, and whether they are closed in order."""

    void = ("meta", "img", "input", "br", "link")

    def __init__(self, text: str):
        super().__init__()
        self.found, self.open, self.ordered = [], [], True
        self.feed(text)
        self.ordered &= not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.ordered &= bool(self.open) and self.open.pop() == tag

    def all(self, tag):
        return [a for t, a in self.found if t == tag]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "my <photo> & co.png"
    Image.fromarray(photo(50, 61)).save(path)
    return path


def image_of(attributes) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))))


def test_the_page(gensr, zoo, source, tmp_path):
    ran = gensr("compare", source, "-o", tmp_path / "c.html", "--scale", 4)
    assert ran.code == 0 and not ran.err and [line.split()[0] for line in ran.out.splitlines()[:4]] == ["method", "bicubic", "srcnn", "edsr"], ran
    text = (tmp_path / "c.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.ordered and text.startswith("<!DOCTYPE html>") and page.all("html") == [{"lang": "en"}]
    pictures = page.all("img")
    assert [image_of(p).size for p in pictures] == [(244, 200)] * 3
    assert [p["alt"] for p in pictures] == [f"my <photo> & co.png, {m} ×4" for m in ("bicubic", "srcnn", "edsr")]
    expected = bicubic_upsample(read_image(source), 4).clamp(0, 1)[0].permute(1, 2, 0) * 255
    assert np.abs(np.array(image_of(pictures[0])) - expected.numpy()).max() <= 0.51
    # self-contained: no address but data, no other file
    assert not re.findall(r"https?://|src=\"(?!data:)|<link|@import|url\(", text)
    (slider,) = [i for i in page.all("input") if i["type"] == "range"]
    assert slider["aria-label"] and [s["id"] for s in page.all("select")] == ["left", "right", "zoom"]
    assert len(page.all("option")) == 3 + 3 + 4
    assert [o["value"] for o in page.all("option") if "selected" in o] == ["0", "2", "1"]  # bicubic against the best, at 1×


def test_a_reference_is_scored_as_papers_do(gensr, zoo, source, tmp_path):
    ran = gensr("compare", source, "-o", tmp_path / "c.html", "--scale", 2, "--reference")
    assert ran.code == 0 and not ran.err, ran
    x = crop_to_multiple(read_image(source), 2)
    y = imresize((x * 255).round().byte(), 0.5).float() / 255
    x_hat = bicubic_upsample(y, 2)
    scores = sr_scores(x_hat, x, 2)
    (line,) = [line for line in ran.out.splitlines() if line.startswith("bicubic")]
    assert line.split()[2:] == [f"{scores.psnr.item():.2f}", f"{scores.ssim.item():.4f}", f"{lr_psnr(x_hat, y).item():.2f}"]
    page = Page((tmp_path / "c.html").read_text(encoding="utf-8"))
    assert [p["alt"].split(", ")[1] for p in page.all("img")] == ["bicubic ×2", "edsr ×2", "original ×2"]
    assert np.array_equal(np.array(image_of(page.all("img")[-1])), (x[0].permute(1, 2, 0) * 255).round().byte().numpy())


def test_a_crop_is_shown(gensr, zoo, source, tmp_path):
    ran = gensr("compare", source, "-o", tmp_path / "c.html", "--crop", "10,5,20,30", "-s", 2, "--reference")
    assert ran.code == 2 and "--crop" in ran.err  # 25 pixels high after shrinking
    ran = gensr("compare", source, "-o", tmp_path / "c.html", "--crop", "10,5,20,30", "-s", 2)
    assert ran.code == 0 and "20x30 pixels of it, from 10,5" in ran.out
    picture = image_of(Page((tmp_path / "c.html").read_text(encoding="utf-8")).all("img")[0])
    assert picture.size == (40, 60)
    expected = bicubic_upsample(read_image(source)[..., 5:35, 10:30], 2).clamp(0, 1)[0].permute(1, 2, 0) * 255
    assert np.abs(np.array(picture) - expected.numpy()).max() <= 0.51


@pytest.mark.parametrize(("h", "w", "s"), [(4000, 6000, 4), (100, 90_000, 2), (90_000, 100, 3), (513, 512, 4), (1, 10**7, 2)])
def test_a_large_picture_is_shown_in_part(h, w, s):
    left, top, width, height = _crop(None, h, w, s)
    assert left >= 0 and top >= 0 and 1 <= width <= w - left and 1 <= height <= h - top
    assert 0.9 * MAX_SHOWN < width * height * s**2 <= 1.01 * MAX_SHOWN
    assert abs((w - width) - 2 * left) <= 1 and abs((h - height) - 2 * top) <= 1  # the middle


WRONG = {
    "no page": (["-o", "{d}/c.png"], ".html"), "missing folder": (["-o", "{d}/no/c.html"], "does not exist"), "exists": (["-o", "{d}/old.html"], "--force"),
    "crop of words": (["--crop", "a,b"], "four whole numbers"), "crop outside": (["--crop", "50,0,20,20"], "does not lie within"),
    "crop empty": (["--crop", "0,0,0,5"], "does not lie within"), "scale 9": (["-s", "9"], "from 2 to 8"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_call_is_refused(kind, gensr, zoo, source):
    folder = source.parent
    (folder / "old.html").write_text("old")
    arguments, says = WRONG[kind]
    if "-o" not in arguments:
        arguments = ["-o", "{d}/c.html", *arguments]
    check_refusal(gensr("compare", source, *(a.format(d=folder) for a in arguments)), says)
    assert sorted(p.name for p in folder.iterdir()) == [source.name, "old.html"] and (folder / "old.html").read_text() == "old"


def test_a_reference_too_small_to_score(gensr, zoo, tmp_path):
    Image.fromarray(photo(18, 40)).save(tmp_path / "a.png")
    check_refusal(gensr("compare", tmp_path / "a.png", "-o", tmp_path / "c.html", "--reference"), "too few to score at ×4")
    Image.fromarray(photo(20, 21)).save(tmp_path / "a.png")
    assert gensr("compare", tmp_path / "a.png", "-o", tmp_path / "c.html", "--reference").code == 0


def test_evaluate(gensr, zoo, tmp_path):
    folder = tmp_path / "hr"
    folder.mkdir()
    images = {"a.png": example("astronaut")[..., :65, :66], "b.png": example("coffee")[..., 100:160, 200:290]}
    for name, x in images.items():
        write_image(folder / name, x)
    (folder / "notes.txt").write_text("not an image")
    ran = gensr("evaluate", "bicubic_x4", folder, "--csv", tmp_path / "s.csv")
    assert ran.code == 0 and not ran.err, ran
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert [r["image"] for r in rows] == ["a.png", "b.png", "mean"]
    for row, x in zip(rows, images.values(), strict=False):
        x = crop_to_multiple(x, 4)
        y = imresize((x * 255).round().to(torch.uint8), 0.25).float() / 255
        scores = sr_scores(bicubic_upsample(y, 4), x, 4)
        assert float(row["psnr_y"]) == pytest.approx(scores.psnr.item(), abs=2e-3)
        assert float(row["ssim_y"]) == pytest.approx(scores.ssim.item(), abs=2e-5)
        assert float(row["lr_psnr"]) == pytest.approx(lr_psnr(bicubic_upsample(y, 4), y).item(), abs=2e-2)
    mean = (float(rows[0]["psnr_y"]) + float(rows[1]["psnr_y"])) / 2
    assert float(rows[2]["psnr_y"]) == pytest.approx(mean, abs=1e-4) and f"{mean:.2f}" in ran.out.splitlines()[-1]
    check_refusal(gensr("evaluate", "bicubic_x4", folder, "--csv", tmp_path / "s.csv"), "--force")
    check_refusal(gensr("evaluate", "bicubic_x4", folder, "--csv", tmp_path / "no" / "s.csv"), "does not exist")
    check_refusal(gensr("evaluate", "bicubic_x4", folder, "--csv", folder), "is a folder")
    check_refusal(gensr("evaluate", "edsr_x7", folder), "NAME: edsr has no weights for ×7")
    check_refusal(gensr("evaluate", "magic_x4", folder), "NAME: there is no 'magic'")
    check_refusal(gensr("evaluate", "bicubic_x4", tmp_path / "none"), "no such folder")
    check_refusal(gensr("evaluate", "bicubic_x4", folder / "a.png"), "is a file")
    (tmp_path / "empty").mkdir()
    check_refusal(gensr("evaluate", "bicubic_x4", tmp_path / "empty"), "no image in it")
    (folder / "c.png").write_bytes(b"broken")
    check_refusal(gensr("evaluate", "edsr_x4", folder, "--csv", tmp_path / "t.csv"), "c.png", "not an image")
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.data
def test_bicubic_on_set5_has_the_published_value(gensr, zoo, data_folder):
    """28.43 dB where luma is taken from rounded RGB; the 28.42 of the papers takes luma first."""
    ran = gensr("evaluate", "bicubic_x4", data_folder / "sr" / "set5" / "hr")
    mean = ran.out.splitlines()[-1].split()
    assert mean[0] == "mean" and abs(float(mean[1]) - 28.43) <= 0.01 and abs(float(mean[2]) - 0.811) <= 0.001
