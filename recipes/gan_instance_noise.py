"""Train GANs on a ring of eight Gaussians with and without annealed instance noise, ten seeds each, and measure what the noise is worth.

    OMP_NUM_THREADS=1 python recipes/gan_instance_noise.py

Stop it at will: finished runs stand in runs/gan_instance_noise.jsonl and are not repeated.
Writes book/chapters/measured/gan_*.json with this command and its cost.

Both arms are equal in everything but the noise: nets, seeds, steps, rates. The noise falls in a straight line to 0 at 60 % of the steps.
Settings were chosen on other seeds than those measured here, 200 to 209; "KL, very strong critic" was added after the other four had been measured.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from common import ROOT, RUNS
from gensr.claims import Claim, claim
from gensr.data.toy2d import EightGaussians, grid
from gensr.models.gan import GAN, Losses, anneal, kl, least_squares, non_saturating, relativistic_average, saturating
from gensr.train import cosine, fit_gan

MEASURED, LOG = ROOT / "book" / "chapters" / "measured", RUNS / "gan_instance_noise.jsonl"
SEEDS = range(200, 210)


class Setting(NamedTuple):
    losses: Callable[[Tensor, Tensor], Losses]
    sigma: float  # of each mode; the ring has radius 2
    critic_steps: int
    steps: int
    hidden: int = 128
    batch: int = 256
    lr: float = 1e-3
    noise: float = 0.3  # of the arm that has noise


SETTINGS = {  # with and without noise, all seeds
    "non-saturating": Setting(non_saturating, 0.05, 1, 2000),
    "saturating, strong critic": Setting(saturating, 0.05, 5, 700),
    "KL, strong critic": Setting(kl, 0.05, 5, 700),
    "KL, very strong critic": Setting(kl, 0.05, 10, 300, hidden=64, batch=128, lr=2e-3, noise=0.5),
    "non-saturating, wide modes": Setting(non_saturating, 0.1, 1, 2000),
}
LOSSES = {  # without noise, five seeds: what each loss does to the modes
    "saturating": Setting(saturating, 0.05, 1, 2000),
    "KL": Setting(kl, 0.05, 1, 2000),
    "least squares": Setting(least_squares, 0.05, 1, 2000),
    "relativistic": Setting(relativistic_average, 0.05, 1, 2000),
}
RUNS_TO_DO = [(n, s, seed, noise) for n, s in SETTINGS.items() for seed in SEEDS for noise in (0.0, s.noise)] + [
    (n, s, seed, 0.0) for n, s in LOSSES.items() for seed in SEEDS[:5]
]


class Stream:
    """Batches without end."""

    def __init__(self, toy: EightGaussians, batch: int):
        self.toy, self.batch = toy, batch

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            yield self.toy.sample(self.batch)


def net(*sizes: int) -> nn.Sequential:
    layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers[:-1])


def score(x: Tensor, toy: EightGaussians, blur: float = 0.05, extent: float = 3.5, cells: int = 600) -> dict[str, float]:
    """How far samples x (n, 2) are from the toy.

    Both densities are blurred by a Gaussian of deviation `blur`, p exactly, q as a filtered histogram; a sample off the square counts at its edge.
    "kl": KL[q ‖ p] in nats. "forward": KL[p ‖ q'], where q' is q with every hundredth sample spread over the square, so that it stays finite.
    A mode is covered when at least 2 % of the samples lie within 3σ of it (its share is 12.5 %); quality is the share of samples within 3σ of any mode.
    """
    width = 2 * extent / cells
    inside = x.double().clamp(-extent, extent).numpy()
    counts, _, _ = np.histogram2d(inside[:, 1], inside[:, 0], bins=cells, range=[[-extent, extent]] * 2)  # rows by the second coordinate, as `grid` has them
    q = torch.from_numpy(gaussian_filter(counts / len(x) / width**2, blur / width, mode="constant", truncate=8)).flatten()
    log_p = EightGaussians(sigma=(toy.sigma**2 + blur**2) ** 0.5).log_prob(grid(extent, cells)[0])
    reverse = float((torch.xlogy(q, q) - q * log_p).sum()) * width**2
    forward = float((log_p.exp() * (log_p - (0.99 * q + 0.01 / (2 * extent) ** 2).log())).sum()) * width**2
    distance, mode = torch.cdist(x.double(), toy.centres).min(1)
    good = distance < 3 * toy.sigma
    share = torch.bincount(mode[good], minlength=8) / len(x)
    return {"kl": reverse, "forward": forward, "modes": int((share >= 0.02).sum()), "quality": float(good.double().mean())}


def train(setting: Setting, noise: float, seed: int) -> dict[str, float]:
    torch.manual_seed(seed)
    toy = EightGaussians(sigma=setting.sigma)
    sigma = anneal(noise, round(0.6 * setting.steps))
    model = GAN(net(2, setting.hidden, setting.hidden, 2), net(2, setting.hidden, setting.hidden, 1), 2, losses=setting.losses, sigma=sigma)
    start = time.process_time()
    lr = cosine(setting.lr, setting.steps)
    fit_gan(model, Stream(toy, setting.batch), steps=setting.steps, lr=lr, critic_steps=setting.critic_steps, progress=False)
    torch.manual_seed(seed + 10_000)
    return {**score(model.sample(100_000), toy), "seconds": time.process_time() - start}


def spread(plain: np.ndarray, noisy: np.ndarray, statement: str) -> Claim:
    """Standard deviation over seeds with noise, divided by that without; 95 % interval from 10,000 bootstrap draws of the seeds, each arm by itself."""
    draw = np.random.default_rng(0).integers(len(plain), size=(2, 10_000, len(plain)))
    ratios = noisy[draw[0]].std(1, ddof=1) / plain[draw[1]].std(1, ddof=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Claim(statement, float(noisy.std(ddof=1) / plain.std(ddof=1)), float(low), float(high), len(plain), None, 1.0)


def main() -> None:
    RUNS.mkdir(exist_ok=True)
    MEASURED.mkdir(exist_ok=True)
    for name, setting, seed, noise in RUNS_TO_DO:
        if (name, noise, seed) not in finished():
            row = {"setting": name, "noise": noise, "seed": seed, **train(setting, noise, seed)}
            with LOG.open("a", encoding="utf-8") as f:
                f.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(row, flush=True)
    publish(finished())


def finished() -> dict[tuple, dict[str, Any]]:
    lines = LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else []
    return {(r["setting"], r["noise"], r["seed"]): r for r in map(json.loads, lines)}


def publish(done: dict[tuple, dict[str, Any]]) -> None:
    command, cost = " ".join(["python", *sys.argv]), f"{sum(r['seconds'] for r in done.values()) / 60:.0f} min of one core in all"
    rows = []
    for name, setting in (SETTINGS | LOSSES).items():
        for noise in (0.0, setting.noise):
            arm = [done[name, noise, seed] for seed in SEEDS if (name, noise, seed) in done]
            if arm:
                fields = {key: np.array([r[key] for r in arm]) for key in ("kl", "forward", "quality")}
                means = {key: round(float(v.mean()), 3) for key, v in fields.items()}
                deviations = {key + "_std": round(float(v.std(ddof=1)), 3) for key, v in fields.items()}
                rows.append({"setting": name, "sigma": setting.sigma, "noise": noise, **means, **deviations, "modes": [r["modes"] for r in arm]})
    for name, setting in SETTINGS.items():
        where = f"ring of eight Gaussians, σ = {setting.sigma:g}, {name.split(',')[0]} loss, critic steps {setting.critic_steps}:1"
        slug = name.replace(", ", "_").replace(" ", "_").replace("-", "_").lower()
        for key, divergence in {"kl": "KL[q‖p]", "forward": "KL[p‖q]"}.items():
            plain, noisy = (np.array([done[name, noise, seed][key] for seed in SEEDS]) for noise in (0.0, setting.noise))
            gain = claim(
                f"Instance noise lowers {divergence} ({where}): without minus with", unit="nats", at_least=0,
                effect=lambda s, a=plain, b=noisy: a[s - SEEDS[0]] - b[s - SEEDS[0]], seeds=SEEDS,
            )
            ratio = spread(plain, noisy, f"Instance noise lowers the spread of {divergence} over seeds ({where}): deviation with, divided by without")
            gain.save(MEASURED / "gan_claims.json", command, cost, f"{slug}_{key}")
            ratio.save(MEASURED / "gan_claims.json", command, cost, f"{slug}_{key}_spread")
            print(name, divergence, gain, ratio, sep=" | ")
    perfect = {f"{s:g}": round(score(EightGaussians(sigma=s).sample(100_000), EightGaussians(sigma=s))["kl"], 4) for s in (0.05, 0.1)}
    table = {"command": command, "cost": cost, "kl_of_data_themselves": perfect, "rows": rows}
    (MEASURED / "gan_instance_noise.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
