"""The animation of the chapter on IMLE runs in a browser with no kernel: by mouse and keyboard, to its end, and not for those who want no motion."""

import nbformat
import pytest
import torch

from gensr import widgets
from tests.site.conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FRAMES, BEAT = 4, 400  # milliseconds between frames


class Animation:
    """One figure of frames on a page: what it shows, and its controls."""

    def __init__(self, figure):
        self.figure, self.slider, self.button = figure, figure.locator("input[type=range]"), figure.locator("button.gensr-play")

    @property
    def frame(self) -> int:
        """Which picture is shown; slider, label and spoken value must agree with it."""
        state = self.figure.evaluate("""f => {
            const shown = [...f.querySelectorAll('img')].map((e, i) => e.hidden ? -1 : i).filter(i => i >= 0);
            const s = f.querySelector('input'), o = f.querySelector('output');
            return [shown, +s.value, o.value, s.getAttribute('aria-valuetext'), o.dataset.labels.split('|')];
        }""")
        shown, value, label, spoken, labels = state
        assert shown == [value] and label == spoken == labels[value]
        return value

    @property
    def last(self) -> int:
        return int(self.slider.get_attribute("max"))

    @property
    def runs(self) -> bool:
        name = self.button.get_attribute("aria-label")
        assert name.split(":")[0] == self.button.inner_text().split()[-1]
        return name.startswith("stop")


def watch(page, animation, beats: int) -> list[int]:
    """The frames seen within some beats, each once in a row."""
    seen = [animation.frame]
    for _ in range(8 * beats):
        page.wait_for_timeout(BEAT / 8)
        if (now := animation.frame) != seen[-1]:
            seen.append(now)
    return seen


@pytest.fixture
def bare(browser):
    """A page with nothing but two animations, opened for a reader with some wish about motion."""
    contexts = []

    def open_page(motion: str = "no-preference"):
        contexts.append(browser.new_context(reduced_motion=motion))
        page = contexts[-1].new_page()
        grey = [[torch.full((3, 16, 16), (i + FRAMES * k) / (2 * FRAMES)) for i in range(FRAMES)] for k in range(2)]
        words = [f"{i} steps" for i in range(FRAMES)]
        page.set_content("".join(widgets.frames(g, words, f"training {k}", words, play=True).data for k, g in enumerate(grey)))
        return page, [Animation(page.locator("figure").nth(k)) for k in range(2)]

    yield open_page
    for context in contexts:
        context.close()


def test_it_plays_to_the_end_and_again_from_the_start(bare):
    page, (first, second) = bare()
    assert not first.runs
    page.wait_for_timeout(2 * BEAT)
    assert first.frame == 0, "nothing moves before it is asked to"
    for _ in range(2):
        first.button.click()
        assert first.runs
        assert watch(page, first, FRAMES + 2) == list(range(FRAMES))
        assert not first.runs and first.frame == first.last
    assert second.frame == 0 and not second.runs, "the other animation on the page has stayed where it was"


def test_both_play_side_by_side(bare):
    page, both = bare()
    for a in both:
        a.button.click()
    page.wait_for_timeout((FRAMES + 1) * BEAT)
    assert [a.frame for a in both] == [FRAMES - 1] * 2 and not any(a.runs for a in both)


def test_by_keyboard_it_starts_stops_and_goes_on(bare):
    page, (first, _) = bare()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "gensr-play"
    page.keyboard.press("Enter")
    page.wait_for_timeout(1.5 * BEAT)
    page.keyboard.press("Space")
    assert not first.runs
    held = first.frame
    assert 0 < held < first.last
    page.wait_for_timeout(2 * BEAT)
    assert first.frame == held
    page.keyboard.press("Enter")
    assert watch(page, first, FRAMES + 1)[-1] == first.last


def test_whoever_takes_the_slider_has_it(bare):
    page, (first, _) = bare()
    first.button.click()
    page.wait_for_timeout(1.5 * BEAT)
    first.slider.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(3 * BEAT)
    assert first.frame == 0 and not first.runs


def test_a_reader_is_spared_the_frames_in_between(bare):
    page, (first, _) = bare()
    live = "f => f.querySelector('output').getAttribute('aria-live')"
    first.button.click()
    assert first.figure.evaluate(live) == "off"
    page.wait_for_timeout((FRAMES + 1) * BEAT)
    assert first.figure.evaluate(live) is None


def test_with_less_motion_it_goes_one_frame_at_a_time(bare):
    page, (first, _) = bare("reduce")
    assert not first.button.is_visible()
    step = first.figure.locator("button.gensr-next")
    for wanted in (1, 2, 3, 0):
        step.click()
        assert first.frame == wanted
        page.wait_for_timeout(1.5 * BEAT)
        assert first.frame == wanted
    page.emulate_media(reduced_motion="no-preference")
    assert first.button.is_visible() and not step.is_visible()


def plays_through(page, figure) -> None:
    """The chapter's own animation: every frame in its turn, then the slider by hand."""
    a = Animation(figure)
    figure.scroll_into_view_if_needed()
    pictures = figure.locator("img").evaluate_all("all => all.map(e => [e.alt, e.src, e.naturalWidth])")
    alts, sources, widths = zip(*pictures, strict=True)
    assert a.last >= 7 and len(set(alts)) == len(set(sources)) == a.last + 1 and min(widths) > 200
    start = a.frame
    a.button.click()
    assert watch(page, a, a.last - start + 2) == list(range(start, a.last + 1)) and not a.runs
    a.slider.focus()
    page.keyboard.press("Home")
    assert a.frame == 0
    page.keyboard.press("ArrowRight")
    assert a.frame == 1


def test_the_animation_in_the_executed_notebook(browser):
    """Its output alone on a page, as in a notebook viewer."""
    twin = nbformat.read(ROOT / "book" / "chapters" / "imle.ipynb", as_version=4)
    outputs = [o.data.get("text/html", "") for c in twin.cells if c.cell_type == "code" for o in c.outputs if "data" in o]
    (animation,) = [h for h in outputs if "gensr-play" in h]
    page = browser.new_page()
    page.set_content(animation)
    plays_through(page, page.locator("figure"))
    page.close()


def test_the_animation_on_the_site(page):
    page.goto("/chapters/imle.html", wait_until="networkidle")
    (figure,) = page.locator("figure.gensr-frames:has(button.gensr-play)").all()
    plays_through(page, figure)
    assert page.watch.trouble == []
