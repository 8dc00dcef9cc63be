"""Interactive views that need no kernel: plain HTML with the browser's own slider.

They work on the static site, in JupyterLab, in Colab and in a file sent by mail; they work by keyboard, and a screen reader hears the label of each frame.
"""

import base64
import hashlib
import html
import io
from collections.abc import Sequence

import torch
from IPython.display import HTML, Image
from PIL import Image as PILImage
from torch import Tensor

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
