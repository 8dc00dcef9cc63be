"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


def residual(mean: str = "mu + d_mu", deviation: str = "sigma * r", kl: str = "torch.distributions.kl.kl_divergence(Normal(m, s), Normal(mu, sigma))", r: str = "torch.exp(d_log_sigma) + 0.01") -> str:
    """A `residual_normal` with these parts; r is Δσ, m and s are what is returned."""
    return f"""
def residual_normal(mu, sigma, d_mu, d_log_sigma):
    r = {r}
    m, s = {mean}, {deviation}
    return m, s, {kl}
"""


def ladder(rates: str = "[k.flatten(1).sum(1).mean() for k in kls]", pixels: str = "log_p.flatten(1).sum(1).mean()", gamma: str = "n * (kl.detach() + 0.01)",
           norm: str = "gamma.mean()", balance: str = "weight < 1", result: str = "weight * kl.sum() - pixels") -> str:
    """A `ladder_loss` with these parts."""
    return f"""
def ladder_loss(log_p, kls, weight=1.0):
    kl = torch.stack({rates})
    pixels = {pixels}
    if {balance}:
        n = torch.tensor([k.shape[-1] * k.shape[-2] for k in kls])
        gamma = {gamma}
        kl = kl * gamma / {norm}
    return {result}
"""


def levels(result: str = "mass.log()", h: str = "1 / (levels - 1)", s: str = "log_scale.exp()", black: str = "x < -1 + 1e-4", white: str = "x > 1 - 1e-4") -> str:
    """A `level_log_prob` by subtraction, with these parts."""
    return f"""
def level_log_prob(x, mean, log_scale, levels):
    h, s = {h}, {s}
    top, bottom = torch.sigmoid((x + h - mean) / s), torch.sigmoid((x - h - mean) / s)
    z = (x - mean) / s
    density = (-z - 2 * nn.functional.softplus(-z)).exp() / s
    top = torch.where({white}, torch.ones_like(top), top)
    bottom = torch.where({black}, torch.zeros_like(bottom), bottom)
    mass = top - bottom
    return {result}
"""


def draws(body: str, end: str = "paint(h)", start: str = "") -> str:
    """An `imagine` with this loop body, given mu and sigma."""
    return f"""
def imagine(groups, paint, h, tau):
    {start or "pass"}
    for prior, write in groups:
        mu, sigma = prior(h)
        {body}
    return {end}
"""


NEVER = "x > 9"
COOL = "h = write(h, mu + tau * sigma * torch.randn(mu.shape))"

WRONG = {
    "residual_normal": [
        Wrong("absolute mean", "the encoder of a plain VAE gives the mean itself", code=residual(mean="d_mu"), message="does not know where the prior is"),
        Wrong("Δμ in units of σ", "the shift is scaled like the noise", code=residual(mean="mu + sigma * d_mu"), message="units of σ"),
        Wrong("Δσ added", "Δ is read as a difference", code=residual(deviation="sigma + r"), message="Δσ was *added*"),
        Wrong("absolute deviation", "only the mean is told relative to the prior", code=residual(deviation="r"), message="does not get narrower"),
        Wrong("logvar as std", "the output is taken for a log variance, as in the VAE of the chapter before", code=residual(r="torch.exp(d_log_sigma / 2) + 0.01"), message="logarithm of a variance"),
        Wrong("variance returned", "N(μ, σ²) names the variance", code=residual(kl="torch.distributions.kl.kl_divergence(Normal(m, s.sqrt()), Normal(mu, sigma))", deviation="(sigma * r) ** 2"),
              message="That is the variance of q"),
        Wrong("floor forgotten", "exp is positive anyway", code=residual(r="torch.exp(d_log_sigma)"), message="Where is the 0.01"),
        Wrong("floor on the product", "added at the end, as for the prior", code=residual(deviation="sigma * torch.exp(d_log_sigma) + 0.01"), message="added 0.01 to the product"),
        Wrong("KL without the floor", "the closed form is written in the network's outputs",
              code=residual(kl="0.5 * ((d_mu / sigma) ** 2 + torch.exp(2 * d_log_sigma) - 1) - d_log_sigma"), message="The KL of another q"),
        Wrong("KL from N(0, 1)", "the prior of a plain VAE", code=residual(kl="torch.distributions.kl.kl_divergence(Normal(m, s), Normal(0.0, 1.0))"), message="This is the KL from N(0, 1)"),
        Wrong("σ missing", "the formula of a plain VAE with Δ in place of μ and σ", code=residual(kl="0.5 * (d_mu**2 + r**2 - 2 * torch.log(r) - 1)"), message="As if the prior had"),
        Wrong("σ not squared", "Δμ² over σ", code=residual(kl="0.5 * (d_mu**2 / sigma + r**2 - 2 * torch.log(r) - 1)"), message="so does σ"),
        Wrong("½ missing", "copied without the ½", code=residual(kl="(d_mu / sigma) ** 2 + r**2 - 2 * torch.log(r) - 1"), message="Twice too large"),
        Wrong("order exchanged", "kl_divergence(p, q) for KL[q‖p]", code=residual(kl="torch.distributions.kl.kl_divergence(Normal(mu, sigma), Normal(m, s))"), message="In the bound the expectation"),
        Wrong("log Δσ for log Δσ²", "the square is lost in the logarithm", code=residual(kl="0.5 * ((d_mu / sigma) ** 2 + r**2 - torch.log(r) - 1)"), message="*variance's* factor"),
        Wrong("sign", "what is added to the bound, not what it costs", code=residual(kl="-torch.distributions.kl.kl_divergence(Normal(m, s), Normal(mu, sigma))"), message="never negative"),
        Wrong("log-ratio at a draw", "the estimate that a flow needs", message="changes from call to call",
              code=residual(kl="(lambda z: Normal(m, s).log_prob(z) - Normal(mu, sigma).log_prob(z))(m + s * torch.randn_like(s))")),
        Wrong("summed", "a number for each image, as in a plain VAE", code=residual(kl="torch.distributions.kl.kl_divergence(Normal(m, s), Normal(mu, sigma)).flatten(1).sum(1)"), message="for the caller to say"),
        Wrong("σ_q for the ratio", "the plain formula with q's own deviation", code=residual(kl="0.5 * ((d_mu / sigma) ** 2 + s**2 - 1) - torch.log(s)"), message="where its *ratio* to the prior's belongs"),
        Wrong("constant forgotten", "a constant has no gradient", code=residual(kl="0.5 * ((d_mu / sigma) ** 2 + r**2) - torch.log(r)"), message="The constant −½ is missing"),
    ],
    "ladder_loss": [
        Wrong("the bound itself", "the ELBO is returned", code=ladder(result="pixels - weight * kl.sum()"), message="That is the bound"),
        Wrong("sign of the KL", "both get the minus of the loss", code=ladder(result="-(pixels + weight * kl.sum())"), message="pays for a large KL"),
        Wrong("mean over pixels", "what losses do by default", code=ladder(pixels="log_p.mean()"), message="Sum over pixels"),
        Wrong("mean over latents", "mean is the habit", code=ladder("[k.mean() for k in kls]"), message="The mean over the latents"),
        Wrong("means of both", "mean is the habit, consistently", code=ladder("[k.mean() for k in kls]", "log_p.mean()"), message="neither term"),
        Wrong("mean over groups", "the groups are averaged", code=ladder(result="weight * kl.mean() - pixels"), message="You averaged the groups"),
        Wrong("KL counted twice", "the total rate and the levels are both in the loss", code=ladder(result="weight * (kl.sum() + sum(kl)) - pixels"), message="Every KL counts twice"),
        Wrong("KL of all groups so far", "KL[q(z₁…z_l) ‖ p(z₁…z_l)] is taken for that of group l", code=ladder(result="weight * kl.cumsum(0).sum() - pixels"), message="paid for once in every group"),
        Wrong("last group only", "the loop variable after the loop", code=ladder(result="weight * kl[-1] - pixels"), message="Only one group pays"),
        Wrong("sum over the batch", "everything is summed", code=ladder("[k.sum() for k in kls]", "log_p.sum()"), message="Summed over the images"),
        Wrong("KL / batch size", "the KL is normalised once more", code=ladder("[k.flatten(1).sum(1).mean() / len(k) for k in kls]"), message="divided by the batch size"),
        Wrong("always balanced", "γ belongs to the loss, it seems", code=ladder(balance="True"), message="At weight 1 the groups are still balanced"),
        Wrong("never balanced", "the warm-up alone", code=ladder(balance="False"), message="nothing is balanced"),
        Wrong("weight on everything", "the weight is taken for a learning rate", code=ladder(result="weight * (kl.sum() - pixels)"), message="The weight multiplies the pixels' term"),
        Wrong("weight forgotten", "the weight only decides on the balance", code=ladder(result="kl.sum() - pixels"), message="not in front of the KL"),
        Wrong("γ inverted", "equalise the groups by dividing", code=ladder(gamma="1 / (n * (kl.detach() + 0.01))"), message="the wrong way round"),
        Wrong("γ not normalised", "the proportionality is read as an equation", code=ladder(norm="1"), message="27 times too heavy"),
        Wrong("γ sums to 1", "weights sum to one", code=ladder(norm="gamma.sum()"), message="with more groups each pays less"),
        Wrong("γ without sizes", "the KL alone", code=ladder(gamma="kl.detach() + 0.01"), message="without the number of places"),
        Wrong("γ without the KL", "the size alone", code=ladder(gamma="n.float()"), message="where is their KL"),
        Wrong("γ counts channels", "numel for h · w", code=ladder(gamma="torch.tensor([k[0].numel() for k in kls]) * (kl.detach() + 0.01)"), message="numbers, not places"),
        Wrong("γ in the graph", "detach forgotten", code=ladder(gamma="n * (kl + 0.01)"), message="γ is in the graph"),
        Wrong("mean over places", "kl.mean((2, 3))", code=ladder("[k.mean((2, 3)).sum(1).mean() for k in kls]"), message="The mean over the places"),
        Wrong("mean over channels", "mean() after a sum over places", code=ladder("[k.sum((2, 3)).mean() for k in kls]"), message="The mean over the channels"),
        Wrong("weight on the pixels", "the weight in front of the other term", code=ladder(result="kl.sum() - weight * pixels"), message="stands in front of the pixels"),
        Wrong("γ divided by the places", "the authors' program", code=ladder(gamma="(kl.detach() + 0.01) / n"), message="You divided by the number of places"),
        Wrong("γ without the 0.01", "the small number is left out", code=ladder(gamma="n * kl.detach()"), message="The 0.01 is missing"),
        Wrong("balanced for half of the warm-up", "a threshold from the example", code=ladder(balance="weight <= 0.5"), message="the warm-up is not over"),
    ],
    "level_log_prob": [
        Wrong("probability", "the logarithm is forgotten", code=levels("mass"), message="These are probabilities"),
        Wrong("the price", "minus the log-probability, as in a loss", code=levels("-mass.log()"), message="All are positive"),
        Wrong("density", "log_prob of a continuous distribution", code=levels("density.log()"), message="This is the *density*"),
        Wrong("density times width", "the mass of a thin bin", code=levels("(2 * h * density).log()"), message="Density times width"),
        Wrong("no edges", "every bin is finite", code=levels(black="x < -9", white=NEVER), message="belongs to no level yet"),
        Wrong("white edge missing", "only black is special", code=levels(white=NEVER), message="would be whiter"),
        Wrong("black edge missing", "only white is special", code=levels(black="x < -9"), message="would be blacker"),
        Wrong("edges exchanged", "each edge opens on the wrong side", code="""
def level_log_prob(x, mean, log_scale, levels):
    h, s = 1 / (levels - 1), log_scale.exp()
    a, b = (x + h - mean) / s, (x - h - mean) / s
    inner = logsigmoid(a) + logsigmoid(-b) + torch.log1p(-torch.exp(b - a))
    return torch.where(x < -1 + h, logsigmoid(-b), torch.where(x > 1 - h, logsigmoid(a), inner))
""", message="go off to the wrong sides"),
        Wrong("1/K", "K levels are thought to make K steps", code=levels(h="1 / levels"), message="The bins do not touch"),
        Wrong("half bin of [0, 1]", "the step of grey values in [0, 1]", code=levels(h="0.5 / (levels - 1)"), message="half as wide"),
        Wrong("a whole step", "the bin's width taken for its half", code=levels(h="2 / (levels - 1)"), message="The bins overlap"),
        Wrong("1/255", "the constant of the paper, copied", code=levels(h="1 / 255"), message="Bins for 256 levels"),
        Wrong("scale inverted", "inv_stdv in the paper's code is a factor", code=levels(s="(-log_scale).exp()"), message="You multiplied by the scale"),
        Wrong("logvar as std", "halved, as in a Gaussian decoder", code=levels(s="(0.5 * log_scale).exp()"), message="nothing is to be halved"),
        Wrong("edge test 0.99", "the constant of published code", code=levels("(mass + 1e-30).log()", white="x > 0.99"), message="catches level 254"),
        Wrong("logarithm of the difference", "the definition, typed as it is read", code=levels(), message="Minus infinity"),
        Wrong("clamped", "a small constant in the logarithm", code=levels("mass.clamp(min=1e-12).log()"), message="Flat far from the mean"),
        Wrong("unsafe where", "a stable branch is chosen, and an infinite one is still differentiated", code="""
def level_log_prob(x, mean, log_scale, levels):
    h, inv = 1 / (levels - 1), (-log_scale).exp()
    a, b = (x + h - mean) * inv, (x - h - mean) * inv
    mass = torch.sigmoid(a) - torch.sigmoid(b)
    z = (x - mean) * inv
    inner = torch.where(mass > 1e-5, mass.log(), -z - log_scale - 2 * nn.functional.softplus(-z) + math.log(2 * h))
    return torch.where(x < -1 + h, logsigmoid(a), torch.where(x > 1 - h, logsigmoid(-b), inner))
""", message="torch.where drops a branch"),
        Wrong("summed", "the log-probability of an image", code="""
def level_log_prob(x, mean, log_scale, levels):
    s, h = log_scale.exp(), 1 / (levels - 1)
    return (torch.sigmoid((x + h - mean) / s) - torch.sigmoid((x - h - mean) / s)).log().sum()
""", message="The caller sums"),
        Wrong("mirrored", "plus the mean", code=levels().replace("- mean", "+ mean"), message="Mirrored"),
        Wrong("base 2", "bits for nats", code=levels("mass.log2()"), message="Logarithms to base 2"),
    ],
    "imagine": [
        Wrong("τ times z", "the draw is scaled as a whole", code=draws("h = write(h, tau * (mu + sigma * torch.randn_like(mu)))"), message="τ multiplies the whole latent"),
        Wrong("τ on the variance", "temperature as in physics", code=draws("h = write(h, mu + tau**0.5 * sigma * torch.randn_like(mu))"), message="τ multiplies the variance"),
        Wrong("divided by τ", "as logits are divided by a temperature", code=draws("h = write(h, mu + sigma / tau * torch.randn_like(mu))"), message="You divided by τ"),
        Wrong("no temperature", "τ is not used", code=draws("h = write(h, mu + sigma * torch.randn_like(mu))"), message="No temperature in the coarse group"),
        Wrong("N(0, 1) everywhere", "every latent is drawn like the first", code=draws("h = write(h, tau * torch.randn_like(mu))"), message="centred at 0"),
        Wrong("fine first", "the order of the list is thought to be from fine to coarse", code=draws(COOL).replace("in groups", "in reversed(groups)"), message="The fine group was drawn first"),
        Wrong("one number for all", "randn without a size", code=draws("h = write(h, mu + tau * sigma * torch.randn(1))"), message="One random number served all"),
        Wrong("means only", "the best guess is taken for a sample", code=draws("h = write(h, mu)"), message="nothing was drawn"),
        Wrong("features not passed on", "what write returns is thrown away", code=draws("write(h, mu + tau * sigma * torch.randn_like(mu))"), message="did not hear of the coarse draw"),
        Wrong("one ε for all groups", "the noise is drawn before the loop", code=draws("h = write(h, mu + tau * sigma * eps)", start="eps = torch.randn_like(h)"), message="get the same ε"),
        Wrong("first group only", "the temperature is thought to belong to the top", code=draws("h = write(h, mu + tau * sigma * torch.randn_like(mu)); tau = 1.0"), message="The fine group is drawn at τ = 1"),
        Wrong("τ to the power l", "the temperature is applied again in each group", code=draws("h = write(h, mu + t * sigma * torch.randn_like(mu)); t = t * tau", start="t = tau"), message="cooled twice"),
        Wrong("pixels cooled", "the temperature is handed on to the likelihood", code=draws(COOL, end="paint(h, tau)"), message="The pixels' noise is cooled"),
        Wrong("features returned", "the last step is forgotten", code=draws(COOL, end="h"), message="The image was not painted"),
        Wrong("never shown", "the draws are collected, and the image painted from the start",
              code=draws("zs.append(mu + tau * sigma * torch.randn_like(mu))", end="paint(h + sum(zs))", start="zs = []"), message="must be shown to the groups"),
    ],
}

RIGHT = {
    "residual_normal": [
        residual(),
        """
def residual_normal(mu, sigma, d_mu, d_log_sigma):
    relative = Normal(d_mu / sigma, d_log_sigma.exp().add(0.01))  # of u = (z − μ)/σ
    kl = torch.distributions.kl_divergence(relative, Normal(0.0, 1.0))
    return mu + sigma * relative.mean, sigma * relative.stddev, kl
""",
    ],
    "ladder_loss": [
        ladder(),
        """
def ladder_loss(log_p, kls, weight=1.0):
    b = log_p.shape[0]
    rates = [kl.sum() / b for kl in kls]
    gammas = [1.0] * len(kls)
    if weight < 1:
        gammas = [(kl.shape[-2] * kl.shape[-1]) * (rate.item() + 0.01) for kl, rate in zip(kls, rates)]
        gammas = [g * len(gammas) / sum(gammas) for g in gammas]
    return weight * sum(g * r for g, r in zip(gammas, rates)) - log_p.sum() / b
""",
    ],
    "level_log_prob": ["""
def level_log_prob(x, mean, log_scale, levels):
    index = ((x + 1) / 2 * (levels - 1)).round()
    step, inv = 2 / (levels - 1), (-log_scale).exp()
    a, b = (-1 + (index + 0.5) * step - mean) * inv, (-1 + (index - 0.5) * step - mean) * inv
    inner = logsigmoid(a) + logsigmoid(-b) + torch.log1p(-torch.exp(-step * inv))
    inner = torch.where(index == 0, logsigmoid(a), inner)
    return torch.where(index == levels - 1, logsigmoid(-b), inner)
""", """
def level_log_prob(x, mean, log_scale, levels):
    h, inv = 1 / (levels - 1), (-log_scale).exp()
    a, b = (x + h - mean) * inv, (x - h - mean) * inv
    mass = torch.sigmoid(a) - torch.sigmoid(b)
    z = (x - mean) * inv
    thin = -z - log_scale - 2 * nn.functional.softplus(-z) + math.log(2 * h)  # where the mass is tiny: density times width
    inner = torch.where(mass > 1e-5, mass.clamp(min=1e-12).log(), thin)
    return torch.where(x < -0.9999, logsigmoid(a), torch.where(x > 0.9999, logsigmoid(-b), inner))
"""],
    "imagine": [draws(COOL), """
def imagine(groups, paint, h, tau):
    features = h
    for prior, write in groups:
        mu, sigma = prior(features)
        z = torch.normal(mu, tau * sigma)
        features = write(features, z)
    return paint(features, noise=1.0)
"""],
}
