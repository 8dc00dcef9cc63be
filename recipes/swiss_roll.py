"""Train every network of the Swiss-roll experiment over several seeds and measure its cross-entropy H[q, p]; the chapter shows what this wrote.

    OMP_NUM_THREADS=1 python recipes/swiss_roll.py --seeds 5

Seven ways to train one network, y (b, 1) -> x̂ (b, 2), and the exact MAP beside them. All start from the same architecture and see batches of the same size; the
GANs get fewer steps and ten of the critic for each, near enough to the best critic that their game is steady. Training sees points of the roll, never its
density. Writes book/chapters/measured/swiss_roll.json (the table, and the outputs of the first seed on a grid of y) and swiss_roll_claims.json. Each
network is kept in runs/swiss_roll/ as it is done: stop it and start it again, and it goes on with what is missing.

Reference: Sønderby et al. 2017, "Amortised MAP inference for image super-resolution", ICLR, §5.1.
"""

import argparse
import itertools
import json
import platform
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common import ROOT, RUNS
from gensr.claims import claim
from gensr.data.toy2d import SwissRoll, entropy, line_map, line_posterior
from gensr.models.denoiser import DAE
from gensr.models.gan import anneal
from gensr.operators import Average
from gensr.superres.affine import AffineProjection
from gensr.superres.amortised import AmortisedDAE, AmortisedGAN, Regression
from gensr.train import cosine, fit, fit_gan

MEASURED, PARTS = ROOT / "book" / "chapters" / "measured", RUNS / "swiss_roll"
ROLL, A = SwissRoll(), Average()
PAPER = {"MAP": 3.15, "AffDAE": 3.81, "AffGAN": 4.10, "SoftDAE": 4.19, "SoftGAN": 4.25, "MAE": 6.30, "MSE": 9.10}
MODELS = ["MSE", "AffMSE", "MAE", "AffDAE", "AffGAN", "SoftDAE", "SoftGAN"]
STEPS, BATCH, LR, WIDTH = 2500, 256, 1e-3, 256
SOFT = {"SoftGAN": 2000.0, "SoftDAE": 200.0}  # weight of the penalty: the answers miss y by less than, or about as much as, those of the MSE network
OTHER_SOFT = [("SoftGAN", 200.0)]  # the paper does not tell its weight; it matters
GAN_STEPS, NOISE, CRITIC_STEPS, CRITIC_LR, GENERATOR_SCALE = 1500, (0.8, 0.4), 10, 2e-3, 0.3
FIRST_SEED = 100  # seeds 0 to 9 served to choose the settings: measured is on others
MAE = [(16, STEPS), (64, STEPS), (WIDTH, 500), (WIDTH, STEPS), (WIDTH, 3 * STEPS)]  # (width, steps)
SETTINGS = {
    "network": "1-256-256-2, LeakyReLU 0.1, first-layer kinks spread over the range of y", "steps": {"GANs": GAN_STEPS, "others": STEPS}, "batch": BATCH,
    "lr": f"Adam, {LR} falling along half a cosine; GANs: critic {CRITIC_LR}, generator {GENERATOR_SCALE} of it, β = 0.5, 0.9", "average": 0.995,
    "critic": f"128-128, LeakyReLU 0.1, on x and 32 Fourier features; {CRITIC_STEPS} steps for each of the generator",
    "instance noise": f"sigma {NOISE[0]} to {NOISE[1]} over the first 60 %", "soft": SOFT,
    "denoiser": "3-128-128-2, SiLU, on (x, log sigma), sigma 0.1 to 2; 5000 steps of 512 points", "guidance": "sigma 2 to 0.1 over the first 80 %",
}


class Critic(nn.Module):
    """A logit from x and the sines and cosines of 32 random projections of it: thin curved bands are hard for an MLP on the two coordinates alone.

    Reference: Rahimi & Recht 2007; Tancik et al. 2020 (Fourier features).
    """

    def __init__(self, features: int = 32, frequency: float = 1.5, width: int = 128):
        super().__init__()
        self.register_buffer("directions", frequency * torch.randn(2, features))
        self.net = network(2 * features + 2, width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        phase = x @ self.directions
        return self.net(torch.cat([x / 3, phase.sin(), phase.cos()], 1))


class Batches:
    """Endless pairs (x, A x) of fresh points of the roll; without `pairs`, the points alone."""

    def __init__(self, n: int, pairs: bool = True):
        self.n, self.pairs = n, pairs

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        while True:
            x = ROLL.sample(self.n)
            yield (x, A(x)) if self.pairs else (x,)


def network(*sizes: int, activation: type[nn.Module] = nn.LeakyReLU, slope: float = 0.1) -> nn.Sequential:
    """Linear layers with an activation between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation(slope) if activation is nn.LeakyReLU else activation()]
    return nn.Sequential(*layers[:-1])


def new_generator(width: int = WIDTH) -> nn.Sequential:
    """The network of every model: y (b, 1) -> x̂ (b, 2). Its first layer bends at places spread over the range of y, not, as by default, mostly near 0."""
    net = network(1, width, width, 2)
    first: Any = net[0]
    first.weight.data *= 4  # and bends sharply, for an answer that must jump from one arm of the roll to another
    first.bias.data = -first.weight.data[:, 0] * (9 * torch.rand(width) - 4.5)
    return net


def train_denoiser(seed: int, steps: int = 5000) -> nn.Module:
    """One denoiser for all levels, from points of the roll alone; both guided networks of a seed use it."""
    torch.manual_seed(1000 + seed)
    model = DAE(network(3, 128, 128, 2, activation=nn.SiLU), (0.1, 2.0))
    return fit(model, Batches(512, pairs=False), steps=steps, lr=cosine(2e-3, steps), average=0.999, progress=False).average


def train(name: str, seed: int, steps: int | None = None, denoiser: nn.Module | None = None, width: int = WIDTH, soft: float | None = None) -> nn.Module:
    """One network of the table, with averaged weights.

    Args:
        name: one of MODELS.
        steps: GAN_STEPS or STEPS by default.
        denoiser: for AffDAE and SoftDAE; trained here if there is none.
        soft: weight of the penalty, that of SOFT by default.
    """
    if name not in MODELS:
        raise ValueError(f"name: expected one of {MODELS}, got {name!r}")
    if name.endswith("DAE"):
        denoiser = denoiser or train_denoiser(seed)
    steps = steps or (GAN_STEPS if name.endswith("GAN") else STEPS)
    torch.manual_seed(seed)
    generator: nn.Module = new_generator(width)
    if name.startswith("Aff"):
        generator = AffineProjection(generator, A)
    soft = SOFT.get(name, 0.0) if soft is None else soft
    keywords: dict[str, Any] = {"steps": steps, "lr": cosine(LR, steps), "average": 0.995, "progress": False}
    if name.endswith("GAN"):
        model: nn.Module = AmortisedGAN(generator, Critic(), A, soft=soft, sigma=anneal(NOISE[0], int(0.6 * steps), NOISE[1]))
        keywords["lr"] = cosine(CRITIC_LR, steps)
        players = tuple(
            torch.optim.Adam([{"params": list(m.parameters()), "lr_scale": s}], betas=(0.5, 0.9), fused=True)
            for m, s in ((generator, GENERATOR_SCALE), (model.critic, 1.0))
        )
        return fit_gan(model, Batches(BATCH), critic_steps=CRITIC_STEPS, optimizer=players, **keywords).average.generator
    if name.endswith("DAE"):
        model = AmortisedDAE(generator, denoiser, A, soft=soft, sigma=anneal(2.0, int(0.8 * steps), 0.1))
    else:
        model = Regression(generator, F.l1_loss if name.endswith("MAE") else F.mse_loss)
    return fit(model, Batches(BATCH), **keywords).average.generator


def test_set(n: int = 10_000) -> Tensor:
    """The measurements all are judged on, the same for every seed."""
    return A(ROLL.sample(n, torch.Generator().manual_seed(2017)))


def grid_of_y(n: int = 200) -> Tensor:
    """Evenly over all but the outermost thousandth of the test set at either end."""
    low, high = test_set().flatten().quantile(torch.tensor([0.001, 0.999])).tolist()
    return torch.linspace(low, high, n)[:, None]


@torch.no_grad()
def measure(net: nn.Module) -> dict[str, float]:
    """H[q, p] in nats; the mean of ``|A x̂ − y|``; and its largest value relative to ``|y|`` in float64, and to ``|x̂|`` in float32."""
    y = test_set()
    made = net(y)
    misfit = (A(made) - y).abs()
    fine, y64 = net.double()(y.double()), y.double()
    relative = ((A(fine) - y64) / y64).abs().max()
    net.float()
    return {
        "H": round(-ROLL.log_prob(made.double()).mean().item(), 4), "misfit": round(misfit.mean().item(), 6),
        "relative": float(f"{relative.item():.2e}"), "relative_float32": float(f"{(misfit[:, 0] / made.abs().amax(1)).max().item():.2e}"),
    }


@torch.no_grad()
def points(net: nn.Module) -> list[list[float]]:
    return [[round(v, 3) for v in row] for row in net(grid_of_y()).tolist()]


def one_seed(seed: int) -> dict[str, Any]:
    """All networks of a seed; what is in its file already is not done again."""
    PARTS.mkdir(parents=True, exist_ok=True)
    path = PARTS / f"{seed}.json"
    done: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    denoiser = None
    for name in MODELS:
        if name in done:
            continue
        if name.endswith("DAE") and denoiser is None:
            start = time.process_time()
            denoiser = train_denoiser(seed)
            done["denoiser_seconds"] = round(time.process_time() - start, 1)
        start = time.process_time()
        net = train(name, seed, denoiser=denoiser)
        done[name] = {"seconds": round(time.process_time() - start, 1), **measure(net), "points": points(net)}
        path.write_text(json.dumps(done))
        print(seed, name, {k: v for k, v in done[name].items() if k != "points"}, flush=True)
    penalty = done.setdefault("penalty", {})
    for name, soft in OTHER_SOFT:
        if (key := f"{name} {soft:g}") not in penalty:
            penalty[key] = {k: v for k, v in measure(train(name, seed, soft=soft)).items() if k in ("H", "misfit")}
            path.write_text(json.dumps(done))
            print(seed, key, penalty[key], flush=True)
    return done


def mae_dependence(seed: int = FIRST_SEED) -> list[dict[str, float]]:
    """How far an honest network of absolute error gets with more width or more steps: its limit is the posterior median."""
    PARTS.mkdir(parents=True, exist_ok=True)
    path = PARTS / "mae.json"
    rows: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []
    for width, steps in MAE:
        if any((r["width"], r["steps"]) == (width, steps) for r in rows):
            continue
        start = time.process_time()
        net = train("MAE", seed, steps, width=width)
        rows.append({"width": width, "steps": steps, "H": measure(net)["H"], "seconds": round(time.process_time() - start, 1)})
        path.write_text(json.dumps(rows))
        print(rows[-1], flush=True)
    return rows


@torch.no_grad()
def exact() -> dict[str, Any]:
    """Cross-entropies of the exact answers, and their points on the grid."""
    path = PARTS / "exact.json"
    if path.exists():
        return json.loads(path.read_text())

    def average(y: Tensor) -> dict[str, Tensor]:
        posterior = line_posterior(ROLL, y[:, 0].double(), 500)
        weight = posterior.log_prob.softmax(1)
        half = (weight.cumsum(1) >= 0.5).int().argmax(1)
        return {"mean": (weight[..., None] * posterior.x).sum(1), "median": posterior.x[torch.arange(len(y)), half]}

    def best(y: Tensor) -> Tensor:
        return torch.cat([line_map(ROLL, v, 200) for v in y[:, 0].double().split(1000)])

    y, grid = test_set(), grid_of_y()
    h = {"MAP": best(y), **average(y)}
    pictures = {"MAP": best(grid), **average(grid)}
    found = {
        "H": {**{k: round(-ROLL.log_prob(v).mean().item(), 4) for k, v in h.items()}, "entropy of the roll": round(entropy(ROLL), 4)},
        "points": {k: [[round(c, 3) for c in row] for row in v.tolist()] for k, v in pictures.items()},
    }
    path.write_text(json.dumps(found))
    return found


def gaps(h: dict[str, float]) -> dict[str, float]:
    """The steps of the ladder MAP < AffDAE, AffGAN < SoftGAN < MAE < MSE: all are positive where the order holds."""
    return {
        "AffDAE − MAP": h["AffDAE"] - h["MAP"], "AffGAN − MAP": h["AffGAN"] - h["MAP"], "SoftGAN − AffDAE": h["SoftGAN"] - h["AffDAE"],
        "SoftGAN − AffGAN": h["SoftGAN"] - h["AffGAN"], "MAE − SoftGAN": h["MAE"] - h["SoftGAN"], "MSE − MAE": h["MSE"] - h["MAE"],
    }


def write(parts: list[dict[str, Any]], mae: list[dict[str, float]], command: str) -> None:
    """The table, the pictures and the claims."""
    n, known = len(parts), exact()
    best, pictures = known["H"], known["points"]
    seconds = sum(part[m]["seconds"] for part in parts for m in MODELS) + sum(part["denoiser_seconds"] for part in parts)
    cost = f"{seconds / 60:.0f} min of one core"
    rows = []
    for name in ["MAP", *MODELS]:
        runs = [part[name] for part in parts] if name in MODELS else []
        h = [r["H"] for r in runs] or [best[name]]
        kept = ["misfit", "seconds"] + (["relative", "relative_float32"] if name.startswith("Aff") else [])
        rows.append({
            "model": name, "paper": PAPER.get(name), "H": h, "mean": round(sum(h) / len(h), 3),
            **{k: [r[k] for r in runs] for k in kept if runs},
        })
    rows.sort(key=lambda r: r["mean"])
    steps = [gaps({"MAP": best["MAP"], **{m: part[m]["H"] for m in MODELS}}) for part in parts]
    table = {
        "command": command, "cost": cost, "machine": f"{platform.machine()}, one CPU thread, torch {torch.__version__.split('+')[0]}",
        "unit": "nats, on 10,000 measurements", "settings": SETTINGS, "exact": best, "rows": rows, "seeds_in_order": sum(min(s.values()) > 0 for s in steps),
        "smallest_gap": [round(min(s.values()), 3) for s in steps], "mae": mae,
        "penalty": [
            {"model": name, "soft": soft, **{k: [part["penalty"][f"{name} {soft:g}"][k] for part in parts] for k in ("H", "misfit")}}
            for name, soft in OTHER_SOFT
        ],
        "y": [round(v, 4) for v in grid_of_y()[:, 0].tolist()], "points": {**pictures, **{m: parts[0][m]["points"] for m in MODELS}},
    }
    MEASURED.mkdir(exist_ok=True)
    (MEASURED / "swiss_roll.json").write_text(dump(table), encoding="utf-8")
    ladder = [[best["MAP"], *(part[m]["H"] for m in ("AffDAE", "SoftDAE", "MAE", "MSE"))] for part in parts]
    guided = sum(all(a < b for a, b in itertools.pairwise(h)) for h in ladder)
    games = [[part[m]["H"] for m in ("AffGAN", "SoftGAN")] for part in parts]
    critics = sum(best["MAP"] < min(g) and max(g) < part["MAE"]["H"] < part["MSE"]["H"] for g, part in zip(games, parts, strict=True))
    aff_first = sum(projected < penalised for projected, penalised in games)
    affine = [part[m] for part in parts for m in MODELS if m.startswith("Aff")]
    claims = {
        "order": claim("the paper's order: MAP < AffDAE, AffGAN < SoftGAN < MAE < MSE", table["seeds_in_order"], at_least=0.8 * n, unit=f"of {n} seeds"),
        "guidance": claim("MAP < AffDAE < SoftDAE < MAE < MSE", guided, at_least=0.8 * n, unit=f"of {n} seeds"),
        "critics": claim("MAP < AffGAN, SoftGAN < MAE < MSE", critics, at_least=0.8 * n, unit=f"of {n} seeds"),
        "projected": claim("AffGAN < SoftGAN", aff_first, at_least=0.8 * n, unit=f"of {n} seeds"),
        "consistency": claim("largest |A x̂ − y|/|y| of all Aff networks", max(r["relative"] for r in affine), at_most=1e-6),
        "map": claim("no Aff network beats the exact MAP: least excess", min(r["H"] for r in affine) - best["MAP"], at_least=0, unit="nats"),
    }
    for name, c in claims.items():
        c.save(MEASURED / "swiss_roll_claims.json", command, cost, name)
        print(c, c.statement)
    for row in rows:
        print(f"{row['model']:8} {row['mean']:.2f}  paper {row['paper']}  {row['H']}")


def dump(table: dict[str, Any]) -> str:
    """JSON with the long lists of numbers on one line each."""
    lines = []
    for key, value in table.items():
        if key in ("rows", "mae", "penalty"):
            body = "[\n" + ",\n".join("  " + json.dumps(r, ensure_ascii=False) for r in value) + "\n ]"
        elif key == "points":
            body = "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n }"
        else:
            body = json.dumps(value, ensure_ascii=False)
        lines.append(f" {json.dumps(key)}: {body}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    parts = [one_seed(seed) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
    write(parts, mae_dependence(), f"python recipes/swiss_roll.py --seeds {seeds}")


if __name__ == "__main__":
    main()
