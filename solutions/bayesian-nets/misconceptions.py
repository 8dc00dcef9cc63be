"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


def layer(plain: str, local: str = "x @ mu.T + ((x * x) @ (s * s).T).sqrt() * torch.randn(len(x), len(mu))", s: str = "softplus(rho)") -> str:
    """A `sample_layer` with these two results."""
    return f"""
def sample_layer(x, mu, rho, local=False):
    s = {s}
    return {local} if local else {plain}
"""


PLAIN = "x @ (mu + s * torch.randn(mu.shape)).T"

WRONG = {
    "mean_field": [
        Wrong("true marginals", "the diagonal of the covariance, where the KL asks for the diagonal of the precision", code="""
def mean_field(features, noise, prior):
    lam = features.T @ features / noise**2 + torch.eye(features.shape[1]) / prior**2
    return torch.linalg.inv(lam).diagonal()
""", message="under the *true* posterior"),
        Wrong("precision", "the precision is returned for the variance", code="""
def mean_field(features, noise, prior):
    return (features**2).sum(0) / noise**2 + prior**-2
""", message="you have the precision"),
        Wrong("standard deviation", "the square root taken at the end", code="""
def mean_field(features, noise, prior):
    return ((features**2).sum(0) / noise**2 + prior**-2) ** -0.5
""", message="These are standard deviations"),
        Wrong("prior forgotten", "least squares with error bars", code="""
def mean_field(features, noise, prior):
    return noise**2 / (features**2).sum(0)
""", message="what the prior says is missing"),
        Wrong("noise not squared", "the deviation stands where the variance belongs", code="""
def mean_field(features, noise, prior):
    return 1 / ((features**2).sum(0) / noise + prior**-2)
""", message="The noise counts by its variance"),
        Wrong("prior not squared", "the deviation of the prior is taken for its variance", code="""
def mean_field(features, noise, prior):
    return 1 / ((features**2).sum(0) / noise**2 + 1 / prior)
""", message="the prior, too"),
        Wrong("mean over the data", "mean is the habit", code="""
def mean_field(features, noise, prior):
    return 1 / ((features**2).mean(0) / noise**2 + prior**-2)
""", message="a sum, not a mean"),
        Wrong("one number for each datum", "Φ Φᵀ instead of Φᵀ Φ", code="""
def mean_field(features, noise, prior):
    return 1 / ((features**2).sum(1) / noise**2 + prior**-2)
""", message="How many weights there are"),
        Wrong("sum squared", "the features are added before squaring", code="""
def mean_field(features, noise, prior):
    return 1 / (features.sum(0) ** 2 / noise**2 + prior**-2)
""", message="squared the sum"),
        Wrong("prior not inverted", "its variance is added to the precision", code="""
def mean_field(features, noise, prior):
    return 1 / ((features**2).sum(0) / noise**2 + prior**2)
""", message="The wider the prior"),
        Wrong("ridge", "the matrix that ridge regression inverts", code="""
def mean_field(features, noise, prior):
    return 1 / ((features**2).sum(0) + noise**2 / prior**2)
""", message="as ridge regression has it"),
    ],
    "sample_layer": [
        Wrong("exp for softplus", "the commoner way to make a number positive", code=layer(PLAIN, s="rho.exp()"), message="The deviation is e^ρ"),
        Wrong("rho as log variance", "the encoder of a VAE", code=layer(PLAIN, s="(0.5 * rho).exp()"), message="logarithm of a variance"),
        Wrong("rho as deviation", "the parameter is used as it is", code=layer(PLAIN, s="rho"), message="You took ρ for σ"),
        Wrong("variance times noise", "σ² multiplies ε", code=layer("x @ (mu + s.square() * torch.randn_like(mu)).T"), message="The noise is multiplied by the variance"),
        Wrong("no noise", "the weights at their means plus σ", code=layer("x @ (mu + s).T"), message="Every call gives the same weights"),
        Wrong("one noise a row", "ε of shape (m, 1) is broadcast over the inputs", code=layer("x @ (mu + s * torch.randn(len(mu), 1)).T"), message="lead into one output move together"),
        Wrong("one noise a column", "ε of shape (n,) is broadcast over the outputs", code=layer("x @ (mu + s * torch.randn(mu.shape[1])).T"), message="All outputs get the same noise"),
        Wrong("graph cut", "Normal.sample() instead of rsample()", code=layer("x @ torch.distributions.Normal(mu, s).sample().T"), message="mu hears nothing"),
        Wrong("σ detached", "the noise term is made under no_grad", code=layer("x @ (mu + (s * torch.randn_like(mu)).detach()).T"), message="rho hears nothing"),
        Wrong("always local", "the argument is not looked at", code="""
def sample_layer(x, mu, rho, local=False):
    s = softplus(rho)
    return x @ mu.T + ((x * x) @ (s * s).T).sqrt() * torch.randn(len(x), len(mu))
""", message="one set of weights serves the whole batch"),
        Wrong("never local", "the argument is not looked at", code=layer(PLAIN, local=PLAIN), message="equal data got equal outputs"),
        Wrong("local: σ not squared", "σ for σ² in the variance of the output",
              code=layer(PLAIN, local="x @ mu.T + (x.square() @ s.T).sqrt() * torch.randn(len(x), len(mu))"), message="Is what you put in for Var[w] a variance"),
        Wrong("local: x not squared", "the variance is pushed through the layer like a mean",
              code=layer(PLAIN, local="x @ mu.T + (x @ s.square().T).sqrt() * torch.randn(len(x), len(mu))"), message="x has weight 1 in your variance"),
        Wrong("local: deviations added", "the deviation is pushed through the layer like a mean",
              code=layer(PLAIN, local="x @ mu.T + (x.abs() @ s.T) * torch.randn(len(x), len(mu))"), message="you added standard deviations"),
        Wrong("local: root forgotten", "the variance multiplies the noise",
              code=layer(PLAIN, local="x @ mu.T + (x.square() @ s.square().T) * torch.randn(len(x), len(mu))"), message="this is the variance of the output"),
        Wrong("local: one noise a datum", "ε of shape (b, 1) is broadcast over the outputs",
              code=layer(PLAIN, local="x @ mu.T + (x.square() @ s.square().T).sqrt() * torch.randn(len(x), 1)"), message="share their noise"),
        Wrong("overflow", "log(1 + e^ρ) typed as it is read", code=layer(PLAIN, s="(1 + rho.exp()).log()"), message="overflows on the way"),
        Wrong("torch.rand", "one letter short of randn", code=layer("x @ (mu + s * torch.rand_like(mu)).T"), message="torch.rand is uniform"),
        Wrong("transposed", "no shape complains where m = n", code=layer("x @ (mu + s * torch.randn_like(mu))"), message="Your weights are transposed"),
        Wrong("local: σ² transposed", "no shape complains where m = n",
              code=layer(PLAIN, local="x @ mu.T + (x.square() @ s.square()).sqrt() * torch.randn(len(x), len(mu))"), message="your σ² is transposed"),
        Wrong("torch.normal", "looks like rsample, but has no gradient", code=layer("x @ torch.normal(mu, s).T"), message="passes nothing on"),
        Wrong("local: variance detached", "only the mean learns",
              code=layer(PLAIN, local="x @ mu.T + ((x * x) @ (s * s).T).detach().sqrt() * torch.randn(len(x), len(mu))"), message="no gradient reaches mu or rho"),
    ],
    "minibatch_loss": [
        Wrong("KL / batch size", "everything that is averaged is divided by the batch size", code="""
def minibatch_loss(log_p, kls, data):
    return kls.sum() / len(log_p) - log_p.mean()
""", message="KL/batch size"),
        Wrong("mean log-likelihood, whole KL", "cross_entropy averages, and the KL is added to it", code="""
def minibatch_loss(log_p, kls, data):
    return kls.sum() - log_p.mean()
""", message="that of *one* datum"),
        Wrong("no weight at all", "the formula for the whole set, used on a batch", code="""
def minibatch_loss(log_p, kls, data):
    return kls.sum() - log_p.sum()
""", message="The batch speaks for itself"),
        Wrong("sum over the batch by N", "both terms divided by N, none multiplied by N/B", code="""
def minibatch_loss(log_p, kls, data):
    return (kls.sum() - log_p.sum()) / data
""", message="only the 4 that were drawn"),
        Wrong("1/M with a mean", "the weight of the paper, which sums over the batch, taken to a loss that averages", code="""
def minibatch_loss(log_p, kls, data):
    batches = data / len(log_p)
    return kls.sum() / batches - log_p.mean()
""", message="KL over the number of batches"),
        Wrong("share of a batch", "equation 8 of the paper, not divided by the batch size", code="""
def minibatch_loss(log_p, kls, data):
    return len(log_p) / data * kls.sum() - log_p.sum()
""", message="the wrong scale"),
        Wrong("all N data", "the loss of the whole set is returned undivided", code="""
def minibatch_loss(log_p, kls, data):
    return kls.sum() - data * log_p.mean()
""", message="learning rate depend on N"),
        Wrong("the bound itself", "the ELBO is returned", code="""
def minibatch_loss(log_p, kls, data):
    return log_p.mean() - kls.sum() / data
""", message="That is the bound"),
        Wrong("sign of the KL", "both terms get the minus of the loss", code="""
def minibatch_loss(log_p, kls, data):
    return -(log_p.mean() + kls.sum() / data)
""", message="*paid* for leaving the prior"),
        Wrong("mean over layers", "mean is the habit", code="""
def minibatch_loss(log_p, kls, data):
    return kls.mean() / data - log_p.mean()
""", message="averaged the KL over the layers"),
        Wrong("sum of the batch, KL / N", "one term summed, one shared out", code="""
def minibatch_loss(log_p, kls, data):
    return kls.sum() / data - log_p.sum()
""", message="4 data then count"),
        Wrong("N/B on the KL", "the factor before the wrong term", code="""
def minibatch_loss(log_p, kls, data):
    return (data / len(log_p) * kls.sum() - log_p.sum()) / data
""", message="N/B stands before the KL"),
        Wrong("no KL", "cross-entropy alone", code="""
def minibatch_loss(log_p, kls, data):
    return -log_p.mean()
""", message="Where is the KL"),
    ],
    "predictive": [
        Wrong("logits averaged", "the mean is taken before the softmax", code="""
def predictive(logits):
    p = logits.mean(0).softmax(1)
    h = -(p * p.log()).sum(1)
    return p, h, h + (logits.softmax(2) * logits.log_softmax(2)).sum(2).mean(0)
""", message="one softmax"),
        Wrong("vote", "each draw gives its answer, and the answers are counted", code="""
def predictive(logits):
    p = nn.functional.one_hot(logits.argmax(2), logits.shape[2]).float().mean(0)
    h = torch.special.entr(p).sum(1)
    return p, h, h
""", message="A vote"),
        Wrong("logarithms averaged", "log_softmax for the loss, and the mean of it", code="""
def predictive(logits):
    p = logits.log_softmax(2).mean(0).exp()
    h = torch.special.entr(p).sum(1)
    return p, h, h
""", message="the *logarithms* of the probabilities"),
        Wrong("softmax over the data", "dim=1 from a network without draws", code="""
def predictive(logits):
    e = logits.softmax(1)
    p = e.mean(0)
    h = torch.special.entr(p).sum(1)
    return p, h, h - torch.special.entr(e).sum(2).mean(0)
""", message="Along which dimension are the classes"),
        Wrong("entropy of each draw", "the entropies are averaged instead of the probabilities", code="""
def predictive(logits):
    e = logits.softmax(2)
    h = torch.special.entr(e).sum(2).mean(0)
    return e.mean(0), h, torch.special.entr(e.mean(0)).sum(1) - h
""", message="mean entropy of single draws"),
        Wrong("sign of the entropy", "the minus in front of the sum is forgotten", code="""
def predictive(logits):
    e = logits.softmax(2)
    p = e.mean(0)
    h = (p * p.log()).sum(1)
    return p, h, h - (e * e.log()).sum(2).mean(0)
""", message="Σ p log p is"),
        Wrong("bits", "log2", code="""
def predictive(logits):
    e = logits.softmax(2)
    p = e.mean(0)
    h = -(p * p.log2()).sum(1)
    return p, h, h + (e * e.log2()).sum(2).mean(0)
""", message="Entropy in bits"),
        Wrong("difference turned round", "conditional minus total", code="""
def predictive(logits):
    e = logits.softmax(2)
    p = e.mean(0)
    h = torch.special.entr(p).sum(1)
    return p, h, torch.special.entr(e).sum(2).mean(0) - h
""", message="Negative doubt"),
        Wrong("the other part", "the ambiguity of the data is returned for the doubt about the weights", code="""
def predictive(logits):
    e = logits.softmax(2)
    p = e.mean(0)
    return p, torch.special.entr(p).sum(1), torch.special.entr(e).sum(2).mean(0)
""", message="the part that remains"),
        Wrong("spread over classes", "the deviation of the predictive probabilities, not of the draws", code="""
def predictive(logits):
    p = logits.softmax(2).mean(0)
    return p, torch.special.entr(p).sum(1), p.std(1)
""", message="A spread of what"),
        Wrong("0 log 0", "p.log() where p may be 0", code="""
def predictive(logits):
    e = logits.softmax(2)
    p = e.mean(0)
    h = -(p * p.log()).sum(1)
    return p, h, h + (e * e.log()).sum(2).mean(0)
""", message="Not a number where a probability"),
        Wrong("mean over classes", "mean for sum in the entropy", code="""
def predictive(logits):
    e = logits.softmax(2)
    h = torch.special.entr(e.mean(0)).mean(1)
    return e.mean(0), h, h - torch.special.entr(e).mean(2).mean(0)
""", message="averaged over the classes"),
        Wrong("one minus the largest", "confidence taken for the doubt about the weights", code="""
def predictive(logits):
    p = logits.softmax(2).mean(0)
    return p, torch.special.entr(p).sum(1), 1 - p.max(1).values
""", message="One minus the largest probability"),
    ],
}

RIGHT = {
    "mean_field": ["""
def mean_field(features, noise, prior):
    lam = features.T @ features / noise**2 + torch.eye(features.shape[1]) / prior**2
    return lam.diagonal().reciprocal()
""", """
def mean_field(features, noise, prior):
    s2, p2 = noise * noise, prior * prior
    return torch.stack([torch.as_tensor(s2 * p2 / (s2 + p2 * column.dot(column))) for column in features.T])
"""],
    "sample_layer": ["""
def sample_layer(x, mu, rho, local=False):
    w = torch.distributions.Normal(mu, torch.nn.functional.softplus(rho))
    if not local:
        return x.matmul(w.rsample().t())
    return torch.distributions.Normal(x.matmul(w.mean.t()), x.pow(2).matmul(w.variance.t()).sqrt()).rsample()
""", """
def sample_layer(x, mu, rho, local=False):
    deviation = torch.logaddexp(rho, torch.zeros_like(rho))
    draws = torch.randn(len(x) if local else 1, *mu.shape)  # a matrix for each datum: slow, and the same law
    return ((mu + deviation * draws) * x[:, None, :]).sum(2)
"""],
    "minibatch_loss": ["""
def minibatch_loss(log_p, kls, data):
    elbo = data / len(log_p) * log_p.sum() - kls.sum()
    return -elbo / data
""", """
def minibatch_loss(log_p, kls, data):
    total = sum(kls)
    return torch.mean(total / data - log_p)  # the KL is shared out among the data
"""],
    "predictive": ["""
def predictive(logits):
    log_each = logits.log_softmax(-1)
    log_p = log_each.logsumexp(0) - math.log(len(logits))
    p = log_p.exp()
    doubt = (log_each.exp() * (log_each - log_p)).sum(-1).mean(0)  # the mean divergence of a draw from all together
    return p, -(p * log_p).sum(-1), doubt
""", """
def predictive(logits):
    def entropy(p):
        return -(p * (p + 1e-12).log()).sum(-1)

    p = nn.functional.softmax(logits, dim=-1)
    mean = p.sum(0) / p.shape[0]
    return mean, entropy(mean), entropy(mean) - entropy(p).mean(0)
"""],
}
