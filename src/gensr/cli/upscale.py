"""`gensr upscale`."""

import time
from pathlib import Path

from gensr.cli.enlarge import check_size, enlarge, enlarger
from gensr.io import SUFFIXES, ImageError, check_suffix, read_picture, save


def upscale(photo: Path, output: Path | None, method: str, scale: int, *, ensemble: bool, tile: int | None, force: bool) -> None:
    """Enlarge one picture; everything that can be refused is refused before the work begins.

    Raises:
        ImageError: what cannot be read or written. ValueError: another method or factor. WeightsError: a damaged weight.
    """
    output = output or photo.with_name(f"{photo.stem}_x{scale}.png")
    check_suffix(output, force=force)
    how = enlarger(method, scale, ensemble=ensemble, tile=tile)
    picture = read_picture(photo)
    check_size(output, picture.color, scale)
    kind = SUFFIXES[output.suffix.lower()]
    if picture.alpha is not None and kind in ("JPEG", "BMP"):
        if picture.alpha.min() < 1:
            raise ImageError(f"{output}: {kind} holds no transparency, but {photo} is partly transparent; use .png, .webp or .tif")
        picture = picture._replace(alpha=None)
    start = time.perf_counter()
    image = enlarge(picture, how)
    save(output, image, picture.profile)
    print(f"{output}: {image.width}x{image.height} pixels, {how.label} ×{scale}, {time.perf_counter() - start:.1f} s")
