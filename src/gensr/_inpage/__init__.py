"""A part of `gensr.widgets`: a decoder that runs in the reader's page.

`translate` turns a torch module into a short list of layers and its weights, rounded to 16-bit floats; net.js runs that list, in plain JavaScript with no eval.
plane.js and paint.js are the two views; `page` puts a view's markup, style, data and script together into one piece of HTML that fetches nothing.
"""

import base64
import hashlib
import html
import json
import math
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LIMIT = 250_000  # characters of HTML that one view may have
Shape = tuple[int, ...]
KNOWN = (
    "Linear, Conv2d, PixelShuffle, Flatten, Unflatten, ReLU, LeakyReLU, SiLU, Tanh, Sigmoid, Identity, Dropout, Sequential, gensr.nets.ResBlock, "
    "and as the likelihood Bernoulli, Gaussian or DiscretizedLogistic"
)


class Net:
    """Layers for net.js, and their weights in the order in which it takes them; `shape` is that of one example so far, without the batch.

    Raises:
        ValueError: a layer that net.js does not know or cannot be fed, named; a weight beyond the range of 16-bit floats.
    """

    def __init__(self, shape: Shape):
        self.shape = shape
        self.layers: list[list[Any]] = []
        self.weights: list[np.ndarray] = []

    def add(self, module: nn.Module) -> None:
        """Append a module, with what is inside it."""
        plain = _ELEMENTWISE.get(type(module))
        if plain:
            self.layers.append(plain(module))
        elif type(module) in (nn.Identity, nn.Dropout, nn.Dropout2d) or type(module).__name__ == "Gaussian":
            pass  # does nothing when a trained net is used; a Gaussian's mean is the net's output
        elif isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
            for m in module:
                self.add(m)
        elif type(module) is nn.Linear:
            self._need(module, len(self.shape) == 1 and self.shape[0] == module.in_features)
            self.take(module.weight, _bias(module, module.out_features))
            self._put(["linear", module.out_features, module.in_features], (module.out_features,))
        elif type(module) is nn.Conv2d:
            self._conv(module)
        elif type(module) is nn.PixelShuffle:
            r = module.upscale_factor
            self._need(module, len(self.shape) == 3 and self.shape[0] % r**2 == 0)
            c, h, w = self.shape
            self._put(["shuffle", r], (c // r**2, h * r, w * r))
        elif type(module) is nn.Flatten:
            self._need(module, (module.start_dim, module.end_dim) == (1, -1))
            n = math.prod(self.shape)
            self._put(["shape", n], (n,))
        elif type(module) is nn.Unflatten:
            to = tuple(module.unflattened_size)
            self._need(module, module.dim in (1, -1) and len(self.shape) == 1 and -1 not in to and math.prod(to) == self.shape[0])
            self._put(["shape", *to], to)
        elif type(module).__name__ == "ResBlock" and hasattr(module, "branch") and hasattr(module, "res_scale"):
            branch = Net(self.shape)
            branch.add(module.branch)  # type: ignore[arg-type]
            self.weights += branch.weights
            self.layers.append(["residual", float(module.res_scale), branch.layers])  # type: ignore[arg-type]
        elif type(module).__name__ == "Bernoulli":
            self.layers.append(["sigmoid"])
        elif type(module).__name__ == "DiscretizedLogistic":
            self.layers.append(["location"])
        else:
            raise ValueError(f"decoder: {type(module).__name__} does not run in the page; what does: {KNOWN}")

    def take(self, *tensors: Tensor) -> None:
        """Append weights."""
        for t in tensors:
            a = t.detach().cpu().float().flatten().numpy()
            if not (np.abs(a) < 65504).all():
                raise ValueError("decoder: expected finite weights below 65504, the largest 16-bit float")
            self.weights.append(a.astype("<f2"))

    def halves(self) -> str:
        """All weights as base64 of 16-bit floats, the lower byte first."""
        return base64.b64encode(np.concatenate([*self.weights, np.zeros(0, "<f2")]).tobytes()).decode()

    def _conv(self, m: nn.Conv2d) -> None:
        size, pad = m.kernel_size[0], m.padding[0]
        plain = m.stride == m.dilation == (1, 1) and m.groups == 1 and m.padding_mode == "zeros" and m.kernel_size == (size, size)
        self._need(m, plain and not isinstance(m.padding, str) and m.padding == (pad, pad) and len(self.shape) == 3 and self.shape[0] == m.in_channels)
        grow = 2 * int(pad) - size + 1
        self.take(m.weight, _bias(m, m.out_channels))
        self._put(["conv", m.out_channels, m.in_channels, size, int(pad)], (m.out_channels, self.shape[1] + grow, self.shape[2] + grow))

    def _need(self, module: nn.Module, good: bool) -> None:
        if not good:
            raise ValueError(f"decoder: {module} on an input of shape {self.shape} does not run in the page")

    def _put(self, layer: list[Any], shape: Shape) -> None:
        self.layers.append(layer)
        self.shape = shape


_ELEMENTWISE: dict[type, Callable[[Any], list[Any]]] = {
    nn.ReLU: lambda m: ["relu"], nn.LeakyReLU: lambda m: ["leaky", m.negative_slope], nn.SiLU: lambda m: ["silu"], nn.Tanh: lambda m: ["tanh"],
    nn.Sigmoid: lambda m: ["sigmoid"],
}


def translate(decoder: nn.Module, likelihood: nn.Module | None, shape: Shape, embed: Tensor | None = None) -> Net:
    """A decoder for examples of this shape, and the mean of its likelihood; with `embed` (K, d), codes (h, w) are looked up in it first.

    Raises:
        ValueError: a layer that does not run in the page; an output that is no grey or colour image.
    """
    net = Net(shape)
    if embed is not None:
        net.take(embed)
        net.layers.append(["embed", *embed.shape])
    net.add(decoder)
    if likelihood is not None:
        net.add(likelihood)
    if len(net.shape) != 3 or net.shape[0] not in (1, 3):
        raise ValueError(f"decoder: expected an image (1, h, w) or (3, h, w) to come out, got {net.shape}")
    return net


def mean(decoder: nn.Module, likelihood: Any, z: Tensor) -> Tensor:
    """What net.js computes, by torch: the mean images in [0, 1], with the modules in evaluation mode."""
    modes = [(m, m.training) for top in (decoder, likelihood) if top is not None for m in top.modules()]
    for m, _ in modes:
        m.training = False
    try:
        with torch.no_grad():
            out = decoder(z)
            return (out if likelihood is None else likelihood.mean(out)).clamp(0, 1)
    finally:
        for m, mode in modes:
            m.training = mode


def page(view: str, data: dict[str, Any], body: str, label: str) -> str:
    """One figure: `body`, the data that the view's script reads, and the scripts.

    Raises:
        ValueError: more than LIMIT characters.
    """
    net, script, style = (files("gensr._inpage").joinpath(name).read_text(encoding="utf-8") for name in ("net.js", f"{view}.js", f"{view}.css"))
    held = html.escape(json.dumps(data, separators=(",", ":"), ensure_ascii=False))
    key = hashlib.sha1((held + body).encode()).hexdigest()[:8]
    text = (
        f'<figure class="gensr-{view}" data-gensr="{key}" data-net="{held}" data-lm-suppress-shortcuts="true" role="group" aria-label="{html.escape(label)}" '
        f'style="margin:0"><style>\n{style}</style>{body}<script>(()=>{{\n{net}{script}'
        f"document.querySelectorAll('figure[data-gensr=\"{key}\"]:not([data-ready])').forEach(gensrView);\n}})();</script></figure>"
    )
    if len(text) > LIMIT:
        raise ValueError(f"decoder: the view would have {len(text):,} characters of HTML, at most {LIMIT:,}; take a smaller decoder")
    return text


def _bias(m: Any, n: int) -> Tensor:
    return torch.zeros(n) if m.bias is None else m.bias
