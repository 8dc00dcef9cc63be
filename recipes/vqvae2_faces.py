"""Train VQ-VAE-2 on faces of 24×24 pixels, and look at what each of its two levels says alone: data → train → evaluate → safetensors + card.

    OMP_NUM_THREADS=1 python recipes/vqvae2_faces.py plain      # both levels always speak, as in the paper; its figures only, no weight
    OMP_NUM_THREADS=1 python recipes/vqvae2_faces.py            # in a fifth of the batches the top speaks alone; ships faces_vqvae2

Stops and resumes at will. Writes book/chapters/measured/vq_faces.json. The squared errors are of pixels in [0, 1]; the 20 test faces are of other people.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from common import ROOT, RUNS, publish
from gensr.data.faces import faces
from gensr.models.vqvae import VQVAE2, perplexity
from gensr.train import cosine, fit

OUT = ROOT / "book" / "chapters" / "measured" / "vq_faces.json"
ARGUMENTS = {"channels": 1, "hidden": 24, "codes": 64, "dim": 8, "beta": 0.01, "decay": 0.9, "revive": 0.25}
STEPS, EVERY = 3000, 200
DATA = "80 faces of scikit-image's lfw_subset, each also mirrored, in four crops of 24×24 (Labeled Faces in the Wild, Huang et al. 2007)"
LICENCE = "weights MIT; the images come with scikit-image (BSD-3)"


class Crops:
    """Batches of 32 faces, cut from their 25×25 pixels at one of four places."""

    def __init__(self, x: Tensor):
        self.x, self.generator = x, torch.Generator().manual_seed(0)

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            i = torch.randint(len(self.x), (32,), generator=self.generator)
            top, left = torch.randint(2, (2,), generator=self.generator).tolist()
            yield self.x[i, :, top : top + 24, left : left + 24]

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])


@torch.no_grad()
def scores(model: VQVAE2, x: Tensor) -> dict[str, float]:
    """Mean squared errors, of both levels and of each alone, and how many words are in use."""
    top, bottom = model.encode(x)
    views = {"both": model.decode(top, bottom), "top": model.decode(top, None), "bottom": model.decode(None, bottom)}
    found = {f"mse_{name}": round((v - x).square().mean().item(), 5) for name, v in views.items()}
    return found | {"perplexity_top": round(perplexity(top, 64), 1), "perplexity_bottom": round(perplexity(bottom, 64), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", nargs="?", choices=["plain", "alone"], default="alone")
    arm = parser.parse_args().arm
    arguments = ARGUMENTS | ({"alone": 0.2} if arm == "alone" else {})
    RUNS.mkdir(exist_ok=True)
    torch.manual_seed(0)
    data, log = faces(), RUNS / f"vqvae2_faces_{arm}.jsonl"
    x = data.train[:, :, :24, :24]
    model = VQVAE2(**arguments).to(memory_format=torch.channels_last)  # type: ignore[arg-type, call-overload]

    def look(now: dict[str, Any]) -> None:
        if now["step"] % EVERY == 0:
            line = {"step": now["step"], **scores(now["model"].eval(), x)}
            now["model"].train()
            with open(log, "a", encoding="utf-8") as f:
                f.write(json.dumps(line) + "\n")

    lr, checkpoint = cosine(3e-3, STEPS, warmup=50), RUNS / f"vqvae2_faces_{arm}.pt"
    history = fit(model, Crops(data.train), steps=STEPS, lr=lr, checkpoint=checkpoint, callback=look, progress=False)
    model = model.half().float().eval()  # what is shipped
    test = data.test[:, :, :24, :24]
    mean_face = round((test - x.mean(0)).square().mean().item(), 5)
    command = " ".join(["python", *sys.argv])
    both = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    both[arm] = {"command": command, "minutes": round(history.seconds / 60, 1), "train": scores(model, x), "test": scores(model, test)}
    both[arm]["mse_mean_face"] = mean_face
    OUT.write_text(json.dumps(both, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(both[arm]))
    if arm == "alone":
        curve = [[c["step"], c["mse_both"]] for c in (json.loads(line) for line in log.read_text().splitlines())]
        publish(
            "faces_vqvae2", model, "gensr.models.vqvae.VQVAE2", arguments, history, both[arm]["test"], command, curve=curve, data=DATA, licence=LICENCE,
            precision="float32",
        )


if __name__ == "__main__":
    main()
