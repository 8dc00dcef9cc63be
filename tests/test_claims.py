"""Claims: the interval is Student's, the verdict needs the whole interval, and bad claims are refused."""

import math

import numpy as np
import pytest
from scipy import stats

from gensr import claims
from gensr.claims import claim, measured, stored, table


def test_interval_is_students_t():
    values = [1.0, 2.0, 4.0, 3.0, 2.5]
    c = claim("x", lambda seed: values[seed], range(5), at_least=0)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (c.low, c.high) == pytest.approx((low, high)) and c.seeds == 5


def test_coverage_of_the_interval():
    """About 95 % of intervals hold the true mean: 400 repetitions, so ± 4 standard errors is ± 4.4 %."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        values = rng.normal(size=6)
        c = claim("x", lambda seed, v=values: v[seed], range(6), at_least=-math.inf)
        hits += c.low <= 0 <= c.high
    assert abs(hits / 400 - 0.95) < 0.044


def test_verdict_needs_the_whole_interval():
    def effect(seed):
        return [0.0, 1.0, 2.0, 3.0, 4.0][seed]

    assert not claim("mean 2 but wide", effect, at_least=1.0).holds
    assert claim("mean 2", effect, at_least=0.0).holds
    assert claim("mean 2", effect, at_most=4.0).holds
    assert not claim("mean 2", effect, at_most=3.0).holds
    assert not claim("both", effect, at_least=0.0, at_most=3.0).holds


def test_exact_claim_and_words():
    c = claim("identity", 1e-7, at_most=1e-5)
    assert c.holds and repr(c) == "holds · 1e-07 (exact)"
    assert repr(claim("identity", 1.0, at_most=0.5, unit="dB")) == "does not hold · 1 dB (exact)"


def test_table_shows_every_claim_with_its_verdict():
    t = table(claim("A", 1.0, at_least=0.5), claim("B", 1.0, at_least=2))
    assert t._repr_markdown_().count("\n") == 3
    assert "| A | 1 (exact) | ≥ 0.5 | **holds** |" in t._repr_markdown_() and "**does not hold**" in t._repr_markdown_()
    assert repr(t).splitlines()[1].startswith("does not hold")


def test_stored_claim_comes_back_and_is_judged_anew(tmp_path):
    c = claim("A", lambda s: 1.0 + s / 10, at_least=0.5, unit="dB")
    c.save(tmp_path / "a.json", command="python recipes/a.py", cost="20 min on one core")
    d = stored(tmp_path / "a.json")
    assert (d.mean, d.low, d.holds, d.command) == (c.mean, c.low, True, "python recipes/a.py")
    assert "20 min on one core" in table(d)._repr_markdown_()
    (tmp_path / "a.json").write_text((tmp_path / "a.json").read_text().replace('"at_least": 0.5', '"at_least": 9'))
    assert not stored(tmp_path / "a.json").holds
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ValueError, match="b.json holds no claim"):
        stored(tmp_path / "b.json")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"effect": 1.0}, "at_least, at_most"),
        ({"effect": lambda s: 1.0, "seeds": range(3), "at_least": 0}, "seeds: expected at least 5, got 3"),
        ({"effect": lambda s: float("nan"), "at_least": 0}, "effect: NaN"),
        ({"effect": float("nan"), "at_least": 0}, "effect: NaN"),
        ({"effect": 1.0, "seeds": range(5), "at_least": 0}, "seeds: given with a number"),
        ({"effect": float, "at_least": 0, "confidence": 95}, "confidence: expected a number between 0 and 1, got 95"),
    ],
)
def test_bad_claims(arguments, message):
    with pytest.raises(ValueError, match=message):
        claim("x", **arguments)


def test_a_source_shared_by_several_claims_is_told_once(tmp_path):
    for name in ("a", "b"):
        claim(f"|{name}| is small", 0.1, at_most=1).save(tmp_path / "claims.json", "python recipes/x.py", "2 min", name)
    text = table(*(stored(tmp_path / "claims.json", n) for n in "ab"), claim("live", 0.1, at_most=1))._repr_markdown_()
    assert text.count("python recipes/x.py") == 1
    assert "| \\|a\\| is small (1) |" in text
    assert "| live |" in text
    assert text.endswith("\n\n(1) measured by `python recipes/x.py`, 2 min")


def test_a_file_of_several_claims(tmp_path):
    path = tmp_path / "claims.json"
    for value in (1.0, 2.0):  # the second measurement takes the place of the first
        claim("a", value, at_most=1).save(path, "python recipes/x.py", "2 min", "first")
    claim("b", 0.5, at_most=1).save(path, "python recipes/x.py", "2 min", "second")
    assert not stored(path, "first").holds
    assert stored(path, "second").holds
    with pytest.raises(ValueError, match="holds no claim 'third'"):
        stored(path, "third")


def test_a_count_is_not_called_exact():
    assert claim("order", 3, at_least=4, unit="of 5 seeds").effect == "3 of 5 seeds"


def test_what_was_repeated_need_not_be_the_seed(tmp_path):
    found = claim("people differ", lambda i: 1.0 + i, range(5), at_least=0.0, over="people")
    assert "over 5 people" in repr(found)
    found.save(tmp_path / "c.json", "cmd", "cost", "people")
    assert stored(tmp_path / "c.json", "people").over == "people"
    assert "over 5 seeds" in repr(claim("x", lambda i: 1.0 + i, at_least=0.0))


def test_measured_file_beside_the_notebook_or_from_the_repository(tmp_path, monkeypatch):
    """A notebook that was downloaded alone fetches what a recipe measured, once; what is there is used as it is."""
    there, here = tmp_path / "repository", tmp_path / "lone"
    there.mkdir(), here.mkdir()
    (there / "a.json").write_text("[1]")
    monkeypatch.setattr(claims, "REPOSITORY", there.as_uri())
    monkeypatch.chdir(here)
    assert measured("a.json").read_text() == "[1]"
    (there / "a.json").write_text("[2]")
    assert measured("a.json").read_text() == "[1]", "a file that is there was fetched again"
    with pytest.raises(ValueError, match="name: .*b.json is not here and cannot be fetched"):
        measured("b.json")
    assert [p.name for p in (here / "measured").iterdir()] == ["a.json"], "something half-written was left"
    for bad in ("../a.json", "/etc/passwd", ""):
        with pytest.raises(ValueError, match="name: expected the name of a file"):
            measured(bad)
