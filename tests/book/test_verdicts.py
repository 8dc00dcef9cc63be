"""A verdict that changes fails the build; decimals that differ between processors do not."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
CELL = "from gensr.claims import claim, table\ntable(claim('A', {value}, at_least=0.5, unit='dB'))"
STORED = {
    "the same": ("0.61", "| A | 0.61 dB (exact) | ≥ 0.5 | **holds** |", 0),
    "other decimals": ("0.612", "| A | 0.61 dB (exact) | ≥ 0.5 | **holds** |", 0),
    "another verdict": ("0.41", "| A | 0.61 dB (exact) | ≥ 0.5 | **holds** |", 1),
    "another claim": ("0.61", "| B | 0.61 dB (exact) | ≥ 0.5 | **holds** |", 1),
}


@pytest.mark.slow
def test_verdicts_are_compared(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    command += ["--nbval-sanitize-with", str(ROOT / "tools" / "nbval_sanitize.cfg"), str(tmp_path)]
    head = "| claim | measured | bound | verdict |\n|:--|:--|:--|:--|\n"
    for name, (value, row, _) in STORED.items():
        data = {"text/plain": f"holds · 0.61 dB (exact) · {row[2]}", "text/markdown": head + row}
        output = nbformat.v4.new_output("execute_result", data, execution_count=1)
        cell = nbformat.v4.new_code_cell(CELL.format(value=value), outputs=[output], execution_count=1, metadata={"tags": ["nbval-check-output"]})
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), tmp_path / f"{name.replace(' ', '_')}.ipynb")
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout
    reports = [line for line in out.splitlines() if line.startswith("FAILED")]
    failed = {name for name in STORED if any(f"{name.replace(' ', '_')}.ipynb" in line for line in reports)}
    assert failed == {name for name, (_, _, fails) in STORED.items() if fails}, out
