"""Release, hand in, mark, export: stock nbgrader from end to end, with students who are right, wrong, stuck in a loop, or too clever."""

import copy
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.exercises import tiny
from tests.exercises.harness import ROOT, grade_id, tool

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.timeout(600)]

HEAD = "def log_likelihood(heads, tosses, theta):\n"
GOOD = {"log_likelihood": HEAD + "    return heads * math.log(theta) + (tosses - heads) * math.log(1 - theta)", "best": "best = 0.7"}
WRONG = {**GOOD, "log_likelihood": HEAD + "    return heads * math.log(theta)"}
LEARNT_BY_HEART = {**GOOD, "log_likelihood": HEAD + "    return math.log(0.25)"}
LOOP = {**GOOD, "log_likelihood": HEAD + "    while True:\n        pass"}
MARKS = {"right": 5, "wrong": 3, "heart": 3, "loop": 3, "tamper": 0, "copy": 3, "nothing": 0}  # of 7: 2 + 3 by machine, 2 by hand


def hand_in(release: Path, target: Path, answers: dict, tamper=None) -> None:
    """A student's notebook: the release with some cells filled in."""
    nb = nbformat.read(release, 4)
    for cell in nb.cells:
        cell.source = answers.get(grade_id(cell), cell.source)
    if tamper:
        tamper(nb)
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, target)


def cheat(nb) -> None:
    """Edit one test until it passes, and delete the other."""
    for cell in nb.cells:
        if grade_id(cell) == "test_log_likelihood":
            cell.source = "assert True"
            cell.metadata.nbgrader.points = 100
    nb.cells = [c for c in nb.cells if grade_id(c) != "test_best"]


def copied(nb) -> None:
    """The test, copied below with an easier one in it; nbgrader keeps the last copy, with its text put back."""
    test = copy.deepcopy(next(c for c in nb.cells if grade_id(c) == "test_log_likelihood"))
    test.id, test.source = "copied", "assert True"
    nb.cells.append(test)


def marks(path: Path) -> dict[str, tuple[float, float]]:
    """student -> (score, of how many)."""
    with open(path, newline="") as f:
        return {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(f)}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The whole term, in one go; returns the API and the folder."""
    from nbgrader.api import Gradebook
    from nbgrader.plugins import CsvExportPlugin

    root = tiny.make(tmp_path_factory.mktemp("term"))
    course = tmp_path_factory.mktemp("course")
    tool.generate(root, course)
    release = course / "exercises" / "coin" / "coin.ipynb"
    api = tool.nbgrader_api(course)
    assert api.config.ExecutePreprocessor.timeout == 60
    api.config.ExecutePreprocessor.timeout = 3
    answers = {"right": GOOD, "wrong": WRONG, "heart": LEARNT_BY_HEART, "loop": LOOP, "tamper": {**WRONG, "best": "best = 0"}, "copy": WRONG, "nothing": {}}
    for student, given in answers.items():
        tamper = {"tamper": cheat, "copy": copied}.get(student)
        hand_in(release, course / ".grading" / "submitted" / student / "coin" / "coin.ipynb", given, tamper)
    for student in answers:
        result = api.autograde("coin", student)
        assert result["success"], (student, result)
    with Gradebook(api.coursedir.db_url, "gensr") as gradebook:
        plugin = CsvExportPlugin()
        plugin.to = str(course / "marks.csv")
        plugin.export(gradebook)
    return course


def test_marks(graded):
    assert marks(graded / "marks.csv") == {student: (score, 7.0) for student, score in MARKS.items()}


def autograded(course, student):
    nb = nbformat.read(course / ".grading" / "autograded" / student / "coin" / "coin.ipynb", 4)
    return {grade_id(c): c for c in nb.cells}


def test_the_wrong_answer_reads_why(graded):
    outputs = autograded(graded, "wrong")["test_log_likelihood"].outputs
    assert "Did you forget the tails?" in outputs[0].evalue


def test_the_loop_was_stopped(graded):
    outputs = autograded(graded, "loop")["test_log_likelihood"].outputs
    assert {o.ename for o in outputs if o.output_type == "error"} & {"CellTimeoutError", "KeyboardInterrupt"}


def test_tampered_tests_are_put_back(graded):
    cells = autograded(graded, "tamper")
    assert "both must appear" in cells["test_log_likelihood"].source
    assert cells["test_log_likelihood"].metadata.nbgrader.points == 2
    assert "number of heads" in cells["test_best"].source


def test_a_deleted_task_is_reported(graded):
    """nbgrader puts tests back, but not the task before them: it stops at that notebook, gives no marks and names the student."""
    def delete(nb):
        nb.cells = [c for c in nb.cells if grade_id(c) not in ("best", "test_best")]

    hand_in(graded / "exercises" / "coin" / "coin.ipynb", graded / ".grading" / "submitted" / "eraser" / "coin" / "coin.ipynb", GOOD, delete)
    result = tool.nbgrader_api(graded).autograde("coin", "eraser")
    assert not result["success"]
    assert "error processing assignment 'coin' for student 'eraser'" in result["log"]


def test_answers_in_words_wait_for_a_person(graded):
    from nbgrader.api import Gradebook

    with Gradebook(tool.nbgrader_api(graded).coursedir.db_url, "gensr") as gradebook:
        answered = gradebook.find_grade("explain_best", "coin", "coin", "right")
        assert (answered.auto_score, answered.max_score) == (0, 2)  # the stub untouched: no answer, no marks
        assert gradebook.find_submission("coin", "right").max_score == 7


@pytest.mark.parametrize("slug", tool.slugs(ROOT))
def test_the_solutions_get_full_marks(tmp_path, slug):
    """A student who hands in our own solution, marked in a fresh kernel: nothing on stderr, nothing too slow, nothing that only works in our tests."""
    from nbgrader.api import Gradebook

    tool.generate(ROOT, tmp_path, [slug])
    answers = {grade_id(c): c.source for c in tool.from_md(ROOT / "solutions" / slug / f"{slug}.md").cells if c.metadata.get("nbgrader", {}).get("solution")}
    hand_in(tmp_path / "exercises" / slug / f"{slug}.ipynb", tmp_path / ".grading" / "submitted" / "us" / slug / f"{slug}.ipynb", answers)
    api = tool.nbgrader_api(tmp_path)
    result = api.autograde(slug, "us")
    assert result["success"], result
    with Gradebook(api.coursedir.db_url, "gensr") as gradebook:
        grades = gradebook.find_submission_notebook(slug, slug, "us").grades
        by_hand = [g.name for g in grades if g.needs_manual_grade]
        lost = {g.name: (g.auto_score, g.max_score) for g in grades if not g.needs_manual_grade and g.auto_score != g.max_score}
    assert by_hand, "no answer in words waits for a person"
    assert not lost


def test_commands(tmp_path):
    """The commands that the instructors' guide gives, on the real command line, in the root of a course."""
    root = tiny.make(tmp_path / "course")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    assert tool.main([], root) == 0
    release = root / "exercises" / "coin" / "coin.ipynb"
    before = release.read_bytes()

    def nbgrader(*arguments):
        env = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_DATA_DIR": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "nbgrader", *arguments]
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr

    nbgrader("generate_assignment", "coin", "--force")
    assert release.read_bytes() == before, "nbgrader's own command must give the same release as the tool"
    archive = root / ".grading" / "downloaded" / "coin" / "archive"
    hand_in(release, archive / "alice_coin.ipynb", GOOD)
    hand_in(release, archive / "bob_12345_coin.ipynb", WRONG)
    nbgrader("zip_collect", "coin", "--force")
    nbgrader("autograde", "coin")
    nbgrader("export", "--to", ".grading/marks.csv")
    assert marks(root / ".grading" / "marks.csv") == {"alice": (5.0, 7.0), "bob": (3.0, 7.0)}
