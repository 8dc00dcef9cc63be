"""tools/site.py where something is missing."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.site.conftest import ROOT, load_tool


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The tool, working on a folder of its own."""
    tool = load_tool("site")
    for name in ("package.json", "package-lock.json", "cdn.json"):
        shutil.copy(ROOT / "book" / name, tmp_path)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "BOOK", tmp_path)
    monkeypatch.setattr(tool, "ASSETS", tmp_path / "_assets")
    return tool


@pytest.mark.slow
def test_without_the_npm_index_the_pages_get_addresses_and_hashes(tool, monkeypatch, capsys):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_cache", str(tool.ROOT / "cache"))
    assert tool.assets() is False
    assert "NOT from npm" in capsys.readouterr().out
    places = json.loads((tool.ASSETS / "_demo" / "assets.json").read_text())
    assert all(p["url"].startswith(tool.CDN) and p["integrity"].startswith("sha384-") for p in places.values())


def test_what_npm_brought_is_not_fetched_again(tool, monkeypatch, capsys):
    key = tool.fingerprint([tool.BOOK / "package-lock.json", tool.BOOK / "package.json"])
    (tool.ASSETS / "_vendor").mkdir(parents=True)
    (tool.ASSETS / "_vendor" / "made-from").write_text(key)
    monkeypatch.setattr(tool, "install", lambda folder: pytest.fail("npm was started"))
    assert tool.assets() is True
    assert "already there" in capsys.readouterr().out
    assert json.loads((tool.ASSETS / "_demo" / "assets.json").read_text())["script"]["url"] == "../_vendor/ort/ort.wasm.bundle.min.mjs"


@pytest.mark.slow
def test_a_built_site_is_left_alone(site):
    done = subprocess.run([sys.executable, "tools/site.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "up to date" in done.stdout


@pytest.mark.slow
def test_the_build_refuses_to_execute_a_chapter(site, tmp_path):
    """A chapter whose code is newer than its twin stops the build, with the command to run."""
    book = tmp_path / "book"
    shutil.copytree(ROOT / "book" / "_ext", book / "_ext")
    (book / "_config.yml").write_text("""
execute: {execute_notebooks: cache}
repository: {url: "https://github.com/gensr/gensr", path_to_book: book, branch: main}
sphinx: {local_extensions: {gensr_site: _ext/}}
""")
    (book / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    (book / "_assets" / "_vendor" / "mathjax").mkdir(parents=True)
    front = "---\njupytext: {text_representation: {extension: .md, format_name: myst}}\nkernelspec: {display_name: Python 3, name: python3}\n---\n"
    (book / "page.md").write_text(front + "# Page\n\n```{code-cell} ipython3\nopen('executed', 'w')\n```\n")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(book)]
    done = subprocess.run(command, env=os.environ | {"GENSR_SITE_EXECUTES": "0"}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "tools/notebooks.py" in done.stdout + done.stderr
    assert not (book / "executed").exists()
