"""Each named wrong answer fails with its own message, each right one passes, each release stops at its stubs. First the test tests itself."""

from functools import cache

import nbformat
import pytest

from tests.exercises import harness, tiny
from tests.exercises.harness import ROOT, tool

SLUGS = tool.slugs(ROOT)
pytestmark = pytest.mark.timeout(180)


@cache
def walked(slug):
    x = harness.load(ROOT / "solutions" / slug)
    return x, harness.outcomes(x)


def test_every_exercise_has_misconceptions():
    assert SLUGS, "solutions/ holds no exercise"
    missing = [s for s in SLUGS if not (ROOT / "solutions" / s / "misconceptions.py").is_file()]
    assert not missing, f"no misconceptions.py for {missing}"


@pytest.mark.parametrize("slug", SLUGS)
def test_answers(slug):
    bad = harness.complaints(*walked(slug))
    assert not bad, "\n".join(["", *bad])


@pytest.mark.parametrize("slug", SLUGS)
def test_tasks(slug):
    """3 to 5 tasks, at least one explained in words with a rubric; test cells that nbgrader can mark."""
    x, _ = walked(slug)
    manual = [c for c in x.cells if c.cell_type == "markdown" and c.metadata.get("nbgrader", {}).get("grade")]
    assert 3 <= len(x.tasks) + len(manual) <= 5, f"{x.tasks} and {len(manual)} in words: expected 3 to 5 tasks"
    assert manual, "no task in words"
    assert all("rubric" in c.source.lower() for c in manual), "a model answer without its rubric"
    tests = [c for c in x.cells if harness.is_test(c)]
    assert {harness.grade_id(c) for c in tests} == {f"test_{t}" for t in x.tasks}, "test cells and tasks do not pair up"
    for c in tests:
        meta = c.metadata["nbgrader"]
        assert meta["locked"] and meta["points"] > 0, f"{meta['grade_id']}: must be locked and worth points"
        assert "assert" in tool.REGION.sub("", c.source + "\n"), f"{meta['grade_id']}: no visible test"
        assert harness.ends_quietly(c.source), f"{meta['grade_id']}: ends in a value, which nbgrader would read as partial marks"
    assert any("BEGIN HIDDEN TESTS" in c.source for c in tests), "no hidden tests: a student who copies the examples gets full marks"


@pytest.mark.parametrize("slug", SLUGS)
def test_release_stops_at_its_stubs(slug):
    bad = harness.at_stubs(slug, nbformat.read(ROOT / "exercises" / slug / f"{slug}.ipynb", 4))
    assert not bad, "\n".join(["", *bad])


def complaints(root):
    x = harness.load(root / "solutions" / "coin")
    return harness.complaints(x, harness.outcomes(x))


def test_the_tiny_course_is_clean(tmp_path):
    assert complaints(tiny.make(tmp_path)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('message="in bits"', 'message="in trits"', "should hear 'in trits'"),
        ('code="best = 0.5"', 'code="best = 0.7"', "'half' passes"),
        ('code="best = 0.5"', 'code="best = nothing"', "ends in NameError"),
        ('message="number of heads"', 'message="s"', "hears the message of another"),
        ('"best": ["best = 7 / 10"]', '"best": ["best = 6 / 10"]', "right answer 0 fails"),
        ('"best": ["best = 7 / 10"]', '"worst": ["worst = 0"]', "no autograded task"),
        ('Wrong("half", "always a fair coin", code="best = 0.5", message="highest at"),', "", "needs at least 3 wrong answers"),
    ],
)
def test_a_bad_misconception_is_reported(tmp_path, old, new, said):
    assert old in tiny.MISCONCEPTIONS
    bad = complaints(tiny.make(tmp_path, misconceptions=tiny.MISCONCEPTIONS.replace(old, new)))
    assert any(said in line for line in bad), bad


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return heads * math.log(theta) +", "return heads * math.log(theta) -", "fails its own test"),
        ("value = log_likelihood(1, 2, 0.5)", "import warnings\nvalue = log_likelihood(1, 2, 0.5)\nwarnings.warn('careful')", "writes to stderr"),
        ("assert best != 7", "### BEGIN HIDDEN TESTS\nassert best != 7", "from hidden tests only"),
    ],
)
def test_a_bad_exercise_is_reported(tmp_path, old, new, said):
    source = tiny.SOURCE.replace(old, new)
    assert source != tiny.SOURCE
    if "best != 7" in new:
        source = source.replace('not their share."\n', 'not their share."\n### END HIDDEN TESTS\n')
    bad = complaints(tiny.make(tmp_path, source))
    assert any(said in line for line in bad), bad


def test_a_release_that_works_is_reported(tmp_path):
    """A release notebook with the answer in it does not stop at its stub."""
    root = tiny.make(tmp_path / "root")
    tool.generate(root, tmp_path / "course")
    release = nbformat.read(tmp_path / "course" / "exercises" / "coin" / "coin.ipynb", 4)
    assert harness.at_stubs("coin", release) == []
    best = next(c for c in release.cells if harness.grade_id(c) == "best")
    best.source = "best = 0.7"
    assert any("test_best" in line for line in harness.at_stubs("coin", release))


def test_ends_quietly():
    assert harness.ends_quietly("x = 1\nassert x")
    assert not harness.ends_quietly("assert True\n0.5")
