"""The decoders that run in the reader's page: the numbers are torch's, and mouse, finger and keyboard all reach them."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gensr import widgets
from gensr.likelihoods import Bernoulli, DiscretizedLogistic, Gaussian
from gensr.models.vqvae import decoder as vq_decoder
from gensr.nets import MLP, ResBlock

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Z = [(0.0, 0.0), (1.3, -0.4), (-2.6, 2.9), (3.0, -3.0)]


def lively(net: nn.Module, scale: float = 1.0) -> nn.Module:
    """Weights and biases large enough that the image depends on the input."""
    torch.manual_seed(0)
    for p in net.parameters():
        p.data = torch.randn_like(p) * scale * (p[0].numel() ** -0.5 if p.dim() > 1 else 0.3)
    return net.eval()


def rounded(net: nn.Module) -> nn.Module:
    return copy.deepcopy(net).half().float()


DECODERS = {
    "mlp, logistic": (nn.Sequential(MLP(2, 64, 64, 64), nn.Unflatten(1, (1, 8, 8))), DiscretizedLogistic()),
    "mlp, no bias, Gaussian": (
        nn.Sequential(nn.Linear(2, 16, bias=False), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 12), nn.Unflatten(1, (3, 2, 2))), Gaussian(),
    ),
    "convolutions, Bernoulli": (
        nn.Sequential(
            nn.Linear(2, 48), nn.LeakyReLU(0.2), nn.Unflatten(-1, (3, 4, 4)), nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 5, padding=2, bias=False),
            nn.Identity(), nn.PixelShuffle(2), ResBlock(3, res_scale=0.5), nn.Conv2d(3, 1, 3),
        ),
        Bernoulli(),
    ),
    "flattened again": (
        nn.Sequential(nn.Linear(2, 12), nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 9, 3, padding=1), nn.SiLU(), nn.Flatten(),
                      nn.Linear(36, 75), nn.Sigmoid(), nn.Unflatten(1, (3, 5, 5))),
        None,
    ),
    "three times finer, colour": (nn.Sequential(nn.Linear(2, 12), nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 27, 3, padding=1), nn.PixelShuffle(3)), Bernoulli()),
}  # fmt: skip


@pytest.fixture
def show(browser):
    """A function that opens a page with some views on it; whatever the page asks of the network is an error, as is what goes wrong in its scripts."""
    contexts, trouble = [], []

    def open_page(*views, style: str = "", **options):
        context = browser.new_context(viewport={"width": 900, "height": 900}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda m: m.type == "error" and trouble.append(m.text))
        page.on("pageerror", lambda e: trouble.append(str(e)))
        page.on("request", lambda r: r.url.startswith(("data:", "about:")) or trouble.append(r.url))
        page.set_content(f"<!doctype html><html lang=en><body style='{style}'>{''.join(v.data for v in views)}</body></html>")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def answer(page, view: str, *arguments) -> torch.Tensor:
    """What the page's decoder says, as (c, h, w)."""
    x, shape = page.evaluate("""([view, given]) => {
        const { x, shape } = document.querySelector(view).decode(...given);
        return [Array.from(x), shape];
    }""", [view, arguments])
    return torch.tensor(x).reshape(shape)


def pixels(page, selector: str) -> torch.Tensor:
    """A canvas as (3, h, w), levels 0 to 255."""
    data, w, h = page.evaluate("""s => {
        const c = document.querySelector(s);
        return [Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data), c.width, c.height];
    }""", selector)
    return torch.from_numpy(np.array(data, np.float32)).reshape(h, w, 4)[..., :3].permute(2, 0, 1)


def levels(image: torch.Tensor) -> torch.Tensor:
    return (image.clamp(0, 1) * 255).expand(3, -1, -1)


@pytest.mark.parametrize("name", DECODERS)
def test_the_page_computes_what_torch_computes(show, name):
    net, likelihood = DECODERS[name]
    lively(net, 1.5)
    page = show(widgets.plane(net, likelihood, alt="What the decoder makes of z"))
    seen = []
    for z in Z:
        with torch.no_grad():
            wanted = rounded(net)(torch.tensor([z]))
            wanted = (wanted if likelihood is None else likelihood.mean(wanted))[0]
        got = answer(page, ".gensr-plane", *z)
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() < 1e-3, z
        seen.append(wanted)
    assert (seen[1] - seen[2]).abs().max() > 0.05, "the image does not depend on z: the comparison would prove nothing"


def test_halves_are_read_right_down_to_the_smallest(show):
    net = nn.Sequential(nn.Linear(2, 3), nn.Unflatten(1, (3, 1, 1)))
    net[0].weight.data = torch.tensor([[2.0**-24, 65472.0], [-(2.0**-14), 2.0**-14 * 1023 / 1024], [-0.1, 0.0]])
    net[0].bias.data.zero_()
    page = show(widgets.plane(net, None, alt="Three numbers of a colour"))
    for z in ((1.0, 0.0), (0.0, 1.0)):
        wanted = (rounded(net)[0].weight @ torch.tensor(z)).detach()
        assert torch.equal(answer(page, ".gensr-plane", *z).flatten(), wanted)


PLANE = lively(nn.Sequential(MLP(2, 32, 36), nn.Unflatten(1, (1, 6, 6))), 1.5)
POINTS = torch.tensor([[-2.0, 1.0], [-2.0, 1.2], [2.0, -1.0]])


def plane():
    return widgets.plane(PLANE, Bernoulli(), alt="The digit made of z", name="z", points=POINTS, labels=["a <b>", "a <b>", "c"])


def shown_z(page) -> tuple[float, float]:
    text = page.inner_text(".gensr-plane output").replace("−", "-")
    u, v = text[text.index("(") + 1 : text.index(")")].split(", ")
    return float(u), float(v)


def decoded(page, z) -> bool:
    """The canvas shows the decoder's image of z."""
    with torch.no_grad():
        wanted = Bernoulli().mean(rounded(PLANE)(torch.tensor([z], dtype=torch.float32)))[0]
    return (pixels(page, ".gensr-plane .gensr-made") - levels(wanted)).abs().max() < 2.5  # z is told with two digits


def test_the_plane_by_keyboard(show):
    page = show(plane())
    page.evaluate("() => { window.heard = 0; document.addEventListener('keydown', e => e.key.startsWith('Arrow') && window.heard++); }")
    assert shown_z(page) == (0, 0) and decoded(page, (0, 0))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.classList.contains('gensr-pad')"), "the plane comes first"
    assert page.locator(".gensr-pad").evaluate("e => parseFloat(getComputedStyle(e).outlineWidth)") >= 2
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    assert shown_z(page) == (0.27, 0.15) and decoded(page, (0.27, 0.15))
    for _ in range(45):
        page.keyboard.press("ArrowDown")
    assert shown_z(page)[1] == -3, "it stops at the edge"
    assert page.evaluate("scrollY") == 0
    page.keyboard.press("Home")
    assert shown_z(page) == (0, 0)
    assert page.evaluate("window.heard") == 0, "arrows must not turn the pages of slides or of the site"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert shown_z(page) == (0.03, 0) and page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "0.03"
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert shown_z(page) == (0.03, 3) and decoded(page, (0.03, 3))


def test_the_plane_by_mouse_and_its_labels(show):
    page = show(plane())
    box = page.locator(".gensr-pad").bounding_box()
    to = lambda u, v: (box["x"] + box["width"] * (u + 3) / 6, box["y"] + box["height"] * (3 - v) / 6)  # noqa: E731
    page.mouse.move(*to(-2, 1.1))
    assert shown_z(page) == (0, 0), "nothing moves before the button is pressed"
    page.mouse.down()
    u, v = shown_z(page)
    assert abs(u + 2) < 0.05 and abs(v - 1.1) < 0.05
    assert "nearest point: a <b>" in page.inner_text(".gensr-plane output")
    page.mouse.move(*to(2, -1), steps=3)
    assert "nearest point: c" in page.inner_text(".gensr-plane output") and decoded(page, shown_z(page))
    mark, pad = (page.locator(s).bounding_box() for s in (".gensr-z", ".gensr-pad"))
    assert abs(mark["x"] + mark["width"] / 2 - to(2, -1)[0]) < 3 and abs(mark["y"] + mark["height"] / 2 - to(2, -1)[1]) < 3
    page.mouse.move(pad["x"] + pad["width"] + 90, pad["y"] - 30)
    assert shown_z(page) == (3, 3), "a drag beyond the edge stays at the edge"
    page.mouse.up()
    page.mouse.move(*to(0, 0))
    assert shown_z(page) == (3, 3)
    assert page.locator(".gensr-pad text").all_text_contents() == ["a <b>", "c"]


CODES = torch.randint(0, 12, (2, 3, 4), generator=torch.Generator().manual_seed(0))
WORDS = lively(vq_decoder(5, 8, 1, 2), 1.5)
BOOK = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))


def paint():
    return widgets.paint(BOOK, WORDS, Bernoulli(), starts=CODES, names=["a <7>", "from the prior"], alt="The digit of the codes")


def torch_paint(codes: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return Bernoulli().mean(rounded(WORDS)(BOOK.half().float()[codes].movedim(-1, 1)))


def shown_codes(page) -> torch.Tensor:
    return torch.tensor([int(t) for t in page.locator(".gensr-grid [role=gridcell]").all_inner_texts()]).reshape(3, 4)


def brush(page) -> int:
    (b,) = page.locator(".gensr-words [aria-checked=true]").all()
    return int(b.get_attribute("title").removeprefix("word "))


def agrees(page, codes) -> bool:
    return torch.equal(shown_codes(page), codes) and bool((pixels(page, ".gensr-paint .gensr-made") - levels(torch_paint(codes[None])[0])).abs().max() < 0.76)


def test_the_grid_decodes_as_torch_does_and_so_do_the_words(show):
    page = show(paint())
    for codes in (*CODES, torch.full((3, 4), 7), torch.arange(12).reshape(3, 4)):
        assert (answer(page, ".gensr-paint", codes.tolist()) - torch_paint(codes[None])[0]).abs().max() < 1e-3
    assert torch_paint(CODES).std() > 0.02
    page.wait_for_selector(".gensr-words[data-done]")
    light = torch_paint(torch.arange(12)[:, None, None].expand(12, 3, 4))
    order = [int(b.get_attribute("title").removeprefix("word ")) for b in page.locator(".gensr-words button").all()]
    values = light.mean((1, 2, 3))[order]
    assert (values.diff() > -1e-3).all(), "darkest first"
    for i in (0, 5, 11):
        drawn = pixels(page, f".gensr-words button:nth-child({i + 1}) canvas")
        assert (drawn - levels(light[order[i]])).abs().max() < 0.76


def test_words_may_bring_their_own_pictures(show):
    pictures = torch.rand(12, 1, 4, 5)
    page = show(widgets.paint(BOOK, WORDS, Bernoulli(), starts=CODES, names=["a", "b"], alt="The digit of the codes", pictures=pictures))
    page.wait_for_selector(".gensr-words[data-done]")
    order = [int(b.get_attribute("title").removeprefix("word ")) for b in page.locator(".gensr-words button").all()]
    assert order == pictures.mean((1, 2, 3)).argsort().tolist()
    for i in (0, 11):
        assert (pixels(page, f".gensr-words button:nth-child({i + 1}) canvas") - levels(pictures[order[i]])).abs().max() < 0.76
    with pytest.raises(ValueError, match="pictures: expected one for each of 12 words, got 3"):
        widgets.paint(BOOK, WORDS, Bernoulli(), starts=CODES, names=["a", "b"], alt="The digit of the codes", pictures=pictures[:3])


def test_paint_by_keyboard(show):
    page = show(paint())
    page.evaluate("() => { window.heard = 0; document.addEventListener('keydown', e => e.key.startsWith('Arrow') && window.heard++); }")
    codes = CODES[0].clone()
    assert agrees(page, codes) and "a <7>; 0 of 12 codes changed" in page.inner_text("output")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("row 1, column 1: word ")
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"):  # the last one stays at the end of its row
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("row 2, column 4: word ")
    page.keyboard.press("Enter")
    codes[1, 3] = brush(page)
    assert agrees(page, codes) and "1 of 12 codes changed" in page.inner_text("output")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").endswith("changed")
    for _ in range(4):  # reset, next, random, take
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("[aria-pressed=true]").count() == 1
    page.keyboard.press("Tab")
    before = brush(page)
    page.keyboard.press("ArrowRight")
    assert brush(page) != before and page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")  # takes the word painted before
    assert brush(page) == codes[1, 3] and agrees(page, codes) and page.locator("[aria-pressed=true]").count() == 0
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    codes[0, 3] = brush(page)
    assert agrees(page, codes)
    assert page.evaluate("[window.heard, scrollY]") == [0, 0]


def test_paint_buttons(show):
    page = show(paint())
    page.locator(".gensr-grid button").nth(5).click()
    page.get_by_role("button", name="reset").click()
    assert agrees(page, CODES[0])
    page.get_by_role("button", name="next example").click()
    assert agrees(page, CODES[1]) and "from the prior" in page.inner_text("output")
    page.get_by_role("button", name="next example").click()
    assert agrees(page, CODES[0])
    drawn = set()
    for _ in range(30):
        page.get_by_role("button", name="random word").click()
        drawn.add(brush(page))
    assert len(drawn) > 5
    words = page.get_by_role("radio")
    words.nth(3).click()
    assert brush(page) == int(words.nth(3).get_attribute("title").removeprefix("word "))


@pytest.mark.parametrize("surface", [".gensr-grid", ".gensr-paint .gensr-made"])
def test_paint_by_dragging(show, surface):
    page, codes = show(paint()), CODES[0].clone()
    box = page.locator(surface).bounding_box()
    place = lambda r, c: (box["x"] + box["width"] * (c + 0.5) / 4, box["y"] + box["height"] * (r + 0.5) / 3)  # noqa: E731
    page.mouse.move(*place(2, 0))
    assert agrees(page, codes)
    page.mouse.down()
    page.mouse.move(*place(2, 3), steps=12)
    page.mouse.move(box["x"] + box["width"] + 40, box["y"] + box["height"] + 40)
    page.mouse.up()
    page.mouse.move(*place(0, 0))
    codes[2] = brush(page)
    assert agrees(page, codes)


def test_by_finger(show):
    page = show(plane(), paint(), has_touch=True)
    box = page.locator(".gensr-pad").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.75)
    u, v = shown_z(page)
    assert abs(u - 1.5) < 0.05 and abs(v + 1.5) < 0.05
    box = page.locator(".gensr-paint .gensr-made").bounding_box()
    page.touchscreen.tap(box["x"] + 5, box["y"] + 5)  # near a button of the grid
    codes = CODES[0].clone()
    codes[0, 0] = brush(page)
    assert agrees(page, codes)
    for surface in (".gensr-pad", ".gensr-grid", ".gensr-paint .gensr-made"):
        assert page.locator(surface).evaluate("e => getComputedStyle(e).touchAction") == "none", "a drag would scroll the page"


def test_without_scripts_a_text_says_so_and_nothing_dead_is_offered(show):
    page = show(plane(), paint(), java_script_enabled=False)
    for view in (".gensr-plane", ".gensr-paint"):
        assert "needs scripts" in page.inner_text(f"{view} .gensr-off")
        assert page.locator(f"{view} img").is_visible()
        assert not any(e.is_visible() for e in page.locator(f"{view} :is(button, input)").all())


def test_the_same_view_twice_and_a_dark_narrow_page(show):
    page = show(plane(), plane(), paint(), style="background:#14181e;color:#ced6dd;margin:4px")
    assert page.locator(".gensr-off").count() == 0 and page.locator("canvas.gensr-made").count() == 3
    page.locator(".gensr-pad").nth(1).focus()
    page.keyboard.press("ArrowUp")
    assert page.locator(".gensr-plane output").all_inner_texts()[0].startswith("z = (0.00, 0.00)")
    assert page.locator(".gensr-plane output").all_inner_texts()[1].startswith("z = (0.00, 0.15)")
    for selector in ("output", ".gensr-plane label", ".gensr-paint output"):
        assert page.locator(selector).first.evaluate("e => getComputedStyle(e).color") == "rgb(206, 214, 221)", "text takes the page's own colour"
    assert page.locator(".gensr-pad").first.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1
