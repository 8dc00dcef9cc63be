"""Bayesian neural networks: not one value for each weight but a distribution, learned by variational inference.

    posterior   p(w|D) ∝ p(D|w) p(w),      predictive   p(y|x, D) = E_{p(w|D)}[p(y|x, w)]
    log p(D) = KL[q(w) ‖ p(w|D)] + E_q[log p(D|w)] − KL[q(w) ‖ p(w)]

The last two terms are the ELBO: the larger it is, the nearer q to the posterior. With a minibatch of B of the N data,

    ELBO ≈ N/B · Σ_{i in the batch} E_q[log p(yᵢ|xᵢ, w)] − KL[q(w) ‖ p(w)]        (unbiased: the weight is N over the batch size, on the data's term alone)

Reference: Hinton & van Camp 1993, "Keeping neural networks simple by minimizing the description length of the weights"; Graves 2011;
Blundell, Cornebise, Kavukcuoglu, Wierstra 2015, "Weight uncertainty in neural networks".
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gensr.densities import kl_normal, normal_log_prob

LogLikelihood = Callable[[Tensor, Tensor], Tensor]


class Elbo(NamedTuple):
    """The two terms of the bound for the whole data set, in nats: N/B · Σ E_q[log p(y|x, w)], estimated from a batch, and KL[q(w) ‖ p(w)]."""

    reconstruction: Float[Tensor, ""]
    kl: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """The bound itself: reconstruction − kl ≤ log p(D)."""
        return self.reconstruction - self.kl


class Gaussian:
    """The prior N(0, σ²) on each weight; its KL from a Gaussian q has a closed form.

    Raises:
        ValueError: sigma not positive.
    """

    def __init__(self, sigma: float = 1.0):
        if not sigma > 0:
            raise ValueError(f"sigma: expected a positive number, got {sigma}")
        self.sigma = sigma

    def kl(self, mu: Float[Tensor, "..."], sigma: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Σ KL[N(μ, σ²) ‖ prior], exact."""
        return kl_normal(mu, 2 * sigma.log(), 0.0, 2 * math.log(self.sigma)).sum()


class ScaleMixture:
    """The prior π N(0, σ₁²) + (1 − π) N(0, σ₂²) on each weight: a narrow peak at zero for the weights not needed, wide tails for those that are.

    Raises:
        ValueError: pi outside [0, 1], or a sigma not positive.

    Reference: Blundell et al. 2015, §3.3.
    """

    def __init__(self, pi: float = 0.5, sigma1: float = 1.0, sigma2: float = math.exp(-6)):
        if not 0 <= pi <= 1:
            raise ValueError(f"pi: expected 0 to 1, got {pi}")
        if not (sigma1 > 0 and sigma2 > 0):
            raise ValueError(f"sigma1, sigma2: expected positive numbers, got {sigma1} and {sigma2}")
        self.log_weights = torch.tensor([pi, 1 - pi]).log()
        self.logvars = 2 * torch.tensor([sigma1, sigma2]).log()

    def log_prob(self, w: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """One value in nats for each weight."""
        w = w[..., None]
        return (self.log_weights.to(w) + normal_log_prob(w, 0.0, self.logvars.to(w))).logsumexp(-1)

    def kl(self, mu: Float[Tensor, "..."], sigma: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Σ log q(w) − log p(w) at one draw w ~ q: an unbiased estimate, for there is no closed form.

        Reference: Blundell et al. 2015, eq. 2.
        """
        w = mu + sigma * torch.randn_like(mu)
        return (normal_log_prob(w, mu, 2 * sigma.log()) - self.log_prob(w)).sum()


class BayesianLinear(nn.Module):
    """x W^T + b with a Gaussian for each weight and bias: w = μ + σ ε, σ = log(1 + e^ρ).

    Args:
        n_in, n_out: sizes.
        prior: `Gaussian()` or `ScaleMixture()`, or anything with kl(mu, sigma).
        sigma: of each weight at the start; small, so that learning begins as with a plain network.
        local: draw the outputs instead of the weights. That of a row of Gaussian weights is Gaussian, x·μ with variance x²·σ², so each datum can have its own
            draw at the price of two products, and the gradient is less noisy.

    Raises:
        ValueError: sigma not positive.

    Reference: Blundell et al. 2015, §3.2; Kingma, Salimans, Welling 2015 (local reparameterisation).
    """

    def __init__(self, n_in: int, n_out: int, *, prior: Any = None, sigma: float = 0.05, local: bool = False):
        super().__init__()
        if not sigma > 0:
            raise ValueError(f"sigma: expected a positive number, got {sigma}")
        self.prior, self.local = prior or Gaussian(), local
        bound = 1 / math.sqrt(n_in)
        self.mu = nn.Parameter(torch.empty(n_out, n_in + 1).uniform_(-bound, bound))  # the last column is the bias
        self.rho = nn.Parameter(torch.full((n_out, n_in + 1), math.log(math.expm1(sigma))))

    @property
    def sigma(self) -> Float[Tensor, "m n"]:
        """Standard deviation of each weight."""
        return F.softplus(self.rho)

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """The layer with weights drawn anew: one draw for the whole batch, or one a datum if `local`."""
        x = F.pad(x, (0, 1), value=1.0)  # (b, n + 1): the bias reads a 1
        if self.local:
            variance = x.square() @ self.sigma.square().T  # (b, m)
            return x @ self.mu.T + variance.sqrt() * torch.randn_like(variance)
        return x @ (self.mu + self.sigma * torch.randn_like(self.mu)).T

    def kl(self) -> Float[Tensor, ""]:
        """KL[q(w) ‖ p(w)] of all weights of the layer, in nats."""
        return self.prior.kl(self.mu, self.sigma)


class FullCovarianceLinear(nn.Module):
    """x W^T + b with one Gaussian for all d = m (n + 1) weights and biases together: w = μ + L ε, L lower triangular, so that weights may be correlated.

    It takes d (d + 1)/2 numbers for L where `BayesianLinear` takes d for σ: for a million weights, half a million millions.

    Args:
        n_in, n_out, sigma, local: as for `BayesianLinear`.
        prior: standard deviation of the Gaussian prior on each weight.

    Raises:
        ValueError: prior or sigma not positive.

    Reference: Barber & Bishop 1998, "Ensemble learning in Bayesian neural networks".
    """

    def __init__(self, n_in: int, n_out: int, *, prior: float = 1.0, sigma: float = 0.05, local: bool = False):
        super().__init__()
        if not (prior > 0 and sigma > 0):
            raise ValueError(f"prior, sigma: expected positive numbers, got {prior} and {sigma}")
        d, bound = n_out * (n_in + 1), 1 / math.sqrt(n_in)
        self.prior, self.local = prior, local
        self.mu = nn.Parameter(torch.empty(n_out, n_in + 1).uniform_(-bound, bound))  # the last column is the bias
        self.rho = nn.Parameter(torch.full((d,), math.log(math.expm1(sigma))))
        self.below = nn.Parameter(torch.zeros(d, d))  # only what is below the diagonal counts

    @property
    def factor(self) -> Float[Tensor, "d d"]:
        """L; the covariance of the weights, taken row by row, is L Lᵀ."""
        return self.below.tril(-1) + F.softplus(self.rho).diag()

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """The layer with weights drawn anew: one draw for the whole batch, or one for each datum if `local`."""
        x = F.pad(x, (0, 1), value=1.0)  # (b, n + 1)
        eps = torch.randn(len(x) if self.local else 1, len(self.rho)).to(x)
        w = self.mu + (eps @ self.factor.T).view(-1, *self.mu.shape)  # (b or 1, m, n + 1)
        return (w @ x[..., None])[..., 0]

    def kl(self) -> Float[Tensor, ""]:
        """KL[q(w) ‖ p(w)] = ½ (‖L‖² + ‖μ‖²)/s² − Σ log Lᵢᵢ + d (log s − ½), in nats."""
        squares = (self.factor.square().sum() + self.mu.square().sum()) / self.prior**2
        return 0.5 * squares - F.softplus(self.rho).log().sum() + len(self.rho) * (math.log(self.prior) - 0.5)


class BayesianMLP(nn.Module):
    """Bayes by Backprop: an MLP of `BayesianLinear` layers, trained with `gensr.train.fit` to maximise the ELBO.

    Args:
        sizes: of the layers, inputs first.
        data: N, the number of training data; the batch is weighted by N/B.
        log_likelihood: (output (b, m), y) -> (b,), log p(y|x, w) in nats: `categorical`, `gaussian(sigma)`, or your own.
        prior, sigma, local: as for `BayesianLinear`.

    Raises:
        ValueError: fewer than two sizes, or data below 1.

    Reference: Blundell et al. 2015, §3.
    """

    def __init__(self, *sizes: int, data: int, log_likelihood: LogLikelihood, prior: Any = None, sigma: float = 0.05, local: bool = False):
        super().__init__()
        if len(sizes) < 2:
            raise ValueError(f"sizes: expected at least two, got {sizes}")
        if data < 1:
            raise ValueError(f"data: expected at least 1, got {data}")
        self.layers = nn.ModuleList(BayesianLinear(a, b, prior=prior, sigma=sigma, local=local) for a, b in itertools.pairwise(sizes))
        self.data, self.log_likelihood = data, log_likelihood

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """The network with one draw of its weights, ReLU between the layers."""
        *hidden, last = self.layers
        for layer in hidden:
            x = layer(x).relu()
        return last(x)

    def elbo(self, x: Float[Tensor, "b n"], y: Tensor) -> Elbo:
        """The bound on log p(D) for all N data, estimated from this batch and one draw of the weights.

        Reference: Blundell et al. 2015, eq. 8, whose weight 1/M on the KL term is that of batches: here the sum is over data, so theirs times M.
        """
        log_p = self.log_likelihood(self(x), y)  # (b,)
        return Elbo(self.data / len(x) * log_p.sum(), sum(layer.kl() for layer in self.layers))  # type: ignore[arg-type, operator]

    def loss(self, x: Float[Tensor, "b n"], y: Tensor) -> Float[Tensor, ""]:
        """−ELBO/N, in nats per datum: the same minimum, and a learning rate that does not depend on N."""
        return -self.elbo(x, y).total / self.data

    @torch.no_grad()
    def predict(self, x: Float[Tensor, "b n"], samples: int = 100) -> Float[Tensor, "samples b m"]:
        """Outputs under so many draws of the weights. Average *probabilities* over them, not outputs: p(y|x, D) = E_q[p(y|x, w)].

        Raises:
            ValueError: samples below 1.
        """
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        return torch.stack([self(x) for _ in range(samples)])


def categorical(out: Float[Tensor, "b m"], y: Tensor) -> Float[Tensor, " b"]:
    """log softmax(out)[y], for class labels y (b,)."""
    return -F.cross_entropy(out, y, reduction="none")


def gaussian(sigma: float) -> LogLikelihood:
    """log N(y; out, σ²), summed over the outputs; y (b, m).

    Raises:
        ValueError: sigma not positive.
    """
    if not sigma > 0:
        raise ValueError(f"sigma: expected a positive number, got {sigma}")
    return lambda out, y: normal_log_prob(y, out, 2 * math.log(sigma)).sum(1)


class HintonVanCamp(nn.Module):
    """One hidden layer, Gaussian weights, linear outputs, no sampling: the expected squared error is exact (Hinton & van Camp 1993).

    Given x, the input of hidden unit j is Gaussian, N(mⱼ, sⱼ²) with m = x·μ and s² = x²·σ². With h = relu, and φ, Φ of the unit normal,

        E[h] = m Φ(m/s) + s φ(m/s),      E[h²] = (m² + s²) Φ(m/s) + m s φ(m/s)

    Different units read different weights, so they are independent, and out = Σⱼ vⱼ hⱼ + c has

        mean Σⱼ E[vⱼ] E[hⱼ] + E[c],      variance Σⱼ (E[vⱼ²] E[hⱼ²] − E[vⱼ]² E[hⱼ]²) + Var[c]

    which is all that E_q[log N(y; out, σ_y²)] needs. (The paper used logistic units and a table of their moments; the rectifier needs none.)

    Args:
        n_in, hidden, n_out: sizes.
        data: N, the number of training data.
        noise: σ_y, of the outputs given the network.
        prior: standard deviation of the Gaussian prior on each weight.
        sigma: of each weight at the start.

    Raises:
        ValueError: data below 1, or noise not positive.
    """

    def __init__(self, n_in: int, hidden: int, n_out: int = 1, *, data: int, noise: float = 0.1, prior: float = 1.0, sigma: float = 0.05):
        super().__init__()
        if data < 1:
            raise ValueError(f"data: expected at least 1, got {data}")
        if not noise > 0:
            raise ValueError(f"noise: expected a positive number, got {noise}")
        self.first = BayesianLinear(n_in, hidden, prior=Gaussian(prior), sigma=sigma)
        self.second = BayesianLinear(hidden, n_out, prior=Gaussian(prior), sigma=sigma)
        self.data, self.noise = data, noise

    def moments(self, x: Float[Tensor, "b n"]) -> tuple[Float[Tensor, "b m"], Float[Tensor, "b m"]]:
        """Mean and variance of the output over q(w), exact."""
        x = F.pad(x, (0, 1), value=1.0)
        m, s = x @ self.first.mu.T, (x.square() @ self.first.sigma.square().T).sqrt()  # (b, hidden)
        t = m / s
        phi, Phi = (-0.5 * t.square()).exp() / math.sqrt(2 * math.pi), torch.special.ndtr(t)
        h1 = F.pad(m * Phi + s * phi, (0, 1), value=1.0)  # E[h], and 1 for the bias
        h2 = F.pad((m.square() + s.square()) * Phi + m * s * phi, (0, 1), value=1.0)  # E[h²]
        v1, v2 = self.second.mu, self.second.mu.square() + self.second.sigma.square()  # E[v], E[v²]
        return h1 @ v1.T, h2 @ v2.T - h1.square() @ v1.square().T

    def elbo(self, x: Float[Tensor, "b n"], y: Float[Tensor, "b m"]) -> Elbo:
        """The bound, with no noise but the choice of the batch: E_q[(y − out)²] = (y − mean)² + variance."""
        mean, variance = self.moments(x)
        log_p = normal_log_prob(y, mean, 2 * math.log(self.noise)) - variance / (2 * self.noise**2)
        return Elbo(self.data / len(x) * log_p.sum(), self.first.kl() + self.second.kl())

    def loss(self, x: Float[Tensor, "b n"], y: Float[Tensor, "b m"]) -> Float[Tensor, ""]:
        """−ELBO/N, in nats per datum."""
        return -self.elbo(x, y).total / self.data
