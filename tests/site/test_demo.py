"""The networks in the reader's browser: their pixels are torch's, and whatever is fed to them gets a clear answer."""

import base64
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from gensr import weights
from gensr.data.photos import example
from gensr.io import read_image, write_image
from gensr.operators import Downsample
from gensr.resize import imresize
from tests.site.conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCALE = 4
NETWORKS = {"edsr_x4": "EDSR", "affmse_x4": "AffMSE", "affgan_x4": "AffGAN"}


@pytest.fixture
def demo(page):
    """The demo beside EDSR's chapter: bicubic on the left, EDSR on the right."""
    page.goto("/chapters/supervised-sr.html", wait_until="networkidle")
    page.wait_for_selector("#sr-demo .example")
    return page


@pytest.fixture
def affine(page):
    """The demo in the chapter on affine projections: bicubic on the left, AffGAN on the right."""
    page.goto("/chapters/amortised-map.html", wait_until="networkidle")
    page.wait_for_selector("#sr-demo .example")
    return page


def feed(page, path, wait: bool = True) -> str:
    """Give the page a file; the status once it is done."""
    before = times_done(page)
    page.set_input_files("#sr-file", path)
    if wait:
        once_more(page, before)
    return page.inner_text("#sr-demo .status")


def times_done(page) -> int:
    return int(page.locator("#sr-demo").get_attribute("data-done") or 0)


def once_more(page, before: int) -> None:
    page.wait_for_function("before => Number(document.getElementById('sr-demo').dataset.done || 0) > before", arg=before, timeout=120_000)


def show(page, side: str, name: str) -> None:
    """Choose what stands on a side, and wait until it does."""
    before = times_done(page)
    page.select_option(f"#sr-{side}", name)
    once_more(page, before)


def pixels(page, kind: str) -> torch.Tensor:
    """A canvas as (3, h, w) in levels 0 to 255."""
    text, w, h = page.evaluate("""kind => {
        const c = document.querySelector(`#sr-demo .${kind} canvas`), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let s = '';
        for (let i = 0; i < d.length; i += 30000) s += String.fromCharCode(...d.subarray(i, i + 30000));
        return [btoa(s), c.width, c.height];
    }""", kind)
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), np.uint8).copy()).reshape(h, w, 4)[..., :3].permute(2, 0, 1).float()


def expected(y: torch.Tensor, name: str) -> torch.Tensor:
    """By torch, with the exact projection."""
    with torch.no_grad():
        x = imresize(y, SCALE) if name == "bicubic" else weights.load(name)(y)
    return (x[0].clamp(0, 1) * 255).round()


@pytest.mark.parametrize("h, w", [(8, 11), (61, 40), (131, 203)])  # the last one is made of several tiles, which must join without a seam
def test_canvas_equals_torch(demo, tmp_path, h, w):
    path = tmp_path / "small.png"
    write_image(path, example("coffee")[..., 100 : 100 + h, 150 : 150 + w])
    feed(demo, path)
    for side, name in (("left", "bicubic"), ("right", "edsr_x4")):
        got, wanted = pixels(demo, side), expected(read_image(path), name)
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 1, name
        assert (got == wanted).float().mean() > 0.999, name
    assert demo.watch.trouble == [], "the image must not leave the machine, nor anything fail"


def misses(page) -> dict[str, list[float]]:
    """What the page says of |A x − y| in grey levels: for each label, of the floats and of the 8 bits."""
    found: dict[str, list[float]] = {}
    for label, value in re.findall(r"(\w+) by up to ([\d.e-]*\d)", page.inner_text("#sr-demo .misses")):
        found.setdefault(label, []).append(float(value))
    return found


@pytest.mark.parametrize("h, w", [(9, 8), (131, 203)])
def test_affgan_beside_bicubic(affine, tmp_path, h, w):
    """The chapter's own question: AffGAN's pixels are those of the exact projection, and shrunk again they give y, across the tiles as well."""
    path = tmp_path / "small.png"
    write_image(path, example("coffee")[..., 100 : 100 + h, 150 : 150 + w])
    status = feed(affine, path)
    assert "by AffGAN with" in status and "untrained" not in status
    y = read_image(path)
    got = {"bicubic": pixels(affine, "left"), "AffGAN": pixels(affine, "right")}
    for label, name in (("bicubic", "bicubic"), ("AffGAN", "affgan_x4")):
        wanted = expected(y, name)
        assert (got[label] - wanted).abs().max() <= 1, name
        assert (got[label] == wanted).float().mean() > 0.99, name
    assert (got["AffGAN"] - got["bicubic"]).abs().max() > 5
    found, A = misses(affine), Downsample(SCALE)
    assert found["AffGAN"][0] < 255e-4 < found["bicubic"][0]
    for label, x in got.items():  # of the 8 bits, what torch finds
        assert found[label][1] == pytest.approx((A(x[None]) - 255 * y).abs().max().item(), rel=0.1, abs=0.06), label
    assert affine.watch.trouble == []


def test_either_side_shows_what_is_chosen(affine, tmp_path):
    path = tmp_path / "a.png"
    write_image(path, example("chelsea")[..., 100:140, 100:140])
    feed(affine, path)
    assert affine.locator("#sr-left option").all_inner_texts() == ["bicubic", *NETWORKS.values()]
    y = read_image(path)
    for side, name in (("left", "affmse_x4"), ("right", "edsr_x4"), ("right", "affgan_x4"), ("left", "affgan_x4")):  # the last two are made already
        show(affine, side, name)
        assert (pixels(affine, side) - expected(y, name)).abs().max() <= 1, name
        assert affine.inner_text(f"#sr-demo .{side} figcaption") == NETWORKS[name]
        assert affine.locator(f"#sr-demo .{side} canvas").get_attribute("aria-label") == f"a.png, enlarged 4 times by {NETWORKS[name]}"
    path = tmp_path / "b.png"
    write_image(path, example("coffee")[..., 100:140, 100:140])
    feed(affine, path)  # another image: what was made before is not shown for it
    for side in ("left", "right"):
        assert (pixels(affine, side) - expected(read_image(path), "affgan_x4")).abs().max() <= 1
    assert affine.watch.trouble == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_narrow_page_nothing_is_cut_off(browser, address, tmp_path, scheme):
    context = browser.new_context(viewport={"width": 400, "height": 800}, base_url=address, color_scheme=scheme)
    page = context.new_page()
    page.goto("/chapters/amortised-map.html", wait_until="networkidle")
    write_image(tmp_path / "a.png", example("chelsea")[..., :64, :64])
    feed(page, tmp_path / "a.png")
    for selector in ("#sr-left", "#sr-right", "#sr-wipe", "#sr-demo .save", "#sr-demo .misses", "#sr-demo .right canvas"):
        box = page.locator(selector).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 400, selector
    context.close()


def test_the_example_works_and_can_be_saved(demo, tmp_path):
    demo.focus("#sr-demo .example")
    demo.keyboard.press("Enter")
    demo.wait_for_selector("#sr-demo[data-done]", timeout=120_000)
    assert "EDSR" in demo.inner_text("#sr-demo .status") and "untrained" not in demo.inner_text("#sr-demo .status")
    with demo.expect_download() as download:
        demo.click("#sr-demo .save")
    assert download.value.suggested_filename == "example-edsr_x4.png"
    download.value.save_as(tmp_path / "big.png")
    saved = torch.from_numpy(np.array(Image.open(tmp_path / "big.png").convert("RGB"))).permute(2, 0, 1).float()
    assert torch.equal(saved, pixels(demo, "right"))


def test_a_large_photograph_is_enlarged_in_part_and_the_part_can_be_moved(demo, tmp_path):
    write_image(tmp_path / "photo.png", example("rocket"))
    assert "128 × 128 pixels became 512 × 512" in feed(demo, tmp_path / "photo.png")
    middle = pixels(demo, "left")
    demo.focus("#sr-x")
    demo.keyboard.press("Home")
    before = times_done(demo)
    demo.click("#sr-demo .go")
    once_more(demo, before)
    left = pixels(demo, "left")
    y = read_image(tmp_path / "photo.png")
    assert (left - middle).abs().max() > 1
    top = round(0.5 * (y.shape[2] - 128) + 1e-9)
    wanted = expected(y[..., top : top + 128, :128], "bicubic")
    assert (left - wanted).abs().max() <= 1


def test_views(demo, tmp_path):
    write_image(tmp_path / "a.png", example("chelsea")[..., :32, :32])
    feed(demo, tmp_path / "a.png")
    clip = lambda: demo.locator("#sr-demo .right").evaluate("e => getComputedStyle(e).clipPath")  # noqa: E731
    before = clip()
    demo.focus("#sr-wipe")
    demo.keyboard.press("ArrowRight")
    assert clip() != before
    demo.check("#sr-demo [name=sr-view][value=two]")
    assert clip() == "none"
    a, b = (demo.locator(f"#sr-demo .{k} canvas").bounding_box() for k in ("left", "right"))
    assert a["x"] + a["width"] <= b["x"] and abs(a["y"] - b["y"]) < 1
    assert demo.locator("#sr-demo .right canvas").get_attribute("aria-label") == "a.png, enlarged 4 times by EDSR"


def test_a_turned_photograph_is_turned_upright(demo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((example("chelsea")[0, :, :24, :40].permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    assert "24 × 40 pixels became 96 × 160" in feed(demo, tmp_path / "turned.jpg")


def test_what_can_be_seen_through_becomes_white(demo, tmp_path):
    Image.new("RGBA", (16, 16), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    feed(demo, tmp_path / "clear.png")
    assert pixels(demo, "left").min() == 255


@pytest.mark.parametrize("name, make, wanted", [
    ("notes.txt", lambda p: p.write_text("no image"), "notes.txt is not an image"),
    ("empty.png", lambda p: p.write_bytes(b""), "empty.png is not an image"),
    ("half.png", lambda p: (write_image(p, example("rocket")), p.write_bytes(p.read_bytes()[:40])), "half.png is not an image"),
    ("tiny.png", lambda p: Image.new("RGB", (4, 40)).save(p), "needs at least 8"),
])
def test_bad_files_get_a_clear_answer(demo, tmp_path, name, make, wanted):
    make(tmp_path / name)
    demo.set_input_files("#sr-file", tmp_path / name)
    demo.wait_for_function("text => document.querySelector('#sr-demo .status').textContent.includes(text)", arg=wanted)
    assert demo.locator("#sr-demo .status").get_attribute("aria-live") == "polite"
    write_image(tmp_path / "good.png", torch.full((1, 3, 16, 16), 0.5))
    assert "became 64 × 64" in feed(demo, tmp_path / "good.png"), "after a bad file the demo must still work"


def test_too_many_pixels_are_refused_and_a_part_is_offered(demo, tmp_path):
    Image.new("RGB", (1200, 900), (90, 120, 150)).save(tmp_path / "big.png")
    feed(demo, tmp_path / "big.png")
    demo.select_option("#sr-part", "0")
    demo.click("#sr-demo .go")
    demo.wait_for_function("document.querySelector('#sr-demo .status').textContent.includes('too many')")
    assert "Choose a part" in demo.inner_text("#sr-demo .status")


def test_it_can_be_stopped_and_started_again(demo, tmp_path):
    write_image(tmp_path / "photo.png", example("rocket"))
    demo.set_input_files("#sr-file", tmp_path / "photo.png")
    demo.wait_for_selector("#sr-demo .stop:enabled")
    demo.select_option("#sr-part", "0")
    demo.click("#sr-demo .stop")
    assert demo.inner_text("#sr-demo .status") == "Stopped."
    demo.select_option("#sr-part", "128")
    demo.click("#sr-demo .go")
    demo.wait_for_selector("#sr-demo[data-done]", timeout=120_000)


@pytest.mark.parametrize("missing", ["edsr_x4.onnx", "measure.onnx", "ort.wasm.bundle.min.mjs", "assets.json"])
def test_a_missing_file_is_named(demo, tmp_path, missing):
    demo.route(f"**/{missing}*", lambda route: route.fulfill(status=404))
    write_image(tmp_path / "a.png", example("chelsea")[..., :16, :16])
    demo.set_input_files("#sr-file", tmp_path / "a.png")
    demo.wait_for_function("document.querySelector('#sr-demo .status').textContent.includes('not there')")
    assert missing in demo.inner_text("#sr-demo .status")


@pytest.mark.parametrize("right", [True, False])
def test_a_script_from_elsewhere_must_have_the_pinned_hash(demo, tmp_path, right):
    """Where npm was out of reach, the page gets addresses and hashes: here our own copies under the pinned hashes, and one of them under another's."""
    pins = json.loads((ROOT / "book" / "cdn.json").read_text())
    places = json.loads((ROOT / "book" / "_assets" / "_demo" / "assets.json").read_text())
    for key in places:
        places[key]["integrity"] = pins[key if right else "mathjax"]["integrity"]
    demo.route("**/assets.json*", lambda route: route.fulfill(json=places))
    write_image(tmp_path / "a.png", example("chelsea")[..., :16, :16])
    if right:
        assert "became 64 × 64" in feed(demo, tmp_path / "a.png")
    else:
        demo.set_input_files("#sr-file", tmp_path / "a.png")
        demo.wait_for_function("document.querySelector('#sr-demo .status').textContent.includes('not there')")


def test_a_page_opened_from_the_disk_says_what_to_do(browser, site):
    context = browser.new_context()
    page = context.new_page()
    page.goto((site / "chapters" / "supervised-sr.html").as_uri())
    page.wait_for_selector("#sr-demo [role=status]")
    assert "http.server" in page.inner_text("#sr-demo")
    context.close()
