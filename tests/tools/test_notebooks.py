"""The twins: made once, re-run only when code changes, byte-identical, checked, and handed to the site's cache."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
SOURCE = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A toy

> **Run** {{ run_seconds }} s

## One

```{code-cell} ipython3
1 + 1
```

Text between.

## Two

```{code-cell} ipython3
:tags: [hide-input]
from jupyterquiz import display_quiz
display_quiz([{"question": "q", "type": "multiple_choice", "answers": [{"answer": "a", "correct": True}]}])
```
"""


@pytest.fixture
def book(tmp_path):
    (tmp_path / "tools").mkdir()
    for name in ("notebooks.py", "listen.py"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    (tmp_path / "book" / "chapters" / "measured").mkdir(parents=True)
    (tmp_path / "book" / "_config.yml").write_text("repository: {url: https://example.org/course}\n")
    (tmp_path / "book" / "chapters" / "toy.md").write_text(SOURCE)
    return tmp_path


def tool(book, *arguments):
    return subprocess.run([sys.executable, "tools/notebooks.py", *arguments], cwd=book, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_life_of_a_twin(book):
    source, twin = book / "book/chapters/toy.md", book / "book/chapters/toy.ipynb"
    missing = tool(book, "--check")
    assert missing.returncode == 1 and "python tools/notebooks.py --only toy" in missing.stdout

    assert "executed" in tool(book).stdout
    nb = nbformat.read(str(twin), 4)
    nbformat.validate(nb)
    first = twin.read_bytes()
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert code[0].metadata.tags == ["gensr-install", "remove-cell"] and "https://example.org/course" in code[0].source
    assert code[1].outputs[0].data["text/plain"] == "2"
    assert nb.metadata.gensr.seconds > 0 and "run_seconds" not in nb.cells[0].source
    assert [c.metadata.slideshow.slide_type for c in nb.cells if c.source.startswith("#") and c.cell_type == "markdown"] == ["slide"] * 3
    assert tool(book, "--check").returncode == 0 and "fresh" in tool(book).stdout

    tool(book, "--force")  # executed anew, quiz and all: not a byte changes (the seconds are kept when they agree within noise)
    again = nbformat.read(str(twin), 4)
    again.metadata.gensr.seconds = nb.metadata.gensr.seconds
    assert [c.get("outputs") for c in again.cells] == [c.get("outputs") for c in nb.cells]
    twin.write_bytes(first)

    source.write_text(SOURCE.replace("Text between.", "Other prose."))
    assert tool(book, "--check").returncode == 1
    assert "prose" in tool(book).stdout and tool(book, "--check").returncode == 0
    assert nbformat.read(str(twin), 4).cells[3].outputs == nb.cells[3].outputs

    source.write_text(SOURCE.replace("1 + 1", "1 + 2"))
    assert "executed" in tool(book).stdout
    assert nbformat.read(str(twin), 4).cells[3].outputs[0].data["text/plain"] == "3"

    source.write_text(SOURCE.replace("1 + 1", "1 / 0"))
    failed = tool(book)
    assert failed.returncode != 0 and "ZeroDivisionError" in failed.stderr


@pytest.mark.slow
def test_a_twin_is_stale_when_what_it_read_has_changed(book):
    """A recipe is run again, or a weight trained anew: the chapter shows old figures until it is executed."""
    source, twin, stored = book / "book/chapters/toy.md", book / "book/chapters/toy.ipynb", book / "book/chapters/measured/toy.json"
    source.write_text(SOURCE.replace("1 + 1", 'from pathlib import Path\nPath("measured/toy.json").read_text()'))
    stored.write_text("1.5")
    (stored.parent / "unread.json").write_text("0")
    assert "executed" in tool(book).stdout and tool(book, "--check").returncode == 0
    assert list(nbformat.read(str(twin), 4).metadata.gensr.reads) == ["book/chapters/measured/toy.json"]
    (stored.parent / "unread.json").write_text("1")
    assert tool(book, "--check").returncode == 0
    stored.write_text("2.5")
    stale = tool(book, "--check")
    assert stale.returncode == 1 and "run: python tools/notebooks.py --only toy" in stale.stdout
    source.write_text(source.read_text().replace("Text between.", "Other prose."))
    assert "executed" in tool(book).stdout and "2.5" in twin.read_text() and tool(book, "--check").returncode == 0
    source.write_text(source.read_text().replace("Other prose.", "Prose."))
    assert "prose" in tool(book).stdout
    stored.unlink()
    assert tool(book, "--check").returncode == 1, "what was read was kept when the prose changed"


@pytest.mark.slow
def test_seeded_cache_matches_the_source(book):
    """The cache must recognise the source, or the site would execute the chapter."""
    tool(book)
    done = tool(book, "--seed", "cache")
    assert done.returncode == 0, done.stderr
    import jupytext
    from jupyter_cache import get_cache

    nb = jupytext.read(book / "book/chapters/toy.md")
    record = get_cache(book / "cache").match_cache_notebook(nb)
    assert record is not None


def test_unknown_chapter_is_named(book):
    out = tool(book, "--only", "nope")
    assert out.returncode == 1 and "no chapter named nope; there are toy" in out.stderr
