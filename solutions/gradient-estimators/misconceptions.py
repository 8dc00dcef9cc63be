"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


WRONG = {
    "score_gradient": [
        Wrong("log-prob sign", "∂ log p/∂x taken for ∂ log p/∂μ", code="""
def score_gradient(f, mu, n):
    x = mu + torch.randn(n)
    return -f(x) * (x - mu)
""", message="opposite direction"),
        Wrong("differentiates through the sample", "the draw keeps its graph while log p is differentiated", code="""
def score_gradient(f, mu, n):
    m = torch.full((n,), mu, requires_grad=True)
    p = torch.distributions.Normal(m, 1.0)
    x = p.rsample()
    return torch.autograd.grad((f(x) * p.log_prob(x)).sum(), m)[0]
""", message="still depends on μ"),
        Wrong("score alone", "f forgotten", code="""
def score_gradient(f, mu, n):
    x = mu + torch.randn(n)
    return x - mu
""", message="the score alone"),
        Wrong("divided by n", "the mean over the draws, taken half", code="""
def score_gradient(f, mu, n):
    x = mu + torch.randn(n)
    return f(x) * (x - mu) / n
""", message="you divide by n"),
        Wrong("one noise for all", "randn(1) is broadcast", code="""
def score_gradient(f, mu, n):
    x = mu + torch.randn(1)
    return (f(x) * (x - mu)).expand(n)
""", message="one noise for all draws"),
        Wrong("draws around 0", "the noise is taken for the draw", code="""
def score_gradient(f, mu, n):
    x = torch.randn(n)
    return f(x) * x
""", message="scatter around μ"),
        Wrong("density for log-density", "∂p in place of ∂ log p, though the draw already comes from p", code="""
def score_gradient(f, mu, n):
    x = mu + torch.randn(n)
    return f(x) * (x - mu) * torch.distributions.Normal(mu, 1.0).log_prob(x).exp()
""", message="weight by the density"),
        Wrong("pathwise", "reparameterised from habit", code="""
def score_gradient(f, mu, n):
    x = (mu + torch.randn(n)).requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[0]
""", message="this is the pathwise gradient"),
        Wrong("averaged", "one number returned", code="""
def score_gradient(f, mu, n):
    x = mu + torch.randn(n)
    return (f(x) * (x - mu)).mean()
""", message="Do not average yet"),
    ],
    "leave_one_out": [
        Wrong("f itself", "the value of the same draw is its own best guess", code="""
def leave_one_out(values):
    return values.clone()
""", message="subtract f from itself"),
        Wrong("mean of all", "the batch mean, own draw included", code="""
def leave_one_out(values):
    return values.mean().expand(len(values))
""", message="sits in its own baseline"),
        Wrong("divided by n", "mean() of the others with a zero in the own place", code="""
def leave_one_out(values):
    return (values.sum() - values) / len(values)
""", message="divide by n"),
        Wrong("one neighbour", "any independent draw will do, so the next one", code="""
def leave_one_out(values):
    return values.roll(1)
""", message="One neighbour"),
        Wrong("advantage", "the baseline is subtracted at once", code="""
def leave_one_out(values):
    return values - (values.sum() - values) / (len(values) - 1)
""", message="Asked for is b alone"),
        Wrong("one number", "a baseline is taken for a constant", code="""
def leave_one_out(values):
    return values[1:].mean()
""", message="a baseline of its own"),
    ],
    "pathwise_gradient": [
        Wrong("not reparameterised", "sample() cuts the graph; the gradient by x is returned for both parameters", code="""
def pathwise_gradient(f, mu, sigma, n):
    x = torch.distributions.Normal(mu, sigma).sample((n,)).requires_grad_()
    g = torch.autograd.grad(f(x).sum(), x)[0]
    return torch.stack([g, g], 1)
""", message="chain rule stopped at x"),
        Wrong("one noise for all", "randn(1) is broadcast", code="""
def pathwise_gradient(f, mu, sigma, n):
    theta = torch.tensor([mu, sigma]).repeat(n, 1).requires_grad_()
    x = theta[:, 0] + theta[:, 1] * torch.randn(1)
    return torch.autograd.grad(f(x).sum(), theta)[0]
""", message="a noise of its own"),
        Wrong("variance as deviation", "σ² multiplies the noise", code="""
def pathwise_gradient(f, mu, sigma, n):
    theta = torch.tensor([mu, sigma]).repeat(n, 1).requires_grad_()
    x = theta[:, 0] + theta[:, 1] ** 2 * torch.randn(n)
    return torch.autograd.grad(f(x).sum(), theta)[0]
""", message="scatter by σ²"),
        Wrong("two noises", "ε is drawn again for the derivative by σ", code="""
def pathwise_gradient(f, mu, sigma, n):
    x = (mu + sigma * torch.randn(n)).requires_grad_()
    g = torch.autograd.grad(f(x).sum(), x)[0]
    return torch.stack([g, g * torch.randn(n)], 1)
""", message="must be the same ε"),
        Wrong("gradient of the mean", "mean() for sum(), as in a loss", code="""
def pathwise_gradient(f, mu, sigma, n):
    theta = torch.tensor([mu, sigma]).repeat(n, 1).requires_grad_()
    x = theta[:, 0] + theta[:, 1] * torch.randn(n)
    return torch.autograd.grad(f(x).mean(), theta)[0]
""", message="differentiate the sum"),
        Wrong("σε for ε", "x − μ taken for the derivative by σ", code="""
def pathwise_gradient(f, mu, sigma, n):
    x = (mu + sigma * torch.randn(n)).requires_grad_()
    g = torch.autograd.grad(f(x).sum(), x)[0]
    return torch.stack([g, g * (x.detach() - mu)], 1)
""", message="half of what it should be"),
        Wrong("columns exchanged", "σ before μ", code="""
def pathwise_gradient(f, mu, sigma, n):
    epsilon = torch.randn(n)
    x = (mu + sigma * epsilon).requires_grad_()
    g = torch.autograd.grad(f(x).sum(), x)[0]
    return torch.stack([g * epsilon, g], 1)
""", message="columns are exchanged"),
        Wrong("score function", "f times the score, which is right on average", code="""
def pathwise_gradient(f, mu, sigma, n):
    epsilon = torch.randn(n)
    value = f(mu + sigma * epsilon)
    return torch.stack([value * epsilon / sigma, value * (epsilon**2 - 1) / sigma], 1)
""", message="that of a score function"),
    ],
    "surrogate": [
        Wrong("f not detached", "forgetting to detach f", code="""
def surrogate(values, log_p):
    return (values * log_p).mean()
""", message="f is only a weight"),
        Wrong("minus", "losses in likelihood training carry a minus", code="""
def surrogate(values, log_p):
    return -(values.detach() * log_p).mean()
""", message="The sign is turned"),
        Wrong("sum", "a sum over draws", code="""
def surrogate(values, log_p):
    return (values.detach() * log_p).sum()
""", message="You summed over the draws"),
        Wrong("added", "f and log p as two terms of a loss", code="""
def surrogate(values, log_p):
    return (values.detach() + log_p).mean()
""", message="f does not count"),
        Wrong("f alone", "the mean of f, which θ reaches through the draws only", code="""
def surrogate(values, log_p):
    return values.mean()
""", message="θ gets no gradient"),
        Wrong("batch mean", "a baseline from habit, own draw included", code="""
def surrogate(values, log_p):
    values = values.detach()
    return ((values - values.mean()) * log_p).mean()
""", message="this one is biased"),
        Wrong("product of means", "averages taken too early", code="""
def surrogate(values, log_p):
    return values.detach().mean() * log_p.mean()
""", message="product of means"),
        Wrong("wrong factor detached", "log p taken for the weight", code="""
def surrogate(values, log_p):
    return (values.detach() * log_p.detach()).mean()
""", message="Nothing is left to differentiate"),
    ],
}

RIGHT = {
    "score_gradient": ["""
def score_gradient(f, mu, n):
    m = torch.full((n,), float(mu), requires_grad=True)
    p = torch.distributions.Normal(m, 1.0)
    x = p.sample()
    return f(x) * torch.autograd.grad(p.log_prob(x).sum(), m)[0]
""", """
def score_gradient(f, mu, n):
    epsilon = torch.randn(n)
    return epsilon * f(mu + epsilon)
"""],
    "leave_one_out": ["""
def leave_one_out(values):
    return torch.stack([torch.cat([values[:i], values[i + 1:]]).mean() for i in range(len(values))])
""", """
def leave_one_out(values):
    n = len(values)
    return (torch.ones(n, n) - torch.eye(n)) @ values / (n - 1)
""", """
def leave_one_out(values):
    values = values.double()
    return values.mean() + (values.mean() - values) / (len(values) - 1)
"""],
    "pathwise_gradient": ["""
def pathwise_gradient(f, mu, sigma, n):
    epsilon = torch.randn(n)
    x = (mu + sigma * epsilon).requires_grad_()
    g = torch.autograd.grad(f(x).sum(), x)[0]
    return torch.stack([g, g * epsilon], dim=1)
""", """
def pathwise_gradient(f, mu, sigma, n):
    m, s = torch.full((n,), mu, requires_grad=True), torch.full((n,), sigma, requires_grad=True)
    x = torch.distributions.Normal(m, s).rsample()
    return torch.stack(torch.autograd.grad(f(x).sum(), (m, s)), 1)
""", """
def pathwise_gradient(f, mu, sigma, n):
    epsilon = torch.randn(n, dtype=torch.float64)
    slope = torch.func.vmap(torch.func.grad(f))(mu + sigma * epsilon)
    return slope[:, None] * torch.stack([torch.ones_like(epsilon), epsilon], 1)
"""],
    "surrogate": ["""
def surrogate(values, log_p):
    return torch.dot(values.detach(), log_p) / len(log_p)
""", """
def surrogate(values, log_p):
    with torch.no_grad():
        weight = values / len(values)
    return (weight.data * log_p).sum()
""", """
def surrogate(values, log_p):
    ratio = (log_p - log_p.detach()).exp()
    return (values.detach() * ratio).mean()
"""],
}
