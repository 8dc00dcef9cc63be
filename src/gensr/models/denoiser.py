"""The denoising autoencoder: who can take noise away knows where the density rises.

Reference: Alain & Bengio 2014, "What regularized auto-encoders learn from the data-generating distribution", JMLR 15.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DAE(nn.Module):
    """f(x) = x + σ·network(x), trained to undo noise of deviation σ.

    Let x̃ = x + σn with x ~ p and n ~ N(0, I), so that x̃ has the blurred density p_σ(x̃) = ∫ p(x) N(x̃; x, σ²I) dx. Of all functions the one with the least
    E‖f(x̃) − x‖² is the posterior mean E[x|x̃]. With ∇N(x̃; x, σ²I) = N(x̃; x, σ²I) (x − x̃)/σ², differentiation under the integral gives

        ∇log p_σ(x̃) = ∫ p(x) ∇N(x̃; x, σ²I) dx / p_σ(x̃) = (E[x|x̃] − x̃)/σ²

    so (f(x) − x)/σ² is an estimate of the score of p_σ: exact for the best f at every σ, and the score of p itself as σ → 0. No density was ever evaluated.

    Args:
        network: (b, ...) -> (b, ...); it learns −E[n|x̃], noise of deviation 1 whatever σ. For a range of levels it gets log σ as one more entry of axis 1:
            points (b, n + 1) -> (b, n), images (b, c + 1, h, w) -> (b, c, h, w).
        sigma: σ in the units of x; or a pair (low, high), and one network learns all levels between.

    Raises:
        ValueError: sigma not positive, or low not below high; a network whose answers have not the shape of x.

    Reference: Alain & Bengio 2014, theorem 1 (σ → 0); Miyasawa 1961 and Robbins 1956 (every σ, "Tweedie's formula").
    """

    def __init__(self, network: nn.Module, sigma: float | tuple[float, float] = 0.3):
        super().__init__()
        low, high = sigma if isinstance(sigma, tuple) else (sigma, sigma)
        if not 0 < low <= high < math.inf or (isinstance(sigma, tuple) and low == high):
            raise ValueError(f"sigma: expected a positive number or a pair low < high of them, got {sigma}")
        self.network, self.low, self.high = network, low, high

    def loss(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        """E‖f(x + σn) − x‖²/σ²; with a range, log σ is uniform in it, and the division makes all levels count alike."""
        u = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device, dtype=x.dtype)
        sigma = self.low * (self.high / self.low) ** u  # (b, 1, ...)
        noisy = x + sigma * torch.randn_like(x)
        return ((self._denoise(noisy, sigma) - x) / sigma).square().flatten(1).sum(1).mean()

    def forward(self, x: Float[Tensor, "b ..."], sigma: float | None = None) -> Float[Tensor, "b ..."]:
        """f(x), the estimate of E[x|x̃]; `sigma` picks the level where the network knows several, the lowest by default."""
        return self._denoise(x, self._level(x, sigma))

    def score(self, x: Float[Tensor, "b ..."], sigma: float | None = None) -> Float[Tensor, "b ..."]:
        """(f(x) − x)/σ², the estimate of ∇log p_σ(x), in nats per unit of x.

        Raises:
            ValueError: a sigma the network was not trained for.
        """
        sigma_ = self._level(x, sigma)
        return (self._denoise(x, sigma_) - x) / sigma_**2

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        seen = x if self.low == self.high else torch.cat([x, sigma.log().expand_as(x[:, :1])], 1)
        noise = self.network(seen)
        if noise.shape != x.shape:
            raise ValueError(f"network: expected an answer of the shape {tuple(x.shape)}, got {tuple(noise.shape)}")
        return x + sigma * noise

    def _level(self, x: Tensor, sigma: float | None) -> Tensor:
        value = self.low if sigma is None else sigma
        if not self.low * (1 - 1e-6) <= value <= self.high * (1 + 1e-6):
            raise ValueError(f"sigma: expected a level between {self.low} and {self.high}, got {sigma}")
        return torch.full((len(x), *[1] * (x.dim() - 1)), float(value), device=x.device, dtype=x.dtype)
