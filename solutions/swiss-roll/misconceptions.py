"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


WRONG = {
    "kl": [
        Wrong("other direction", "the weights are q's", code="""
def kl(log_p, log_q, cell):
    return (log_q.exp() * (log_q - log_p)).sum() * cell
""", message="The other way round"),
        Wrong("no cell", "the sum taken for the integral", code="""
def kl(log_p, log_q, cell):
    return (log_p.exp() * (log_p - log_q)).sum()
""", message="A sum becomes an integral"),
        Wrong("mean", "an expectation is a mean, so over the grid", code="""
def kl(log_p, log_q, cell):
    return (log_p.exp() * (log_p - log_q)).mean()
""", message="mean over the cells"),
        Wrong("sign", "log q − log p under p", code="""
def kl(log_p, log_q, cell):
    return (log_p.exp() * (log_q - log_p)).sum() * cell
""", message="A divergence is not"),
        Wrong("bits", "log₂", code="""
def kl(log_p, log_q, cell):
    return (log_p.exp() * (log_p - log_q)).sum() * cell / math.log(2)
""", message="Those are bits"),
        Wrong("size of the ratio", "a divergence is not negative, so no part of it is", code="""
def kl(log_p, log_q, cell):
    return (log_p.exp() * (log_p - log_q).abs()).sum() * cell
""", message="the size of the log-ratio"),
        Wrong("no weights", "the log-ratio integrated by itself", code="""
def kl(log_p, log_q, cell):
    return (log_p - log_q).sum() * cell
""", message="Every cell counts the same"),
        Wrong("cross-entropy", "p's own entropy not taken off", code="""
def kl(log_p, log_q, cell):
    return -(log_p.exp() * log_q).sum() * cell
""", message="how surprised q is"),
        Wrong("both directions", "a distance ought to be symmetric", code="""
def kl(log_p, log_q, cell):
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum() * cell
""", message="Both directions averaged"),
        Wrong("zero times infinity", "empty cells left in the sum", code="""
def kl(log_p, log_q, cell):
    return (log_p.exp() * (log_p - log_q)).sum() * cell
""", message="0 by −∞"),
        Wrong("epsilon", "a small number added in each logarithm", code="""
def kl(log_p, log_q, cell):
    p, q = log_p.exp(), log_q.exp()
    return (p * ((p + 1e-12).log() - (q + 1e-12).log())).sum() * cell
""", message="No finite number is honest"),
    ],
    "mean_and_map": [
        Wrong("y is the sum", "y = x₁ + x₂ assumed", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y / 2 + s, y / 2 - s], 1)
    log_p = log_prob(x)
    return (torch.softmax(log_p, 0)[:, None] * x).sum(0), x[log_p.argmax()]
""", message="Where is the line of points"),
        Wrong("not normalised", "p(x) used for p(x|y)", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y + s, y - s], 1)
    log_p = log_prob(x)
    return (log_p.exp()[:, None] * x).sum(0) * (s[1] - s[0]), x[log_p.argmax()]
""", message="if the weights are an average's"),
        Wrong("no weights", "the mean of the line's points", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y + s, y - s], 1)
    return x.mean(0), x[log_prob(x).argmax()]
""", message="The middle of the line"),
        Wrong("logarithms as weights", "log p normalised by its sum", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y + s, y - s], 1)
    log_p = log_prob(x)
    weights = log_p / log_p.sum()
    return (weights[:, None] * x).sum(0), x[log_p.argmax()]
""", message="not their logarithms"),
        Wrong("MAP from the mean", "the mean rounded to a point of the grid", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y + s, y - s], 1)
    mean = (torch.softmax(log_prob(x), 0)[:, None] * x).sum(0)
    return mean, x[(x - mean).norm(dim=1).argmin()]
""", message="the mean moved to the grid"),
        Wrong("exchanged", "MAP first", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y + s, y - s], 1)
    log_p = log_prob(x)
    return x[log_p.argmax()], (torch.softmax(log_p, 0)[:, None] * x).sum(0)
""", message="have changed places"),
        Wrong("least likely", "log_prob taken for an energy", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y + s, y - s], 1)
    log_p = log_prob(x)
    return (torch.softmax(log_p, 0)[:, None] * x).sum(0), x[log_p.argmin()]
""", message="an end of the line"),
        Wrong("underflow", "exp before normalising", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y + s, y - s], 1)
    p = log_prob(x).exp()
    return (p[:, None] * x).sum(0) / p.sum(), x[p.argmax()]
""", message="0/0 is not a number"),
        Wrong("median", "the point that halves the mass", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y + s, y - s], 1)
    p = torch.softmax(log_prob(x), 0)
    return x[(p.cumsum(0) < 0.5).sum()], x[p.argmax()]
""", message="Half of the mass lies"),
        Wrong("one estimate for both", "the posterior thought to have one hill", code="""
def mean_and_map(log_prob, y, s):
    x = torch.stack([y + s, y - s], 1)
    best = x[log_prob(x).argmax()]
    return best, best
""", message="pulls"),
    ],
    "project": [
        Wrong("A⁺y added", "the guess's own part not removed", code="""
def project(x, y, a):
    return x + y[:, None] * a / a.square().sum()
""", message="reports too much"),
        Wrong("sign", "a·x − y in place of y − a·x", code="""
def project(x, y, a):
    return x + (x @ a - y)[:, None] * a / a.square().sum()
""", message="The error has doubled"),
        Wrong("adjoint", "Aᵀ in place of A⁺", code="""
def project(x, y, a):
    return x + (y - x @ a)[:, None] * a
""", message="the adjoint at work"),
        Wrong("norm not squared", "the unit normal times the residual", code="""
def project(x, y, a):
    return x + (y - x @ a)[:, None] * a / a.norm()
""", message="nearly the right length"),
        Wrong("A⁺y alone", "the guess thrown away", code="""
def project(x, y, a):
    return y[:, None] * a / a.square().sum() + 0 * x
""", message="has no influence"),
        Wrong("one number corrected", "the equation solved for the last unknown", code="""
def project(x, y, a):
    x = x.clone()
    x[:, -1] = (y - x[:, :-1] @ a[:-1]) / a[-1]
    return x
""", message="bears the whole correction"),
        Wrong("rescaled", "multiplied until the report is right", code="""
def project(x, y, a):
    return x * (y / (x @ a))[:, None]
""", message="you rescaled the guess"),
        Wrong("evenly", "the same correction for every number, as with equal weights", code="""
def project(x, y, a):
    return x + ((y - x @ a) / a.sum())[:, None]
""", message="corrected by the same amount"),
    ],
    "cross_entropy": [
        Wrong("sign", "the mean log-density", code="""
def cross_entropy(outputs, log_prob):
    v = log_prob(outputs)
    return v.mean(), v.std() / len(v) ** 0.5
""", message="Turned round"),
        Wrong("sum", "added up as for a log-likelihood", code="""
def cross_entropy(outputs, log_prob):
    v = -log_prob(outputs)
    return v.sum(), v.std() * len(v) ** 0.5
""", message="does not grow with the number"),
        Wrong("log of the mean density", "logarithm and mean exchanged", code="""
def cross_entropy(outputs, log_prob):
    p = log_prob(outputs).exp()
    return -p.mean().log(), p.std() / len(p) ** 0.5
""", message="First averaged"),
        Wrong("at the mean output", "the outputs averaged", code="""
def cross_entropy(outputs, log_prob):
    v = -log_prob(outputs)
    return -log_prob(outputs.mean(0, keepdim=True))[0], v.std() / len(v) ** 0.5
""", message="You judge the average output"),
        Wrong("entropy of q", "a density fitted to the outputs and evaluated there", code="""
def cross_entropy(outputs, log_prob):
    q = torch.distributions.Normal(outputs.mean(0), outputs.std(0))
    v = -q.log_prob(outputs).sum(1)
    return v.mean(), v.std() / len(v) ** 0.5
""", message="Which density is to be evaluated"),
        Wrong("bits", "log₂", code="""
def cross_entropy(outputs, log_prob):
    v = -log_prob(outputs) / math.log(2)
    return v.mean(), v.std() / len(v) ** 0.5
""", message="Those are bits"),
        Wrong("deviation as error", "no √n", code="""
def cross_entropy(outputs, log_prob):
    v = -log_prob(outputs)
    return v.mean(), v.std()
""", message="the scatter of single outputs"),
        Wrong("variance", "the variance of the mean, without its root", code="""
def cross_entropy(outputs, log_prob):
    v = -log_prob(outputs)
    return v.mean(), v.var() / len(v)
""", message="squared nats"),
        Wrong("n for root n", "divided by n", code="""
def cross_entropy(outputs, log_prob):
    v = -log_prob(outputs)
    return v.mean(), v.std() / len(v)
""", message="Averaging is not that good"),
    ],
}

RIGHT = {
    "kl": ["""
def kl(log_p, log_q, cell):
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0 * p).sum() * cell
""", """
def kl(log_p, log_q, cell):
    p = log_p.exp() * cell
    return torch.xlogy(p, p).sum() - torch.xlogy(p, log_q.exp() * cell).sum()
"""],
    "mean_and_map": ["""
def mean_and_map(log_prob, y, s):
    log_p = log_prob(torch.stack([y + s, y - s], 1))
    p = (log_p - log_p.max()).exp()
    centre, top = (p * s).sum() / p.sum(), s[log_p.argmax()]
    return torch.stack([y + centre, y - centre]), torch.stack([y + top, y - top])
"""],
    "project": ["""
def project(x, y, a):
    A = a[None]
    return x + (y[:, None] - x @ A.T) @ torch.linalg.pinv(A).T
""", """
def project(x, y, a):
    n = a / a.norm()
    inside = x - torch.outer(x @ n, n)
    return inside + torch.outer(y / a.norm(), n)
"""],
    "cross_entropy": ["""
def cross_entropy(outputs, log_prob):
    v = torch.stack([-log_prob(x[None])[0] for x in outputs])
    n = len(v)
    return v.sum().item() / n, ((v - v.mean()).square().sum() / (n - 1) / n).sqrt().item()
""", """
def cross_entropy(outputs, log_prob):
    v = -log_prob(outputs)
    return torch.mean(v), torch.std(v, correction=0) * len(v) ** -0.5
"""],
}
