"""The README: its program runs and prints what it says, its commands exist, its links lead somewhere, its modules can be imported."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch

from gensr.io import read_image
from tests.cli.conftest import check_refusal

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_line_program(tmp_path, monkeypatch, capsys):
    program = re.search(r"```python\n(.*?)```", README, re.S)[1]
    assert len([line for line in program.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {})
    bicubic, edsr = (float(v) for v in re.findall(r"([\d.]+) dB", capsys.readouterr().out))
    said = [float(v) for v in re.search(r"It prints ([\d.]+) dB for bicubic and ([\d.]+) dB for EDSR", README).groups()]
    assert bicubic == pytest.approx(said[0], abs=0.01)
    assert edsr == pytest.approx(said[1], abs=0.1) and edsr > bicubic + 2
    assert read_image(tmp_path / "astronaut_x4.png").shape == torch.Size([1, 3, 512, 512])


def shell_lines() -> list[str]:
    blocks = re.findall(r"```(?:shell|powershell)\n(.*?)```", README, re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("gensr ")])
def test_its_commands_are_understood(line, gensr, zoo, tmp_path, monkeypatch):
    """In an empty folder they must fail for want of a file, and for nothing else; or succeed."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)[1:]
    ran = gensr(*words)
    if words[0] in ("upscale", "compare", "evaluate"):
        check_refusal(ran, "no such f")  # file, folder
    else:
        assert ran.code == 0 and ran.out


def test_its_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    wanted = set(re.findall(r"(?:^|`|# )make ([a-z]+)", README, re.M))
    assert {"site", "test", "check", "lab"} <= wanted
    assert not wanted - targets


def test_its_commands_are_those_of_the_makefile():
    """Where the README spells out what make does, it must be what make does."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for piece in ("pip install", "-c requirements.lock -e", "[scale,export,dev]", "tools/site.py", "-m pytest -n", "jupyter lab book/chapters"):
        assert piece in README and piece in makefile


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_its_modules_are_there():
    modules = re.findall(r"\| `(gensr\.[\w.]+)` \|", README)
    assert len(modules) >= 6
    for name in modules:
        importlib.import_module(name)
