"""Train the VQ-VAE on MNIST in black and white, then a PixelCNN on its grids of words, and ask whether the prior's samples look like digits.

    OMP_NUM_THREADS=1 python recipes/mnist_vqvae.py vqvae      # image → 7×7 words out of 128 → image
    OMP_NUM_THREADS=1 python recipes/mnist_vqvae.py codes      # the prior over these words

Training images are drawn anew at every meeting. The test set is one fixed draw, `binarised(test, seed=0)`, looked at once, at the end.
Stops and resumes at will. The second part also judges four ways to choose the words, by the features of a small classifier, and writes
book/chapters/measured/vq_mnist.json and vq_mnist_claims.json.
"""

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common import ROOT, RUNS, publish
from gensr import weights
from gensr.claims import claim
from gensr.data.mnist import Binarised, Split, binarised, mnist
from gensr.models.pixelcnn import PixelCNN
from gensr.models.vqvae import VQVAE, perplexity
from gensr.train import cosine, fit, has_fast_bfloat16

MEASURED = ROOT / "book" / "chapters" / "measured"
VALIDATION = 2000  # the last of the training images
DATA = "MNIST, 58,000 training images drawn anew at every meeting; figures: binarised(test, seed=0)"
LICENCE = "weights MIT; data MIT (rasbt/mnist-pngs)"
K, GRID = 128, (7, 7)
WORDS = {"channels": 1, "hidden": 32, "codes": K, "dim": 8, "decay": 0.9, "revive": 1.0}
PRIOR = {"levels": K, "hidden": 64, "layers": 4, "grid": list(GRID)}
RUNSHEET: dict[str, dict[str, Any]] = {
    "vqvae": {"batch": 64, "steps": 6000, "lr": 3e-3, "average": 0.998, "every": 500},
    "codes": {"batch": 64, "steps": 3500, "lr": 2e-3, "average": 0.998, "every": 500},
}
SEEDS, DRAWS = range(5), 500  # grids of each kind in each of five rounds


def lines(name: str) -> list[dict[str, float]]:
    """What a training has logged."""
    return [json.loads(line) for line in (RUNS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def cpu_minutes(name: str) -> float:
    """Of one core, all sittings together, each counting from 0."""
    seconds = [line["cpu_seconds"] for line in lines(name)]
    return round(sum(b - a if b >= a else b for a, b in itertools.pairwise([0, *seconds])) / 60, 1)


@torch.no_grad()
def words_scores(model: Any, x: Tensor) -> dict[str, float]:
    """−log p(x|words) in nats per image, and how many words are in use."""
    parts = [(model.encode(part), part) for part in x.split(500)]
    nats = [-model.likelihood.log_prob(part, model.decoder(model.quantizer.embed(codes))).flatten(1).sum(1) for codes, part in parts]
    return {"nats": round(torch.cat(nats).mean().item(), 2), "perplexity": round(perplexity(torch.cat([c for c, _ in parts]), K), 1)}


def train_words(steps: int | None) -> None:
    s, name = RUNSHEET["vqvae"], "mnist_vqvae"
    data = mnist()
    validation = binarised(data.train[-VALIDATION:], seed=1)
    model = VQVAE(**WORDS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    log, started = RUNS / f"{name}.jsonl", time.process_time()

    def callback(now: dict[str, Any]) -> None:
        if now["step"] % s["every"] == 0 or now["step"] == 100:
            scores = words_scores(now["average"].eval(), validation)
            line = {"step": now["step"], **scores, "cpu_seconds": round(time.process_time() - started)}
            with open(log, "a", encoding="utf-8") as f:
                f.write(json.dumps(line) + "\n")

    stream = Binarised(data.train[:-VALIDATION], s["batch"])
    history = fit(
        model, stream, steps=steps or s["steps"], lr=cosine(s["lr"], s["steps"], warmup=100), checkpoint=RUNS / f"{name}.pt",
        average=s["average"], callback=callback, bfloat16=has_fast_bfloat16(), progress=False,
    )
    best = history.average.half().float().eval()  # type: ignore[union-attr]  # what will be shipped
    measured = words_scores(best, binarised(data.test, seed=0)) | {"cpu_minutes": cpu_minutes(name)}
    curve = [[c["step"], c["nats"]] for c in lines(name)]
    publish(
        name, best, "gensr.models.vqvae.VQVAE", WORDS, history, measured, " ".join(["python", *sys.argv]), curve=curve, data=DATA, licence=LICENCE,
        precision="bfloat16" if has_fast_bfloat16() else "float32",
    )


class Words:
    """An endless stream of grids of words: training images, drawn in black and white anew, and encoded."""

    def __init__(self, images: Binarised, model: VQVAE):
        self.images, self.model = images, model

    def __iter__(self) -> Iterator[Tensor]:
        for x in self.images:
            yield encode(self.model, x)

    def state_dict(self) -> dict[str, Any]:
        return self.images.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images.load_state_dict(state)


@torch.no_grad()
def encode(model: VQVAE, x: Tensor) -> Tensor:
    return torch.cat([model.encode(part) for part in x.split(500)])


@torch.no_grad()
def rate(prior: PixelCNN, codes: Tensor) -> Tensor:
    """−log p(words) in nats, for each grid."""
    return -torch.cat([prior.log_prob(part) for part in codes.split(500)])


def histograms(codes: Tensor) -> Tensor:
    """How often each word stands at each place, one added to each count: log-probabilities (7, 7, K)."""
    counts = F.one_hot(codes, K).sum(0).double() + 1
    return (counts / counts.sum(-1, keepdim=True)).log()


def train_prior(steps: int | None) -> None:
    s, name = RUNSHEET["codes"], "mnist_codes"
    data, words = mnist(), weights.load("mnist_vqvae")
    validation = encode(words, binarised(data.train[-VALIDATION:], seed=1))
    model = PixelCNN(**PRIOR).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    log, started = RUNS / f"{name}.jsonl", time.process_time()

    def callback(now: dict[str, Any]) -> None:
        if now["step"] % s["every"] == 0 or now["step"] == 100:
            line = {"step": now["step"], "nats": round(rate(now["average"].eval(), validation).mean().item(), 2)}
            line |= {"loss": round(sum(now["history"].losses[-100:]) / 100, 2), "cpu_seconds": round(time.process_time() - started)}
            with open(log, "a", encoding="utf-8") as f:
                f.write(json.dumps(line) + "\n")

    stream = Words(Binarised(data.train[:-VALIDATION], s["batch"]), words)
    history = fit(
        model, stream, steps=steps or s["steps"], lr=cosine(s["lr"], s["steps"], warmup=100), checkpoint=RUNS / f"{name}.pt", average=s["average"],
        callback=callback, bfloat16=has_fast_bfloat16(), progress=False,
    )
    best = history.average.half().float().eval()  # type: ignore[union-attr]  # what will be shipped
    measured = judge(data, words, best) | {"cpu_minutes": cpu_minutes(name)}
    curve = [[c["step"], c["nats"]] for c in lines(name)]
    publish(
        name, best, "gensr.models.pixelcnn.PixelCNN", PRIOR, history, measured, " ".join(["python", *sys.argv]), curve=curve,
        data=f"the words that mnist_vqvae finds in {DATA}", licence=LICENCE, precision="bfloat16" if has_fast_bfloat16() else "float32",
    )


class Reader(nn.Module):
    """A small classifier of black-and-white digits. What it sees last before it decides is a description of an image in 32 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(), nn.Flatten(), nn.Linear(32 * 7 * 7, 32), nn.ReLU(),
        )
        self.head = nn.Linear(32, 10)

    def loss(self, x: Tensor, digit: Tensor) -> Tensor:
        return F.cross_entropy(self.head(self.features(x)), digit)


class Labelled:
    """Batches of training images, drawn in black and white anew, and their digits."""

    def __init__(self, data: Split, batch: int = 128):
        self.data, self.batch = data, batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            i = torch.randint(len(self.data.train) - VALIDATION, (self.batch,))
            yield torch.bernoulli(self.data.train[i].float() / 255), self.data.train_labels[i]


def frechet(a: Tensor, b: Tensor) -> float:
    """‖μ_a − μ_b‖² + tr(A + B − 2(AB)^½): the squared Fréchet distance of the Gaussians with the means and covariances of the features."""
    a, b = a.double(), b.double()
    root = torch.linalg.eigvals(a.T.cov() @ b.T.cov()).real.clamp(min=0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + a.T.cov().trace() + b.T.cov().trace() - 2 * root)


def judge(data: Split, words: Any, prior: Any) -> dict[str, float]:
    """Writes table and claims: what the test set's words cost under three laws, and how far images from four sources of words lie from training images."""
    test = binarised(data.test, seed=0)
    codes, places = encode(words, test), histograms(encode(words, binarised(data.train[:20_000], seed=2)))
    nats = {
        "prior": rate(prior, codes).double(),
        "independent": -places.expand(len(codes), *GRID, K).gather(-1, codes[..., None]).sum((1, 2, 3)),
        "uniform": torch.full((len(codes),), 49 * math.log(K)).double(),
    }
    torch.manual_seed(1)
    reader = Reader()
    fit(reader, Labelled(data), steps=1500, lr=cosine(2e-3, 1500, warmup=100), checkpoint=RUNS / "mnist_reader.pt", progress=False)
    reference = read(reader, binarised(data.train[:10_000], seed=3))[0]
    right = read(reader, test)[1].argmax(1) == data.test_labels
    rows = []
    for seed in SEEDS:  # each round has test images of its own
        torch.manual_seed(100 + seed)
        part = slice(seed * DRAWS, (seed + 1) * DRAWS)
        grids = {
            "reconstructions": codes[part], "prior": prior.sample(DRAWS, GRID),
            "independent": torch.multinomial(places.exp().flatten(0, 1), DRAWS, replacement=True).T.reshape(DRAWS, *GRID),
            "uniform": torch.randint(K, (DRAWS, *GRID)),
        }
        images = {"test images": test[part]} | {source: paint(words, k) for source, k in grids.items()}
        for source, x in images.items():
            features, p = read(reader, x)
            rows.append({"source": source, "seed": seed, "distance": frechet(features, reference), "confidence": float(p.amax(1).mean())})
    of = {(r["source"], r["seed"]): r for r in rows}
    save_claims(of, nats, codes, f"{cpu_minutes('mnist_vqvae') + cpu_minutes('mnist_codes') + 1:.0f} min of one core in all")  # the judging takes one
    scores = words_scores(words, test)
    sources = dict.fromkeys(r["source"] for r in rows)
    means = {source: {key: sum(of[source, i][key] for i in SEEDS) / len(SEEDS) for key in ("distance", "confidence")} for source in sources}
    shown = {d: codes[data.test_labels == d][:2].tolist() for d in range(10)}
    table = {
        "command": " ".join(["python", *sys.argv]), "test": "binarised(test, seed=0)",
        "reconstruction_nats": scores["nats"], "perplexity": scores["perplexity"],
        "rate_nats": {law: round(v.mean().item(), 2) for law, v in nats.items()}, "bound_nats": round(scores["nats"] + nats["prior"].mean().item(), 2),
        "accuracy_of_reader": right.float().mean().item(), "draws": DRAWS, "means": means, "rounds": rows, "words_of_test_digits": shown,
    }
    (MEASURED / "vq_mnist.json").write_text(json.dumps(table) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in table.items() if k not in ("rounds", "words_of_test_digits")}, indent=1))
    measured = {"nats": nats["prior"].mean().item(), "nats_independent": nats["independent"].mean().item(), "nats_uniform": 49 * math.log(K)}
    measured |= {"bound_with_image": table["bound_nats"]} | {f"distance_{source.replace(' ', '_')}": v["distance"] for source, v in means.items()}
    return {k: round(v, 2) for k, v in measured.items()}


@torch.no_grad()
def read(reader: Reader, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features and probabilities of the digits."""
    features = torch.cat([reader.features(part) for part in x.split(500)])
    return features, reader.head(features).softmax(1)


@torch.no_grad()
def paint(words: Any, codes: Tensor) -> Tensor:
    """Black and white pixels, drawn from what the words say."""
    return torch.cat([torch.bernoulli(words.decode(part)) for part in codes.split(500)])


def save_claims(of: dict[tuple[str, int], dict[str, Any]], nats: dict[str, Tensor], codes: Tensor, cost: str) -> None:
    """Tests over five disjoint parts of the test set, or five rounds of draws."""
    blocks = {law: v.view(len(SEEDS), -1).mean(1) for law, v in nats.items()}
    what = f"{DRAWS} draws a round"
    found = {
        "perplexity": claim(
            f"The VQ-VAE keeps its vocabulary in use on MNIST: perplexity of the words of test images, of K = {K}", at_least=64, unit="words",
            effect=lambda i: perplexity(codes.view(len(SEEDS), -1, *GRID)[i], K),
        ),
        "rate_uniform": claim(
            "A PixelCNN prior saves rate on the words of MNIST test images: uniform words minus prior", at_least=50, unit="nats an image",
            effect=lambda i: float(blocks["uniform"][i] - blocks["prior"][i]),
        ),
        "rate_independent": claim(
            "Most of it because words depend on each other: one histogram for each place, minus prior", at_least=20, unit="nats an image",
            effect=lambda i: float(blocks["independent"][i] - blocks["prior"][i]),
        ),
        "distance_uniform": claim(
            f"Samples from the prior are preferred to uniform words: Fréchet distance to training images in a classifier's features, uniform / prior ({what})",
            at_least=2, unit="times", effect=lambda i: of["uniform", i]["distance"] / of["prior", i]["distance"],
        ),
        "distance_independent": claim(
            f"… and to words drawn for each place by itself: Fréchet distance, independent / prior ({what})", at_least=2, unit="times",
            effect=lambda i: of["independent", i]["distance"] / of["prior", i]["distance"],
        ),
        "confidence": claim(
            f"The classifier is surer of samples from the prior than of independent words: mean probability of its first choice, difference ({what})",
            at_least=0, effect=lambda i: of["prior", i]["confidence"] - of["independent", i]["confidence"],
        ),
    }
    for name, c in found.items():
        c.save(MEASURED / "vq_mnist_claims.json", " ".join(["python", *sys.argv]), cost, name)
        print(name, c)


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("part", choices=list(RUNSHEET))
    a.add_argument("--steps", type=int, help="stop there; a later call goes on, with the same falling step size")
    a = a.parse_args()
    RUNS.mkdir(exist_ok=True)
    MEASURED.mkdir(exist_ok=True)
    torch.manual_seed(0)
    (train_words if a.part == "vqvae" else train_prior)(a.steps)


if __name__ == "__main__":
    main()
