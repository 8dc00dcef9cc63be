"""A chapter as slides: from the disk, with no network, formulas set, arrow keys working."""

import subprocess
import sys

import nbformat
import pytest

from tests.site.conftest import ROOT

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
