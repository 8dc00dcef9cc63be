"""`gensr doctor`: a line for each thing that must be right, `ok` or `problem`, and what to do."""

import os
import platform
import re
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch

from gensr import fetch, weights
from gensr.cli.enlarge import zoo
from gensr.train import has_fast_bfloat16


def doctor() -> bool:
    """Print all checks; whether all of them are right."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", lambda: f"{platform.python_version()} on {platform.system()} {platform.machine()}"), ("packages", _packages), ("threads", _threads),
        ("bfloat16", lambda: "fast on this machine" if has_fast_bfloat16() else "not in hardware; training runs in float32"),
        ("gpu", lambda: torch.cuda.get_device_name() if torch.cuda.is_available() else "none; the course needs none"),
        ("cache", _cache), ("data", _data), ("weights", _weights),
    ]
    good = True
    for name, check in checks:
        try:
            print(f"ok       {name:<9} {check()}")
        except Exception as e:  # whatever is wrong with one part, the others are still looked at
            good = False
            print(f"problem  {name:<9} {' '.join(str(e).split()) or type(e).__name__}")
    return good


def _packages() -> str:
    names = [re.split(r"[^\w.-]", r)[0] for r in metadata.requires("gensr") or [] if "extra ==" not in r]
    missing = []
    for name in names:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        raise RuntimeError(f"missing: {', '.join(missing)}; install gensr again")
    return ", ".join(f"{n} {metadata.version(n)}" for n in ("gensr", "torch", "numpy", "pillow", "typer", "pooch", "safetensors"))


def _threads() -> str:
    return f"torch uses {torch.get_num_threads()} of {os.cpu_count()} processors (OMP_NUM_THREADS sets it)"


def _cache() -> str:
    folder = fetch.cache_folder()
    there = folder
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise RuntimeError(f"{folder}: cannot be written; set GENSR_CACHE to a folder that can")
    free = shutil.disk_usage(there).free
    if free < 100e6:
        raise RuntimeError(f"{folder}: only {free / 1e6:.0f} MB are free; set GENSR_CACHE to a folder with room")
    return f"{folder} ({'there' if folder.exists() else 'not made yet'}, {free / 1e9:.1f} GB free)"


def _data() -> str:
    folder = fetch.data_folder()
    return "GENSR_DATA is not set; only recipes and `gensr data` look there" if folder is None else f"GENSR_DATA is {folder}"


def _weights() -> str:
    found = weights.names(zoo())
    for name in found:
        weights.load(name, zoo())  # compares the SHA-256, reads the file, and fits it into the model
    where: Path | str = zoo() or "the package"
    return f"{len(found)} in {where}, every SHA-256 right{': ' if found else ''}{', '.join(found)}"
