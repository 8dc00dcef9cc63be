"""Figures for chapters: image grids, densities in the plane, curves. Each comes back as a small image, ready to be a cell's last line.

Colours are the Okabe-Ito palette, which colour-blind readers can tell apart. Figures keep a white ground, so that they stay legible on dark pages.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from cycler import cycler
from IPython.display import Image
from matplotlib.figure import Figure
from PIL import Image as PILImage
from torch import Tensor

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LIMIT = 80_000  # bytes a figure may take
STYLE: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=COLORS[:7]), "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "font.size": 10, "axes.titlesize": 10, "legend.frameon": False, "image.interpolation": "nearest", "image.cmap": "gray", "lines.linewidth": 1.8,
}
matplotlib.rcParams.update(STYLE)


def new_figure(rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (3.2, 2.4)) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns axes, each of `size` inches; draw on it, then `finish(figure)`. Returns the figure and a 2-D array of axes."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def finish(figure: Figure, dpi: int = 110, limit: int = LIMIT) -> Image:
    """Render a figure to PNG, with 256 colours where that shows no difference (line plots), or to JPEG where PNG would exceed `limit` bytes (photographs)."""
    buffer, width = io.BytesIO(), round(figure.get_figwidth() * 96)
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    picture = PILImage.open(buffer).convert("RGB")
    few = picture.quantize(256, method=PILImage.Quantize.MEDIANCUT, dither=PILImage.Dither.NONE)
    if np.abs(np.asarray(few.convert("RGB"), np.int16) - np.asarray(picture, np.int16)).mean() < 0.25:  # grey levels of 255
        buffer = io.BytesIO()
        few.save(buffer, "PNG", optimize=True)
    if buffer.tell() <= limit:
        return Image(buffer.getvalue(), format="png", width=width)
    for quality in (92, 85, 75, 60, 45):
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=quality, optimize=True)
        if jpeg.tell() <= limit:
            break
    return Image(jpeg.getvalue(), format="jpeg", width=width)


def images(
    *pictures: Tensor, titles: Sequence[str] = (), columns: int | None = None, height: float = 1.6, data_range: tuple[float, float] = (0.0, 1.0),
    limit: int = LIMIT,
) -> Image:
    """A grid of images (c, h, w), (1, c, h, w) or (h, w), grey or RGB, nearest neighbour, with titles.

    Args:
        columns: images in a row; all in one row by default.
        height: inches of one image; widths follow.
        data_range: values shown as black and white; what lies outside is clipped.
        limit: bytes the figure may take; JPEG where PNG would take more.

    Raises:
        ValueError: no image, or one of another shape.
    """
    if not pictures:
        raise ValueError("pictures: expected at least one image")
    arrays = [_array(p, data_range) for p in pictures]
    columns = columns or len(arrays)
    rows = math.ceil(len(arrays) / columns)
    aspect = max(a.shape[1] / a.shape[0] for a in arrays)
    figure, axes = new_figure(rows, columns, size=(height * aspect + 0.05, height + (0.25 if titles else 0.05)))
    for k, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if k < len(arrays):
            ax.imshow(arrays[k], vmin=0, vmax=1)
            if k < len(titles):
                ax.set_title(titles[k])
    return finish(figure, limit=limit)


def curves(
    x: Sequence[float] | Tensor | None, ys: Mapping[str, Sequence[float] | Tensor], *, xlabel: str = "", ylabel: str = "", log: bool = False,
    size: tuple[float, float] = (5.0, 2.8),
) -> Image:
    """Several curves over one x (their index when None), with a legend; each also has its own dash, for readers in grey."""
    figure, axes = new_figure(size=size)
    ax = axes[0, 0]
    for (label, y), dash in zip(ys.items(), ("-", "--", "-.", ":", "-", "--", "-."), strict=False):
        y = np.asarray(torch.as_tensor(y).detach().cpu())
        ax.plot(np.arange(len(y)) if x is None else np.asarray(x), y, dash, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        ax.set_yscale("log")
    if len(ys) > 1:
        ax.legend()
    return finish(figure)


def density(log_prob: Callable[[Tensor], Tensor], *, limits: tuple[float, float] = (-3, 3), points: Tensor | None = None, size: float = 3.0) -> Image:
    """Heat map of exp(log_prob) over a square of the plane; `log_prob` maps (n, 2) to (n,). `points` (n, 2) are drawn over it."""
    t = torch.linspace(*limits, 120)
    grid = torch.stack(torch.meshgrid(t, t, indexing="xy"), -1).reshape(-1, 2)
    with torch.no_grad():
        p = log_prob(grid).exp().reshape(120, 120)
    figure, axes = new_figure(size=(size, size))
    ax = axes[0, 0]
    ax.imshow(p.numpy(), origin="lower", extent=(*limits, *limits), cmap="Blues")
    if points is not None:
        ax.plot(*points.detach().T.numpy(), ".", ms=3, color=COLORS[1], alpha=0.6)
    ax.grid(False)
    return finish(figure)


def _array(p: Tensor, data_range: tuple[float, float]) -> np.ndarray:
    p = p.detach().float().cpu()
    while p.dim() > 2 and p.shape[0] == 1:
        p = p[0]
    if not (p.dim() == 2 or (p.dim() == 3 and p.shape[0] == 3)):
        raise ValueError(f"pictures: expected (h, w), (1, h, w) or (3, h, w), got shape {tuple(p.shape)}")
    p = ((p - data_range[0]) / (data_range[1] - data_range[0])).clamp(0, 1)
    return (p if p.dim() == 2 else p.permute(1, 2, 0)).numpy()
