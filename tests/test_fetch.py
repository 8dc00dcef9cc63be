"""Downloads against a server on this machine: whole and right, or refused in one line; nothing half-written, nothing wrong handed out."""

import errno
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from gensr import fetch
from gensr.data import sets
from gensr.fetch import FetchError

CONTENT = {f"/{n}.bin": bytes([n]) * 3000 for n in range(4)}
SHA = {path: hashlib.sha256(c).hexdigest() for path, c in CONTENT.items()}


class Handler(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        kind, content = self.path.split("?")[-1], CONTENT.get(self.path.split("?")[0])
        if content is None or kind == "500":
            self.send_error(404 if content is None else 500)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if kind == "slow":
            time.sleep(3)
        self.wfile.write(b"x" * len(content) if kind == "wrong" else content[: 1000 if kind == "cut" else None])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    Handler.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        thread = threading.Thread(target=s.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{s.server_port}"
        s.shutdown()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("GENSR_DATA", raising=False)
    monkeypatch.setenv("GENSR_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):  # the server is on this machine
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def cached() -> list[str]:
    return sorted(str(p.relative_to(fetch.cache_folder())) for p in fetch.cache_folder().rglob("*") if p.is_file())


def test_a_download_is_kept_and_not_repeated(server):
    path = fetch.fetch("sets/a/1.bin", f"{server}/1.bin", SHA["/1.bin"])
    assert path == fetch.cache_folder() / "sets" / "a" / "1.bin" and path.read_bytes() == CONTENT["/1.bin"]
    assert fetch.fetch("sets/a/1.bin", f"{server}/1.bin", SHA["/1.bin"].upper()) == path
    assert Handler.asked == ["/1.bin"] and cached() == ["sets/a/1.bin"]


def test_the_data_folder_comes_first_and_is_never_written(server, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.bin").write_bytes(CONTENT["/1.bin"])
    monkeypatch.setenv("GENSR_DATA", str(tmp_path / "data"))
    assert fetch.fetch("1.bin", f"{server}/1.bin", SHA["/1.bin"]) == tmp_path / "data" / "1.bin"
    assert fetch.fetch("2.bin", f"{server}/2.bin", SHA["/2.bin"]) == tmp_path / "cache" / "2.bin"
    assert Handler.asked == ["/2.bin"] and [p.name for p in (tmp_path / "data").iterdir()] == ["1.bin"]
    (tmp_path / "data" / "1.bin").write_bytes(b"tampered")
    with pytest.raises(FetchError, match="damaged.*GENSR_DATA"):
        fetch.fetch("1.bin", f"{server}/1.bin", SHA["/1.bin"])
    assert (tmp_path / "data" / "1.bin").read_bytes() == b"tampered" and Handler.asked == ["/2.bin"]


def test_a_damaged_file_in_the_cache_is_refused_and_kept_aside(server):
    path = fetch.fetch("1.bin", f"{server}/1.bin", SHA["/1.bin"])
    path.write_bytes(b"tampered")
    with pytest.raises(FetchError, match=r"damaged.*kept as 1.bin.corrupt"):
        fetch.fetch("1.bin", f"{server}/1.bin", SHA["/1.bin"])
    assert cached() == ["1.bin.corrupt"] and path.with_name("1.bin.corrupt").read_bytes() == b"tampered"
    assert fetch.fetch("1.bin", f"{server}/1.bin", SHA["/1.bin"]).read_bytes() == CONTENT["/1.bin"]  # the next call mends it


@pytest.mark.parametrize(
    ("address", "says", "left"),
    [
        ("/1.bin?wrong", "not the expected file", ["1.bin.corrupt"]), ("/1.bin?cut", "cut off", []), ("/none.bin", "404", []), ("/1.bin?500", "500", []),
        ("/1.bin?slow", "in time", []),
    ],
)
def test_what_goes_wrong_on_the_way(address, says, left, server):
    with pytest.raises(FetchError, match=says) as refusal:
        fetch.fetch("1.bin", server + address, SHA["/1.bin"], timeout=1)
    assert "\n" not in str(refusal.value) and server in str(refusal.value)
    assert cached() == left


def test_no_server_there():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with pytest.raises(FetchError, match=r"no connection.*GENSR_DATA"):
        fetch.fetch("1.bin", f"http://127.0.0.1:{port}/1.bin", SHA["/1.bin"])
    assert cached() == []


def test_what_has_no_address(tmp_path):
    with pytest.raises(FetchError, match=r"1.bin: cannot be downloaded.*GENSR_DATA"):
        fetch.fetch("1.bin", None, SHA["/1.bin"])
    assert not (tmp_path / "cache").exists()


def test_an_address_that_is_none():
    with pytest.raises(FetchError, match="nonsense"):
        fetch.fetch("1.bin", "nonsense://1.bin", SHA["/1.bin"])
    assert cached() == []


def test_a_full_disk(server):
    def full(url, output, pooch):
        Path(output).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FetchError, match=r"cannot write \(No space left.*GENSR_CACHE"):
        fetch.fetch("1.bin", f"{server}/1.bin", SHA["/1.bin"], downloader=full)
    assert cached() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_file_system_that_really_refuses(server, tmp_path):
    """The system allows this process files of 1000 bytes; the download has 3000."""
    import resource

    script = (
        "import sys; from gensr.fetch import fetch, FetchError\n"
        "try: fetch('1.bin', sys.argv[1], sys.argv[2])\n"
        "except FetchError as e: print(e); sys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, f"{server}/1.bin", SHA["/1.bin"]], capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)), env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 7 and "cannot write" in done.stdout and done.stdout.count("\n") == 1, done
    assert cached() == []


def test_ctrl_c_leaves_nothing(server):
    def interrupted(url, output, pooch):
        Path(output).write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch.fetch("1.bin", f"{server}/1.bin", SHA["/1.bin"], downloader=interrupted)
    assert cached() == []


def test_a_cache_that_cannot_be(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GENSR_CACHE", str(tmp_path / "file"))
    with pytest.raises(FetchError, match="cannot write"):
        fetch.fetch("sets/1.bin", f"{server}/1.bin", SHA["/1.bin"])


def test_a_data_folder_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSR_DATA", str(tmp_path / "none"))
    with pytest.raises(FetchError, match="GENSR_DATA: .* is not a folder"):
        fetch.fetch("1.bin", None, SHA["/1.bin"])


@pytest.mark.parametrize("path", ["../1.bin", "/etc/passwd", "a/../../b", "a\\b", "", "a//b"])
def test_a_path_cannot_lead_out_of_the_folders(path):
    with pytest.raises(ValueError, match="path"):
        fetch.fetch(path, None, SHA["/1.bin"])


def test_nothing_touches_the_network_at_import(tmp_path):
    script = (
        "import socket\n"
        "def no(*a, **k): raise SystemExit('a connection at import')\n"
        "socket.socket.connect = no; socket.getaddrinfo = no\n"
        "import gensr.fetch, gensr.data.sets, gensr.cli.app"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def small_set(server, monkeypatch, tmp_path):
    """A set of four files on the server, in the place of the catalogue."""
    monkeypatch.setattr(sets, "SETS", {"small": sets.DataSet("four files", "CC0", "here", "x/small", server)})
    monkeypatch.setattr(sets, "files", lambda name: [sets.File(f"x/small{p}", server + p, SHA[p]) for p in sorted(CONTENT)])
    return "small"


def test_a_set_goes_on_where_it_stopped(small_set, server, monkeypatch):
    stream = sets.get(small_set)
    assert next(stream).name == "0.bin" and next(stream).name == "1.bin"
    stream.close()
    assert [p.read_bytes() for p in sets.get(small_set)] == list(CONTENT.values())
    assert Handler.asked == sorted(CONTENT)  # nothing was asked for twice


def test_verify_counts_and_changes_nothing(small_set, tmp_path, monkeypatch):
    list(sets.get(small_set))
    (fetch.cache_folder() / "x" / "small" / "2.bin").write_bytes(b"tampered")
    (fetch.cache_folder() / "x" / "small" / "3.bin").unlink()
    data = tmp_path / "data" / "x" / "small"
    data.mkdir(parents=True)
    (data / "0.bin").write_bytes(CONTENT["/0.bin"])
    monkeypatch.setenv("GENSR_DATA", str(tmp_path / "data"))
    before = cached()
    here, there = sets.verify()
    assert (here.place, here.ok, here.expected, here.damaged) == (tmp_path / "data", 1, 4, [])
    assert (there.ok, there.damaged) == (2, [fetch.cache_folder() / "x" / "small" / "2.bin"])
    assert cached() == before


def test_the_catalogue_is_whole():
    counts = {"set5": 5, "bsd100": 100, "kernels": 4, "t91": 91, "bsds-train": 199, "bsds-test": 200, "mnist": 1, "lpips": 3}
    assert {n: len(sets.files(n)) for n in sets.SETS} == counts
    seen = set()
    for name in sets.SETS:
        for f in sets.files(name):
            assert len(f.sha256) == 64 and int(f.sha256, 16) and f.path not in seen and f.path.startswith(sets.SETS[name].folder + "/")
            assert f.url is None or (f.url.startswith("https://raw.githubusercontent.com/") and f.url.endswith(Path(f.path).name))
            seen.add(f.path)
    assert len(seen) == sum(counts.values())
    with pytest.raises(ValueError, match=r"no data set 'set6'.*did you mean 'set5'"):
        sets.files("set6")


@pytest.mark.data
@pytest.mark.parametrize("name", ["set5", "kernels", "t91", "bsd100", "lpips"])
def test_the_hashes_are_those_of_the_data_folder(name, data_folder, monkeypatch):
    monkeypatch.setenv("GENSR_DATA", str(data_folder))
    verdict = next(sets.verify([name]))
    assert verdict.ok == verdict.expected and not verdict.damaged
    assert all(data_folder in p.parents for p in sets.get(name))
