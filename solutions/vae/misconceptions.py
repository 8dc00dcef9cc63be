"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


WRONG = {
    "kl_normal": [
        Wrong("sign", "E_q[log p − log q]: the numerator and the denominator exchanged", code="""
def kl_normal(mu, logvar):
    return 0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1)
""", message="cannot be negative"),
        Wrong("logvar as log σ", "the network's output is squared once more", code="""
def kl_normal(mu, logvar):
    sigma = logvar.exp()
    return 0.5 * (mu.square() + sigma.square() - 2 * logvar - 1).sum(1)
""", message="is the variance already"),
        Wrong("mean over latents", "mean is the habit", code="""
def kl_normal(mu, logvar):
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1).mean(1)
""", message="averaged over the latents"),
        Wrong("constant forgotten", "a constant has no gradient, so training never complains", code="""
def kl_normal(mu, logvar):
    return 0.5 * (mu.square() + logvar.exp() - logvar).sum(1)
""", message="Is a constant missing"),
        Wrong("half forgotten", "copied without the ½", code="""
def kl_normal(mu, logvar):
    return (mu.square() + logvar.exp() - logvar - 1).sum(1)
""", message="Twice too large"),
        Wrong("one number for the batch", "summed over everything", code="""
def kl_normal(mu, logvar):
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum()
""", message="One number for each image"),
        Wrong("KL[p ‖ q]", "the expectation is taken under the prior", code="""
def kl_normal(mu, logvar):
    return 0.5 * (logvar + (1 + mu.square()) / logvar.exp() - 1).sum(1)
""", message="the other way round"),
        Wrong("σ for σ²", "halved where it must not be", code="""
def kl_normal(mu, logvar):
    return 0.5 * (mu.square() + (0.5 * logvar).exp() - logvar - 1).sum(1)
""", message="holds the variance"),
        Wrong("sign of logvar", "plus from habit", code="""
def kl_normal(mu, logvar):
    return 0.5 * (mu.square() + logvar.exp() + logvar - 1).sum(1)
""", message="sign of logvar"),
    ],
    "reparameterize": [
        Wrong("variance as deviation", "exp(logvar) multiplies the noise", code="""
def reparameterize(mu, logvar):
    return mu + logvar.exp() * torch.randn_like(mu)
""", message="The spread is σ²"),
        Wrong("sample cuts the graph", "Normal.sample() instead of rsample()", code="""
def reparameterize(mu, logvar):
    return torch.distributions.Normal(mu, (0.5 * logvar).exp()).sample()
""", message="remembers nothing"),
        Wrong("σ detached", "the whole noise term is taken for a constant", code="""
def reparameterize(mu, logvar):
    return mu + ((0.5 * logvar).exp() * torch.randn_like(mu)).detach()
""", message="but not logvar"),
        Wrong("one noise for an image", "noise of shape (b, 1) is broadcast over the latents", code="""
def reparameterize(mu, logvar):
    return mu + (0.5 * logvar).exp() * torch.randn(len(mu), 1)
""", message="Both latents of an image get the same noise"),
        Wrong("no noise", "σ is added, so every draw is equal", code="""
def reparameterize(mu, logvar):
    return mu + (0.5 * logvar).exp()
""", message="second call draws the same"),
        Wrong("square root of logvar", "a root makes a deviation of a variance", code="""
def reparameterize(mu, logvar):
    return mu + logvar.sqrt() * torch.randn_like(mu)
""", message="has no square root"),
        Wrong("logvar as deviation", "the logarithm is forgotten", code="""
def reparameterize(mu, logvar):
    return mu + logvar * torch.randn_like(mu)
""", message="logvar itself multiplies"),
        Wrong("uniform noise", "rand for randn", code="""
def reparameterize(mu, logvar):
    return mu + (0.5 * logvar).exp() * torch.rand_like(mu)
""", message="Has your ε the mean 0"),
        Wrong("one noise for the batch", "noise of shape (k,) is broadcast over the images", code="""
def reparameterize(mu, logvar):
    return mu + (0.5 * logvar).exp() * torch.randn(mu.shape[1])
""", message="Every draw is the same"),
        Wrong("torch.normal", "looks like rsample, but has no gradient", code="""
def reparameterize(mu, logvar):
    return torch.normal(mu, (0.5 * logvar).exp())
""", message="passes no gradient on"),
    ],
    "vae_loss": [
        Wrong("the bound itself", "the ELBO is returned, not its negative", code="""
def vae_loss(log_p, kl):
    return (log_p.flatten(1).sum(1) - kl).mean()
""", message="an optimiser minimises"),
        Wrong("both subtracted", "the minus in front of the KL is lost", code="""
def vae_loss(log_p, kl):
    return -(log_p.flatten(1).sum(1) + kl).mean()
""", message="One sign is wrong"),
        Wrong("mean over pixels", "what F.mse_loss and F.binary_cross_entropy do by default", code="""
def vae_loss(log_p, kl):
    return kl.mean() - log_p.mean()
""", message="Sum over the pixels"),
        Wrong("KL / batch twice", "the KL is 'normalised' by the batch size after it was averaged", code="""
def vae_loss(log_p, kl):
    return kl.mean() / len(kl) - log_p.flatten(1).sum(1).mean()
""", message="divided by the batch size twice"),
        Wrong("sum over the batch", "everything is summed", code="""
def vae_loss(log_p, kl):
    return (kl - log_p.flatten(1).sum(1)).sum()
""", message="You summed over the images"),
        Wrong("reconstruction summed over all", "sum() without an axis", code="""
def vae_loss(log_p, kl):
    return kl.mean() - log_p.sum()
""", message="is summed over the images, the KL is averaged"),
        Wrong("KL summed over all", "sum() of the KL, mean of the rest", code="""
def vae_loss(log_p, kl):
    return kl.sum() - log_p.flatten(1).sum(1).mean()
""", message="β is 6"),
        Wrong("no KL", "the reconstruction alone", code="""
def vae_loss(log_p, kl):
    return -log_p.flatten(1).sum(1).mean()
""", message="Where is the KL"),
    ],
    "iw_bound": [
        Wrong("mean of logs", "the mean moved out of the logarithm", code="""
def iw_bound(log_joint, log_q):
    return (log_joint - log_q).mean(0)
""", message="mean of the logarithms"),
        Wrong("log K forgotten", "a sum instead of a mean", code="""
def iw_bound(log_joint, log_q):
    return torch.logsumexp(log_joint - log_q, 0)
""", message="Too large by log K"),
        Wrong("underflow", "leaves the logarithms", code="""
def iw_bound(log_joint, log_q):
    return (log_joint - log_q).exp().mean(0).log()
""", message="takes the largest out first"),
        Wrong("no correction", "q left out, as if the codes came from the prior", code="""
def iw_bound(log_joint, log_q):
    return torch.logsumexp(log_joint, 0) - math.log(len(log_joint))
""", message="left out q"),
        Wrong("wrong axis", "averages over images, not codes", code="""
def iw_bound(log_joint, log_q):
    return torch.logsumexp(log_joint - log_q, 1) - math.log(log_q.shape[1])
""", message="The codes are along dimension 0"),
        Wrong("quotient of sums", "logsumexp of each argument", code="""
def iw_bound(log_joint, log_q):
    return log_joint.logsumexp(0) - log_q.logsumexp(0)
""", message="sum of the p by the sum of the q"),
        Wrong("q over p", "the difference the other way round", code="""
def iw_bound(log_joint, log_q):
    return torch.logsumexp(log_q - log_joint, 0) - math.log(len(log_q))
""", message="Your weights are q/p"),
        Wrong("largest weight", "max in place of the sum", code="""
def iw_bound(log_joint, log_q):
    return (log_joint - log_q).max(0).values - math.log(len(log_q))
""", message="Only the largest weight"),
        Wrong("eps", "a small number against log 0", code="""
def iw_bound(log_joint, log_q):
    return ((log_joint - log_q).exp() + 1e-30).mean(0).log()
""", message="has taken the weights' place"),
    ],
}

RIGHT = {
    "kl_normal": ["""
def kl_normal(mu, logvar):
    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    return torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(dim=-1)
""", """
def kl_normal(mu, logvar):
    sigma = torch.sqrt(torch.exp(logvar))
    return torch.sum((sigma**2 + mu**2) / 2 - torch.log(sigma) - 1 / 2, dim=1)
"""],
    "reparameterize": ["""
def reparameterize(mu, logvar):
    return torch.distributions.Normal(mu, torch.exp(logvar) ** 0.5).rsample()
""", """
def reparameterize(mu, logvar):
    epsilon = torch.randn(mu.shape)
    sigma = torch.sqrt(torch.exp(logvar))
    return epsilon * sigma + mu
"""],
    "vae_loss": ["""
def vae_loss(log_p, kl):
    return kl.mean() - log_p.sum() / len(log_p)
""", """
def vae_loss(log_p, kl):
    elbo = torch.einsum("bchw->b", log_p) - kl
    return -torch.mean(elbo)
"""],
    "iw_bound": ["""
def iw_bound(log_joint, log_q):
    log_w = log_joint - log_q
    top = log_w.max(dim=0).values
    return top + (log_w - top).exp().mean(0).log()
""", """
def iw_bound(log_joint, log_q):
    return torch.logsumexp(log_joint - log_q - math.log(log_q.shape[0]), dim=0)
"""],
}
