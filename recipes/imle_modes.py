"""IMLE against a GAN at equal seconds of one core: on eight Gaussians of equal weight, on the same ring with one mode that is rare, and on digits.

    OMP_NUM_THREADS=1 python recipes/imle_modes.py

Stop it at any time and start it again: runs that are done stay done (runs/imle_modes.json). Writes book/chapters/measured/imle_modes.json (every run, and the
curves of the first seed) and one imle_modes_*.json for each claim.
"""

import itertools
import json
import sys
import time

import torch
from torch import Tensor, nn

from common import ROOT, RUNS
from gensr.claims import Claim, claim
from gensr.data.digits import digits
from gensr.data.toy2d import EightGaussians
from gensr.models.gan import GAN
from gensr.models.imle import IMLE
from gensr.nets import MLP
from gensr.train import cosine, fit, fit_gan

MEASURED = ROOT / "book" / "chapters" / "measured"
RING, EVERY = EightGaussians(sigma=0.1), 500
RARE = 40  # of 2000 data, in the first mode of the uneven ring: 2 %, where its share would be 12.5 %
# Steps of IMLE and of the GAN: about the same CPU seconds. Those measured are stored with each run.
STEPS = {"even": {"IMLE": 12_000, "GAN": 8_000}, "rare": {"IMLE": 12_000, "GAN": 8_000}, "digits": {"IMLE": 3_000, "GAN": 2_000}}
SEEDS = {"even": range(10), "rare": range(10), "digits": range(5)}


def leaky(*sizes: int) -> nn.Sequential:
    """Linear layers with LeakyReLU(0.2) between them."""
    layers = itertools.chain.from_iterable((nn.Linear(a, b), nn.LeakyReLU(0.2)) for a, b in itertools.pairwise(sizes))
    return nn.Sequential(*list(layers)[:-1])


class Shuffled:
    """Batches, the data in a new order each time round."""

    def __init__(self, x: Tensor, batch: int = 200):
        self.x, self.batch = x, batch

    def __iter__(self):
        for rows in torch.randperm(len(self.x)).split(self.batch):
            yield self.x[rows]


def judge(samples: Tensor) -> dict:
    """Share of the samples within 3 σ of each mode; modes with at least 1 %; quality, the sum of the shares; width, the root mean square distance of
    those samples from their centre, divided by that of data.
    """
    centres = RING.centres.to(samples)
    distance, mode = torch.cdist(samples, centres).min(1)
    good = distance < 3 * RING.sigma
    shares = torch.bincount(mode[good], minlength=8) / len(samples)
    data = RING.sigma * (2 - 9 / (torch.tensor(4.5).exp() - 1)).sqrt()  # of a Gaussian cut off at 3 σ
    width = distance[good].square().mean().sqrt() / data
    return {
        "modes": int((shares >= 0.01).sum()), "quality": shares.sum().item(), "width": width.item() if good.any() else None,
        "shares": [round(v, 4) for v in shares.tolist()],
    }


def uneven() -> Tensor:
    """2000 points of the ring, of which only `RARE` lie in the first mode."""
    modes = torch.cat([torch.zeros(RARE, dtype=torch.long), torch.arange(1, 8).repeat(280)])
    return RING.centres[modes].float() + RING.sigma * torch.randn(len(modes), 2)


def on_ring(where: str, method: str, seed: int) -> dict:
    """Train one model; modes, quality and width at the end, and modes on the way."""
    torch.manual_seed(seed)
    data = Shuffled(RING.sample(2000) if where == "even" else uneven())
    generator, steps = leaky(2, 128, 128, 128, 2), STEPS[where][method]
    curve = []

    def look(info: dict) -> None:
        if info["step"] % EVERY == 0:
            with torch.random.fork_rng():  # looking changes no training
                found = judge(info["model"].sample(10_000))
            curve.append([info["step"], found["modes"], round(found["quality"], 4), round(min(found["shares"]), 4)])

    start = time.process_time()
    if method == "IMLE":
        model = IMLE(generator, 2, pool=200, reuse=1)
        fit(model, data, steps=steps, lr=cosine(2e-3, steps), callback=look, progress=False)
    else:
        model = GAN(generator, leaky(2, 128, 128, 1), 2)
        fit_gan(model, data, steps=steps, lr=cosine(1e-3, steps), callback=look, progress=False)
    seconds = time.process_time() - start
    torch.manual_seed(10_000 + seed)
    return {"seconds": round(seconds, 1), **judge(model.sample(20_000)), "curve": curve}


def on_digits(method: str, seed: int) -> dict:
    """Train one model on 1400 digits, then look for each held-out digit, and for as many of the training digits: error per pixel, root mean square."""
    torch.manual_seed(seed)
    data, steps = digits(), STEPS["digits"][method]
    generator = nn.Sequential(MLP(16, 256, 256, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))
    start = time.process_time()
    if method == "IMLE":
        model = finder = IMLE(generator, 16, pool=1000, reuse=5)
        fit(model, Shuffled(data.train, 100), steps=steps, lr=cosine(2e-3, steps), progress=False)
    else:
        model = GAN(generator, nn.Sequential(nn.Flatten(), leaky(64, 256, 256, 1)), 16)
        fit_gan(model, Shuffled(data.train, 100), steps=steps, lr=2e-3, progress=False)  # a falling rate, and lower ones, were worse
        finder = IMLE(generator, 16, pool=1000)  # only for its `project`: the search is the same for both
    seconds = time.process_time() - start

    def error(x: Tensor) -> float:
        with torch.no_grad():
            return (x - generator(finder.project(x))).square().flatten(1).mean(1).sqrt().mean().item()

    return {"seconds": round(seconds, 1), "held_out": error(data.test), "training": error(data.train[: len(data.test)])}


def claims(runs: dict[str, dict]) -> dict[str, Claim]:
    """What the chapter says of these runs."""

    def of(where: str, method: str, what: str):
        return lambda seed: runs[f"{where}-{method}-{seed}"][what]

    def rare(method: str):
        return lambda seed: runs[f"rare-{method}-{seed}"]["shares"][0] / (RARE / 2000)

    even, uneven, few = SEEDS["even"], SEEDS["rare"], SEEDS["digits"]
    root = 0.02**0.5 / (0.02**0.5 + 7 * 0.14**0.5)  # of the modes' weights, 2 % and seven times 14 %
    found = [seed for seed in even if runs[f"even-GAN-{seed}"]["quality"] > 0.01]
    return {
        "imle": claim("Eight equal modes: IMLE covers all, modes covered", of("even", "IMLE", "modes"), even, at_least=8),
        "gan": claim("Eight equal modes: the GAN drops at least one, modes covered", of("even", "GAN", "modes"), even, at_most=7),
        "quality": claim(
            "The GAN's samples are sharper: share within 3 σ of a mode, GAN minus IMLE",
            lambda seed: 100 * (of("even", "GAN", "quality")(seed) - of("even", "IMLE", "quality")(seed)), even, at_least=5, unit="points",
        ),
        "quality_found": claim(
            f"The same, in the {len(found)} seeds in which the GAN found any mode",
            lambda seed: 100 * (of("even", "GAN", "quality")(seed) - of("even", "IMLE", "quality")(seed)), found, at_least=5, unit="points",
        ),
        "width": claim("IMLE's modes are as wide as the data's: width, divided by theirs", of("even", "IMLE", "width"), even, at_least=0.8, at_most=1.25),
        "width_gan": claim(
            f"So are the GAN's, in the {len(found)} seeds in which it found any: width, divided by the data's",
            of("even", "GAN", "width"), found, at_least=0.8, at_most=1.25,
        ),
        "rare": claim("A mode with 2 % of the data: IMLE gives it at least half its due, share divided by 2 %", rare("IMLE"), uneven, at_least=0.5),
        "rare_more": claim(
            "Of IMLE's samples near a mode, the rare one has the share that √p has, 5.1 %, as (7) says: measured share, divided by that",
            lambda seed: of("rare", "IMLE", "shares")(seed)[0] / of("rare", "IMLE", "quality")(seed) / root, uneven, at_least=0.9, at_most=1.1,
        ),
        "rare_gan": claim("The same mode: the GAN gives it less than half its due, share divided by 2 %", rare("GAN"), uneven, at_most=0.5),
        "digits": claim(
            "Held-out digits, projected: error of the GAN, divided by that of IMLE",
            lambda seed: of("digits", "GAN", "held_out")(seed) / of("digits", "IMLE", "held_out")(seed), few, at_least=1.1,
        ),
        "heldout": claim(
            "IMLE, error of held-out digits, divided by that of training digits",
            lambda seed: of("digits", "IMLE", "held_out")(seed) / of("digits", "IMLE", "training")(seed), few, at_most=1.25,
        ),
    }


def main() -> None:
    torch.set_num_threads(1)
    RUNS.mkdir(exist_ok=True)
    MEASURED.mkdir(exist_ok=True)
    done = RUNS / "imle_modes.json"
    runs = json.loads(done.read_text(encoding="utf-8")) if done.exists() else {}
    for where, seeds in SEEDS.items():
        for seed, method in itertools.product(seeds, STEPS[where]):
            if (key := f"{where}-{method}-{seed}") not in runs:
                runs[key] = found = on_digits(method, seed) if where == "digits" else on_ring(where, method, seed)
                done.write_text(json.dumps(runs), encoding="utf-8")
                print(key, {k: v for k, v in found.items() if k != "curve"}, flush=True)
    command, cost = " ".join(["python", *sys.argv]), f"{sum(r['seconds'] for r in runs.values()) / 60:.0f} min on one core"
    order = [f"{where}-{method}-{seed}" for where in STEPS for method in STEPS[where] for seed in SEEDS[where]]
    table = {
        "command": command, "cost": cost, "steps": STEPS, "rows": [{"run": k, **{n: v for n, v in runs[k].items() if n != "curve"}} for k in order],
        "curves": {k: runs[k]["curve"] for k in order if "curve" in runs[k]},
    }
    (MEASURED / "imle_modes.json").write_text(json.dumps(table, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, c in claims(runs).items():
        c.save(MEASURED / "imle_claims.json", command, cost, name)
        print(c, c.statement)


if __name__ == "__main__":
    main()
