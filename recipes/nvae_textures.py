"""Train the hierarchical VAE on 32×32 crops of brick, grass and gravel in 32 grey levels, and measure its bits per pixel: data → train → evaluate.

    OMP_NUM_THREADS=1 python recipes/nvae_textures.py            # about ten minutes on one core
    python recipes/nvae_textures.py --large                      # the same, sized for one GPU

The data are those of recipes/glow.py: the same levels, the same strips, so that the bits compare. The averaged model is scored on the validation strips as it
goes and the best is kept; the test strips are looked at once, at the end. Stops and resumes at will.
Writes book/chapters/measured/nvae_textures.json and .png.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from common import ROOT, RUNS
from gensr.data.textures import held_out
from gensr.densities import bits_per_dim, discretized_logistic_log_prob
from gensr.models.nvae import NVAE
from gensr.train import cosine, fit
from glow import BINS, Coarse, coarse

MEASURED = ROOT / "book" / "chapters" / "measured"
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "groups": (2, 2), "channels": 24, "latent": 4, "spectral": 0.0, "checkpointing": False, "batch": 32, "steps": 1500, "every": 150, "lr": 2e-3,
    },
    "large": {  # 20 groups, 16 million parameters
        "groups": (8, 12), "channels": 128, "latent": 16, "spectral": 1e-2, "checkpointing": True, "batch": 64, "steps": 60_000, "every": 2000, "lr": 1e-3,
    },
}


class LocalLogistic(nn.Module):
    """The discretised logistic with a scale for every pixel of every image, from the network: mortar is smooth, grass is not."""

    outputs = 2  # channels read for each channel of the image: location, log-scale

    def __init__(self, levels: int = BINS):
        super().__init__()
        self.levels = levels

    def parts(self, out: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = out.chunk(2, 1)
        return mean, (log_scale - 2).clamp(-7, 2)

    def log_prob(self, x: Tensor, out: Tensor) -> Tensor:
        return discretized_logistic_log_prob(2 * x - 1, *self.parts(out), self.levels)

    def mean(self, out: Tensor) -> Tensor:
        return (0.5 * self.parts(out)[0] + 0.5).clamp(0, 1)

    def sample(self, out: Tensor) -> Tensor:
        mean, log_scale = self.parts(out)
        v = 0.5 * (mean + log_scale.exp() * torch.logit(torch.rand_like(mean).clamp(1e-6, 1 - 1e-6))) + 0.5
        return (v * (self.levels - 1)).round().clamp(0, self.levels - 1) / (self.levels - 1)


def build(size: str, steps: int) -> NVAE:
    """The model, with a quiet start: each group's z feeds the next group's prior, and with the usual random weights twenty of them amplify one another
    until the first KL is a hundred million nats. A tenth of the last layers' weights keeps every prior near N(0, 1) at first.
    """
    s = SIZES[size]
    options = {k: s[k] for k in ("groups", "channels", "latent", "spectral", "checkpointing")}
    model = NVAE((1, 32, 32), likelihood=LocalLogistic(), warmup=round(0.3 * steps), **options)
    for group in model.groups:
        for head in (group.posterior, group.prior or []):
            for last in head[-1:]:  # type: ignore[index]
                nn.init.normal_(last.weight, std=0.1 / last.weight[0].numel() ** 0.5)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.no_grad()
def bits(model: Any, x: Tensor, draws: int = 4) -> float:
    """The bound in bits per pixel: a mean over so many draws of the latents."""
    total = torch.stack([torch.cat([model.elbo(part).total for part in x.split(48)]) for _ in range(draws)])
    return bits_per_dim(total.mean(), x[0].numel()).item()


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--large", action="store_true", help="the size for one GPU")
    a.add_argument("--steps", type=int)
    a = a.parse_args()
    size = "large" if a.large else "small"
    s, name = SIZES[size], "nvae_textures_large" if a.large else "nvae_textures"
    steps = a.steps or s["steps"]
    torch.manual_seed(0)
    model, device = build(size, steps), "cuda" if torch.cuda.is_available() else "cpu"
    validation, test = (coarse(held_out(part)).to(device) for part in ("validation", "test"))
    RUNS.mkdir(exist_ok=True)
    log, kept, started = RUNS / f"{name}.jsonl", RUNS / f"{name}_best.pt", time.process_time()

    def callback(now: dict[str, Any]) -> None:
        if now["step"] % s["every"]:
            return
        losses = now["history"].losses[-s["every"] :]
        line = {"step": now["step"], "loss": round(sum(losses) / len(losses), 2), "bits": round(bits(now["average"].eval(), validation), 4)}
        line["seconds"] = round(time.process_time() - started)
        with open(log, "a") as f:
            f.write(json.dumps(line) + "\n")
        if line["bits"] <= min(json.loads(row)["bits"] for row in log.read_text().splitlines()):
            torch.save({"model": now["average"].state_dict(), "step": now["step"]}, kept)

    history = fit(
        model, Coarse(batch=s["batch"]), steps=steps, lr=cosine(s["lr"], steps, warmup=200), checkpoint=RUNS / f"{name}.pt", average=0.998, callback=callback,
        bfloat16=a.large, progress=a.large,
    )
    best: Any = history.average.eval()  # type: ignore[union-attr]
    chosen = torch.load(kept, weights_only=True)
    best.load_state_dict(chosen["model"])
    measure(best, test, name, {"step": chosen["step"], "steps": steps, "minutes": round(history.seconds / 60, 1)})


@torch.no_grad()
def measure(best: Any, test: Tensor, name: str, found: dict[str, Any]) -> None:
    """Bits of the test tiles by the bound and by 100 importance samples, the rate of each group; the figure."""
    torch.manual_seed(1)
    found["bits"] = round(bits(best, test), 4)
    found["iw100"] = round(bits_per_dim(torch.cat([best.iw_bound(part, 100) for part in test.split(48)]).mean(), test[0].numel()).item(), 4)
    kls = torch.stack([torch.cat([best.elbo(part).kls for part in test.split(48)]) for _ in range(4)]).mean((0, 1))
    found["kls"] = [round(v, 1) for v in kls.tolist()]
    found |= {"parameters": sum(p.numel() for p in best.parameters()), "tiles": len(test), "command": " ".join(["python", *sys.argv])}
    found["curve"] = [[c["step"], c["bits"]] for c in (json.loads(line) for line in (RUNS / f"{name}.jsonl").read_text().splitlines())]
    MEASURED.mkdir(exist_ok=True)
    (MEASURED / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    x = test[[2, 19, 60, 75, 110, 130]]
    told = [x, *(best.reconstruct(x, n, tau=0.0) for n in range(len(best.groups), -1, -1))]
    best.recalibrate()
    draw(told, [best.sample(6) for _ in told], MEASURED / f"{name}.png")
    print(found)


def draw(left: list[Tensor], right: list[Tensor], path: Path) -> None:
    """Rows of tiles (n, 1, h, w) with white gaps, two blocks side by side, pixel for pixel."""
    blocks = [torch.cat([torch.cat([nn.functional.pad(v, (0, 2, 0, 2), value=1.0)[0] for v in row], 1) for row in rows]).cpu() for rows in (left, right)]
    picture = torch.cat([blocks[0], torch.ones(len(blocks[0]), 8), blocks[1]], 1)
    Image.fromarray((picture * 255).round().byte().numpy()).save(path, optimize=True)


if __name__ == "__main__":
    main()
