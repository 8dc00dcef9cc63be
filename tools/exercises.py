"""From the solutions to what students get, and the proof that nothing leaks.

    python tools/exercises.py                  write solutions/SLUG/SLUG.ipynb and exercises/SLUG/SLUG.ipynb from solutions/SLUG/SLUG.md
    python tools/exercises.py --check          fail if one of them is stale; touches nothing
    python tools/exercises.py --leaks [PATH …] fail if an answer stands in exercises/, the built site or the sdist (or in PATH: folders, files, archives)

The grading itself is stock nbgrader, started in the root of the repository (nbgrader_config.py tells it where things are):

    nbgrader generate_assignment vae --force         once: enters the tasks and their points into .grading/gradebook.db
    nbgrader zip_collect vae --force                 takes .grading/downloaded/vae/archive/ALICE_vae.ipynb to .grading/submitted/ALICE/vae/vae.ipynb
    nbgrader autograde vae                           puts the tests back as they were, runs each notebook, 60 s a cell, and marks it
    nbgrader formgrader (in JupyterLab)              the "explain" tasks, by hand, with the rubric beside them
    nbgrader export --to .grading/marks.csv          the marks

A student who deleted the cell of a task (not only its test) is named by `nbgrader autograde` and gets no marks until the answers stand in a fresh copy.
"""

import argparse
import hashlib
import html
import importlib.util
import io
import json
import logging
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jupytext
import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "make exercises"


# ---- generate ------------------------------------------------------------------------------------------------------------------


def slugs(root: Path) -> list[str]:
    """Names of the exercises: the folders solutions/SLUG that hold SLUG.md."""
    return sorted(p.parent.name for p in (root / "solutions").glob("*/*.md") if p.stem == p.parent.name)


def from_md(path: Path) -> NotebookNode:
    """The MyST source as a notebook: no outputs, cell ids that do not change from run to run, a note that it is generated."""
    nb = jupytext.read(path)
    source = f"solutions/{path.stem}/{path.name}"
    generated = f"Generated from {source}; edit that and run `{COMMAND}`."
    nb.metadata = nbformat.from_dict({"gensr": {"exercise": path.stem, "generated": generated}, "kernelspec": nb.metadata.kernelspec})
    nb.nbformat, nb.nbformat_minor = 4, 5
    seen: set[str] = set()
    for i, cell in enumerate(nb.cells):
        task = cell.metadata.get("nbgrader", {}).get("grade_id")
        if task in seen:
            raise SystemExit(f"{source}: grade_id {task!r} is used twice")
        seen |= {task} - {None}
        cell.id = task or hashlib.sha1(f"{path.stem}/{i}".encode()).hexdigest()[:8]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


def nbgrader_api(course: Path, gradebook: str | None = None):
    """nbgrader's Python API on the folder `course`, configured by the course's nbgrader_config.py."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.db_url = gradebook or f"sqlite:///{(course / 'gradebook.db').as_posix()}"
    config.Exchange.root = str(course / "exchange")
    (course / "exchange").mkdir(exist_ok=True)
    log = logging.getLogger("traitlets")
    log.addHandler(logging.NullHandler())  # nbgrader's words come back in the result, not on the screen
    log.propagate = False
    return NbGraderAPI(config=config, log_level="ERROR")


def generate(root: Path, course: Path, only: list[str] | None = None) -> list[Path]:
    """Make course/solutions and course/exercises from root/solutions (all, or those named); returns the files made, relative to `course`.

    Raises:
        SystemExit: nbgrader refuses a notebook (a solution outside a solution cell, a region without its end, …), with its words.
    """
    (course / "solutions").mkdir(parents=True, exist_ok=True)
    wanted = only or slugs(root)
    for slug in wanted:
        folder = course / "solutions" / slug
        shutil.copytree(root / "solutions" / slug, folder, ignore=shutil.ignore_patterns("*.ipynb", "*.md", "*.py", "__pycache__", ".ipynb_checkpoints"))
        nbformat.write(from_md(root / "solutions" / slug / f"{slug}.md"), folder / f"{slug}.ipynb")
    api = nbgrader_api(course)
    for slug in wanted:
        # The gradebook made on the way is thrown away; nbgrader would start a process to learn its schema version.
        with mock.patch("nbgrader.api.get_alembic_version", lambda: "unused"):
            result = api.generate_assignment(slug, force=True, create=True)
        if not result.get("success"):
            raise SystemExit(f"solutions/{slug}/{slug}.md: nbgrader refuses it\n{result.get('error', '')}\n{result.get('log', '')}")
    return sorted(p.relative_to(course) for d in ("solutions", "exercises") for p in (course / d).rglob("*") if p.is_file())


def compare(root: Path, course: Path, files: list[Path]) -> list[Path]:
    """Files of the tree that are not what `generate` just made: missing, different, or without a source."""
    stale = [f for f in files if not (root / f).is_file() or (root / f).read_text(encoding="utf-8") != (course / f).read_text(encoding="utf-8")]
    orphans = [p.relative_to(root) for p in (root / "exercises").rglob("*") if p.is_file() and ".ipynb_checkpoints" not in p.parts]
    return stale + [p for p in sorted(orphans) if p not in files]


def check(root: Path) -> int:
    """Report what is stale, changing nothing."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        files = generate(root, Path(tmp))
        stale = compare(root, Path(tmp), files)
    for path in stale:
        print(f"stale: {path.as_posix()}" + ("" if path in files else " (has no source in solutions/)"))
    if stale:
        print(f"These files are generated. Edit solutions/SLUG/SLUG.md, then run: {COMMAND}")
    return int(bool(stale))


def write(root: Path) -> int:
    """Write what is stale; a generated notebook whose source is gone is removed, any other stray file is reported."""
    strays = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        files = generate(root, Path(tmp))
        for path in compare(root, Path(tmp), files):
            target = root / path
            if path in files:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(tmp) / path, target)
                print("wrote", path.as_posix())
            elif path.suffix == ".ipynb" and exercise_of(json.loads(target.read_text(encoding="utf-8"))):
                target.unlink()
                if not any(target.parent.iterdir()):
                    target.parent.rmdir()
                print("removed", path.as_posix())
            else:
                print(f"stray: {path.as_posix()} has no source in solutions/; move it away")
                strays = 1
    return strays


def exercise_of(notebook: dict) -> str | None:
    """The slug of a generated exercise notebook, else None."""
    return notebook.get("metadata", {}).get("gensr", {}).get("exercise")


# ---- leaks ---------------------------------------------------------------------------------------------------------------------

REGION = re.compile(r"^[^\n]*BEGIN (SOLUTION|HIDDEN TESTS)[^\n]*\n(.*?)^[^\n]*END \1[^\n]*$\n?", re.M | re.S)
MARKER = re.compile(r"\b(BEGIN|END)[\s_]*(SOLUTION|HIDDEN[\s_]*TEST|MARK[\s_]*SCHEME)", re.I)
LINE, SENTENCE, PIECE = 25, 40, 40  # characters, spaces not counted, that make a line or a sentence distinctive; long lines are looked for in pieces


class Secret(NamedTuple):
    """Text that students must not see; `kind`: solution, hidden tests, misconception, another right answer, or in words: model answer, explanation."""

    slug: str
    task: str
    kind: str
    text: str

    @property
    def prose(self) -> bool:
        return self.kind in ("model answer", "explanation")

    def fragments(self) -> set[str]:
        """Distinctive pieces of it, squeezed: its lines (all in one if each is short), or the sentences of an answer in words."""
        if self.prose:
            return {words(s) for s in re.split(r"(?<=[.!?:;])\s|\n\s*\n|\n\s*[-*|]", self.text) if len(words(s)) >= SENTENCE}
        lines = [squeeze(s) for s in self.text.splitlines() if not re.match(r"\s*(import |from \S+ import|#)", s)]
        long = [s for s in lines if len(s) >= LINE] or [s for s in ["".join(lines)] if len(s) >= LINE]
        return {s[i : i + PIECE] for s in long for i in range(0, max(len(s) - PIECE, 0) + 1, PIECE // 4)}


class Course(NamedTuple):
    """What is secret in a course, and what may be seen: the text of each exercise outside its secrets, and the sources of package and book."""

    secrets: list[Secret]
    visible: dict[str, str]
    public: str


def squeeze(text: str) -> str:
    """Code without white space, backslashes and kinds of quotes: the same from a notebook, a web page or a JSON string."""
    return re.sub(r"[\s\\]+", "", re.sub("[\"'`‘’“”]", "'", text)).casefold()


def words(text: str) -> str:
    """Prose as letters and digits only: mark-up, line ends and typographer's quotes do not matter."""
    return re.sub(r"[\W_]+", "", text).casefold()


def read_course(root: Path) -> Course:
    """Collect every secret of solutions/ and everything that is public anyway."""
    secrets, visible = [], {}
    for slug in slugs(root):
        shown = []
        for cell in jupytext.read(root / "solutions" / slug / f"{slug}.md").cells:
            meta = cell.metadata.get("nbgrader", {})
            task, source = meta.get("grade_id", ""), cell.source + "\n"
            regions = list(REGION.finditer(source))
            secrets += [Secret(slug, task, m[1].lower(), m[2]) for m in regions]
            if meta.get("solution") and not regions:
                secrets.append(Secret(slug, task, "model answer" if cell.cell_type == "markdown" else "solution", source))
            else:
                shown.append(REGION.sub("", source))
        visible[slug] = "\n".join(shown)
        for task, answers in wrong_and_right(root / "solutions" / slug / "misconceptions.py"):
            secrets += [Secret(slug, task, kind, text) for kind, text in answers]
    book = [p for p in (root / "book").rglob("*.md") if not {"_build", "node_modules"} & set(p.parts)]
    public = [*(root / "src").rglob("*.py"), *book, *root.glob("*.md"), *(root / "book").glob("*.bib")]
    return Course(secrets, visible, "\n".join(p.read_text(encoding="utf-8") for p in public))


def load_misconceptions(path: Path):
    """The module solutions/SLUG/misconceptions.py, with WRONG and RIGHT."""
    spec = importlib.util.spec_from_file_location(f"misconceptions_{path.parent.name.replace('-', '_')}", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def wrong_and_right(path: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if path.exists():
        module = load_misconceptions(path)
        for task, wrongs in module.WRONG.items():
            yield task, [("misconception", w.code) for w in wrongs] + [("explanation", w.why) for w in wrongs]
        for task, rights in module.RIGHT.items():
            yield task, [("another right answer", code) for code in rights]


def find_leaks(root: Path, paths: list[Path]) -> tuple[list[str], int]:
    """Every leak in the files under `paths`, and how many files were read."""
    course = read_course(root)
    public, public_words = squeeze(course.public), words(course.public)
    seen = {slug: (squeeze(text), words(text)) for slug, text in course.visible.items()}
    strict, loose = {}, {}  # fragment -> secret: in the exercise itself, and anywhere else
    for s in course.secrets:
        for f in s.fragments():
            shown = f in seen[s.slug][s.prose]
            if s.kind == "solution" or not shown:
                strict.setdefault((s.slug, f, s.prose), s)
            if not shown and (s.prose or f not in public):
                loose.setdefault((f, s.prose), s)
    leaks, n = [], 0
    for name, data in files_in(paths):
        n += 1
        where = Path(name.replace("!", "/"))
        if "solutions" in where.parts or where.name.startswith("misconceptions."):
            leaks.append(f"{name}: a file of solutions/ stands here")
        text, notebook = text_of(name, data)
        slug = exercise_of(notebook)
        code, prose_form = squeeze(text), words(text)
        looked = [(f, p, s) for (f, p), s in loose.items()] + [(f, p, s) for (own, f, p), s in strict.items() if own == slug]
        leaks += sorted({f"{name}: {s.kind} of {s.slug}/{s.task}: {f[:80]}" for f, p, s in looked if f in (prose_form if p else code)})
        if (m := MARKER.search(text)) and (slug or not MARKER.search(course.public)):
            leaks.append(f"{name}: the marker {m[0]!r}")
        if slug:
            leaks += [f"{name}: the cell {t} has an answer where its stub belongs" for t in without_stub(notebook)]
        if where.name == "searchindex.js":
            leaks += [f"{name}: {s}" for s in indexed(course, text, public_words)]
    return leaks, n


def without_stub(notebook: dict) -> list[str]:
    """grade_ids of solution cells that are not empty."""
    found = []
    for cell in notebook.get("cells", []):
        meta = cell["metadata"].get("nbgrader", {})
        stub = "raise NotImplementedError" if cell["cell_type"] == "code" else "*YOUR ANSWER HERE*"
        if meta.get("solution") and stub not in "".join(cell["source"]):
            found.append(meta["grade_id"])
    return found


def indexed(course: Course, index: str, public_words: str) -> list[str]:
    """Secrets whose own words (found in no public source) are in Sphinx's search index, which holds stems and not sentences."""
    import snowballstemmer

    stem = snowballstemmer.stemmer("english").stemWord
    terms = set(re.findall(r"\w{5,}", index.casefold()))
    public_stems = set(map(stem, re.findall(r"[a-z]{5,}", course.public.casefold())))  # "believes" is no secret where a page says "believe"
    found = []
    for s in course.secrets:
        own = {w for w in re.findall(r"[a-z]{5,}", s.text.casefold()) if w not in public_words and w not in words(course.visible[s.slug])}
        own = {w for w in own if stem(w) not in public_stems}
        hits = sorted(w for w in own if stem(w) in terms or w in terms)
        if len(hits) >= 3 or (hits and len(hits) == len(own)):
            found.append(f"{s.kind} of {s.slug}/{s.task} is indexed: {', '.join(hits[:6])}")
    return found


def files_in(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all text files under the paths, those inside archives too (as ARCHIVE!MEMBER)."""
    for path in paths:
        for p in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if p.is_file():
                name = p.relative_to(path.parent).as_posix()
                yield from members(name, p.read_bytes())


def members(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    if name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for m in archive.getmembers():
                if m.isfile():
                    yield from members(f"{name}!{m.name}", archive.extractfile(m).read())  # type: ignore[union-attr]
    elif name.endswith((".zip", ".whl")):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for m in archive.namelist():
                yield from members(f"{name}!{m}", archive.read(m))
    elif b"\0" not in data[:4096]:
        yield name, data


def text_of(name: str, data: bytes) -> tuple[str, dict]:
    """The text of a file as a reader could find it, and the notebook that it is, or {}."""
    text = re.sub(r"data:[\w/+.-]+;base64,[\w+/=]+", "", data.decode("utf-8", errors="replace"))
    if name.endswith(".ipynb"):
        notebook = json.loads(data)
        parts = ["".join(c["source"]) + "\n" + json.dumps(c.get("outputs", []), ensure_ascii=False) for c in notebook["cells"]]
        return "\n".join([*parts, json.dumps(notebook["metadata"], ensure_ascii=False)]), notebook
    if name.endswith((".html", ".htm", ".xml", ".svg")):
        text = html.unescape(re.sub(r"<[^>]*>", "", text)) + "\n" + html.unescape(text)
    return text, {}


def build_sdist(root: Path, out: Path) -> Path:
    """The source distribution, built into `out`."""
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(out), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"the sdist does not build:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return next(out.glob("*.tar.gz"))


def leaks(root: Path, paths: list[Path]) -> int:
    """Scan `paths`, or exercises/, the built site and a fresh sdist; print each leak."""
    with tempfile.TemporaryDirectory() as tmp:
        if not paths:
            site = root / "book" / "_build" / "html"
            paths = [root / "exercises", *([site] if site.is_dir() else []), build_sdist(root, Path(tmp))]
            if not site.is_dir():
                print("book/_build/html: not built, not scanned (make site)")
        missing = [p for p in paths if not p.exists()]
        if missing:
            raise SystemExit(f"no such path: {', '.join(map(str, missing))}")
        found, n = find_leaks(root, paths)
    for line in found:
        print("leak:", line)
    print(f"{len(found)} leaks in {n} files; looked for {len(read_course(root).secrets)} answers of {len(slugs(root))} exercises")
    return int(bool(found))


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if a generated file is stale")
    parser.add_argument("--leaks", nargs="*", type=Path, metavar="PATH", help="look for answers where students can read them")
    a = parser.parse_args(arguments)
    if a.leaks is not None:
        return leaks(root, a.leaks)
    return check(root) if a.check else write(root)


if __name__ == "__main__":
    sys.exit(main())
