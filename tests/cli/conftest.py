"""A small zoo of untrained weights in a temporary folder, and two ways to run the command: in this process, and as the installed program."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gensr.cli import main
from gensr.superres.edsr import EDSR
from gensr.superres.srcnn import SRCNN

PROGRAM = Path(sys.executable).with_name("gensr.exe" if os.name == "nt" else "gensr")


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def write_zoo(folder: Path) -> Path:
    """Untrained networks, small to be quick, with cards as the recipes write them."""
    small = {"channels": 6, "blocks": 2}
    nets: dict[str, tuple[nn.Module, dict]] = {
        "edsr_x2": (EDSR(2, **small), {"scale": 2, **small}), "edsr_x4": (EDSR(4, **small), {"scale": 4, **small}),
        "srcnn_x4": (SRCNN(4), {"scale": 4}),
    }
    lines = []
    for name, (net, arguments) in nets.items():
        path = folder / f"{name}.safetensors"
        save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, path)
        cls = type(net)
        lines += [
            f"[{name}]", f'model = "{cls.__module__}.{cls.__name__}"', f"arguments = {{ {', '.join(f'{k} = {v}' for k, v in arguments.items())} }}",
            f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"', f"bytes = {path.stat().st_size}",
            f"parameters = {sum(p.numel() for p in net.parameters())}", 'data = "none: untrained"',
            f"measured = {{ psnr = {11.5 if 'srcnn' in name else 12.5} }}", "curve = [[1, 9.5], [2, 12.5]]", "",
        ]
    (folder / "manifest.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def shared_zoo(tmp_path_factory) -> Path:
    state = torch.get_rng_state()
    torch.manual_seed(0)
    folder = write_zoo(tmp_path_factory.mktemp("zoo"))
    torch.set_rng_state(state)
    return folder


@pytest.fixture
def zoo(shared_zoo, monkeypatch) -> Path:
    """The commands of this test see the small zoo. Do not change it: `own_zoo` is for that."""
    monkeypatch.setenv("GENSR_ZOO", str(shared_zoo))
    return shared_zoo


@pytest.fixture
def own_zoo(tmp_path_factory, monkeypatch) -> Path:
    folder = write_zoo(tmp_path_factory.mktemp("own_zoo"))
    monkeypatch.setenv("GENSR_ZOO", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path_factory):
    """No test of the command line reads the user's folders."""
    monkeypatch.delenv("GENSR_DATA", raising=False)
    monkeypatch.setenv("GENSR_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def gensr(capfd):
    """Run a command in this process: `gensr("upscale", path)`; what it prints, and what C libraries print, is kept."""

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        return Ran(code, *capfd.readouterr())

    return run


def program(*arguments: object, **options) -> Ran:
    """Run the installed `gensr`, which must stand beside the interpreter."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([str(PROGRAM), *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", env=environment, timeout=120, **options)
    return Ran(done.returncode, done.stdout, done.stderr)


def check_refusal(ran: Ran, *says: str) -> None:
    """Exit code 2 and one line on stderr that begins with `error:`; nothing on stdout."""
    assert ran.code == 2, ran
    assert ran.err.startswith("error: ") and ran.err.endswith("\n") and ran.err.count("\n") == 1, ran.err
    assert "Traceback" not in ran.err and not ran.out
    for word in says:
        assert word in ran.err, ran.err
