"""`gensr compare`: all methods on one page, any two of them under a wipe."""

import base64
import html
import io
import math
import time
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from gensr.cli.enlarge import Enlarger, enlarge, enlarger, methods, to_tensor
from gensr.cli.evaluate import Row, score, shrink
from gensr.io import ImageError, Picture, check_place, read_image, whole_file
from gensr.metrics import lr_psnr

MAX_SHOWN = 4_194_304  # output pixels on the page


class Shown(NamedTuple):
    """One picture of the page."""

    label: str
    image: Image.Image
    numbers: tuple[str, ...]


def compare(photo: Path, output: Path, scale: int, *, reference: bool, crop: str | None, ensemble: bool, force: bool) -> None:
    """Write the page, and print the numbers that are on it.

    Raises:
        ImageError: what cannot be read or written, or is too small to score. ValueError: another factor or a wrong crop. WeightsError: a damaged weight.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise ImageError(f"{output}: expected a name that ends in .html")
    check_place(output, force=force)
    hows = [enlarger(m, scale, ensemble=ensemble) for m in methods(scale)]
    x = read_image(photo)
    y = x
    if reference:
        x, y = shrink(x, scale, photo)
    box = _crop(crop, y.shape[-2], y.shape[-1], scale)
    shown = [_scored(how, x, y, box) if reference else _plain(how, y, box) for how in hows]
    if reference:
        shown.append(Shown("original", _cut(_from_tensor(x), box, scale), ("", "", "", "")))
    head = ("method", "seconds", "LR-PSNR dB") if not reference else ("method", "seconds", "PSNR-Y dB", "SSIM-Y", "LR-PSNR dB")
    whole = box == (0, 0, y.shape[-1], y.shape[-2])
    with whole_file(output) as f:
        f.write(page(photo.name, scale, shown, head, reference=reference, part=None if whole else box).encode())
    rows = [head, *((s.label, *s.numbers) for s in shown if any(s.numbers))]
    wide = [max(len(r[k]) for r in rows) for k in range(len(head))]
    print("\n".join("  ".join(v.ljust(n) if k == 0 else v.rjust(n) for k, (v, n) in enumerate(zip(r, wide, strict=True))) for r in rows))
    shows = "the whole picture" if whole else f"{box[2]}x{box[3]} pixels of it, from {box[0]},{box[1]} (--crop chooses)"
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, shows {shows}")


def _scored(how: Enlarger, x: Tensor, y: Tensor, box: tuple[int, int, int, int]) -> Shown:
    start = time.perf_counter()
    x_hat, row = score(how, x, y)
    seconds = time.perf_counter() - start
    return Shown(how.label, _cut(_from_tensor(x_hat), box, how.scale), (f"{seconds:.1f}", *_numbers(row)))


def _plain(how: Enlarger, y: Tensor, box: tuple[int, int, int, int]) -> Shown:
    left, top, width, height = box
    y = y[..., top : top + height, left : left + width]
    start = time.perf_counter()
    image = enlarge(Picture(y, None, False), how)
    seconds = time.perf_counter() - start
    return Shown(how.label, image, (f"{seconds:.1f}", f"{lr_psnr(to_tensor(image), y).item():.2f}"))


def _numbers(row: Row) -> tuple[str, str, str]:
    return f"{row.psnr_y:.2f}", f"{row.ssim_y:.4f}", f"{row.lr_psnr:.2f}"


def _from_tensor(x: Tensor) -> Image.Image:
    return Image.fromarray((x[0] * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def _cut(image: Image.Image, box: tuple[int, int, int, int], s: int) -> Image.Image:
    left, top, width, height = box
    return image.crop((left * s, top * s, (left + width) * s, (top + height) * s))


def _crop(crop: str | None, h: int, w: int, s: int) -> tuple[int, int, int, int]:
    """Left, top, width and height in LR pixels: those asked for, or as much of the middle as a page can hold."""
    if crop is None:
        side = MAX_SHOWN / s**2
        if h * w <= side:
            return 0, 0, w, h
        width = min(w, max(round(math.sqrt(side)), int(side / h)))
        height = min(h, int(side / width))
        return (w - width) // 2, (h - height) // 2, width, height
    try:
        left, top, width, height = (int(v) for v in crop.split(","))
    except ValueError:
        raise ValueError(f"--crop: expected four whole numbers LEFT,TOP,WIDTH,HEIGHT, got {crop!r}") from None
    if min(left, top) < 0 or min(width, height) < 1 or left + width > w or top + height > h:
        raise ValueError(f"--crop: {crop} does not lie within the {w}x{h} pixels that are enlarged")
    if width * height * s**2 > 4 * MAX_SHOWN:
        raise ValueError(f"--crop: {width}x{height} at ×{s} is more than the {4 * MAX_SHOWN // 10**6} megapixels a page can hold")
    return left, top, width, height


def page(
    name: str, scale: int, shown: list[Shown], head: tuple[str, ...], *, reference: bool, part: tuple[int, int, int, int] | None
) -> str:
    """The whole page: two pictures on one stage, two menus that choose them, a wipe, a zoom, and the table. It asks the network for nothing."""
    pictures = "\n".join(
        f'<img src="{_uri(s.image)}" width="{s.image.width}" height="{s.image.height}" alt="{html.escape(f"{name}, {s.label} ×{scale}")}" hidden>'
        for s in shown
    )
    last = len(shown) - 1 - (1 if reference and len(shown) > 2 else 0)
    left, right = (
        "".join(f'<option value="{k}"{" selected" if k == chosen else ""}>{html.escape(s.label)}</option>' for k, s in enumerate(shown))
        for chosen in (0, last)
    )
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(v)}</td>" for v in (s.label, *s.numbers)) + "</tr>" for s in shown if any(s.numbers))
    said = f"{html.escape(name)} was shrunk by {scale} and enlarged again." if reference else f"{html.escape(name)} was enlarged by {scale}."
    if part:
        said += f" Shown are {part[2]}×{part[3]} of its pixels, from ({part[0]}, {part[1]})."
    return TEMPLATE.format(
        title=f"{html.escape(name)} ×{scale}", said=said, left=left, right=right, pictures=pictures,
        head="".join(f'<th scope="col">{html.escape(v)}</th>' for v in head), rows=rows, notes=NOTES[reference],
    )


def _uri(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "PNG")  # lossless: the page is about small differences
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


NOTES = {
    False: "LR-PSNR: the enlarged picture, shrunk again, against the photo; above about 45 dB it explains the photo up to rounding.",
    True: "PSNR-Y and SSIM-Y: against the original, on luma, as papers report them. LR-PSNR: the result, shrunk again, against what was enlarged.",
}
TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 1rem auto; max-width: 80rem; padding: 0 1rem; }}
.controls {{ display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: center; margin: .75rem 0; }}
.controls label {{ display: flex; gap: .5rem; align-items: center; }}
#wipe {{ width: min(24em, 70vw); }}
.window {{ overflow: auto; max-height: 80vh; border: 1px solid GrayText; }}
.stage {{ position: relative; width: max-content; }}
.stage img {{ display: block; image-rendering: pixelated; }}
.stage img[hidden] {{ display: none; }}
.stage img.top {{ position: absolute; left: 0; top: 0; }}
.numbers {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid GrayText; }}
th:first-child, td:first-child {{ text-align: left; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{said}</p>
<div class="controls">
<label>left <select id="left">{left}</select></label>
<label>wipe <input type="range" id="wipe" min="0" max="100" value="50" aria-label="show the left picture up to, in percent"></label>
<label>right <select id="right">{right}</select></label>
<label>zoom <select id="zoom"><option value="0">fit</option><option value="1" selected>1×</option><option value="2">2×</option><option value="4">4×</option>
</select></label>
</div>
<div class="window" tabindex="0" role="group" aria-label="the two pictures"><div class="stage">
{pictures}
</div></div>
<div class="numbers"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>
<p><small>{notes} Made with <code>gensr compare</code>.</small></p>
</main>
<script>
const get = id => document.getElementById(id), stage = document.querySelector(".stage"), pictures = [...stage.querySelectorAll("img")];
function show() {{
  const left = +get("left").value, right = +get("right").value, zoom = +get("zoom").value;
  pictures.forEach((p, k) => {{
    p.hidden = k !== left && k !== right;
    p.classList.toggle("top", k === right && left !== right);
    p.style.clipPath = k === right && left !== right ? `inset(0 0 0 ${{get("wipe").value}}%)` : "";
    p.style.width = zoom ? p.getAttribute("width") * zoom + "px" : stage.parentElement.clientWidth + "px";
    p.style.height = "auto";
  }});
}}
for (const id of ["left", "right", "wipe", "zoom"]) get(id).addEventListener("input", show);
addEventListener("resize", show);
// small pictures are shown larger: as many times as fit
get("zoom").value = [4, 2, 1].find(z => z * pictures[0].getAttribute("width") <= stage.parentElement.clientWidth) ?? 0;
show();
</script>
</body>
</html>
"""
