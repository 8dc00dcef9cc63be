"""Run in a chapter's kernel before its first cell: the stored results and weights that the chapter opens are noted in the file that GENSR_READS names."""

import os
import sys
from typing import Any


def note(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or isinstance(arguments[0], int) or "GENSR_READS" not in os.environ:
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))
    folder = os.path.basename(os.path.dirname(path))
    # manifest.toml tells of every weight: it changes with each
    if folder in ("measured", "zoo") and not path.endswith(".toml") and str(arguments[1]).startswith("r"):
        with open(os.environ["GENSR_READS"], "a", encoding="utf-8") as f:
            f.write(path + "\n")


sys.addaudithook(note)
