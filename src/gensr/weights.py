"""Trained weights that ship with the package: `load("edsr_x4")` gives a model ready to use.

Each weight has a card in `zoo/manifest.toml` that says how it was made and how good it measured, and a file beside it. Files are
safetensors, which hold numbers and nothing that could run; they are stored in float16 and come back as float32. A file that is not bit for
bit the one on its card is refused.
"""

import difflib
import hashlib
import importlib
import os
import tomllib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from torch import nn

ZOO = Path(__file__).parent / "zoo"
ROOMS = ("gensr.superres.", "gensr.models.", "gensr.operators.", "gensr.nets.")  # where the models of cards may come from
REMEDY = "reinstall gensr, or train the weight anew with its recipe"


class WeightsError(ValueError):
    """A weight or manifest that cannot be used; the message is one line that names the file and says what to do."""


def names(folder: str | os.PathLike | None = None) -> list[str]:
    """Names of all weights, sorted.

    Args:
        folder: where `manifest.toml` and the weights lie; by default the zoo inside the package.

    Raises:
        WeightsError: a manifest that is missing or damaged.
    """
    return sorted(_manifest(folder))


def card(name: str, folder: str | os.PathLike | None = None) -> dict[str, Any]:
    """What is known of a weight: model, arguments, sha256, bytes, parameters, recipe, revision, data, licence, steps, minutes, machine, the
    measured quality and the curve of its training.

    Raises:
        ValueError: no such name; the message lists those there are.
        WeightsError: a manifest that is missing or damaged.
    """
    cards = _manifest(folder)
    if name not in cards:
        near = difflib.get_close_matches(str(name), cards, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"name: there is no weight {name!r}, expected one of {', '.join(sorted(cards)) or '(none yet)'}{hint}")
    found = cards[name]
    for key, kind in (("model", str), ("arguments", dict), ("sha256", str)):
        if not isinstance(found.get(key), kind):
            raise WeightsError(f"{_folder(folder) / 'manifest.toml'}: the card of {name!r} has no {key!r}; {REMEDY}")
    return found


def load(name: str, folder: str | os.PathLike | None = None) -> nn.Module:
    """A trained model in evaluation mode, float32, on the CPU.

    Raises:
        ValueError: no such name; the message lists those there are.
        WeightsError: a file that is missing, truncated or changed (by its SHA-256), not safetensors, or made for another model.
    """
    about = card(name, folder)
    path = _folder(folder) / f"{name}.safetensors"
    model = _model(about, path.with_name("manifest.toml"), name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file, though the manifest lists it; {REMEDY}") from None
    except OSError as e:
        raise WeightsError(f"{path}: cannot be read ({e.strerror or e}); {REMEDY}") from None
    if "bytes" in about and len(content) < about["bytes"]:
        raise WeightsError(f"{path}: truncated, {len(content)} of {about['bytes']} bytes; {REMEDY}")
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise WeightsError(f"{path}: is not the file on its card (SHA-256 differs); {REMEDY}")
    try:
        state = from_bytes(content)
    except (SafetensorError, ValueError, KeyError) as e:
        raise WeightsError(f"{path}: is not a safetensors file ({_line(e)}); {REMEDY}") from None
    try:
        model.load_state_dict({k: v.float() for k, v in state.items()})
    except RuntimeError as e:
        raise WeightsError(f"{path}: does not fit {about['model']} ({_line(e)}); {REMEDY}") from None
    return model.eval()


def _folder(folder: str | os.PathLike | None) -> Path:
    return ZOO if folder is None else Path(folder)


def _manifest(folder: str | os.PathLike | None) -> dict[str, dict[str, Any]]:
    path = _folder(folder) / "manifest.toml"
    try:
        cards = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; {REMEDY}") from None
    except OSError as e:
        raise WeightsError(f"{path}: cannot be read ({e.strerror or e}); {REMEDY}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise WeightsError(f"{path}: is not TOML ({_line(e)}); {REMEDY}") from None
    for name, about in cards.items():
        if not isinstance(about, dict) or not name.isidentifier():  # an identifier cannot lead out of the folder
            raise WeightsError(f"{path}: {name!r} is not the card of a weight; {REMEDY}")
    return cards


class _NoModel(LookupError):
    """A name that is no model of gensr; not to be taken for a KeyError out of a constructor."""


def build(model: str, arguments: dict[str, Any]) -> nn.Module:
    """A class of this package by its full name, with arguments of TOML. One that is a table of `model` and `arguments` itself is built likewise, as the network
    inside an affine projection. No other module is ever imported, so that a manifest cannot run foreign code.

    Raises:
        LookupError: a name that is no model of gensr. What the constructor raises.
    """
    module, _, cls = model.rpartition(".")
    found: Any = None
    if f"{module}.".startswith(ROOMS) and all(part.isidentifier() for part in model.split(".")):
        try:
            found = getattr(importlib.import_module(module), cls, None)
        except ImportError:
            found = None
    if not (isinstance(found, type) and issubclass(found, nn.Module) and found.__module__ == module):
        raise _NoModel(f"names {model!r}, which is no model of gensr")
    nested = {k for k, v in arguments.items() if isinstance(v, dict) and isinstance(v.get("model"), str) and isinstance(v.get("arguments"), dict)}
    return found(**{k: build(**v) if k in nested else v for k, v in arguments.items()})


def _model(about: dict[str, Any], path: Path, name: str) -> nn.Module:
    """The model of a card, or a `WeightsError` that says what is wrong with the card."""
    try:
        return build(about["model"], about["arguments"])
    except _NoModel as e:
        raise WeightsError(f"{path}: the card of {name!r} {e.args[0]}; {REMEDY}") from None
    except Exception as e:  # whatever a constructor makes of wrong arguments
        raise WeightsError(f"{path}: the card of {name!r} has arguments that {about['model']} refuses ({_line(e)}); {REMEDY}") from None


def _line(e: Exception) -> str:
    """An exception's message on one line, cut short."""
    text = " ".join(str(e).split()) or type(e).__name__
    return text if len(text) <= 160 else text[:157] + "..."
