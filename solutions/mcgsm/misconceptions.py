"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


def _body(head: str, *lines: str) -> str:
    return f"\ndef {head}:\n    " + "\n    ".join(lines) + "\n"


# ---- causal


def _causal(
    keep: str = "(di, dj) < (0, 0)", *, turned: str = 'order == "columns"', back: str = "c.transpose(0, 1), y.T", last: str = "h", end: str = ""
) -> str:
    """`keep` says which offsets belong to the context; the image is turned for the other order, and the results are turned back."""
    lines = [
        f"turned = {turned}", "x = x.T if turned else x", "(h, w), r = x.shape, radius", "square = range(-r, r + 1)",
        f"places = [(di, dj) for di in square for dj in square if {keep}]", f"last = h - r if max(di for di, dj in places) > 0 else {last}",
        "c = torch.stack([x[r + di : last + di, r + dj : w - r + dj] for di, dj in places], -1)", "y = x[r:last, r : w - r]", end or "pass",
        f"return ({back}) if turned else (c, y)",
    ]
    return _body("causal(x, radius, order)", *lines)


def _everywhere(fill: str) -> str:
    """Contexts of all pixels, with something invented outside of the image."""
    lines = [
        "x = x.T if order == 'columns' else x", "(h, w), r = x.shape, radius", f"wide = nn.functional.pad(x[None, None], (r, r, r, r), {fill})[0, 0]",
        "places = [(i, j) for i in range(2 * r + 1) for j in range(2 * r + 1) if (i, j) < (r, r)]",
        "c = torch.stack([wide[i : i + h, j : j + w] for i, j in places], -1)", "return (c.transpose(0, 1), x.T) if order == 'columns' else (c, x)",
    ]
    return _body("causal(x, radius, order)", *lines)


# ---- gsm


def _gsm(height: str = "0.5 * d * (alpha - C)", factor: str = "0.5 * alpha.exp()", mix: str = "(logits.log_softmax(0) + log_n).logsumexp(1)") -> str:
    energy = "x.square().sum(1, keepdim=True)"
    return _body("gsm(x, logits, alpha)", "d, C = x.shape[1], math.log(2 * math.pi)", f"log_n = {height} - {factor} * {energy}", f"return {mix}")


# ---- mcgsm

_STEPS = {
    "linear": "- 2 * c @ p.omega.T",
    "square": "(c @ p.b).square() @ p.beta.square().T",
    "gate": "p.eta - 0.5 * p.alpha.exp() * square[..., None]",
    "mean": "c @ p.a.T + p.m",
    "precision": "p.alpha.exp() * (2 * p.log_L).exp()[:, None]",
    "height": "0.5 * p.alpha + log_L - 0.5 * C",
    "result": "(gate + normal).logsumexp((1, 2)) - gate.logsumexp((1, 2))",
}


def _mcgsm(**other: str) -> str:
    s = {**_STEPS, **other}
    lines = [
        f"square = {s['square']} {s['linear']}", f"gate = {s['gate']}", f"error = y[:, None] - ({s['mean']})",
        "log_L, C = p.log_L[:, None], math.log(2 * math.pi)",
        f"normal = {s['height']} - 0.5 * {s['precision']} * error.square()[..., None]", f"return {s['result']}",
    ]
    return _body("mcgsm(c, y, p)", *lines)


# ---- bits_per_pixel


def _bits(
    nats: str = "log - math.log(w.sd)", *, result: str = "8 - (nats / ln2).mean()", z: str = "(c - w.mean_in) @ w.whiten_in", given: str = "z",
    v: str = "(y - w.mean_out - z @ w.predictor) / w.sd",
) -> str:
    lines = [f"z = {z}", f"v = {v}", f"log, ln2 = log_p({given}, v), math.log(2)", f"nats = {nats}", f"return {result}"]
    return _body("bits_per_pixel(c, y, w, log_p)", *lines)


WRONG = {
    "causal": [
        Wrong("centre", "≤ for < in the comparison", _causal("(di, dj) <= (0, 0)"), "stands in its own context"),
        Wrong("all around", "neighbours are thought of as in a filter", _causal("(di, dj) != (0, 0)"), "on all sides"),
        Wrong("the future", "the comparison turned round", _causal("(di, dj) > (0, 0)"), "come *after*"),
        Wrong("right for left", "the rest of the row taken from the wrong side", _causal("di < 0 or (di == 0 and dj > 0)"), "to the right in place of"),
        Wrong("whole row", "all of the window's upper rows, its own row included", _causal("di <= 0 and (di, dj) != (0, 0)"), "both the left and the right"),
        Wrong("quadrant", "above and to the left, both at once", _causal("di <= 0 and dj <= 0 and (di, dj) != (0, 0)"), "above to the right"),
        Wrong("rows above only", "the own row is forgotten", _causal("di < 0"), "nearest of all"),
        Wrong("swapped", "rows and columns exchanged", _causal("(dj, di) < (0, 0)"), "down the columns although"),
        Wrong("order ignored", "the argument is not used", _causal(turned="False"), "do not depend on"),
        Wrong("not turned back", "the image is transposed, the answer is not", _causal(back="c, y"), "turned back"),
        Wrong("backwards", "offsets listed from the near to the far", _causal(end="c = c.flip(-1)"), "in another sequence"),
        Wrong("margin below", "the same margin cut off on all four sides", _causal(last="h - r"), "bottom row"),
        Wrong("radius ignored", "the nearest neighbours, always", _causal().replace("x.shape, radius", "x.shape, 1"), "does not depend on `radius`"),
        Wrong("copied", "numbers are taken out of the image one by one", _causal(end="c = torch.tensor(c.tolist())"), "No gradient gets back"),
        Wrong("zeros outside", "padding, from the habit of convolutions", _everywhere("'constant'"), "zeros as neighbours"),
        Wrong("wrapped", "roll, which takes the other side of the image", _everywhere("'circular'"), "other side of the image"),
    ],
    "gsm": [
        Wrong("log-variance", "α read as the logvar of other chapters", _gsm("-0.5 * d * (alpha + C)", "0.5 * (-alpha).exp()"), "log-variance"),
        Wrong("no normaliser", "the exponent alone is changed", _gsm("-0.5 * d * C"), "no longer has the area 1"),
        Wrong("no α in the exponent", "the normaliser alone is changed", _gsm(factor="0.5"), "higher and as wide as before"),
        Wrong("d is 2", "the number of dimensions of the example", _gsm("alpha - C"), "x says what d is"),
        Wrong("½α for ½dα", "the normaliser of one number", _gsm("0.5 * alpha - 0.5 * d * C"), "of one number, but"),
        Wrong("dα", "the determinant without its square root", _gsm("d * alpha - 0.5 * d * C"), "square root of the determinant"),
        Wrong("no 2π", "constants are left out, as in a loss", _gsm("0.5 * d * alpha"), "constant is missing"),
        Wrong("one log 2π", "the constant of one number", _gsm("0.5 * d * alpha - 0.5 * C"), "constant with 2π is that"),
        Wrong("inverse sd", "e^α taken for 1/sd", _gsm("d * (alpha - 0.5 * C)", "0.5 * (2 * alpha).exp()"), "one over the standard deviation"),
        Wrong("½ in the exponent", "exp(−e^α x²)", _gsm(factor="alpha.exp()"), "lacks its ½"),
        Wrong("density", "the log is left out", _gsm(mix="(logits.log_softmax(0) + log_n).logsumexp(1).exp()"), "density itself"),
        Wrong("logits not normalised", "logits taken for log-probabilities", _gsm(mix="(logits + log_n).logsumexp(1)"), "are not yet log-probabilities"),
        Wrong("weights for log-weights", "π added where log π belongs", _gsm(mix="(logits.softmax(0) + log_n).logsumexp(1)"), "A weight multiplies a density"),
        Wrong("no weights", "logsumexp of the components", _gsm(mix="log_n.logsumexp(1)"), "integrates to the number of sizes"),
        Wrong("equal weights", "the mean of the components", _gsm(mix="log_n.logsumexp(1) - math.log(len(logits))"), "equally often"),
        Wrong("sum of logs", "Σ π log N, the log inside the sum", _gsm(mix="(logits.softmax(0) * log_n).sum(1)"), "average of the logs"),
        Wrong("product", "log(π N) summed over the sizes", _gsm(mix="(logits.log_softmax(0) + log_n).sum(1)"), "all the sizes at once"),
        Wrong("best size", "the largest term stands for the sum", _gsm(mix="(logits.log_softmax(0) + log_n).amax(1)"), "only the likeliest size"),
        Wrong("a size for each number", "a one-dimensional mixture for each coordinate, and the sum of them", """
def gsm(x, logits, alpha):
    log_n = 0.5 * (alpha - math.log(2 * math.pi)) - 0.5 * alpha.exp() * x[..., None].square()
    return (logits.log_softmax(0) + log_n).logsumexp(2).sum(1)
""", "a size of its own"),
        Wrong("underflow", "log of a sum of exp, literally", _gsm(mix="(logits.softmax(0) * log_n.exp()).sum(1).log()"), "too small for the computer"),
        Wrong("not summed", "a value for each size", _gsm(mix="logits.log_softmax(0) + log_n"), "for each point and each size"),
    ],
    "mcgsm": [
        Wrong("joint", "the gate's normaliser is forgotten", _mcgsm(result="(gate + normal).logsumexp((1, 2))"), "depends on c alone"),
        Wrong("no ½α", "the expert's normaliser without the scale", _mcgsm(height="log_L - 0.5 * C"), "without the ½α"),
        Wrong("no log L", "the expert's normaliser without L", _mcgsm(height="0.5 * p.alpha - 0.5 * C"), "without log L"),
        Wrong("L not squared", "L taken for the precision", _mcgsm(precision="p.alpha.exp() * log_L.exp()"), "precision L in place of"),
        Wrong("½ log L", "L taken for the precision, in both places",
              _mcgsm(precision="p.alpha.exp() * log_L.exp()", height="0.5 * p.alpha + 0.5 * log_L - 0.5 * C"), "both times as if"),
        Wrong("no m", "the offset of the mean is left out", _mcgsm(mean="c @ p.a.T"), "offset m"),
        Wrong("variance", "e^α in the expert taken for a variance",
              _mcgsm(precision="(2 * log_L - p.alpha).exp()", height="-0.5 * p.alpha + log_L - 0.5 * C"), "wide where it should be narrow"),
        Wrong("no 2π", "the constant of the Gaussian", _mcgsm(height="0.5 * p.alpha + log_L"), "½ log 2π"),
        Wrong("softmax over scales", "softmax(-1) on (k, s)", _mcgsm(result="(gate.log_softmax(2) + normal).logsumexp((1, 2))"), "within each component"),
        Wrong("softmax over components", "softmax over k for every s", _mcgsm(result="(gate.log_softmax(1) + normal).logsumexp((1, 2))"), "within each scale"),
        Wrong("expected log", "Σ p log N", _mcgsm(result="(gate.flatten(1).softmax(1) * normal.flatten(1)).sum(1)"), "averages the experts' logs"),
        Wrong("best pair", "the largest term stands for the sum",
              _mcgsm(result="(gate.flatten(1).log_softmax(1) + normal.flatten(1)).amax(1)"), "only the likeliest pair"),
        Wrong("rows of b", "b transposed, which a square b permits", _mcgsm(square="(c @ p.b.T).square() @ p.beta.square().T"), "You took its rows"),
        Wrong("L in the gate", "the expert's whole precision is shared",
              _mcgsm(gate="p.eta - 0.5 * (p.alpha + 2 * p.log_L[:, None]).exp() * square[..., None]"), "belongs to the expert alone"),
        Wrong("no e^α in the gate", "an ordinary softmax gate", _mcgsm(gate="p.eta - 0.5 * square[..., None]"), "does not know the scale"),
        Wrong("e^−α in the gate", "α as a log-variance in the gate", _mcgsm(gate="p.eta - 0.5 * (-p.alpha).exp() * square[..., None]"), "turned upside down"),
        Wrong("sign of the energy", "much energy, large logit", _mcgsm(gate="p.eta + 0.5 * p.alpha.exp() * square[..., None]"), "raises where it should lower"),
        Wrong("β not squared", "β as an ordinary weight", _mcgsm(square="(c @ p.b).square() @ p.beta.T"), "β enters without its square"),
        Wrong("square of the sum", "(Σ β b·c)²", _mcgsm(square="(c @ p.b @ p.beta.T).square()"), "after the sum over the features"),
        Wrong("features not squared", "b·c enters as it is", _mcgsm(square="(c @ p.b) @ p.beta.square().T"), "bright and dark"),
        Wrong("no ½ in the gate", "the half of the energy", _mcgsm(gate="p.eta - p.alpha.exp() * square[..., None]"), "lost its ½"),
        Wrong("sign of ω", "a plus before 2ω·c", _mcgsm(linear="+ 2 * c @ p.omega.T"), "ω has the wrong sign"),
        Wrong("ω without e^α", "ω·c outside of the bracket",
              _mcgsm(linear="", gate="p.eta - 0.5 * p.alpha.exp() * square[..., None] + (c @ p.omega.T)[..., None]"), "stands outside"),
        Wrong("ω without 2", "the factor 2 is lost", _mcgsm(linear="- c @ p.omega.T"), "half of what it should"),
        Wrong("no η", "the gate's bias is left out", _mcgsm(gate="-0.5 * p.alpha.exp() * square[..., None]"), "η is missing"),
    ],
    "bits_per_pixel": [
        Wrong("no Jacobian", "the density of v is taken for that of y", _bits("log"), "density of v"),
        Wrong("sign of the Jacobian", "plus log σ", _bits("log + math.log(w.sd)"), "wrong way"),
        Wrong("variance", "log σ² for log σ", _bits("log - math.log(w.sd**2)"), "stretched once"),
        Wrong("σ for log σ", "σ subtracted", _bits("log - w.sd"), "A density is divided"),
        Wrong("n times", "one log σ for each number of the context", _bits("log - c.shape[1] * math.log(w.sd)"), "as often as there are neighbours"),
        Wrong("the contexts' determinant", "all of the whitening stretches", _bits("log - math.log(w.sd) + torch.logdet(w.whiten_in)"), "is given, not"),
        Wrong("nats", "no division by ln 2", _bits(result="8 * ln2 - nats.mean()"), "the price in nats"),
        Wrong("log₂ σ", "the Jacobian in bits, the rest in nats", _bits("log - math.log2(w.sd)"), "Take both logs to the same base"),
        Wrong("8 bits and nats", "8 is in bits, the rest in nats", _bits(result="8 - nats.mean()"), "two units"),
        Wrong("times ln 2", "multiplied where one divides", _bits(result="8 - (nats * ln2).mean()"), "multiplied by ln 2"),
        Wrong("no 8", "−log₂ of the density on [0, 1]", _bits(result="-(nats / ln2).mean()"), "256 levels are missing"),
        Wrong("log₂-density", "higher is better", _bits(result="(nats / ln2).mean()"), "log₂ of the density"),
        Wrong("8 plus", "the sign of the log-density", _bits(result="8 + (nats / ln2).mean()"), "dear and the unlikely cheap"),
        Wrong("256 the wrong way", "the density of 256 y taken for 256 times larger", _bits(result="-8 - (nats / ln2).mean()"), "negative"),
        Wrong("per image", "a sum for a mean", _bits(result="(8 - nats / ln2).sum()"), "all pixels together"),
        Wrong("not averaged", "a number for each pixel", _bits(result="8 - nats / ln2"), "number for each pixel"),
        Wrong("log of the mean", "densities averaged before the log", _bits(result="8 - torch.log2(nats.exp().mean())"), "averaged the densities"),
        Wrong("no predictor", "the residual without the regression", _bits(v="(y - w.mean_out) / w.sd"), "neighbours predict"),
        Wrong("contexts as they are", "z is not handed on", _bits(given="c"), "contexts as they came"),
    ],
}

RIGHT = {
    "causal": [_causal(), """
def causal(x, radius, order):
    before = (lambda di, dj: (dj, di) < (0, 0)) if order == "columns" else (lambda di, dj: (di, dj) < (0, 0))
    window = [(i, j) for i in range(-radius, radius + 1) for j in range(-radius, radius + 1)]
    near = [(j, i) for i, j in window] if order == "columns" else window
    near = [d for d in near if before(*d)]
    rows = range(radius, len(x) - (radius if order == "columns" else 0))
    columns = range(radius, x.shape[1] - (0 if order == "columns" else radius))
    c = torch.stack([torch.stack([torch.stack([x[i + di, j + dj] for di, dj in near]) for j in columns]) for i in rows])
    return c, torch.stack([torch.stack([x[i, j] for j in columns]) for i in rows])
""", """
def causal(x, radius, order):
    side = 2 * radius + 1
    if order == "columns":
        return tuple(part.transpose(0, 1) for part in causal(x.T, radius, "rows"))
    windows = x.unfold(0, radius + 1, 1).unfold(1, side, 1).flatten(2)
    n = radius * side + radius
    return windows[..., :n], windows[..., n]
"""],
    "gsm": ["""
def gsm(x, logits, alpha):
    d = torch.distributions
    sd = (-alpha / 2).exp()[:, None].expand(-1, x.shape[1])
    return d.MixtureSameFamily(d.Categorical(logits=logits), d.Independent(d.Normal(torch.zeros_like(sd), sd), 1)).log_prob(x)
""", """
def gsm(x, logits, alpha):
    terms = []
    for weight, a in zip(logits.softmax(0), alpha, strict=True):
        terms.append(weight.log() + x.shape[1] / 2 * torch.log(a.exp() / (2 * math.pi)) - (x * (a / 2).exp()).square().sum(1) / 2)
    return torch.logsumexp(torch.stack(terms), 0)
""", _gsm().replace("d, C =", "x, logits, alpha = x.double(), logits.double(), alpha.double()\n    d, C =")],
    "mcgsm": [_mcgsm(), _mcgsm().replace("square =", """c, y = c.double(), y.double()
    p = Parameters(*(getattr(p, name).double() for name in Parameters._fields))
    square =""", 1), """
def mcgsm(c, y, p):
    k, s = p.alpha.shape
    features = torch.einsum("ni,if->nf", c, p.b)
    energy = torch.einsum("kf,nf->nk", p.beta**2, features**2) - 2 * torch.einsum("ki,ni->nk", p.omega, c)
    logits = (p.eta - torch.einsum("ks,nk->nks", p.alpha.exp(), energy) / 2).reshape(len(c), k * s)
    mean = (c @ p.a.T + p.m)[:, :, None].expand(-1, k, s).reshape(len(c), k * s)
    sd = (-p.alpha / 2 - p.log_L[:, None]).exp().reshape(k * s)
    return torch.logsumexp(logits.log_softmax(1) + torch.distributions.Normal(mean, sd).log_prob(y[:, None]), 1)
"""],
    "bits_per_pixel": [_bits(), """
def bits_per_pixel(c, y, w, log_p):
    z = torch.einsum("mi,ij->mj", c - w.mean_in, w.whiten_in)
    predicted = w.mean_out + z @ w.predictor
    nats_per_level = math.log(256 * w.sd) - log_p(z, (y - predicted) / w.sd)
    return float(nats_per_level.mean()) / math.log(2)
"""],
}
