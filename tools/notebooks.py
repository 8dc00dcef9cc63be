"""Write, check and reuse the executed .ipynb twin of every chapter.

    python tools/notebooks.py                  write book/chapters/*.ipynb, executing only chapters whose code or stored results changed
    python tools/notebooks.py --only vae       the same for one chapter; add --force to execute it although nothing changed
    python tools/notebooks.py --check          fail if a twin is stale; executes nothing
    python tools/notebooks.py --seed FOLDER    put the twins into Sphinx's jupyter-cache, so that the site executes nothing

The source of a chapter is book/chapters/SLUG.md. The twin beside it is what GitHub shows, what Colab opens and what the tests run again. It opens with a
cell that installs the course on Colab, and its card says how many seconds the chapter took. Its metadata hold the digests of what the chapter reads: results
of recipes, weights. Where one of these has changed since, the twin is stale.
"""

import argparse
import copy
import functools
import hashlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
CHAPTERS = BOOK / "chapters"
SECONDS = re.compile(r"\{\{ *run_seconds *\}\}")
CITE = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
QUIZ_ID = re.compile(r'<div id="([A-Za-z]{12})"')


def sources(only: list[str] | None = None) -> list[Path]:
    """The chapters in name order, or those named."""
    found = sorted(CHAPTERS.glob("*.md"))
    if only:
        missing = set(only) - {p.stem for p in found}
        if missing:
            sys.exit(f"no chapter named {', '.join(sorted(missing))}; there are {', '.join(p.stem for p in found)}")
        found = [p for p in found if p.stem in only]
    return found


def install_cell() -> NotebookNode:
    """What a reader on Colab needs; does nothing elsewhere."""
    url = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    code = f'import sys\nif "google.colab" in sys.modules:  # install the course where it is not installed\n    %pip install -q git+{url}'
    return nbformat.v4.new_code_cell(code, metadata={"tags": ["gensr-install", "remove-cell"]})


def from_source(path: Path) -> NotebookNode:
    """The notebook a source describes: stable cell ids, no outputs, the install cell after the title."""
    nb = jupytext.read(path)
    nb.metadata = nbformat.from_dict({"kernelspec": nb.metadata["kernelspec"], "gensr": {"generated_from": path.name, "by": "tools/notebooks.py"}})
    nb.nbformat, nb.nbformat_minor = 4, 5
    nb.cells = [part for cell in nb.cells for part in split_at_headings(cell)]
    nb.cells.insert(1, install_cell())
    for i, cell in enumerate(nb.cells):
        cell.id = hashlib.sha1(f"{path.stem}/{i}".encode()).hexdigest()[:8]
        if cell.cell_type == "code":
            add_slideshow(cell, "-")
        else:
            cell.source = CITE.sub(lambda m: "[" + "; ".join(authors_and_year(key.strip()) for key in m[1].split(",")) + "]", cell.source)
            add_slideshow(cell, "slide" if cell.source.startswith("#") else "-")
    return nb


@functools.cache
def bibliography():
    from pybtex.database import parse_file

    return parse_file(str(BOOK / "references.bib"), "bibtex").entries


def authors_and_year(key: str) -> str:
    """A citation in plain words: GitHub, Colab and slides do not know MyST's {cite}."""
    from pybtex.database import Person

    if key not in bibliography():
        sys.exit(f"{{cite}}`{key}`: there is no such entry in book/references.bib")
    entry = bibliography()[key]
    people: list[Person] = entry.persons.get("author") or entry.persons["editor"]
    last = [re.sub(r"[{}]", "", " ".join(p.prelast_names + p.last_names)) for p in people]
    names = last[0] if len(last) == 1 else f"{last[0]} & {last[1]}" if len(last) == 2 else f"{last[0]} et al."
    return f"{names} {entry.fields['year']}"


def split_at_headings(cell: NotebookNode) -> list[NotebookNode]:
    """A Markdown cell for each section, so that each starts a slide."""
    if cell.cell_type != "markdown":
        return [cell]
    parts, fenced = [[]], False
    for line in cell.source.split("\n"):
        fenced ^= line.startswith(("```", ":::"))
        if line.startswith("## ") and not fenced and parts[-1]:
            parts.append([])
        parts[-1].append(line)
    texts = ["\n".join(p).strip() for p in parts]
    return [nbformat.v4.new_markdown_cell(t, metadata=copy.deepcopy(cell.metadata)) for t in texts if t]


def add_slideshow(cell: NotebookNode, kind: str) -> None:
    """Unless the source says otherwise: a section starts a slide, and code stays on the slide it explains."""
    cell.metadata.setdefault("slideshow", {"slide_type": kind})


def code_of(nb: NotebookNode) -> list:
    return [(c.source, dict(c.metadata)) for c in nb.cells if c.cell_type == "code"]


def content_of(nb: NotebookNode) -> list:
    return [(c.id, c.cell_type, c.source, dict(c.metadata)) for c in nb.cells]


def fill_seconds(nb: NotebookNode, seconds: float | None) -> None:
    nb.metadata["gensr"]["seconds"] = seconds
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = SECONDS.sub("?" if seconds is None else f"{seconds:.0f}", cell.source)


def read_twin(path: Path) -> NotebookNode | None:
    twin = path.with_suffix(".ipynb")
    return nbformat.read(str(twin), as_version=4) if twin.exists() else None


def is_fresh(path: Path, twin: NotebookNode | None) -> bool:
    if twin is None:
        return False
    wanted = from_source(path)
    fill_seconds(wanted, twin.metadata.get("gensr", {}).get("seconds"))
    return content_of(wanted) == content_of(twin) and not has_new_data(twin)


def has_new_data(twin: NotebookNode) -> bool:
    """Whether a stored result or a weight is another than when the chapter was executed."""
    return any(digest(ROOT / name) != known for name, known in twin.metadata.get("gensr", {}).get("reads", {}).items())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else "missing"


def execute(nb: NotebookNode, slug: str) -> float:
    """Run a chapter as a reader's laptop would, one torch thread, and return the seconds."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        reads = Path(folder) / "reads"
        reads.touch()
        os.environ["GENSR_READS"] = str(reads)
        NotebookClient(
            nb, timeout=300, record_timing=False, kernel_name="python3", resources={"metadata": {"path": str(CHAPTERS)}},
            extra_arguments=[f"--IPKernelApp.exec_files={Path(__file__).resolve().with_name('listen.py')}"],
        ).execute()
        opened = {Path(line) for line in reads.read_text(encoding="utf-8").splitlines()}
    seconds = round(time.monotonic() - start, 1)
    nb.metadata["gensr"]["reads"] = {p.relative_to(ROOT).as_posix(): digest(p) for p in sorted(opened) if p.is_relative_to(ROOT)}
    stable_quiz_ids(nb, slug)
    nb.metadata.pop("language_info", None)
    return seconds


def stable_quiz_ids(nb: NotebookNode, slug: str) -> None:
    """jupyterquiz draws a random id for each quiz; a fixed one keeps re-execution byte-identical."""
    for i, cell in enumerate(nb.cells):
        outputs = cell.get("outputs", [])
        for found in {m for o in outputs for m in QUIZ_ID.findall(o.get("data", {}).get("text/html", ""))}:
            stable = "quiz" + re.sub(r"[^a-z]", "", hashlib.sha1(f"{slug}/{i}".encode()).hexdigest())[:8].ljust(8, "x")
            for o in outputs:
                for kind, text in o.get("data", {}).items():
                    if isinstance(text, str):
                        o["data"][kind] = text.replace(found, stable)


def write(path: Path, force: bool) -> str:
    """Bring one twin up to date; says what was done."""
    twin, new = read_twin(path), from_source(path)
    if not force and is_fresh(path, twin):
        return "fresh"
    if twin is not None and not force and code_of(twin) == code_of(new) and not has_new_data(twin):  # only prose changed: keep the outputs
        for cell, done in zip((c for c in new.cells if c.cell_type == "code"), (c for c in twin.cells if c.cell_type == "code"), strict=True):
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
        seconds, what = twin.metadata["gensr"]["seconds"], "prose"
        new.metadata["gensr"]["reads"] = twin.metadata["gensr"].get("reads", {})
    else:
        seconds, what = execute(new, path.stem), "executed"
        before = twin.metadata.get("gensr", {}).get("seconds") if twin is not None else None
        if before and 1 / 1.5 < seconds / before < 1.5:  # the same within noise: keep the file unchanged
            seconds = before
        what += f" in {seconds:.0f} s"
    fill_seconds(new, seconds)
    nbformat.write(new, str(path.with_suffix(".ipynb")))
    return what


def seed(folder: str, paths: list[Path]) -> None:
    """Hand the executed twins to Sphinx's cache under the name of their sources."""
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    cache = get_cache(folder)
    for path in paths:
        twin = read_twin(path)
        if twin is None:
            sys.exit(f"{path.name} has no twin; run: python tools/notebooks.py --only {path.stem}")
        nb = copy.deepcopy(twin)
        nb.cells = [c for c in nb.cells if "gensr-install" not in c.metadata.get("tags", [])]  # the source has no such cell
        for cell in nb.cells:
            cell.metadata.pop("slideshow", None)
        cache.cache_notebook_bundle(CacheBundleIn(nb, str(path)), check_validity=False, overwrite=True)


def main() -> int:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--only", nargs="+", metavar="SLUG")
    a.add_argument("--force", action="store_true")
    a.add_argument("--check", action="store_true")
    a.add_argument("--seed", metavar="FOLDER")
    a = a.parse_args()
    paths = sources(a.only)
    if a.seed:
        seed(a.seed, paths)
        return 0
    if a.check:
        stale = [p.stem for p in paths if not is_fresh(p, read_twin(p))]
        for slug in stale:
            print(f"stale: book/chapters/{slug}.ipynb; run: python tools/notebooks.py --only {slug}")
        return int(bool(stale))
    for path in paths:
        print(f"{path.stem}: {write(path, a.force)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
