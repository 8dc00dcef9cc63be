"""A claim: an effect in words, measured over seeds, with its interval and a verdict.

"Method A is better" means nothing until it says by how much, over what, and whether it could be luck. Every chapter ends with such a table, and the tests
re-run it: a verdict that changes fails the build.
"""

import http.client
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from scipy import stats

REPOSITORY = "https://raw.githubusercontent.com/gensr/gensr/main/book/chapters/measured"


@dataclass(frozen=True)
class Claim:
    """One measured statement: mean effect, 95 % confidence interval of the mean (equal to it for an exact claim), number of seeds, bound and verdict.

    `over` says what was repeated where it is not the seed: "people" or "regions" of a test set.
    """

    statement: str
    mean: float
    low: float
    high: float
    seeds: int
    at_least: float | None
    at_most: float | None
    unit: str = ""
    command: str = ""
    cost: str = ""
    over: str = "seeds"

    @property
    def holds(self) -> bool:
        """The whole interval lies on the claimed side of the bound."""
        above = self.at_least is None or self.low >= self.at_least
        return above and (self.at_most is None or self.high <= self.at_most)

    @property
    def verdict(self) -> str:
        return "holds" if self.holds else "does not hold"

    @property
    def bound(self) -> str:
        parts = [f"≥ {self.at_least:.4g}"] if self.at_least is not None else []
        return " and ".join(parts + ([f"≤ {self.at_most:.4g}"] if self.at_most is not None else []))

    @property
    def effect(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.seeds <= 1:
            return f"{_number(self.mean)}{unit}{'' if self.unit.startswith('of ') else ' (exact)'}"  # "4 of 5 seeds" is a count
        return f"{_number(self.mean)}{unit} [{_number(self.low)}, {_number(self.high)}] over {self.seeds} {self.over}"

    def __repr__(self) -> str:
        return f"{self.verdict} · {self.effect}"

    def save(self, path: str | os.PathLike, command: str, cost: str, name: str | None = None) -> None:
        """Store a claim that is too costly for a chapter, with the command that measured it and what that cost.

        Args:
            name: puts it under this name into a file of several claims, in place of one that is there.
        """
        fields: dict = {**self.__dict__, "command": command, "cost": cost}
        if name is not None:
            others = json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).exists() else {}
            fields = {**others, name: fields}
        Path(path).write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def claim(
    statement: str, effect: Callable[[int], float] | float, seeds: Iterable[int] | None = None, *,
    at_least: float | None = None, at_most: float | None = None, unit: str = "", confidence: float = 0.95, over: str = "seeds",
) -> Claim:
    """Measure an effect and judge it.

    Args:
        statement: what is claimed, in words.
        effect: a function of the seed, measured once for each; or a number that needs no seeds (an exact identity).
        seeds: at least 5 of them; five by default when `effect` is a function.
        at_least, at_most: the bound that the *interval* must respect, not only the mean.
        unit: printed after the number.
        confidence: of Student's t interval of the mean.
        over: what `seeds` count, if it is not the seed of a training: "people", "regions".

    Raises:
        ValueError: no bound, fewer than 5 seeds, a confidence not between 0 and 1, or an effect that is NaN.

    Reference: Student 1908.
    """
    if at_least is None and at_most is None:
        raise ValueError("at_least, at_most: a claim needs a bound; 'it is better' is not one")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    if not callable(effect):
        if seeds is not None:
            raise ValueError("seeds: given with a number; pass a function of the seed, or leave seeds out")
        values = np.array([float(effect)])
    else:
        values = np.array([float(effect(int(seed))) for seed in (range(5) if seeds is None else seeds)])
        if len(values) < 5:
            raise ValueError(f"seeds: expected at least 5, got {len(values)}")
    if np.isnan(values).any():
        raise ValueError(f"effect: NaN in {values.tolist()}")
    mean, n = float(values.mean()), len(values)
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1) * values.std(ddof=1) / math.sqrt(n)) if n > 1 else 0.0
    return Claim(statement, mean, mean - half, mean + half, n, at_least, at_most, unit, over=over)


def stored(path: str | os.PathLike, name: str | None = None) -> Claim:
    """Read a claim that a recipe measured with `Claim.save`; the verdict is judged anew from its numbers.

    Args:
        name: which, in a file of several.

    Raises:
        ValueError: not such a file, or no claim of this name in it.
    """
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
        return Claim(**(fields if name is None else fields[name]))
    except (OSError, TypeError, KeyError, json.JSONDecodeError) as e:
        raise ValueError(f"path: {path} holds no claim{f' {name!r}' if name else ''} ({type(e).__name__}: {e})") from None


def measured(name: str) -> Path:
    """The path of a file that a recipe has written for a chapter: measured/NAME in the working folder, where the repository has it.

    A notebook that was downloaded alone, as on Colab, has no such folder; then the file is fetched from the repository and put there.

    Raises:
        ValueError: `name` is not a plain file name, or the file is not there and cannot be fetched; nothing half-written is left.
    """
    if not name or Path(name).name != name:
        raise ValueError(f"name: expected the name of a file in measured/, got {name!r}")
    path = Path("measured") / name
    if not path.exists():
        try:
            with urlopen(f"{REPOSITORY}/{name}", timeout=30) as answer:
                content = answer.read()
            path.parent.mkdir(exist_ok=True)
            part = path.with_name(f"{name}.part")
            part.write_bytes(content)
            part.replace(path)
        except (OSError, http.client.HTTPException) as e:
            raise ValueError(f"name: {path} is not here and cannot be fetched from {REPOSITORY} ({e}); run the notebook inside the repository") from None
    return path


class ClaimTable:
    """Claims shown as one table: Markdown in a notebook, plain lines elsewhere."""

    def __init__(self, *claims: Claim):
        self.claims = claims

    def __repr__(self) -> str:
        return "\n".join(f"{c.verdict} · {c.effect} · {c.statement}" for c in self.claims)

    def _repr_markdown_(self) -> str:
        rows = ["| claim | measured | bound | verdict |", "|:--|:--|:--|:--|"]
        sources: list[str] = []  # each is told once, below the table
        for c in self.claims:
            source = f"measured by `{c.command}`, {c.cost}"
            if c.command and source not in sources:
                sources.append(source)
            mark = f" ({sources.index(source) + 1})" if c.command else ""
            statement = c.statement.replace("|", "\\|")  # |x| would end a cell of the table
            rows.append(f"| {statement}{mark} | {c.effect} | {c.bound} | **{c.verdict}** |")
        notes = [f"({i}) {source}" for i, source in enumerate(sources, 1)]
        return "\n".join([*rows, "", " · ".join(notes)] if notes else rows)


def table(*claims: Claim) -> ClaimTable:
    """All claims of a chapter, one row each."""
    return ClaimTable(*claims)


def _number(v: float) -> str:
    return f"{v:.3g}" if abs(v) < 100 else f"{v:.1f}"
