"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


WRONG = {
    "best_logit": [
        Wrong("log q − log p", "samples taken for the class 1", code="""
def best_logit(log_p, log_q, share=0.5):
    return log_q - log_p - torch.logit(torch.tensor(share))
""", message="this critic says 'made'"),
        Wrong("probability", "the famous D* = p / (p + q)", code="""
def best_logit(log_p, log_q, share=0.5):
    p, q = share * log_p.exp(), (1 - share) * log_q.exp()
    return p / (p + q)
""", message="probability of being data. The critic"),
        Wrong("log D", "the logarithm of p / (p + q) for the logit of it", code="""
def best_logit(log_p, log_q, share=0.5):
    p, q = share * log_p.exp(), (1 - share) * log_q.exp()
    return (p / (p + q)).log()
""", message="Never above zero"),
        Wrong("ratio", "density ratio without its logarithm", code="""
def best_logit(log_p, log_q, share=0.5):
    return (log_p - log_q).exp() * share / (1 - share)
""", message="Never below zero"),
        Wrong("weighted logarithms", "the share multiplies log p", code="""
def best_logit(log_p, log_q, share=0.5):
    return share * log_p - (1 - share) * log_q
""", message="share multiplies a density"),
        Wrong("one share", "the samples are not counted", code="""
def best_logit(log_p, log_q, share=0.5):
    return math_log(share) + log_p - log_q


def math_log(v):
    return torch.tensor(v).log()
""", message="but not the samples"),
        Wrong("share ignored", "the formula from the book, for equal numbers", code="""
def best_logit(log_p, log_q, share=0.5):
    return log_p - log_q
""", message="Four data for each sample"),
        Wrong("share for the samples", "a correction for too many data", code="""
def best_logit(log_p, log_q, share=0.5):
    return log_p - log_q - torch.logit(torch.tensor(share))
""", message="more suspicious"),
        Wrong("leaves the logarithms", "exp, divide, log", code="""
def best_logit(log_p, log_q, share=0.5):
    return (share * log_p.exp() / ((1 - share) * log_q.exp())).log()
""", message="0 divided by 0"),
        Wrong("eps", "a small number against log 0", code="""
def best_logit(log_p, log_q, share=0.5):
    return ((share * log_p.exp() + 1e-12) / ((1 - share) * log_q.exp() + 1e-12)).log()
""", message="has taken the densities' place"),
    ],
    "kl_game": [
        Wrong("generator sign", "the generator makes the critic's answer small", code="""
def kl_game(real, fake):
    return softplus(-real).mean() + softplus(fake).mean(), fake.mean()
""", message="paid for samples that the critic sees through"),
        Wrong("non-saturating", "−log D from habit", code="""
def kl_game(real, fake):
    return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()
""", message="the non-saturating loss"),
        Wrong("saturating", "minus the critic's term, as in the first paper", code="""
def kl_game(real, fake):
    return softplus(-real).mean() + softplus(fake).mean(), -softplus(fake).mean()
""", message="flat where the critic is sure"),
        Wrong("labels exchanged", "1 for what the generator made", code="""
def kl_game(real, fake):
    return softplus(real).mean() + softplus(-fake).mean(), -fake.mean()
""", message="its labels are exchanged"),
        Wrong("critic maximises", "the minimax objective itself, which the critic climbs", code="""
def kl_game(real, fake):
    return -(softplus(-real).mean() + softplus(fake).mean()), -fake.mean()
""", message="A cross-entropy is not negative"),
        Wrong("one mean", "binary cross-entropy of the concatenated batch", code="""
def kl_game(real, fake):
    logits, labels = torch.cat([real, fake]), torch.cat([torch.ones_like(real), torch.zeros_like(fake)])
    return nn.functional.binary_cross_entropy_with_logits(logits, labels), -fake.mean()
""", message="one mean over data and samples together"),
        Wrong("critic summed", "sum for mean in the critic", code="""
def kl_game(real, fake):
    return softplus(-real).sum() + softplus(fake).sum(), -fake.mean()
""", message="critic's loss is a sum over the batch"),
        Wrong("generator summed", "sum for mean in the generator", code="""
def kl_game(real, fake):
    return softplus(-real).mean() + softplus(fake).mean(), -fake.sum()
""", message="generator's loss is a sum"),
        Wrong("both expectations", "difference of the two mean logits, as in a Wasserstein GAN", code="""
def kl_game(real, fake):
    return softplus(-real).mean() + softplus(fake).mean(), real.mean() - fake.mean()
""", message="logits of data came in"),
        Wrong("log of a sigmoid", "log and sigmoid one after the other", code="""
def kl_game(real, fake):
    return -real.sigmoid().log().mean() - (1 - fake.sigmoid()).log().mean(), -fake.mean()
""", message="Infinite for a logit of 200"),
        Wrong("cross-entropy of probabilities", "sigmoid first, then binary_cross_entropy, which cuts off at 100", code="""
def kl_game(real, fake):
    bce = nn.functional.binary_cross_entropy
    return bce(real.sigmoid(), torch.ones_like(real)) + bce(fake.sigmoid(), torch.zeros_like(fake)), -fake.mean()
""", message="caps the loss"),
    ],
    "noisy": [
        Wrong("data only", "only the data are too sharp", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps)
    return data + now * torch.randn_like(data), samples
""", message="the samples are clean"),
        Wrong("samples only", "only the generator is to be made robust", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps)
    return data, samples + now * torch.randn_like(samples)
""", message="the data are clean"),
        Wrong("variance", "sigma² multiplies the noise", code="""
def noisy(data, samples, step, steps, sigma):
    now = (sigma * max(0.0, 1 - step / steps)) ** 2
    return data + now * torch.randn_like(data), samples + now * torch.randn_like(samples)
""", message="and σ was wanted"),
        Wrong("not annealed", "the schedule is forgotten", code="""
def noisy(data, samples, step, steps, sigma):
    return data + sigma * torch.randn_like(data), samples + sigma * torch.randn_like(samples)
""", message="as strong as at the start"),
        Wrong("line not stopped", "the deviation becomes negative after the last step", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * (1 - step / steps)
    return data + now * torch.randn_like(data), samples + now * torch.randn_like(samples)
""", message="it grows again"),
        Wrong("line upside down", "sigma · step / steps", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * min(1.0, step / steps)
    return data + now * torch.randn_like(data), samples + now * torch.randn_like(samples)
""", message="No noise at step 0"),
        Wrong("uniform", "rand for randn", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps)
    return data + now * torch.rand_like(data), samples + now * torch.rand_like(samples)
""", message="it moves the data"),
        Wrong("one number for an image", "a draw of shape (b, 1, 1, 1) is broadcast", code="""
def noisy(data, samples, step, steps, sigma):
    now, shape = sigma * max(0.0, 1 - step / steps), (len(data), *[1] * (data.dim() - 1))
    return data + now * torch.randn(shape), samples + now * torch.randn(shape)
""", message="change of brightness"),
        Wrong("one noise for the batch", "a draw like data[0] is broadcast", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps)
    return data + now * torch.randn_like(data[:1]), samples + now * torch.randn_like(samples[:1])
""", message="shifts the whole batch as one"),
        Wrong("clamped", "images are thought to need values in [0, 1]", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps)
    return (data + now * torch.randn_like(data)).clamp(0, 1), (samples + now * torch.randn_like(samples)).clamp(0, 1)
""", message="Cut off at 0 and 1"),
        Wrong("in place", "data += noise", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps)
    data += now * torch.randn_like(data)
    return data, samples + now * torch.randn_like(samples)
""", message="changed the data themselves"),
        Wrong("detached", "only the critic is thought to need the noise", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps)
    return data + now * torch.randn_like(data), samples.detach() + now * torch.randn_like(samples)
""", message="without their graph"),
        Wrong("samples in place", "samples += noise", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps)
    samples += now * torch.randn_like(samples)
    return data + now * torch.randn_like(data), samples
""", message="wrote into the samples"),
        Wrong("uniform about 0", "rand − ½ for randn", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps)
    return data + now * (torch.rand_like(data) - 0.5), samples + now * (torch.rand_like(samples) - 0.5)
""", message="are not Gaussian"),
        Wrong("variance on a line", "the variance falls linearly", code="""
def noisy(data, samples, step, steps, sigma):
    now = sigma * max(0.0, 1 - step / steps) ** 0.5
    return data + now * torch.randn_like(data), samples + now * torch.randn_like(samples)
""", message="variance that falls along a line"),
    ],
    "relativistic": [
        Wrong("own logit", "the standard game with the generator's roles exchanged", code="""
def relativistic(real, fake):
    return softplus(-real).mean() + softplus(fake).mean(), softplus(real).mean() + softplus(-fake).mean()
""", message="Every logit is judged by itself"),
        Wrong("own mean", "each class is centred by itself", code="""
def relativistic(real, fake):
    a, b = real - real.mean(), fake - fake.mean()
    return softplus(-a).mean() + softplus(b).mean(), softplus(a).mean() + softplus(-b).mean()
""", message="mean of its own class"),
        Wrong("pairs", "relativistic, but not average", code="""
def relativistic(real, fake):
    a = real - fake
    return 2 * softplus(-a).mean(), 2 * softplus(a).mean()
""", message="You compare pairs"),
        Wrong("players exchanged", "the generator's loss is returned first", code="""
def relativistic(real, fake):
    a, b = real - fake.mean(), fake - real.mean()
    return softplus(a).mean() + softplus(-b).mean(), softplus(-a).mean() + softplus(b).mean()
""", message="samples to look more real than data"),
        Wrong("generator's roles not exchanged", "the same loss for both", code="""
def relativistic(real, fake):
    a, b = real - fake.mean(), fake - real.mean()
    critic = softplus(-a).mean() + softplus(b).mean()
    return critic, critic
""", message="they help each other"),
        Wrong("one term", "data are thought not to matter to the generator", code="""
def relativistic(real, fake):
    a, b = real - fake.mean(), fake - real.mean()
    return softplus(-a).mean() + softplus(b).mean(), softplus(-b).mean()
""", message="One half is missing"),
        Wrong("minus the critic's loss", "a zero-sum game", code="""
def relativistic(real, fake):
    a, b = real - fake.mean(), fake - real.mean()
    critic = softplus(-a).mean() + softplus(b).mean()
    return critic, -critic
""", message="*saturating* form"),
        Wrong("means detached", "the mean is taken for a constant", code="""
def relativistic(real, fake):
    a, b = real - fake.mean().detach(), fake - real.mean().detach()
    return softplus(-a).mean() + softplus(b).mean(), softplus(a).mean() + softplus(-b).mean()
""", message="cut out of the graph"),
        Wrong("probabilities", "differences of sigmoids", code="""
def relativistic(real, fake):
    a, b = real.sigmoid() - fake.sigmoid().mean(), fake.sigmoid() - real.sigmoid().mean()
    return softplus(-a).mean() + softplus(b).mean(), softplus(a).mean() + softplus(-b).mean()
""", message="You compare probabilities"),
        Wrong("halved", "one mean of the two terms", code="""
def relativistic(real, fake):
    a, b = real - fake.mean(), fake - real.mean()
    return (softplus(-a).mean() + softplus(b).mean()) / 2, (softplus(a).mean() + softplus(-b).mean()) / 2
""", message="Half the critic's loss"),
        Wrong("one label", "both comparisons with the label 1", code="""
def relativistic(real, fake):
    a, b = real - fake.mean(), fake - real.mean()
    return softplus(-a).mean() + softplus(-b).mean(), softplus(a).mean() + softplus(b).mean()
""", message="Both terms have the label 1"),
        Wrong("one role exchanged", "only the samples' term is turned round", code="""
def relativistic(real, fake):
    a, b = real - fake.mean(), fake - real.mean()
    return softplus(-a).mean() + softplus(b).mean(), softplus(-a).mean() + softplus(-b).mean()
""", message="that of the data is not"),
    ],
}

RIGHT = {
    "best_logit": ["""
def best_logit(log_p, log_q, share=0.5):
    odds = share / (1 - share)
    return log_p - log_q + torch.tensor(odds).log()
""", """
def best_logit(log_p, log_q, share=0.5):
    log_odds = torch.tensor([share, 1 - share]).log()
    both = torch.stack([log_p, log_q]) + log_odds[:, None]
    d = both.log_softmax(0)
    return d[0] - d[1]
"""],
    "kl_game": ["""
def kl_game(real, fake):
    bce = nn.functional.binary_cross_entropy_with_logits
    return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake)), fake.neg().mean()
""", """
def kl_game(real, fake):
    log_d = nn.functional.logsigmoid
    return -(log_d(real).mean() + log_d(-fake).mean()), (log_d(-fake) - log_d(fake)).mean()
"""],
    "noisy": ["""
def noisy(data, samples, step, steps, sigma):
    if step >= steps:
        return data, samples
    now = sigma * (steps - step) / steps
    return torch.normal(data, now), samples + torch.normal(torch.zeros_like(samples), now)
""", """
def noisy(data, samples, step, steps, sigma):
    noise = sigma * (1 - min(step, steps) / steps) * torch.randn(data.shape)
    return data + noise, samples + noise  # one draw for both: each density is blurred all the same
"""],
    "relativistic": ["""
def relativistic(real, fake):
    def above(a, b):
        return softplus(-(a - b.mean())).mean() + softplus(b - a.mean()).mean()

    return above(real, fake), above(fake, real)
""", """
def relativistic(real, fake):
    bce = nn.functional.binary_cross_entropy_with_logits
    a, b, one, zero = real - fake.mean(), fake - real.mean(), torch.ones_like(real), torch.zeros_like(real)
    return bce(a, one) + bce(b, zero), bce(a, zero) + bce(b, one)
"""],
}
