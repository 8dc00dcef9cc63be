"""The variational autoencoder: a latent variable model, and an encoder trained with it to invert it.

    p(z) = N(0, I),   p(x|z) from a decoder,   q(z|x) = N(mu(x), diag sigma²(x)) from an encoder
    log p(x) ≥ ELBO(x) = E_q[log p(x|z)] − KL[q(z|x) ‖ p(z)]

Reference: Kingma & Welling 2014, "Auto-Encoding Variational Bayes", ICLR; Rezende, Mohamed, Wierstra 2014.
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gensr.densities import kl_normal, normal_log_prob
from gensr.likelihoods import Bernoulli
from gensr.nets import MLP


class Elbo(NamedTuple):
    """The two terms of the bound, in nats per image: E_q[log p(x|z)] and KL[q(z|x) ‖ p(z)]."""

    reconstruction: Float[Tensor, " b"]
    kl: Float[Tensor, " b"]

    @property
    def total(self) -> Float[Tensor, " b"]:
        """The bound itself: reconstruction − kl ≤ log p(x)."""
        return self.reconstruction - self.kl


class VAE(nn.Module):
    """A VAE with a diagonal Gaussian encoder, a standard normal prior and a decoder for p(x|z).

    Args:
        shape: of one image, (c, h, w).
        latent: dimension k of z.
        hidden: width of the two hidden layers of the default encoder and decoder.
        likelihood: what the decoder's output means: one of `gensr.likelihoods`; `Bernoulli()` by default.
        encoder: another network, (b, c, h, w) -> (b, 2k): mu, then logvar.
        decoder: another network, (b, k) -> what the likelihood reads.
        beta: weight of the KL term in the loss; 1 gives the bound, larger values the β-VAE (Higgins et al. 2017).

    Raises:
        ValueError: latent below 1, or a negative beta.
    """

    likelihood: Any  # has log_prob(x, output), mean(output) and sample(output)

    def __init__(
        self, shape: tuple[int, int, int] | list[int] = (1, 8, 8), latent: int = 8, hidden: int = 256, *, likelihood: nn.Module | None = None,
        encoder: nn.Module | None = None, decoder: nn.Module | None = None, beta: float = 1.0,
    ):
        super().__init__()
        if latent < 1:
            raise ValueError(f"latent: expected at least 1, got {latent}")
        if beta < 0:
            raise ValueError(f"beta: expected at least 0, got {beta}")
        self.latent, self.beta = latent, beta
        d = math.prod(shape)
        self.encoder = encoder or nn.Sequential(nn.Flatten(), MLP(d, hidden, hidden, 2 * latent))
        self.decoder = decoder or nn.Sequential(MLP(latent, hidden, hidden, d), nn.Unflatten(1, shape))
        self.likelihood = likelihood or Bernoulli()

    def encode(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """Mean and log-variance of q(z|x)."""
        mu, logvar = self.encoder(x).chunk(2, 1)
        return mu, logvar

    def decode(self, z: Float[Tensor, "b k"]) -> Float[Tensor, "b c h w"]:
        """The mean image E[x|z]."""
        return self.likelihood.mean(self.decoder(z))

    def elbo(self, x: Float[Tensor, "b c h w"]) -> Elbo:
        """A one-sample estimate of the evidence lower bound; the KL term is exact.

        Reference: Kingma & Welling 2014, eq. 10.
        """
        mu, logvar = self.encode(x)  # (b, k) each
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)  # z ~ q(z|x), and gradients reach mu and logvar
        log_p = self.likelihood.log_prob(x, self.decoder(z))  # (b, c, h, w)
        return Elbo(log_p.flatten(1).sum(1), kl_normal(mu, logvar).sum(1))

    def loss(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """Minus the bound, summed over pixels and latents, averaged over the batch; with β on the KL term."""
        e = self.elbo(x)
        return (self.beta * e.kl - e.reconstruction).mean()

    def iw_bound(self, x: Float[Tensor, "b c h w"], samples: int = 64) -> Float[Tensor, " b"]:
        """The importance-weighted bound log (1/K) Σ p(x, z_k)/q(z_k|x), z_k ~ q(z|x), in nats per image.

        Its expectation is the ELBO for K = 1, grows with K, and tends to log p(x). Gradients pass: minus its mean is the loss of the importance-weighted
        autoencoder.

        Raises:
            ValueError: samples below 1.

        Reference: Burda, Grosse, Salakhutdinov 2016, §3.
        """
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        mu, logvar = self.encode(x)
        log_w = []
        for _ in range(samples):
            z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
            log_p = self.likelihood.log_prob(x, self.decoder(z)).flatten(1).sum(1) + normal_log_prob(z, 0.0, 0.0).sum(1)
            log_w.append(log_p - normal_log_prob(z, mu, logvar).sum(1))
        return torch.stack(log_w).logsumexp(0) - math.log(samples)

    @torch.no_grad()
    def active_units(self, x: Float[Tensor, "b c h w"], threshold: float = 0.01) -> Bool[Tensor, " k"]:
        """Which latents say anything of these images: those whose mean moves with x, Var_x(mu_j(x)) > threshold. All False: the posterior has collapsed.

        Raises:
            ValueError: fewer than 2 images, which have no variance.

        Reference: Burda, Grosse, Salakhutdinov 2016, §5.2.
        """
        if len(x) < 2:
            raise ValueError(f"x: expected at least 2 images, got {len(x)}")
        return self.encode(x)[0].var(0) > threshold

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n c h w"]:
        """Draw z from the prior, then x from p(x|z): the pixel noise of the likelihood is part of the model. `decode` gives the noiseless mean."""
        weight = next(self.parameters())
        return self.likelihood.sample(self.decoder(torch.randn(n, self.latent, device=weight.device, dtype=weight.dtype)))


class LinearVAE(nn.Module):
    """Both networks linear: x = m + W z + σ n, and q(z|x) = N(V (x − m), diag s²). The bound and log p(x) have closed forms, so both are exact.

    The best W spans the leading principal components: this VAE is probabilistic PCA, and at the optimum the bound touches log p(x).

    Args:
        dims: D, the number of pixels.
        latent: k.

    Reference: Tipping & Bishop 1999; Lucas, Tucker, Grosse, Norouzi 2019.
    """

    def __init__(self, dims: int, latent: int):
        super().__init__()
        if not 1 <= latent < dims:
            raise ValueError(f"latent: expected 1 to {dims - 1}, got {latent}")
        self.mean = nn.Parameter(torch.zeros(dims))  # m
        self.W = nn.Parameter(torch.randn(dims, latent) * 0.1)
        self.V = nn.Parameter(torch.randn(latent, dims) * 0.1)
        self.log_s2 = nn.Parameter(torch.zeros(latent))
        self.log_sigma2 = nn.Parameter(torch.tensor(0.0))

    @classmethod
    def optimum(cls, x: Float[Tensor, "n ..."], latent: int) -> "LinearVAE":
        """The maximum-likelihood model of the data, from the eigenvectors u and eigenvalues λ of its covariance.

        wⱼ = √(λⱼ − σ²) uⱼ with σ² the mean of the discarded λ; and q(z|x) is the exact posterior: vⱼ = wⱼ/λⱼ, sⱼ² = σ²/λⱼ.

        Reference: Tipping & Bishop 1999, §3.2.
        """
        x = x.flatten(1)
        model = cls(x.shape[1], latent).to(x)
        lam, u = torch.linalg.eigh((x - x.mean(0)).T @ (x - x.mean(0)) / len(x))  # ascending
        lam, u = lam.flip(0), u.flip(1)
        sigma2 = lam[latent:].mean().clamp(min=1e-12)
        W = u[:, :latent] * (lam[:latent] - sigma2).clamp(min=0).sqrt()  # (d, k)
        for parameter, value in ((model.mean, x.mean(0)), (model.W, W), (model.V, (W / lam[:latent]).T)):
            parameter.data.copy_(value)
        model.log_s2.data.copy_((sigma2 / lam[:latent]).log())
        model.log_sigma2.data.copy_(sigma2.log())
        return model

    def elbo(self, x: Float[Tensor, "b ..."]) -> Elbo:
        """The exact bound: E_q‖x − m − W z‖² = ‖x − m − W mu‖² + Σⱼ sⱼ² ‖wⱼ‖²."""
        x = x.flatten(1) - self.mean  # (b, d)
        mu = x @ self.V.T  # (b, k)
        error = (x - mu @ self.W.T).square().sum(1) + (self.log_s2.exp() * self.W.square().sum(0)).sum()
        reconstruction = -0.5 * (x.shape[1] * (math.log(2 * math.pi) + self.log_sigma2) + error * (-self.log_sigma2).exp())
        return Elbo(reconstruction, kl_normal(mu, self.log_s2).sum(1))

    def loss(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        return -self.elbo(x).total.mean()

    def log_prob(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
        """Exact log N(x; m, W Wᵀ + σ² I), in nats per image."""
        x = x.flatten(1)
        cov = self.W @ self.W.T + self.log_sigma2.exp() * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        return torch.distributions.MultivariateNormal(self.mean, cov).log_prob(x)

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Draw z from the prior and x from p(x|z)."""
        mean = self.mean + torch.randn(n, self.W.shape[1]).to(self.W) @ self.W.T
        return mean + (0.5 * self.log_sigma2).exp() * torch.randn_like(mean)
