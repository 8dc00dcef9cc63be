"""Seven ways to train one super-resolution network for 4×: MSE, AffMSE, SoftGAN, AffGAN, AffDAE, AffLL, StAffGAN; on grass, on faces, and on photographs.

    OMP_NUM_THREADS=1 python recipes/amortised.py grass            # everything for one set; or some of it:
    OMP_NUM_THREADS=1 python recipes/amortised.py faces AffGAN StAffGAN

Each generator has the same body, which adds to a bicubic enlargement ("-plain": to nothing). MSE and AffMSE are trained from nothing, and the step is kept
that did best on validation images; SoftGAN goes on from MSE, the others from AffMSE. (MSE and AffMSE over seeds: recipes/amortised_seeds.py.) The priors
(a denoiser, a PixelCNN++, an MCGSM) are trained first, on the same images. What is in runs/amortised_SET_NAME.pt is not trained again; stop it, and it goes
on where it was. The table is made by recipes/amortised_table.py, from images that no training here has seen.

- grass: scikit-image's grass, its 352 columns on the left, three quarters of each batch; 80 other textures (brick, gravel, Portilla & Simoncelli's, a part of
  DTD), the left 70 % of each, the last quarter. Grey.
- faces: the first 28 people of Olivetti (280 images of 64 × 64, and their mirror images). Grey.
- photos: T91 and BSDS500 train and test, in colour; MSE, AffMSE and AffGAN only.

Reference: Sønderby, Caballero, Theis, Shi, Huszár 2017, "Amortised MAP inference for image super-resolution", ICLR. The paper's nets are larger and its GANs
took days of a GPU; on one, `--channels 64 --blocks 16 --longer 20` is about its size (the table knows the shipped size only).
"""

import argparse
import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from common import RUNS, data_folder, training_images
from gensr.data.photos import EXAMPLES, example
from gensr.data.textures import NAMES, regions, texture
from gensr.metrics import psnr
from gensr.models.denoiser import DAE
from gensr.models.gan import anneal
from gensr.models.mcgsm import MCGSM, MarkovMesh, lbfgs, neighbourhood, pairs
from gensr.models.pixelcnnpp import PixelCNNpp
from gensr.nets import PatchCritic, ResBlock, SubPixelNet
from gensr.operators import Downsample
from gensr.superres.affine import AffineProjection
from gensr.superres.amortised import AmortisedDAE, AmortisedGAN, AmortisedLL, Regression
from gensr.superres.stochastic import StochasticProjection
from gensr.train import cosine, fit, fit_gan, has_fast_bfloat16

METHODS = ("MSE", "AffMSE", "SoftGAN", "AffGAN", "AffDAE", "AffLL", "StAffGAN")
MORE = ("AffLL-MCGSM", "MSE-plain", "AffMSE-plain")  # rows of their own: another density; a body that adds to no bicubic enlargement
SETS = {"grass": (*METHODS, *MORE), "faces": (*METHODS, *MORE), "photos": ("MSE", "AffMSE", "AffGAN")}
SCALE, LATENT = 4, 4
A = Downsample(SCALE)
SIZE = {"grass": 48, "faces": 64, "photos": 48}  # side of a training crop
BATCH = {"grass": 16, "faces": 12, "photos": 16}
STEPS = {
    "MSE": 2500, "AffMSE": 2500, "SoftGAN": 4000, "AffGAN": 6000, "StAffGAN": 4000, "AffDAE": 2500, "AffLL": 1200, "AffLL-MCGSM": 1200, "denoiser": 4000,
    "prior": 1200,
}
LONGER = {"grass": 1, "faces": 1, "photos": 5}  # times as many steps: photographs are the most varied
BASIS = {  # where a training begins, and what else it needs
    "SoftGAN": ["MSE"], "AffGAN": ["AffMSE"], "StAffGAN": ["AffMSE"], "AffDAE": ["AffMSE", "denoiser"], "AffLL": ["AffMSE", "prior"],
    "AffLL-MCGSM": ["AffMSE", "mcgsm"],
}
NOISE = {"grass": (0.05, 0.01), "faces": (0.03, 0.006), "photos": (0.03, 0.006)}  # σ of the instance noise at the start, and from 80 % of the steps on
GUIDE = (0.15, 0.02)  # σ of the denoiser's score, likewise
SOFT = 20.0  # weight of ‖A x̂ − y‖² in SoftGAN
CRITIC = 24  # channels


class Crops:
    """Endless pairs (x, A x) of random crops, mirrored or not; the first picture makes three quarters of each batch if `first` is set."""

    def __init__(self, pictures: list[Tensor], size: int, batch: int, first: bool = False, pairs: bool = True):
        self.pictures, self.size, self.batch, self.first, self.pairs = pictures, size, batch, first, pairs
        self.generator = torch.Generator().manual_seed(0)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        while True:
            crops = []
            for k in range(self.batch):
                m = 0 if self.first and k % 4 else self.number(len(self.pictures))
                h, w = self.pictures[m].shape[1:]
                i, j = self.number(h - self.size + 1), self.number(w - self.size + 1)
                crop = self.pictures[m][:, i : i + self.size, j : j + self.size]
                crops.append(crop.flip(2) if self.number(2) else crop)
            x = torch.stack(crops).float() / 255
            yield (x, A(x)) if self.pairs else (x,)

    def number(self, n: int) -> int:
        return int(torch.randint(n, (), generator=self.generator))

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])


def other_textures() -> list[Tensor]:
    """Brick, gravel and the textures of the data folder, grey, whole, (1, h, w) uint8, in the order of their paths."""
    folder = data_folder() / "gen" / "textures"
    paths = sorted(p for part in ("portilla_simoncelli", "dtd_part") for p in (folder / part).rglob("*") if p.suffix in (".png", ".jpg"))
    return [texture(n) for n in NAMES if n != "grass"] + [torch.from_numpy(np.array(Image.open(p).convert("L")))[None] for p in paths]


def pictures(data: str, part: str = "train") -> list[Tensor]:
    """uint8 images (c, h, w). Parts: train; validation, to choose settings and steps by; test, and for grass also "others", which only the table looks at."""
    if data == "photos":  # the settings of the two other sets; the photographs of scikit-image only to watch
        return training_images() if part == "train" else [(255 * example(n)[0, :, 60:220, 100:260]).byte() for n in EXAMPLES]
    if data == "faces":
        x = torch.from_numpy(np.load(data_folder() / "gen" / "olivetti" / "olivetti.npz")["x"])[:, None]  # ten images of each of forty people, in order
        return list({"train": x[:280], "validation": x[280:320], "test": x[320:]}[part])
    if part == "others":
        return [right(x) for x in other_textures()]
    grass = getattr(regions("grass"), part)
    return [grass] + [x[:, :, : x.shape[2] * 7 // 10] for x in other_textures()] if part == "train" else [grass]


def right(x: Tensor) -> Tensor:
    """What is right of the 70 % to train on, cut to multiples of the scale."""
    x = x[:, :, x.shape[2] * 7 // 10 :]
    return x[:, : x.shape[1] // SCALE * SCALE, : x.shape[2] // SCALE * SCALE]


def body(colours: int, extra: int, channels: int, blocks: int, skip: bool = True) -> SubPixelNet:
    return SubPixelNet(SCALE, colours, extra=extra, channels=channels, blocks=blocks, skip=skip)


def denoiser(colours: int) -> DAE:
    """Residual blocks on quarters of the pixels, as four times the channels (FFDNet's trick), with log σ as one more channel."""
    net = nn.Sequential(
        nn.PixelUnshuffle(2), nn.Conv2d(4 * (colours + 1), 48, 3, padding=1), *(ResBlock(48) for _ in range(5)),
        nn.Conv2d(48, 4 * colours, 3, padding=1), nn.PixelShuffle(2),
    )
    return DAE(net, (0.015, 0.3))


def prior(colours: int) -> PixelCNNpp:
    return PixelCNNpp(levels=256, hidden=24, layers=1, colours=colours, mixtures=5, dropout=0.0)


def mesh() -> MarkovMesh:
    """Each pixel given 24 before it: 8 components of 4 scales."""
    offsets = neighbourhood()
    return MarkovMesh(offsets, MCGSM(len(offsets), 8, 4, len(offsets)))


def fit_mesh(data: str) -> MarkovMesh:
    """By L-BFGS on 80,000 pixels with their contexts; three quarters from grass where there is grass."""
    images, n = pictures(data), 80_000
    parts = [images[:1], images[1:]] if data == "grass" else [images]
    shares = (0.75, 0.25) if data == "grass" else (1.0,)
    context, pixel = (torch.cat(v) for v in zip(*(pairs(p, neighbourhood(), round(n * share)) for p, share in zip(parts, shares, strict=True)), strict=True))
    model = mesh()
    model.whitening.fit(context, pixel)
    print(data, "mcgsm", [round(v, 4) for v in lbfgs(model, context, pixel, steps=80)[::20]], "nats per pixel", flush=True)
    return model


def train(data: str, name: str, options: argparse.Namespace) -> None:
    """Train one part, after the parts it stands on, and keep it in runs/."""
    final = RUNS / f"amortised_{data}_{name}.pt"
    best = final.with_suffix(".best")  # of the regressions: the averaged network at the step that did best on validation images
    if final.exists():
        return
    basis = BASIS.get(name, [])
    for part in basis:
        train(data, part, options)
    torch.manual_seed(0)
    if name == "mcgsm":
        began = time.process_time()
        torch.save({"generator": fit_mesh(data).state_dict(), "cpu_seconds_of_last_sitting": round(time.process_time() - began)}, final)
        return
    colours = 3 if data == "photos" else 1
    kind = name.removesuffix("-plain")
    steps = round(STEPS[kind] * LONGER[data] * options.longer)
    small = name in ("prior", "AffLL")  # PixelCNN++ is costly: smaller crops
    batches = Crops(pictures(data), 32 if small else SIZE[data], 8 if small else BATCH[data], data == "grass", name not in ("denoiser", "prior"))
    net: nn.Module = body(colours, LATENT if name == "StAffGAN" else 0, options.channels, options.blocks, skip=kind == name)
    if kind not in ("MSE", "SoftGAN"):
        net = StochasticProjection(net, A, LATENT) if name == "StAffGAN" else AffineProjection(net, A)
    keywords: dict[str, Any] = {
        "steps": steps, "checkpoint": final.with_suffix(".part"), "progress": False, "average": 0.999,
        # not where rounding A f to three digits shows: MSE and AffMSE differ by hundredths of a decibel, and the MCGSM measures in narrow whitened units
        "bfloat16": has_fast_bfloat16() and kind not in ("MSE", "AffMSE", "AffLL-MCGSM"),
        "callback": reporter(data, name, steps, best if kind.endswith("MSE") else None),
    }
    if basis:
        start(net, torch.load(RUNS / f"amortised_{data}_{basis[0]}.pt")["generator"])
    began, cpu = time.monotonic(), time.process_time()
    model: nn.Module
    if name.endswith("GAN"):
        sigma = anneal(NOISE[data][0], int(0.8 * steps), NOISE[data][1])
        model = AmortisedGAN(net, PatchCritic(colours, channels=CRITIC), A, soft=SOFT if name == "SoftGAN" else 0.0, sigma=sigma)
        players: Any = tuple(
            torch.optim.Adam([{"params": list(player.parameters()), "lr_scale": scale}], betas=(0.5, 0.999))
            for player, scale in ((net, 0.5), (model.critic, 1.0))  # the critic learns faster, as the theory wants it at its best
        )
        history = fit_gan(model, batches, lr=cosine(4e-4, steps), optimizer=players, **keywords)
    else:
        if name == "denoiser":
            model = denoiser(colours)
        elif name == "prior":
            model = prior(colours)
            if not final.with_suffix(".part").exists():
                model.initialise(next(iter(batches))[0])
        elif name == "AffDAE":
            guide = denoiser(colours)
            guide.load_state_dict(torch.load(RUNS / f"amortised_{data}_denoiser.pt")["generator"])
            model = AmortisedDAE(net, guide, A, sigma=anneal(GUIDE[0], int(0.8 * steps), GUIDE[1]))
        elif name == "AffLL-MCGSM":
            markov = mesh()
            markov.load_state_dict(torch.load(RUNS / f"amortised_{data}_mcgsm.pt")["generator"])
            model = AmortisedLL(net, markov, A, limits=(0.0, 1.0))
        elif name == "AffLL":
            density = prior(colours)
            density.load_state_dict(torch.load(RUNS / f"amortised_{data}_prior.pt")["generator"])
            model = AmortisedLL(net, density, A, limits=(0.0, 1.0))
        else:
            model = Regression(net, F.mse_loss)
        rate = {"denoiser": 1e-3, "prior": 2e-3, "AffDAE": 2e-4, "AffLL": 2e-4, "AffLL-MCGSM": 2e-4}.get(name, 1e-3)
        history = fit(model, batches, lr=cosine(rate, steps, warmup=20), **keywords)
    average: Any = history.average
    kept = average if name in ("denoiser", "prior") else average.generator
    if best.exists():  # three hundred faces are soon known by heart
        kept.load_state_dict(torch.load(best)["generator"])
    kept.cpu()
    about = {"steps": steps, "minutes": round(history.seconds / 60, 1), "cpu_seconds_of_last_sitting": round(time.process_time() - cpu)}
    torch.save({"generator": kept.state_dict(), "losses": history.losses, "critic_losses": history.critic_losses, **about}, final)
    final.with_suffix(".part").unlink(missing_ok=True)
    best.unlink(missing_ok=True)
    print(data, name, about, f"{time.monotonic() - began:.0f} s on the clock", flush=True)


def start(net: nn.Module, weights: dict[str, Tensor]) -> None:
    """Take over another generator's weights, projected or not; channels of noise, which it lacks, begin small."""
    weights = {k.removeprefix("network."): v for k, v in weights.items()}
    inner: Any = getattr(net, "network", net)
    head = inner.head.weight.data
    known = weights.pop("head.weight")
    inner.load_state_dict(weights, strict=False)
    head[:, : known.shape[1]] = known
    head[:, known.shape[1] :] *= 0.5


def reporter(data: str, name: str, steps: int, best: Path | None) -> Any:
    """Every fortieth of the training, a line in runs/amortised_SET.jsonl, with the PSNR of the averaged network on validation images; keep the best one."""
    every = max(1, steps // 40)
    x = torch.stack([p.float() / 255 for p in pictures(data, "validation")])
    highest = torch.load(best)["psnr"] if best and best.exists() else float("-inf")  # of earlier sittings, too

    def report(now: dict[str, Any]) -> None:
        nonlocal highest
        if now["step"] % every:
            return
        line = {"part": name, "step": now["step"], "loss": round(sum(now["history"].losses[-every:]) / every, 4)}
        if "critic_loss" in now:
            line["critic"] = round(sum(now["history"].critic_losses[-every:]) / every, 4)
        generator = getattr(now["average"], "generator", None)
        if generator is not None:
            with torch.no_grad():
                state = torch.random.get_rng_state()
                made = copy.deepcopy(generator).cpu().eval()(A(x))
                torch.random.set_rng_state(state)
            line["psnr"] = round(psnr(made.clamp(0, 1), x, data_range=1.0).mean().item(), 3)
            line["miss"] = (A(made) - A(x)).square().mean().item()
            if best and line["psnr"] > highest:
                highest = line["psnr"]
                torch.save({"psnr": highest, "generator": {k: v.cpu() for k, v in generator.state_dict().items()}}, best)
        with open(RUNS / f"amortised_{data}.jsonl", "a") as f:
            f.write(json.dumps(line) + "\n")

    return report


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", choices=SETS)
    arguments.add_argument("parts", nargs="*", help=f"of {', '.join(METHODS)}, denoiser, prior; by default all methods of the set")
    arguments.add_argument("--channels", type=int, default=32)
    arguments.add_argument("--blocks", type=int, default=6)
    arguments.add_argument("--longer", type=float, default=1.0, help="times the number of steps")
    given = arguments.parse_args()
    RUNS.mkdir(exist_ok=True)
    for part in given.parts or SETS[given.data]:
        train(given.data, part, given)
