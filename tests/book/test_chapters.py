"""Each chapter has its parts in order, short cells, a quiz that explains, clean outputs, working links and citations, and keeps to its minute."""

import re
from itertools import pairwise
from unittest import mock

import jupytext
import nbformat
import pytest
import yaml

from tests.book.reader import BOOK, CHAPTERS, ROOT, SLUGS, Heading, headings, html_of, prose, source, text_of, twin

# The question (the first section), the derivation, and the experiments have names of their own in each chapter; these are the same everywhere.
PARTS = ("core", "touch it", "what goes wrong", "claims", "check yourself", "exercises", "going further", "references")
CARD = ("You will be able to", "Needs", "Read", "Run", "Papers")
LINES, COLUMNS, SECONDS = 30, 110, 60
FIGURES = ("image/png", "image/jpeg", "image/svg+xml")


def sections(cells) -> list[tuple[Heading, list]]:
    """The sections of level 2: heading and the cells until the next."""
    parts: list[tuple[Heading, list]] = []
    for cell in split(cells):
        for h in [h for h in headings([cell]) if h.level == 2]:
            parts.append((h, []))
        if parts:
            parts[-1][1].append(cell)
    return parts


def split(cells) -> list:
    """Markdown cells cut before each heading of level 2."""
    out = []
    for cell in cells:
        texts = re.split(r"^(?=## )", cell.source, flags=re.M) if cell.cell_type == "markdown" else []
        out += [nbformat.v4.new_markdown_cell(t) for t in texts if t.strip()] if len(texts) > 1 else [cell]
    return out


def is_figure(cell) -> bool:
    return cell.cell_type == "code" and any(k in o.get("data", {}) for o in cell.get("outputs", []) for k in FIGURES)


def structure(cells) -> list[str]:
    """What is missing from an executed chapter, or stands in the wrong order."""
    parts, bad = sections(cells), []
    names = [h.text.casefold() for h, _ in parts]
    found = []
    for part in PARTS:
        places = [i for i, n in enumerate(names) if re.search(rf"\b{part}\b", n)]
        found.append(places[0] if places else None)
        if not places:
            bad.append(f"no section {part!r}; there are {names}")
    present = [i for i in found if i is not None]
    if present != sorted(present):
        bad.append(f"sections out of order: {[names[i] for i in present]}")
    if bad:
        return bad
    at = dict(zip(PARTS, found, strict=True))
    body = [c for _, section in parts for c in section]
    formula = next((i for i, c in enumerate(body) if c.cell_type == "markdown" and re.search(r"\$|\{math\}", c.source)), len(body))
    picture = next((i for i, c in enumerate(body) if is_figure(c)), len(body))
    if picture >= formula:
        bad.append("a formula comes before the first picture")
    if at["core"] < 2:
        bad.append("between the question and the core there is no derivation")
    if not any(c.source.startswith("# core: ") for c in parts[at["core"]][1] if c.cell_type == "code"):
        bad.append("no core cell in the section 'core'")
    if not any(is_figure(c) for _, s in parts[at["core"] : at["what goes wrong"]] for c in s):
        bad.append("nothing is seen to work between the core and 'what goes wrong'")
    touch = [html_of(o) for c in parts[at["touch it"]][1] if c.cell_type == "code" for o in c.get("outputs", [])]
    if not any(re.search(r'type="range"|class="gensr-paint"', out) for out in touch):
        bad.append("'touch it' has no view of gensr.widgets")
    if not any(c.cell_type == "code" for c in parts[at["what goes wrong"]][1]):
        bad.append("'what goes wrong' provokes nothing: no code")
    verdicts = [c for c in parts[at["claims"]][1] if c.cell_type == "code" and "nbval-check-output" in c.metadata.get("tags", [])]
    if not any("hold" in text_of(o) for c in verdicts for o in c.get("outputs", [])):
        bad.append("'claims' has no table of verdicts in a cell tagged nbval-check-output")
    return bad


def card_complaints(cells) -> list[str]:
    """The title, one paragraph of promise, and the card."""
    text = cells[0].source
    quote = "\n".join(re.findall(r"^>.*$", text, re.M))
    bad = [f"the card lacks **{word}**" for word in CARD if f"**{word}**" not in quote]
    if not re.match(r"# .+\n\n(> )?[^#>*\n].+", text):
        bad.append("the chapter does not open with a title and a promise")
    return bad


def heading_complaints(cells) -> list[str]:
    """One title, no level left out, no heading twice."""
    found, bad = headings(cells), []
    if [h.level for h in found].count(1) != 1 or found[0].level != 1:
        bad.append("expected one heading of level 1, the title")
    bad += [f"{b.text!r}: level {b.level} after level {a.level}" for a, b in pairwise(found) if b.level > a.level + 1]
    return bad + [f"the heading {t!r} stands twice" for t in {h.text for h in found if [g.text for g in found].count(h.text) > 1}]


def cell_complaints(cells) -> list[str]:
    code = [c for c in cells if c.cell_type == "code"]
    bad = [f"a cell of {n} lines; at most {LINES}: {c.source[:60]!r}" for c in code if (n := len(c.source.strip().split("\n"))) > LINES]
    lines = [line for c in code if "display_quiz(" not in c.source for line in c.source.split("\n")]
    bad += [f"a line of {len(line)} columns; at most {COLUMNS}: {line.strip()[:60]!r}" for line in lines if len(line) > COLUMNS]
    first = next((c.source for c in code if "gensr-install" not in c.metadata.get("tags", [])), "")
    if "import" not in first or first.count("torch.manual_seed(0)") != 1:
        bad.append("the first cell must import, and set torch.manual_seed(0)")
    return bad


def quizzes(cells) -> list[list[dict]]:
    """The questions given to jupyterquiz, found by running those cells alone."""
    asked: list[list[dict]] = []
    for c in cells:
        if c.cell_type == "code" and "display_quiz(" in c.source:
            with mock.patch("jupyterquiz.display_quiz", lambda questions, *_, **__: asked.append(questions)):
                exec(compile(c.source, "<quiz>", "exec"), {"display_quiz": lambda questions, *_, **__: asked.append(questions)})
    return asked


def quiz_complaints(questions: list[dict]) -> list[str]:
    bad = [] if 3 <= len(questions) <= 5 else [f"a quiz of {len(questions)} questions; expected 3 to 5"]
    for q in questions:
        answers, name = q["answers"], q["question"][:40]
        right = [a for a in answers if a.get("correct")]
        wrong = [a for a in answers if not a.get("correct")]
        if not right or (q["type"] == "multiple_choice" and len(right) != 1):
            bad.append(f"{name!r}: {len(right)} right answers")
        if not wrong:
            bad.append(f"{name!r}: no wrong answer")
        silent = [a.get("answer", a.get("type")) for a in wrong if len(a.get("feedback", "").strip()) < 20]
        bad += [f"{name!r}: the wrong answer {a!r} does not explain itself" for a in silent]
        spoken = [a["feedback"] for a in wrong if a.get("feedback")]
        if len(set(spoken)) < len(spoken):
            bad.append(f"{name!r}: two wrong answers give the same explanation")
    return bad


def output_complaints(nb) -> list[str]:
    """Warnings, tracebacks, cells that were not run."""
    bad = []
    for i, c in enumerate(nb.cells):
        if c.cell_type != "code":
            continue
        if c.execution_count is None:
            bad.append(f"cell {i} was not executed")
        for o in c.outputs:
            if o.output_type == "error" and "raises-exception" not in c.metadata.get("tags", []):
                bad.append(f"cell {i} ends in {o.ename}")
            if o.get("name") == "stderr" or re.search(r"\bTraceback \(|\w*Warning\b:", text_of(o)):
                bad.append(f"cell {i} prints a warning or an error: {text_of(o)[:120]!r}")
    return bad


def citations(text: str) -> list[str]:
    return [key.strip() for m in re.finditer(r"\{cite(?::\w+)?\}`([^`]+)`", text) for key in m[1].split(",")]


def bibliography() -> list[str]:
    return re.findall(r"^@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text(encoding="utf-8"), re.M)


def link_complaints(text: str) -> list[str]:
    """Links into the book or the repository that lead nowhere."""
    repository = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))["repository"]
    home = f"{repository['url']}/(?:blob|tree)/{repository['branch']}/"
    bad = []
    for target in re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", text):
        path = target.split("#")[0]
        if m := re.match(home, path):
            places = [ROOT / path[m.end() :]]
        elif not path or re.match(r"[a-z]+:", path):
            continue
        else:
            base = (CHAPTERS / path).resolve()
            places = [base, base.with_name(base.name + ".md"), base.with_suffix(".md")]
        if not any(p.exists() for p in places):
            bad.append(f"the link {target} leads nowhere")
    return bad


@pytest.mark.parametrize("slug", SLUGS)
def test_parts_in_order(slug):
    bad = structure(twin(slug).cells) + card_complaints(source(slug)) + heading_complaints(source(slug))
    assert not bad, "\n".join(["", *bad])


@pytest.mark.parametrize("slug", SLUGS)
def test_cells_are_short(slug):
    bad = cell_complaints(source(slug))
    assert not bad, "\n".join(["", *bad])


@pytest.mark.parametrize("slug", SLUGS)
def test_quiz_explains_itself(slug):
    asked = quizzes(source(slug))
    assert len(asked) == 1, f"expected one quiz, found {len(asked)}"
    bad = quiz_complaints(asked[0])
    assert not bad, "\n".join(["", *bad])


@pytest.mark.parametrize("slug", SLUGS)
def test_outputs_are_clean(slug):
    bad = output_complaints(twin(slug))
    assert not bad, "\n".join(["", *bad])


@pytest.mark.parametrize("slug", SLUGS)
def test_the_chapter_keeps_to_its_minute(slug):
    seconds = twin(slug).metadata["gensr"]["seconds"]
    assert 0 < seconds <= SECONDS, f"{slug} took {seconds} s when it was last executed; at most {SECONDS}"


@pytest.mark.parametrize("slug", SLUGS)
def test_citations_and_links(slug):
    text = prose(source(slug))
    assert citations(text), "a chapter cites its papers"
    missing = sorted(set(citations(text)) - set(bibliography()))
    assert not missing, f"not in book/references.bib: {missing}"
    bad = link_complaints(text)
    assert f"exercises/{slug}/{slug}.ipynb" in text, "no link to the exercise notebook"
    assert not bad, "\n".join(["", *bad])


def test_every_chapter_is_in_the_contents():
    contents = (BOOK / "_toc.yml").read_text(encoding="utf-8")
    assert SLUGS, "the book has no chapter"
    assert [s for s in SLUGS if f"chapters/{s}\n" not in contents] == []


def test_bibliography_keys():
    keys = bibliography()
    assert len(keys) == len(set(keys)), f"twice in references.bib: {sorted(k for k in keys if keys.count(k) > 1)}"
    assert [k for k in keys if not re.fullmatch(r"[a-z]+\d{4}[a-z0-9]+", k)] == [], "keys are author, year, first word: sonderby2017amortised"


# ---- the tests, tested -------------------------------------------------------------------------------------------------------------

HEAD = "---\njupytext:\n  text_representation: {extension: .md, format_name: myst}\nkernelspec: {display_name: P, language: python, name: python3}\n---\n"
CHAPTER = """
# A coin

You will know when not to bet.

> **You will be able to** bet. **Needs** $p$. **Read** 1 min · **Run** {{ run_seconds }} s. **Papers** {cite}`laplace1774memoir`

## Three heads in a row

```{code-cell} ipython3
import torch
torch.manual_seed(0)
picture()
```

## The idea in two steps

$p = 1/2$

## The core

```{code-cell} ipython3
# core: gensr.coin
def f(): pass
```

## See it work

```{code-cell} ipython3
picture()
```

## Touch it

```{code-cell} ipython3
slider()
```

## What goes wrong

```{code-cell} ipython3
x = 1
```

## Claims

```{code-cell} ipython3
:tags: [nbval-check-output]
table()
```

## Check yourself

## Exercises

## Going further

## References
"""


def executed(text: str):
    """The cells of a chapter with the outputs that its toy functions stand for."""
    cells = jupytext.reads(HEAD + text, fmt="md:myst").cells
    shown = {"picture()": {"image/png": "AAAA"}, "slider()": {"text/html": '<input type="range">'}, "table()": {"text/plain": "holds · 1"}}
    for c in cells:
        if c.cell_type == "code":
            c.outputs = [nbformat.v4.new_output("display_data", data=data) for call, data in shown.items() if call in c.source]
    return cells


def all_complaints(text: str) -> list[str]:
    cells = executed(text)
    return structure(cells) + card_complaints(cells) + heading_complaints(cells) + cell_complaints(cells)


def test_a_good_chapter_passes():
    assert all_complaints(CHAPTER) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("## Claims", "## Results", "no section 'claims'"),
        ("## Exercises\n\n## Going further", "## Going further\n\n## Exercises", "out of order"),
        ("## Three heads in a row", "## Three heads in a row\n\n$p^3$", "a formula comes before"),
        ("## The idea in two steps\n\n$p = 1/2$\n", "", "no derivation"),
        ("# core: gensr.coin", "# the core", "no core cell"),
        ("## See it work\n\n```{code-cell} ipython3\npicture()\n```\n", "", "nothing is seen to work"),
        ("slider()", "print()", "no view"),
        (":tags: [nbval-check-output]\n", "", "no table of verdicts"),
        ("**Needs**", "Needs", "lacks **Needs**"),
        ("You will know when not to bet.\n\n", "", "a title and a promise"),
        ("## See it work", "#### See it work", "level 4 after level 2"),
        ("## See it work", "# See it work", "one heading of level 1"),
        ("## See it work", "## Touch it", "stands twice"),
        ("torch.manual_seed(0)", "pass", "torch.manual_seed"),
        ("x = 1", "x = 1\n" * 31, "a cell of 31 lines"),
    ],
)
def test_a_bad_chapter_is_found(old, new, said):
    assert old in CHAPTER
    found = all_complaints(CHAPTER.replace(old, new))
    assert any(said in line for line in found), found


def question(**change):
    answers = [{"answer": "a", "correct": True, "feedback": "Yes."}, {"answer": "b", "correct": False, "feedback": "No: that is the probability of tails."}]
    return {"question": "Which?", "type": "multiple_choice", "answers": answers, **change}


def test_quiz_lint():
    cell = nbformat.v4.new_code_cell("from jupyterquiz import display_quiz\nq = {'question': 'Which?'}\ndisplay_quiz([q, q, q], colors='fdsp')")
    assert quizzes([cell]) == [[{"question": "Which?"}] * 3]
    assert quiz_complaints([question()] * 3) == []
    silent = [{"answer": "a", "correct": True}, {"answer": "b", "correct": False, "feedback": "No."}]
    assert "does not explain" in quiz_complaints([question(answers=silent)] * 3)[0]
    assert "2 questions" in quiz_complaints([question()] * 2)[0]
    assert "0 right" in quiz_complaints([question(answers=[a for a in question()["answers"] if not a["correct"]])] * 3)[0]
    assert "same explanation" in quiz_complaints([question(answers=[*question()["answers"], question()["answers"][1]])] * 3)[0]


@pytest.mark.parametrize(
    "output",
    [
        nbformat.v4.new_output("stream", name="stderr", text="100 %"),
        nbformat.v4.new_output("stream", text="UserWarning: careful"),
        nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[]),
    ],
)
def test_unclean_outputs_are_found(output):
    cell = nbformat.v4.new_code_cell("x", outputs=[output], execution_count=1)
    assert output_complaints(nbformat.v4.new_notebook(cells=[cell]))
    assert not output_complaints(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", execution_count=1)]))
    assert output_complaints(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x")])) == ["cell 0 was not executed"]


def test_links_and_citations_lint():
    home = "https://github.com/gensr/gensr/blob/main/"
    assert link_complaints(f"[a](../references) [b]({home}README.md) [c](https://example.org) [d](#here) [e](../references.md#x)") == []
    assert len(link_complaints(f"[a](../nowhere) [b]({home}nowhere.py)")) == 2
    text = prose([nbformat.v4.new_markdown_cell("{cite}`a2000b,c2001d` `code {cite}` and {cite}`e2002f` `x`")])
    assert citations(text) == ["a2000b", "c2001d", "e2002f"]
    assert citations("{cite}`a2000b, c2001d` and {cite:t}`e2002f`") == ["a2000b", "c2001d", "e2002f"]
