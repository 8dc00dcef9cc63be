"""The commands and their help. Each imports what it needs when it runs, so that `gensr --help` answers at once.

Whatever the user can get wrong ends in one line on stderr, `error: …`, and exit code 2; Ctrl-C ends in exit code 130. Neither leaves a file behind.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
app = typer.Typer(
    name="gensr", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS,
)
data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Image sets: list them, fetch them, check them.")
weights_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Trained weights: list them, read their cards.")
app.add_typer(data_app, name="data")
app.add_typer(weights_app, name="weights")

Photo = Annotated[Path, typer.Argument(metavar="PHOTO", help="PNG, JPEG, WebP, TIFF, BMP or GIF; of an animation the first picture.", show_default=False)]
Scale = Annotated[int, typer.Option("--scale", "-s", help="Enlargement factor: 2, 3 or 4 for the networks, 2 to 8 for bicubic.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite the output.")]
Ensemble = Annotated[bool, typer.Option("--self-ensemble", help="Average over the 8 flips and turns: a little better, 8 times slower.")]


def print_version(wanted: bool) -> bool:
    """For `--version`: print it and stop."""
    if wanted:
        from importlib.metadata import version

        print(f"gensr {version('gensr')}")
        raise typer.Exit
    return wanted


@app.callback()
def root(version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")] = False) -> None:
    """Super-resolution from the command line: the methods of the course, on your own pictures."""


@app.command()
def upscale(
    photo: Photo,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="PNG, JPEG, WebP, TIFF or BMP.", show_default="PHOTO_x4.png")] = None,
    method: Annotated[str, typer.Option("--method", "-m", help="bicubic, edsr, or, for ×4 only, srcnn, affmse, affgan.")] = "edsr",
    scale: Scale = 4,
    self_ensemble: Ensemble = False,
    tile: Annotated[int | None, typer.Option(help="Side of a tile in pixels of the photo; smaller needs less memory.", show_default="by method")] = None,
    force: Force = False,
) -> None:
    """Enlarge a photograph of any size.

    Transparency is kept, grey stays grey, the colour profile goes along, and the photo is turned as its EXIF data says. The output has 8 bits
    per channel and no EXIF data.

    \b
    Examples:
      gensr upscale photo.jpg
      gensr upscale photo.jpg -o big.png --method edsr --scale 4
      gensr upscale scan.tif -o scan_x2.webp --scale 2 --self-ensemble
      gensr upscale logo.png -o logo_x8.png --method bicubic --scale 8
    """
    from gensr.cli.upscale import upscale as run

    run(photo, output, method, scale, ensemble=self_ensemble, tile=tile, force=force)


@app.command()
def compare(
    photo: Photo,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page.")] = Path("compare.html"),
    scale: Scale = 4,
    reference: Annotated[bool, typer.Option("--reference", help="The photo is the truth: shrink it, enlarge it again, and score.")] = False,
    crop: Annotated[str | None, typer.Option(help="Part to show, in pixels of what is enlarged.", metavar="LEFT,TOP,WIDTH,HEIGHT")] = None,
    self_ensemble: Ensemble = False,
    force: Force = False,
) -> None:
    """Lay all methods side by side on an HTML page.

    A slider wipes between any two of them. The page holds its images: it can be sent by mail and opened without a network. A part of at most
    4 megapixels is shown, the middle unless --crop names another.

    \b
    Examples:
      gensr compare photo.jpg
      gensr compare photo.jpg -o compare.html --scale 4 --crop 100,50,200,150
      gensr compare sharp.png --scale 2 --reference
    """
    from gensr.cli.compare import compare as run

    run(photo, output, scale, reference=reference, crop=crop, ensemble=self_ensemble, force=force)


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(help="A weight, such as edsr_x4 (`gensr weights list`), or bicubic_x2, _x3, _x4.", show_default=False)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of sharp (HR) images.", show_default=False)],
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this file.", show_default=False)] = None,
    self_ensemble: Ensemble = False,
    force: Force = False,
) -> None:
    """Score a method on a folder of sharp images.

    It follows the protocol of the papers. Each image is cropped to a multiple of the factor, shrunk by MATLAB's bicubic, and enlarged again.
    PSNR and SSIM are taken on luma Y of the 8-bit images, with as many pixels shaved off each side as the factor; LR-PSNR compares the shrunk
    result with what went in.

    \b
    Examples:
      gensr evaluate edsr_x4 my_photos/
      gensr evaluate bicubic_x4 Set5/ --csv bicubic.csv
    """
    from gensr.cli.evaluate import evaluate as run

    run(name, folder, csv, ensemble=self_ensemble, force=force)


@data_app.command("list")
def data_list() -> None:
    """List the image sets, their licences, and where they are.

    \b
    Example:
      gensr data list
    """
    from gensr.cli.catalogue import data_list as run

    run()


@data_app.command("get")
def data_get(name: Annotated[str, typer.Argument(help="A set, as in `gensr data list`.", show_default=False)]) -> None:
    """Fetch an image set into the cache, and check every file; files that are there already are not fetched again.

    GENSR_DATA names a read-only folder that is looked in first, GENSR_CACHE another folder for the cache.

    \b
    Example:
      gensr data get set5
    """
    from gensr.cli.catalogue import data_get as run

    run(name)


@data_app.command("verify")
def data_verify(name: Annotated[str | None, typer.Argument(help="A set; all by default.", show_default=False)] = None) -> None:
    """Compare every file in GENSR_DATA and in the cache with its SHA-256.

    \b
    Examples:
      gensr data verify
      gensr data verify set5
    """
    from gensr.cli.catalogue import data_verify as run

    run(name)


@weights_app.command("list")
def weights_list() -> None:
    """List the trained weights with their size and measured quality.

    \b
    Example:
      gensr weights list
    """
    from gensr.cli.catalogue import weights_list as run

    run()


@weights_app.command("show")
def weights_show(name: Annotated[str, typer.Argument(help="A weight, as in `gensr weights list`.", show_default=False)]) -> None:
    """Show the card of a weight: how it was trained, on what, under which licence, and how good it measured.

    \b
    Example:
      gensr weights show edsr_x4
    """
    from gensr.cli.catalogue import weights_show as run

    run(name)


@app.command()
def doctor() -> None:
    """Check the installation.

    Versions, threads, GPU, cache, data folder, weights: a line each. Exit code 1 where something is wrong.

    \b
    Example:
      gensr doctor
    """
    from gensr.cli.doctor import doctor as run

    if not run():
        raise typer.Exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 (the doctor found a problem), 2 (an error of the user), or 130 (Ctrl-C)."""
    try:
        code = app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="gensr", standalone_mode=False)
        sys.stdout.flush()
        if code == 130:
            return _interrupted()
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:  # `gensr data list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as e:
        return _error(f"{e.filename}: {e.strerror}" if e.filename and e.strerror else str(e))
    except MemoryError:
        return _error("not enough memory; try a smaller --tile or --scale")
    except RuntimeError as e:
        if "alloc" in str(e) or "out of memory" in str(e).lower():
            return _error("not enough memory; try a smaller --tile or --scale")
        if not hasattr(e, "format_message"):
            raise
        return _usage(e)
    except ValueError as e:  # ImageError, WeightsError, FetchError, and arguments that a function refused
        return _error(str(e))
    except Exception as e:
        return _usage(e)


def _usage(e: Exception) -> int:
    """Errors of typer have `format_message`; anything else is a bug of ours and keeps its traceback."""
    if not hasattr(e, "format_message"):
        raise e
    if type(e).__name__ == "NoArgsIsHelpError":  # `gensr`, `gensr data`: the help is no error of one line
        print(e.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
        return 2
    context = getattr(e, "ctx", None)
    return _error(f"{e.format_message()} (see `{context.command_path if context else 'gensr'} --help`)")  # type: ignore[attr-defined]


def _interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return 130


def _error(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
