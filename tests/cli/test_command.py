"""The installed program: help, the main roads, what it does when stopped, and `gensr data`."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image

from gensr import fetch
from gensr.data import sets
from tests.cli.conftest import PROGRAM, check_refusal, program
from tests.cli.pictures import BAD, photo

COMMANDS = [[], ["upscale"], ["compare"], ["evaluate"], ["data"], ["data", "list"], ["data", "get"], ["data", "verify"], ["weights"], ["weights", "list"],
            ["weights", "show"], ["doctor"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_examples(command, gensr):
    ran = gensr(*command, "--help")
    assert ran.code == 0 and not ran.err and f"Usage: gensr {' '.join(command)}".strip() in ran.out
    if command not in ([], ["data"], ["weights"]):
        assert "Example" in ran.out and f"\n    gensr {' '.join(command)}" in ran.out


@pytest.mark.parametrize("command", [[], ["data"], ["weights"]], ids=" ".join)
def test_a_bare_group_shows_its_help(command, gensr):
    ran = gensr(*command)
    assert ran.code == 2 and not ran.out and "error" not in ran.err
    assert ran.err.startswith(f"Usage: gensr {' '.join(command)}".strip()) and "\nCommands:\n" in ran.err


@pytest.mark.parametrize(
    "arguments", [["--faster"], ["fly"], ["data", "fly"], ["weights", "show"], ["upscale"], ["evaluate", "edsr_x4"], ["data", "get", "set6"]]
)
def test_a_wrong_call_is_refused(arguments, gensr, zoo):
    check_refusal(gensr(*arguments))


def test_a_name_with_a_line_break_is_refused_in_one_line(gensr, zoo, tmp_path):
    check_refusal(gensr("upscale", tmp_path / "no\nsuch.png"), "no such.png: no such file")


@pytest.mark.slow
def test_the_program(zoo, tmp_path):
    """One run each of the main roads, as a user would type them."""
    Image.fromarray(photo(30, 40)).save(tmp_path / "photo.jpg")
    ran = program("upscale", "photo.jpg", "-o", "big.png", "--method", "edsr", "--scale", 4, cwd=tmp_path)
    assert ran.code == 0 and ran.out.startswith("big.png: 160x120 pixels, edsr ×4") and not ran.err, ran
    check_refusal(program("upscale", "photo.jpg", "-o", "big.png", cwd=tmp_path), "--force")
    ran = program("compare", "photo.jpg", "-o", "compare.html", cwd=tmp_path)
    assert ran.code == 0 and (tmp_path / "compare.html").stat().st_size > 10_000 and not ran.err, ran
    ran = program("doctor", cwd=tmp_path)
    assert ran.code == 0 and not ran.err, ran
    assert program("--version").out.startswith("gensr 0.")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big.png", "compare.html", "photo.jpg"]


@pytest.mark.parametrize("kind", ["text", "truncated JPEG", "bomb", "NaN"])
def test_the_program_refuses_bad_pictures(kind, zoo, tmp_path):
    (tmp_path / "in").mkdir()
    path = BAD[kind].make(tmp_path / "in")
    check_refusal(program("upscale", path, "-o", tmp_path / "out.png"), BAD[kind].says)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_the_program_refuses_a_bad_weight(own_zoo, tmp_path):
    Image.fromarray(photo(30, 40)).save(tmp_path / "photo.jpg")
    weight = own_zoo / "edsr_x4.safetensors"
    weight.write_bytes(weight.read_bytes()[:500])
    check_refusal(program("upscale", tmp_path / "photo.jpg"), "truncated")
    assert [p.name for p in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_file_system_that_really_refuses(zoo, tmp_path):
    """The system allows this process files of 20 kB; the picture has more, so that it stops in the middle of writing."""
    import resource

    Image.fromarray(photo(200, 200)).save(tmp_path / "photo.png")
    ran = program(
        "upscale", tmp_path / "photo.png", "-m", "bicubic", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    )
    check_refusal(ran, "photo_x4.png: cannot write")
    assert [p.name for p in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals and signals")
def test_progress_on_a_terminal_and_ctrl_c(zoo, tmp_path):
    """On a terminal a bar moves; Ctrl-C while it does ends in code 130, one word, and no file."""
    import fcntl
    import pty
    import struct
    import termios

    Image.fromarray(photo(400, 400)).save(tmp_path / "photo.png")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    running = subprocess.Popen(
        [PROGRAM, "upscale", tmp_path / "photo.png", "--tile", "8"], stderr=slave, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    os.close(slave)
    seen = bytearray()

    def read() -> None:
        while True:
            try:
                piece = os.read(master, 1000)
            except OSError:  # the terminal's other end was closed
                return
            if not piece:
                return
            seen.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    until = time.monotonic() + 90
    while b"/2500" not in seen and time.monotonic() < until and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=60)
    reader.join(timeout=10)
    os.close(master)
    text = seen.decode(errors="replace")
    assert "edsr ×4" in text and "/2500" in text, text
    assert running.returncode == 130 and not out and "Traceback" not in text and "interrupted" in text, text
    assert [p.name for p in tmp_path.iterdir()] == ["photo.png"]


def test_a_reader_that_leaves_early(zoo):
    """`gensr data list | head -1`: no traceback when the pipe is closed."""
    with subprocess.Popen([PROGRAM, "data", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(timeout=60) == 1


def test_data_list_and_verify(gensr, zoo, tmp_path, monkeypatch):
    ran = gensr("data", "list")
    assert ran.code == 0 and all(name in ran.out for name in sets.SETS) and ran.out.count("licence") == len(sets.SETS) and "gensr data get set5" in ran.out
    ran = gensr("data", "verify", "set5")
    assert ran.code == 0 and "set5        not in" in ran.out and not ran.err
    path = fetch.cache_folder() / sets.files("set5")[0].path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"tampered")
    ran = gensr("data", "verify")
    assert ran.code == 2 and "0 of 5 right, 1 DAMAGED" in ran.out and ran.err.count("\n") == 1 and str(path) in ran.err, ran
    assert path.read_bytes() == b"tampered"  # verify changes nothing
    check_refusal(gensr("data", "verify", "set6"), "did you mean 'set5'")


def test_data_get_refuses_a_damaged_file(gensr, zoo):
    path = fetch.cache_folder() / sets.files("set5")[0].path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"tampered")
    check_refusal(gensr("data", "get", "set5"), "damaged", "baby.png.corrupt")
    assert [p.name for p in path.parent.iterdir()] == ["baby.png.corrupt"]
    check_refusal(gensr("data", "get", "t91"), "cannot be downloaded", "GENSR_DATA")


@pytest.mark.data
def test_data_get_from_the_data_folder(gensr, zoo, data_folder, monkeypatch):
    monkeypatch.setenv("GENSR_DATA", str(data_folder))
    ran = gensr("data", "get", "set5")
    assert ran.code == 0 and f"5 files, every SHA-256 right, in {data_folder / 'sr' / 'set5' / 'hr'}" in ran.out and not ran.err
    assert "GENSR_DATA 5 of 5" in gensr("data", "list").out


def test_data_get_without_a_network(gensr, zoo, monkeypatch):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{s.getsockname()[1]}"
    monkeypatch.setitem(sets.SETS, "set5", sets.SETS["set5"]._replace(url=address))
    check_refusal(gensr("data", "get", "set5"), "no connection", "baby.png", "GENSR_DATA")
    assert not [p for p in fetch.cache_folder().rglob("*") if p.is_file()]


def test_a_data_folder_that_is_none(gensr, zoo, monkeypatch, tmp_path):
    monkeypatch.setenv("GENSR_DATA", str(tmp_path / "none"))
    for command in (["data", "list"], ["data", "get", "set5"], ["data", "verify"]):
        check_refusal(gensr(*command), "GENSR_DATA", "is not a folder")
