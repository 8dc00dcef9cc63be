"""The built pages as files: what they load, how they are built up, and where their links lead."""

import base64
import hashlib
import json
import re
from collections import deque
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

from tests.site.conftest import ROOT, load_tool

pytestmark = pytest.mark.slow  # the site must be built first
CHAPTERS = sorted(p.stem for p in (ROOT / "book" / "chapters").glob("*.md"))


class Page(HTMLParser):
    """Headings of the article (the theme has others, hidden but in print), images and links of the whole page."""

    def __init__(self, path: Path):
        super().__init__()
        self.headings, self.images, self.links, self.ids, self.article = [], [], [], set(), False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids.add(a.get("id"))
        if tag == "article":
            self.article = True
        if tag == "a" and a.get("href"):
            self.links.append(a["href"])
        if self.article and re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(a)

    def handle_endtag(self, tag):
        if tag == "article":
            self.article = False


@pytest.fixture(scope="module")
def pages(site):
    """Every page with text of ours, by its address within the site."""
    found = {p.relative_to(site).as_posix(): Page(p) for p in site.rglob("*.html") if not {"_vendor", "_static", "_modules", "_sources"} & set(p.parts)}
    return {k: v for k, v in found.items() if k not in ("index.html", "genindex.html", "py-modindex.html", "search.html")}


def test_every_chapter_was_built(pages):
    assert CHAPTERS
    assert {f"chapters/{slug}.html" for slug in CHAPTERS} <= set(pages)


def test_no_page_loads_anything_from_another_host(site):
    assert load_tool("site").third_party(site) == []


@pytest.mark.parametrize("html", [
    '<script src="https://cdn.example/x.js"></script>', '<link rel="stylesheet" href="//fonts.example/a.css">', '<img src="http://a.example/b.png" alt="">',
    '<img srcset="a.png 1x, https://a.example/b.png 2x" alt="">', '<p style="background: url(https://a.example/b.png)">', '<style>@import "https://a.example/a.css";</style>',
])
def test_a_load_from_another_host_would_be_seen(html, tmp_path):
    (tmp_path / "a.html").write_text(f'<a href="https://fine.example">a link is no load</a>{html}')
    assert len(load_tool("site").third_party(tmp_path)) == 1


def test_cdn_scripts_pass_only_with_a_hash(tmp_path):
    scripts = '<script src="https://cdn.jsdelivr.net/npm/a.js"></script><script src="https://cdn.jsdelivr.net/npm/b.js" integrity="sha384-x"></script>'
    (tmp_path / "a.html").write_text(scripts)
    assert load_tool("site").third_party(tmp_path, cdn=True) == ["a.html: https://cdn.jsdelivr.net/npm/a.js"]


def test_addresses_and_hashes_for_the_cdn_match_the_lock(site):
    """The files that npm checked against the lock are the ones that book/cdn.json names."""
    tool, pins = load_tool("site"), json.loads((ROOT / "book" / "cdn.json").read_text())
    lock = json.loads((ROOT / "book" / "package-lock.json").read_text())["packages"]
    if not (tool.ASSETS / "_vendor").exists():
        pytest.skip("the npm index was out of reach: there are no files to compare with")
    for key, (folder, name) in tool.PINS.items():
        digest = hashlib.sha384((tool.ASSETS / "_vendor" / folder / name).read_bytes()).digest()
        assert pins[key]["integrity"] == f"sha384-{base64.b64encode(digest).decode()}", f"{name}: run tools/site.py --pin"
        package = tool.VENDOR[folder][0]
        assert f"{package}@{lock[f'node_modules/{package}']['version']}/" in pins[key]["url"]


def test_the_build_executed_no_chapter(site):
    log = (site.parent / "site.log").read_text()
    assert "build succeeded" in log and "Executing notebook" not in log and "WARNING" not in log


def test_headings_are_in_order(pages):
    bad = {}
    for name, page in pages.items():
        steps = list(zip(page.headings, page.headings[1:], strict=False))
        if page.headings[:1] != [1] or page.headings.count(1) != 1 or any(b > a + 1 for a, b in steps):
            bad[name] = page.headings
    assert not bad


def test_every_image_says_what_it_shows(pages):
    bad = [f"{name}: {a.get('src', '')[:60]}" for name, page in pages.items() for a in page.images if not (a.get("alt") or "").strip()]
    assert not bad


def test_every_chapter_is_two_clicks_from_home(pages):
    distance, queue = {"intro.html": 0}, deque(["intro.html"])
    while queue:
        here = queue.popleft()
        for link in pages[here].links:
            there = unquote(urldefrag(urljoin(here, link)).url)
            if there in pages and there not in distance:
                distance[there] = distance[here] + 1
                queue.append(there)
    assert all(distance[f"chapters/{slug}.html"] <= 2 for slug in CHAPTERS)
    assert set(distance) == set(pages), "a page that no link leads to"


def test_links_within_the_site_lead_somewhere(site, pages):
    bad = []
    for name, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme or urlsplit(link).netloc:
                continue
            path, anchor = urldefrag(urljoin(name, link))
            if not (site / unquote(path)).exists():
                bad.append(f"{name}: {link}")
            elif anchor and path in pages and unquote(anchor) not in pages[path].ids:
                bad.append(f"{name}: {link} (no such place)")
    assert not bad


@pytest.mark.parametrize("slug", CHAPTERS)
def test_a_chapter_can_be_opened_elsewhere_and_taken_home(site, pages, slug):
    links = pages[f"chapters/{slug}.html"].links
    assert any("colab.research.google.com" in u and u.endswith(f"/book/chapters/{slug}.ipynb") for u in links)
    assert any("mybinder.org" in u and f"book/chapters/{slug}.ipynb" in unquote(u) for u in links)
    download = [u for u in links if u.endswith(f"{slug}.ipynb") and "://" not in u]
    assert download
    notebook = json.loads((site / "chapters" / download[0]).read_text())
    assert any(c.get("outputs") for c in notebook["cells"]), "the download has lost its outputs"


@pytest.mark.parametrize("slug", CHAPTERS)
def test_the_seconds_on_the_card_are_filled_in(site, slug):
    text = (site / "chapters" / f"{slug}.html").read_text()
    assert "run_seconds" not in text
    assert re.search(r"<strong>Run</strong>\s*\d+", text)


@pytest.mark.parametrize("word", ["unpkg.com", "html-manager", "require.js", "embed-amd"])
def test_nothing_of_the_notebook_widget_manager_is_left(site, word):
    assert not [p.name for p in site.rglob("*.html") if word in p.read_text(encoding="utf-8") and "_modules" not in p.parts]


def test_the_demo_script_is_on_its_pages_only(site):
    having = {p.relative_to(site).as_posix() for p in site.rglob("*.html") if "_demo/load.js" in p.read_text(encoding="utf-8")}
    assert having == {"chapters/supervised-sr.html", "chapters/amortised-map.html"}


def test_every_module_has_its_docstrings_on_the_site():
    documented = set(re.findall(r"automodule:: (gensr[\w.]*)", "".join(p.read_text() for p in (ROOT / "book" / "api").glob("*.md"))))
    modules = {".".join(p.relative_to(ROOT / "src").with_suffix("").parts) for p in (ROOT / "src" / "gensr").rglob("*.py") if not p.stem.startswith("_")}
    assert {m for m in modules if not m.startswith("gensr.cli")} == documented


def test_home_page_pictures_are_what_the_code_makes():
    """Differences of a few levels come from JPEG and from the processor; another weight or crop would differ by far more."""
    from gensr.io import read_image

    tool = load_tool("home_picture")
    found, scores = tool.pictures()
    intro = (ROOT / "book" / "intro.md").read_text()
    for name, picture in found.items():
        stored = read_image(tool.OUT / f"{name}.jpg")[0]
        assert (stored - picture).abs().mean() < 2 / 255, f"{name}.jpg: run python tools/home_picture.py"
    stored_scores = json.loads((tool.OUT / "psnr.json").read_text())
    for name, value in scores.items():
        assert abs(stored_scores[name] - value) < 0.02, "run python tools/home_picture.py"
        assert re.search(rf"{name}\.jpg.*<br>{stored_scores[name]:.1f} dB", intro), f"book/intro.md: {name} now has {value:.1f} dB"
