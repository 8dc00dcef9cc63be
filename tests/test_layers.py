"""Who may import whom in the package, and what every file owes its reader: a docstring, annotations, at most 300 lines."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "gensr"
RANK = {
    **dict.fromkeys(["densities", "gradients", "resize", "io", "fetch", "claims"], 0),
    **dict.fromkeys(["nets", "likelihoods", "operators", "metrics", "data"], 1),
    **dict.fromkeys(["models", "inverse"], 2),
    "superres": 3,
    "weights": 4,
    "widgets": 5,
    "cli": 6,
}
ALONE = {"train", "plots", "widgets"}  # import nothing from the package
PARTS = {"_checkpoint": "train", "_inpage": "widgets"}  # a private part of one module, which alone imports it; the part imports nothing from the package
BACKBONES = {"autoregressive", "flows", "mcgsm", "rrdb", "srresnet", "shifted", "affine"}  # what files of models/ and superres/ may share
LINES = 300


def imported(tree: ast.AST, module: str) -> list[str]:
    """Dotted names below gensr that a module imports, wherever in its body: 'superres.edsr.EDSR', 'resize', …

    `module` is its own name, such as 'superres.edsr'; a package's __init__ is 'superres.__init__'.
    """
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = ["gensr", *module.split(".")]
                base = ".".join([*here[: len(here) - node.level], *([node.module] if node.module else [])])
            found += [f"{base}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__") and node.args:
            found += [a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return [n.removeprefix("gensr.") for n in found if n.startswith("gensr.")]


def violations(source: str, module: str) -> list[str]:
    """Imports of a module that its rank does not allow, with the reason."""
    me, *inner = module.split(".")
    bad = []
    for name in imported(ast.parse(source), module):
        other, *rest = name.split(".")
        if other.startswith("__"):  # gensr.__version__
            continue
        if PARTS.get(other) == me:
            continue
        if other in PARTS:
            bad.append(f"{module} imports {name}: it is a part of {PARTS[other]}")
        elif me in ALONE or me in PARTS or (me == "__init__" and other in RANK):
            bad.append(f"{module} imports {name}: {me} imports nothing from the package")
        elif other in ALONE:
            if me != "cli":
                bad.append(f"{module} imports {name}: only cli, chapters and recipes use {other}")
        elif other not in RANK:
            bad.append(f"{module} imports {name}: {other} has no rank in this test")
        elif other == me:
            same = me in ("models", "superres") and inner != ["__init__"]
            if same and rest and rest[0] not in BACKBONES and rest[0] != inner[0]:
                bad.append(f"{module} imports {name}: methods do not import one another, except from {sorted(BACKBONES)}")
        elif RANK[other] >= RANK[me]:
            bad.append(f"{module} imports {name}: rank {RANK[me]} may import only from lower ranks, {other} has {RANK[other]}")
    return bad


def owed(source: str) -> list[str]:
    """Public functions, classes and methods without a docstring or an annotation; a file without a docstring or with too many lines."""
    tree = ast.parse(source)
    bad = [] if ast.get_docstring(tree) or not tree.body else ["the file has no docstring"]
    if source.count("\n") > LINES:
        bad.append(f"{source.count(chr(10))} lines; at most {LINES}")

    def visit(body: list, prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    bad.append(f"class {prefix}{node.name} has no docstring")
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                public, start = not node.name.startswith("_"), node.name in ("__init__", "__call__")
                if public and not prefix and not ast.get_docstring(node):
                    bad.append(f"function {node.name} has no docstring")
                if public or start:
                    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                    own = {"self", "cls"} if prefix else set()
                    bad.extend(f"{prefix}{node.name}: {a.arg} has no annotation" for a in arguments if a.annotation is None and a.arg not in own)
                    if node.returns is None and node.name != "__init__":
                        bad.append(f"{prefix}{node.name}: no return annotation")

    visit(tree.body, "")
    return bad


FILES = sorted(p for p in SRC.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path):
    bad = violations(path.read_text(encoding="utf-8"), name_of(path))
    assert not bad, "\n".join(["", *bad])


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_documented_annotated_and_short(path):
    bad = owed(path.read_text(encoding="utf-8"))
    assert not bad, "\n".join(["", *bad])


def test_every_room_has_a_rank():
    rooms = {p.stem for p in SRC.glob("*.py")} | {p.name for p in SRC.iterdir() if (p / "__init__.py").exists()}
    assert rooms - set(RANK) - ALONE - set(PARTS) - {"__init__", "__main__"} == set()
    assert len(FILES) > 10


# ---- the tester, tested ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("resize", "from gensr.metrics import psnr"),
        ("resize", "from gensr import metrics"),
        ("resize", "import gensr.metrics.full_reference"),
        ("resize", "from . import metrics"),
        ("resize", "from .metrics import psnr"),
        ("densities", "from gensr.io import read_image"),
        ("densities", "from gensr import train"),
        ("operators.blur", "from ..models.vae import VAE"),
        ("operators.blur", "from .. import superres"),
        ("metrics.full_reference", "def f():\n    from gensr.superres.edsr import EDSR"),
        ("metrics.full_reference", "if TYPE_CHECKING:\n    import gensr.weights as w"),
        ("metrics.full_reference", "import importlib\nimportlib.import_module('gensr.cli')"),
        ("models.vae", "from gensr.inverse import tikhonov"),
        ("models.vae", "from gensr.train import fit"),
        ("models.glow", "from gensr.models.vae import VAE"),
        ("superres.srgan", "from .edsr import EDSR"),
        ("superres.srgan", "from . import edsr"),
        ("weights", "from gensr.cli import app"),
        ("train", "from gensr.nets import MLP"),
        ("_checkpoint", "from gensr.train import History"),
        ("_checkpoint", "from gensr.io import read_image"),
        ("models.gan", "from gensr._checkpoint import State"),
        ("cli.app", "from gensr import _checkpoint"),
        ("plots", "from gensr.resize import imresize"),
        ("widgets", "from gensr import plots"),
        ("plots", "from gensr import _inpage"),
        ("_inpage.__init__", "from gensr.nets import ResBlock"),
        ("resize", "from gensr import nonsense"),
    ],
)
def test_a_bad_import_is_found(module, source):
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("resize", "import torch\nfrom os import path\nimport gensrx.metrics"),
        ("metrics.full_reference", "from gensr.resize import imresize\nfrom gensr import io"),
        ("operators.__init__", "from gensr.operators.blur import Blur\nfrom .mask import Mask\nfrom . import base"),
        ("operators.compose", "from .base import LinearOperator"),
        ("models.glow", "from gensr.models.flows import ActNorm\nfrom . import flows"),
        ("superres.srflow", "from gensr.superres.rrdb import RRDB\nfrom ..models import flows"),
        ("superres.__init__", "from gensr.superres.edsr import EDSR"),
        ("cli.app", "from gensr import widgets, weights\nfrom gensr.plots import images\nfrom . import doctor"),
        ("train", "from gensr._checkpoint import State"),
        ("widgets", "from gensr import _inpage"),
        ("__init__", "from importlib.metadata import version"),
    ],
)
def test_a_good_import_passes(module, source):
    assert violations(source, module) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1", "the file has no docstring"),
        ('"""D."""\n' + "x = 1\n" * 300, "301 lines"),
        ('"""D."""\ndef f(x: int) -> int:\n    return x', "function f has no docstring"),
        ('"""D."""\ndef f(x) -> int:\n    """D."""', "f: x has no annotation"),
        ('"""D."""\ndef f(*, x) -> int:\n    """D."""', "f: x has no annotation"),
        ('"""D."""\ndef f(x: int):\n    """D."""', "f: no return annotation"),
        ('"""D."""\nclass C:\n    x = 1', "class C has no docstring"),
        ('"""D."""\nclass C:\n    """D."""\n    def __init__(self, x): ...', "C.__init__: x has no annotation"),
        ('"""D."""\nclass C:\n    """D."""\n    def f(self): ...', "C.f: no return annotation"),
    ],
)
def test_a_bare_definition_is_found(source, said):
    assert any(said in line for line in owed(source)), owed(source)


def test_a_private_definition_owes_nothing():
    assert owed('"""D."""\ndef _f(x): ...\nclass _C: ...\nclass C:\n    """D."""\n    def _g(self, x): ...') == []
