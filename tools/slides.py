"""Turn a chapter's executed twin into slides that need no network: `make slides CH=vae`.

    python tools/slides.py vae

The slides stand in book/_build/slides together with the scripts they load, so that the folder can be copied to any machine. The scripts are those that
`tools/site.py` brought from npm; where it could not, the slides load them from a CDN, and the command says so.
"""

import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
VENDOR = ROOT / "book" / "_assets" / "_vendor"
OUT = ROOT / "book" / "_build" / "slides"
CDN = "https://cdn.jsdelivr.net/npm"
HEIGHT = 640  # of a slide that holds 700, in its own pixels


def cut(nb: NotebookNode) -> None:
    """Cut each section into parts of about a screen, one below the other: Markdown between its blocks, code before the cell that would no longer fit.

    Heights are estimated; what is taller than it seemed, or cannot be cut, scrolls.
    """
    cells, filled = [], 0
    for cell in nb.cells:
        tags = cell.metadata.get("tags", [])
        if "remove-cell" in tags:
            continue
        if cell.cell_type != "markdown":
            need = tall(cell)
            start = filled > 0 and filled + need > HEIGHT
            cell.metadata["slideshow"] = {"slide_type": "subslide" if start else "-"}
            filled = need if start else filled + need
            cells.append(cell)
            continue
        kind = "slide" if cell.source.startswith(("# ", "## ")) else "-"
        for block in blocks(cell.source):
            need = tall(block)
            begins = bool(re.match(r"### |\*\*(Step )?\d+\.", block)) and filled > HEIGHT / 2
            if kind == "slide" or filled + need > HEIGHT or begins:
                cells.append(nbformat.v4.new_markdown_cell("", metadata={"slideshow": {"slide_type": kind if kind == "slide" else "subslide"}}))
                kind, filled = "-", 0
            elif not cells or cells[-1].cell_type != "markdown":
                cells.append(nbformat.v4.new_markdown_cell("", metadata={"slideshow": {"slide_type": "-"}}))
            cells[-1].source += f"{block}\n\n"
            filled += need
    nb.cells = cells


def blocks(text: str) -> list[str]:
    """Markdown in paragraphs. A formula or a list stays with the line that leads up to it, a list is cut between its items only if it is long."""
    found: list[str] = []
    inside = False  # a displayed formula or a fence that is not closed
    for part in re.split(r"\n\s*\n", text.strip()):
        glued = inside or (found and (part.startswith(("$$", "|", "  ")) or (found[-1].startswith("#") and "\n" not in found[-1])))
        if glued:
            found[-1] += f"\n\n{part}"
        else:
            found.append(part)
        inside ^= part.count("$$") % 2 == 1 or part.count("```") % 2 == 1
    return [piece for block in found for piece in (re.split(r"\n(?=- )", block) if tall(block) > HEIGHT and "$$" not in block else [block])]


def tall(part: NotebookNode | str) -> int:
    """Estimated height on the slide, in its pixels, of a block of Markdown or of a code cell with its outputs."""
    if isinstance(part, str):
        formulas = re.findall(r"\$\$.*?\$\$", part, re.S)
        words = re.sub(r"\$\$.*?\$\$", "\n", part, flags=re.S)
        lines = sum(-(-len(re.sub(r"\(http\S+\)|\\\\[a-z]+", "", line)) // 95) for line in words.splitlines())
        return 24 * lines + 18 * (words.count("\n\n") + 1) + sum(30 + 40 * (f.count("\\\\") + 1) for f in formulas) + 40 * part.startswith("#")
    height = 0
    if "hide-input" not in part.metadata.get("tags", []):
        height += 25 + 17 * sum(1 + len(line) // 115 for line in part.source.splitlines())
    for output in part.get("outputs", []):
        data = output.get("data", {})
        size = next((s for k, s in output.get("metadata", {}).items() if k.startswith("image/")), {})
        if any(k.startswith("image/") for k in data):
            height += int(size.get("height", 330)) + 20
        elif "text/html" in data:
            height += 30 + 30 * data["text/html"].count("<tr") if "<tr" in data["text/html"] else 400
        else:
            height += 15 + 17 * len((output.get("text") or data.get("text/plain", "")).splitlines())
    return height


def main(slug: str) -> None:
    twin = ROOT / "book" / "chapters" / f"{slug}.ipynb"
    if not twin.exists():
        known = ", ".join(sorted(p.stem for p in twin.parent.glob("*.ipynb")))
        sys.exit(f"no chapter named {slug}; there are {known}")
    OUT.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.SlidesExporter.reveal_theme = "white"
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = ["remove-cell"]
    config.TagRemovePreprocessor.remove_input_tags = ["hide-input"]
    if (VENDOR / "reveal").is_dir():
        shutil.copytree(VENDOR, OUT / "_vendor", dirs_exist_ok=True, ignore=shutil.ignore_patterns("ort"))
        config.SlidesExporter.reveal_url_prefix = "_vendor/reveal"
        config.SlidesExporter.mathjax_url = "_vendor/mathjax/tex-mml-chtml.js"
    else:
        config.SlidesExporter.reveal_url_prefix = f"{CDN}/reveal.js@4.6.1"
        config.SlidesExporter.mathjax_url = f"{CDN}/mathjax@3.2.2/es5/tex-mml-chtml.js"
        print("slides: the scripts are loaded from a CDN (npm was out of reach when the site was built)")
    exporter = SlidesExporter(config=config, template_name="course_slides", extra_template_basedirs=[str(ROOT / "tools" / "templates")])
    nb = nbformat.read(twin, 4)
    cut(nb)
    body, _ = exporter.from_notebook_node(nb, {"metadata": {"name": slug}})
    page = OUT / f"{slug}.slides.html"
    page.write_text(body, encoding="utf-8")
    print(f"open {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
