"""RIDE against MCGSMs on textures: is a memory worth more than the window of twelve pixels, and more than a wide window? And the RIDE that is shipped.

    OMP_NUM_THREADS=1 python recipes/ride_textures.py              # the comparison, five seeds
    OMP_NUM_THREADS=1 python recipes/ride_textures.py ship skin    # src/gensr/zoo/ride_skin.safetensors; also brick
    OMP_NUM_THREADS=1 python recipes/ride_textures.py rivals skin  # it against MCGSMs trained as long: ride_long.json, and samples: ride_skin.png
    OMP_NUM_THREADS=1 python recipes/ride_textures.py tune skin    # validation figures of seed 0

Stop it at will: finished runs stand in runs/ride_textures.jsonl and are not repeated. Writes book/chapters/measured/ride_textures.json and ride_claims.json.

Each texture is one photograph of 256 × 256, cut first: 176 columns to train on (mirrored too), 32 to choose settings by, 48 to test on; no pixel in two of
them. Settings were chosen by the validation strips and seed 0; the seeds measured are 100 to 104. The last step's weights are scored: nothing is chosen by the
test strip. All arms take the same number of steps with the same number of pixels each, and are scored on the same 250 × 36 pixels, whose widest window lies
inside the strip.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from common import ROOT, RUNS, data_folder, publish
from gensr import weights
from gensr.claims import claim
from gensr.data.textures import NAMES, texture
from gensr.io import read_image, write_image
from gensr.models.mcgsm import MCGSM, MarkovMesh, contexts, dequantise, neighbourhood, pairs
from gensr.models.ride import OFFSETS, RIDE, flushed
from gensr.resize import imresize
from gensr.train import History

MEASURED, LOG = ROOT / "book" / "chapters" / "measured", RUNS / "ride_textures.jsonl"
TEXTURES, SEEDS = ("skin", "brick"), range(100, 105)
ORIGIN = {"skin": "reptil_skin.png of textureSynth (Portilla & Simoncelli 2000; MIT)", "brick": "the brick photograph inside scikit-image (CC0), halved"}
WINDOWS = {"window 3×5": (3, 5, 32, 32), "window 7×13": (7, 13, 32, 64)}  # rows, columns, K, F; the second has as many parameters as the RIDE
TRIED = {"window 4×7": (4, 7, 32, 32), "window 5×9": (5, 9, 32, 32)}  # in between, with seed 0 only
ARMS = ("memory", *WINDOWS)
STEPS, LONG, PIXELS = 600, 2400, 2048
RATES = {"memory": 0.01, "window 3×5": 0.03, "window 7×13": 0.01, "window 4×7": 0.03, "window 5×9": 0.01}
TOP, SIDE = 6, 6  # of the widest window


def strips(name: str) -> tuple[Tensor, ...]:
    """(1, 256, 176), (1, 256, 32) and (1, 256, 48), 8 bits. The photographs inside scikit-image are halved: a brick is then 17 pixels wide."""
    if name in NAMES:
        x = imresize(texture(name).float(), 0.5).round().clamp(0, 255).to(torch.uint8)
    else:
        x = (255 * read_image(data_folder() / "gen/textures/portilla_simoncelli/reptil_skin.png").mean(1)).round().to(torch.uint8)
    return x.split([176, 32, 48], 2)


def rate(step: int, steps: int, top: float) -> float:
    """Up over 20 steps, then down along a cosine."""
    return top * min(1, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def descend(model: nn.Module, batch: Any, steps: int, top: float) -> list[float]:
    """Adam on batch(step), with gradients clipped to length 1."""
    adam, losses = torch.optim.Adam(model.parameters(), top), []
    for step in range(steps):
        adam.param_groups[0]["lr"] = rate(step, steps, top)
        loss = model.loss(*batch(step))  # type: ignore[operator]
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        losses.append(loss.item())
    return losses


def train_memory(strip: Tensor, seed: int, hidden: int = 32, steps: int = STEPS) -> tuple[RIDE, list[float]]:
    """A RIDE on crops that grow from 8 × 8 to 22 × 22, always about 2048 pixels a step."""
    torch.manual_seed(seed)
    model, generator = RIDE(hidden, 1, 8, 4, 16), torch.Generator().manual_seed(seed)
    model.whitening.fit(*pairs([strip, strip.flip(2)], OFFSETS))
    both = torch.stack([strip, strip.flip(2)])

    def batch(step: int) -> tuple[Tensor]:
        side = 8 + 2 * min(7, step * 10 // steps)
        m, i, j = (torch.randint(n, (PIXELS // side**2,), generator=generator) for n in (2, strip.shape[1] - side - 1, strip.shape[2] - side - 3))
        return (dequantise(torch.stack([both[m, :, i : i + side + 2, j : j + side + 4] for m, i, j in zip(m, i, j, strict=True)]), generator),)

    with flushed():
        return model, descend(model, batch, steps, RATES["memory"])


def train_window(strip: Tensor, seed: int, arm: str, steps: int = STEPS) -> tuple[MarkovMesh, list[float]]:
    """An MCGSM on as many random pixels a step."""
    rows, columns, k, f = (WINDOWS | TRIED)[arm]
    offsets, generator = neighbourhood(rows, columns), torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = MarkovMesh(offsets, MCGSM(len(offsets), k, 4, f))
    c, y = pairs([strip, strip.flip(2)], offsets)
    model.whitening.fit(c, y)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        keep = torch.randint(len(y), (PIXELS,), generator=generator)
        return c[keep], y[keep]

    return model, descend(model, batch, steps, RATES[arm])


@torch.no_grad()
def score(model: nn.Module, strip: Tensor) -> Tensor:
    """Nats per pixel, one mean for each 50 rows."""
    x = dequantise(strip, torch.Generator().manual_seed(1))[None]
    with flushed():
        found: Tensor = model.pixel_log_prob(*((x,) if isinstance(model, RIDE) else contexts(x, model.offsets)))  # type: ignore
    rows, columns = x.shape[2] - TOP, x.shape[3] - 2 * SIDE
    cut = (found.shape[2] - columns) // 2
    return found[0, -rows:, cut : cut + columns].unflatten(0, (-1, 50)).mean((1, 2))


def run(name: str, arm: str, seed: int, part: int = 2) -> dict[str, Any]:
    strip, start = strips(name), time.process_time()
    model, losses = train_memory(strip[0], seed) if arm == "memory" else train_window(strip[0], seed, arm)
    blocks = score(model, strip[part])
    return {
        "texture": name, "arm": arm, "seed": seed, "nats": round(blocks.mean().item(), 4), "blocks": [round(v, 4) for v in blocks.tolist()],
        "train": round(-sum(losses[-50:]) / 50, 4), "parameters": sum(p.numel() for p in model.parameters()), "seconds": round(time.process_time() - start, 1),
    }


def finished() -> dict[tuple[str, str, int], dict[str, Any]]:
    lines = LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else []
    return {(r["texture"], r["arm"], r["seed"]): r for r in map(json.loads, lines)}


def compare(names: Sequence[str]) -> None:
    for name in names:
        for key in [(name, arm, seed) for seed in SEEDS for arm in ARMS]:
            if key not in finished():
                row = run(*key)
                with LOG.open("a", encoding="utf-8") as f:
                    f.write(json.dumps(row) + "\n")
                print(row, flush=True)
        store(finished())


def store(done: dict[tuple[str, str, int], dict[str, Any]]) -> None:
    """The means, and a claim for each texture that is complete."""
    command, cost = "python recipes/ride_textures.py", f"{sum(r['seconds'] for r in done.values()) / 60:.0f} min of one core in all"
    out: dict[str, Any] = {"command": command, "cost": cost}
    for name in TEXTURES:
        if not all((name, arm, seed) in done for arm in ARMS for seed in SEEDS):
            continue
        out[name] = {arm: {k: [done[name, arm, s][k] for s in SEEDS] for k in ("nats", "blocks", "train", "parameters")} for arm in ARMS}
        for arm, words in (("window 3×5", "the same twelve pixels without a memory"), ("window 7×13", "a window of 84 pixels, as many parameters, no memory")):
            found = claim(
                f"{name.capitalize()}, unseen strip: what a memory gains against {words}",
                lambda seed, n=name, a=arm: done[n, "memory", seed]["nats"] - done[n, a, seed]["nats"], SEEDS, at_least=0, unit="nats per pixel",
            )
            found.save(MEASURED / "ride_claims.json", command, cost, f"{name}, {arm}")
            print(name, arm, found, sep=" | ")
    (MEASURED / "ride_textures.json").write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def ship(name: str) -> None:
    """A RIDE trained four times as long, with its card."""
    train, _, test = strips(name)
    start = time.process_time()
    model, losses = train_memory(train, 0, steps=LONG)
    seconds = time.process_time() - start
    curve = [[k, round(sum(losses[k - 100 : k]) / 100, 4)] for k in range(100, LONG + 1, 100)]
    publish(
        f"ride_{name}", model.eval(), "gensr.models.ride.RIDE", {"hidden": 32, "layers": 1, "components": 8, "scales": 4, "features": 16},
        History(losses, seconds), {"nats": round(-score(model, test).mean().item(), 4)}, f"python recipes/ride_textures.py ship {name}", curve=curve,
        precision="float32", data=f"{ORIGIN[name]}, 176 of 256 columns; measured: −log p in nats per pixel of the last 48; curve: of training crops",
        licence="weights MIT; the picture is not in them",
    )


def rivals(name: str) -> None:
    """The shipped RIDE against MCGSMs trained as long, on the test strip; and what it draws beside the one of twelve pixels."""
    train, _, test = strips(name)
    models: dict[str, nn.Module] = {}
    for arm, (rows, columns, k, f) in WINDOWS.items():
        path, offsets = RUNS / f"ride_{name}_{rows}x{columns}.pt", neighbourhood(rows, columns)
        if not path.exists():
            torch.save(train_window(train, 0, arm, LONG)[0].state_dict(), path)
        models[arm] = MarkovMesh(offsets, MCGSM(len(offsets), k, 4, f))
        models[arm].load_state_dict(torch.load(path))
    if f"ride_{name}" not in weights.names():
        sys.exit(f"ride_{name}: no such weight yet; first `python recipes/ride_textures.py ship {name}`")
    models["memory"] = weights.load(f"ride_{name}")
    path = MEASURED / "ride_long.json"
    out: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"command": "python recipes/ride_textures.py rivals NAME"}
    out[name] = {arm: [round(v, 4) for v in score(m, test).tolist()] for arm, m in models.items()}
    path.write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(name, {arm: sum(v) / 5 for arm, v in out[name].items()})
    torch.manual_seed(0)
    drawn = torch.cat([models[arm].eval().sample(1, (96, 96), burn_in=32) for arm in ("window 3×5", "memory")], 3)  # type: ignore[operator]
    write_image(MEASURED / f"ride_{name}.png", drawn.expand(-1, 3, -1, -1))


if __name__ == "__main__":
    RUNS.mkdir(exist_ok=True)
    match sys.argv[1:]:
        case ["tune", name]:
            for arm in (*ARMS, *TRIED):
                print(run(name, arm, 0, part=1), flush=True)
        case ["ship", name]:
            ship(name)
        case ["rivals", name]:
            rivals(name)
        case names:
            compare(names or TEXTURES)
