"""`gensr data list | get | verify` and `gensr weights list | show`."""

import textwrap
from typing import Any

from tqdm import tqdm

from gensr import fetch, weights
from gensr.cli.enlarge import zoo
from gensr.data import sets


def data_list() -> None:
    """One block for each set: what it is, its licence and source, and where its files are (by name; `verify` reads them)."""
    places = [("GENSR_DATA", fetch.data_folder()), ("cache", fetch.cache_folder())]
    for name, about in sets.SETS.items():
        wanted = sets.files(name)
        counts = [(label, sum((folder / f.path).is_file() for f in wanted)) for label, folder in places if folder is not None]
        have = " · ".join(f"{label} {n} of {len(wanted)}" for label, n in counts if n)
        if not have:
            have = f"not here; `gensr data get {name}`" if about.url else "not here; cannot be downloaded, only read from GENSR_DATA"
        print(f"{name:<11} {about.description}\n{'':<11} licence: {about.licence}; from {about.source}\n{'':<11} {have}")


def data_get(name: str) -> None:
    """Fetch a set and say where it is."""
    files = [path for path in tqdm(sets.get(name), total=len(sets.files(name)), desc=name, unit="file", disable=None, leave=False)]
    print(f"{name}: {len(files)} files, every SHA-256 right, in {', '.join(sorted({str(p.parent) for p in files}))}")


def data_verify(name: str | None) -> None:
    """A line for each set and place; damaged files are named.

    Raises:
        FetchError: a file is damaged. ValueError: no such set.
    """
    damaged = []
    for v in tqdm(sets.verify(None if name is None else [name]), disable=None, leave=False, unit="set"):
        found = f"{v.ok} of {v.expected} right{f', {len(v.damaged)} DAMAGED' if v.damaged else ''}" if v.ok or v.damaged else "not"
        tqdm.write(f"{v.name:<11} {found} in {v.place}")
        damaged += v.damaged
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        raise fetch.FetchError(f"{damaged[0]}{more}: damaged (SHA-256 differs); delete and `gensr data get` again, or restore it")


def weights_list() -> None:
    """One line for each weight."""
    found = weights.names(zoo())
    if not found:
        print("no weights yet; recipes/ trains them")
    width = max(map(len, found), default=0)
    for name in found:
        card = weights.card(name, zoo())
        print(f"{name:<{width}} {card.get('parameters', 0):>9,} parameters  {card.get('bytes', 0) / 1e6:5.2f} MB  {_quality(card)}")


def weights_show(name: str) -> None:
    """The card, key by key; the curve only by its ends.

    Raises:
        ValueError: no such weight. WeightsError: a damaged manifest.
    """
    card = weights.card(name, zoo())
    for key, value in card.items():
        if key == "curve":
            unit = "dB" if "psnr" in card.get("measured", {}) else "nats"
            value = f"{len(value)} points, " + " … ".join(f"{v} {unit} at step {step}" for step, v in (value[:1] + value[1:][-1:])) if value else "none"
        elif isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        print(textwrap.fill(str(value), 110, initial_indent=f"{key:<11} ", subsequent_indent=" " * 12, break_long_words=False))


def _quality(card: dict[str, Any]) -> str:
    measured = card.get("measured", {})
    return " ".join(f"{k} {v}" for k, v in measured.items()) if isinstance(measured, dict) else str(measured)
