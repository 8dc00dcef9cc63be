"""`gensr evaluate`."""

import csv as csv_module
import io
import re
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from gensr import weights
from gensr.cli.enlarge import Enlarger, enlarge, enlarger, to_tensor
from gensr.data.photos import crop_to_multiple
from gensr.io import SUFFIXES, ImageError, Picture, check_place, read_image, whole_file
from gensr.metrics import lr_psnr, sr_scores
from gensr.resize import imresize


class Row(NamedTuple):
    """Scores of one image."""

    image: str
    psnr_y: float
    ssim_y: float
    lr_psnr: float


def shrink(x: torch.Tensor, scale: int, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The sharp image cropped to a multiple of the factor, and its LR image as MATLAB would have written it, both in [0, 1].

    Raises:
        ImageError: too small to be scored.
    """
    need = 2 * scale + 11
    h, w = x.shape[-2:]
    if min(h - h % scale, w - w % scale) < need:
        raise ImageError(f"{path}: {w}x{h} pixels are too few to score at ×{scale}, which needs {-(-need // scale) * scale} on each side")
    x = crop_to_multiple(x, scale)
    return x, imresize((x * 255).round().to(torch.uint8), 1 / scale).float() / 255


def score(how: Enlarger, x: torch.Tensor, y: torch.Tensor, *, progress: bool | None = None) -> tuple[torch.Tensor, Row]:
    """Enlarge y and compare with x: the estimate, and its scores."""
    x_hat = to_tensor(enlarge(Picture(y, None, False), how, progress=progress))
    found = sr_scores(x_hat, x, how.scale)
    return x_hat, Row(how.label, found.psnr.item(), found.ssim.item(), lr_psnr(x_hat, y).item())


def evaluate(name: str, folder: Path, csv: Path | None, *, ensemble: bool, force: bool) -> None:
    """Score a weight, or bicubic, on a folder of images.

    Raises:
        ImageError: no such folder, no image in it, or one that cannot be read. ValueError: no such weight. WeightsError: a damaged one.
    """
    split = re.fullmatch(r"(\w+)_x(\d+)", name)
    if not split:
        raise ValueError(f"NAME: expected a weight such as edsr_x4 or bicubic_x4, got {name!r}")
    if csv is not None:
        check_place(csv, force=force)
    if not folder.is_dir():
        raise ImageError(f"{folder}: {'is a file, expected a folder' if folder.exists() else 'no such folder'}")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise ImageError(f"{folder}: no image in it ({' '.join(SUFFIXES)})")
    try:
        how = enlarger(split[1], int(split[2]), ensemble=ensemble)
    except weights.WeightsError:
        raise
    except ValueError as e:  # names --method or --scale, which this command does not have
        raise ValueError(f"NAME: {str(e).split(': ', 1)[-1]}") from None
    rows = []
    for path in tqdm(paths, desc=name, unit="image", disable=None, leave=False):
        x, y = shrink(read_image(path), how.scale, path)
        rows.append(score(how, x, y, progress=False)[1]._replace(image=path.name))
    mean = Row("mean", *(sum(r[k] for r in rows) / len(rows) for k in (1, 2, 3)))
    if csv is not None:
        text = io.StringIO()
        writer = csv_module.writer(text)
        writer.writerow(Row._fields)
        writer.writerows((r.image, f"{r.psnr_y:.4f}", f"{r.ssim_y:.5f}", f"{r.lr_psnr:.4f}") for r in [*rows, mean])
        with whole_file(csv) as f:
            f.write(text.getvalue().encode())
    print(table(rows, mean, "image"))


def table(rows: list[Row], mean: Row | None, head: str) -> str:
    """The scores as aligned text."""
    wide = max(len(r.image) for r in [*rows, mean] if r) if rows else 0
    wide = max(wide, len(head))
    lines = [f"{head:<{wide}}  PSNR-Y dB  SSIM-Y  LR-PSNR dB"]
    lines += [f"{r.image:<{wide}}  {r.psnr_y:9.2f}  {r.ssim_y:6.4f}  {r.lr_psnr:10.2f}" for r in rows]
    if mean:
        lines += ["-" * len(lines[0]), f"{mean.image:<{wide}}  {mean.psnr_y:9.2f}  {mean.ssim_y:6.4f}  {mean.lr_psnr:10.2f}"]
    return "\n".join(lines)
