"""Named wrong answers that people really give, and right ones written differently; the tests run them all."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer: its name, why people give it, its code, and a piece of the message that must answer it."""

    name: str
    why: str
    code: str
    message: str


NORMAL = "torch.distributions.Normal(0.0, 1.0)"

WRONG = {
    "log_density": [
        Wrong("determinant forgotten", "log p(z) reported for x", code=f"""
def log_density(f, x):
    return {NORMAL}.log_prob(f(x))
""", message="how dense the *z* are"),
        Wrong("sign of the log-determinant", "the formula for x = g(z) used with z = f(x)", code=f"""
def log_density(f, x):
    x = x.clone().requires_grad_()
    z = f(x)
    d = torch.autograd.grad(z.sum(), x)[0]
    return {NORMAL}.log_prob(z) - d.abs().log()
""", message="counts the wrong way round"),
        Wrong("prior at x", "the base density taken at the datum", code=f"""
def log_density(f, x):
    x = x.clone().requires_grad_()
    d = torch.autograd.grad(f(x).sum(), x)[0]
    return {NORMAL}.log_prob(x) + d.abs().log()
""", message="evaluated at x"),
        Wrong("derivative without logarithm", "p(x) = p(z)·f′ turned into a sum by halves", code=f"""
def log_density(f, x):
    x = x.clone().requires_grad_()
    z = f(x)
    d = torch.autograd.grad(z.sum(), x)[0]
    return {NORMAL}.log_prob(z) + d.abs()
""", message="the stretching factor itself"),
        Wrong("no absolute value", "f taken to be rising", code=f"""
def log_density(f, x):
    x = x.clone().requires_grad_()
    z = f(x)
    d = torch.autograd.grad(z.sum(), x)[0]
    return {NORMAL}.log_prob(z) + d.log()
""", message="NaN for a falling f"),
        Wrong("normaliser left out", "½z² is what a loss usually holds", code="""
def log_density(f, x):
    x = x.clone().requires_grad_()
    z = f(x)
    d = torch.autograd.grad(z.sum(), x)[0]
    return -0.5 * z**2 + d.abs().log()
""", message="What normalises the normal density"),
        Wrong("density", "exp taken of everything", code=f"""
def log_density(f, x):
    x = x.clone().requires_grad_()
    z = f(x)
    d = torch.autograd.grad(z.sum(), x)[0]
    return {NORMAL}.log_prob(z).exp() * d.abs()
""", message="Its logarithm is wanted"),
        Wrong("log 2π", "the half forgotten", code="""
def log_density(f, x):
    x = x.clone().requires_grad_()
    z = f(x)
    d = torch.autograd.grad(z.sum(), x)[0]
    return -0.5 * z**2 - math.log(2 * math.pi) + d.abs().log()
""", message="has √(2π) below"),
        Wrong("slopes summed", "the formula for a vector of n", code=f"""
def log_density(f, x):
    x = x.clone().requires_grad_()
    z = f(x)
    d = torch.autograd.grad(z.sum(), x)[0]
    return {NORMAL}.log_prob(z) + d.abs().log().sum()
""", message="pays for the stretching at all five"),
        Wrong("slope of the mean", "backward wants one number, and a mean is one", code=f"""
def log_density(f, x):
    x = x.clone().requires_grad_()
    z = f(x)
    d = torch.autograd.grad(z.mean(), x)[0]
    return {NORMAL}.log_prob(z) + d.abs().log()
""", message="differentiated the *mean*"),
        Wrong("summed", "the n numbers taken for one vector", code=f"""
def log_density(f, x):
    x = x.clone().requires_grad_()
    z = f(x)
    d = torch.autograd.grad(z.sum(), x)[0]
    return ({NORMAL}.log_prob(z) + d.abs().log()).sum()
""", message="One number for each x"),
    ],
    "couple": [
        Wrong("reads all channels", "net(x), since its output has as many channels", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(x).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * (-s).exp()], 1), -s.flatten(1).sum(1)
    return torch.cat([a, b * s.exp() + t], 1), s.flatten(1).sum(1)
""", message="may read only what both ways have"),
        Wrong("reads the half that moves", "scale and shift made from what they act on", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(b).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * (-s).exp()], 1), -s.flatten(1).sum(1)
    return torch.cat([a, b * s.exp() + t], 1), s.flatten(1).sum(1)
""", message="reads the half that is about to change"),
        Wrong("halves exchanged", "the changed half is put first, so that the next layer need not permute", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([(b - t) * (-s).exp(), a], 1), -s.flatten(1).sum(1)
    return torch.cat([b * s.exp() + t, a], 1), s.flatten(1).sum(1)
""", message="halves have changed places"),
        Wrong("second half kept", "either half may stay, and it is the other one in every second layer", code="""
def couple(x, net, inverse=False):
    b, a = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([(b - t) * (-s).exp(), a], 1), -s.flatten(1).sum(1)
    return torch.cat([b * s.exp() + t, a], 1), s.flatten(1).sum(1)
""", message="keep the second half"),
        Wrong("every other channel", "a checkerboard of channels", code="""
def couple(x, net, inverse=False):
    a, b = x[:, ::2], x[:, 1::2]
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * (-s).exp()], 1), -s.flatten(1).sum(1)
    return torch.cat([a, b * s.exp() + t], 1), s.flatten(1).sum(1)
""", message="Every other channel stays"),
        Wrong("no exponential", "s taken for the scale itself", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) / s], 1), -s.abs().log().flatten(1).sum(1)
    return torch.cat([a, b * s + t], 1), s.abs().log().flatten(1).sum(1)
""", message="You multiply by s"),
        Wrong("shift first", "the order of Glow's code", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, b * (-s).exp() - t], 1), -s.flatten(1).sum(1)
    return torch.cat([a, (b + t) * s.exp()], 1), s.flatten(1).sum(1)
""", message="shift first and scale then"),
        Wrong("summed over the batch", "sum() without axes", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * (-s).exp()], 1), -s.sum().expand(len(x))
    return torch.cat([a, b * s.exp() + t], 1), s.sum().expand(len(x))
""", message="over the batch as well"),
        Wrong("t before s", "the order of another implementation", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    t, s = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * (-s).exp()], 1), -s.flatten(1).sum(1)
    return torch.cat([a, b * s.exp() + t], 1), s.flatten(1).sum(1)
""", message="s and t have changed places"),
        Wrong("sum over channels only", "sum(1) as for vectors", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * (-s).exp()], 1), -s.sum(1)
    return torch.cat([a, b * s.exp() + t], 1), s.sum(1)
""", message="One logdet for each of the 3 images"),
        Wrong("mean", "losses are usually means", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * (-s).exp()], 1), -s.flatten(1).mean(1)
    return torch.cat([a, b * s.exp() + t], 1), s.flatten(1).mean(1)
""", message="a mean forgets how many there are"),
        Wrong("scale factors added", "the logarithm forgotten", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * (-s).exp()], 1), -s.exp().flatten(1).sum(1)
    return torch.cat([a, b * s.exp() + t], 1), s.exp().flatten(1).sum(1)
""", message="You added the scale factors"),
        Wrong("sign of logdet", "the generative direction's sign", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * (-s).exp()], 1), s.flatten(1).sum(1)
    return torch.cat([a, b * s.exp() + t], 1), -s.flatten(1).sum(1)
""", message="does the layer spread volume or squeeze it"),
        Wrong("undone in the order of doing", "each operation inverted, the order kept", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, b * (-s).exp() - t], 1), -s.flatten(1).sum(1)
    return torch.cat([a, b * s.exp() + t], 1), s.flatten(1).sum(1)
""", message="which comes off first"),
        Wrong("exponent's sign in the inverse", "only the shift is undone", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b - t) * s.exp()], 1), -s.flatten(1).sum(1)
    return torch.cat([a, b * s.exp() + t], 1), s.flatten(1).sum(1)
""", message="again on the way back"),
        Wrong("shift's sign in the inverse", "only the scale is undone", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    if inverse:
        return torch.cat([a, (b + t) * (-s).exp()], 1), -s.flatten(1).sum(1)
    return torch.cat([a, b * s.exp() + t], 1), s.flatten(1).sum(1)
""", message="added a second time"),
        Wrong("one logdet for both ways", "the determinant taken for a property of the layer and not of the direction", code="""
def couple(x, net, inverse=False):
    a, b = x.chunk(2, 1)
    s, t = net(a).chunk(2, 1)
    b = (b - t) * (-s).exp() if inverse else b * s.exp() + t
    return torch.cat([a, b], 1), s.flatten(1).sum(1)
""", message="changes no volume"),
    ],
    "mix_channels": [
        Wrong("one pixel", "log|det W| without the number of pixels", code="""
def mix_channels(x, W):
    z = torch.einsum("ij,bjhw->bihw", W, x)
    return z, torch.linalg.slogdet(W)[1].expand(len(x))
""", message="as if the image were a single pixel"),
        Wrong("no logarithm", "det in place of log|det|", code="""
def mix_channels(x, W):
    z = torch.einsum("ij,bjhw->bihw", W, x)
    return z, x[0, 0].numel() * torch.linalg.det(W).abs().expand(len(x))
""", message="no logarithm of one"),
        Wrong("sign", "the inverse's log-determinant", code="""
def mix_channels(x, W):
    z = torch.einsum("ij,bjhw->bihw", W, x)
    return z, -x[0, 0].numel() * torch.linalg.slogdet(W)[1].expand(len(x))
""", message="with W = 2 I every axis"),
        Wrong("no absolute value", "logdet of a matrix with negative determinant", code="""
def mix_channels(x, W):
    z = torch.einsum("ij,bjhw->bihw", W, x)
    return z, x[0, 0].numel() * torch.logdet(W).expand(len(x))
""", message="turns space inside out"),
        Wrong("slogdet's first", "a pair in the wrong order", code="""
def mix_channels(x, W):
    z = torch.einsum("ij,bjhw->bihw", W, x)
    return z, x[0, 0].numel() * torch.linalg.slogdet(W)[0].expand(len(x))
""", message="returns the determinant's sign first"),
        Wrong("diagonal", "ActNorm's formula", code="""
def mix_channels(x, W):
    z = torch.einsum("ij,bjhw->bihw", W, x)
    return z, x[0, 0].numel() * W.diagonal().abs().log().sum().expand(len(x))
""", message="Is this W triangular"),
        Wrong("transposed", "the pixel as a row vector, from the left", code="""
def mix_channels(x, W):
    z = (x.permute(0, 2, 3, 1) @ W).permute(0, 3, 1, 2)
    return z, x[0, 0].numel() * torch.linalg.slogdet(W)[1].expand(len(x))
""", message="You multiply by Wᵀ"),
        Wrong("channels counted as places", "numel of one image", code="""
def mix_channels(x, W):
    z = torch.einsum("ij,bjhw->bihw", W, x)
    return z, x[0].numel() * torch.linalg.slogdet(W)[1].expand(len(x))
""", message="counted the channels"),
        Wrong("pixels of the batch", "numel of one channel of the batch", code="""
def mix_channels(x, W):
    z = torch.einsum("ij,bjhw->bihw", W, x)
    return z, x[:, 0].numel() * torch.linalg.slogdet(W)[1].expand(len(x))
""", message="pixels of the whole batch"),
        Wrong("one number", "the same for all images, so not repeated", code="""
def mix_channels(x, W):
    z = torch.einsum("ij,bjhw->bihw", W, x)
    return z, x[0, 0].numel() * torch.linalg.slogdet(W)[1]
""", message="One logdet for each of the 5 images"),
    ],
    "bits_per_dim": [
        Wrong("cell's volume forgotten", "a density taken for a probability", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    return -log_p(v) / (levels[0].numel() * math.log(2))
""", message="a photograph for nothing"),
        Wrong("sign", "the log-likelihood in bits", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    d = levels[0].numel()
    return (log_p(v) - d * math.log(256)) / (d * math.log(2))
""", message="no code gives back room"),
        Wrong("sign of the density alone", "8 bits plus the log-density", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    return 8 + log_p(v) / (levels[0].numel() * math.log(2))
""", message="what is likely must be cheap"),
        Wrong("nats", "log 2 forgotten", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    return math.log(256) - log_p(v) / levels[0].numel()
""", message="Those are nats"),
        Wrong("bits per pixel", "D taken for h·w", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    d = levels[0].numel()
    return -(log_p(v) - d * math.log(256)) / (levels[0, 0].numel() * math.log(2))
""", message="Bits per *pixel*"),
        Wrong("bits per image", "not divided by D", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    return -(log_p(v) - levels[0].numel() * math.log(256)) / math.log(2)
""", message="Bits for the whole image"),
        Wrong("no dequantisation", "the flow takes real numbers, so it is given the levels", code="""
def bits_per_dim(levels, log_p):
    return 8 - log_p(levels / 256) / (levels[0].numel() * math.log(2))
""", message="No noise at all"),
        Wrong("noise after scaling", "U(0, 1) where U(0, 1/256) belongs", code="""
def bits_per_dim(levels, log_p):
    v = levels / 255 + torch.rand_like(levels)
    return 8 - log_p(v) / (levels[0].numel() * math.log(2))
""", message="picture drowns"),
        Wrong("not scaled", "the flow is given 0…256", code="""
def bits_per_dim(levels, log_p):
    v = levels + torch.rand_like(levels)
    return 8 - log_p(v) / (levels[0].numel() * math.log(2))
""", message="The flow lives on"),
        Wrong("255 levels", "divided by the largest level, as for showing an image", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 255
    return 8 - log_p(v) / (levels[0].numel() * math.log(2))
""", message="White leaves"),
        Wrong("centred noise", "U(−½, ½), as rounding would suggest", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels) - 0.5) / 256
    return 8 - log_p(v) / (levels[0].numel() * math.log(2))
""", message="Some values lie below 0"),
        Wrong("one draw for all", "rand(1) is broadcast", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand(1)) / 256
    return 8 - log_p(v) / (levels[0].numel() * math.log(2))
""", message="along images, channels, rows, columns."),
        Wrong("one draw for a pixel", "noise for the pixel, not for its three numbers", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand(len(levels), 1, *levels.shape[2:])) / 256
    return 8 - log_p(v) / (levels[0].numel() * math.log(2))
""", message="along channels."),
        Wrong("one draw for all images", "noise made once and broadcast", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand(levels.shape[1:])) / 256
    return 8 - log_p(v) / (levels[0].numel() * math.log(2))
""", message="along images."),
        Wrong("half a level", "U(0, ½)", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels) / 2) / 256
    return 8 - log_p(v) / (levels[0].numel() * math.log(2))
""", message="only a part of each level"),
        Wrong("log-density in nats", "only log 256 turned into bits", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    return 8 - log_p(v) / levels[0].numel()
""", message="8 is in bits"),
        Wrong("log-density per pixel", "D taken for h·w in one of two places", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    return 8 - log_p(v) / (levels[0, 0].numel() * math.log(2))
""", message="divided by the number of pixels"),
        Wrong("D of the batch", "numel of the batch", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    return 8 - log_p(v) / (levels.numel() * math.log(2))
""", message="all numbers of the batch"),
        Wrong("batch mean", "one figure for all images", code="""
def bits_per_dim(levels, log_p):
    v = (levels + torch.rand_like(levels)) / 256
    return (8 - log_p(v) / (levels[0].numel() * math.log(2))).mean()
""", message="One figure for each image"),
    ],
}

RIGHT = {
    "log_density": [f"""
def log_density(f, x):
    derivative = torch.func.vmap(torch.func.grad(lambda v: f(v)))(x)
    return {NORMAL}.log_prob(f(x)) + torch.log(derivative.abs())
""", f"""
def log_density(f, x):
    x = x.double()
    with torch.no_grad():
        slope = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6
        return ({NORMAL}.log_prob(f(x)) + 0.5 * slope.pow(2).log()).float()
"""],
    "couple": ["""
def couple(x, net, inverse=False):
    half = x.shape[1] // 2
    y = x.clone()
    h = net(x[:, :half])
    s, t = h[:, :half], h[:, half:]
    y[:, half:] = (x[:, half:] - t) / s.exp() if inverse else s.exp() * x[:, half:] + t
    total = s.reshape(len(x), -1).sum(1)
    return y, (-1 if inverse else 1) * total
"""],
    "mix_channels": ["""
def mix_channels(x, W):
    z = (W @ x.flatten(2)).reshape(x.shape)
    return z, torch.full((len(x),), x.shape[2] * x.shape[3] * torch.linalg.svdvals(W).log().sum().item())
""", """
def mix_channels(x, W):
    b, c, h, w = x.shape
    return torch.einsum("ij,bjhw->bihw", W, x), h * w * torch.linalg.det(W).abs().log() * torch.ones(b)
"""],
    "bits_per_dim": ["""
def bits_per_dim(levels, log_p):
    d = levels[0].numel()
    v = levels / 256 + torch.rand(levels.shape) / 256
    nats = log_p(v) - d * math.log(256)
    return -nats / d / math.log(2)
""", """
def bits_per_dim(levels, log_p):
    v = torch.distributions.Uniform(levels / 256, (levels + 1) / 256).sample()
    return torch.stack([8 - l / (levels[0].numel() * math.log(2)) for l in log_p(v)])
"""],
}
