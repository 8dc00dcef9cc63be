"""Damaged weights are refused by every command that uses them; `gensr weights` shows the cards; the doctor finds what is wrong."""

import hashlib
import json
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.cli.conftest import check_refusal
from tests.cli.pictures import photo


def _recard(zoo, change) -> None:
    """Change the weight, and make the hash on the card right again."""
    path, manifest = zoo / "edsr_x2.safetensors", zoo / "manifest.toml"
    old = path.read_bytes()
    change(path)
    new = path.read_bytes()
    text = manifest.read_text().replace(hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest())
    manifest.write_text(text.replace(f"bytes = {len(old)}", f"bytes = {len(new)}"))


def _edit(path, change) -> None:
    path.write_bytes(change(path.read_bytes()))


def _state(path, change) -> None:
    save_file({k: v.contiguous() for k, v in change(load_file(path)).items()}, path)


def _flip(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


HEADER = json.dumps({"head.weight": {"dtype": "F16", "shape": [10**9], "data_offsets": [0, 2 * 10**9]}}).encode()
BAD = {
    "missing": (lambda z: (z / "edsr_x2.safetensors").unlink(), "no such file"),
    "empty": (lambda z: _edit(z / "edsr_x2.safetensors", lambda c: b""), "edsr_x2.safetensors"),
    "truncated": (lambda z: _edit(z / "edsr_x2.safetensors", lambda c: c[: len(c) // 2]), "truncated"),
    "tampered": (lambda z: _edit(z / "edsr_x2.safetensors", _flip), "SHA-256"),
    "wrong hash on the card": (lambda z: _edit(z / "manifest.toml", lambda c: c.replace(b'sha256 = "', b'sha256 = "0', 1)), "SHA-256"),
    "a pickle": (lambda z: _recard(z, lambda p: torch.save({"head.weight": torch.zeros(3)}, p)), "not a safetensors file"),
    "a header that lies": (lambda z: _recard(z, lambda p: p.write_bytes(struct.pack("<Q", len(HEADER)) + HEADER)), "not a safetensors file"),
    "wrong shapes": (lambda z: _recard(z, lambda p: _state(p, lambda s: {k: v.flatten() for k, v in s.items()})), "does not fit"),
    "a layer missing": (lambda z: _recard(z, lambda p: _state(p, lambda s: {k: v for k, v in s.items() if k != "head.bias"})), "does not fit"),
    "a layer too many": (lambda z: _recard(z, lambda p: _state(p, lambda s: {**s, "extra": torch.zeros(2)})), "does not fit"),
    "no manifest": (lambda z: (z / "manifest.toml").unlink(), "manifest.toml: no such file"),
    "manifest not TOML": (lambda z: (z / "manifest.toml").write_text("edsr = [unclosed"), "is not TOML"),
    "manifest of bytes": (lambda z: (z / "manifest.toml").write_bytes(b"\xff\xfe\0"), "is not TOML"),
    "card without a hash": (lambda z: _edit(z / "manifest.toml", lambda c: c.replace(b"sha256", b"sha1")), "sha256"),
    "card of foreign code": (lambda z: _edit(z / "manifest.toml", lambda c: c.replace(b"gensr.superres.edsr.EDSR", b"os.system")), "no model of gensr"),
    "card with wrong arguments": (lambda z: _edit(z / "manifest.toml", lambda c: c.replace(b"blocks = 2", b"bricks = 2")), "arguments"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", ["upscale", "compare", "evaluate"])
def test_a_bad_weight_is_refused(kind, command, gensr, own_zoo, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(photo(40, 40)).save(tmp_path / "in" / "photo.png")
    damage, says = BAD[kind]
    damage(own_zoo)
    ran = {
        "upscale": lambda: gensr("upscale", tmp_path / "in" / "photo.png", "-o", tmp_path / "out.png", "-s", 2),
        "compare": lambda: gensr("compare", tmp_path / "in" / "photo.png", "-o", tmp_path / "out.html", "-s", 2),
        "evaluate": lambda: gensr("evaluate", "edsr_x2", tmp_path / "in", "--csv", tmp_path / "out.csv"),
    }[command]()
    check_refusal(ran, says)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("kind", BAD)
def test_the_doctor_finds_it(kind, gensr, own_zoo):
    damage, says = BAD[kind]
    damage(own_zoo)
    ran = gensr("doctor")
    problems = [line for line in ran.out.splitlines() if line.startswith("problem")]
    assert ran.code == 1 and not ran.err and len(problems) == 1 and "weights" in problems[0] and says in problems[0], ran


def test_a_healthy_installation(gensr, zoo):
    ran = gensr("doctor")
    lines = ran.out.splitlines()
    assert ran.code == 0 and not ran.err and all(line.startswith("ok ") for line in lines), ran
    assert [line.split()[1] for line in lines] == ["python", "packages", "threads", "bfloat16", "gpu", "cache", "data", "weights"]
    assert torch.__version__ in ran.out and np.__version__ in ran.out and "edsr_x2, edsr_x4, srcnn_x4" in ran.out


def test_the_doctor_finds_wrong_folders(gensr, zoo, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GENSR_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("GENSR_CACHE", str(tmp_path / "file" / "cache"))
    ran = gensr("doctor")
    assert ran.code == 1 and [line.split()[1] for line in ran.out.splitlines() if line.startswith("problem")] == ["cache", "data"], ran


def test_the_doctor_finds_a_missing_package(gensr, zoo, monkeypatch):
    from importlib import metadata

    real = metadata.version

    def version(name):
        if name == "pooch":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    ran = gensr("doctor")
    assert ran.code == 1 and "problem  packages  missing: pooch" in ran.out


def test_list_and_show(gensr, zoo):
    ran = gensr("weights", "list")
    assert ran.code == 0 and [line.split()[0] for line in ran.out.splitlines()] == ["edsr_x2", "edsr_x4", "srcnn_x4"] and "psnr 12.5" in ran.out
    ran = gensr("weights", "show", "edsr_x2")
    assert ran.code == 0 and "gensr.superres.edsr.EDSR" in ran.out and "scale 2" in ran.out and "9.5 dB at step 1 … 12.5 dB at step 2" in ran.out
    check_refusal(gensr("weights", "show", "edsr_x5"), "no weight 'edsr_x5'", "edsr_x2, edsr_x4, srcnn_x4")
    check_refusal(gensr("evaluate", "edsr", "."), "expected a weight such as edsr_x4")


def test_a_zoo_without_weights(gensr, tmp_path, monkeypatch):
    (tmp_path / "manifest.toml").write_text("")
    monkeypatch.setenv("GENSR_ZOO", str(tmp_path))
    ran = gensr("weights", "list")
    assert ran.code == 0 and "no weights yet" in ran.out
    check_refusal(gensr("weights", "show", "edsr_x4"), "none yet")
    assert gensr("doctor").code == 0
