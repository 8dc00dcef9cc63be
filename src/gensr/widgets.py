"""Interactive views that need no kernel: plain HTML with the browser's own slider, and two in which a decoder runs in the page.

They work on the static site, in JupyterLab, in Colab and in a file sent by mail; by mouse, touch and keyboard; and a screen reader hears what is shown.

- `frames`: a slider that shows one of several pictures. `compare`: a wipe between two.
- `plane`: walk over a plane of latents. `paint`: paint with the words of a codebook. Both decode in the page, at once.
"""

import base64
import hashlib
import html
import io
from collections.abc import Sequence

import torch
from IPython.display import HTML, Image
from jaxtyping import Float, Int
from PIL import Image as PILImage
from torch import Tensor, nn

from gensr import _inpage

Picture = Image | Tensor

_SHOW = "this.closest('figure').querySelectorAll('img').forEach((e,i)=>e.hidden=i!=this.value);"
_LABEL = "var o=this.closest('figure').querySelector('output');o.value=o.dataset.labels.split('|')[this.value];this.setAttribute('aria-valuetext',o.value)"
# Runs to the last frame and stops there, or where the reader presses again, or takes the slider; a screen reader is told of no frame in between.
_PLAY = (
    "var b=this,f=b.closest('figure'),s=f.querySelector('input'),o=f.querySelector('output'),at;"
    "function show(v){s.value=at=v;s.dispatchEvent(new Event('input'))}"
    "function stop(){clearInterval(b.dataset.timer);delete b.dataset.timer;o.removeAttribute('aria-live');"
    "b.textContent='▶ play';b.setAttribute('aria-label',b.getAttribute('aria-label').replace(/^stop/,'play'))}"
    "function next(){if(!b.isConnected||+s.value!=at||at>=+s.max)return stop();show(at+1);if(at>=+s.max)stop()}"
    "if(b.dataset.timer){stop();return}"
    "o.setAttribute('aria-live','off');show(s.value==s.max?0:+s.value);b.textContent='■ stop';"
    "b.setAttribute('aria-label',b.getAttribute('aria-label').replace(/^play/,'stop'));b.dataset.timer=setInterval(next,400);"
)
_NEXT = "var s=this.closest('figure').querySelector('input');s.value=s.value==s.max?0:+s.value+1;s.dispatchEvent(new Event('input'));"
_STILL = "@media(prefers-reduced-motion:reduce){.gensr-play{display:none}}@media(prefers-reduced-motion:no-preference){.gensr-next{display:none}}"
_WIPE = "this.closest('figure').querySelector('.gensr-top').style.clipPath='inset(0 0 0 '+this.value+'%)';"
_SIDE = 240  # of the plane's own coordinates
_TEN = ("#0072B2", "#D55E00", "#007A5A", "#B0508A", "#A86F00", "#2A7FB0", "#000000", "#882255", "#6F6F1F", "#666666")  # dark enough on white for text
_BESIDE = "display:flex;flex-wrap:wrap;gap:.8em;align-items:flex-start"
_OFF = (
    '<p class="gensr-off">Nothing moves here: this view needs scripts, and they are off. On the course\'s website they run; '
    "in JupyterLab, trust the notebook.</p>"
)
_BUTTONS = " ".join(
    f'<button type="button"{more}>{text}</button>'
    for text, more in (("reset", ""), ("next example", ""), ("random word", ""), ("take a word from the grid", ' aria-pressed="false"'))
)


def frames(pictures: Sequence[Picture], labels: Sequence[str], name: str, alts: Sequence[str], *, start: int = 0, play: bool = False) -> HTML:
    """A slider that shows one of several pictures.

    Args:
        pictures: what `gensr.plots` returns, or images (c, h, w) in [0, 1].
        labels: what each frame is, shown beside the slider: "0.1", "0.2", …; no "|" in them.
        name: what the slider changes, such as "temperature τ".
        alts: what each frame shows, for those who cannot see it.
        start: the frame shown first.
        play: a button that runs through the frames once, from where the slider stands to the last. Whoever asked the system for less motion gets one that
            shows the next frame instead.

    Raises:
        ValueError: lists of different lengths, no frame, or a label with "|".
    """
    if not pictures or not len(pictures) == len(labels) == len(alts):
        raise ValueError(f"pictures, labels, alts: expected equal lengths, got {len(pictures)}, {len(labels)}, {len(alts)}")
    if not 0 <= start < len(pictures):
        raise ValueError(f"start: expected 0 to {len(pictures) - 1}, got {start}")
    if any("|" in label for label in labels):
        raise ValueError("labels: must not contain '|'")
    uris = [_uri(p) for p in pictures]
    shown = "".join(
        f'<img src="{u}" alt="{html.escape(a)}"{_width(p)}{"" if i == start else " hidden"}>'
        for i, (u, a, p) in enumerate(zip(uris, alts, pictures, strict=True))
    )
    key = hashlib.sha1("".join(uris).encode()).hexdigest()[:8]
    slider = (
        f'<input type="range" id="f{key}" min="0" max="{len(uris) - 1}" step="1" value="{start}" aria-valuetext="{html.escape(labels[start])}" '
        f'oninput="{_SHOW}{_LABEL}" style="width:min(24em,60%)">'
    )
    joined, spoken, buttons = html.escape("|".join(labels)), html.escape(name), ""
    if play:
        buttons = (
            f'<style>{_STILL}</style><button type="button" class="gensr-play" aria-label="play: {spoken}" aria-controls="f{key}" '
            f'onclick="{html.escape(_PLAY)}" style="min-width:5em">▶ play</button>'
            f'<button type="button" class="gensr-next" aria-label="next: {spoken}" aria-controls="f{key}" onclick="{html.escape(_NEXT)}">next ▸</button> '
        )
    return HTML(
        f'<figure class="gensr-frames" style="margin:0">{shown}<div>{buttons}<label for="f{key}">{spoken}</label> {slider} '
        f'<output for="f{key}" data-labels="{joined}">{html.escape(labels[start])}</output></div></figure>'
    )


def compare(a: Picture, b: Picture, labels: tuple[str, str], *, alt: str, width: int | None = None) -> HTML:
    """Two pictures of equal size over each other; the slider wipes from one to the other.

    Args:
        a, b: left and right picture.
        labels: their names.
        alt: what both show.
        width: pixels on the page; the picture's own by default.
    """
    ua, ub = _uri(a), _uri(b)
    key = hashlib.sha1((ua + ub).encode()).hexdigest()[:8]
    box = f' style="width:{width}px;max-width:100%"' if width else ' style="max-width:100%"'
    left, right = (html.escape(v) for v in labels)
    return HTML(
        f'<figure class="gensr-compare" style="margin:0"><div class="gensr-stack" style="position:relative;display:inline-block;max-width:100%">'
        f'<img src="{ua}" alt="{html.escape(alt)}: {left}"{box}>'
        f'<img class="gensr-top" src="{ub}" alt="{html.escape(alt)}: {right}" '
        f'style="position:absolute;left:0;top:0;width:100%;height:100%;clip-path:inset(0 0 0 50%)"></div>'
        f'<div><label for="c{key}">{left} | {right}</label> <input type="range" id="c{key}" min="0" max="100" value="50" aria-label="show {left} up to" '
        f'oninput="{_WIPE}" style="width:min(24em,60%)"></div></figure>'
    )


def plane(
    decoder: nn.Module, likelihood: nn.Module | None = None, *, alt: str, name: str = "latent z", limits: tuple[float, float] = (-3, 3),
    start: tuple[float, float] = (0, 0), points: Float[Tensor, "n 2"] | None = None, labels: Sequence[str] | None = None, size: int = 240,
) -> HTML:
    """A plane of latents beside the image that the decoder makes of the chosen one: drag on the plane, use the arrow keys on it, or move two sliders.

    The decoder runs in the reader's page, with weights rounded to 16-bit floats: the image is its answer, not the nearest of some stored pictures.

        widgets.plane(vae.decoder, vae.likelihood, points=mu, labels=[str(k) for k in digit], alt="The digit that the decoder makes of z")

    A latent of more dimensions is shown along two directions: put a Linear(2, k) before the decoder, `nn.Sequential(walk, vae.decoder)`.

    Args:
        decoder: (b, 2) to images (b, 1, h, w) or (b, 3, h, w). It may hold Linear, Conv2d (stride 1), PixelShuffle, Flatten, Unflatten, ReLU, LeakyReLU, SiLU,
            Tanh, Sigmoid, Identity, Dropout, Sequential (so an `MLP`) and `ResBlock`.
        likelihood: what its output means, Bernoulli, Gaussian or DiscretizedLogistic: the mean is shown. None if the output is the image.
        alt: what the image shows, for those who cannot see it.
        name: what the plane is, such as "latent z of a digit".
        limits: of both axes.
        start: z at first.
        points: where data lie: the means of q(z|x), say. A few hundred show enough.
        labels: of each point, drawn in the middle of the points that share it, with a colour for each; the nearest point's label is told beside the sliders.
        size: of plane and image on the page, in pixels.

    Raises:
        ValueError: a layer that does not run in the page (named); more HTML than 250,000 characters, about 90,000 weights; empty limits, a start outside them;
            points and labels of different lengths.
    """
    low, high = limits
    if not low < high:
        raise ValueError(f"limits: expected the smaller first, got {limits}")
    if not all(low <= v <= high for v in start):
        raise ValueError(f"start: expected two numbers from {low} to {high}, got {start}")
    if labels is not None and (points is None or len(labels) != len(points)):
        raise ValueError(f"labels: expected one for each of {0 if points is None else len(points)} points, got {len(labels)}")
    net = _inpage.translate(decoder, likelihood, (2,))
    still = _inpage.mean(decoder, likelihood, torch.tensor([start], dtype=torch.float32))
    xy = torch.zeros(0, 2) if points is None else points.detach().cpu().float()
    inside = ((xy >= low) & (xy <= high)).all(1)
    known = [] if labels is None else [[*(round(v, 2) for v in p), k] for p, k in zip(xy.tolist(), labels, strict=True)]
    data = {"layers": net.layers, "halves": net.halves(), "limits": [low, high], "side": _SIDE, "points": known}
    groups = {k: [i for i in range(len(xy)) if inside[i] and (labels is None or labels[i] == k)] for k in ([""] if labels is None else sorted(set(labels)))}
    spoken, step = html.escape(name), (high - low) / 200
    sliders = " ".join(
        f'<label>{spoken}{sub} <input type="range" min="{low}" max="{high}" step="{step:g}" value="{v:g}" style="width:8em"></label>'
        for sub, v in zip("₁₂", start, strict=True)
    )
    body = (
        f'<div style="{_BESIDE}"><svg class="gensr-pad" viewBox="0 0 {_SIDE} {_SIDE}" width="{size}" height="{size}" tabindex="0" role="application" '
        f'aria-label="{spoken}: a plane from {low:g} to {high:g} both ways; arrow keys move, with shift in small steps, Home goes to the middle">'
        f"{_scatter(xy, groups, low, high)}</svg>{_still(still, alt, size)}</div>{_OFF}"
        f"<div hidden>{sliders} <output></output></div>"
    )
    return HTML(_inpage.page("plane", data, body, name))


def paint(
    embed: Float[Tensor, "k d"], decoder: nn.Module, likelihood: nn.Module | None = None, *, starts: Int[Tensor, "n h w"], names: Sequence[str], alt: str,
    name: str = "paint with codes", size: int = 240, pictures: Float[Tensor, "k c p q"] | None = None,
) -> HTML:
    """A grid of codes to paint on, beside the image that the decoder makes of it; below, the words to paint with.

    Each word is shown as the image of a grid full of it, or by a picture of yours, darkest first. Paint on the grid or on the image, by mouse, finger or arrow
    keys and Enter; choose a word below, take one from the grid, or draw one at random. A frame marks the places that differ from the start. The decoder runs
    in the reader's page.

        widgets.paint(vq.quantizer.codebook, vq.decoder, vq.likelihood, starts=codes, names=["a 7 of the test set", "from the prior"], alt="The decoded digit")

    Args:
        embed: the codebook, K words of d numbers.
        decoder: (b, d, h, w) to images (b, 1, ·, ·) or (b, 3, ·, ·), of the layers that `plane` can run, such as `gensr.models.vqvae.decoder` with hidden=32
            (about 80,000 weights on a 4 times finer image).
        likelihood: what its output means, as for `plane`.
        starts: grids to start from; "next example" goes through them.
        names: what each of them is.
        alt: what the image shows, for those who cannot see it.
        name: what the view is, told by screen readers.
        size: of grid and image on the page, in pixels.
        pictures: small images in [0, 1], what each word stands for: the mean of the places where it was used, say.

    Raises:
        ValueError: a layer that does not run in the page (named); more HTML than 250,000 characters, about 90,000 weights; no start, names of another length,
            a code outside 0 to K − 1; pictures for another number of words.
    """
    if len(starts) == 0 or len(names) != len(starts):
        raise ValueError(f"starts, names: expected equal lengths, at least 1, got {len(starts)} and {len(names)}")
    k, d = embed.shape
    if starts.min() < 0 or starts.max() >= k:
        raise ValueError(f"starts: expected codes from 0 to {k - 1}, got {int(starts.min())} to {int(starts.max())}")
    starts, book = starts.detach().cpu(), embed.detach().cpu().float()
    h, w = starts.shape[1:]
    net = _inpage.translate(decoder, likelihood, (d, h, w), book)
    still = _inpage.mean(decoder, likelihood, book[starts[:1]].movedim(-1, 1))
    if pictures is not None and len(pictures) != k:
        raise ValueError(f"pictures: expected one for each of {k} words, got {len(pictures)}")
    shown = _inpage.mean(decoder, likelihood, book[:, :, None, None].expand(k, d, h, w)) if pictures is None else pictures.detach().cpu().clamp(0, 1)
    light = shown.mean((1, 2, 3))
    levels = None if pictures is None else {"shape": list(shown.shape[1:]), "x": (255 * shown).round().int().flatten(1).tolist()}
    data = {
        "layers": net.layers, "halves": net.halves(), "starts": starts.tolist(), "names": list(names), "order": light.argsort().tolist(),
        "light": [round(v, 3) for v in light.tolist()], "pictures": levels,
    }
    spoken = html.escape(name)
    body = (
        f'<div style="{_BESIDE}"><div class="gensr-grid" role="grid" aria-label="{spoken}: codes, row by row; arrow keys move, Enter paints" '
        f'style="width:{size}px;height:{round(size * h / w)}px" hidden></div>{_still(still, alt, size)}</div>{_OFF}'
        f'<div hidden><p style="margin:.4em 0"><output></output></p><div class="gensr-buttons">{_BUTTONS}</div>'
        f'<div class="gensr-words" role="radiogroup" aria-label="words to paint with, darkest first"></div></div>'
    )
    return HTML(_inpage.page("paint", data, body, name))


def _still(image: Tensor, alt: str, size: int) -> str:
    """The picture that stands where the page's own goes; the only one where scripts are off."""
    return f'<img src="{_uri(image)}" alt="{html.escape(alt)}" style="width:{size}px">'


def _scatter(xy: Tensor, groups: dict[str, list[int]], low: float, high: float) -> str:
    """Axes, points in their colours, each label in the middle of its points, and the mark of z."""
    at = torch.stack([xy[:, 0] - low, high - xy[:, 1]], 1) * (_SIDE / (high - low))
    zero = [v for v in (-low * _SIDE / (high - low),) if 0 < v < _SIDE]
    parts = [f'<path d="M{v:.0f} 0V{_SIDE}M0 {_SIDE - v:.0f}H{_SIDE}" stroke="#bbb" fill="none"/>' for v in zero]
    for i, members in enumerate(groups.values()):
        d = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in at[members].tolist())
        parts.append(f'<path d="{d}" stroke="{_TEN[i % 10]}" stroke-width="4" stroke-linecap="round" opacity="0.55" fill="none"/>')
    for i, (label, members) in enumerate(groups.items()):
        if label and members:
            x, y = at[members].median(0).values.tolist()
            parts.append(
                f'<text x="{x:.0f}" y="{y:.0f}" fill="{_TEN[i % 10]}" stroke="#fff" stroke-width="4" paint-order="stroke" font-size="15" font-weight="bold" '
                f'text-anchor="middle" dominant-baseline="central">{html.escape(label)}</text>'
            )
    ring = '<circle r="7" fill="none" stroke="#fff" stroke-width="5"/><circle r="7" fill="none" stroke="#000" stroke-width="2"/><circle r="1.5"/>'
    return "".join(parts) + f'<g class="gensr-z">{ring}</g>'


def _uri(p: Picture) -> str:
    if isinstance(p, Image):
        kind, data = p.format, bytes(p.data)  # type: ignore[arg-type]
    else:
        while p.dim() > 3 and p.shape[0] == 1:
            p = p[0]
        if p.dim() != 3 or p.shape[0] not in (1, 3):
            raise ValueError(f"pictures: expected (3, h, w) or (1, h, w), got shape {tuple(p.shape)}")
        a = (p.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        image = PILImage.fromarray(a[0].numpy() if a.shape[0] == 1 else a.permute(1, 2, 0).contiguous().numpy())
        kind, buffer = "png", io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        if buffer.tell() > 60_000:
            kind, buffer = "jpeg", io.BytesIO()
            image.save(buffer, "JPEG", quality=88)
        data = buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _width(p: Picture) -> str:
    return f' width="{p.width}"' if isinstance(p, Image) and p.width else ""
