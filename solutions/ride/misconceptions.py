"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


def _cell(c: str = "f1 * c_left + f2 * c_up + i * g", h: str = "torch.tanh(o * c)", result: str = "h, c", **other: str) -> str:
    s = {"order": "g, o, i, f1, f2", "g": "torch.tanh(g)", "gates": "[torch.sigmoid(v) for v in (o, i, f1, f2)]", **other}
    lines = [f"{s['order']} = torch.chunk(a, 5, dim=-1)", f"g = {s['g']}", f"o, i, f1, f2 = {s['gates']}", f"c = {c}", f"h = {h}", f"return {result}"]
    return "\ndef cell(a, c_left, c_up):\n    " + "\n    ".join(lines) + "\n"


_SHEAR = {
    "wide": "tall + wide - 1",
    "start": "k",
    "up": "torch.cat([torch.zeros(1, n), v[:-1]])",
    "arguments": "sheared[:, d], h, shift(h), c, shift(c)",
    "keep": "h, c = h * inside[:, d], c * inside[:, d]",
    "result": "torch.stack([out[k, {start} : {start} + wide] for k in range(tall)])",
}


def _shear(**other: str) -> str:
    """Rows shifted until diagonals are columns, then one column after another."""
    s = {**_SHEAR, **other}
    s["result"] = s["result"].format(start=s["start"])
    return f"""
def sweep(a, step, n):
    tall, wide, m = a.shape
    sheared, inside = torch.zeros(tall, {s['wide']}, m), torch.zeros(tall, {s['wide']}, 1)
    for k in range(tall):
        sheared[k, {s['start']} : {s['start']} + wide] = a[k]
        inside[k, {s['start']} : {s['start']} + wide] = 1
    shift = lambda v: {s['up']}
    h, c, out = torch.zeros(tall, n), torch.zeros(tall, n), []
    for d in range({s['wide']}):
        h, c = step({s['arguments']})
        {s['keep']}
        out.append(h)
    out = torch.stack(out, 1)
    return {s['result']}
"""


def _pick(last: str = "tall + wide - 1", arguments: str = "H[i + 1, j], H[i, j + 1], C[i + 1, j], C[i, j + 1]", result: str = "H[1:, 1:]") -> str:
    """Pixels of a diagonal by their numbers, states with a frame of zeros."""
    return f"""
def sweep(a, step, n):
    tall, wide = a.shape[:2]
    H, C = torch.zeros(tall + 1, wide + 1, n), torch.zeros(tall + 1, wide + 1, n)
    for d in range({last}):
        pixels = [(i, d - i) for i in range(tall) if 0 <= d - i < wide]
        i, j = (torch.tensor(v) for v in zip(*pixels))
        H[i + 1, j + 1], C[i + 1, j + 1] = step(a[i, j], {arguments})
    return {result}
"""


def _whole(lines: str) -> str:
    return f"\ndef sweep(a, step, n):\n    tall, wide = a.shape[:2]\n    zero, out = torch.zeros, []\n{lines}\n"


COLUMNS = """    h, c = zero(tall, n), zero(tall, n)
    for j in range(wide):
        h, c = step(a[:, j], h, torch.cat([zero(1, n), h[:-1]]), c, torch.cat([zero(1, n), c[:-1]]))
        out.append(h)
    return torch.stack(out, 1)"""
ROWS = """    h, c = zero(wide, n), zero(wide, n)
    for i in range(tall):
        h, c = step(a[i], zero(wide, n), h, zero(wide, n), c)
        out.append(h)
    return torch.stack(out)"""
ROLLED = """    turned = torch.stack([row.roll(i, 0) for i, row in enumerate(a)])
    h, c = zero(tall, n), zero(tall, n)
    for d in range(wide):
        h, c = step(turned[:, d], h, torch.cat([zero(1, n), h[:-1]]), c, torch.cat([zero(1, n), c[:-1]]))
        out.append(h)
    return torch.stack([row.roll(-i, 0) for i, row in enumerate(torch.stack(out, 1))])"""


def _sees(above: str = "(r < i) & (k <= j + 2)", beside: str = "(r == i) & (k < j)", more: str = "(r >= top - 2) & (k >= left - 2)", start: str = "") -> str:
    first = start or "top, left = (i - i % tile, j - j % tile) if tile else (0, 0)"
    return f"""
def sees(height, width, i, j, tile=None):
    r, k = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    {first}
    return (({above}) | ({beside})) & {more}
"""


def _bits(line: str, first: str = "p = torch.cat([t.reshape(-1) for t in tiles])") -> str:
    return f"\ndef bits(tiles, whitening):\n    {first}\n    return {line}\n"


WRONG = {
    "cell": [
        Wrong("o·tanh(c)", "the LSTM everybody knows", _cell(h="o * torch.tanh(c)"), "LSTM in common use"),
        Wrong("swapped", "left and up confused at the forget gates", _cell(c="f2 * c_left + f1 * c_up + i * g"), "changed places"),
        Wrong("one forget gate", "an LSTM has one forget gate", _cell(c="f1 * (c_left + c_up) + i * g"), "One forget gate for both"),
        Wrong("mean", "two pasts must surely be averaged, or it gets too large", _cell(c="(f1 * c_left + f2 * c_up) / 2 + i * g"), "average the two pasts"),
        Wrong("normalised", "shares have to add up to 1", _cell(c="(f1 * c_left + f2 * c_up) / (f1 + f2) + i * g"), "divide the forget gates by their sum"),
        Wrong("g a gate", "all five through the same sigmoid", _cell(g="torch.sigmoid(g)"), "gone through the sigmoid like a gate"),
        Wrong("g raw", "the candidate left linear", _cell(g="g"), "any non-linearity"),
        Wrong("no i", "the forget gates seem to be enough", _cell(c="f1 * c_left + f2 * c_up + g"), "The input gate i is missing"),
        Wrong("coupled", "the update gate of a GRU", _cell(c="f1 * c_left + f2 * c_up + (1 - f1) * g"), "You write with 1 − f_left"),
        Wrong("coupled to up", "the update gate of a GRU, of the other past", _cell(c="f1 * c_left + f2 * c_up + (1 - f2) * g"), "You write with 1 − f_up"),
        Wrong("i weighs all", "the input gate taken for a gate of the whole cell", _cell(c="i * (f1 * c_left + f2 * c_up + g)"), "weighs the two memories"),
        Wrong("all tanh", "one non-linearity for all five", _cell(gates="[torch.tanh(v) for v in (o, i, f1, f2)]"), "gone through tanh like g"),
        Wrong("PyTorch's order", "i, f, g, o as in torch.nn.LSTM", _cell(order="i, f1, f2, g, o"), "read in another order"),
        Wrong("raw gates", "the sigmoids forgotten", _cell(gates="o, i, f1, f2"), "not gone through the sigmoid"),
        Wrong("raw o", "o taken for a second candidate", _cell(gates="o, torch.sigmoid(i), torch.sigmoid(f1), torch.sigmoid(f2)"), "before its sigmoid"),
        Wrong("no o", "h = tanh(c)", _cell(h="torch.tanh(c)"), "The output gate is missing"),
        Wrong("no tanh", "the gate is thought to be enough", _cell(h="o * c"), "without the last tanh"),
        Wrong("c, h", "the order of the recurrences in a book", _cell(result="c, h"), "wrong order"),
    ],
    "sweep": [
        Wrong("raster", "the loop that is already there", "\ndef sweep(a, step, n):\n    return raster(a, step, n)\n", "pixel after pixel"),
        Wrong("ring", "torch.roll to shift the states down", _shear(up="v.roll(1, 0)"), "joined to a ring"),
        Wrong("holes", "zeros as input taken for zeros as states", _shear(keep="pass"), "made of the holes"),
        Wrong("swapped", "left and up confused", _pick(arguments="H[i, j + 1], H[i + 1, j], C[i, j + 1], C[i + 1, j]"), "what h_left is given comes from above"),
        Wrong("one diagonal short", "h + w − 1 counted as the last index", _pick("tall + wide - 2"), "how many anti-diagonals"),
        Wrong("frame left on", "the padded states returned", _pick(result="H"), "frame of zeros is still there"),
        Wrong("not shifted back", "the picture left sheared", _shear(result="out"), "sheared image"),
        Wrong("transposed", "x first, then y", _pick(result="H[1:, 1:].transpose(0, 1)"), "rows and columns have changed places"),
        Wrong("columns at once", "the shear left out", _whole(COLUMNS), "one column too far to the left"),
        Wrong("rows at once", "all pixels of a row together, as in a Row LSTM", _whole(ROWS), "Nothing came from the left"),
        Wrong("up not shifted", "the state above thought to stand in the same row of the last column", _shear(arguments="sheared[:, d], h, h, c, c"), "doubles along itself"),
        Wrong("shifted left", "shifted in the wrong direction", _shear(start="tall - 1 - k"), "two columns"),
        Wrong("rolled rows", "np.roll for the shift, which wraps around", _whole(ROLLED), "wrap around"),
        Wrong("back by one too few", "the rows taken back from the wrong column",
              _shear(result="torch.stack([out[k, max(k - 1, 0) : max(k - 1, 0) + wide] for k in range(tall)])"), "shifted back by as much"),
        Wrong("c returned", "the memory taken for the output", _pick(result="C[1:, 1:]"), "You return c"),
        Wrong("left from above", "both neighbours read from the row above", _pick(arguments="H[i, j], H[i, j + 1], C[i, j], C[i, j + 1]"), "stands in the same row"),
        Wrong("c not handed on", "as in a plain RNN, only h", _pick(arguments="H[i + 1, j], H[i, j + 1], 0 * C[i + 1, j], 0 * C[i, j + 1]"), "reaches no other pixel"),
        Wrong("as many steps as columns", "the loop over columns kept", _pick("wide"), "you stop after"),
        Wrong("h and c", "the four states in another order", _pick(arguments="C[i + 1, j], C[i, j + 1], H[i + 1, j], H[i, j + 1]"), "among the arguments"),
    ],
    "sees": [
        Wrong("whole past", "the chain rule says x₍<ᵢⱼ₎", _sees(above="r < i"), "nothing brings it here"),
        Wrong("quadrant", "the recurrence alone, without what its cells have read", _sees(above="(r < i) & (k <= j)"), "what the recurrence alone can bring"),
        Wrong("own neighbourhood only", "extra columns only for the pixel's own two rows",
              _sees(above="(r < i) & (k <= torch.where(r >= i - 2, j + 2, j))"), "rows further up"),
        Wrong("cone", "a receptive field grows with every step", _sees(above="(r < i) & (k <= j + 2 * (i - r))"), "grow by two columns"),
        Wrong("earlier anti-diagonals", "what was computed before must be known", _sees(above="(r < i) & (r + k <= i + j)"), "earlier anti-diagonals"),
        Wrong("centre", "the pixel counted as its own past", _sees(beside="(r == i) & (k <= j)"), "need not predict"),
        Wrong("right of it", "the extra columns in the pixel's own row as well", _sees(beside="(r == i) & (k <= j + 2) & (k != j)"), "where the future begins"),
        Wrong("future", "a window is symmetric", _sees(above="(r != i) & (k <= j + 2)"), "read the future"),
        Wrong("MCGSM", "no memory", _sees(more="(r >= i - 2) & (k >= j - 2)"), "what an MCGSM sees"),
        Wrong("rows above only", "the pixels to the left forgotten", _sees(beside="r < 0"), "to the left of the pixel is missing"),
        Wrong("no tiles", "tile left out", _sees(more="(r >= 0)"), "tile changes nothing"),
        Wrong("cut", "a tile taken for a picture of its own", _sees(more="((r >= top) & (k >= left) if tile else (r >= 0))"), "cut the picture off"),
        Wrong("not to the left", "the neighbourhood taken for one of rows above only", _sees(more="((r >= top - 2) & (k >= left) if tile else (r >= 0))"),
              "over the left one as well"),
        Wrong("window", "the last t pixels", _sees(start="top, left = (i - tile + 2, j - tile + 2) if tile else (0, 0)"), "fixed grid"),
        Wrong("off by one", "the first pixel of a tile counted to the tile before",
              _sees(start="top, left = ((i - 1) // tile * tile, (j - 1) // tile * tile) if tile else (0, 0)"), "first pixel of its tile"),
        Wrong("cut at the right", "a tile's right border taken for a border", _sees(more="(r >= top - 2) & (k >= left - 2) & (k < (left + tile if tile else width))"),
              "right border of the tile"),
    ],
    "bits": [
        Wrong("no Jacobian", "log p(v) taken for log p(y)", _bits("p.mean() / math.log(2)"), "Jacobian is missing"),
        Wrong("sign", "log σ added", _bits("(p - whitening.whiten_out.log()).mean() / math.log(2)"), "wrong sign"),
        Wrong("once", "one Jacobian for one picture", _bits("(p.sum() + whitening.whiten_out.log()) / len(p) / math.log(2)"), "once for the whole picture"),
        Wrong("once a tile", "one Jacobian for one call of the model",
              _bits("sum(t.sum() + whitening.whiten_out.log() for t in tiles) / len(p) / math.log(2)"), "once for each tile"),
        Wrong("context's determinant", "all that is whitened has a Jacobian",
              _bits("(p + whitening.whiten_out.log() + torch.linalg.slogdet(whitening.whiten_in)[1]).mean() / math.log(2)"), "no volume of y"),
        Wrong("no logarithm", "densities are multiplied by 1/σ", _bits("(p + whitening.whiten_out).mean() / math.log(2)"), "its logarithm should be"),
        Wrong("nats", "ln for log₂", _bits("(p + whitening.whiten_out.log()).mean()"), "Still in nats"),
        Wrong("times ln 2", "the wrong way round", _bits("(p + whitening.whiten_out.log()).mean() * math.log(2)"), "A nat is more than a bit"),
        Wrong("bits and nats", "log₂ of the one, ln of the other", _bits("p.mean() + whitening.whiten_out.log2()"), "Nats and bits are added"),
        Wrong("mean density", "the mean taken before the logarithm", _bits("(p.exp().mean() * whitening.whiten_out).log2()"), "averaged the densities"),
        Wrong("sum", "the density of the picture", _bits("(p + whitening.whiten_out.log()).sum() / math.log(2)"), "larger picture would count"),
        Wrong("mean of means", "the mean over tiles of each one's mean",
              _bits("(torch.stack([t.mean() for t in tiles]).mean() + whitening.whiten_out.log()) / math.log(2)"), "weighs as much"),
        Wrong("per tile", "tiles taken for pixels", _bits("(p + whitening.whiten_out.log()).sum() / len(tiles) / math.log(2)"), "number of tiles"),
        Wrong("negative", "losses are negative logarithms", _bits("-(p + whitening.whiten_out.log()).mean() / math.log(2)"), "Minus log₂ p"),
        Wrong("cost", "bits per pixel taken for a file size", _bits("8 - (p + whitening.whiten_out.log()).mean() / math.log(2)"), "cost of 256 grey levels"),
        Wrong("256 levels", "a density on 0 to 256", _bits("(p + (whitening.whiten_out / 256).log()).mean() / math.log(2)"), "from 0 to 256"),
    ],
}

RIGHT = {
    "cell": [
        _cell(),
        """
def cell(a, c_left, c_up):
    n = c_left.shape[1]
    s = 1 / (1 + torch.exp(-a[:, n:]))
    c = torch.tanh(a[:, :n]) * s[:, n : 2 * n]
    c = c + s[:, 2 * n : 3 * n] * c_left
    c = torch.clamp(c + s[:, 3 * n :] * c_up, -1e6, 1e6)
    return torch.tanh(c * s[:, :n]), c
""",
    ],
    "sweep": [
        _pick(),
        _shear(),
        """
def sweep(a, step, n):
    h, w, m = a.shape
    mask = torch.ones(h, w, 1)
    a, mask = (torch.cat([v, torch.zeros(h, h, v.shape[2])], 1).reshape(-1, v.shape[2])[:-h].reshape(h, h + w - 1, -1) for v in (a, mask))
    states, out = (torch.zeros(h + 1, n), torch.zeros(h + 1, n)), []
    for x, m in zip(a.unbind(1), mask.unbind(1)):
        s, t = states
        states = tuple(torch.cat([torch.zeros(1, n), v * m]) for v in step(x, s[1:], s[:-1], t[1:], t[:-1]))
        out.append(states[0][1:])
    out = torch.stack(out, 1).flatten(0, 1)
    return torch.cat([out, torch.zeros(h, n)]).reshape(h, h + w, n)[:, :w]
""",
    ],
    "sees": [
        _sees(),
        """
def sees(height, width, i, j, tile=None):
    tile, mask = tile or max(height, width), torch.zeros(height, width, dtype=torch.bool)
    for r in range(i - i % tile, i + 1):
        for k in range(j - j % tile, j + 1):
            for dr, dk in OFFSETS:
                if 0 <= r + dr < height and 0 <= k + dk < width:
                    mask[r + dr, k + dk] = True
    return mask
""",
    ],
    "bits": [
        """
def bits(tiles, whitening):
    n = sum(t.numel() for t in tiles)
    return float(sum((t + torch.log(whitening.whiten_out)).double().sum() for t in tiles) / n / math.log(2))
""",
        _bits("torch.log2(p.exp() * whitening.whiten_out).mean()"),
        _bits("torch.tensor(sum(float(t.sum()) for t in tiles) / len(p) / math.log(2)) - torch.log2(1 / whitening.whiten_out)"),
    ],
}
