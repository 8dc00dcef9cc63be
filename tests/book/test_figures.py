"""Every picture of the book says in words what it shows, and none is heavy."""

import html
import re
from pathlib import Path

import nbformat
import pytest

from tests.book.reader import BOOK, CHAPTERS, PAGES, SLUGS, alt_of, html_of, size_of, twin

FIGURE, NOTEBOOK, ALL = 80_000, 600_000, 25_000_000  # bytes
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/svg+xml", "image/webp")
LAZY = re.compile(r"^(figure|image|plot|graph|picture|photo|output|screenshot)\b[\s\d.:]*$|^(an?|the) (figure|image|plot|picture) of\b.{0,12}$", re.I)


def complaints(nb) -> list[str]:
    """What is wrong with the pictures of a notebook."""
    bad = []
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown":
            bad += [f"cell {i}: {line}" for line in markdown_complaints(cell.source)]
            continue
        for output in cell.outputs:
            for kind in IMAGES:
                if kind in output.get("data", {}):
                    bad += [f"cell {i}: {line}" for line in figure_complaints(alt_of(cell), kind, output.data[kind])]
            bad += [f"cell {i}: {line}" for line in html_complaints(html_of(output))]
    return bad


def figure_complaints(alt: str, kind: str, data) -> list[str]:
    bad = []
    if len(alt.strip()) < 20 or LAZY.match(alt.strip()):
        bad.append(f"a figure needs alt text in the cell's mystnb: image: alt: that says what it shows (20 characters at least), has {alt!r}")
    size = len("".join(data).encode()) if kind == "image/svg+xml" else size_of(data)
    if size > FIGURE:
        bad.append(f"a figure of {size} bytes; at most {FIGURE}")
    return bad


def html_complaints(text: str) -> list[str]:
    bad, alts = [], []
    for tag in re.findall(r"<img\b[^>]*>", text):
        alt = re.search(r'\balt="([^"]*)"', tag)
        alts.append(html.unescape(alt[1]) if alt else "")
        if len(alts[-1].strip()) < 10:
            bad.append(f"an <img> of a widget needs alt text, has {alts[-1]!r}")
        data = re.search(r'src="data:image/[\w+]+;base64,([^"]+)"', tag)
        if data and size_of(data[1]) > FIGURE:
            bad.append(f"a frame of {size_of(data[1])} bytes; at most {FIGURE}")
        if re.search(r'src="https?:', tag):
            bad.append("a picture from another host")
    if len(alts) > 1 and len(set(alts)) == 1:
        bad.append(f"all {len(alts)} frames have the same alt text: {alts[0]!r}")
    bad += ["an <svg> needs role=\"img\" and aria-label" for tag in re.findall(r"<svg\b[^>]*>", text) if "aria-label" not in tag and "aria-hidden" not in tag]
    return bad


def markdown_complaints(text: str) -> list[str]:
    bad = [f"the image {target} has no alt text" for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text) if len(alt.strip()) < 10]
    for body in re.findall(r"^[`:]{3,}\{(?:figure|image)\}[^\n]*\n(.*?)^[`:]{3,}", text, re.M | re.S):
        if not re.search(r"^\s*:?alt:\s*\S.{9,}", body, re.M):
            bad.append(f"a figure or image directive without alt text: {body.strip()[:60]!r}")
    return bad + html_complaints("".join(re.findall(r"<(?:img|svg)\b[^>]*>", text)))


@pytest.mark.parametrize("slug", SLUGS)
def test_figures(slug):
    bad = complaints(twin(slug))
    assert not bad, "\n".join(["", *bad])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(BOOK).as_posix())
def test_pictures_of_the_other_pages(page):
    bad = markdown_complaints(page.read_text(encoding="utf-8"))
    assert not bad, "\n".join(["", *bad])


@pytest.mark.parametrize("slug", SLUGS)
def test_notebook_is_light(slug):
    size = (CHAPTERS / f"{slug}.ipynb").stat().st_size
    assert size <= NOTEBOOK, f"{slug}.ipynb has {size} bytes; at most {NOTEBOOK}"


def test_all_notebooks_together_are_light():
    assert sum(p.stat().st_size for p in CHAPTERS.glob("*.ipynb")) <= ALL


# ---- the lint, tested --------------------------------------------------------------------------------------------------------------


def notebook(alt: str = "", size: int = 300, page: str = ""):
    data = {"image/png": "A" * (size * 4 // 3)} if size else {"text/html": page}
    output = nbformat.v4.new_output("display_data", data=data)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("plot()", outputs=[output], metadata={"mystnb": {"image": {"alt": alt}}})])


GOOD_ALT = "Loss over steps: it falls fast, then flattens near 0.2"


def test_a_good_figure_passes():
    assert complaints(notebook(GOOD_ALT)) == []
    assert complaints(notebook(size=0, page='<img src="data:image/png;base64,AAAA" alt="blur of width one"><img src="x.png" alt="blur of width two">')) == []


@pytest.mark.parametrize(
    ("nb", "said"),
    [
        (notebook(), "needs alt text"),
        (notebook("Figure 1:            "), "needs alt text"),
        (notebook("A plot of the results"), "needs alt text"),
        (notebook(GOOD_ALT, FIGURE + 500), "bytes; at most"),
        (notebook(size=0, page='<img src="data:image/png;base64,AAAA">'), "widget needs alt"),
        (notebook(size=0, page='<img alt="a frame, the same">' * 2), "same alt text"),
        (notebook(size=0, page=f'<img alt="a heavy frame" src="data:image/png;base64,{"A" * 120_000}">'), "a frame of"),
        (notebook(size=0, page='<img alt="from elsewhere" src="https://example.org/a.png">'), "another host"),
        (notebook(size=0, page="<svg width='3'></svg>"), "<svg>"),
    ],
)
def test_a_bad_figure_is_found(nb, said):
    assert any(said in line for line in complaints(nb)), complaints(nb)


def test_a_bad_picture_in_markdown_is_found():
    assert markdown_complaints("![](a.png)")
    assert markdown_complaints("```{figure} a.png\n:width: 3\nCaption\n```\n")
    assert not markdown_complaints("```{figure} a.png\n:alt: A coin seen from above\nCaption\n```\n![a coin on its edge](b.png)")


def test_size_of_base64():
    assert size_of("AAAA") == 3
    assert size_of("AA==") == 1
    assert Path(CHAPTERS).is_dir()
