"""Measure what recipes/amortised.py has trained, on images that it has not seen; ship the weights; write the table and the claims of the chapters.

    OMP_NUM_THREADS=1 python recipes/amortised_table.py            # minutes

Each answer is judged as it leaves the network, by how far A x̂ is from y ("miss", the mean of squares, and "miss_max"), and as a file would hold it, clipped and
rounded to 8 bits: SSIM and PSNR (grey levels, all pixels; photographs: the protocol of `sr_scores`), LPIPS (AlexNet; grey as three equal colours), LR-PSNR
and the miss again ("miss8"). Writes book/chapters/measured/amortised.json and amortised_claims.json.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from amortised import LATENT, METHODS, MORE, SETS, A, pictures, prior
from common import ROOT, RUNS, data_folder, publish, revision, set5_scores
from gensr import weights
from gensr.claims import claim
from gensr.data.photos import load_folder
from gensr.data.textures import tiles
from gensr.metrics import lpips, lr_psnr, psnr, sr_scores, ssim
from gensr.resize import bicubic_upsample
from gensr.superres.affine import AffineProjection
from gensr.train import History

MEASURED = ROOT / "book" / "chapters" / "measured"
NAMES = {"photos": "{}_x4"}  # of the weights; those for photographs are what `gensr upscale` offers
COMMAND = "OMP_NUM_THREADS=1 python recipes/amortised_table.py"
SAMPLES = 8
DATA = {
    "grass": ("scikit-image's grass, brick, gravel (CC0); textures of Portilla & Simoncelli 2000, part of DTD (Cimpoi et al. 2014)", "the textures of DTD"),
    "faces": ("28 people of the Olivetti faces (AT&T Laboratories Cambridge 1994)", "the faces"),
    "photos": ("T91 (91 images, Yang et al. 2010) and BSDS500 train and test (399 images, Martin et al. 2001; Arbeláez et al. 2011)", "the training images"),
}


def spec(data: str, method: str, channels: int = 32, blocks: int = 6) -> tuple[str, dict[str, Any]]:
    """The class and arguments of a generator, as a card has them."""
    extra = LATENT if method == "StAffGAN" else 0
    body = {"scale": 4, "colours": 3 if data == "photos" else 1, "extra": extra, "channels": channels, "blocks": blocks}
    if method.endswith("-plain"):
        body["skip"] = False
    if method in ("MSE", "SoftGAN", "MSE-plain"):
        return "gensr.nets.SubPixelNet", body
    inside: dict[str, Any] = {
        "network": {"model": "gensr.nets.SubPixelNet", "arguments": body},
        "operator": {"model": "gensr.operators.downsample.Downsample", "arguments": {"scale": 4}},
    }
    if extra:
        return "gensr.superres.stochastic.StochasticProjection", {**inside, "latent": LATENT}
    return "gensr.superres.affine.AffineProjection", inside


def weight_name(data: str, method: str) -> str:
    return f"{method.lower()}_x4" if data == "photos" else f"{data}_{method.lower()}"


def test_parts(data: str) -> list[tuple[str, list[Tensor], list[int]]]:
    """Test sets: their name, images (1, c, h, w) in [0, 1], and for each image the region or person it belongs to."""
    if data == "photos":
        found = [x[:, : x.shape[1] // 4 * 4, : x.shape[2] // 4 * 4][None].float() / 255 for x in load_folder(data_folder() / "sr" / "bsd100" / "hr")]
        return [("photos", found, list(range(len(found))))]
    if data == "faces":
        people = [x[None].float() / 255 for x in pictures("faces", "test")]
        return [("faces", people, [i // 10 for i in range(len(people))])]
    grass = tiles(pictures("grass", "test")[0], 96).float().split(1)
    others = [x[None].float() / 255 for x in pictures("grass", "others")]
    return [("grass", [x / 255 for x in grass], list(range(len(grass)))), ("others", others, list(range(len(others))))]


@torch.no_grad()
def judge(net: Callable[[Tensor], Tensor], images: list[Tensor], colour: bool) -> dict[str, list[float]]:
    """Every figure for every image."""
    found: dict[str, list[float]] = {k: [] for k in ("ssim", "psnr", "miss", "miss_max", "miss8", "miss8_max", "lpips", "lr_psnr")}
    for x in images:
        y = A(x)
        made = net(y)
        miss = (A(made) - y).abs()
        stored = (made.clamp(0, 1) * 255).round() / 255
        miss8 = (A(stored) - y).abs()
        wide, wide_x, wide_y = (v.expand(-1, 3, -1, -1) for v in (stored, x, y))
        scores = sr_scores(made, x, 4) if colour else (psnr(stored, x, data_range=1.0), ssim(stored, x, data_range=1.0))
        for key, value in (
            ("psnr", scores[0]), ("ssim", scores[1]), ("miss", miss.square().mean()), ("miss_max", miss.max()), ("miss8", miss8.square().mean()),
            ("miss8_max", miss8.max()), ("lpips", lpips(wide, wide_x)), ("lr_psnr", lr_psnr(wide, wide_y)),
        ):
            found[key].append(value.item())
    return found


def ship(data: str) -> dict[str, nn.Module]:
    """Write the weights of a set into the zoo, in float16, and load them as a reader would."""
    nets: dict[str, nn.Module] = {}
    for method in SETS[data]:
        saved = torch.load(RUNS / f"amortised_{data}_{method}.pt")
        name = weight_name(data, method)
        model, arguments = spec(data, method)
        net = weights.build(model, arguments)
        net.load_state_dict(saved["generator"])
        if method in MORE or (data == "photos" and method == "MSE"):  # in the table only
            nets[method] = net.eval()
            continue
        about, whose = DATA[data]
        history = History(losses=saved["losses"], seconds=60 * saved["minutes"])
        lines = [json.loads(line) for line in (RUNS / f"amortised_{data}.jsonl").read_text().splitlines()]
        curve = [[c["step"], c.get("psnr", c["loss"])] for c in lines if c["part"] == method]
        images = [x for part, found, _ in test_parts(data) if part == data for x in found]
        half = weights.build(model, arguments).eval()
        half.load_state_dict({k: v.half().float() for k, v in saved["generator"].items()})
        torch.manual_seed(0)
        scores = judge(half, images, data == "photos")
        measured = {k: round(sum(scores[k]) / len(images), 4) for k in ("psnr", "ssim", "lpips")}
        if data == "photos":  # Set5 on the card, as for the other networks of the package
            measured = {**set5_scores(half), "lpips_bsd100": measured["lpips"], "psnr_bsd100": measured["psnr"]}
        publish(
            name, net, model, arguments, history, measured, f"python recipes/amortised.py {data} {method}", curve=curve, data=about,
            licence=f"weights MIT; {whose} are for research and education, and are not in them",
        )
        nets[method] = weights.load(name)
    return nets


def table(data: str) -> dict[str, Any]:
    """Rows for every test set of one kind of data, with all figures image by image in "each"."""
    shipped = ship(data)
    nets: dict[str, Callable[[Tensor], Tensor]] = {"bicubic": lambda y: bicubic_upsample(y, 4), "A⁺y": A.pinv, **shipped}
    if "MSE" in shipped:
        nets["MSE, projected"] = AffineProjection(shipped["MSE"], A)  # afterwards, with no training
    out: dict[str, Any] = {}
    for part, images, groups in test_parts(data):
        rows = []
        for method, net in nets.items():
            torch.manual_seed(0)
            each = judge(net, images, data == "photos")
            row: dict[str, Any] = {"method": method} | {k: round_to(sum(v) / len(v), 5) for k, v in each.items()}
            row["miss_max"], row["miss8_max"] = round_to(max(each["miss_max"]), 3), round_to(max(each["miss8_max"]), 3)
            rows.append(row | {"each": {k: [round_to(v, 7) for v in each[k]] for k in ("psnr", "lpips", "miss")}})
        out[part] = {"images": len(images), "groups": groups, "rows": rows}
        print(part, *(json.dumps({k: v for k, v in r.items() if k != "each"}, ensure_ascii=False) for r in rows), sep="\n", flush=True)
    return out


def round_to(x: float, digits: int) -> float:
    return float(f"{x:.{digits}g}")


def by_group(part: dict[str, Any], method: str, key: str) -> Tensor:
    """The mean of a figure over the images of each region or person."""
    each = torch.tensor(next(r["each"][key] for r in part["rows"] if r["method"] == method), dtype=torch.float64)
    groups = torch.tensor(part["groups"])
    return torch.stack([each[groups == k].mean() for k in groups.unique()])


def claims_of(name: str, part: dict[str, Any]) -> dict[str, Any]:
    """What the paper found on its images, judged on ours. Bounds were set before the figures were seen."""
    what = {"grass": "regions", "others": "textures", "faces": "people", "photos": "photographs"}[name]
    where = {"others": "other textures", "photos": "photographs"}.get(name, name)
    methods = [r["method"] for r in part["rows"]]

    def gain(key: str, a: str, b: str) -> Tensor:
        return by_group(part, a, key) - by_group(part, b, key)

    def judged(statement: str, effect: Tensor, unit: str, **bound: float) -> Any:
        return claim(f"{where}: {statement}", lambda i: effect[i].item(), range(len(effect)), unit=unit, over=what, **bound)

    found = {
        "affmse_psnr": judged("AffMSE minus MSE, PSNR", gain("psnr", "AffMSE", "MSE"), "dB", at_least=0.0),
        "affmse_miss": judged(
            "log₁₀ of how many times smaller AffMSE's ℓ(y, A x̂) is than MSE's", (by_group(part, "MSE", "miss") / by_group(part, "AffMSE", "miss")).log10(), "",
            at_least=4.0,
        ),
    }
    if "MSE-plain" in methods:
        found["plain_psnr"] = judged("AffMSE minus MSE, both with the plain body, PSNR", gain("psnr", "AffMSE-plain", "MSE-plain"), "dB", at_least=0.0)
    gans, guided = ([m for m in family if m in methods] for family in (("SoftGAN", "AffGAN", "StAffGAN"), ("AffDAE", "AffLL")))
    for key, quantity, unit in (("lpips", "LPIPS (lower is better)", ""), ("psnr", "PSNR", "dB")):
        worst = torch.stack([gain(key, m, "MSE") for m in gans]).amax(0)
        found[f"gans_{key}"] = judged(f"{', '.join(gans)} minus MSE, {quantity}; the largest difference", worst, unit, at_most=0.0)
    if guided:
        least = torch.stack([gain("lpips", m, "AffGAN") for m in guided]).amin(0)
        found["blurry"] = judged(f"{' and '.join(guided)} minus AffGAN, LPIPS: blurrier; the smallest difference", least, "", at_least=0.0)
    worst = max(r["miss_max"] for r in part["rows"] if r["method"].startswith(("Aff", "StAff")))
    found["exact"] = claim(f"{where}: the largest |A x̂ − y| of any Aff network before clipping, float32", worst, at_most=1e-6)
    return {f"{name}_{k}": v for k, v in found.items()}


@torch.no_grad()
def likelihoods(data: str) -> dict[str, float]:
    """What the PixelCNN++ thinks of the truth and of each answer, in bits per pixel: 32 × 32 crops, 8 bits. Fewer bits are likelier."""
    model = prior(1)
    model.load_state_dict(torch.load(RUNS / f"amortised_{data}_prior.pt")["generator"])
    model.eval()
    images = test_parts(data)[0][1]
    out = {}
    torch.manual_seed(0)
    for method in ("truth", "A⁺y", *METHODS):
        net = None if method in ("truth", "A⁺y") else weights.load(weight_name(data, method))
        total, count = 0.0, 0
        for x in images[::4] if data == "faces" else images:
            made = x if method == "truth" else A.pinv(A(x)) if net is None else net(A(x))
            crops = tiles((made[0].clamp(0, 1) * 255).round() / 255, 32)
            total, count = total - model.log_prob(crops).sum().item(), count + crops.numel()
        out[method] = round(total / count / 0.6931472, 3)
    return out


@torch.no_grad()
def diversity(data: str) -> dict[str, float]:
    """Of StAffGAN's samples: deviation over samples at each pixel in grey levels, and PSNR of one sample and of the mean of many."""
    net: Any = weights.load(weight_name(data, "StAffGAN"))
    torch.manual_seed(0)
    spread, one, mean, lp_one, lp_mean, moved = [], [], [], [], [], 0.0
    for x in test_parts(data)[0][1]:
        samples = torch.cat([net(A(x)) for _ in range(2 * SAMPLES)])
        moved = max(moved, (A(samples) - A(x)).abs().max().item())
        samples = samples.clamp(0, 1)
        spread.append(255 * samples.std(0).mean().item())
        average = samples.mean(0, keepdim=True)
        one.append(psnr(samples, x.expand_as(samples), data_range=1.0).mean().item())
        mean.append(psnr(average, x, data_range=1.0).item())
        lp_one.append(lpips(samples[:1].expand(-1, 3, -1, -1), x.expand(-1, 3, -1, -1)).item())
        lp_mean.append(lpips(average.expand(-1, 3, -1, -1), x.expand(-1, 3, -1, -1)).item())
    n = len(one)
    return {
        "samples": 2 * SAMPLES, "sigma_255": round(sum(spread) / n, 2), "psnr_one": round(sum(one) / n, 3), "psnr_mean": round(sum(mean) / n, 3),
        "lpips_one": round(sum(lp_one) / n, 4), "lpips_mean": round(sum(lp_mean) / n, 4), "miss_max": round_to(moved, 3),
    }


def main(chosen: list[str]) -> None:
    torch.set_num_threads(1)
    path = MEASURED / "amortised.json"
    for data in chosen or list(SETS):
        began = time.process_time()
        parts = table(data)
        stored = json.loads(path.read_text()) if path.exists() else {}
        for name, part in parts.items():
            for key, found in claims_of(name, part).items():
                found.save(MEASURED / "amortised_claims.json", COMMAND, "a few CPU minutes, after the trainings of recipes/amortised.py", key)
                print(key, found)
            for row in part["rows"]:
                del row["each"]
            del part["groups"]
            stored[name] = part
        if data != "photos":
            stored[data]["bits"] = likelihoods(data)
            stored[data]["diversity"] = diversity(data)
        trained = [*SETS[data], *(["denoiser", "prior", "mcgsm"] if data != "photos" else [])]
        seconds = {m: torch.load(RUNS / f"amortised_{data}_{m}.pt")["cpu_seconds_of_last_sitting"] for m in trained}  # the clock's depend on the neighbours
        stored[data]["cpu_minutes"] = {m: round(v / 60, 1) for m, v in seconds.items()}
        stored[data]["cpu_seconds_of_the_table"] = round(time.process_time() - began)
        stored["command"], stored["cost"] = COMMAND, "after the trainings of `recipes/amortised.py`, less than an hour of two cores for each set"
        stored[data] |= {"command": " ".join([COMMAND, data]), "revision": revision()}
        path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
