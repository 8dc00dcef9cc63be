"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


def _mask(*, a: str = "own < mine", b: str = "own <= mine", past: str = "flat[: size * size // 2] = 1", group: str = "torch.arange(n) // (n // groups)",
          whole: bool = False, shape: str = "out, channels", last: str = "mask") -> str:
    everywhere = "mask = mask * reads[:, :, None, None]" if whole else "pass"
    return f"""
def group_mask(kind, channels, out, size, groups):
    def of(n):
        return {group}
    flat = torch.zeros(size * size)
    {past}
    mine, own = of(out)[:, None], of(channels)[None]
    reads = (({a}) if kind == "A" else ({b})).float().expand(out, channels)
    mask = flat.view(size, size).repeat(out, channels, 1, 1)
    {everywhere}
    mask[:, :, size // 2, size // 2] = reads
    return {last}
"""


_LAYER = {
    "tall": "layer.tall(nn.functional.pad(v, (1, 1, 1, 0)))",
    "lowered": "nn.functional.pad(up, (0, 0, 1, 0))[:, :, :-1]",
    "row": "layer.wide(nn.functional.pad(h, (2, -1, 0, 0) if first else (1, 0, 0, 0)))",
    "mixed": "gate(row + layer.link(lowered))",
    "a": "u[:, : u.shape[1] // 2]",
    "b": "u[:, u.shape[1] // 2 :]",
    "gated": "a.tanh() * b.sigmoid()",
    "v": "gate(up)",
    "h": "layer.out(mixed) if first else h + layer.out(mixed)",
}


def _layer(**other: str) -> str:
    s = {**_LAYER, **other}
    return f"""
def two_stacks(v, h, layer, first):
    def gate(u):
        a, b = {s["a"]}, {s["b"]}
        return {s["gated"]}
    up = {s["tall"]}
    lowered = {s["lowered"]}
    row = {s["row"]}
    mixed = {s["mixed"]}
    return {s["v"]}, {s["h"]}
"""


_MIX = {
    "x": "x[:, None]",
    "half": "0.5 / (levels - 1)",
    "sharp": "(-log_scale).exp()",
    "black": "x < half",
    "white": "x > 1 - half",
    "inner": "below + above + (-torch.expm1(-2 * half * sharp)).log()",
    "mass": "torch.where(black, below, torch.where(white, above, inner))",
    "end": "(weight.log_softmax(1) + mass).logsumexp(1)",
}


def _mix(**other: str) -> str:
    s = {**_MIX, **other}
    return f"""
def mixture_log_prob(x, weight, mean, log_scale, levels):
    x, half, sharp = {s["x"]}, {s["half"]}, {s["sharp"]}
    below, above = logsigmoid((x - mean + half) * sharp), logsigmoid((mean - x + half) * sharp)
    black, white = {s["black"]}, {s["white"]}
    inner = {s["inner"]}
    mass = {s["mass"]}
    return {s["end"]}
"""


DENSITY = "-t - 2 * nn.functional.softplus(-t) + sharp.log()"

_DRAW = {
    "start": "torch.where(known, given, torch.zeros(()))",
    "places": "[(c, i, j) for i in range(h) for j in range(w) for c in range(colours)]",
    "skip": "known[i, j]",
    "before": "pass",
    "logits": "model(x)[:, :, c, i, j]",
    "level": "(p.cumsum(1)[:, :-1] <= u[:, c, i, j, None]).sum(1)",
    "write": "x[:, c, i, j] = level / (levels - 1)",
}


def _draw(**other: str) -> str:
    s = {**_DRAW, **other}
    return f"""
def complete(model, given, known, u, levels):
    b, colours, h, w = given.shape
    x = {s["start"]}
    {s["before"]}
    for c, i, j in {s["places"]}:
        if {s["skip"]}:
            continue
        logits = {s["logits"]}
        p = logits.softmax(1)
        level = {s["level"]}
        {s["write"]}
    return x
"""


WRONG = {
    "group_mask": [
        Wrong("mask A in every layer", "what was right for the picture is kept for the features", _mask(b="own < mine"), "hide a place's own features again"),
        Wrong("mask B in the first layer", "the kinds told apart by nothing, the centre left open", _mask(a="own <= mine"), "reads the very number"),
        Wrong("kinds exchanged", "A remembered as 'all'", _mask(a="own <= mine", b="own < mine"), "have changed places"),
        Wrong("RGB backwards", "the comparison turned round, so that B comes before R", _mask(a="own > mine", b="own >= mine"), "blue first"),
        Wrong("interleaved groups", "channel number modulo 3, as RGB bytes lie in a file", _mask(group="torch.arange(n) % groups"), "like the bytes of a file"),
        Wrong("channel numbers", "channels compared by their numbers instead of their colours", _mask(group="torch.arange(n)"), "compare the numbers of channels"),
        Wrong("colours only inside the pixel forgotten", "the rule of the grey mask for all channels", _mask(a="own < -1 + 0 * mine", b="own < 99 + 0 * mine"),
              "no difference between colours"),
        Wrong("own colour only", "colours taken for three separate pictures", _mask(a="own < -1 + 0 * mine", b="own == mine"), "three grey pictures"),
        Wrong("whole row of the centre", "rows masked, columns forgotten", _mask(past="flat[: size * (size // 2 + 1)] = 1"), "right of the centre"),
        Wrong("colour mask everywhere", "the colour rule applied to the whole kernel", _mask(whole=True), "drawn completely before"),
        Wrong("columns first", "reading order by columns", _mask(past="flat[: size * size // 2] = 1; flat = flat.view(size, size).T.reshape(-1)"), "column by column"),
        Wrong("flipped kernel", "a convolution in the mathematician's sense turns its kernel round", _mask(past="flat[size * size // 2 + 1 :] = 1"), "does not turn its kernel"),
        Wrong("no rows above", "only the row of the centre is masked, the rest is left out", _mask(past="flat[size * (size // 2) : size * size // 2] = 1"), "rows above are missing"),
        Wrong("transposed weights", "input before output, as in a matrix product x W", _mask(last="mask.transpose(0, 1)"), "outputs come first"),
    ],
    "two_stacks": [
        Wrong("horizontal-to-vertical leak", "information exchanged both ways, as between two branches of any network",
              _layer(v="gate(up + row)"), "must not know what the horizontal"),
        Wrong("not lowered", "the two stacks simply added", _layer(lowered="up"), "whole of its own row"),
        Wrong("lifted", "the shift in the wrong direction", _layer(lowered="nn.functional.pad(up, (0, 0, 0, 1))[:, :, 1:]"), "u has moved up"),
        Wrong("roll", "torch.roll as a shift", _layer(lowered="up.roll(1, 2)"), "came round"),
        Wrong("vertical stack lowered for good", "the shifted features are passed on", _layer(v="gate(lowered)"), "one row lower with every layer"),
        Wrong("vertical looks down", "the padding below, or on both sides with the wrong crop", _layer(tall="layer.tall(nn.functional.pad(v, (1, 1, 0, 1)))"), "a row below"),
        Wrong("vertical cut on the right", "the vertical kernel, too, is thought to need a mask against what lies to the right",
              _layer(tall="layer.tall(nn.functional.pad(v, (2, 0, 1, 0)))"), "does not look to the right"),
        Wrong("out forgotten", "the gate's output is added as it is", _layer(h="mixed if first else h + mixed"), "was to pass the 1 × 1"),
        Wrong("residual in the first layer", "residual connections everywhere", _layer(h="h + layer.out(mixed)"), "adds its input"),
        Wrong("mask B first", "the same padding in all layers", _layer(row="layer.wide(nn.functional.pad(h, (1, 0, 0, 0)))"), "ends at the place itself"),
        Wrong("mask A always", "the same padding in all layers", _layer(row="layer.wide(nn.functional.pad(h, (2, -1, 0, 0)))"), "blind for its own features"),
        Wrong("looks right", "the padding on the other side", _layer(row="layer.wide(nn.functional.pad(h, (0, 1, 0, 0)))"), "to the right of it"),
        Wrong("no link", "the vertical features computed and never used", _layer(mixed="gate(row)"), "hears nothing from"),
        Wrong("no residual", "the residual left out everywhere", _layer(h="layer.out(mixed)"), "was to be added to"),
        Wrong("residual in the vertical stack", "a residual for both stacks", _layer(v="gate(up) if first else v + gate(up)"), "no residual was asked for"),
        Wrong("gate exchanged", "halves taken in the other order", _layer(a="u[:, u.shape[1] // 2 :]", b="u[:, : u.shape[1] // 2]"), "halves have changed"),
        Wrong("every second channel", "halves taken as even and odd channels", _layer(a="u[:, ::2]", b="u[:, 1::2]"), "even and odd"),
        Wrong("no sigmoid", "both halves through tanh", _layer(gated="a.tanh() * b.tanh()"), "opens and shuts"),
        Wrong("no tanh", "the gated linear unit of later papers", _layer(gated="a * b.sigmoid()"), "without bound"),
        Wrong("gates apart", "each stack gated by itself, and then added", _layer(mixed="gate(row) + gate(layer.link(lowered))"), "before the gate"),
    ],
    "mixture_log_prob": [
        Wrong("K for K − 1", "K levels taken for K steps", _mix(half="0.5 / levels", black="x < 1e-3", white="x > 0.999"), "do not touch"),
        Wrong("255 for all K", "the 1/255 of 8-bit code copied", _mix(half="0.5 / 255", black="x < 1e-3", white="x > 0.999"), "fits 256 levels"),
        Wrong("half-bin of another range", "the paper's 1/(K − 1), which is for pixels from −1 to 1",
              _mix(half="1 / (levels - 1)", black="x < 1e-3", white="x > 0.999"), "length 2"),
        Wrong("edges closed", "the same formula for all levels", _mix(mass="inner"), "belongs to no level"),
        Wrong("edges exchanged", "black taken from above, white from below", _mix(mass="torch.where(black, above, torch.where(white, below, inner))"), "wrong sides"),
        Wrong("white open too early", "a fixed threshold, good for 8 bits", _mix(white="x > 0.7"), "grey level below white"),
        Wrong("sum of logs", "logarithms of the components added with the weights", _mix(end="(weight.softmax(1) * mass).sum(1)"), "geometric"),
        Wrong("weights not normalised", "logits taken for log-probabilities", _mix(end="(weight + mass).logsumexp(1)"), "do not sum to 1 themselves"),
        Wrong("no weights", "the components added without their weights", _mix(end="mass.logsumexp(1)"), "weights are missing"),
        Wrong("softmax over the wrong axis", "dim=-1 from habit", _mix(end="(weight.log_softmax(-1) + mass).logsumexp(1)"), "over the pixels"),
        Wrong("log variance", "log_scale halved as a log-variance would be", _mix(sharp="(-0.5 * log_scale).exp()"), "of a variance"),
        Wrong("scale multiplied", "(x − μ) · s for (x − μ)/s", _mix(sharp="log_scale.exp()"), "steeper"),
        Wrong("density", "the logistic density at the level", _mix(inner="(lambda t: " + DENSITY + ")((x - mean) * sharp)", mass="inner"), "can exceed 1"),
        Wrong("density times width", "height times width of the bin, with open edges", _mix(inner="(lambda t: " + DENSITY + ")((x - mean) * sharp) + math.log(2 * half)"),
              "flat across"),
        Wrong("pixels moved to −1 … 1", "x rescaled as the paper does, means and scales left", _mix(x="2 * x[:, None] - 1", half="1 / (levels - 1)", black="x < half - 1"),
              "changed units"),
        Wrong("probability", "the logarithm forgotten", _mix(end="(weight.log_softmax(1) + mass).logsumexp(1).exp()"), "These are probabilities"),
        Wrong("plain difference", "the formula as it stands, in single precision",
              _mix(inner="(((x - mean + half) * sharp).sigmoid() - ((x - mean - half) * sharp).sigmoid()).log()"), "difference of two equal numbers"),
        Wrong("difference with a floor", "a small constant against log 0",
              _mix(inner="(((x - mean + half) * sharp).sigmoid() - ((x - mean - half) * sharp).sigmoid()).clamp(min=1e-12).log()"), "nowhere to go"),
    ],
    "complete": [
        Wrong("argmax", "the likeliest level at each place", _draw(level="p.argmax(1)"), "ignores u"),
        Wrong("own noise", "torch.multinomial from habit", _draw(level="torch.multinomial(p, 1)[:, 0]"), "own random numbers"),
        Wrong("one pass", "all places at once, as in training", _draw(before="everything = model(given)", logits="everything[:, :, c, i, j]"), "pass of the network"),
        Wrong("always the same picture", "the passes read the given picture, not the one being drawn", _draw(logits="model(given)[:, :, c, i, j]"), "not there yet"),
        Wrong("colours at once", "one pass a pixel, its three colours drawn side by side",
              _draw(places="[(0, i, j) for i in range(h) for j in range(w)]", logits="model(x)[..., i, j]",
                    level="(p.cumsum(1)[:, :-1] <= u[:, None, :, i, j]).sum(1)", write="x[..., i, j] = level / (levels - 1)"), "without seeing its red"),
        Wrong("backwards", "from the last place to the first", _draw(places="[(c, i, j) for i in range(h) for j in range(w) for c in range(colours)][::-1]"), "from the end"),
        Wrong("blue first", "colours in the order B, G, R", _draw(places="[(c, i, j) for i in range(h) for j in range(w) for c in reversed(range(colours))]"), "blue before"),
        Wrong("columns first", "the two loops exchanged", _draw(places="[(c, i, j) for j in range(w) for i in range(h) for c in range(colours)]"), "loops over rows"),
        Wrong("plane by plane", "all of red, then all of green", _draw(places="[(c, i, j) for c in range(colours) for i in range(h) for j in range(w)]"), "red plane"),
        Wrong("known pixels drawn", "known forgotten in the loop", _draw(skip="False"), "were changed"),
        Wrong("the other pixels drawn", "known read as unknown", _draw(skip="not known[i, j]", start="given.clone()"), "kept what was to be drawn"),
        Wrong("logits of the place before", "as language models do it, where the output at a word is for the next", _draw(logits="model(x)[:, :, c, i, j - 1]"),
              "of the place before"),
        Wrong("mirrored inverse", "cumulative probabilities above u counted", _draw(level="(p.cumsum(1)[:, :-1] > u[:, c, i, j, None]).sum(1)"), "likely where it should be rare"),
        Wrong("whole numbers in the picture", "the level written instead of the grey value", _draw(write="x[:, c, i, j] = level"), "whole numbers"),
        Wrong("given pasted at the end", "everything drawn from an empty picture, the given pixels laid over it",
              _draw(start="torch.zeros_like(given)", skip="False").replace("    return x", "    return torch.where(known, given, x)"), "put in after the drawing"),
        Wrong("known transposed", "column and row exchanged in the look-up", _draw(skip="known[j, i]"), "the row comes first"),
        Wrong("K for K − 1", "K levels taken for K steps", _draw(write="x[:, c, i, j] = level / levels"), "number of steps"),
        Wrong("one u a pixel", "the same random number for red, green and blue", _draw(level="(p.cumsum(1)[:, :-1] <= u[:, 0, i, j, None]).sum(1)"), "rise and fall together"),
        Wrong("softmax over the wrong axis", "dim=-1 from habit", _draw(logits="model(x)").replace("softmax(1)", "softmax(-1)[:, :, c, i, j]"), "over a row of the picture"),
        Wrong("last level counted", "all K sums compared with u: with rounding, none may exceed it", _draw(level="(p.cumsum(1) <= u[:, c, i, j, None]).sum(1)"), "just below 1"),
        Wrong("written into the argument", "given filled in place", _draw(start="given"), "wrote into"),
    ],
}

RIGHT = {
    "group_mask": [
        """
def group_mask(kind, channels, out, size, groups):
    mask, m = torch.zeros(out, channels, size, size), size // 2
    for o in range(out):
        for i in range(channels):
            of_out, of_in = o * groups // out, i * groups // channels
            for r in range(size):
                for c in range(size):
                    here = (r, c) == (m, m)
                    before = r < m or (r == m and c < m)
                    mask[o, i, r, c] = before or (here and (of_in < of_out or (kind == "B" and of_in == of_out)))
    return mask
""",
        """
def group_mask(kind, channels, out, size, groups):
    step = torch.ones(groups, groups).tril(-1 if kind == "A" else 0)
    centre = step.repeat_interleave(out // groups, 0).repeat_interleave(channels // groups, 1)
    mask = torch.ones(size, size).tril(size)
    mask[size // 2, size // 2 :] = 0
    mask[size // 2 + 1 :] = 0
    mask = mask.expand(out, channels, size, size).clone()
    mask[..., size // 2, size // 2] += centre
    return mask.bool()
""",
    ],
    "two_stacks": [
        """
def two_stacks(v, h, layer, first):
    b, _, rows, columns = v.shape
    up = layer.tall(nn.functional.pad(torch.cat([torch.zeros_like(v[:, :, :1]), v], 2), [1, 1]))
    down = torch.cat([torch.zeros_like(up[:, :, :1]), up[:, :, :-1]], 2)
    gap = torch.zeros_like(h[..., :1])
    before = torch.cat([gap, gap, h[..., :-1]], 3) if first else torch.cat([gap, h], 3)
    total = layer.wide(before) + layer.link(down)
    new = layer.out(torch.tanh(total.chunk(2, 1)[0]) * torch.sigmoid(total.chunk(2, 1)[1]))
    if not first:
        new = new + h
    n = up.shape[1] // 2
    return torch.tanh(up[:, :n]) * torch.sigmoid(up[:, n:]), new
""",
        """
def two_stacks(v, h, layer, first):
    pad, (b, c, rows, columns) = nn.functional.pad, v.shape
    tall = layer.tall(pad(v, (1, 1, 2, 0)))  # one row more at the top: row i is the lowered one's, row i + 1 the plain one's
    wide = layer.wide(pad(h, (2, 0, 0, 0)))
    wide = wide[..., :columns] if first else wide[..., 1:]
    value, door = (wide + layer.link(tall[:, :, :rows])).chunk(2, 1)
    out = layer.out(value.tanh() * door.sigmoid())
    value, door = tall[:, :, 1:].chunk(2, 1)
    return value.tanh() * door.sigmoid(), out + (0 if first else h)
""",
    ],
    "mixture_log_prob": [
        """
def mixture_log_prob(x, weight, mean, log_scale, levels):
    k, s = (x * (levels - 1)).round()[:, None], log_scale.exp()
    upper, lower = ((k + 0.5) / (levels - 1) - mean) / s, ((k - 0.5) / (levels - 1) - mean) / s
    log_upper, log_above = logsigmoid(upper), logsigmoid(-lower)
    inside = log_upper + log_above + torch.log1p(-torch.exp(lower - upper))
    log_mass = torch.where(k == 0, log_upper, torch.where(k == levels - 1, log_above, inside))
    return (weight - weight.logsumexp(1, keepdim=True) + log_mass).logsumexp(1)
""",
        """
def mixture_log_prob(x, weight, mean, log_scale, levels):
    mean, log_scale = mean.double(), log_scale.double()
    softplus, half = nn.functional.softplus, 1 / (2 * (levels - 1))
    parts = []
    for m in range(weight.shape[1]):
        scale = log_scale[:, m].exp()
        a, b = (x - mean[:, m] + half) / scale, (x - mean[:, m] - half) / scale
        part = -softplus(-a) - softplus(b) + torch.log(1 - torch.exp(b - a))
        part = torch.where(x < half, -softplus(-a), part)
        part = torch.where(x > 1 - half, -softplus(b), part)
        parts.append(part)
    return torch.logsumexp(torch.stack(parts, 1) + weight.log_softmax(1), 1).float()
""",
    ],
    "complete": [
        """
def complete(model, given, known, u, levels):
    x = given * known
    for i, j in (~known).nonzero().tolist():
        for c in range(given.shape[1]):
            rising = model(x)[:, :, c, i, j].softmax(1).cumsum(1)
            level = torch.searchsorted(rising.contiguous(), u[:, c, i, j, None].contiguous(), right=True)[:, 0]
            x[:, c, i, j] = level.clamp(max=levels - 1) / (levels - 1)
    return x
""",
        """
def complete(model, given, known, u, levels):
    x = torch.full_like(given, 0.5)
    x[:, :, known] = given[:, :, known]
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            for c in range(x.shape[1]):
                p = torch.softmax(model(x)[:, :, c, i, j], 1)
                for n in range(len(x)):
                    if not known[i, j]:
                        total, k = 0.0, 0
                        while k < levels - 1 and total + p[n, k] <= u[n, c, i, j]:
                            total, k = total + p[n, k], k + 1
                        x[n, c, i, j] = k / (levels - 1)
    return x
""",
        _draw(start="torch.zeros_like(given)", skip="False", write="x[:, c, i, j] = torch.where(known[i, j], given[:, c, i, j], level / (levels - 1))"),
    ],
}
