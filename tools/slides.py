"""Turn a chapter's executed twin into slides that need no network: `make slides CH=vae`.

    python tools/slides.py vae

The slides stand in book/_build/slides together with the scripts they load, so that the folder can be copied to any machine. The scripts are those that
`tools/site.py` brought from npm; where it could not, the slides load them from a CDN, and the command says so.
"""

import shutil
import sys
from pathlib import Path

from nbconvert import SlidesExporter
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
VENDOR = ROOT / "book" / "_assets" / "_vendor"
OUT = ROOT / "book" / "_build" / "slides"
CDN = "https://cdn.jsdelivr.net/npm"


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
    body, _ = exporter.from_filename(str(twin))
    page = OUT / f"{slug}.slides.html"
    page.write_text(body, encoding="utf-8")
    print(f"open {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
