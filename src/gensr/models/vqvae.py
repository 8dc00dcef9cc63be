"""Vector-quantised autoencoders: an image becomes a small grid of words from a learned vocabulary.

    k(i, j) = argmin_k ‖z(i, j) − e_k‖        z = encoder(x), one vector at each place of a coarse grid
    z_q     = z + sg(e_k − z)                 forward the word, backward the identity: the gradient is copied over the step that has none
    loss    = −log p(x|z_q) + ‖sg(z) − e‖² + β ‖z − sg(e)‖²        sg: stop-gradient

The second term moves the words to the encoder's outputs; the third keeps the encoder near its words, so β sits on the *encoder's* term. A moving average can
take the place of the second term. What is left to model is the language: a prior over grids of words, learned afterwards.

Reference: van den Oord, Vinyals, Kavukcuoglu 2017, "Neural discrete representation learning", NeurIPS; Razavi, van den Oord, Vinyals 2019 (VQ-VAE-2);
Fifty et al. 2025, "Restructuring vector quantization with the rotation trick", ICLR.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gensr.likelihoods import Bernoulli
from gensr.nets import ResBlock


class Quantised(NamedTuple):
    """The words in place of the vectors, with the copied gradient; their numbers; and the codebook and commitment terms."""

    z: Float[Tensor, "b d h w"]
    codes: Int[Tensor, "b h w"]
    loss: Float[Tensor, ""]


class VectorQuantizer(nn.Module):
    """A codebook of K words of d numbers.

    Args:
        codes: K.
        dim: d.
        beta: weight of the commitment term, on the encoder.
        decay: γ of the moving averages that replace the codebook term; None learns the codebook by gradient.
        revive: a word whose moving count falls below this many uses a batch is dead, and gets the vector of a random place of the batch; 0 leaves it dead.

    Raises:
        ValueError: codes or dim below 1, a negative beta or revive, or a decay outside [0, 1).

    Reference: van den Oord et al. 2017, eq. 1–3 and appendix A.1 (moving averages); Dhariwal et al. 2020, §3.1 (revival).
    """

    count: Float[Tensor, " k"]
    total: Float[Tensor, "k d"]

    def __init__(self, codes: int = 128, dim: int = 16, *, beta: float = 0.25, decay: float | None = 0.99, revive: float = 0.0):
        super().__init__()
        if codes < 1 or dim < 1:
            raise ValueError(f"codes, dim: expected at least 1, got {codes} and {dim}")
        if beta < 0 or revive < 0:
            raise ValueError(f"{'beta' if beta < 0 else 'revive'}: expected at least 0, got {min(beta, revive)}")
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(f"decay: expected 0 <= decay < 1, got {decay}")
        self.beta, self.decay, self.revive = beta, decay, revive
        e = torch.randn(codes, dim) / dim**0.5
        self.codebook = nn.Parameter(e, requires_grad=decay is None)  # e, (K, d)
        self.register_buffer("count", torch.ones(codes))  # moving number of uses a batch, n_k
        self.register_buffer("total", e.clone())  # moving sum of the vectors that chose the word, so that e = total/count

    def forward(self, z: Float[Tensor, "b d h w"]) -> Quantised:
        """Every vector's nearest word. In training it also moves the averages and revives dead words."""
        z = z.to(self.codebook)  # in full precision, under autocast too
        rows = z.movedim(1, -1).flatten(0, -2)  # (n, d)
        codes = torch.cdist(rows.detach(), self.codebook.detach()).argmin(1)  # (n,)
        e = self.codebook[codes].unflatten(0, (z.shape[0], *z.shape[2:])).movedim(-1, 1)  # (b, d, h, w)
        loss = self.beta * (z - e.detach()).square().mean()
        if self.decay is None:
            loss = loss + (e - z.detach()).square().mean()
        elif self.training:
            self.update(rows.detach(), codes)
        return Quantised(z + (e - z).detach(), codes.view(z.shape[0], *z.shape[2:]), loss)

    @torch.no_grad()
    def update(self, rows: Float[Tensor, "n d"], codes: Int[Tensor, " n"]) -> None:
        """n_k ← γ n_k + (1 − γ) · uses,  m_k ← γ m_k + (1 − γ) · Σ z,  e_k = m_k/n_k.

        A revived word gets a vector, a count *and* the sum that goes with them: with one of the three missing, the next update takes it back to where it died.
        """
        uses = torch.bincount(codes, minlength=len(self.count)).to(rows)
        self.count.lerp_(uses, 1 - self.decay)  # type: ignore[operator]
        self.total.lerp_(torch.zeros_like(self.total).index_add_(0, codes, rows), 1 - self.decay)  # type: ignore[operator]
        dead = self.count < self.revive
        if dead.any():
            chosen = rows[torch.randint(len(rows), (int(dead.sum()),), device=rows.device)]
            start = 2 * self.revive  # time to be chosen before it can die again
            self.count[dead], self.total[dead] = start, start * chosen
        known = self.count > 1e-20  # sum and count of an unused word shrink alike, so it stays where it is, also when both have rounded to 0
        self.codebook[known] = self.total[known] / self.count[known, None]

    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """The words with these numbers."""
        return self.codebook[codes].movedim(-1, 1)


def perplexity(codes: Int[Tensor, "..."], k: int) -> float:
    """exp of the entropy of the words' frequencies: how many words are in use, if all were used equally often; 1 to k. Feed it an epoch, not a batch."""
    p = torch.bincount(codes.flatten(), minlength=k).double()
    p = p / p.sum()
    return torch.special.entr(p).sum().exp().item()


def rotate(z: Float[Tensor, "n d"], e: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The words e in place of the vectors z, with a gradient that is turned and scaled as z must be to become e, where `VectorQuantizer` copies it as it is.

        z_q = ‖e‖/‖z‖ · (z − 2 r rᵀz + 2 v uᵀz),   u = z/‖z‖,  v = e/‖e‖,  r = (u + v)/‖u + v‖;   all but z itself held fixed

    The bracket is a rotation in the plane of u and v: it takes u to v and leaves alone whatever is perpendicular to both. A vector of length 0 has no direction
    to turn, and stays 0.

    Reference: Fifty et al. 2025, §4.2.
    """
    u, v = nn.functional.normalize(z.detach(), dim=1), nn.functional.normalize(e.detach(), dim=1)
    r = nn.functional.normalize(u + v, dim=1)
    turned = z - 2 * r * (r * z).sum(1, keepdim=True) + 2 * v * (u * z).sum(1, keepdim=True)
    return turned * (e.detach().norm(dim=1) / z.detach().norm(dim=1).clamp(min=1e-12))[:, None]


def encoder(channels: int, hidden: int, halvings: int) -> nn.Sequential:
    """Convolutions that halve the image so many times, then two residual blocks."""
    layers: list[nn.Module] = []
    for i in range(halvings):
        layers += [nn.Conv2d(channels if i == 0 else hidden, hidden, 4, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(hidden, hidden, 3, padding=1), ResBlock(hidden), ResBlock(hidden))


def decoder(channels: int, hidden: int, out: int, doublings: int) -> nn.Sequential:
    """The mirror of `encoder`, with pixel shuffles, which leave no checkerboard."""
    layers: list[nn.Module] = [nn.Conv2d(channels, hidden, 3, padding=1), ResBlock(hidden), ResBlock(hidden)]
    for i in range(doublings):
        last = i == doublings - 1
        layers += [nn.ReLU(), nn.Conv2d(hidden, 4 * (out if last else hidden), 3, padding=1), nn.PixelShuffle(2)]
    return nn.Sequential(*layers)


class VQVAE(nn.Module):
    """One level of words, on a grid coarser than the image: 4 times, unless told otherwise.

    Args:
        channels: of an image.
        hidden: channels inside the networks.
        codes, dim, beta, decay, revive: as for `VectorQuantizer`.
        likelihood: what the decoder's output means: one of `gensr.likelihoods`; `Bernoulli()` by default.
        halvings: how often the grid is halved: the image's sides are divisible by 2 to this power, 4 by default.

    Raises:
        ValueError: halvings below 1, and what `VectorQuantizer` raises.

    Reference: van den Oord et al. 2017, §3–4.1.
    """

    def __init__(
        self, channels: int = 1, hidden: int = 64, *, likelihood: Any = None, codes: int = 128, dim: int = 16, beta: float = 0.25,
        decay: float | None = 0.99, revive: float = 0.0, halvings: int = 2,
    ):
        super().__init__()
        if halvings < 1:
            raise ValueError(f"halvings: expected at least 1, got {halvings}")
        self.encoder = nn.Sequential(encoder(channels, hidden, halvings), nn.Conv2d(hidden, dim, 1))
        self.quantizer = VectorQuantizer(codes, dim, beta=beta, decay=decay, revive=revive)
        self.decoder = decoder(dim, hidden, channels, halvings)
        self.likelihood = likelihood or Bernoulli()

    def loss(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """−log p(x|z_q) in nats per image, averaged over the batch, plus the quantiser's terms scaled to the same: per image, not per number."""
        q = self.quantizer(self.encoder(x))
        log_p = self.likelihood.log_prob(x, self.decoder(q.z)).flatten(1).sum(1)
        return q.loss * q.z[0].numel() - log_p.mean()

    def encode(self, x: Float[Tensor, "b c h w"]) -> Int[Tensor, "b h2 w2"]:
        """The words of an image."""
        return self.quantizer(self.encoder(x)).codes

    def decode(self, codes: Int[Tensor, "b h2 w2"]) -> Float[Tensor, "b c h w"]:
        """The mean image that the words describe."""
        return self.likelihood.mean(self.decoder(self.quantizer.embed(codes)))


class VQVAE2(nn.Module):
    """Two levels: top words on a grid 8 times coarser than the image, bottom words on one 4 times coarser, chosen knowing the top ones.

    The top is asked first and carries what belongs together over long distances; the bottom adds what is missing.

    Args:
        channels: of an image, whose sides are divisible by 8.
        hidden, likelihood, codes, dim, beta, decay, revive: as for `VQVAE`; both levels have a codebook of this size.
        alone: share of training batches in which the bottom keeps silent (see `decode`), so that the top learns to say what it can. Where the bottom's grid is
            fine enough for everything, the decoder otherwise learns not to listen to the top. Not in the paper.

    Raises:
        ValueError: alone outside [0, 1], and what `VectorQuantizer` raises.

    Reference: Razavi, van den Oord, Vinyals 2019, "Generating diverse high-fidelity images with VQ-VAE-2", NeurIPS, algorithm 1.
    """

    def __init__(
        self, channels: int = 3, hidden: int = 64, *, likelihood: Any = None, codes: int = 128, dim: int = 16, beta: float = 0.25,
        decay: float | None = 0.99, revive: float = 1.0, alone: float = 0.0,
    ):
        super().__init__()
        if not 0 <= alone <= 1:
            raise ValueError(f"alone: expected a share from 0 to 1, got {alone}")
        self.alone = alone
        self.see_bottom, self.see_top = encoder(channels, hidden, 2), encoder(hidden, hidden, 1)
        self.ask_top, self.ask_bottom = nn.Conv2d(hidden, dim, 1), nn.Conv2d(2 * hidden, dim, 1)
        self.top = VectorQuantizer(codes, dim, beta=beta, decay=decay, revive=revive)
        self.bottom = VectorQuantizer(codes, dim, beta=beta, decay=decay, revive=revive)
        self.tell = decoder(dim, hidden, hidden, 1)  # what the top says, on the bottom's grid
        self.enlarge = nn.ConvTranspose2d(dim, dim, 2, stride=2)
        self.decoder = decoder(2 * dim, hidden, channels, 2)
        self.likelihood = likelihood or Bernoulli()

    def quantise(self, x: Float[Tensor, "b c h w"]) -> tuple[Quantised, Quantised]:
        """Both levels, top first."""
        features = self.see_bottom(x)
        top = self.top(self.ask_top(self.see_top(features)))
        bottom = self.bottom(self.ask_bottom(torch.cat([features, self.tell(top.z)], 1)))
        return top, bottom

    def loss(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """−log p(x|z_q) in nats per image, plus the quantisers' terms, per image too."""
        top, bottom = self.quantise(x)
        low = bottom.z
        if self.training and torch.rand(()) < self.alone:
            low = _average(self.bottom)[None, :, None, None].expand_as(low)
        out = self.decoder(torch.cat([self.enlarge(top.z), low], 1))
        log_p = self.likelihood.log_prob(x, out).flatten(1).sum(1)
        return sum(q.loss * q.z[0].numel() for q in (top, bottom)) - log_p.mean()

    def encode(self, x: Float[Tensor, "b c h w"]) -> tuple[Int[Tensor, "b h8 w8"], Int[Tensor, "b h4 w4"]]:
        """The words of an image, top and bottom."""
        top, bottom = self.quantise(x)
        return top.codes, bottom.codes

    def decode(self, top: Int[Tensor, "b h8 w8"] | None, bottom: Int[Tensor, "b h4 w4"] | None) -> Float[Tensor, "b c h w"]:
        """The mean image; with None for a level, what the other says alone: the silent one repeats its average word.

        Raises:
            ValueError: both None.
        """
        if top is None and bottom is None:
            raise ValueError("top, bottom: expected the codes of at least one level, got None twice")
        if top is None:
            b, h, w = bottom.shape  # type: ignore[union-attr]
            high = _average(self.top)[None, :, None, None].expand(b, -1, h // 2, w // 2)
        else:
            high = self.top.embed(top)
        if bottom is None:
            low = _average(self.bottom)[None, :, None, None].expand(len(high), -1, 2 * high.shape[2], 2 * high.shape[3])
        else:
            low = self.bottom.embed(bottom)
        return self.likelihood.mean(self.decoder(torch.cat([self.enlarge(high), low], 1)))


def _average(quantizer: VectorQuantizer) -> Tensor:
    """The mean word, each weighted by its use."""
    return (quantizer.count[:, None] * quantizer.codebook).sum(0) / quantizer.count.sum()
