"""Implicit maximum likelihood estimation: every datum gets a nearby sample, and pulls it closer.

A generator x = T(z), z ~ N(0, I), has no density to maximise. Draw a pool of samples; for each datum xᵢ find the sample nearest to it; move that sample:

    min_T  E_{z₁…z_m}[ Σᵢ minⱼ ‖xᵢ − T(zⱼ)‖² ]

The minimum is over *samples*, for each *datum*: no datum may be left out, so no mode can be dropped. The reverse, each sample to its nearest datum, is
satisfied by a generator that makes one datum for ever.

Reference: Li & Malik 2018, "Implicit Maximum Likelihood Estimation", arXiv:1809.09087.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Nearest(NamedTuple):
    """For each query: the row of the pool that is nearest (the first of equals), and the Euclidean distance to it."""

    index: Int[Tensor, " n"]
    distance: Float[Tensor, " n"]


@torch.no_grad()
def nearest(x: Float[Tensor, "n ..."], pool: Float[Tensor, "m ..."], *, chunk: int = 1 << 19) -> Nearest:
    """The exact nearest neighbour of each x in the pool.

    Matrix products find who can be nearest: ‖x − p‖² = ‖x‖² − 2 x·p + ‖p‖², fast, but off by rounding where close points lie far from the origin. So everyone
    within the rounding error's bound of the least is measured again by subtraction, and the least of those is taken. No gradient flows.

    Args:
        x: the queries; all but the first axis are one vector.
        pool: where to look, of the same shape but for the first axis.
        chunk: how many distances to hold at once.

    Raises:
        ValueError: an empty pool, shapes that differ, or values that are not finite.
    """
    if x.shape[1:] != pool.shape[1:]:
        raise ValueError(f"pool: expected rows of shape {tuple(x.shape[1:])} as in x, got {tuple(pool.shape[1:])}")
    if len(pool) == 0:
        raise ValueError("pool: expected at least one row, got none")
    for name, v in (("x", x), ("pool", pool)):
        if not torch.isfinite(v).all():
            raise ValueError(f"{name}: expected finite values")
    x, pool = x.flatten(1), pool.flatten(1)  # (n, d), (m, d)
    centre = pool.mean(0)  # the nearer to the origin, the smaller the rounding
    b = pool - centre
    b2, eps = b.square().sum(1), torch.finfo(x.dtype).eps
    found = []
    for rows in x.split(max(1, chunk // len(b))):
        a = rows - centre
        d2 = torch.addmm(b2, a, b.T, alpha=-2)  # ‖x − p‖² − ‖x‖²
        least = d2.amin(1, keepdim=True)
        slack = (x.shape[1] + 4) * eps * (a.norm(dim=1, keepdim=True) + b2.max().sqrt()).square()
        i, j = (d2 <= least + slack).nonzero(as_tuple=True)  # candidates, at least one a row, row after row
        found.append(_least(rows, pool, i, j))
    index, distance = (torch.cat(v) for v in zip(*found, strict=True))
    return Nearest(index, distance)


def _least(x: Tensor, pool: Tensor, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
    """Of the pairs (i, j), sorted by i and then j, the least distance for each i, and the first j that has it."""
    step = max(1, (1 << 22) // x.shape[1]) if x.shape[1] else len(i)
    d = torch.cat([(x[u] - pool[v]).norm(dim=1) for u, v in zip(i.split(step), j.split(step), strict=True)])
    best = d.new_full((len(x),), math.inf).scatter_reduce(0, i, d, "amin")
    j = torch.where(d == best[i], j, len(pool))
    return j.new_full((len(x),), len(pool)).scatter_reduce(0, i, j, "amin"), best


class IMLE(nn.Module):
    """Vanilla IMLE; train it with `gensr.train.fit`.

    A pool of samples is kept for `reuse` steps, then drawn anew. In between each datum keeps the sample that it picked when the pool was drawn, as in the
    paper's inner loop: the pool remembers what its samples were then. A pool kept too long matches by what they were long ago, and codes that no datum picked
    are never taught; one drawn anew at each step costs `pool` calls of the generator a step.

    Args:
        generator: (b, latent) -> (b, ...), what a datum looks like.
        latent: dimension k of z.
        pool: samples to choose among. With few, data must share one, and it is drawn to their mean; with many, most are picked by nobody, so nothing pulls
            them off the empty space between modes. About as many as data in a batch is a fair start.
        reuse: steps that one pool serves.

    Raises:
        ValueError: latent, pool or reuse below 1.

    Reference: Li & Malik 2018, algorithm 1.
    """

    z: Float[Tensor, "m k"]
    samples: Float[Tensor, "m ..."]
    step: Int[Tensor, ""]

    def __init__(self, generator: nn.Module, latent: int, *, pool: int = 256, reuse: int = 5):
        super().__init__()
        for name, value in (("latent", latent), ("pool", pool), ("reuse", reuse)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        self.generator, self.latent, self.reuse = generator, latent, reuse
        weight = next(generator.parameters())
        z = torch.zeros(pool, latent, device=weight.device, dtype=weight.dtype)
        was_training = generator.training
        with torch.no_grad():
            samples = generator.eval()(z)  # for its shape; the first step fills the pool
        generator.train(was_training)
        self.register_buffer("z", z)  # buffers, so that a resumed training goes on with the same pool
        self.register_buffer("samples", samples)
        self.register_buffer("step", torch.tensor(0))

    @torch.no_grad()
    def draw(self) -> None:
        """A new pool."""
        self.z.normal_()
        self.samples.copy_(self.generator(self.z))

    def loss(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        """½‖x − T(z)‖² to the sample that each datum picks, summed over its values, averaged over the batch.

        Each call counts one step of the reuse schedule.
        """
        if self.step % self.reuse == 0:
            self.draw()
        self.step += 1
        z = self.z[nearest(x, self.samples).index]  # one for each datum
        return 0.5 * (x - self.generator(z)).square().flatten(1).sum(1).mean()

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n ..."]:
        """Draw z from its prior and show what the generator makes of it."""
        return self.generator(torch.randn(n, *self.z.shape[1:], device=self.z.device, dtype=self.z.dtype))

    def project(self, x: Float[Tensor, "b ..."], steps: int = 200, lr: float = 0.05) -> Float[Tensor, "b k"]:
        """The z whose sample is nearest to x, so far as gradient descent finds it: what the model has for a datum it never saw.

        Adam on ½‖x − T(z)‖², from the nearest of a fresh pool; of all the steps, the best z of each datum is given. The weights stay as they are.

        Raises:
            ValueError: negative steps.
        """
        if steps < 0:
            raise ValueError(f"steps: expected at least 0, got {steps}")
        with torch.no_grad():
            z = torch.randn_like(self.z)
            z = z[nearest(x, self.generator(z)).index]  # (b, k)
        z.requires_grad_(True)
        best, least = z.detach().clone(), torch.full((len(x),), math.inf).to(z)
        adam = torch.optim.Adam([z], lr=lr)
        for step in range(steps + 1):
            with torch.enable_grad():
                error = 0.5 * (x - self.generator(z)).square().flatten(1).sum(1)  # (b,)
                (z.grad,) = torch.autograd.grad(error.sum(), z)
            better = error.detach() < least
            best[better], least[better] = z.detach()[better], error.detach()[better]
            if step < steps:
                adam.step()
        return best
