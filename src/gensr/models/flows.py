"""Normalising flows: invertible layers whose Jacobian determinant is cheap, so that the change of variables gives an exact density.

    z = f(x),   log p(x) = log N(f(x); 0, I) + ``log |det ∂f(x)/∂x|``

Every layer has `forward(x) -> (z, logdet)` from data to noise and `inverse(z) -> (x, logdet)` from noise to data; each logdet (b,), in nats, is that of
the direction in which one goes, so the two of a round trip add up to 0.

Reference: Dinh, Sohl-Dickstein, Bengio 2017, "Density estimation using Real NVP", ICLR; Kingma & Dhariwal 2018, "Glow", NeurIPS.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gensr.densities import normal_log_prob


class ActNorm(nn.Module):
    """z = s ⊙ x + b with one s and b for each channel: batch normalisation's job without its dependence on the batch.

    The first batch seen in training mode sets s and b so that every channel of z has mean 0 and variance 1; after that they are learned like any weight.
    Whether this has happened is a buffer, `initialised`, which a checkpoint keeps. Before it has, the layer is the identity.

    Args:
        channels: of x (b, channels) or (b, channels, h, w).

    Reference: Kingma & Dhariwal 2018, §3.1.
    """

    initialised: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.log_s = nn.Parameter(torch.zeros(channels))
        self.b = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialised", torch.tensor(False))

    @torch.no_grad()
    def _initialise(self, x: Tensor) -> None:
        values = x.transpose(0, 1).flatten(1)  # (c, b·h·w)
        std = values.std(1, correction=0).clamp(min=1e-6)
        self.log_s.copy_(-std.log())
        self.b.copy_(-values.mean(1) / std)
        self.initialised.fill_(True)

    def forward(self, x: Float[Tensor, "b c *hw"]) -> tuple[Float[Tensor, "b c *hw"], Float[Tensor, " b"]]:
        if self.training and not self.initialised:
            self._initialise(x)
        shape = (-1, *[1] * (x.ndim - 2))
        z = self.log_s.exp().view(shape) * x + self.b.view(shape)
        return z, self._logdet(x)

    def inverse(self, z: Float[Tensor, "b c *hw"]) -> tuple[Float[Tensor, "b c *hw"], Float[Tensor, " b"]]:
        shape = (-1, *[1] * (z.ndim - 2))
        x = (z - self.b.view(shape)) * (-self.log_s).exp().view(shape)
        return x, -self._logdet(x)

    def _logdet(self, x: Tensor) -> Tensor:
        """h · w · Σ log s: each channel is stretched at every position."""
        return (x[0, 0].numel() * self.log_s.sum()).expand(len(x))


class InvertibleConv1x1(nn.Module):
    """z = W x at every pixel, W = P L (U + diag s): a learned generalisation of permuting the channels.

    P is a fixed permutation, L lower triangular with ones on the diagonal, U strictly upper triangular, so that log|det W| = Σ log|s| and nothing needs
    decomposing. sign(s) is fixed and log|s| learned: W can never become singular. W starts as a random rotation, with log-determinant 0.

    Args:
        channels: of x (b, channels, h, w).

    Reference: Kingma & Dhariwal 2018, §3.2, eq. 10-11.
    """

    P: Tensor
    sign: Tensor

    def __init__(self, channels: int):
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
        P, L, U = (m.to(torch.get_default_dtype()) for m in torch.linalg.lu(rotation))
        s = U.diagonal()
        self.register_buffer("P", P)
        self.register_buffer("sign", s.sign())
        self.log_s = nn.Parameter(s.abs().log())
        self.L = nn.Parameter(L.tril(-1))
        self.U = nn.Parameter(U.triu(1))

    def weight(self) -> Float[Tensor, "c c"]:
        """W, put together from its factors."""
        L = self.L.tril(-1) + torch.eye(len(self.L)).to(self.L)
        return self.P @ L @ (self.U.triu(1) + torch.diag(self.sign * self.log_s.exp()))

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        return F.conv2d(x, self.weight()[:, :, None, None]), self._logdet(x)

    def inverse(self, z: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        inverse = torch.linalg.inv(self.weight().double()).to(z)  # a small matrix: double precision costs nothing
        return F.conv2d(z, inverse[:, :, None, None]), -self._logdet(z)

    def _logdet(self, x: Tensor) -> Tensor:
        """h · w · Σ log|s|: W acts at every pixel."""
        return (x.shape[2] * x.shape[3] * self.log_s.sum()).expand(len(x))


class AffineCoupling(nn.Module):
    """x = (x_a, x_b); a network reads x_a and says how to shift and scale x_b, so the inverse needs no inverse of the network.

        (t, h) = net(x_a),   s = sigmoid(h + 2),   z_a = x_a,   z_b = s ⊙ (x_b + t),   log|det| = Σ log s

    The Jacobian is triangular, with ones and s on its diagonal. The sigmoid keeps s below 1 and its gradient tame; + 2 starts it at 0.88.

    Args:
        channels: of x (b, channels, h, w), at least 2; the first half, rounded down, is x_a.
        hidden: width of the default network.
        net: another network, from x_a's channels to twice x_b's: t, then h.

    Raises:
        ValueError: fewer than 2 channels.

    Reference: Kingma & Dhariwal 2018, §3.3; Dinh et al. 2017, eq. 4-8. The order of shift and scale is that of Glow's code.
    """

    def __init__(self, channels: int, hidden: int = 64, net: nn.Module | None = None):
        super().__init__()
        if channels < 2:
            raise ValueError(f"channels: expected at least 2, got {channels}")
        self.sizes = [channels // 2, channels - channels // 2]
        self.net = net or coupling_net(self.sizes[0], 2 * self.sizes[1], hidden)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        x_a, x_b = x.split(self.sizes, 1)
        t, h = self.net(x_a).chunk(2, 1)
        z_b = torch.sigmoid(h + 2) * (x_b + t)
        return torch.cat([x_a, z_b], 1), F.logsigmoid(h + 2).flatten(1).sum(1)

    def inverse(self, z: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        z_a, z_b = z.split(self.sizes, 1)
        t, h = self.net(z_a).chunk(2, 1)
        x_b = z_b / torch.sigmoid(h + 2) - t
        return torch.cat([z_a, x_b], 1), -F.logsigmoid(h + 2).flatten(1).sum(1)


def coupling_net(c_in: int, c_out: int, hidden: int) -> nn.Sequential:
    """Convolutions 3×3, 1×1, 3×3 with ReLU between; the last starts at 0, so that every coupling starts as one and the same gentle scaling."""
    first, second = nn.Conv2d(c_in, hidden, 3, padding=1), nn.Conv2d(hidden, hidden, 1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), _zeros(nn.Conv2d(hidden, c_out, 3, padding=1)))


class Squeeze(nn.Module):
    """Trade space for channels: (c, h, w) -> (4c, h/2, w/2), each 2×2 block becoming 4 channels. Only moves numbers: logdet is 0."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c4 h2 w2"], Float[Tensor, " b"]]:
        if x.shape[2] % 2 or x.shape[3] % 2:
            raise ValueError(f"x: expected even height and width, got {x.shape[2]}×{x.shape[3]}")
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, z: Float[Tensor, "b c4 h2 w2"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        return F.pixel_shuffle(z, 2), z.new_zeros(len(z))


class Split(nn.Module):
    """Half of the channels leave as noise; the other half goes on, and predicts those that left.

        x = (x_a, x_b),   (mu, log σ) = net(x_a),   e = (x_b − mu)/σ ~ N(0, I),   log|det ∂e/∂x_b| = −Σ log σ

    That is Glow's learned conditional prior p(x_b|x_a) = N(mu, σ²), written as one more flow layer, so that all noise is standard normal.
    It differs from the other layers in returning two tensors, and in its inverse taking two.

    Args:
        channels: of x, at least 2; the first half, rounded down, goes on.

    Reference: Dinh et al. 2017, §3.6; Kingma & Dhariwal 2018, `split2d` of their code.
    """

    def __init__(self, channels: int):
        super().__init__()
        if channels < 2:
            raise ValueError(f"channels: expected at least 2, got {channels}")
        self.sizes = [channels // 2, channels - channels // 2]
        self.net = _zeros(nn.Conv2d(self.sizes[0], 2 * self.sizes[1], 3, padding=1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b a h w"], Float[Tensor, "b e h w"], Float[Tensor, " b"]]:
        x_a, x_b = x.split(self.sizes, 1)
        mu, log_sigma = self.net(x_a).chunk(2, 1)
        return x_a, (x_b - mu) * (-log_sigma).exp(), -log_sigma.flatten(1).sum(1)

    def inverse(self, x_a: Float[Tensor, "b a h w"], e: Float[Tensor, "b e h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        mu, log_sigma = self.net(x_a).chunk(2, 1)
        return torch.cat([x_a, mu + log_sigma.exp() * e], 1), log_sigma.flatten(1).sum(1)


class MaskedCoupling(nn.Module):
    """The affine coupling of RealNVP for vectors: components with mask m = 1 stay, the others are scaled and shifted by functions of them.

        z = m ⊙ x + (1 − m) ⊙ (x ⊙ exp(s) + t),   (s, t) = net(m ⊙ x),   log|det| = Σ (1 − m) ⊙ s

    s = a ⊙ tanh(·), a learned, keeps the exponential in bounds.

    Args:
        mask: of zeros and ones, one for each dimension.
        hidden: width of the network's two hidden layers.

    Reference: Dinh et al. 2017, eq. 9.
    """

    mask: Tensor

    def __init__(self, mask: Float[Tensor, " d"], hidden: int = 64):
        super().__init__()
        self.register_buffer("mask", mask)
        last = _zeros(nn.Linear(hidden, 2 * len(mask)))
        self.net = nn.Sequential(nn.Linear(len(mask), hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last)
        self.a = nn.Parameter(torch.ones(len(mask)))

    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.net(self.mask * x).chunk(2, 1)
        return (1 - self.mask) * self.a * s.tanh(), (1 - self.mask) * t

    def forward(self, x: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
        s, t = self._scale_and_shift(x)
        return x * s.exp() + t, s.sum(1)

    def inverse(self, z: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
        s, t = self._scale_and_shift(z)  # of the components that stayed
        return (z - t) * (-s).exp(), -s.sum(1)


class FlowSequence(nn.ModuleList):
    """Layers one after another; their log-determinants add up, as those of a product of Jacobians do."""

    def forward(self, x: Float[Tensor, "b ..."]) -> tuple[Float[Tensor, "b ..."], Float[Tensor, " b"]]:
        total = x.new_zeros(len(x))
        for layer in self:
            x, logdet = layer(x)
            total = total + logdet
        return x, total

    def inverse(self, z: Float[Tensor, "b ..."]) -> tuple[Float[Tensor, "b ..."], Float[Tensor, " b"]]:
        total = z.new_zeros(len(z))
        for layer in reversed(self):
            z, logdet = layer.inverse(z)  # type: ignore[operator]
            total = total + logdet
        return z, total


class RealNVP(nn.Module):
    """A flow for vectors: couplings with alternating masks, an ActNorm before each in place of the paper's batch normalisation.

    Args:
        dims: d of x (b, d), at least 2: a coupling must have something to read and something to change.
        layers: couplings.
        hidden: width of the two hidden layers of each coupling's network.

    Raises:
        ValueError: dims below 2 or layers below 1.

    Reference: Dinh et al. 2017.
    """

    def __init__(self, dims: int = 2, layers: int = 8, hidden: int = 64):
        super().__init__()
        if dims < 2 or layers < 1:
            raise ValueError(f"dims, layers: expected at least 2 and 1, got {dims} and {layers}")
        self.dims = dims
        masks = [((torch.arange(dims) + k) % 2).float() for k in range(layers)]
        self.flow = FlowSequence(layer for m in masks for layer in (ActNorm(dims), MaskedCoupling(m, hidden)))

    def forward(self, x: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
        return self.flow(x)

    def inverse(self, z: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
        return self.flow.inverse(z)

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Exact log-density, in nats."""
        z, logdet = self(x)
        return normal_log_prob(z, 0.0, 0.0).sum(1) + logdet

    def loss(self, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """The negative log-likelihood, averaged over the batch, in nats."""
        return -self.log_prob(x).mean()

    @torch.no_grad()
    def sample(self, n: int, tau: float = 1.0) -> Float[Tensor, "n d"]:
        """Draw z ~ N(0, tau² I) and send it back through the flow."""
        weight = next(self.parameters())
        return self.inverse(tau * torch.randn(n, self.dims, device=weight.device, dtype=weight.dtype))[0]


def _zeros(layer: nn.Module) -> nn.Module:
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer
