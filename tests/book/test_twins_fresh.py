"""The executed twins are what their sources say; `python tools/notebooks.py` mends it where they are not."""

import subprocess
import sys

from tests.book.reader import CHAPTERS, ROOT, SLUGS


def test_twins_are_fresh():
    done = subprocess.run([sys.executable, "tools/notebooks.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_twin_has_its_source():
    assert {p.stem for p in CHAPTERS.glob("*.ipynb")} <= set(SLUGS)
