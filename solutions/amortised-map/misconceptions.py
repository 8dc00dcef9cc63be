"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


_ROUND = "camera.A((x.clamp(0, 1) * 255).round() / 255)"


def _affine(answer: str, *, f: str = "f = network(y)", stored: str = f"({_ROUND} - y).square().mean().item()") -> str:
    return f"""
def affine(network, y, camera):
    A, transpose, pinv = camera
    {f}
    return {answer}


def stored_misfit(x, y, camera):
    return {stored}
"""


def _stored(stored: str) -> str:
    return _affine("f + pinv(y - A(f))", stored=stored)


def _descent(*, start: str = "A.T.clone()", first: str = "(A - A @ B @ A).square().sum()", second: str = "(B - B @ A @ B).square().sum()",
             loss: str = "first + weight * second", step: str = "B - lr * slope") -> str:
    return f"""
def pseudo_inverse(A, weight, steps, lr):
    n, m = A.shape[1], A.shape[0]
    B = {start}
    for _ in range(steps):
        B = B.detach().requires_grad_()
        first, second = {first}, {second}
        slope, = torch.autograd.grad({loss}, B)
        B = {step}
    return B.detach()
"""


_GAN = {
    "noise": "v + sigma * torch.randn_like(v)",
    "data": "noisy(x)",
    "shown": "noisy(made.detach())",
    "moved": "noisy(made)",
    "critic": "F.softplus(-real).mean() + F.softplus(fake).mean()",
    "generator": "-logit.mean()",
    "freeze": "critic.requires_grad_(False)",
    "thaw": "critic.requires_grad_(True)",
    "made": "generator(y)",
}


def _gan(**other: str) -> str:
    s = {**_GAN, **other}
    return f"""
def affgan_losses(generator, critic, x, y, sigma):
    def noisy(v):
        return {s["noise"]}
    made = {s["made"]}
    real, fake = critic({s["data"]}), critic({s["shown"]})
    critic_loss = {s["critic"]}
    {s["freeze"]}
    logit = critic({s["moved"]})
    {s["thaw"]}
    return critic_loss, {s["generator"]}
"""


def _guidance(loss: str, *, made: str = "generator(y)", seen: str = "made", held: str = "target = target.detach()") -> str:
    return f"""
def guidance_loss(generator, denoise, y, sigma):
    made = {made}
    target = denoise({seen})
    {held}
    score = (target - made.detach()) / sigma**2
    return {loss}
"""


WRONG = {
    "affine": [
        Wrong("projection first", "the measurement projected, then the network", _affine("network(A(pinv(y)))"), "The network has the last word"),
        Wrong("y projected", "the projection of A⁺y in place of f(y)", _affine("pinv(y) - pinv(A(pinv(y))) + pinv(y)"), "where f(y) is to be projected"),
        Wrong("visible part kept", "A⁺A taken for the projection onto the null space", _affine("pinv(A(f)) + pinv(y)"), "kept the part that the camera sees"),
        Wrong("A⁺y forgotten", "(I − A⁺A) f alone", _affine("f - pinv(A(f))"), "put nothing in its place"),
        Wrong("A⁺y taken off", "both corrections subtracted", _affine("f - pinv(A(f)) - pinv(y)"), "reports −y"),
        Wrong("I − A⁺A forgotten", "A⁺y added to f", _affine("f + pinv(y)"), "Make room first"),
        Wrong("plus", "(I + A⁺A) f", _affine("f + pinv(A(f)) + pinv(y)"), "in there twice"),
        Wrong("sign", "A f − y in place of y − A f", _affine("f + pinv(A(f) - y)"), "The misfit has doubled"),
        Wrong("twice", "the same correction repeated 'to be safe'", _affine("f + c + c", f="f = network(y); c = pinv(y - A(f))"), "must look again"),
        Wrong("Aᵀ for A⁺", "the adjoint taken for an inverse", _affine("f + transpose(y - A(f))"), "carried back by the transpose"),
        Wrong("Aᵀ inside", "I − AᵀA taken for a projection", _affine("f - transpose(A(f)) + pinv(y)"), "what you took out of the guess is AᵀA f"),
        Wrong("Aᵀy", "A⁺A taken out, Aᵀy put in", _affine("f - pinv(A(f)) + transpose(y)"), "filled it with Aᵀy"),
        Wrong("clipped inside", "images live in [0, 1]", _affine("(f + pinv(y - A(f))).clamp(0, 1)"), "You clipped inside the layer"),
        Wrong("network clipped", "what the network makes is an image, too", _affine("f + pinv(y - A(f))", f="f = network(y).clamp(0, 1)"),
              "You clipped what the network made"),
        Wrong("no graph", "the network called under no_grad, as for evaluation",
              _affine("f + pinv(y - A(f))", f="f = network(y).detach()"), "has lost its graph"),
        Wrong("constant correction", "the projection taken for post-processing", _affine("f + pinv(y - A(f)).detach()"), "the correction was a constant"),
        Wrong("before the file", "the network's own output measured", _stored("(camera.A(x) - y).square().mean().item()"), "before the file"),
        Wrong("clipped only", "8 bits forgotten", _stored("(camera.A(x.clamp(0, 1)) - y).square().mean().item()"), "but not rounded"),
        Wrong("cut decimals", "a conversion to bytes rounds down",
              _stored("(camera.A((x.clamp(0, 1) * 255).to(torch.uint8).double() / 255) - y).square().mean().item()"),
              "half a level on average"),
        Wrong("not clipped", "rounded to levels that no file has",
              _stored("(camera.A((255 * x).round() / 255) - y).square().mean().item()"), "but not cut off"),
        Wrong("bytes overflow", "converted before it is cut off",
              _stored("(camera.A((255 * x).round().short().to(torch.uint8).double() / 255) - y).square().mean().item()"),
              "White turned black"),
        Wrong("another camera", "interpolate without antialiasing",
              _stored("(F.interpolate((x.clamp(0, 1) * 255).round() / 255, size=y.shape[-2:], mode='bicubic') - y).square().mean().item()"),
              "your camera is another one"),
        Wrong("y rounded", "the measurement put through the file as well",
              _stored(f"({_ROUND} - (y * 255).round() / 255).square().mean().item()"), "You rounded y as well"),
        Wrong("grey levels", "measured on 0 … 255", _stored(f"({_ROUND} * 255 - y * 255).square().mean().item()"), "In squared grey levels"),
        Wrong("absolute", "the mean absolute error, as in SoftGAN's penalty", _stored(f"({_ROUND} - y).abs().mean().item()"), "The mean of absolute values"),
        Wrong("made to fit", "the image projected again before it is measured",
              _stored("(camera.A(((x + camera.pinv(y - camera.A(x))).clamp(0, 1) * 255).round() / 255) - y).square().mean().item()"),
              "you made it fit before you measured"),
        Wrong("root", "the RMSE", _stored(f"({_ROUND} - y).square().mean().sqrt().item()"), "The root of the mean"),
        Wrong("sum", "the squared norm", _stored(f"({_ROUND} - y).square().sum().item()"), "twice the misfit"),
        Wrong("half precision", "the pipeline runs in float16",
              _stored("(camera.A(((x.clamp(0, 1) * 255).round() / 255).half()).double() - y).square().mean().item()"),
              "half precision"),
    ],
    "pseudo_inverse": [
        Wrong("random start", "as one starts a network", _descent(start="0.3 * torch.randn(n, m, dtype=A.dtype)"), "your start is random"),
        Wrong("identity start", "a start that copies the pixels it can",
              _descent(start="torch.eye(n, m, dtype=A.dtype)"), "Your start has a part in the null space"),
        Wrong("Aᵀ", "the adjoint returned as the inverse", """
def pseudo_inverse(A, weight, steps, lr):
    return A.T.clone()
""", "B never moves"),
        Wrong("closed form", "the library's pinv", """
def pseudo_inverse(A, weight, steps, lr):
    return torch.linalg.pinv(A)
""", "A⁺ in closed form"),
        Wrong("view", "A.T taken for a copy, and changed in place", """
def pseudo_inverse(A, weight, steps, lr):
    B = A.T
    for _ in range(steps):
        E, G = A - A @ B @ A, B - B @ A @ B
        B -= lr * (-2 * A.T @ E @ A.T + 2 * weight * (G - G @ B.T @ A.T - A.T @ B.T @ G))
    return B
""", "has changed the camera"),
        Wrong("one step too few", "the loop starts at 1", _descent().replace("range(steps)", "range(1, steps)"), "one time too few"),
        Wrong("factor 2", "differentiated by hand, 2 forgotten", _descent(step="B - lr * slope / 2"), "has a factor 2"),
        Wrong("1 − w", "a weighted mean of the two losses", _descent(loss="(1 - weight) * first + weight * second"), "You weigh ℓ₁ with 1 − w"),
        Wrong("samples", "the expectations by Monte Carlo",
              _descent(first="(A @ (x := torch.randn(n, 999, dtype=A.dtype)) - A @ B @ A @ x).square().sum() / 999"), "no samples"),
        Wrong("uphill", "the gradient added", _descent(step="B + lr * slope"), "You climb"),
        Wrong("only ℓ₂", "B A B = B alone", _descent(loss="weight * second"), "Only ℓ₂ is at work"),
        Wrong("only ℓ₁", "A B A = A alone", _descent(loss="first"), "ℓ₂ has no say"),
        Wrong("weight on ℓ₁", "the two losses exchanged", _descent(loss="weight * first + second"), "The weight multiplies ℓ₁"),
        Wrong("Adam", "the optimiser one always takes", """
def pseudo_inverse(A, weight, steps, lr):
    B = A.T.clone().requires_grad_()
    optimiser = torch.optim.Adam([B], lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        ((A - A @ B @ A).square().sum() + weight * (B - B @ A @ B).square().sum()).backward()
        optimiser.step()
    return B.detach()
""", "that is Adam"),
        Wrong("mean", "mean squared error for the expectation",
              _descent(first="(A - A @ B @ A).square().mean()", second="(B - B @ A @ B).square().mean()"), "24 times too short"),
        Wrong("norms not squared", "‖·‖ where ‖·‖² stands", _descent(first="(A - A @ B @ A).norm()", second="(B - B @ A @ B).norm()"), "not their squares"),
        Wrong("other order", "B A = I and A B = I asked for",
              _descent(first="(torch.eye(n, dtype=A.dtype) - B @ A).square().sum()",
                       second="(torch.eye(m, dtype=A.dtype) - A @ B).square().sum()"), "three numbers do not hold eight"),
        Wrong("gradients add up", "zero_grad forgotten", """
def pseudo_inverse(A, weight, steps, lr):
    B = A.T.clone().requires_grad_()
    for _ in range(steps):
        ((A - A @ B @ A).square().sum() + weight * (B - B @ A @ B).square().sum()).backward()
        with torch.no_grad():
            B -= lr * B.grad
    return B.detach()
""", "B never comes to rest"),
    ],
    "affgan_losses": [
        Wrong("labels exchanged", "the critic learns to find the made ones",
              _gan(critic="F.softplus(real).mean() + F.softplus(-fake).mean()"), "labels exchanged"),
        Wrong("order", "the generator's loss first",
              _gan(critic="-critic(made).mean()", generator="(F.softplus(-real) + F.softplus(fake)).mean()"), "losses are exchanged"),
        Wrong("Wasserstein", "the difference of two means", _gan(critic="fake.mean() - real.mean()"), "Wasserstein's critic"),
        Wrong("noise on y", "noise put into the generator",
              _gan(shown="generator(y + sigma * torch.randn_like(y)).detach()", moved="generator(y + sigma * torch.randn_like(y))"), "went into y"),
        Wrong("one mean", "binary cross-entropy over the joined batch",
              _gan(critic="(F.softplus(-real).mean() + F.softplus(fake).mean()) / 2"), "Half the critic's loss"),
        Wrong("critic's sum", "summed over the batch", _gan(critic="F.softplus(-real).sum() + F.softplus(fake).sum()"), "The critic's loss is a sum"),
        Wrong("sign", "+E[logit]", _gan(generator="logit.mean()"), "descends +E[logit]"),
        Wrong("saturating", "log(1 − D)", _gan(generator="-F.softplus(logit).mean()"), "the first paper's game"),
        Wrong("non-saturating", "−log D", _gan(generator="F.softplus(-logit).mean()"), "This is −log D"),
        Wrong("data in the generator's loss", "the difference of two means, as for Wasserstein",
              _gan(generator="real.mean().detach() - logit.mean()"), "The logits of data"),
        Wrong("generator's sum", "summed over the batch", _gan(generator="-logit.sum()"), "The generator's loss is a sum"),
        Wrong("frozen for good", "the critic not thawed", _gan(thaw="pass"), "comes back frozen"),
        Wrong("detached", "the samples constant to both players", _gan(moved="noisy(made.detach())"), "has no graph"),
        Wrong("critic moves the generator", "no detach in the critic's loss", _gan(shown="noisy(made)"), "The critic's gradient reaches the generator"),
        Wrong("critic learns from the generator's loss", "one backward for both",
              _gan(freeze="pass", thaw="pass"), "leaves a gradient on the critic's weights"),
        Wrong("in place", "noise added to the data themselves", _gan(data="x.add_(sigma * torch.randn_like(x))"), "changed the data themselves"),
        Wrong("noise on samples only", "the data are fine as they are", _gan(data="x"), "Samples are noisy, data are clean"),
        Wrong("no noise", "sigma ignored", _gan(noise="v"), "No noise anywhere"),
        Wrong("one draw for all", "a scalar drawn", _gan(noise="v + sigma * torch.randn(())"), "shifted by the same draw"),
        Wrong("noise on data only", "augmentation, which is for data", _gan(shown="made.detach()", moved="made"), "Data are noisy, samples are clean"),
        Wrong("generator's step clean", "noise taken for the critic's affair", _gan(moved="made"), "In one of the two losses"),
        Wrong("σ²", "the variance as a factor", _gan(noise="v + sigma**2 * torch.randn_like(v)"), "deviation σ²"),
        Wrong("√σ", "sigma taken for a variance", _gan(noise="v + sigma**0.5 * torch.randn_like(v)"), "deviation √σ"),
        Wrong("rand", "uniform noise", _gan(noise="v + sigma * torch.rand_like(v)"), "Noise with a mean"),
        Wrong("one draw for each point", "noise (b, 1) that broadcasts", _gan(noise="v + sigma * torch.randn(len(v), 1)"), "noise along one direction only"),
    ],
    "guidance_loss": [
        Wrong("through the denoiser", "no stop-gradient",
              _guidance("-((denoise(made) - made) / sigma**2 * made).sum(1).mean()"), "A gradient flows through the denoiser"),
        Wrong("weights frozen", "frozen weights taken for a stop-gradient", """
def guidance_loss(generator, denoise, y, sigma):
    for weight in denoise.parameters():
        weight.requires_grad_(False)
    made = generator(y)
    return -((denoise(made) - made) / sigma**2 * made).sum(1).mean()
""", "You froze the denoiser's weights"),
        Wrong("‖f(x) − x‖²", "a fixed point of the denoiser sought",
              _guidance("(target - made).square().sum(1).mean() / (2 * sigma**2)", held="pass"), "*through* f"),
        Wrong("half held", "f(x̂) detached, but not the x̂ beside it", _guidance("-((target - made) / sigma**2 * made).sum(1).mean()"), "there are two x̂"),
        Wrong("sign", "the score descended", _guidance("(score * made).sum(1).mean()"), "The wrong way"),
        Wrong("σ", "σ for σ²", _guidance("-(score * sigma * made).sum(1).mean()"), "Divided by σ where"),
        Wrong("no σ", "the denoiser's step taken for the score", _guidance("-((target - made.detach()) * made).sum(1).mean()"), "not a slope"),
        Wrong("σ⁴", "divided twice", _guidance("-(score / sigma**2 * made).sum(1).mean()"), "Divided by σ⁴"),
        Wrong("mean over numbers", "mean() over everything", _guidance("-(score * made).mean()"), "Half the gradient"),
        Wrong("sum over the batch", "sum() over everything", _guidance("-(score * made).sum()"), "a sum over the batch"),
        Wrong("square without ½", "a squared distance to the held target, over σ²",
              _guidance("(made - target).square().sum(1).mean() / sigma**2"), "the derivative of a square"),
        Wrong("plain target", "squared distance to the held target", _guidance("(made - target).square().sum(1).mean()"), "2σ² times"),
        Wrong("at a noisy image", "the denoiser fed as in its training",
              _guidance("-(score * made).sum(1).mean()", seen="made + sigma * torch.randn_like(made)"),
              "Noise belongs in its training"),
        Wrong("cut out", "everything under no_grad",
              _guidance("-(score * made).sum(1).mean()", made="generator(y).detach()"), "Nothing reaches the generator"),
    ],
}

RIGHT = {
    "affine": [_affine("f + pinv(y - A(f))"), """
def affine(network, y, camera):
    x = network(y)
    for _ in range(2):  # the second changes nothing
        x = x + camera.pinv(y) - camera.pinv(camera.A(x))
    return x


def stored_misfit(x, y, camera):
    file = (x.clamp(0, 1) * 255).round().to(torch.uint8)
    off = camera.A(file.double() / 255) - y
    return (off * off).sum() / off.numel()
"""],
    "pseudo_inverse": [_descent(start="torch.zeros(n, m, dtype=A.dtype)"), """
def pseudo_inverse(A, weight, steps, lr):
    At = A.T
    B = At / A.norm() ** 2
    for _ in range(steps):
        R, S = A - A @ B @ A, B - B @ A @ B
        g1 = -2 * At @ R @ At
        g2 = 2 * (S - S @ B.T @ At - At @ B.T @ S)
        B = B - lr * (g1 + weight * g2)
    return B
"""],
    "affgan_losses": [_gan(), """
def affgan_losses(generator, critic, x, y, sigma):
    made = generator(y)
    batch = torch.cat([x, made.detach()])
    labels = torch.cat([torch.ones(len(x)), torch.zeros(len(made))])
    logits = critic(batch + torch.normal(0.0, 1.0, batch.shape) * sigma).flatten()
    critic_loss = 2 * F.binary_cross_entropy_with_logits(logits, labels)
    shown = made + sigma * torch.randn(made.shape)
    lead = shown.detach().requires_grad_()
    slope, = torch.autograd.grad(critic(lead).mean(), lead)
    value = critic(shown).mean().detach()
    pull = (slope * shown).sum()
    return critic_loss, -(value + pull - pull.detach())
"""],
    "guidance_loss": [_guidance("(made - target).square().sum(1).mean() / (2 * sigma**2)"), """
def guidance_loss(generator, denoise, y, sigma):
    x = generator(y)
    goal = x.detach() + (denoise(x.detach()).detach() - x.detach()) / sigma**2
    return 0.5 * (x - goal).square().sum() / len(x)
"""],
}
