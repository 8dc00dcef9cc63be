"""A chapter as slides: from the disk, with no network, formulas set, arrow keys working."""

import subprocess
import sys

import nbformat
import pytest

from tests.site.conftest import ROOT, load_tool

tool = load_tool("slides")
CHAPTERS = sorted(p.stem for p in (ROOT / "book" / "chapters").glob("*.ipynb"))


@pytest.mark.browser
@pytest.mark.slow
def test_slides_need_no_network(site, browser):
    made = subprocess.run([sys.executable, "tools/slides.py", "vae"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    if "CDN" in made.stdout:
        pytest.skip("npm was out of reach when the site was built: the slides load their scripts from a CDN")
    trouble = []
    page = browser.new_page()
    page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or trouble.append(r.url))
    page.on("pageerror", lambda e: trouble.append(str(e)))
    page.goto((ROOT / "book" / "_build" / "slides" / "vae.slides.html").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady() && document.querySelector('mjx-container')", timeout=60_000)
    assert page.evaluate("Reveal.getTotalSlides()") > 8
    title = page.locator("section.present h1").first.text_content()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(900)
    assert "variational autoencoder" in title.lower() and page.locator("section.present h2").first.text_content() not in ("", title)
    assert trouble == []
    page.close()


@pytest.mark.parametrize("slug", CHAPTERS)
def test_a_section_is_cut_into_screens_and_nothing_is_lost(slug):
    path = str(ROOT / "book" / "chapters" / f"{slug}.ipynb")
    before, nb = nbformat.read(path, as_version=4), nbformat.read(path, as_version=4)
    tool.cut(nb)
    kept = [c for c in before.cells if "remove-cell" not in c.metadata.get("tags", [])]
    words = "".join(c.source for c in kept if c.cell_type == "markdown").split()
    assert "".join("".join(c.source for c in nb.cells if c.cell_type == "markdown").split()) == "".join(words)
    assert [c.source for c in nb.cells if c.cell_type == "code"] == [c.source for c in kept if c.cell_type == "code"]
    markdown = [c for c in nb.cells if c.cell_type == "markdown"]
    assert all(c.source.count("$$") % 2 == 0 and c.source.count("```") % 2 == 0 for c in markdown), "a formula or a listing cut in two"
    kinds = [c.metadata["slideshow"]["slide_type"] for c in nb.cells]
    sections = sum(c.source.startswith(("# ", "## ")) for c in kept if c.cell_type == "markdown")
    assert kinds[0] == "slide" and kinds.count("slide") == sections and kinds.count("subslide") > sections / 2
    assert max(len(c.source) for c in markdown) < 3000  # a screen holds about 2000 letters; a table's markup and formulas are longer than they look


def test_an_unknown_chapter_is_named():
    made = subprocess.run([sys.executable, "tools/slides.py", "nope"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert made.returncode == 1 and "no chapter named nope" in made.stderr and "vae" in made.stderr


@pytest.mark.parametrize("slug", CHAPTERS)
def test_a_twin_has_no_markup_that_only_the_site_understands(slug):
    """GitHub, Colab and slides show Markdown; roles, directives and labels of MyST would stand there raw."""
    nb = nbformat.read(str(ROOT / "book" / "chapters" / f"{slug}.ipynb"), as_version=4)
    text = "\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    for raw in ("{cite", "{doc}", "{ref}", "{eq}", "{term}", "{numref}", "```{", ":::", "{{"):
        assert raw not in text, f"{slug}: {raw!r}"
