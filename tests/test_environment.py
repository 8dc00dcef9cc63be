"""The three descriptions of the environment agree, the citation names this version, and no text file names somebody's machine."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Packages that would bring another framework's pins, a second torch build, or a metric that the course writes itself.
UNWANTED = {"torchvision", "lpips", "timm", "piq", "pyiqa", "torchmetrics"}


def locked(text: str) -> dict[str, str]:
    """name -> version of a lock file; refuses anything but NAME==VERSION lines and comments."""
    pins = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line:
            m = re.fullmatch(r"([\w.-]+)==([^\s;]+)(\s*;.*)?", line)
            if not m:
                raise ValueError(f"not NAME==VERSION: {line!r}")
            pins[canonicalize_name(m[1])] = m[2]
    return pins


LOCK = locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
GROUPS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
REQUIREMENTS = [(group, text) for group, texts in GROUPS.items() for text in texts]


@pytest.mark.parametrize(("group", "text"), REQUIREMENTS, ids=[f"{g or 'core'}:{t}" for g, t in REQUIREMENTS])
def test_every_dependency_is_locked_within_its_range(group, text):
    r = Requirement(text)
    version = LOCK.get(canonicalize_name(r.name))
    assert version is not None, f"{r.name} is in pyproject.toml but not in requirements.lock; run: make lock"
    assert r.specifier.contains(version, prereleases=True), f"{r.name}: the lock has {version}, pyproject.toml wants {r.specifier}"


def test_torch_is_pinned_without_a_local_version():
    assert LOCK["torch"] == "2.13.0"
    assert [f"{n}=={v}" for n, v in LOCK.items() if Version(v).local] == []


def test_nothing_unwanted_is_locked():
    assert [n for n in LOCK if n.startswith(("nvidia-", "triton")) or n in UNWANTED] == []
    assert "gensr" not in LOCK


def test_the_lock_names_no_index():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|file:", text)


def test_the_book_builder_is_pinned_exactly():
    """A range silently resolves to a version years older."""
    assert "jupyter-book==1.0.4.post1" in PROJECT["optional-dependencies"]["dev"]


def test_conda_says_the_same():
    env = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert env["name"] == PROJECT["name"]
    plain = [d for d in env["dependencies"] if isinstance(d, str)]
    pip = next(d["pip"] for d in env["dependencies"] if isinstance(d, dict))
    python = next(d for d in plain if d.startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.split("=")[-1])
    assert "pip" in plain
    assert pip[:2] == ["-c requirements.lock", "-e ."], "the lock first, then the package from this folder"
    others = {re.split(r"[=<>\[ ]", d)[0] for d in plain} - {"python", "pip"}
    assert others == set(), "packages come from pip under the lock, not from conda"
    names = [canonicalize_name(Requirement(d).name) for d in pip[2:]]
    assert [n for n in names if n not in LOCK] == []


def test_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    config = yaml.safe_load((ROOT / "book" / "_config.yml").read_text(encoding="utf-8"))
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["repository-code"] == config["repository"]["url"]


# ---- no traces of a machine --------------------------------------------------------------------------------------------------------

# Written in pieces, so that this file does not find itself.
FOLDERS = ["/wo" + r"rk/", "/ho" + r"me/(?!runner\b|jovyan\b|USER\b)\w+/", "/ro" + r"ot/", "/Us" + r"ers/\w+/", r"\.\./sha" + "red", r"C:\\+Us" + r"ers\\+\w+"]
TRACES = re.compile("|".join(FOLDERS))


def text_files() -> list[Path]:
    """What git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout: cannot tell which files are tracked")
    paths = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return [p for p in paths if p.is_file() and b"\0" not in p.read_bytes()[:4096]]


def test_no_file_names_a_machine():
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            line = re.sub(r"[A-Za-z0-9+/]{200,}={0,2}", "", line)  # embedded images
            if m := TRACES.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {m[0]}")
    assert not found, "\n".join(["", *found])


def test_traces_are_found():
    for trace in ("/wo" + "rk/main", "/ho" + "me/alice/x", "see ../sha" + "red/data", "/ro" + "ot/.cache"):
        assert TRACES.search(trace), trace
    for fine in ("~/.cache", "https://example.org/homework/", "network/x", "/home/runner/work"):
        assert not TRACES.search(fine), fine


def test_a_bad_lock_is_refused():
    assert locked("# c\nA_b==1.0  # why\nc==2;python_version<'3.12'") == {"a-b": "1.0", "c": "2"}
    with pytest.raises(ValueError, match="NAME==VERSION"):
        locked("torch>=2")


def test_every_mention_of_the_repository_is_the_one_setting():
    """book/_config.yml names the repository; the citation, the links of chapters and exercises, and the install line for Colab follow it."""
    url = yaml.safe_load((ROOT / "book" / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    owner = url.removeprefix("https://github.com/")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    mentions = re.compile(r"(?:github\.com|githubusercontent\.com|v2/gh)/([\w.-]+/gensr)\b")
    found = {}
    for name in filter(None, files):
        if Path(name).suffix in (".md", ".cff", ".toml", ".yml", ".py", ".ipynb") and (ROOT / name).is_file():
            for mention in mentions.findall((ROOT / name).read_text(encoding="utf-8")):
                found.setdefault(mention, name)
    assert owner in found
    assert {m: f for m, f in found.items() if m != owner} == {}
