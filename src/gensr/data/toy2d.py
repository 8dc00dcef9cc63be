"""Densities in the plane that can be sampled and evaluated, and the posterior along a line: super-resolution from one number to two.

Each toy has `sample(n, generator)`, `log_prob(x)` in nats and `extent`: practically all of its mass lies in the square [−extent, extent]².

Reference: Sønderby, Caballero, Theis, Shi, Huszár 2017, "Amortised MAP inference for image super-resolution", ICLR, §5.1 (Swiss roll and the line).
"""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor


@runtime_checkable
class Density(Protocol):
    """What a toy offers, and all that the functions below need."""

    extent: float

    def log_prob(self, x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]: ...


class SwissRoll:
    """A spiral with Gaussian noise: x = scale · (t cos t, t sin t) + noise · n, t = 3π/2 · (1 + 2u), u ~ U(0, 1), n ~ N(0, I).

    This is scikit-learn's `make_swiss_roll` seen from the side. t is uniform, so points are denser on the inner turn. Its density is an integral over t,
    taken by Gauss-Legendre quadrature: exact to rounding as long as the noise is not far thinner than 0.1·scale.

    Args:
        noise: standard deviation σ, in the units of x.
        scale: 1 gives scikit-learn's size, an outer radius of 14.1; the default gives 6.4.

    Raises:
        ValueError: noise or scale not positive, or noise below scale/20.

    Reference: Sønderby et al. 2017, §5.1. The two defaults are our choice, made so that the exact MAP estimate and the posterior mean have the
    cross-entropies that the paper reports for its MAP and for its network trained on squared error, 3.15 and 9.10 nats.
    """

    def __init__(self, noise: float = 0.27, scale: float = 0.45):
        if not scale > 0:
            raise ValueError(f"scale: expected a positive number, got {scale}")
        if not noise >= scale / 20:
            raise ValueError(f"noise: expected at least scale/20 = {scale / 20:g}, got {noise}")
        self.noise, self.scale = noise, scale
        self.extent = 14.2 * scale + 5 * noise
        u, self._weights = _quadrature(longest=3 * math.pi * math.hypot(1, 4.5 * math.pi) * scale, noise=noise)
        self._nodes = self.curve(u)

    def curve(self, u: Float[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        """The noiseless roll: u = 0 is its inner end, u = 1 its outer end."""
        t = 1.5 * math.pi * (1 + 2 * u)
        return self.scale * torch.stack([t * t.cos(), t * t.sin()], 1)

    def sample(self, n: int, generator: Generator | None = None) -> Float[Tensor, "n 2"]:
        """Draw n points."""
        return self.curve(torch.rand(n, generator=generator)) + self.noise * torch.randn(n, 2, generator=generator)

    def log_prob(self, x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """log ∫₀¹ N(x; curve(u), σ² I) du, in nats."""
        return _mixture_log_prob(x, self._nodes, self._weights, self.noise)


class TwoMoons:
    """Two interleaved half-circles of radius 1 with Gaussian noise, scikit-learn's `make_moons` centred; exact by quadrature along the arcs."""

    def __init__(self, noise: float = 0.1):
        if not noise >= 0.01:
            raise ValueError(f"noise: expected at least 0.01, got {noise}")
        self.noise, self.extent = noise, 1.5 + 5 * noise
        u, weights = _quadrature(longest=math.pi, noise=noise)
        self._nodes, self._weights = torch.cat([self.curve(u, upper=True), self.curve(u, upper=False)]), torch.cat([weights, weights]) / 2

    @staticmethod
    def curve(u: Float[Tensor, " n"], upper: bool) -> Float[Tensor, "n 2"]:
        """One noiseless arc, u from 0 to 1."""
        t = math.pi * u
        arc = torch.stack([t.cos(), t.sin()], 1) if upper else torch.stack([1 - t.cos(), 0.5 - t.sin()], 1)
        return arc - torch.tensor([0.5, 0.25], dtype=u.dtype)

    def sample(self, n: int, generator: Generator | None = None) -> Float[Tensor, "n 2"]:
        """Draw n points, each from either moon with probability ½."""
        u, upper = torch.rand(n, generator=generator), torch.rand(n, generator=generator) < 0.5
        points = torch.where(upper[:, None], self.curve(u, upper=True), self.curve(u, upper=False))
        return points + self.noise * torch.randn(n, 2, generator=generator)

    def log_prob(self, x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """In nats."""
        return _mixture_log_prob(x, self._nodes, self._weights, self.noise)


class EightGaussians:
    """Eight round Gaussians of deviation `sigma`, evenly on a circle: the standard test for dropped modes."""

    def __init__(self, sigma: float = 0.1, radius: float = 2.0):
        if not (sigma > 0 and radius > 0):
            raise ValueError(f"sigma, radius: expected positive numbers, got {sigma} and {radius}")
        self.sigma, self.extent = sigma, radius + 5 * sigma
        angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
        self.centres = radius * torch.stack([angle.cos(), angle.sin()], 1)  # (8, 2)

    def sample(self, n: int, generator: Generator | None = None) -> Float[Tensor, "n 2"]:
        """Draw n points."""
        mode = torch.randint(8, (n,), generator=generator)
        return self.centres[mode].float() + self.sigma * torch.randn(n, 2, generator=generator)

    def log_prob(self, x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """In nats."""
        return _mixture_log_prob(x, self.centres, torch.full_like(self.centres[:, 0], 1 / 8), self.sigma)


class Pinwheel:
    """Five long thin Gaussians pointing outwards, then every point turned about the origin by an angle that grows with its radius.

    The turn slides circles along themselves: it preserves area, so the density needs no determinant and is exact.

    Reference: after Johnson, Duvenaud, Wiltschko, Datta, Adams 2016, where the angle grows along the arm, not with the radius.
    """

    ARMS = 5

    def __init__(self, length: float = 0.3, width: float = 0.1, twist: float = 0.6):
        if not (length > 0 and width > 0):
            raise ValueError(f"length, width: expected positive numbers, got {length} and {width}")
        self.length, self.width, self.twist = length, width, twist
        self.extent = 1.5 + 5 * length
        self._angle = torch.arange(self.ARMS, dtype=torch.float64) * 2 * math.pi / self.ARMS

    def sample(self, n: int, generator: Generator | None = None) -> Float[Tensor, "n 2"]:
        """Draw n points."""
        arm = torch.randint(self.ARMS, (n,), generator=generator)
        v = torch.randn(n, 2, generator=generator) * torch.tensor([self.length, self.width]) + torch.tensor([1.5, 0.0])
        return _turn(v, self._angle[arm].float() + self.twist * v.norm(dim=1))

    def log_prob(self, x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """In nats."""
        straight = _turn(x, -self.twist * x.norm(dim=1))
        v = torch.stack([_turn(straight, -a.to(x).expand(len(x))) for a in self._angle], 1)  # (b, arms, 2)
        energy = 0.5 * (((v[..., 0] - 1.5) / self.length).square() + (v[..., 1] / self.width).square())
        return torch.logsumexp(-energy, 1) - math.log(2 * math.pi * self.length * self.width * self.ARMS)


class Checkerboard:
    """Uniform on the eight dark squares, 2 × 2 each, of a board on [−4, 4]²: log p = −log 32 on them, −∞ elsewhere."""

    extent = 4.0

    def sample(self, n: int, generator: Generator | None = None) -> Float[Tensor, "n 2"]:
        """Draw n points."""
        column, half = torch.randint(4, (n,), generator=generator), torch.randint(2, (n,), generator=generator)
        corner = torch.stack([column, 2 * half + column % 2], 1)  # dark: column + row even
        return 2 * (corner + torch.rand(n, 2, generator=generator)) - 4

    def log_prob(self, x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """In nats."""
        square = ((x + 4) / 2).floor()
        dark = (square.sum(1) % 2 == 0) & (x.abs() < 4).all(1)
        return torch.full_like(x[:, 0], -math.log(32)).masked_fill(~dark, -math.inf)


class KDE:
    """Kernel density estimate: a Gaussian of deviation `bandwidth` on each of the given points. For what can be sampled but not evaluated: a GAN's output.

    It is the density of the samples *plus* noise of that deviation, so it is biased towards smooth; more points allow less bandwidth.

    Args:
        points: samples.
        bandwidth: Scott's rule by default, s · m^(−1/6), s the root mean variance: right for one blob, too wide for several.

    Reference: Scott 1992; Parzen 1962.
    """

    def __init__(self, points: Float[Tensor, "m 2"], bandwidth: float | None = None):
        if bandwidth is not None and not bandwidth > 0:
            raise ValueError(f"bandwidth: expected a positive number, got {bandwidth}")
        if len(points) < 2:
            raise ValueError(f"points: expected at least 2, got {len(points)}")
        self.points = points.detach()
        self.bandwidth = bandwidth or float(self.points.var(0).mean().sqrt()) * len(points) ** (-1 / 6)
        self.extent = float(self.points.abs().max()) + 5 * self.bandwidth

    def log_prob(self, x: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """In nats."""
        return _mixture_log_prob(x, self.points, torch.full_like(self.points[:, 0], 1 / len(self.points)), self.bandwidth)


def grid(extent: float, cells: int = 400) -> tuple[Float[Tensor, "n 2"], float]:
    """Centres of cells × cells equal cells of [−extent, extent]², float64, row by row from the bottom left, and the area of one: for integrals by sums."""
    t = extent * ((torch.arange(cells, dtype=torch.float64) + 0.5) * 2 / cells - 1)
    return torch.stack(torch.meshgrid(t, t, indexing="xy"), -1).reshape(-1, 2), (2 * extent / cells) ** 2


def entropy(density: Density, cells: int = 400) -> float:
    """H[p] = −∫ p log p in nats, by a sum over a grid: the cross-entropy that no model of these data can beat."""
    points, area = grid(density.extent, cells)
    log_p = density.log_prob(points)
    return -float(torch.xlogy(log_p.exp(), log_p.exp()).sum()) * area


class LinePosterior(NamedTuple):
    """p(x|y) along the lines (x₁ + x₂)/2 = y, for b values of y.

    `s` is the signed distance from A⁺y = (y, y) in direction (1, −1)/√2; `log_prob` is per unit of s.
    """

    s: Float[Tensor, " k"]
    x: Float[Tensor, "b k 2"]
    log_prob: Float[Tensor, "b k"]
    log_evidence: Float[Tensor, " b"]  # log p(y)


def line(y: Float[Tensor, " b"], s: Float[Tensor, "#b k"]) -> Float[Tensor, "b k 2"]:
    """The points A⁺y + s · (1, −1)/√2, all of which have (x₁ + x₂)/2 = y."""
    step = s / math.sqrt(2)
    return torch.stack([y[:, None] + step, y[:, None] - step], -1)


def line_posterior(density: Density, y: Float[Tensor, " b"], points: int = 2000) -> LinePosterior:
    """The exact posterior of x given y = (x₁ + x₂)/2 with no noise, on a grid along the line.

    Bayes: p(x|y) ∝ p(x) where A x = y, and 0 elsewhere. x ↦ (y, s) has ``|det ∂x/∂(y, s)|`` = √2, so that p(y) = √2 ∫ p(x(s)) ds.

    Args:
        points: k, cell centres on the part of the line inside the density's extent.

    Raises:
        ValueError: fewer than 2 points.

    Reference: Sønderby et al. 2017, §5.1.
    """
    if points < 2:
        raise ValueError(f"points: expected at least 2, got {points}")
    half = math.sqrt(2) * density.extent
    width = 2 * half / points
    s = (torch.arange(points, device=y.device, dtype=y.dtype) + 0.5) * width - half
    x = line(y, s[None])
    log_p = density.log_prob(x.reshape(-1, 2)).view(len(y), points)
    log_z = log_p.logsumexp(1) + math.log(width)  # log ∫ p(x(s)) ds
    return LinePosterior(s, x, log_p - log_z[:, None], log_z + 0.5 * math.log(2))


def line_map(density: Density, y: Float[Tensor, " b"], points: int = 500) -> Float[Tensor, "b 2"]:
    """The MAP estimate argmax p(x) subject to (x₁ + x₂)/2 = y.

    The line may cross several modes of nearly equal height: the four highest peaks of a grid are each refined by golden-section search, and the best wins.

    Args:
        points: of the grid, as in `line_posterior`; its step must be finer than the modes.

    Raises:
        ValueError: fewer than 4 points.
    """
    if points < 4:
        raise ValueError(f"points: expected at least 4, got {points}")
    s, _, log_p, _ = line_posterior(density, y, points)
    outside = torch.full_like(log_p[:, :1], -math.inf)
    peak = (log_p >= torch.cat([outside, log_p[:, :-1]], 1)) & (log_p >= torch.cat([log_p[:, 1:], outside], 1))
    start = s[log_p.masked_fill(~peak, -math.inf).topk(4, 1).indices]  # (b, 4)

    def value(s: Tensor) -> Tensor:
        return density.log_prob(line(y, s).reshape(-1, 2)).view_as(s)

    golden, low, high = (math.sqrt(5) - 1) / 2, start - (s[1] - s[0]), start + (s[1] - s[0])
    for _ in range(30):
        a, b = high - golden * (high - low), low + golden * (high - low)
        right = value(a) < value(b)
        low, high = torch.where(right, a, low), torch.where(right, high, b)
    middle = (low + high) / 2
    return line(y, middle.gather(1, value(middle).argmax(1, keepdim=True)))[:, 0]


def _quadrature(longest: float, noise: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]: 4-point Gauss-Legendre in equal panels, so many that none is a stretch of curve longer than 2σ.

    `longest` is the greatest speed of the curve, |d curve/du|.
    """
    panels = math.ceil(longest / (2 * noise))
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(4))
    start = torch.arange(panels, dtype=torch.float64)[:, None]
    return ((start + (nodes + 1) / 2) / panels).flatten(), (weights / (2 * panels)).repeat(panels)


def _mixture_log_prob(x: Tensor, centres: Tensor, weights: Tensor, sigma: float) -> Tensor:
    """log Σⱼ wⱼ N(x; cⱼ, σ² I), a few thousand points at a time to bound the memory."""
    centres, log_weights = centres.to(x), weights.log().to(x)
    parts = []
    for part in x.split(4096):
        distance2 = (part[:, :1] - centres[:, 0]).square() + (part[:, 1:] - centres[:, 1]).square()  # (b, m)
        parts.append(torch.logsumexp(log_weights - distance2 / (2 * sigma**2), 1))
    return torch.cat(parts) - math.log(2 * math.pi * sigma**2)


def _turn(x: Tensor, angle: Tensor) -> Tensor:
    c, s = angle.cos(), angle.sin()
    return torch.stack([c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1]], 1)
