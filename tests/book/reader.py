"""Reads the chapters, their executed twins and the other pages for the tests of the book."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
CHAPTERS = BOOK / "chapters"
SLUGS = sorted(p.stem for p in CHAPTERS.glob("*.md"))
PAGES = sorted(p for p in BOOK.rglob("*.md") if not {"_build", "node_modules", "_assets"} & set(p.parts))
FENCE = re.compile(r"^(`{3,}|:{3,}|~{3,}).*?^\1[ \t]*$", re.M | re.S)


class Heading(NamedTuple):
    level: int
    text: str
    cell: int


def source(slug: str):
    """The cells of a chapter's source."""
    return jupytext.read(CHAPTERS / f"{slug}.md").cells


def twin(slug: str):
    """The executed notebook."""
    if not (CHAPTERS / f"{slug}.ipynb").exists():
        pytest.fail(f"book/chapters/{slug}.ipynb is missing; run: make notebooks", pytrace=False)
    return nbformat.read(CHAPTERS / f"{slug}.ipynb", 4)


def headings(cells) -> list[Heading]:
    """All headings in the Markdown cells, those inside fences left out."""
    found = []
    for i, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            found += [Heading(len(m[1]), m[2].strip(), i) for m in re.finditer(r"^(#{1,6}) +(.+)$", FENCE.sub("", cell.source), re.M)]
    return found


def prose(cells) -> str:
    """All Markdown, code spans and fences left out."""
    text = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    return re.sub(r"(\{[\w:]+\}`[^`]*`)|`[^`\n]+`", lambda m: m[1] or "", FENCE.sub("", text))


def alt_of(cell) -> str:
    """The alt text in a cell's metadata, or ''."""
    return cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "") or ""


def size_of(data: str | list) -> int:
    """Bytes of a base64 string."""
    text = re.sub(r"\s", "", "".join(data)).rstrip("=")
    return len(text) * 3 // 4


def html_of(output) -> str:
    """HTML of an output, or ''."""
    return "".join(output.get("data", {}).get("text/html", ""))


def text_of(output) -> str:
    """What an output says in plain text."""
    return "".join(output.get("text", "")) or json.dumps(output.get("data", {}).get("text/plain", ""), ensure_ascii=False)
