"""A chapter's cell that opens with ``# core: gensr.a.b`` is the library's code, so that the reader sees the real thing and it never drifts.

Compared are syntax trees, after dropping what a chapter may leave out: docstrings, annotations, argument checks (``if …: raise ValueError/TypeError``) and
the decorators that only say how a method is called (property, staticmethod, classmethod).
"""

import ast
import difflib
import importlib
import inspect
import re
import textwrap

import pytest

from tests.book.reader import SLUGS, source

MARK = re.compile(r"# core: (gensr\.[\w.]+)\s*$")


def cores(cells) -> list[tuple[str, str]]:
    """(dotted name, cell) of each core cell."""
    code = [c.source for c in cells if c.cell_type == "code"]
    return [(m[1], text) for text in code if (m := MARK.match(text.split("\n")[0]))]


CORES = [(slug, name, text) for slug in SLUGS for name, text in cores(source(slug))]


class Strip(ast.NodeTransformer):
    """Drop what a chapter may leave out."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.returns = None
        node.type_comment = None
        node.decorator_list = [d for d in node.decorator_list if getattr(d, "id", "") not in ("property", "staticmethod", "classmethod")]
        node.body = [s for s in without_docstring(node.body) if not is_check(s)]
        return node

    def visit_ClassDef(self, node):
        self.generic_visit(node)
        node.body = without_docstring(node.body)
        return node

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        return ast.Assign([node.target], node.value) if node.value else ast.Expr(node.target)


def without_docstring(body: list) -> list:
    is_text = body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str)
    return body[1:] if is_text else body


def is_check(s) -> bool:
    """``if wrong: raise ValueError(…)`` or TypeError, and nothing else."""
    if not isinstance(s, ast.If) or s.orelse or len(s.body) != 1 or not isinstance(s.body[0], ast.Raise):
        return False
    error = s.body[0].exc
    return getattr(getattr(error, "func", error), "id", "") in ("ValueError", "TypeError")


def shape(text: str) -> str:
    """The code that counts, in one normal form. A core cell holds one definition and nothing else."""
    tree = ast.fix_missing_locations(Strip().visit(ast.parse(textwrap.dedent(text))))
    if len(tree.body) != 1 or not isinstance(tree.body[0], (ast.FunctionDef, ast.ClassDef)):
        raise ValueError("a core cell holds one function or class and nothing else")
    return ast.unparse(tree)


def find(name: str):
    """The object a dotted name means: the longest importable module, then attributes."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError as e:
            if not name.startswith(e.name or "?"):
                raise
            continue
        for p in parts[i:]:
            thing = inspect.getattr_static(thing, p) if inspect.isclass(thing) else getattr(thing, p)
        thing = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
        return inspect.unwrap(thing)
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize(("slug", "name", "cell"), CORES, ids=[f"{s}:{n}" for s, n, _ in CORES])
def test_the_cell_is_the_library(slug, name, cell):
    ours, library = shape(cell), shape(inspect.getsource(find(name)))
    diff = "\n".join(difflib.unified_diff(library.split("\n"), ours.split("\n"), f"library {name}", f"chapter {slug}", lineterm=""))
    assert ours == library, f"\n{diff}"


@pytest.mark.parametrize("slug", SLUGS)
def test_each_chapter_shows_its_core(slug):
    assert [n for s, n, _ in CORES if s == slug], f"book/chapters/{slug}.md has no '# core: gensr.…' cell"


@pytest.mark.parametrize("slug", SLUGS)
def test_no_core_mark_is_overlooked(slug):
    """A mark that is not the first line, or is spelt differently, would never be compared."""
    marks = [line for c in source(slug) if c.cell_type == "code" for line in c.source.split("\n") if re.search(r"#\s*core\b", line, re.I)]
    assert len(marks) == len([n for s, n, _ in CORES if s == slug]), f"these look like core marks, but are not all first lines: {marks}"


# ---- the tester, tested ------------------------------------------------------------------------------------------------------------

LIBRARY = '''
class Model:
    """Reference: somebody 2000."""

    def elbo(self, x: "Tensor", *, k: int = 1) -> float:
        """The bound."""
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}")
        mu, logvar = self.encode(x)  # (b, d)
        kl: float = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum()
        return self.likelihood(x) - kl
'''
CELL = """
class Model:
    def elbo(self, x, *, k=1):
        # the chapter has comments of its own
        mu, logvar = self.encode(x)
        kl = 0.5 * (mu ** 2 + logvar.exp()
                    - 1 - logvar).sum()
        return self.likelihood(x) - kl
"""


def test_docstrings_annotations_and_checks_may_go():
    assert shape(CELL) == shape(LIBRARY)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.likelihood(x) - kl", "self.likelihood(x) + kl"),
        ("- 1 - logvar", "- 1 + logvar"),
        ("k=1", "k=2"),
        ("*, k", "k"),
        ("        mu, logvar = self.encode(x)\n", ""),
        (".sum()", ".mean()"),
        ("        return", "        print(kl)\n        return"),
        ("    def elbo", "    @torch.no_grad()\n    def elbo"),
        ("class Model:", "class Model(Base):"),
    ],
)
def test_every_other_change_is_found(old, new):
    assert old in CELL
    assert shape(CELL.replace(old, new)) != shape(LIBRARY)


def test_only_argument_checks_are_dropped():
    with_branch = CELL.replace("        return", "        if kl > 9:\n            kl = 9\n        return")
    other_error = CELL.replace("        return", "        if kl > 9:\n            raise StopIteration\n        return")
    assert shape(with_branch) != shape(CELL) != shape(other_error)


def test_a_core_cell_holds_nothing_else():
    with pytest.raises(ValueError, match="nothing else"):
        shape(CELL + "\nModel()\n")


def test_core_cells_are_found_in_both_ways_to_write_a_cell(tmp_path):
    import jupytext

    from gensr import resize

    head = "---\njupytext:\n  text_representation: {extension: .md, format_name: myst}\nkernelspec: {display_name: P, language: python, name: python3}\n---\n"
    plain = "```{code-cell} ipython3\n:tags: [a]\n\n# core: gensr.resize.imresize\ndef f():\n    pass\n```\n"
    block = "```{code-cell} ipython3\n---\ntags: [a]\nmystnb:\n  image:\n    alt: x\n---\n# core: gensr.resize.imresize\ndef f():\n    pass\n```\n"
    other = "```{code-cell} ipython3\n# the core of it\nx = 1\n```\n"
    (tmp_path / "c.md").write_text(f"{head}\n{plain}\n{block}\n{other}")
    assert [n for n, _ in cores(jupytext.read(tmp_path / "c.md").cells)] == ["gensr.resize.imresize"] * 2
    assert find("gensr.resize.imresize") is inspect.unwrap(resize.imresize)


def test_a_name_that_is_not_there_is_an_error():
    with pytest.raises(AttributeError):
        find("gensr.resize.no_such_function")
    with pytest.raises((ModuleNotFoundError, AttributeError)):
        find("gensr.no_such_module.f")
