"""Train a point net, an ensemble of five, MC dropout and Bayes by Backprop on the 8×8 digits, five seeds each, and measure whom to believe.

    OMP_NUM_THREADS=1 python recipes/bayes_calibration.py

Stop it at will: finished runs stand in runs/bayes_calibration.jsonl and are not repeated.
Writes book/chapters/measured/bayes_*.json with this command and its cost.

Each seed cuts the 1797 digits anew, 1000 to learn from and 797 to test on. All nets have one hidden layer of 50 units. "Point" is the ensemble's first member.
Settings were chosen on seed 100; measured are seeds 200 to 204. Foreign data: 8×8 textures, inverted digits, noise; seen by no net.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from common import ROOT, RUNS
from gensr.claims import claim
from gensr.data.digits import digits
from gensr.data.textures import held_out
from gensr.metrics.calibration import auroc, entropy, expected_calibration_error
from gensr.models.bayes import BayesianMLP, Gaussian, ScaleMixture, categorical
from gensr.models.ensemble import Ensemble
from gensr.resize import imresize
from gensr.train import cosine, fit

MEASURED, LOG = ROOT / "book" / "chapters" / "measured", RUNS / "bayes_calibration.jsonl"
SEEDS, N, SIZES, DRAWS = range(200, 205), 1000, (64, 50, 10), 100


class Shuffled:
    """Batches of 200, in a new order in each pass."""

    def __init__(self, x: Tensor, y: Tensor):
        self.x, self.y = x, y

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(self.x)).split(200):
            yield self.x[rows], self.y[rows]


def bayes(data: int = N, **prior: Any) -> tuple[nn.Module, int, float]:
    return BayesianMLP(*SIZES, data=data, log_likelihood=categorical, local=True, **prior), 2000, 0.03


METHODS: dict[str, Callable[[], tuple[nn.Module, int, float]]] = {  # model, steps, learning rate
    "ensemble": lambda: (Ensemble(5, *SIZES, log_likelihood=categorical), 1000, 0.01),
    "dropout": lambda: (Ensemble(1, *SIZES, log_likelihood=categorical, dropout=0.2), 1000, 0.01),
    "bayes": lambda: bayes(prior=Gaussian(1.0)),
    "cold": lambda: bayes(10 * N, prior=Gaussian(1.0)),  # the likelihood counts ten times: temperature 0.1
    "mixture": lambda: bayes(prior=ScaleMixture(0.5, 1.0, 0.1)),
}


def split(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    d = digits()
    x, y = torch.cat([d.train, d.test]).flatten(1), torch.cat([d.train_labels, d.test_labels])
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[:N]], y[order[:N]], x[order[N:]], y[order[N:]]


def foreign(x: Tensor) -> dict[str, Tensor]:
    """What none of the nets has seen, as rows of 64 grey levels."""
    textures = imresize(held_out("test", 32), 1 / 4).clamp(0, 1)  # tiles of 32×32 shrunk to 8×8
    noise = torch.rand(len(textures), 64, generator=torch.Generator().manual_seed(0))
    return {"textures": textures.flatten(1).float(), "inverted": 1 - x, "noise": noise}


def score(predict: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> dict[str, float]:
    """Accuracy, NLL and entropy in nats, ECE; on foreign data the entropy, and how well it tells them from digits."""
    probs = predict(x).double()
    doubt, nll = entropy(probs), -probs.gather(1, y[:, None]).clamp_min(1e-12).log().mean()
    accuracy, ece = (probs.argmax(1) == y).double().mean().item(), expected_calibration_error(probs, y)
    row = {"accuracy": accuracy, "nll": nll.item(), "ece": ece, "entropy": doubt.mean().item()}
    for name, v in foreign(x).items():
        other = entropy(predict(v).double())
        row |= {f"entropy_{name}": other.mean().item(), f"auroc_{name}": auroc(doubt, other)}
    return row


def train(method: str, seed: int) -> dict[str, dict[str, float]]:
    x, y, x_test, y_test = split(seed)
    torch.manual_seed(seed)
    start = time.process_time()
    model, steps, lr = METHODS[method]()
    fit(model, Shuffled(x, y), steps=steps, lr=cosine(lr, steps), progress=False)
    seconds = time.process_time() - start
    draws = 1 if method == "ensemble" else DRAWS
    rows = {method: score(lambda v: model.predict(v, draws).softmax(2).mean(0), x_test, y_test) | {"seconds": seconds}}
    if method == "ensemble":
        rows["point"] = score(lambda v: model.predict(v)[0].softmax(1), x_test, y_test) | {"seconds": 0.0}
    return rows


def finished() -> dict[tuple[str, int], dict[str, Any]]:
    lines = LOG.read_text(encoding="utf-8").splitlines() if LOG.exists() else []
    return {(r["method"], r["seed"]): r for r in map(json.loads, lines)}


def main() -> None:
    RUNS.mkdir(exist_ok=True)
    MEASURED.mkdir(exist_ok=True)
    for seed in SEEDS:
        for method in METHODS:
            if (method, seed) not in finished():
                for name, row in train(method, seed).items():
                    with LOG.open("a", encoding="utf-8") as f:
                        f.write(json.dumps({"method": name, "seed": seed, **row}) + "\n")
                    print(seed, name, row, flush=True)
    publish(finished())


GAINS = {  # name: words, field, sign of "better", unit
    "ece": ("lowers the ECE", "ece", -1, ""), "nll": ("lowers the test NLL", "nll", -1, "nats"), "accuracy": ("raises the accuracy", "accuracy", 1, ""),
    "ood": ("raises the entropy on textures", "entropy_textures", 1, "nats"),
    "auroc": ("tells inverted digits from digits better by its entropy, AUROC", "auroc_inverted", 1, ""),
}
WORDS = {"bayes": "Bayes by Backprop", "cold": "Bayes by Backprop, data counted ten times,", "dropout": "MC dropout", "ensemble": "An ensemble of five",
         "mixture": "Bayes by Backprop with a scale mixture"}


def publish(done: dict[tuple[str, int], dict[str, Any]]) -> None:
    command, cost = " ".join(["python", *sys.argv]), f"{sum(r['seconds'] for r in done.values()) / 60:.1f} min of one core in all"
    rows = []
    for method in ("point", *METHODS):
        arm = [done[method, seed] for seed in SEEDS]
        values = {k: torch.tensor([r[k] for r in arm], dtype=torch.float64) for k in arm[0] if k not in ("method", "seed", "seconds")}
        deviations = {f"{k}_std": round(v.std().item(), 4) for k, v in values.items()}
        rows.append({"method": method, **{k: round(v.mean().item(), 4) for k, v in values.items()}, **deviations})
    table = {"command": command, "cost": cost, "seeds": list(SEEDS), "train": N, "test": 1797 - N, "rows": rows}
    (MEASURED / "bayes_calibration.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    for method, who in WORDS.items():
        for key, (words, field, sign, unit) in GAINS.items():
            gain = claim(
                f"{who} {words}: by", unit=unit, at_least=0, seeds=SEEDS,
                effect=lambda s, m=method, f=field, g=sign: g * (done[m, s][f] - done["point", s][f]),
            )
            gain.save(MEASURED / "bayes_claims.json", command, cost, f"{method}_{key}")
            print(gain.statement, gain)


if __name__ == "__main__":
    main()
