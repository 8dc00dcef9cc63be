"""Bad image files, each with a word its error must contain, and odd but good ones, each with the size and mode a ×2 enlargement must have."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image


def photo(height: int = 24, width: int = 32, channels: int = 3) -> np.ndarray:
    """A smooth colour ramp with some noise, uint8 (h, w, c)."""
    i, j = np.mgrid[0:height, 0:width]
    ramp = np.stack([255 * i / max(1, height - 1), 255 * j / max(1, width - 1), 128 + 0 * i, 255 - 255 * j / max(1, width - 1)][:channels], -1)
    return np.clip(ramp + np.random.default_rng(0).normal(0, 8, ramp.shape), 0, 255).astype(np.uint8)


def png_header(width: int, height: int, bits: int = 8) -> bytes:
    """A PNG whose header is right to the last checksum, and whose pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _saved(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def _cut(path: Path, part: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _flipped(path: Path) -> Path:
    """One byte in the middle of the pixels changed: the checksum no longer fits."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    return path


def _float(a: np.ndarray, path: Path) -> Path:
    return _saved(Image.fromarray(a.astype(np.float32)), path)


def _with_nan(value: float) -> np.ndarray:
    a = np.full((16, 16), 0.5)
    a[3, 4] = value
    return a


class Bad(NamedTuple):
    make: Callable[[Path], Path]
    says: str


RGB = Image.fromarray(photo())
BAD = {
    "missing": Bad(lambda d: d / "none.png", "no such file"),
    "folder": Bad(lambda d: _folder(d / "folder.png"), "is a folder"),
    "empty": Bad(lambda d: _written(d / "empty.png", b""), "empty"),
    "text": Bad(lambda d: _written(d / "text.png", b"I am no picture.\n" * 20), "not an image"),
    "unknown format": Bad(lambda d: _written(d / "drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "not an image"),
    "PostScript": Bad(lambda d: _saved(RGB, d / "page.eps"), "not an image"),
    "HEIC": Bad(lambda d: _written(d / "phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)), "not an image"),
    "truncated PNG": Bad(lambda d: _cut(_saved(RGB, d / "cut.png")), "truncated"),
    "truncated JPEG": Bad(lambda d: _cut(_saved(RGB, d / "cut.jpg", quality=95)), "truncated"),
    "truncated WebP": Bad(lambda d: _cut(_saved(RGB, d / "cut.webp")), "cut.webp"),
    "truncated TIFF": Bad(lambda d: _cut(_saved(RGB, d / "cut.tif")), "cut.tif"),
    "signature only": Bad(lambda d: _written(d / "sign.png", b"\x89PNG\r\n\x1a\n"), "sign.png"),
    "wrong checksum": Bad(lambda d: _flipped(_saved(RGB, d / "flip.png")), "damaged"),
    "no pixels": Bad(lambda d: _written(d / "zero.png", png_header(0, 0)), "zero.png"),
    "pixels missing": Bad(lambda d: _written(d / "hollow.png", png_header(64, 64)), "truncated"),
    "bomb": Bad(lambda d: _written(d / "bomb.png", png_header(60_000, 60_000)), "more than 100 megapixels"),
    "somewhat too large": Bad(lambda d: _written(d / "large.png", png_header(12_000, 9_000)), "more than 100 megapixels"),
    "NaN": Bad(lambda d: _float(_with_nan(np.nan), d / "nan.tif"), "NaN"),
    "infinite": Bad(lambda d: _float(_with_nan(np.inf), d / "inf.tif"), "infinite"),
    "floats up to 255": Bad(lambda d: _float(_with_nan(255.0), d / "range.tif"), "expected 0 to 1"),
    "32-bit integers": Bad(lambda d: _saved(Image.fromarray(np.full((8, 8), 10**6, np.int32)), d / "int.tif"), "expected 0 to 65535"),
    "name too long": Bad(lambda d: d / ("x" * 300 + ".png"), "x.png"),
}


class Odd(NamedTuple):
    make: Callable[[Path], Path]
    size: tuple[int, int]  # width and height of the photo as shown
    mode: str  # of the enlarged PNG


def _palette(path: Path, **options) -> Path:
    return _saved(RGB.quantize(16), path, **options)


def _animated(path: Path) -> Path:
    frames = [Image.fromarray(np.full((10, 12, 3), v, np.uint8)) for v in (200, 20, 90)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def _turned(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    return _saved(RGB, path, exif=exif, quality=95)


def _bad_exif(path: Path) -> Path:
    return _saved(RGB, path, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 30, quality=95)


GREY16 = (photo(channels=1)[..., 0].astype(np.uint16) * 257).astype(np.uint16)
ODD = {
    "one pixel": Odd(lambda d: _saved(Image.fromarray(photo(1, 1)), d / "one.png"), (1, 1), "RGB"),
    "one row": Odd(lambda d: _saved(Image.fromarray(photo(1, 40)), d / "row.png"), (40, 1), "RGB"),
    "one column": Odd(lambda d: _saved(Image.fromarray(photo(40, 1)), d / "column.png"), (1, 40), "RGB"),
    "2 by 3": Odd(lambda d: _saved(Image.fromarray(photo(2, 3)), d / "few.png"), (3, 2), "RGB"),
    "very long": Odd(lambda d: _saved(Image.fromarray(photo(2, 3000)), d / "long.png"), (3000, 2), "RGB"),
    "CMYK JPEG": Odd(lambda d: _saved(RGB.convert("CMYK"), d / "cmyk.jpg"), (32, 24), "RGB"),
    "16-bit grey": Odd(lambda d: _saved(Image.fromarray(GREY16), d / "grey16.png"), (32, 24), "L"),
    "grey": Odd(lambda d: _saved(RGB.convert("L"), d / "grey.png"), (32, 24), "L"),
    "grey with alpha": Odd(lambda d: _saved(RGB.convert("LA"), d / "la.png"), (32, 24), "LA"),
    "alpha": Odd(lambda d: _saved(Image.fromarray(photo(channels=4)), d / "rgba.png"), (32, 24), "RGBA"),
    "1 bit": Odd(lambda d: _saved(RGB.convert("1"), d / "bit.png"), (32, 24), "L"),
    "palette": Odd(lambda d: _palette(d / "palette.png"), (32, 24), "RGB"),
    "palette with transparency": Odd(lambda d: _palette(d / "clear.png", transparency=3), (32, 24), "RGBA"),
    "colour key": Odd(lambda d: _saved(RGB, d / "key.png", transparency=(1, 2, 3)), (32, 24), "RGBA"),
    "EXIF turned": Odd(lambda d: _turned(d / "turned.jpg"), (24, 32), "RGB"),
    "damaged EXIF": Odd(lambda d: _bad_exif(d / "exif.jpg"), (32, 24), "RGB"),
    "animated GIF": Odd(lambda d: _animated(d / "film.gif"), (12, 10), "RGB"),
    "float TIFF": Odd(lambda d: _float(np.linspace(0, 1, 200).reshape(10, 20), d / "float.tif"), (20, 10), "L"),
    "LAB TIFF": Odd(lambda d: _saved(Image.fromarray(photo(), "LAB"), d / "lab.tif"), (32, 24), "RGB"),
    "YCbCr TIFF": Odd(lambda d: _saved(RGB.convert("YCbCr"), d / "ycc.tif"), (32, 24), "RGB"),
    "WebP": Odd(lambda d: _saved(RGB, d / "photo.webp"), (32, 24), "RGB"),
    "BMP": Odd(lambda d: _saved(RGB, d / "photo.bmp"), (32, 24), "RGB"),
    "odd name": Odd(lambda d: _saved(RGB, d / "été – ×2 (1).PNG"), (32, 24), "RGB"),
}
