"""Optional downloads, checked by SHA-256 and kept in a cache; the course needs none of them.

A file is known by its path in the data folder, "sr/set5/hr/baby.png", and by its SHA-256. It is looked for in the folder that GENSR_DATA
names (which is only ever read), then in the cache (GENSR_CACHE, or the user's cache folder), and only then downloaded. A file that is not the
expected one is refused; in the cache it is kept aside as `*.corrupt`, so that it can be looked at.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pooch

State = Literal["ok", "missing", "damaged"]


class FetchError(ValueError):
    """A file that cannot be had or is not the expected one; the message is one line that says what to do."""


def cache_folder() -> Path:
    """Where downloads are kept: GENSR_CACHE, or the user's cache folder. It need not exist yet."""
    return Path(os.environ.get("GENSR_CACHE") or pooch.os_cache("gensr")).expanduser()


def data_folder() -> Path | None:
    """The read-only folder named by GENSR_DATA, or None where it is not set.

    Raises:
        FetchError: it is set, but names no folder.
    """
    name = os.environ.get("GENSR_DATA")
    if not name:
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise FetchError(f"GENSR_DATA: {folder} is not a folder")
    return folder


def state(path: Path, sha256: str) -> State:
    """Whether a file is there and is the expected one.

    Raises:
        FetchError: it is there, but cannot be read.
    """
    try:
        if not path.is_file():
            return "missing"
        return "ok" if pooch.file_hash(str(path), alg="sha256") == sha256.lower() else "damaged"
    except OSError as e:
        raise FetchError(f"{path}: cannot be read ({e.strerror or e})") from None


def find(path: str, sha256: str) -> Path | None:
    """The file in the data folder or in the cache, or None where neither has it; nothing is downloaded.

    Raises:
        FetchError: the file is damaged; in the cache it has then been renamed to `*.corrupt`.
    """
    folder, cached = data_folder(), _inside(cache_folder(), path)
    if folder is not None:
        local = _inside(folder, path)
        match state(local, sha256):
            case "ok":
                return local
            case "damaged":
                raise FetchError(f"{local}: damaged, its SHA-256 is not {sha256[:12]}…; restore it or take it out of GENSR_DATA")
    match state(cached, sha256):
        case "ok":
            return cached
        case "damaged":
            aside = _put_aside(cached, cached)
            raise FetchError(f"{cached}: damaged, its SHA-256 is not {sha256[:12]}…; kept as {aside.name}, run it again to download it anew")
    return None


def fetch(path: str, url: str | None, sha256: str, *, timeout: float = 30.0, downloader: Callable | None = None) -> Path:
    """The file from the data folder, the cache, or the network, in this order; only a file with the right SHA-256 is ever handed out.

    Args:
        path: relative, with "/", the same below the data folder and the cache.
        url: http or https; None for a file that cannot be downloaded.
        sha256: of the whole file, in hexadecimal.
        timeout: seconds without an answer after which a download is given up.
        downloader: `f(url, output_file, None)`, as pooch's; by default its HTTP downloader.

    Raises:
        FetchError: not to be had (no network, 404, cut off, disk full), or damaged. Nothing half-written is left under the final name.
    """
    found = find(path, sha256)
    if found:
        return found
    if url is None:
        raise FetchError(f"{path}: cannot be downloaded; put it into the folder that GENSR_DATA names")
    target = _inside(cache_folder(), path)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    download = downloader or pooch.HTTPDownloader(timeout=timeout)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        download(url, str(part), None)
        if state(part, sha256) != "ok":
            aside = _put_aside(part, target)
            raise FetchError(f"{url}: what came is not the expected file (SHA-256 is not {sha256[:12]}…); kept as {aside}")
        os.replace(part, target)
    except FetchError:
        raise
    except Exception as e:
        raise FetchError(_explain(e, path, url, target)) from None
    finally:  # also on Ctrl-C
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return target


def _inside(folder: Path, path: str) -> Path:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "\\" in path or not all(parts):
        raise ValueError(f"path: expected a relative path without '..', got {path!r}")
    return folder.joinpath(*parts)


def _put_aside(path: Path, target: Path) -> Path:
    aside = target.with_name(target.name + ".corrupt")
    os.replace(path, aside)
    return aside


def _explain(e: Exception, path: str, url: str, target: Path) -> str:
    import requests

    remedy = f"or set GENSR_DATA to a folder that has {path}"
    match e:
        case requests.HTTPError() if e.response is not None:
            return f"{url}: the server answered {e.response.status_code} {e.response.reason}; try later, {remedy}"
        case requests.RequestException() if "timed out" in str(e):  # before the answer, or in the midst of it
            return f"{url}: the server did not answer in time; try later, {remedy}"
        case requests.exceptions.ChunkedEncodingError():
            return f"{url}: the download was cut off; try again, {remedy}"
        case requests.ConnectionError():
            return f"{url}: no connection; check the network, {remedy}"
        case OSError() if not isinstance(e, requests.RequestException):
            return f"{target}: cannot write ({e.strerror or e}); set GENSR_CACHE to a folder with room"
    return f"{url}: {' '.join(str(e).split()) or type(e).__name__}"
