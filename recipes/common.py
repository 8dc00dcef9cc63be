"""What the recipes share: where the data lies, scoring on Set5, and writing a weight with its card."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gensr.data.photos import crop_to_multiple, load_folder
from gensr.metrics import sr_scores
from gensr.resize import imresize
from gensr.train import History

ROOT = Path(__file__).parents[1]
RUNS, ZOO = ROOT / "runs", ROOT / "src" / "gensr" / "zoo"


def data_folder() -> Path:
    """The folder named by GENSR_DATA; a recipe cannot do without it."""
    folder = os.environ.get("GENSR_DATA")
    if not folder or not Path(folder).is_dir():
        sys.exit("GENSR_DATA: set it to the folder with train/ and sr/ (see `gensr data list`)")
    return Path(folder)


def training_images() -> list[Tensor]:
    """T91, and the BSDS train and test images at full and at 0.7 of their size (the smaller copies have fewer JPEG blocks); 889 images."""
    train = data_folder() / "train"
    photos = load_folder(train / "bsds300_train") + load_folder(train / "bsds500_test")
    return load_folder(train / "t91") + photos + [imresize(x, 0.7) for x in photos]


@torch.no_grad()
def set5_scores(net: nn.Module) -> dict[str, float]:
    """Mean PSNR-Y and SSIM-Y on Set5 by the published protocol, LR by our imresize (equal to MATLAB's files)."""
    net.eval()
    s, psnr, ssim = int(net.scale), [], []  # type: ignore[arg-type]
    for x in load_folder(data_folder() / "sr" / "set5" / "hr"):
        x = crop_to_multiple(x, s)
        y = imresize(x, 1 / s)[None].float() / 255
        scores = sr_scores(net(y), x[None].float() / 255, s)
        psnr.append(scores.psnr.item())
        ssim.append(scores.ssim.item())
    return {"psnr": round(sum(psnr) / len(psnr), 4), "ssim": round(sum(ssim) / len(ssim), 5)}


def curve_callback(name: str, every: int, validate: Callable[[nn.Module], dict[str, float]]) -> Callable[[dict[str, Any]], None]:
    """Every so many steps, score the averaged model and append a line to runs/NAME.jsonl."""
    RUNS.mkdir(exist_ok=True)

    def callback(now: dict[str, Any]) -> None:
        if now["step"] % every:
            return
        losses = now["history"].losses[-every:]
        line = {"step": now["step"], "loss": round(sum(losses) / len(losses), 6), **validate(now["average"] or now["model"])}
        line["seconds"] = round(now["history"].seconds)  # as of the last checkpoint
        with open(RUNS / f"{name}.jsonl", "a") as f:
            f.write(json.dumps(line) + "\n")
        now["model"].train()

    return callback


PHOTOS = "T91 (91 images, Yang et al. 2010) and BSDS500 train and test (399 images, Martin et al. 2001; Arbeláez et al. 2011)"
PHOTOS_LICENCE = "weights MIT; the training images are for non-commercial research and education, and are not in them"


def publish(
    name: str, net: nn.Module, model: str, arguments: dict[str, Any], history: History, measured: dict[str, float], command: str, *,
    curve: list[list[float]] | None = None, data: str = PHOTOS, licence: str = PHOTOS_LICENCE, precision: str = "bfloat16",
) -> None:
    """Write zoo/NAME.safetensors in float16 and its card in zoo/manifest.toml; the curve is by default the PSNR in runs/NAME.jsonl."""
    path = ZOO / f"{name}.safetensors"
    save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, path)
    if curve is None:
        curve = [[c["step"], c["psnr"]] for c in (json.loads(line) for line in (RUNS / f"{name}.jsonl").read_text().splitlines())]
    card = {
        "model": model, "arguments": arguments, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size,
        "parameters": sum(p.numel() for p in net.parameters()), "recipe": command, "revision": revision(), "data": data, "licence": licence,
        "steps": history.steps, "minutes": round(history.seconds / 60, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} CPU thread(s), {precision}", "measured": measured, "curve": curve,
    }
    manifest = tomllib.loads((ZOO / "manifest.toml").read_text()) if (ZOO / "manifest.toml").exists() else {}
    manifest[name] = card
    head = "# Written by the recipes: one card for each weight shipped with the package.\n"
    (ZOO / "manifest.toml").write_text(head + "".join(f"\n[{n}]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in c.items()) for n, c in sorted(manifest.items())))
    print(f"{path}: {card['bytes']} bytes, {measured}")


def toml(v: Any) -> str:
    """One value in TOML."""
    if isinstance(v, dict):
        return "{ " + ", ".join(f"{k} = {toml(x)}" for k, x in v.items()) + " }"
    return json.dumps(v, ensure_ascii=False)


def revision() -> str:
    """The commit the recipe ran at."""
    return subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False).stdout.strip() or "unknown"
