"""Reading and writing images safely.

Every image becomes a float32 batch of one, (1, 3, h, w) in [0, 1], whatever the file held; what cannot be read raises an `ImageError` of
one clear line. A file is written beside its final name and moved there when whole: a full disk or Ctrl-C never leaves half an image.
"""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

MAX_PIXELS = 100_000_000  # a decoded RGB float image of this size takes 1.2 GB
SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}
# Pillow knows more formats; some of them start other programs (EPS) or fetch other files, and none holds photographs.
READABLE = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "TGA", "AVIF")


class ImageError(ValueError):
    """An image that cannot be read or written; the message is one line that names the file."""


class Picture(NamedTuple):
    """What a file holds: colour and alpha in [0, 1] (alpha None where there is none), whether it was grey, its colour profile (ICC)."""

    color: Float[Tensor, "1 3 h w"]
    alpha: Float[Tensor, "1 1 h w"] | None
    grey: bool
    profile: bytes | None = None


def read_picture(path: str | os.PathLike) -> Picture:
    """Read an image with its alpha channel; the EXIF orientation is applied.

    8-bit, 16-bit grey, float grey in [0, 1], palette, CMYK and 1-bit images are converted; of an animation the first frame is read.

    Raises:
        ImageError: no such file, not an image, truncated, empty, larger than 100 megapixels, or with NaN or values far outside their range.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise ImageError(f"{path}: no such file")
        if path.is_dir():
            raise ImageError(f"{path}: is a folder, expected an image file")
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file is empty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is refused below, and of damaged side information
            Image.init()
            with Image.open(path, formats=[f for f in READABLE if f in Image.OPEN]) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(f"{path}: {image.width}x{image.height} is more than {MAX_PIXELS // 10**6} megapixels")
                image.load()
                with contextlib.suppress(Exception):  # damaged EXIF: the pixels are still good
                    ImageOps.exif_transpose(image, in_place=True)
                return _to_picture(image, path)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: more than {MAX_PIXELS // 10**6} megapixels") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image in a format we can read (PNG, JPEG, WebP, TIFF, BMP, GIF and a few more)") from None
    except PermissionError:
        raise ImageError(f"{path}: permission denied") from None
    except MemoryError:
        raise ImageError(f"{path}: not enough memory to read it") from None
    except Exception as e:  # decoders raise OSError, SyntaxError, ValueError, struct.error ... on broken files
        raise ImageError(f"{path}: the image is truncated or damaged ({' '.join(str(e).split()) or type(e).__name__})") from None


def _to_picture(image: Image.Image, path: Path) -> Picture:
    if min(image.size) < 1:
        raise ImageError(f"{path}: the image has no pixels")
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit, 32-bit and float grey
        a = np.asarray(image, dtype=np.float32)
        if not np.isfinite(a).all():
            raise ImageError(f"{path}: the image contains NaN or infinite values")
        low, high = (-0.5, 1.5) if image.mode == "F" else (0, 65535)
        if a.min() < low or a.max() > high:
            wanted = "0 to 1" if image.mode == "F" else "0 to 65535"
            raise ImageError(f"{path}: values run from {a.min():g} to {a.max():g}, expected {wanted}")
        grey = torch.from_numpy(a / (65535 if image.mode != "F" else 1)).clamp(0, 1)[None, None]
        return Picture(grey.expand(1, 3, -1, -1).contiguous(), None, True)
    has_alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    is_grey = image.mode in ("1", "L", "LA", "La")
    keeps_profile = is_grey or image.mode in ("P", "PA", "RGB", "RGBA", "RGBa")  # a CMYK profile says nothing of the RGB we made of it
    a = torch.from_numpy(np.array(image.convert("RGBA" if has_alpha else "RGB"))).permute(2, 0, 1)[None]
    color = a[:, :3].contiguous().float().div_(255)
    alpha = a[:, 3:].contiguous().float().div_(255) if has_alpha else None
    return Picture(color, alpha, is_grey, image.info.get("icc_profile") if keeps_profile else None)


def read_image(path: str | os.PathLike) -> Float[Tensor, "1 3 h w"]:
    """Read an image file as float32 RGB in [0, 1]; alpha is dropped, grey is repeated. Raises `ImageError` as `read_picture` does."""
    return read_picture(path).color


def write_image(path: str | os.PathLike, x: Float[Tensor, "*batch c h w"]) -> None:
    """Write one image, (c, h, w) or (1, c, h, w) with c = 1 grey, 2 grey + alpha, 3 RGB or 4 RGBA.

    Values are clipped to [0, 1] and rounded to 8 bits. JPEG and BMP hold no alpha: there it is dropped.

    Raises:
        ImageError: an unknown suffix, a missing folder, a full disk; nothing is left behind.
        ValueError: a wrong shape. TypeError: not a float tensor.
    """
    path = Path(path)
    check_suffix(path)
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"x: expected a float tensor in [0, 1], got {x.dtype if isinstance(x, Tensor) else type(x).__name__}")
    if x.dim() == 4 and x.shape[0] == 1:
        x = x[0]
    if x.dim() != 3 or x.shape[0] not in (1, 2, 3, 4):
        raise ValueError(f"x: expected one image of 1 to 4 channels, (c, h, w), got shape {tuple(x.shape)}")
    if min(x.shape[1:]) < 1:
        raise ValueError(f"x: expected at least one pixel, got shape {tuple(x.shape)}")
    if not torch.isfinite(x).all():
        raise ValueError("x: contains NaN or infinite values")
    a = (x.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    save(path, Image.fromarray(a[0].numpy() if a.shape[0] == 1 else a.permute(1, 2, 0).contiguous().numpy()))


def save(path: str | os.PathLike, image: Image.Image, profile: bytes | None = None) -> None:
    """Write a finished 8-bit Pillow image whole or not at all; the suffix names the format. Raises `ImageError` as `write_image` does."""
    path = Path(path)
    check_suffix(path)
    kind = SUFFIXES[path.suffix.lower()]
    if kind in ("JPEG", "BMP") and image.mode in ("LA", "RGBA"):
        image = image.convert("L" if image.mode == "LA" else "RGB")
    options: dict = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True, "exact": True} if kind == "WEBP" else {}
    if profile and kind != "BMP":
        options["icc_profile"] = profile
    try:
        with whole_file(path) as f:
            image.save(f, kind, **options)
    except (OSError, ValueError) as e:  # a full disk, a folder in the place of the file, sides too long for the format
        reason = e.strerror if isinstance(e, OSError) and e.strerror else " ".join(str(e).split())
        raise ImageError(f"{path}: cannot write ({reason})") from None


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a binary file beside `path`, and move it there when the block ends well; otherwise nothing is left, and an older file stays.

    Raises:
        OSError: a missing folder, a full disk, a folder in the place of the file.
    """
    path = Path(path)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".gensr.", suffix=".partial", delete=False) as f:
            temporary = Path(f.name)
            yield f  # type: ignore[misc]
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # temporary files are private; this one is to be like any other
        os.replace(temporary, path)
    except OSError as e:
        if temporary is None or not e.filename:  # a full disk names no file, a locked folder the temporary one
            e.filename = str(path)
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def check_suffix(path: str | os.PathLike, *, force: bool = True) -> None:
    """Raise `ImageError` when we cannot write this kind of file there; call it before hours of work, not after."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{path}: cannot write {path.suffix or 'a file without a suffix'}; use one of {' '.join(SUFFIXES)}")
    check_place(path, force=force)


def check_place(path: Path, *, force: bool) -> None:
    """Raise `ImageError` when no file can be written there, or one is there that only `force` would overwrite."""
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, expected a file to write")
    if not os.access(path.parent, os.W_OK):
        raise ImageError(f"{path}: no permission to write in {path.parent}")
    if path.exists() and not force:
        raise ImageError(f"{path}: exists already; --force overwrites it")
