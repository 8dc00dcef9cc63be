"""StAffGAN on the Swiss roll: how much of the exact posterior do its samples cover, over several seeds, and what do other games do?

    OMP_NUM_THREADS=1 python recipes/staffgan_roll.py --seeds 5

The generator of AffGAN in swiss_roll.py with noise z beside y, trained with the same critic on points of the roll alone, never on its density. It is then
judged against the exact posterior along each line (x₁ + x₂)/2 = y.

What is measured, for 200 values of y that stand evenly and are weighted by p(y), with 1,000 samples for each:

- The posterior's *modes*: its peaks; a peak belongs to its neighbour where the valley between them is no lower than half of the lower peak. A mode's
  *region* is where, between its two valleys, the density is at least 1 % of its peak. Regions with less than 5 % of the posterior's mass do not count.
- Where two regions or more count, one is *covered* if at least a tenth of its own mass of samples falls into it: 3 % of the samples for a region of 30 %.
  `coverage` is the mass of the covered regions over that of all, averaged over these y. `overlap` is what the samples share with the posterior, region by
  region, sum of min(share, mass) over sum of mass: it asks for the right amounts, too.
- `between`: the share of samples where the density is below 1 % of the highest on their line.
- `kl_qp` and `kl_pq`: KL between samples and posterior, both directions, over all y, as histograms of 200 cells of 0.11 with 1 % of each mixed to a uniform.

Writes book/chapters/measured/staffgan_roll.json and staffgan_roll_claims.json. Each run is kept in runs/staffgan_roll/ as it is done: stop it and start it
again, and it goes on with what is missing.

Reference: Sønderby et al. 2017, "Amortised MAP inference for image super-resolution", ICLR (the stochastic extension, StAffGAN).
"""

import argparse
import functools
import itertools
import json
import math
import platform
import time
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from common import RUNS, revision
from gensr.claims import claim
from gensr.data.toy2d import LinePosterior, line_posterior
from gensr.models.gan import Losses, anneal, kl, non_saturating, saturating
from gensr.superres.affine import AffineProjection
from gensr.superres.amortised import AmortisedGAN
from gensr.superres.stochastic import StochasticProjection
from gensr.train import cosine, fit_gan
from swiss_roll import MEASURED, ROLL, A, Batches, Critic, grid_of_y, network, new_generator

PARTS = RUNS / "staffgan_roll"
FIRST_SEED = 200  # seeds 0, 100 and 101 served to choose the settings: measured is on others
LEAST_MASS, ENOUGH, VALLEY, CORE = 0.05, 0.1, 0.5, 0.01  # the definition above; chosen before any fresh seed was trained
SAMPLES, CELLS, SMOOTHING = 1000, 200, 0.01
LATENT, WIDTH, DEPTH, BATCH, CRITIC_STEPS, CRITIC_LR, GENERATOR_SCALE = 2, 128, 3, 256, 5, 2e-3, 1.0
STEPS, NOISE, FALL, SPREAD, SHARP = 800, (0.8, 0.2), 0.8, 3.0, 2.0


def covering(real: Tensor, fake: Tensor) -> Losses:
    """The generator makes −E_q[exp(logit)] small: against the best critic its gradient is that of KL[p ‖ q], which dreads a mode without samples.

    For D = E_q[f(r)], r = p/q, the gradient through the samples is that of E_q[f(r) − r f′(r)] with r held; f = r log r leaves −r.
    """
    return Losses(kl(real, fake).critic, -fake.clamp(max=3).exp().mean())


GAMES = {"KL[q‖p]": kl, "non-saturating": non_saturating, "JS": saturating, "KL[p‖q]": covering}


MAIN = "StAffGAN"  # plays for KL[q‖p], as the paper
NARROW, QUIET = "StAffGAN, narrow start", "StAffGAN, narrow start, little noise"
FILES = {
    MAIN: "kl", "AffGAN": "affgan", NARROW: "narrow", QUIET: "quiet", "StAffGAN, JS": "js", "StAffGAN, KL[p‖q]": "covering",
    "StAffGAN, non-saturating": "non_saturating",
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    MAIN: {}, "AffGAN": {"deterministic": True}, NARROW: {"spread": 0.1}, QUIET: {"spread": 0.1, "noise": (NOISE[1], NOISE[1])},
    **{f"StAffGAN, {game}": {"game": game} for game in ("JS", "KL[p‖q]", "non-saturating")},
}
COLUMNS = ["coverage", "coverage_half", "overlap", "found", "there", "kl_qp", "kl_pq", "between", "sigma", "cross_entropy", "misfit"]
KEPT, SLICES = 12, [40, 75, 110, 140]  # samples of a y and values of y that are stored for the figures
SETTINGS = {
    "generator": f"[y, z] -> {DEPTH} layers of {WIDTH} -> x, LeakyReLU 0.1, z ~ N(0, I) of {LATENT} numbers, plus {SPREAD:g}·z₁ along the line; "
    "AffGAN: that of swiss_roll.py, 256-256, without z; narrow start: 0.1·z₁",
    "critic": f"as in swiss_roll.py, on x alone; {CRITIC_STEPS} steps for each of the generator", "steps": STEPS, "batch": BATCH,
    "lr": f"Adam, critic {CRITIC_LR}, generator {GENERATOR_SCALE} of it, falling along half a cosine; β = 0.5, 0.9", "average": 0.995,
    "instance noise": f"sigma {NOISE[0]} to {NOISE[1]} over the first {100 * FALL:.0f} %; little noise: {NOISE[1]} throughout",
}
DEFINITION = {
    "mode": "a peak of p(x|y) along the line, merged with its neighbour where the valley between is at least half of the lower peak",
    "region": "between the mode's two valleys, where p(x|y) is at least 1 % of its peak; counted from 5 % of the mass on",
    "covered": "at least a tenth of the region's own mass of 1,000 samples lies in it; coverage_half: at least half",
    "coverage": "mass of the covered regions over that of all counted ones, averaged over the y that have several, weighted by p(y)",
    "overlap": "sum of min(share of samples, mass) over sum of mass, over the same y",
    "by_mass": "share of samples over mass, for regions of 5-15, 15-30, 30-50, over 50 % of the mass",
    "between": "share of samples where p(x|y) is below 1 % of its highest peak, over all y",
    "kl_qp, kl_pq": f"nats, over all y, histograms of {CELLS} cells of 0.11, each with {SMOOTHING:.0%} of a uniform mixed in",
    "sigma": "deviation of the answers to one y, over all y",
    "cross_entropy": "mean of -log p(x|y), nats per unit of length along the line",
}


class Mode(NamedTuple):
    """One region of the posterior: cells start to stop (excluded) of its grid, and its mass."""

    start: int
    stop: int
    mass: float


def modes(density: Tensor, width: float) -> list[Mode]:
    """The regions of one density (k,) on cells of this width, small ones included, from left to right."""
    p = density.double()
    low = torch.zeros(1, dtype=p.dtype)
    rises = torch.cat([low, p]).diff() > 0  # rises[i]: from cell i − 1 to i
    peaks = [i for i in range(len(p)) if rises[i] and not (i + 1 < len(p) and rises[i + 1])]
    cuts = [a + int(p[a:b].argmin()) for a, b in itertools.pairwise(peaks)]
    while cuts:
        depth = [float(p[c] / min(p[a], p[b])) for c, a, b in zip(cuts, peaks[:-1], peaks[1:], strict=True)]
        shallow = max(range(len(cuts)), key=depth.__getitem__)
        if depth[shallow] < VALLEY:
            break
        del cuts[shallow]
        del peaks[shallow + int(p[peaks[shallow]] > p[peaks[shallow + 1]])]  # the higher of the two stays
    found = []
    for peak, start, stop in zip(peaks, [0, *cuts], [*cuts, len(p)], strict=True):
        inside = start + (p[start:stop] >= CORE * p[peak]).nonzero()[:, 0]
        a, b = int(inside[0]), int(inside[-1]) + 1
        found.append(Mode(a, b, float(p[a:b].sum() * width)))
    return found


class Truth(NamedTuple):
    """The exact posterior on the grid of y: `weight` is p(y), normalised; `modes` those that count."""

    y: Tensor
    posterior: LinePosterior
    weight: Tensor
    modes: list[list[Mode]]

    @property
    def step(self) -> float:
        return float(self.posterior.s[1] - self.posterior.s[0])

    @property
    def several(self) -> Tensor:
        """Where two modes or more count, (b,)."""
        return torch.tensor([len(m) > 1 for m in self.modes])


@functools.cache
def truth(n: int = 200) -> Truth:
    """The posterior on cells of 0.011, ten to a cell of the histograms."""
    y = grid_of_y(n)
    posterior = line_posterior(ROLL, y[:, 0].double(), 10 * CELLS)
    step = float(posterior.s[1] - posterior.s[0])
    counted = [[m for m in modes(p, step) if m.mass >= LEAST_MASS] for p in posterior.log_prob.exp()]
    return Truth(y, posterior, posterior.log_evidence.softmax(0), counted)


def thin(exact: Truth) -> Truth:
    """Every second y of it."""
    s, x, log_prob, log_evidence = exact.posterior
    return Truth(exact.y[::2], LinePosterior(s, x[::2], log_prob[::2], log_evidence[::2]), exact.weight[::2] / exact.weight[::2].sum(), exact.modes[::2])


def along(x: Tensor) -> Tensor:
    """The coordinate s = (x₁ − x₂)/√2 along the line, (..., 2) -> (...)."""
    return (x[..., 0] - x[..., 1]) / math.sqrt(2)


def measure(x: Tensor, exact: Truth) -> dict[str, Any]:
    """Judge samples x (b, n, 2), n for each y of `exact`."""
    s, (_, posterior, weight, counted), several = along(x.double()), exact, exact.several
    b, n = s.shape
    cell = ((s - posterior.s[0]) / exact.step).round().long().clamp(0, len(posterior.s) - 1)  # (b, n)
    p = posterior.log_prob.exp()  # (b, k)
    count = torch.zeros_like(p).scatter_add_(1, cell, torch.ones_like(s)) / n
    taken: list[tuple[float, float, float]] = []  # of each region: its mass, the samples' share, p(y)
    rows: dict[str, list[float]] = {k: [] for k in ("coverage", "coverage_half", "overlap", "found", "there")}
    for row, these, w in zip(count, counted, weight.tolist(), strict=True):
        share = torch.tensor([float(row[m.start : m.stop].sum()) for m in these])
        mass = torch.tensor([m.mass for m in these])
        covered = share >= ENOUGH * mass
        taken += [(m, q, w) for m, q in zip(mass.tolist(), share.tolist(), strict=True) if len(these) > 1]
        rows["coverage"].append(float(mass[covered].sum() / mass.sum()))
        rows["coverage_half"].append(float(mass[share >= 0.5 * mass].sum() / mass.sum()))
        rows["overlap"].append(float(torch.minimum(share, mass).sum() / mass.sum()))
        rows["found"].append(float(covered.sum()))
        rows["there"].append(float(len(these)))
    part = weight * several
    found = {k: float((part * torch.tensor(v)).sum() / part.sum()) for k, v in rows.items()}
    density = p.gather(1, cell) / p.amax(1, keepdim=True)
    mean_q = count.view(b, CELLS, -1).sum(2) * (1 - SMOOTHING) + SMOOTHING / CELLS
    mean_p = (p.view(b, CELLS, -1).sum(2) * exact.step) * (1 - SMOOTHING) + SMOOTHING / CELLS
    every = {
        "kl_qp": (mean_q * (mean_q / mean_p).log()).sum(1), "kl_pq": (mean_p * (mean_p / mean_q).log()).sum(1),
        "between": (density < CORE).double().mean(1), "sigma": s.std(1),
    }
    found |= {k: float((weight * v).sum()) for k, v in every.items()}
    found["cross_entropy"] = float((weight * -posterior.log_prob.gather(1, cell).mean(1)).sum())
    misfit = (A(x.double().reshape(-1, 2)).view(b, n) - exact.y.double()).abs().max()
    rounds = {k: round(v, 4) for k, v in found.items()}
    return {**rounds, "misfit": float(f"{misfit:.1e}"), "by_mass": by_mass(taken), "coverage_of_y": [round(v, 2) for v in rows["coverage"]]}


def by_mass(taken: list[tuple[float, float, float]]) -> list[float]:
    """What regions of 5-15, 15-30, 30-50 and more % of the mass get, over what they should: below 1 is too little. -1 where there is none."""
    found = []
    for low, high in ((LEAST_MASS, 0.15), (0.15, 0.3), (0.3, 0.5), (0.5, 1.01)):
        these = [(m, q, w) for m, q, w in taken if low <= m < high]
        found.append(round(sum(q * w for _, q, w in these) / sum(m * w for m, _, w in these), 3) if these else -1.0)
    return found


class Broad(nn.Module):
    """f([y, z]) = net([y, z]) + spread · z₁ · (1, −1)/√2, so that the answers begin as a broad Gaussian along each line."""

    def __init__(self, net: nn.Module, spread: float):
        super().__init__()
        self.net, self.spread = net, spread

    def forward(self, yz: Tensor) -> Tensor:
        step = self.spread / math.sqrt(2) * yz[:, 1:2]
        return self.net(yz) + torch.cat([step, -step], 1)


def stochastic_generator(latent: int = LATENT, width: int = WIDTH, spread: float = SPREAD, depth: int = DEPTH, sharp: float = SHARP) -> nn.Module:
    """y with z -> x̂. The first layer bends at places spread over the range of y, as for AffGAN, and over that of z; `sharp` are its weights of z."""
    net = network(1 + latent, *[width] * depth, 2)
    first: Any = net[0]
    with torch.no_grad():
        first.weight[:, :1] = 4 * (2 * torch.rand(width, 1) - 1)
        first.weight[:, 1:] = sharp * torch.randn(width, latent)
        place = torch.cat([9 * torch.rand(width, 1) - 4.5, 1.5 * torch.randn(width, latent)], 1)
        first.bias.copy_(-(first.weight * place).sum(1))
        net[-1].weight *= 0.1
    return StochasticProjection(Broad(net, spread), A, latent)


@torch.no_grad()
def draw(generator: nn.Module, y: Tensor, n: int, seed: int = 0) -> Tensor:
    """n samples for each y, (b, n, 2): a deterministic generator gives n times the same."""
    if isinstance(generator, StochasticProjection):
        return generator.sample(y, n, generator=torch.Generator().manual_seed(seed))
    return generator(y)[:, None].expand(-1, n, -1)


def train(
    seed: int, game: str = "KL[q‖p]", *, deterministic: bool = False, steps: int = STEPS, noise: tuple[float, float] = NOISE, fall: float = FALL,
    batch: int = BATCH, critic_steps: int = CRITIC_STEPS, critic_lr: float = CRITIC_LR, scale: float = GENERATOR_SCALE, every: int = 100,
    **generator_keywords: Any,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """One generator with averaged weights, and its coverage on the way."""
    torch.manual_seed(seed)
    generator = AffineProjection(new_generator(), A) if deterministic else stochastic_generator(**generator_keywords)
    model = AmortisedGAN(generator, Critic(), A, sigma=anneal(noise[0], int(fall * steps), noise[1]), losses=GAMES[game])
    players = tuple(
        torch.optim.Adam([{"params": list(m.parameters()), "lr_scale": s}], betas=(0.5, 0.9), fused=True) for m, s in ((generator, scale), (model.critic, 1.0))
    )
    curve, exact = [], thin(truth())

    def watch(now: dict[str, Any]) -> None:
        if now["step"] % every == 0:
            found = measure(draw(now["average"].generator, exact.y, 200), exact)
            curve.append({"step": now["step"], **{k: found[k] for k in ("coverage", "overlap", "between", "kl_qp")}})

    average = fit_gan(
        model, Batches(batch), steps=steps, lr=cosine(critic_lr, steps), critic_steps=critic_steps, optimizer=players, average=0.995, progress=False,
        callback=watch,
    ).average
    return average.generator, curve


def exact_samples(exact: Truth, n: int = SAMPLES, seed: int = 0) -> Tensor:
    """Draws from the posterior itself: the ceiling."""
    cell = torch.multinomial(exact.posterior.log_prob.exp(), n, replacement=True, generator=torch.Generator().manual_seed(seed))
    return exact.posterior.x.gather(1, cell[..., None].expand(-1, -1, 2))


def projected_prior(exact: Truth, n: int = SAMPLES, seed: int = 0) -> Tensor:
    """x ~ p moved to the line of y: answers that keep to y, and know no more. The floor."""
    x = ROLL.sample(len(exact.y) * n, torch.Generator().manual_seed(seed))
    return A.project(x, exact.y.repeat_interleave(n, 0)).view(-1, n, 2)


def one_run(name: str, seed: int) -> dict[str, Any]:
    """Train and judge one network; what has its file already is not done again."""
    PARTS.mkdir(parents=True, exist_ok=True)
    path = PARTS / f"{FILES[name]}_{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    exact, start = truth(), time.process_time()
    generator, curve = train(seed, **ARGUMENTS[name])
    seconds = round(time.process_time() - start, 1)
    x = draw(generator, exact.y, SAMPLES)
    done = {"seconds": seconds, **measure(x, exact), "curve": curve}
    if seed == FIRST_SEED:
        done |= {"samples": rounded(along(x[::2, :KEPT])), "slices": histograms(x, exact)}
    path.write_text(json.dumps(done))
    print(name, seed, {k: v for k, v in done.items() if k not in ("curve", "coverage_of_y", "samples", "slices")}, flush=True)
    return done


def rounded(v: Tensor) -> list[Any]:
    return [rounded(row) if row.dim() else round(row.item(), 3) for row in v]


def histograms(x: Tensor, exact: Truth) -> list[list[float]]:
    """Densities of the samples along the lines of the y in SLICES, on cells of a fifth of the roll's extent over 16."""
    half = math.sqrt(2) * ROLL.extent
    return [rounded(torch.histc(along(x[i]).double(), 80, -half, half) * 80 / (2 * half * x.shape[1])) for i in SLICES]


def write(parts: dict[str, list[dict[str, Any]]], command: str) -> None:
    """The table, what the figures need, and the claims."""
    exact = truth()
    bounds = {"exact posterior": exact_samples(exact), "prior, projected": projected_prior(exact)}
    judged = {k: [measure(x, exact)] for k, x in bounds.items()} | parts
    seconds = sum(r["seconds"] for runs in parts.values() for r in runs)
    cost = f"{seconds / 60:.0f} min of one core"
    rows = [
        {
            "sampler": name, "seeds": len(runs) if name in parts else 0, "mean": {k: float(f"{sum(r[k] for r in runs) / len(runs):.4g}") for k in COLUMNS},
            **{k: [r[k] for r in runs] for k in COLUMNS}, "by_mass": [r["by_mass"] for r in runs], "seconds": [r.get("seconds", 0.0) for r in runs],
        }
        for name, runs in judged.items()
    ]
    several, weight = exact.several, exact.weight
    half = math.sqrt(2) * ROLL.extent
    step = exact.posterior.s[1] - exact.posterior.s[0]
    main = parts[MAIN]
    table = {
        "command": command, "revision": revision(), "cost": cost, "machine": f"{platform.machine()}, one CPU thread, torch {torch.__version__.split('+')[0]}",
        "settings": SETTINGS, "definition": DEFINITION, "first_seed": FIRST_SEED,
        "share_of_y_with_several": round(float((weight * several).sum()), 4), "rows": rows,
        "curve": {
            "step": [c["step"] for c in main[0]["curve"]],
            **{k: [[c[k] for c in r["curve"]] for r in main] for k in ("coverage", "overlap", "between", "kl_qp")},
        },
        "y": rounded(exact.y[:, 0]), "several": several.int().tolist(),
        "regions": [[[*rounded(exact.posterior.s[[m.start, m.stop - 1]]), round(m.mass, 3)] for m in these] for these in exact.modes],
        "coverage_of_y": {name: rounded(torch.tensor([r["coverage_of_y"] for r in runs]).mean(0)) for name, runs in parts.items()},
        "samples_y": rounded(exact.y[::2, 0]),
        "samples": {
            **{name: runs[0]["samples"] if name != "AffGAN" else [row[:1] for row in runs[0]["samples"]] for name, runs in parts.items()},
            **{name: rounded(along(x[::2, :KEPT])) for name, x in bounds.items()},
        },
        "slices_y": rounded(exact.y[SLICES, 0]), "slices_s": rounded((torch.arange(80) + 0.5) * half / 40 - half),
        "slices": {
            "posterior": [rounded(exact.posterior.log_prob[i].exp().view(80, -1).sum(1) * step * 40 / half) for i in SLICES],
            **{name: runs[0]["slices"] for name, runs in parts.items() if name != "AffGAN"},
        },
    }
    MEASURED.mkdir(exist_ok=True)
    lines = []
    for key, value in table.items():
        nested = key in ("rows", "samples", "slices", "coverage_of_y", "curve")
        items = [json.dumps(v, ensure_ascii=False) for v in value] if isinstance(value, list) else None
        if nested and items:
            body = "[\n" + ",\n".join("  " + v for v in items) + "\n ]"
        elif nested:
            body = "{\n" + ",\n".join(f"  {json.dumps(k, ensure_ascii=False)}: {json.dumps(v)}" for k, v in value.items()) + "\n }"
        else:
            body = json.dumps(value, ensure_ascii=False)
        lines.append(f" {json.dumps(key)}: {body}")
    (MEASURED / "staffgan_roll.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    for row in rows:
        print(row["sampler"], row["seeds"], row["mean"])
    if len(main) >= 5:
        claims(parts, judged, command, cost)


def claims(parts: dict[str, list[dict[str, Any]]], judged: dict[str, list[dict[str, Any]]], command: str, cost: str) -> None:
    """Their bounds were chosen before any fresh seed was trained."""
    main, seeds = parts[MAIN], range(len(parts[MAIN]))
    ceiling, floor = judged["exact posterior"][0], judged["prior, projected"][0]
    found = {
        "coverage": claim("StAffGAN: mass of the regions covered, where the posterior has several", lambda i: main[i]["coverage"], seeds, at_least=0.8),
        "half": claim("the same, where covered means half of a region's mass", lambda i: main[i]["coverage_half"], seeds, at_least=0.8),
        "overlap": claim("StAffGAN − projected prior: overlap with the regions", lambda i: main[i]["overlap"] - floor["overlap"], seeds, at_least=0),
        "kl": claim("projected prior − StAffGAN: KL[q‖p]", lambda i: floor["kl_qp"] - main[i]["kl_qp"], seeds, at_least=0, unit="nats"),
        "between": claim("share of StAffGAN's samples where the density is below 1 % of the line's peak", lambda i: main[i]["between"], seeds, at_most=0.2),
        "diversity": claim("σ of StAffGAN's answers to one y, over that of the posterior", lambda i: main[i]["sigma"] / ceiling["sigma"], seeds, at_least=0.8),
        "consistency": claim("largest |A x̂ − y| of StAffGAN, in float32", max(r["misfit"] for r in main), at_most=1e-6),
    }
    if len(parts.get("AffGAN", [])) == len(main):
        one = parts["AffGAN"]
        found["one_answer"] = claim("StAffGAN − AffGAN: coverage", lambda i: main[i]["coverage"] - one[i]["coverage"], seeds, at_least=0.2)
    for name, c in found.items():
        c.save(MEASURED / "staffgan_roll_claims.json", command, cost, name)
        print(c, c.statement)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=[*FILES], help="train this network alone, and write no table")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(FIRST_SEED, FIRST_SEED + args.seeds)
    parts: dict[str, list[dict[str, Any]]] = {}
    for name in [args.only] if args.only else FILES:
        parts[name] = [one_run(name, seed) for seed in seeds]
        if not args.only:  # what there is so far
            write(parts, f"python recipes/staffgan_roll.py --seeds {args.seeds}")


if __name__ == "__main__":
    main()
