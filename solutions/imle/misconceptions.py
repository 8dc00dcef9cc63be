"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


WRONG = {
    "pick": [
        Wrong("from the sample's side", "the minimum runs along the wrong axis", code="""
def pick(data, samples):
    return torch.cdist(data, samples).argmin(dim=0)
""", message="each *sample* picked a datum"),
        Wrong("furthest", "argmax, as for similarities", code="""
def pick(data, samples):
    return torch.cdist(data, samples).argmax(dim=1)
""", message="furthest from it"),
        Wrong("distances", "values of the minimum in place of their position", code="""
def pick(data, samples):
    return torch.cdist(data, samples).min(dim=1).values
""", message="Your numbers are distances"),
        Wrong("the samples themselves", "the picked rows are gathered already", code="""
def pick(data, samples):
    return samples[torch.cdist(data, samples).argmin(dim=1)]
""", message="One row for each of 3 data"),
        Wrong("inner product", "similarity without the norms", code="""
def pick(data, samples):
    return (data @ samples.T).argmax(dim=1)
""", message="merely long"),
        Wrong("distance of means", "averaged over the coordinates before squaring", code="""
def pick(data, samples):
    return (data.mean(1)[:, None] - samples.mean(1)).square().argmin(dim=1)
""", message="means of the coordinates"),
        Wrong("absolute differences", "p = 1 in place of p = 2", code="""
def pick(data, samples):
    return (data[:, None] - samples).abs().sum(2).argmin(dim=1)
""", message="absolute differences"),
        Wrong("values and positions", "min along an axis gives both", code="""
def pick(data, samples):
    return torch.cdist(data, samples).min(dim=1)
""", message="gives a pair"),
        Wrong("expansion without the 2", "‖x‖² − x·s + ‖s‖²", code="""
def pick(data, samples):
    return (samples.square().sum(1) - data @ samples.T).argmin(1)
""", message="the 2 is missing"),
        Wrong("cosine", "similarity of directions", code="""
def pick(data, samples):
    unit = nn.functional.normalize
    return (unit(data, dim=1) @ unit(samples, dim=1).T).argmax(1)
""", message="You compared directions"),
    ],
    "imle_loss": [
        Wrong("from the sample's side", "min over data for each sample", code="""
def imle_loss(generator, z, data):
    return 0.5 * (generator(z)[:, None] - data).square().sum(2).min(1).values.mean()
""", message="the other matching"),
        Wrong("mean over the pool", "an expectation over z is taken for a mean of distances", code="""
def imle_loss(generator, z, data):
    return 0.5 * (data[:, None] - generator(z)).square().sum(2).mean()
""", message="averaged over the pool"),
        Wrong("one minimum", "min() without an axis", code="""
def imle_loss(generator, z, data):
    return 0.5 * (data[:, None] - generator(z)).square().sum(2).min()
""", message="Only the closest pair"),
        Wrong("not squared", "cdist gives distances", code="""
def imle_loss(generator, z, data):
    return 0.5 * torch.cdist(data, generator(z)).min(1).values.mean()
""", message="not squared"),
        Wrong("sum over data", "as the formula is often printed", code="""
def imle_loss(generator, z, data):
    return 0.5 * (data[:, None] - generator(z)).square().sum(2).min(1).values.sum()
""", message="A sum over the data"),
        Wrong("no half", "the factor forgotten", code="""
def imle_loss(generator, z, data):
    return (data[:, None] - generator(z)).square().sum(2).min(1).values.mean()
""", message="Twice the loss"),
        Wrong("mean over values", "mse_loss to the picked samples", code="""
def imle_loss(generator, z, data):
    made = generator(z)
    return 0.5 * nn.functional.mse_loss(made[torch.cdist(data, made).argmin(1)], data)
""", message="averaged over the values of a datum"),
        Wrong("no gradient", "the whole search under no_grad, sample included", code="""
def imle_loss(generator, z, data):
    with torch.no_grad():
        made = generator(z)
        nearest = torch.cdist(data, made).argmin(1)
    return 0.5 * (data - made[nearest]).square().sum(1).mean()
""", message="nothing to learn from"),
        Wrong("divided by the pool", "the mean is taken over the wrong number", code="""
def imle_loss(generator, z, data):
    return 0.5 * torch.cdist(data, generator(z)).min(1).values.square().sum() / len(z)
""", message="divided by the number of samples"),
    ],
    "judge": [
        Wrong("samples counted", "every good sample adds to the modes", code="""
def judge(samples, centres, sigma):
    good = torch.cdist(samples, centres).min(1).values <= 3 * sigma
    return int(good.sum()), good.float().mean().item()
""", message="counted good *samples*"),
        Wrong("no threshold", "covered by the nearest sample, however far", code="""
def judge(samples, centres, sigma):
    distance, mode = torch.cdist(samples, centres).min(1)
    return len(mode.unique()), (distance <= 3 * sigma).float().mean().item()
""", message="however far away it is"),
        Wrong("squared distance", "the root forgotten", code="""
def judge(samples, centres, sigma):
    distance, mode = (samples[:, None] - centres).square().sum(2).min(1)
    good = distance <= 3 * sigma
    return len(mode[good].unique()), good.float().mean().item()
""", message="distances were squared"),
        Wrong("one sigma", "a standard deviation taken for the reach of a mode", code="""
def judge(samples, centres, sigma):
    distance, mode = torch.cdist(samples, centres).min(1)
    good = distance <= sigma
    return len(mode[good].unique()), good.float().mean().item()
""", message="One σ is too strict"),
        Wrong("fraction of modes", "quality taken for the covered share", code="""
def judge(samples, centres, sigma):
    distance, mode = torch.cdist(samples, centres).min(1)
    found = len(mode[distance <= 3 * sigma].unique())
    return found, found / len(centres)
""", message="fraction of *modes*"),
        Wrong("number of good samples", "not divided by how many were drawn", code="""
def judge(samples, centres, sigma):
    distance, mode = torch.cdist(samples, centres).min(1)
    good = distance <= 3 * sigma
    return len(mode[good].unique()), float(good.sum())
""", message="A number of samples"),
        Wrong("square for a disc", "each coordinate within 3 sigma", code="""
def judge(samples, centres, sigma):
    near = ((samples[:, None] - centres).abs() <= 3 * sigma).all(2)
    return int(near.any(0).sum()), near.any(1).float().mean().item()
""", message="drew a square"),
        Wrong("mean over pairs", "the matrix of near pairs is averaged", code="""
def judge(samples, centres, sigma):
    near = torch.cdist(samples, centres) <= 3 * sigma
    return int(near.any(0).sum()), near.float().mean().item()
""", message="all pairs of a sample"),
        Wrong("absolute differences", "p = 1 in place of p = 2", code="""
def judge(samples, centres, sigma):
    near = torch.cdist(samples, centres, p=1) <= 3 * sigma
    return int(near.any(0).sum()), near.any(1).float().mean().item()
""", message="or a bound other than 3σ"),
        Wrong("bad samples counted for mode 0", "the label is multiplied by the mask", code="""
def judge(samples, centres, sigma):
    distance, mode = torch.cdist(samples, centres).min(1)
    good = distance <= 3 * sigma
    return len((mode * good).unique()), good.float().mean().item()
""", message="as which mode do you count"),
    ],
    "project": [
        Wrong("weights optimised", "the optimiser is given the network", code="""
def project(generator, x, z, steps, lr):
    sgd = torch.optim.SGD(generator.parameters(), lr=lr / 100)
    for _ in range(steps):
        sgd.zero_grad()
        (0.5 * (x - generator(z)).square().sum()).backward()
        sgd.step()
    return z
""", message="You trained the generator"),
        Wrong("sample returned", "the projection of x is returned, not its code", code="""
def project(generator, x, z, steps, lr):
    for _ in range(steps):
        z = z.detach().requires_grad_()
        z = z - lr * torch.autograd.grad(0.5 * (x - generator(z)).square().sum(), z)[0]
    return generator(z).detach()
""", message="that is a sample"),
        Wrong("never updated", "the start is taken for the answer: the nearest of the pool", code="""
def project(generator, x, z, steps, lr):
    code = z.clone().requires_grad_()
    for _ in range(steps):
        new = code - lr * torch.autograd.grad(0.5 * (x - generator(code)).square().sum(), code)[0]
    return code.detach()
""", message="came back as they went in"),
        Wrong("in place", "the caller's codes are moved", code="""
def project(generator, x, z, steps, lr):
    for _ in range(steps):
        code = z.detach().requires_grad_()
        z -= lr * torch.autograd.grad(0.5 * (x - generator(code)).square().sum(), code)[0]
    return z
""", message="in the caller's hands"),
        Wrong("uphill", "plus the gradient", code="""
def project(generator, x, z, steps, lr):
    for _ in range(steps):
        z = z.detach().requires_grad_()
        z = z + lr * torch.autograd.grad(0.5 * (x - generator(z)).square().sum(), z)[0]
    return z.detach()
""", message="Uphill"),
        Wrong("mean over data", "a loss is a mean, from habit", code="""
def project(generator, x, z, steps, lr):
    for _ in range(steps):
        z = z.detach().requires_grad_()
        z = z - lr * torch.autograd.grad(0.5 * (x - generator(z)).square().sum(1).mean(), z)[0]
    return z.detach()
""", message="half as long with two data"),
        Wrong("mean over values", "one mean squared error for each datum", code="""
def project(generator, x, z, steps, lr):
    for _ in range(steps):
        z = z.detach().requires_grad_()
        z = z - lr * torch.autograd.grad((x - generator(z)).square().mean(1).sum(), z)[0]
    return z.detach()
""", message="averaged over the three values"),
        Wrong("mse_loss", "the ready-made loss averages over everything", code="""
def project(generator, x, z, steps, lr):
    for _ in range(steps):
        z = z.detach().requires_grad_()
        z = z - lr * torch.autograd.grad(nn.functional.mse_loss(generator(z), x), z)[0]
    return z.detach()
""", message="a mean over every value of the batch"),
        Wrong("no half", "the factor forgotten", code="""
def project(generator, x, z, steps, lr):
    for _ in range(steps):
        z = z.detach().requires_grad_()
        z = z - lr * torch.autograd.grad((x - generator(z)).square().sum(), z)[0]
    return z.detach()
""", message="step is twice as long"),
        Wrong("gradient frozen", "computed once, before the loop", code="""
def project(generator, x, z, steps, lr):
    first = z.clone().requires_grad_()
    slope = torch.autograd.grad(0.5 * (x - generator(first)).square().sum(), first)[0]
    for _ in range(steps):
        z = z - lr * slope
    return z
""", message="second step repeats the first"),
        Wrong("gradients add up", "z.grad is never cleared", code="""
def project(generator, x, z, steps, lr):
    z = z.clone().requires_grad_()
    for _ in range(steps):
        (0.5 * (x - generator(z)).square().sum()).backward()
        with torch.no_grad():
            z -= lr * z.grad
    return z.detach()
""", message="200 do not arrive"),
        Wrong("graph kept", "z is never detached", code="""
def project(generator, x, z, steps, lr):
    z = z.clone().requires_grad_()
    for _ in range(steps):
        z = z - lr * torch.autograd.grad(0.5 * (x - generator(z)).square().sum(), z)[0]
    return z
""", message="hangs on a graph"),
        Wrong("gradients left in the weights", "backward() fills every .grad that it meets", code="""
def project(generator, x, z, steps, lr):
    z = z.clone().requires_grad_()
    sgd = torch.optim.SGD([z], lr=lr)
    for _ in range(steps):
        sgd.zero_grad()
        (0.5 * (x - generator(z)).square().sum()).backward()
        sgd.step()
    return z.detach()
""", message="left in the weights' .grad"),
        Wrong("frozen for ever", "requires_grad is switched off and left so", code="""
def project(generator, x, z, steps, lr):
    generator.requires_grad_(False)
    z = z.clone().requires_grad_()
    sgd = torch.optim.SGD([z], lr=lr)
    for _ in range(steps):
        sgd.zero_grad()
        (0.5 * (x - generator(z)).square().sum()).backward()
        sgd.step()
    return z.detach()
""", message="weights are frozen now"),
        Wrong("gradients wiped", "zero_grad of the model at the end", code="""
def project(generator, x, z, steps, lr):
    z = z.clone().requires_grad_()
    sgd = torch.optim.SGD([z], lr=lr)
    for _ in range(steps):
        sgd.zero_grad()
        (0.5 * (x - generator(z)).square().sum()).backward()
        sgd.step()
    generator.zero_grad()
    return z.detach()
""", message="you wiped them out"),
        Wrong("Adam", "an optimiser other than the one asked for", code="""
def project(generator, x, z, steps, lr):
    z = z.clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=lr)
    for _ in range(steps):
        z.grad = torch.autograd.grad(0.5 * (x - generator(z)).square().sum(), z)[0]
        adam.step()
    return z.detach()
""", message="that is Adam's first step"),
    ],
}

RIGHT = {
    "pick": ["""
def pick(data, samples):
    return (data[:, None] - samples[None]).square().sum(-1).min(1).indices
""", """
def pick(data, samples):
    return (samples.square().sum(1) - 2 * data @ samples.T).argmin(1)
"""],
    "imle_loss": ["""
def imle_loss(generator, z, data):
    squared = (data[:, None] - generator(z)[None]).square().sum(2)
    return squared.min(1).values.mean() / 2
""", """
def imle_loss(generator, z, data):
    made = generator(z)
    chosen = made[torch.cdist(data, made.detach()).argmin(1)]
    return (chosen - data).pow(2).sum() / (2 * len(data))
"""],
    "judge": ["""
def judge(samples, centres, sigma):
    near = torch.cdist(samples, centres) <= 3 * sigma
    return int(near.any(0).sum()), float(near.any(1).float().mean())
""", """
def judge(samples, centres, sigma):
    found, good = set(), 0
    for s in samples:
        d = (centres - s).norm(dim=1)
        if d.min() <= 3 * sigma:
            good += 1
            found.add(int(d.argmin()))
    return len(found), good / len(samples)
"""],
    "project": ["""
def project(generator, x, z, steps, lr):
    z = torch.nn.Parameter(z.detach().clone())
    sgd = torch.optim.SGD([z], lr=lr)
    for _ in range(steps):
        z.grad = torch.autograd.grad(0.5 * (x - generator(z)).pow(2).sum(), z)[0]
        sgd.step()
    return z.detach()
""", """
def project(generator, x, z, steps, lr):
    for _ in range(steps):
        made, pull = torch.func.vjp(generator, z)
        z = z + lr * pull(x - made)[0].detach()
    return z.detach()
"""],
}
