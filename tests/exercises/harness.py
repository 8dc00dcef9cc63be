"""Runs an exercise in this process, with the library's answer, each wrong one and each right one in place of the task."""

import ast
import contextlib
import importlib.util
import io
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import jupytext
import matplotlib
import torch

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("exercises_tool", ROOT / "tools" / "exercises.py")
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)


class Outcome(NamedTuple):
    """How the test cell of a task ended: the error or None, what it wrote to stderr, and the error of its visible part alone."""

    error: BaseException | None
    stderr: str = ""
    visible: BaseException | None = None


class Exercise(NamedTuple):
    """An exercise's cells and its named answers."""

    slug: str
    cells: list
    wrong: dict
    right: dict

    @property
    def tasks(self) -> list[str]:
        """grade_ids of the autograded tasks."""
        tests = {grade_id(c) for c in self.cells if is_test(c)}
        return [grade_id(c) for c in self.cells if is_solution(c) and f"test_{grade_id(c)}" in tests]


def load(folder: Path) -> Exercise:
    """solutions/SLUG with its misconceptions.py."""
    named = tool.load_misconceptions(folder / "misconceptions.py")
    return Exercise(folder.name, jupytext.read(folder / f"{folder.name}.md").cells, named.WRONG, named.RIGHT)


def grade_id(cell) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def is_solution(cell) -> bool:
    return cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution", False)


def is_test(cell) -> bool:
    meta = cell.metadata.get("nbgrader", {})
    return cell.cell_type == "code" and meta.get("grade", False) and not meta.get("solution", False)


def ends_quietly(source: str) -> bool:
    """The last statement leaves no value behind; nbgrader takes a number there for partial marks."""
    return not isinstance(ast.parse(source).body[-1], ast.Expr)


def run(source: str, names: dict, label: str) -> tuple[BaseException | None, str]:
    """Execute one cell quietly; the error or None, and what a notebook would show as stderr. Magics such as %pip are left out."""
    source = re.sub(r"^\s*[%!].*$", "pass", source, flags=re.M)
    err = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        warnings.simplefilter("default")
        try:
            exec(compile(source, f"<{label}>", "exec"), names)
            error = None
        except Exception as e:
            error = e
    return error, err.getvalue() + "".join(f"{w.category.__name__}: {w.message}\n" for w in caught)


def outcomes(x: Exercise) -> dict[tuple[str, str, int], Outcome]:
    """One walk through the notebook; at each task its test cell meets every answer. Keys: (task, "solution" | "wrong" | "right", index)."""
    matplotlib.use("Agg")
    names = {"__name__": "__main__", "display": lambda *_, **__: None}
    torch.manual_seed(0)
    found = {}
    for i, cell in enumerate(x.cells):
        if cell.cell_type != "code" or is_test(cell):
            continue
        task = grade_id(cell)
        if is_solution(cell) and task in x.tasks:
            j = next(k for k, c in enumerate(x.cells) if grade_id(c) == f"test_{task}")
            between = [c for c in x.cells[i + 1 : j] if c.cell_type == "code" and not is_test(c)]
            answers = [("solution", cell.source), *(("wrong", w.code) for w in x.wrong.get(task, [])), *(("right", r) for r in x.right.get(task, []))]
            before, state = dict(names), torch.get_rng_state()
            counts = {"solution": 0, "wrong": 0, "right": 0}
            for kind, code in answers:
                found[task, kind, counts[kind]] = attempt(x, task, [code, *(c.source for c in between)], x.cells[j].source, names)
                counts[kind] += 1
                names.clear()  # the same dict, because functions made earlier look names up in it
                names.update(before)
                torch.set_rng_state(state)
        error, _ = run(cell.source, names, f"{x.slug}: cell {i}")
        if error is not None:
            raise AssertionError(f"{x.slug}: cell {i} of the solution fails: {error!r}\n{cell.source}") from error
    return found


def attempt(x: Exercise, task: str, code: list[str], test: str, names: dict) -> Outcome:
    for source in code:
        error, err = run(source, names, f"{x.slug}: {task}")
        if error is not None:
            return Outcome(error, err, error)
    start = dict(names)
    state = torch.get_rng_state()
    error, err = run(test, names, f"{x.slug}: test_{task}")
    names.clear()
    names.update(start)
    torch.set_rng_state(state)
    visible = run(tool.REGION.sub("", test + "\n"), names, f"{x.slug}: visible test_{task}")[0] if error is not None else None
    return Outcome(error, err, visible)


def complaints(x: Exercise, found: dict[tuple[str, str, int], Outcome]) -> list[str]:
    """Everything that is not as it must be, each in one line."""
    bad = []
    for task in x.tasks:
        wrongs = x.wrong.get(task, [])
        if len(wrongs) < 3:
            bad.append(f"{x.slug}/{task}: needs at least 3 wrong answers in misconceptions.py, has {len(wrongs)}")
        if not x.right.get(task):
            bad.append(f"{x.slug}/{task}: needs at least 1 right answer written differently in misconceptions.py")
        own = found[task, "solution", 0]
        if own.error is not None:
            bad.append(f"{x.slug}/{task}: the solution fails its own test: {own.error!r}")
        if own.stderr:
            bad.append(f"{x.slug}/{task}: the test writes to stderr, for which nbgrader takes all marks: {own.stderr.strip()[:200]}")
        bad += [
            f"{x.slug}/{task}: right answer {i} fails: {o.error!r}"
            for (t, kind, i), o in found.items() if (t, kind) == (task, "right") and o.error is not None
        ]
        for i, w in enumerate(wrongs):
            error, others = found[task, "wrong", i].error, [v.message for v in wrongs if v is not w and v.message in str(found[task, "wrong", i].error)]
            if error is None:
                bad.append(f"{x.slug}/{task}: the wrong answer {w.name!r} passes")
            elif not isinstance(error, AssertionError):
                bad.append(f"{x.slug}/{task}: the wrong answer {w.name!r} ends in {error!r}, not in a message that teaches")
            elif w.message not in str(error):
                bad.append(f"{x.slug}/{task}: the wrong answer {w.name!r} should hear {w.message!r}, but hears: {error}")
            elif others:
                bad.append(f"{x.slug}/{task}: the wrong answer {w.name!r} hears the message of another: {others[0]!r}")
            elif w.message not in str(found[task, "wrong", i].visible):
                bad.append(f"{x.slug}/{task}: the wrong answer {w.name!r} hears {w.message!r} from hidden tests only, so its student never reads it")
    unknown = (set(x.wrong) | set(x.right)) - set(x.tasks)
    return bad + [f"{x.slug}/{task}: in misconceptions.py, but no autograded task" for task in sorted(unknown)]


def at_stubs(slug: str, release) -> list[str]:
    """Tasks of a release notebook whose test does not stop at NotImplementedError; cells may only fail because of an empty task."""
    names = {"__name__": "__main__", "display": lambda *_, **__: None}
    bad, empty = [], set()
    for i, cell in enumerate(release.cells):
        if cell.cell_type != "code":
            continue
        error, _ = run(cell.source, names, f"{slug}: release cell {i}")
        if is_solution(cell) and isinstance(error, NotImplementedError):
            empty.add(grade_id(cell))
        elif is_test(cell):
            stubbed = isinstance(error, NotImplementedError) or (isinstance(error, NameError) and bool(empty))
            if not stubbed:
                bad.append(f"{slug}: {grade_id(cell)} of the release should stop at the stub, but ends in {error!r}")
        elif error is not None and not isinstance(error, (NotImplementedError, NameError)):
            bad.append(f"{slug}: cell {i} of the release ends in {error!r}")
    return bad
