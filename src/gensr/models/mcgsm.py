"""MCGSM: an image as a chain of pixels, each a mixture of Gaussian scale mixtures whose weights and means depend on the pixels before it.

    p(x) = Πᵢⱼ p(xᵢⱼ ∣ x₍<ᵢⱼ₎)                                       the chain rule: any distribution, any order of the pixels
    p(x) ≈ Πᵢⱼ p(xᵢⱼ ∣ cᵢⱼ)                                          the Markov assumption: a small causal neighbourhood c, everywhere the same p
    p(y ∣ c) = Σₖₛ p(k, s ∣ c) N(y; aₖ·c + mₖ, 1/(e^αₖₛ Lₖ²))         gate × expert
    p(k, s ∣ c) ∝ exp(ηₖₛ − ½ e^αₖₛ (Σ_f βₖ_f² (b_f·c)² − 2 ωₖ·c))     the gate shares e^α with the expert: where the past is wild, so is the next pixel

Reference: Theis, Hosseini, Bethge 2012, "Mixtures of conditional Gaussian scale mixtures applied to multiscale image representations", PLoS ONE 7(7);
the features b, β and ω: Theis & Bethge 2015, "Generative image modeling using spatial LSTMs", NeurIPS, §2.1.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gensr.densities import LOG_2PI, gsm_log_prob

Offsets = Sequence[tuple[int, int]]


def neighbourhood(rows: int = 4, columns: int = 7) -> list[tuple[int, int]]:
    """The places (Δi, Δj), relative to the centre of a window's last row, of all its pixels that come before that one when one reads.

    4 × 7 gives 24 neighbours, 3 × 5 the 12 of RIDE. Another ordering of the pixels is this one on a flipped or transposed image.
    ValueError if there are no rows, or the columns are not odd.
    """
    if rows < 1 or columns < 1 or columns % 2 == 0 or rows * columns < 2:
        raise ValueError(f"rows, columns: expected at least one row and an odd number of columns, and one neighbour, got {rows} and {columns}")
    half = columns // 2
    return [(i - rows + 1, j - half) for i in range(rows) for j in range(columns if i < rows - 1 else half)]


def margins(offsets: Offsets) -> tuple[int, int, int]:
    """Rows above, columns to the left and to the right that a neighbourhood needs; ValueError if it is not causal in reading order."""
    if not offsets or not all(di < 0 or (di == 0 and dj < 0) for di, dj in offsets):
        raise ValueError(f"offsets: expected places above, or in the same row to the left, got {list(offsets)}")
    return -min(di for di, _ in offsets), max(0, -min(dj for _, dj in offsets)), max(0, max(dj for _, dj in offsets))


def contexts(x: Float[Tensor, "b 1 h w"], offsets: Offsets) -> tuple[Float[Tensor, "b h2 w2 n"], Float[Tensor, "b h2 w2"]]:
    """(context, pixel) of every pixel whose neighbourhood lies inside the image, differentiable in x; ValueError if there is none, or x is not grey."""
    if x.dim() != 4 or x.shape[1] != 1 or not x.is_floating_point():
        raise ValueError(f"x: expected floats (b, 1, h, w), got {x.dtype} of shape {tuple(x.shape)}")
    top, left, right = margins(offsets)
    h, w = x.shape[2] - top, x.shape[3] - left - right
    if h < 1 or w < 1:
        raise ValueError(f"x: expected more than {top} rows and {left + right} columns, got {x.shape[2]}×{x.shape[3]}")
    shifted = [x[:, 0, top + di : top + di + h, left + dj : left + dj + w] for di, dj in [*offsets, (0, 0)]]
    return torch.stack(shifted[:-1], -1), shifted[-1]


def dequantise(x: UInt8[Tensor, "*shape"], generator: torch.Generator | None = None) -> Float[Tensor, "*shape"]:
    """(level + u)/256 with u ~ U(0, 1): grey levels become numbers with a density, which can no longer grow without bound on 256 points."""
    if x.is_floating_point():
        raise ValueError(f"x: expected grey levels as whole numbers from 0 to 255, got {x.dtype}")
    return (x.float() + torch.rand(x.shape, generator=generator)) / 256


def pairs(
    images: Iterable[UInt8[Tensor, "1 h w"]], offsets: Offsets, n: int | None = None, seed: int = 0, *, noise: bool = True
) -> tuple[Float[Tensor, "m n"], Float[Tensor, " m"]]:
    """(context, pixel) pairs of 8-bit images, dequantised (without `noise` bare levels/255), shuffled; all, or about `n`, from each image by its size."""
    generator, images, found = torch.Generator().manual_seed(seed), list(images), []
    if not images or (n is not None and not n >= 1):
        raise ValueError(f"{'n' if images else 'images'}: expected at least one")
    for v in images:
        c, y = (part.flatten(0, 2) for part in contexts((dequantise(v, generator) if noise else v.float() / 255)[None], offsets))
        keep = torch.randperm(len(y), generator=generator)[: None if n is None else math.ceil(n * v.numel() / sum(map(torch.numel, images)))]
        found.append((c[keep], y[keep]))
    context, pixel = (torch.cat(part) for part in zip(*found, strict=True))
    shuffle = torch.randperm(len(pixel), generator=generator)
    return context[shuffle], pixel[shuffle]


class Whitening(nn.Module):
    """Preconditioner: white contexts, and of the pixel only what linear regression leaves over, in units of its standard deviation.

    z = C^(−½) (c − c̄),   v = (y − ȳ − P·z)/σ,   p(y ∣ c) = p(v ∣ z) · ∣∂v/∂y∣ = p(v ∣ z)/σ. The identity until `fit`.
    """

    def __init__(self, n: int):
        super().__init__()
        self.mean_in = nn.Buffer(torch.zeros(n))
        self.whiten_in = nn.Buffer(torch.eye(n))
        self.mean_out = nn.Buffer(torch.zeros(()))
        self.predictor = nn.Buffer(torch.zeros(n))
        self.whiten_out = nn.Buffer(torch.ones(()))  # 1/σ

    @torch.no_grad()
    def fit(self, context: Float[Tensor, "m n"], pixel: Float[Tensor, " m"]) -> None:
        """Take the moments from data; ValueError if the contexts' covariance is singular, or pixels are a linear function of them."""
        c, y = context.double(), pixel.double()
        mean, mean_out = c.mean(0), y.mean()
        variance, axes = torch.linalg.eigh((c - mean).T @ (c - mean) / len(c))
        if not variance[0] > 1e-10 * variance[-1]:
            raise ValueError(f"context: expected a covariance of full rank, got variances {variance[0]:.2g} to {variance[-1]:.2g}; more pairs, dequantised?")
        whiten = axes @ (axes / variance.sqrt()).T
        predictor = ((c - mean) @ whiten).T @ (y - mean_out) / len(y)  # E[z zᵀ] = I, so regression is a mean
        residual = (y - mean_out).square().mean() - predictor.square().sum()
        if not residual > 1e-10 * (y - mean_out).square().mean():
            raise ValueError("pixel: expected something left to explain after linear regression, got a linear function of the context")
        for buffer, value in zip(self.buffers(), (mean, whiten, mean_out, predictor, residual.rsqrt()), strict=True):
            buffer.copy_(value)

    def forward(
        self, context: Float[Tensor, "*batch n"], pixel: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch n"], Float[Tensor, "*batch"], Float[Tensor, ""]]:
        """z, v, and the log-Jacobian −log σ, to be added to log p(v ∣ z)."""
        z = (context - self.mean_in) @ self.whiten_in
        return z, (pixel - self.mean_out - z @ self.predictor) * self.whiten_out, self.whiten_out.log()

    def inverse(self, z: Float[Tensor, "*batch n"], v: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The pixel y of a residual v."""
        return v / self.whiten_out + self.mean_out + z @ self.predictor


class GSM(nn.Module):
    """Gaussian scale mixture of d numbers: one shape, S sizes: p(x) = Σₛ πₛ N(x; m, (e^αₛ L Lᵀ)⁻¹). With S = 1 a Gaussian.

    Reference: Wainwright & Simoncelli 2000; Theis, Hosseini, Bethge 2012.
    """

    def __init__(self, dims: int = 1, scales: int = 4):
        super().__init__()
        if dims < 1 or scales < 1:
            raise ValueError(f"dims, scales: expected at least 1, got {dims} and {scales}")
        self.logits = nn.Parameter(torch.zeros(scales))
        self.alpha = nn.Parameter(torch.linspace(-1, 1, scales) if scales > 1 else torch.zeros(1))
        self.m = nn.Parameter(torch.zeros(dims))
        self.L = nn.Parameter(torch.zeros(dims, dims))  # below the diagonal, L; on it, log L

    @torch.no_grad()
    def start(self, x: Float[Tensor, "b d"]) -> None:
        """Take mean and shape of the Gaussian that fits best: where the search begins, and for S = 1 ends."""
        centred = (x - x.mean(0)).double()
        L = torch.linalg.cholesky(torch.linalg.inv(centred.T @ centred / len(x)))
        self.m.copy_(x.mean(0))
        self.L.copy_(L.tril(-1) + L.diagonal().log().diag())

    def cholesky(self) -> Float[Tensor, "d d"]:
        """L, lower triangular with a positive diagonal."""
        return self.L.tril(-1) + self.L.diagonal().exp().diag()

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Nats per point."""
        return gsm_log_prob(x, self.logits, self.alpha, self.m, self.cholesky())

    def loss(self, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """−log p(x) in nats per point, averaged."""
        return -self.log_prob(x).mean()

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """A size for each point, then a Gaussian of that size."""
        s = torch.multinomial(self.logits.softmax(0), n, replacement=True)
        e = torch.randn(n, len(self.m)).to(self.m) * (-0.5 * self.alpha[s, None]).exp()
        return self.m + torch.linalg.solve_triangular(self.cholesky(), e, upper=False, left=False)  # x L = e


class MCGSM(nn.Module):
    """Mixture of K conditional Gaussian scale mixtures of S scales, p(y ∣ c) of one number given n; the formula stands at the head of this file.

    Special cases: K = S = 1 is a Gaussian, its mean linear in c (linear regression); K = 1 a GSM conditioned on c; S = 1 a mixture of conditional Gaussians.
    `features` is F, the number of directions b that all components share; it may be 0.

    Reference: Theis, Hosseini, Bethge 2012; Theis & Bethge 2015, §2.1.
    """

    def __init__(self, contexts: int = 24, components: int = 8, scales: int = 4, features: int = 24):
        super().__init__()
        if min(contexts, components, scales) < 1 or features < 0:
            raise ValueError(f"contexts, components, scales, features: expected at least 1, 1, 1, 0, got {contexts}, {components}, {scales}, {features}")
        alpha = torch.linspace(-1, 2, scales) if scales > 1 else torch.zeros(1)
        self.alpha = nn.Parameter(alpha + 0.1 * torch.randn(components, scales) * (components > 1))  # log-precisions
        self.eta = nn.Parameter(0.5 * contexts * self.alpha.detach())  # as in a joint GSM of white contexts: the gate follows the energy of c
        self.b = nn.Parameter(torch.randn(contexts, features) / math.sqrt(contexts))
        self.beta = nn.Parameter(math.sqrt(contexts / max(1, features)) * (0.5 + torch.rand(components, features)))
        self.omega = nn.Parameter(0.1 * torch.randn(components, contexts))
        self.a = nn.Parameter(torch.zeros(components, contexts))
        self.m = nn.Parameter(torch.zeros(components))
        self.log_L = nn.Parameter(torch.zeros(components))

    def energies(self, context: Float[Tensor, "*batch n"], pixel: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch k s"], Float[Tensor, "*batch k s"]]:
        """Logits of the gate p(k, s ∣ c), and those of the posterior p(k, s ∣ c, y): the same plus the expert's log N(y)."""
        if pixel.shape != context.shape[:-1]:
            raise ValueError(f"pixel: expected one for each context, {tuple(context.shape[:-1])}, got {tuple(pixel.shape)}")
        square = (context @ self.b).square() @ self.beta.square().T - 2 * context @ self.omega.T  # (*batch, k)
        error = (pixel[..., None] - context @ self.a.T - self.m) * self.log_L.exp()
        gate = self.eta - 0.5 * self.alpha.exp() * square[..., None]  # (*batch, k, s)
        expert = 0.5 * (self.alpha - LOG_2PI) + self.log_L[:, None] - 0.5 * self.alpha.exp() * error.square()[..., None]
        return gate, gate + expert

    def log_prob(self, context: Float[Tensor, "*batch n"], pixel: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """log p(y ∣ c) in nats."""
        gate, joint = self.energies(context, pixel)
        return torch.logsumexp(joint, (-2, -1)) - torch.logsumexp(gate, (-2, -1))

    def loss(self, context: Float[Tensor, "b n"], pixel: Float[Tensor, " b"]) -> Float[Tensor, ""]:
        """−log p(y ∣ c) in nats per pixel, averaged."""
        return -self.log_prob(context, pixel).mean()

    @torch.no_grad()
    def sample(self, context: Float[Tensor, "*batch n"], u: Float[Tensor, "*batch"], e: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The draw that belongs to the noise u ~ U(0, 1), which picks k and s, and e ~ N(0, 1), which makes y."""
        gate = self.energies(context, torch.zeros_like(u))[0].flatten(-2).softmax(-1)
        ks = (gate.cumsum(-1) < u[..., None]).sum(-1).clamp(max=self.alpha.numel() - 1)
        k = ks // self.alpha.shape[1]
        return (self.a[k] * context).sum(-1) + self.m[k] + e * (-0.5 * self.alpha.flatten()[ks] - self.log_L[k]).exp()


def lbfgs(model: nn.Module, *batch: Tensor, steps: int = 100, chunk: int = 20_000) -> list[float]:
    """Minimise `model.loss(*batch)`, a mean over the batch, by L-BFGS; the losses on the way, one for each evaluation.

    All data count in every step; they are read in chunks, so that intermediate results stay small. For minibatches take Adam: `gensr.train.fit`.
    """
    search = {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-7, "tolerance_change": 1e-10}
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=steps, history_size=20, **search)
    losses = []

    def evaluate() -> Tensor:
        optimiser.zero_grad()
        total = torch.zeros(())
        for part in zip(*(v.split(chunk) for v in batch), strict=True):
            loss = model.loss(*part) * (len(part[0]) / len(batch[0]))  # type: ignore[operator]
            loss.backward()
            total = total + loss.detach()
        losses.append(total.item())
        return total

    optimiser.step(evaluate)  # type: ignore[arg-type]
    return losses


class MarkovMesh(nn.Module):
    """A density of images: each pixel given its causal neighbourhood, everywhere by the same conditional. p(interior ∣ border) = Π p(xᵢⱼ ∣ cᵢⱼ).

    The product runs over the pixels whose neighbourhood (`offsets`) lies inside the image; the others, the first rows and a few columns at the sides, are
    given. `conditional` is p(v ∣ z) of whitened pairs: an `MCGSM`. The name is that of Abend, Harley, Kanal 1965.
    """

    def __init__(self, offsets: Offsets, conditional: nn.Module):
        super().__init__()
        margins(offsets)  # refuses what is not causal
        self.offsets, self.conditional, self.whitening = list(offsets), conditional, Whitening(len(offsets))

    def pixel_log_prob(self, context: Float[Tensor, "*batch n"], pixel: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """log p(y ∣ c) of pixels as they are, in nats: the whitening's log-Jacobian is in it."""
        z, v, log_jacobian = self.whitening(context, pixel)
        return self.conditional.log_prob(z, v) + log_jacobian  # type: ignore[operator]

    def loss(self, context: Float[Tensor, "b n"], pixel: Float[Tensor, " b"]) -> Float[Tensor, ""]:
        """−log p(y ∣ c) in nats per pixel, averaged over the pairs."""
        return -self.pixel_log_prob(context, pixel).mean()

    def log_prob(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
        """log p(interior ∣ border) in nats per image; differentiable in x, border included."""
        return self.pixel_log_prob(*contexts(x, self.offsets)).sum((1, 2))

    def bits(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
        """Log₂-density per pixel on [0, 1] pixels: *higher is better*. The 256 levels cost at most 8 minus this, in bits per pixel."""
        return self.pixel_log_prob(*contexts(x, self.offsets)).mean((1, 2)) / math.log(2)

    @torch.no_grad()
    def sample(
        self, n: int, shape: tuple[int, int], *, burn_in: int = 16, together: bool = True, limits: tuple[float, float] = (0.0, 1.0)
    ) -> Float[Tensor, "n 1 h w"]:
        """Draw textures pixel by pixel, each given its neighbours drawn before.

        Args:
            shape: rows and columns.
            burn_in: rows and columns more, drawn at the top and both sides and cut off: by then the border, white noise, is forgotten.
            together: draw at once all pixels, on a slanted line, whose neighbours are complete; otherwise one by one in reading order. The same noise gives
                the same image: any order will do in which causes come first.
            limits: every pixel is clipped to them, as a value far from all data would upset those after it; (−∞, ∞) for the pure model.

        Raises:
            ValueError: n or shape below 1, or a negative burn_in.
        """
        h, w = shape
        if min(n, h, w) < 1 or burn_in < 0:
            raise ValueError(f"n, shape, burn_in: expected at least 1, 1 and 0, got {n}, {shape} and {burn_in}")
        top, left, right = margins(self.offsets)
        rows, columns = torch.arange(top, top + burn_in + h), torch.arange(left, left + 2 * burn_in + w)
        height, width = int(rows[-1]) + 1, int(columns[-1]) + 1 + right
        blank = self.whitening.mean_out.new_empty(n, height, width)
        u, e = torch.rand_like(blank), torch.randn_like(blank)
        spread = (self.whitening.whiten_out**-2 + self.whitening.predictor.square().sum()).sqrt()  # what is left, and what is explained
        x = (self.whitening.mean_out + spread * e).clamp(*limits)
        slope = max([1, *(dj // -di + 1 for di, dj in self.offsets if di < 0)]) if together else width
        time = slope * rows[:, None] + columns  # every neighbour's is earlier: slope·Δi + Δj < 0
        di, dj = torch.tensor(self.offsets).T
        for t in range(int(time.min()), int(time.max()) + 1):
            i, j = (time == t).nonzero().T + torch.tensor([[top], [left]])  # m pixels; none for some t, which does no harm
            z, _, _ = self.whitening(x[:, i[:, None] + di, j[:, None] + dj], x[:, i, j])  # (n, m, 24)
            v = self.conditional.sample(z, u[:, i, j], e[:, i, j])  # type: ignore[operator]
            x[:, i, j] = self.whitening.inverse(z, v).clamp(*limits)
        return x[:, None, top + burn_in :, left + burn_in : left + burn_in + w]
