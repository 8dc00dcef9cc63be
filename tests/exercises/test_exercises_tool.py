"""tools/exercises.py: generation is reproducible, staleness is found without touching the tree, planted leaks are found wherever they hide."""

import io
import json
import shutil
import tarfile
import zipfile

import nbformat
import pytest

from tests.exercises import tiny
from tests.exercises.harness import ROOT, tool

pytestmark = [pytest.mark.grading, pytest.mark.timeout(240)]
ANSWER = "return heads * math.log(theta) + tails_seen * math.log1p(-theta)"
HIDDEN = "assert abs(log_likelihood(3, 10, 0.2) - (3 * math.log(0.2) + 7 * math.log(0.8))) < 1e-9"
MODEL = "Because the maximum of the likelihood ignores everything *known beforehand* about coins, and three tosses leave the curve wide."


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny course whose exercise is written; copy it before changing it."""
    root = tiny.make(tmp_path_factory.mktemp("finished"))
    assert tool.main([], root) == 0
    return root


@pytest.fixture
def course(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "course")


def release(root):
    return root / "exercises" / "coin" / "coin.ipynb"


def snapshot(root):
    return {p.relative_to(root): (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file() and p.suffix != ".pyc"}


def test_release_has_stubs_and_no_answers(course):
    nb = nbformat.read(release(course), 4)
    cells = {c.metadata.get("nbgrader", {}).get("grade_id"): c for c in nb.cells}
    assert cells["log_likelihood"].source.endswith("    # YOUR CODE HERE\n    raise NotImplementedError")
    assert cells["explain_best"].source == "*YOUR ANSWER HERE*"
    assert cells["test_log_likelihood"].metadata.editable is False
    assert "natural logarithm" in cells["test_log_likelihood"].source
    assert nb.metadata.gensr == {"exercise": "coin", "generated": "Generated from solutions/coin/coin.md; edit that and run `make exercises`."}
    assert [p.name for p in release(course).parent.iterdir()] == ["coin.ipynb"], "nbgrader must not copy the sources beside the release"
    text = release(course).read_text()
    for secret in (ANSWER, HIDDEN, "Rubric", "tails_seen", "def make"):
        assert secret not in text


def test_generation_is_reproducible(course, capsys):
    before = snapshot(course)
    assert tool.main([], course) == 0
    assert snapshot(course) == before
    assert "wrote" not in capsys.readouterr().out


@pytest.mark.parametrize("change", ["source", "release", "solution", "missing", "stray"])
def test_check_finds_what_is_stale_and_touches_nothing(course, capsys, change):
    assert tool.main(["--check"], course) == 0
    edited = {"release": release(course), "solution": course / "solutions" / "coin" / "coin.ipynb"}
    if change == "source":
        md = course / "solutions" / "coin" / "coin.md"
        md.write_text(md.read_text().replace("Look at your sign.", "Look at the sign."))
    elif change == "missing":
        release(course).unlink()
    elif change == "stray":
        shutil.copytree(release(course).parent, course / "exercises" / "old")
    else:
        edited[change].write_text(edited[change].read_text().replace("A coin", "A die"))
    before = snapshot(course)
    assert tool.main(["--check"], course) == 1
    assert snapshot(course) == before
    said = capsys.readouterr().out
    assert "stale: " in said
    assert "make exercises" in said
    assert tool.main([], course) == 0
    assert tool.main(["--check"], course) == 0


def test_a_file_nobody_generated_is_kept_and_reported(course, capsys):
    note = course / "exercises" / "coin" / "mine.txt"
    note.write_text("keep me")
    assert tool.main([], course) == 1
    assert note.read_text() == "keep me"
    assert "stray: exercises/coin/mine.txt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("grade: false, grade_id: best, locked: false, schema_version: 3, solution: true", "grade: false, grade_id: best, locked: false, schema_version: 3, "
         "solution: false", "non-solution cell"),
        ("    ### END SOLUTION\n", "", "no end solution statement"),
        ("grade_id: best,", "grade_id: log_likelihood,", "used twice"),
    ],
)
def test_an_exercise_that_would_leak_is_refused(tmp_path, old, new, said):
    source = tiny.SOURCE.replace(old, new)
    assert source != tiny.SOURCE
    with pytest.raises(SystemExit, match=said):
        tool.main([], tiny.make(tmp_path, source))
    assert not (tmp_path / "exercises").exists()


# ---- leaks ---------------------------------------------------------------------------------------------------------------------


def scan(root, *paths):
    return tool.find_leaks(root, list(paths) or [root / "exercises"])[0]


def plant(root, edit):
    """Edit the cells of the release notebook by hand, as somebody who should not."""
    nb = nbformat.read(release(root), 4)
    edit({c.metadata.get("nbgrader", {}).get("grade_id"): c for c in nb.cells}, nb)
    nbformat.write(nb, release(root))


def test_a_clean_course_has_no_leaks(course, capsys):
    assert scan(course) == []
    assert tool.main(["--leaks", str(course / "exercises")], course) == 0
    assert "0 leaks in 1 files" in capsys.readouterr().out


def test_leak_by_an_indented_marker(course):
    """A marker that a sloppy pattern would miss, with one short line in it."""
    def edit(cells, nb):
        cells["log_likelihood"].source += "\n        ###  begin  solution\n        x = 1\n"

    plant(course, edit)
    assert any("marker" in line for line in scan(course))


def test_leak_by_an_untagged_cell(course):
    def edit(cells, nb):
        nb.cells.append(nbformat.v4.new_code_cell(f"def reference(heads, tosses, theta):\n    tails_seen = tosses - heads\n    {ANSWER}"))

    plant(course, edit)
    assert any("solution of coin/log_likelihood" in line for line in scan(course))


def test_leak_in_the_source_by_an_untagged_cell(tmp_path):
    """Text that nbgrader lets pass, because its cell is no solution cell: in the source, so that the release is even fresh."""
    copy = f"```{{code-cell}} ipython3\ndef check(heads, tosses, theta):\n    tails_seen = tosses - heads\n    {ANSWER}\n```\n\n## Task 3"
    root = tiny.make(tmp_path, tiny.SOURCE.replace("## Task 3", copy))
    assert tool.main([], root) == 0
    assert any("solution of coin/log_likelihood" in line for line in scan(root))


def test_leak_of_hidden_tests(course):
    def edit(cells, nb):
        cells["test_log_likelihood"].source += "\n" + HIDDEN

    plant(course, edit)
    assert any("hidden tests of coin/test_log_likelihood" in line for line in scan(course))


def test_leak_of_a_model_answer(course):
    def edit(cells, nb):
        cells["explain_best"].source = MODEL.replace("*", "")

    plant(course, edit)
    found = scan(course)
    assert any("model answer of coin/explain_best" in line for line in found)
    assert any("where its stub belongs" in line for line in found)


def test_leak_of_an_answer_left_in_an_output(course):
    def edit(cells, nb):
        nb.cells[1].outputs = [nbformat.v4.new_output("stream", text=ANSWER)]

    plant(course, edit)
    assert any("solution of coin/log_likelihood" in line for line in scan(course))


def test_leak_of_a_misconception(course):
    (course / "exercises" / "coin" / "hints.txt").write_text("the loss, which is minus the logarithm, was\nwritten instead of the logarithm itself")
    assert any("explanation of coin/log_likelihood" in line for line in scan(course))


def test_leak_of_a_short_answer(course):
    """No line of it is distinctive; the stub that is gone gives it away."""
    def edit(cells, nb):
        cells["best"].source = "best = 0.7"

    plant(course, edit)
    assert scan(course) == ["exercises/coin/coin.ipynb: the cell best has an answer where its stub belongs"]


def test_leaks_in_a_site(course, tmp_path):
    site = tmp_path / "html"
    (site / "_sources").mkdir(parents=True)
    page = "<p>Words.</p><pre><span class='k'>return</span> {}</pre>"
    code = ANSWER.removeprefix("return ").replace("theta", "<span class='n'>theta</span>").replace("-", "&#45;")
    (site / "fine.html").write_text(page.format("heads <span>*</span> 2"))
    assert scan(course, site) == []
    (site / "bad.html").write_text(page.format(code))
    (site / "model.html").write_text("<p>" + MODEL.replace("*known", "<em>known").replace("hand*", "hand</em>").replace(", and", ",\nand") + "</p>")
    (site / "_sources" / "coin.ipynb").write_bytes((course / "solutions" / "coin" / "coin.ipynb").read_bytes())
    terms = {"tosses": 1, "likelihood": 2, "beforehand": 3, "ignor": 4, "maximum": 5, "everyth": 6}
    (site / "searchindex.js").write_text(f"Search.setIndex({json.dumps({'terms': terms})})")
    found = "\n".join(scan(course, site))
    assert "bad.html: solution of" in found
    assert "model.html: model answer of" in found
    assert "coin.ipynb: hidden tests of" in found
    assert "coin.ipynb: the marker" in found
    assert "searchindex.js: model answer" in found


def test_leaks_in_archives(course, tmp_path):
    def tar(path, name, text):
        with tarfile.open(path, "w:gz") as archive:
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))

    tar(tmp_path / "clean.tar.gz", "coins-1/src/coins/__init__.py", '"""A package."""\n')
    assert scan(course, tmp_path / "clean.tar.gz") == []
    tar(tmp_path / "bad.tar.gz", "coins-1/solutions/coin/coin.md", "nothing much")
    assert scan(course, tmp_path / "bad.tar.gz") == ["bad.tar.gz!coins-1/solutions/coin/coin.md: a file of solutions/ stands here"]
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("download/notes.md", MODEL)
    assert any("model answer" in line for line in scan(course, tmp_path / "bad.zip"))


def test_what_the_library_shows_is_no_leak_on_the_site(course, tmp_path):
    """The answer of 'fill the core line' is the library's own line: it may stand in the package and the book, but not in the exercise."""
    (course / "src" / "coins" / "__init__.py").write_text(f"def f(heads, tails_seen, theta):\n    {ANSWER}\n")
    (tmp_path / "api.html").write_text(f"<pre>{ANSWER}</pre>")
    assert scan(course, tmp_path / "api.html") == []
    plant(course, lambda cells, nb: nb.cells.append(nbformat.v4.new_markdown_cell(f"Hint: `{ANSWER}`")))
    assert scan(course) != []


def test_a_missing_path_is_an_error(course):
    with pytest.raises(SystemExit, match="no such path"):
        tool.main(["--leaks", str(course / "nowhere")], course)


# ---- this course -----------------------------------------------------------------------------------------------------------------


def test_exercises_are_fresh():
    assert tool.slugs(ROOT), "solutions/ holds no exercise"
    assert tool.main(["--check"]) == 0, "run: make exercises"


def test_exercises_and_site_leak_nothing():
    site = ROOT / "book" / "_build" / "html"
    found = scan(ROOT, ROOT / "exercises", *([site] if site.is_dir() else []))
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("slug", tool.slugs(ROOT))
def test_every_answer_would_be_found(tmp_path, slug):
    """Plant every solution, hidden test and model answer of a real exercise in its own release: a scan that misses one proves nothing."""
    nb = nbformat.read(ROOT / "exercises" / slug / f"{slug}.ipynb", 4)
    kinds = ("solution", "hidden tests", "model answer")
    planted = [s for s in tool.read_course(ROOT).secrets if s.slug == slug and s.kind in kinds]
    nb.cells += [nbformat.v4.new_markdown_cell(s.text) for s in planted]
    nbformat.write(nb, tmp_path / "planted.ipynb")
    found = "\n".join(scan(ROOT, tmp_path))
    assert len(planted) >= 6
    assert [f"{s.kind} of {s.slug}/{s.task}" for s in planted if f"{s.kind} of {s.slug}/{s.task}" not in found] == []


@pytest.mark.slow
def test_sdist_leaks_nothing(tmp_path):
    found, n = tool.find_leaks(ROOT, [tool.build_sdist(ROOT, tmp_path)])
    assert n > 20, "the sdist is nearly empty: did it build?"
    assert not found, "\n".join(["", *found])
