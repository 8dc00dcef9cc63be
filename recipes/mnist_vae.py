"""Train the VAE, and the hierarchical one, on MNIST in black and white: data → train → evaluate → safetensors + card.

    OMP_NUM_THREADS=1 python recipes/mnist_vae.py vae
    OMP_NUM_THREADS=1 python recipes/mnist_vae.py vae_small     # as many parameters as the hierarchical one; its figures only, no weight
    OMP_NUM_THREADS=1 python recipes/mnist_vae.py nvae

Training images are drawn anew at every meeting. The test set is one fixed draw, `binarised(test, seed=0)`, looked at once, at the end.
Stops and resumes at will.

The shipped weights were stopped once and resumed with another number of steps, which changes the cosine of the rate: mnist_vae had 77,000 steps under a cosine
of 250,000 before those of 150,000, and mnist_nvae 8,400 under one of 18,000. The commands above make weights like them, not the same ones.
"""

import argparse
import json
import sys
import time
from typing import Any

import torch
from torch import Tensor, nn

from common import ROOT, RUNS, publish
from gensr.data.mnist import Binarised, binarised, mnist
from gensr.models.nvae import NVAE
from gensr.models.vae import VAE
from gensr.train import cosine, fit

MEASURED = ROOT / "book" / "chapters" / "measured"
RUNSHEET: dict[str, dict[str, Any]] = {
    "vae": {
        "arguments": {"shape": [1, 28, 28], "latent": 40, "hidden": 300}, "warmup": 20_000, "batch": 128, "steps": 150_000, "lr": 1e-3, "average": 0.9995,
        "every": 10_000,
    },
    "vae_small": {
        "arguments": {"shape": [1, 28, 28], "latent": 40, "hidden": 186}, "warmup": 20_000, "batch": 128, "steps": 150_000, "lr": 1e-3, "average": 0.9995,
        "every": 10_000,
    },
    "nvae": {
        "arguments": {"shape": [1, 28, 28], "groups": [3, 1], "channels": 40, "latent": 8}, "warmup": 3000, "batch": 64, "steps": 20_000, "lr": 2e-3,
        "average": 0.999, "every": 1000,
    },
}


def build(name: str) -> nn.Module:
    s = RUNSHEET[name]
    if name != "nvae":
        return VAE(**s["arguments"])
    return NVAE(**s["arguments"], warmup=s["warmup"]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.no_grad()
def bounds(model: Any, x: Tensor, samples: int = 0) -> dict[str, float]:
    """Minus the ELBO and its KL, and minus the importance-weighted bound where asked for, in nats per image."""
    torch.manual_seed(0)
    parts = [model.elbo(part) for part in x.split(500)]
    found = {"nats": -torch.cat([e.total for e in parts]).mean().item(), "kl": torch.cat([e.kl for e in parts]).mean().item()}
    if samples:
        found[f"iw{samples}"] = -torch.cat([model.iw_bound(part, samples) for part in x.split(500)]).mean().item()
    return {k: round(v, 2) for k, v in found.items()}


@torch.no_grad()
def settle(model: nn.Module, images: Tensor) -> None:
    """Take the batch normalisations' statistics anew: an averaged model carries those of the weights it was averaged from, which cost it a nat."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if norms:
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # the plain mean over the batches
        torch.manual_seed(0)
        model.train()
        for _, x in zip(range(40), Binarised(images, 128, seed=2), strict=False):
            model.elbo(x)  # type: ignore[operator]
    model.eval()


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model", choices=list(RUNSHEET))
    a.add_argument("--steps", type=int)
    a = a.parse_args()
    s, name = RUNSHEET[a.model], f"mnist_{a.model}"
    steps = a.steps or s["steps"]
    torch.manual_seed(0)
    data = mnist()
    validation = binarised(data.train[-2000:], seed=1)
    model = build(a.model)
    RUNS.mkdir(exist_ok=True)
    log = RUNS / f"{name}.jsonl"
    started = time.process_time()

    def callback(now: dict[str, Any]) -> None:
        if a.model != "nvae":  # NVAE warms up by itself; here the KL's weight rises, so that no latent is switched off before the decoder can read it
            model.beta = min(1.0, (now["step"] + 1) / s["warmup"])  # type: ignore[assignment]
        if now["step"] % s["every"] == 0 or now["step"] in (100, 1000):
            losses = now["history"].losses[-s["every"] :]
            with torch.random.fork_rng():
                settle(now["average"], data.train[:-2000])
                found = bounds(now["average"], validation)
            line = {"step": now["step"], "loss": round(sum(losses) / len(losses), 2), **found, "cpu_seconds": round(time.process_time() - started)}
            with open(log, "a") as f:
                f.write(json.dumps(line) + "\n")

    history = fit(
        model, Binarised(data.train[:-2000], s["batch"]), steps=steps, lr=cosine(s["lr"], steps, warmup=500), checkpoint=RUNS / f"{name}.pt",
        average=s["average"], callback=callback, progress=False,
    )
    settle(history.average, data.train[:-2000])  # type: ignore[arg-type]
    best = history.average.half().float()  # type: ignore[union-attr]  # what will be shipped
    test = binarised(data.test, seed=0)
    measured = bounds(best, test, samples=500 if a.model != "nvae" else 0)
    if a.model == "vae_small":
        parameters = sum(p.numel() for p in model.parameters())
        found = {**measured, "parameters": parameters, "minutes": round(history.seconds / 60, 1), "command": " ".join(["python", *sys.argv])}
        MEASURED.mkdir(exist_ok=True)
        (MEASURED / "mnist_vae_small.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(found)
        return
    if a.model == "nvae":
        with torch.no_grad():
            kls = torch.cat([best.elbo(part).kls for part in test.split(500)]).mean(0)  # type: ignore[operator]
        measured |= {f"kl_{i + 1}": round(v, 2) for i, v in enumerate(kls.tolist())}
        part = bounds(best, test[:1000], samples=100)  # dear: each draw runs the whole network
        measured |= {"gain_iw100": round(part["nats"] - part["iw100"], 2)}
    curve = [[c["step"], c["nats"]] for c in (json.loads(line) for line in log.read_text().splitlines())]
    publish(
        name, best, "gensr.models.nvae.NVAE" if a.model == "nvae" else "gensr.models.vae.VAE", s["arguments"], history, measured,
        " ".join(["python", *sys.argv]), curve=curve, data="MNIST, 58,000 training images drawn anew at every meeting; figures: binarised(test, seed=0)",
        licence="weights MIT; data MIT (rasbt/mnist-pngs)", precision="float32",
    )


if __name__ == "__main__":
    main()
