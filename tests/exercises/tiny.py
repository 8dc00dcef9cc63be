"""A course of one exercise in a temporary folder: small enough to read, with everything a real one has."""

from pathlib import Path
from textwrap import dedent

SOURCE = '''\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A coin

Three tasks about a coin whose probability of heads is theta.

```{code-cell} ipython3
import math
```

## Task 1: how probable is what you saw?

```{code-cell} ipython3
---
nbgrader: {grade: false, grade_id: log_likelihood, locked: false, schema_version: 3, solution: true, task: false}
---
def log_likelihood(heads, tosses, theta):
    """Log-probability, in nats, of one sequence of tosses."""
    ### BEGIN SOLUTION
    tails_seen = tosses - heads
    return heads * math.log(theta) + tails_seen * math.log1p(-theta)
    ### END SOLUTION
```

```{code-cell} ipython3
---
nbgrader: {grade: true, grade_id: test_log_likelihood, locked: true, points: 2, schema_version: 3, solution: false, task: false}
---
value = log_likelihood(1, 2, 0.5)
assert value < 0, "A probability is below 1, so its logarithm is negative. Look at your sign."
assert abs(value + 1) > 1e-9, "That is in bits. Nats need the natural logarithm."
assert abs(value - math.log(0.25)) < 1e-9, "One head and one tail: both must appear. Did you forget the tails?"
### BEGIN HIDDEN TESTS
assert abs(log_likelihood(3, 10, 0.2) - (3 * math.log(0.2) + 7 * math.log(0.8))) < 1e-9, "Right for the example only."
### END HIDDEN TESTS
```

## Task 2: the best guess

```{code-cell} ipython3
---
nbgrader: {grade: false, grade_id: best, locked: false, schema_version: 3, solution: true, task: false}
---
### BEGIN SOLUTION
best = max((k / 100 for k in range(1, 100)), key=lambda theta: log_likelihood(7, 10, theta))
### END SOLUTION
```

```{code-cell} ipython3
---
nbgrader: {grade: true, grade_id: test_best, locked: true, points: 3, schema_version: 3, solution: false, task: false}
---
assert best != 0.3, "That is the probability of tails."
assert best != 7, "That is the number of heads, not their share."
assert abs(best - 0.7) < 0.006, "The likelihood is highest at the share of heads."
```

## Task 3: explain

Why would you not bet on this estimate after three tosses?

+++ {"nbgrader": {"grade": true, "grade_id": "explain_best", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}}

Because the maximum of the likelihood ignores everything *known beforehand* about coins, and three tosses leave the curve wide.

Rubric: one point for the missing prior knowledge, one point for the width of the likelihood.
'''

MISCONCEPTIONS = '''\
from typing import NamedTuple


class Wrong(NamedTuple):
    name: str
    why: str
    code: str
    message: str


HEAD = "def log_likelihood(heads, tosses, theta):\\n"
WRONG = {
    "log_likelihood": [
        Wrong("sign", "the loss, which is minus the logarithm, was written instead of the logarithm itself",
              code=HEAD + "    return -(heads * math.log(theta) + (tosses - heads) * math.log(1 - theta))", message="negative"),
        Wrong("bits", "logarithm to base two",
              code=HEAD + "    return (heads * math.log(theta) + (tosses - heads) * math.log(1 - theta)) / math.log(4)", message="in bits"),
        Wrong("tails", "only heads", code=HEAD + "    return heads * math.log(theta)", message="forget the tails"),
    ],
    "best": [
        Wrong("tails", "share of tails", code="best = 0.3", message="probability of tails"),
        Wrong("count", "count of heads", code="best = 7", message="number of heads"),
        Wrong("half", "always a fair coin", code="best = 0.5", message="highest at"),
    ],
}
RIGHT = {
    "log_likelihood": [HEAD + "    return sum(math.log(theta) if toss < heads else math.log(1 - theta) for toss in range(tosses))"],
    "best": ["best = 7 / 10"],
}
'''


def make(root: Path, source: str = SOURCE, misconceptions: str = MISCONCEPTIONS, slug: str = "coin") -> Path:
    """Write a course of one exercise into `root`, with a package and a book that hold nothing of it."""
    folder = root / "solutions" / slug
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{slug}.md").write_text(source, encoding="utf-8")
    (folder / "misconceptions.py").write_text(dedent(misconceptions), encoding="utf-8")
    for path, text in {"src/coins/__init__.py": '"""A package."""\n', "book/intro.md": "# The course\n", "README.md": "# Coins\n"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root
