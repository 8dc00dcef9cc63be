"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


def _nearest(line: str) -> str:
    return f"\ndef nearest(z, codebook):\n    {line}\n"


def _bottleneck(given: str, loss: str = "(z.detach() - e).square().mean() + beta * (z - e.detach()).square().mean()") -> str:
    return f"\ndef bottleneck(z, e, beta):\n    loss = {loss}\n    return {given}, loss\n"


COPY = "z + (e - z).detach()"

_STEPS = {
    "uses": "torch.bincount(codes, minlength=len(count)).float()",
    "count": "decay * count + (1 - decay) * uses",
    "sums": "torch.zeros_like(total).index_add(0, codes, z)",
    "total": "decay * total + (1 - decay) * sums",
    "dead": "count < revive",
    "start_count": "torch.where(dead, 1.0, count)",
    "start_total": "torch.where(dead[:, None], fresh, total)",
    "words": "torch.where((count > 0)[:, None], total / count.clamp(min=1e-30)[:, None], codebook)",
}


def _ema(first: str = "pass", last: str = "pass", **other: str) -> str:
    s = {**_STEPS, **other}
    lines = [
        first, f"uses = {s['uses']}", f"count = {s['count']}", f"sums = {s['sums']}", f"total = {s['total']}", f"dead = {s['dead']}",
        f"count, total = {s['start_count']}, {s['start_total']}", f"words = {s['words']}", last, "return words, count, total",
    ]
    return "\ndef ema_update(codebook, count, total, z, codes, decay, fresh, revive=0.0):\n    " + "\n    ".join(lines) + "\n"


def _perplexity(*lines: str) -> str:
    return "\ndef perplexity(codes, k):\n    " + "\n    ".join(lines) + "\n"


SHARES = "p = torch.bincount(codes.flatten(), minlength=k) / codes.numel()"
ONE_GRID = "def one(c):\n        p = torch.bincount(c.flatten(), minlength=k) / c.numel()\n        return torch.special.entr(p).sum().exp()"

WRONG = {
    "nearest": [
        Wrong("argmax", "argmax of the distances, from the habit of argmax of scores", _nearest("return torch.cdist(z, codebook).argmax(1)"), "farthest away"),
        Wrong("no square of the word", "the expansion of the square without ‖e‖², taken for a constant like ‖z‖²", _nearest("return (z @ codebook.T).argmax(1)"),
              "largest inner product"),
        Wrong("length not squared", "‖e‖ for ‖e‖²", _nearest("return (codebook.norm(dim=1) - 2 * z @ codebook.T).argmin(1)"), "without its square"),
        Wrong("decimals", "the numbers turned into floats, like all else", _nearest("return torch.cdist(z, codebook).argmin(1).float()"), "but as decimals"),
        Wrong("factor 2", "(a − b)² = a² − ab + b²", _nearest("return (codebook.square().sum(1) - z @ codebook.T).argmin(1)"), "lost its factor 2"),
        Wrong("sign", "(a − b)² with a plus in the middle", _nearest("return (codebook.square().sum(1) + 2 * z @ codebook.T).argmin(1)"), "nearest to −z"),
        Wrong("cosine", "similarity taken for the cosine", _nearest("f = nn.functional.normalize; return (f(z) @ f(codebook).T).argmax(1)"), "compare directions"),
        Wrong("Manhattan", "absolute values for squares", _nearest("return (z[:, None] - codebook).abs().sum(2).argmin(1)"), "Manhattan"),
        Wrong("square of the sum", "sum and square exchanged", _nearest("return (z[:, None] - codebook).sum(2).square().argmin(1)"), "before you square"),
        Wrong("words", "the quantised vectors are returned", _nearest("return codebook[torch.cdist(z, codebook).argmin(1)]"), "These are the words themselves"),
        Wrong("axis", "argmin over the first axis", _nearest("return torch.cdist(z, codebook).argmin(0)"), "minimum over the vectors"),
        Wrong("distances", "min for argmin", _nearest("return torch.cdist(z, codebook).min(1).values"), "These are distances"),
    ],
    "bottleneck": [
        Wrong("β on the codebook", "β in front of the wrong term", _bottleneck(COPY, "beta * (z.detach() - e).square().mean() + (z - e.detach()).square().mean()"),
              "wrong term"),
        Wrong("no stop-gradient", "the two terms have the same value, so they are added up", _bottleneck(COPY, "(1 + beta) * (z - e).square().mean()"),
              "their sum is one term"),
        Wrong("both detached", "detach on both sides of both terms",
              _bottleneck(COPY, "(z.detach() - e.detach()).square().mean() + beta * (z.detach() - e.detach()).square().mean()"), "Both sides of both terms"),
        Wrong("commitment open", "the commitment term without its stop-gradient",
              _bottleneck(COPY, "(z.detach() - e).square().mean() + beta * (z - e).square().mean()"), "commitment term also moves"),
        Wrong("codebook open", "the codebook term without its stop-gradient",
              _bottleneck(COPY, "(z - e).square().mean() + beta * (z - e.detach()).square().mean()"), "codebook term also pulls"),
        Wrong("β on both", "β in front of a bracket", _bottleneck(COPY, "beta * ((z.detach() - e).square().mean() + (z - e.detach()).square().mean())"),
              "β weighs both"),
        Wrong("no β", "the argument is forgotten", _bottleneck(COPY, "(z.detach() - e).square().mean() + (z - e.detach()).square().mean()"), "for every β"),
        Wrong("commitment alone", "the codebook term left to a moving average that is not there", _bottleneck(COPY, "beta * (z - e.detach()).square().mean()"),
              "words never move"),
        Wrong("codebook alone", "k-means is thought to be enough", _bottleneck(COPY, "(z.detach() - e).square().mean()"), "Nothing holds the encoder"),
        Wrong("sums", "sum for mean", _bottleneck(COPY, "(z.detach() - e).square().sum() + beta * (z - e.detach()).square().sum()"), "loss is a sum"),
        Wrong("norms", "squared norms averaged over vectors", _bottleneck(COPY, "(z.detach() - e).square().sum(1).mean() + beta * (z - e.detach()).square().sum(1).mean()"),
              "sum over the numbers of a vector"),
        Wrong("no copy", "the word itself goes to the decoder", _bottleneck("e"), "copy is missing"),
        Wrong("cancelled", "detach on the word alone", _bottleneck("z + (e.detach() - z)"), "exactly 0"),
        Wrong("twice", "detach on z alone", _bottleneck("z + (e - z.detach())"), "arrives twice"),
        Wrong("detached", "detach around everything", _bottleneck("(z + (e - z)).detach()"), "cut off from everything"),
        Wrong("not quantised", "z goes to the decoder, the word to the loss only", _bottleneck("z"), "nothing is quantised"),
        Wrong("roles exchanged", "z and e change places in the copy", _bottleneck("e + (z - e).detach()"), "changed places"),
        Wrong("sign", "the bracket's sign", _bottleneck("z + (z - e).detach()"), "mirror image"),
    ],
    "ema_update": [
        Wrong("mean of means", "the word is averaged with the batch's mean; the counts are kept but not used",
              _ema(words="torch.where((uses > 0)[:, None], decay * codebook + (1 - decay) * sums / uses.clamp(min=1)[:, None], codebook)"), "average the batches' means"),
        Wrong("decay", "decay on the wrong side", _ema(count="(1 - decay) * count + decay * uses", total="(1 - decay) * total + decay * sums"), "γ weighs the new batch"),
        Wrong("new in full", "the old decays, the new is added", _ema(count="decay * count + uses", total="decay * total + sums"), "the new comes on top in full"),
        Wrong("unused keep their count", "only words that were chosen are updated",
              _ema(count="torch.where(uses > 0, decay * count + (1 - decay) * uses, count)", total="torch.where((uses > 0)[:, None], decay * total + (1 - decay) * sums, total)"),
              "Zero uses are a number"),
        Wrong("shares", "frequencies for counts", _ema(uses="torch.bincount(codes, minlength=len(count)) / len(codes)"), "shares of the batch"),
        Wrong("last wins", "assignment at repeated indices", _ema(first="one_each = torch.zeros_like(total); one_each[codes] = z", sums="one_each"), "the last one wins"),
        Wrong("mean in the sum", "the batch's mean goes into the sum",
              _ema(sums="torch.zeros_like(total).index_add(0, codes, z) / uses.clamp(min=1)[:, None]"), "beside a count of three"),
        Wrong("uses of the batch", "the moving sum is divided by the batch's count",
              _ema(words="torch.where((uses > 0)[:, None], total / uses.clamp(min=1)[:, None], codebook)"), "by the uses in this batch alone"),
        Wrong("at least 1", "clamped so that nothing is divided by 0", _ema(words="total / count.clamp(min=1)[:, None]"), "divide by at least 1"),
        Wrong("0/0", "nobody thought of a word without uses", _ema(words="total / count[:, None]"), "became 0/0"),
        Wrong("to the origin", "an ε in the denominator", _ema(words="total / (count + 1e-6)[:, None]"), "moved to the origin"),
        Wrong("revived in name", "only the word is replaced", _ema(start_count="count", start_total="total", last="words = torch.where(dead[:, None], fresh, words)"),
              "back where it died"),
        Wrong("old sum", "word and count are replaced", _ema(start_total="total", last="words = torch.where(dead[:, None], fresh, words)"), "but its old sum"),
        Wrong("old count", "word and sum are replaced", _ema(start_count="count", last="words = torch.where(dead[:, None], fresh, words)"), "but its old count"),
        Wrong("one batch", "a word that one batch does not use is called dead", _ema(dead="(uses == 0) & (revive > 0)"), "Rare is not dead"),
        Wrong("old count decides", "the dead are looked for before the update", _ema(first="old = count", dead="old < revive"), "you looked at the old count"),
        Wrong("at most", "≤ for <, so that unused words are revived with revive = 0", _ema(dead="count <= revive"), "is not *below* 0"),
        Wrong("in place", "lerp_ on the arguments",
              _ema(first="count.mul_(decay).add_(torch.bincount(codes, minlength=len(count)), alpha=1 - decay)", count="count"), "wrote into the arguments"),
    ],
    "perplexity": [
        Wrong("entropy", "the entropy is returned", _perplexity(SHARES, "return torch.special.entr(p).sum()"), "entropy, in nats"),
        Wrong("bits", "the entropy is returned, in bits", _perplexity(SHARES, "return torch.special.entr(p).sum() / math.log(2)"), "entropy, in bits"),
        Wrong("e to the bits", "log2, then exp", _perplexity(SHARES, "p = p[p > 0]", "return (-(p * p.log2()).sum()).exp()"), "base e an entropy in bits"),
        Wrong("2 to the nats", "log, then 2 to the power", _perplexity(SHARES, "return 2 ** torch.special.entr(p).sum()"), "raised to the base 2"),
        Wrong("sign", "the minus of the entropy", _perplexity(SHARES, "p = p[p > 0]", "return (p * p.log()).sum().exp()"), "lost its minus sign"),
        Wrong("0 · log 0", "the limit is left to the computer", _perplexity(SHARES, "return (-(p * p.log()).sum()).exp()"), "0 · ln 0"),
        Wrong("mean over images", "perplexity of each image, averaged", _perplexity(ONE_GRID, "return torch.stack([one(c) for c in codes]).mean()"), "of each image and averaged"),
        Wrong("mean over places", "perplexity at each place, averaged", _perplexity(ONE_GRID, "return torch.stack([one(c) for c in codes.flatten(1).T]).mean()"),
              "at each place of the grid and averaged"),
        Wrong("distinct words", "how many words occur", _perplexity("return len(codes.unique())"), "occur at all"),
        Wrong("Simpson", "1/Σp²", _perplexity(SHARES, "return 1 / p.square().sum()"), "inverse of the chance"),
        Wrong("share", "divided by k, to have it between 0 and 1", _perplexity(SHARES, "return torch.special.entr(p).sum().exp() / k"), "share of the k words"),
        Wrong("counts as logits", "Categorical's argument taken for weights",
              _perplexity("c = torch.bincount(codes.flatten(), minlength=k).float()", "return torch.distributions.Categorical(logits=c).entropy().exp()"), "counts for logits"),
        Wrong("per image", "divided by the number of images", _perplexity("p = torch.bincount(codes.flatten(), minlength=k) / len(codes)", "return torch.special.entr(p).sum().exp()"),
              "do not add up to 1"),
    ],
}

RIGHT = {
    "nearest": [_nearest("return torch.cdist(z, codebook).argmin(1)"), _nearest("return (z[:, None] - codebook).square().sum(2).min(1).indices"),
                _nearest("return (z @ codebook.T - 0.5 * codebook.square().sum(1)).argmax(1)")],
    "bottleneck": ["""
def bottleneck(z, e, beta):
    mse = nn.functional.mse_loss
    return e.detach() + (z - z.detach()), mse(e, z.detach()) + beta * mse(z, e.detach())
""", """
def bottleneck(z, e, beta):
    class Copy(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z, e):
            return e.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient, None

    words, loss = (z.detach() - e).pow(2), (z - e.detach()).pow(2)
    return Copy.apply(z, e), (words + beta * loss).mean()
"""],
    "ema_update": [_ema(), """
def ema_update(codebook, count, total, z, codes, decay, fresh, revive=0.0):
    chosen = nn.functional.one_hot(codes, len(count)).float()
    codebook, count, total = codebook.clone(), count.lerp(chosen.sum(0), 1 - decay), total.lerp(chosen.T @ z, 1 - decay)
    for k in range(len(count)):
        if count[k] < revive:
            count[k], total[k] = 1, fresh[k]
        if count[k] > 0:
            codebook[k] = total[k] / count[k]
    return codebook, count, total
"""],
    "perplexity": ["""
def perplexity(codes, k):
    _, n = codes.unique(return_counts=True)
    p = n.double() / n.sum()
    return (-(p * p.log()).sum()).exp().item()
""", """
def perplexity(codes, k):
    p = nn.functional.one_hot(codes, k).float().mean((0, 1, 2))
    return 2 ** torch.distributions.Categorical(probs=p).entropy().div(math.log(2))
"""],
}
