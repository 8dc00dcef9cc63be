"""The built site, a server for it, and Debian's Chromium."""

import functools
import importlib.util
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync")


def load_tool(name: str):
    """tools/NAME.py as a module; it is no package."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def site() -> Path:
    """book/_build/html, built first where it is missing or older than its sources."""
    done = subprocess.run([sys.executable, "tools/site.py"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.fail(f"tools/site.py failed\n{done.stdout}\n{done.stderr}", pytrace=False)
    return ROOT / "book" / "_build" / "html"


@pytest.fixture(scope="session")
def address(site: Path):
    """Where the site is served on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests of a process; without it they are skipped, visibly."""
    path = shutil.which("chromium") or ("/usr/bin/chromium" if Path("/usr/bin/chromium").exists() else None)
    if path is None:
        pytest.skip("there is no Chromium on this machine: install Debian's package chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


class Watch:
    """What went wrong while a page was shown: errors on its console, failed and third-party requests, anything but GET."""

    def __init__(self, page, address: str):
        self.trouble: list[str] = []
        page.on("console", lambda m: m.type == "error" and self.trouble.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: self.trouble.append(f"script error: {e}"))
        page.on("response", lambda r: r.status >= 400 and self.trouble.append(f"{r.status}: {r.url}"))
        page.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or self.trouble.append(f"elsewhere: {r.url}"))
        page.on("request", lambda r: r.method == "GET" or self.trouble.append(f"{r.method}: {r.url}"))


@pytest.fixture
def page(browser, address):
    """A page of 1280 × 900 with an empty profile; `page.watch.trouble` lists what went wrong on it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.watch = Watch(page, address)
    yield page
    context.close()
