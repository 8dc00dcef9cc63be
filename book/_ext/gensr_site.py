"""What the course's pages need beyond Jupyter Book: the site's own MathJax, the seconds on each chapter's card, the browser demo's script."""

import json
import os
import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

DEMO = 'id="sr-demo"'
QUIZ = "show_questions"
QUIZ_MATHJAX = re.compile(r"if \(typeof MathJax != 'undefined'\) \{(?=\s*console\.log\(\"MathJax version\")")
QUIZ_TYPESET = """
<script>
addEventListener("load", () => window.MathJax?.startup?.promise.then(() => MathJax.typesetPromise([...document.querySelectorAll("[data-shufflequestions]")])));
</script>"""
NOTICE = (
    "This copy of the site was built without the npm index: formulas and the browser demo load from cdn.jsdelivr.net. "
    "Run make site again when the index is in reach."
)


def configure(app: Sphinx, config) -> None:
    """Point MathJax at the copy beside the pages, or at the CDN (with its hash) where there is none, and derive the site's address from the repository's."""
    book = Path(app.confdir)
    if (book / "_assets" / "_vendor" / "mathjax").is_dir():
        config.mathjax_path = "../_vendor/mathjax/tex-mml-chtml.js"
    else:
        pin = json.loads((book / "cdn.json").read_text(encoding="utf-8"))["mathjax"]
        config.mathjax_path = pin["url"]
        config.mathjax_options = {"integrity": pin["integrity"], "crossorigin": "anonymous"}
        config.html_theme_options["announcement"] = NOTICE
    owner, name = config.html_theme_options["repository_url"].rstrip("/").split("/")[-2:]
    config.ogp_site_url = f"https://{owner}.github.io/{name}/"


def refuse_to_execute(app: Sphinx) -> None:
    """Under tools/site.py a chapter whose outputs are not in the cache stops the build, instead of being executed by it."""
    if os.environ.get("GENSR_SITE_EXECUTES") != "0":
        return
    from myst_nb.core.execute import cache

    def stop(notebook, *, cwd, **_):
        raise ExtensionError("a chapter's code is newer than its executed twin; run: python tools/notebooks.py")

    cache.single_nb_execution = stop


def fill_seconds(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace {{ run_seconds }} on a chapter's card by what its executed twin measured."""
    twin = Path(app.srcdir) / f"{docname}.ipynb"
    if "run_seconds" not in source[0] or not twin.exists():
        return
    app.env.note_dependency(str(twin))
    seconds = json.loads(twin.read_text(encoding="utf-8"))["metadata"].get("gensr", {}).get("seconds")
    source[0] = re.sub(r"\{\{ *run_seconds *\}\}", "?" if seconds is None else f"{seconds:.0f}", source[0])


def finish_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Load the demo's script on its page only, typeset quizzes with the page's own MathJax, and leave out thebe, which nothing here uses."""
    context["script_files"] = [f for f in context.get("script_files", []) if "thebe" not in f"{f} {getattr(f, 'attributes', '')}".lower()]
    body = context.get("body") or ""
    up = "../" * pagename.count("/")
    if DEMO in body:
        body += f'\n<link rel="stylesheet" href="{up}_demo/demo.css"><script defer src="{up}_demo/load.js"></script>'
    if QUIZ in body:  # a quiz asks for MathJax while the page still loads, and fetches another from elsewhere when it is not there yet
        body = QUIZ_MATHJAX.sub("if (false) {", body) + QUIZ_TYPESET
    context["body"] = body


def offer_twins(app: Sphinx, problem: Exception | None) -> None:
    """What a reader downloads is the twin: the executed notebook with its outputs and the cell that installs the course on Colab."""
    if problem is None and app.builder.format == "html":
        for twin in Path(app.srcdir).glob("chapters/*.ipynb"):
            target = Path(app.outdir) / "_sources" / "chapters" / twin.name
            if target.exists():
                shutil.copyfile(twin, target)


def skip_aliases(app: Sphinx, what: str, name: str, member, skip: bool, options) -> bool | None:
    """Fields of named tuples are in the signature already; autodoc would call each an "Alias for field number 0"."""
    return True if type(member).__name__ == "_tuplegetter" else None


class CommandHelp(SphinxDirective):
    """A section for each command of `gensr`, holding what it prints with --help."""

    def run(self) -> list[nodes.Node]:
        import typer

        from gensr.cli.app import app

        found: list[nodes.Node] = []
        for words, command in leaves(typer.main.get_command(app), []):
            name = " ".join(["gensr", *words])
            section = nodes.section(ids=[nodes.make_id(name)], names=[name])
            help_text = command.get_help(command.context_class(command, info_name=name, max_content_width=84, terminal_width=84))
            section += [nodes.title(text=name), nodes.literal_block(help_text, help_text, language="text")]
            found.append(section)
        return found


def leaves(command, words: list[str]):
    """The commands below a typer group, each with the words that call it."""
    if not hasattr(command, "commands"):
        yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, [*words, name])


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("command-help", CommandHelp)
    app.connect("config-inited", configure, priority=900)
    app.connect("builder-inited", refuse_to_execute)
    app.connect("source-read", fill_seconds, priority=100)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", offer_twins)
    app.connect("autodoc-skip-member", skip_aliases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
