"""`gensr upscale`: every odd picture comes out right; every wrong call is refused in one line and leaves nothing behind."""

import errno
import os
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms

from gensr.io import read_picture
from gensr.resize import bicubic_upsample
from tests.cli.conftest import check_refusal
from tests.cli.pictures import BAD, ODD, photo


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo()).save(path)
    return path


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_picture_is_enlarged(kind, gensr, zoo, tmp_path):
    odd = ODD[kind]
    (tmp_path / "in").mkdir()
    path = odd.make(tmp_path / "in")
    ran = gensr("upscale", path, "-o", tmp_path / "out.png", "--scale", 2)
    assert ran.code == 0 and not ran.err and "edsr ×2" in ran.out, ran
    with Image.open(tmp_path / "out.png") as image:
        assert (image.size, image.mode) == ((2 * odd.size[0], 2 * odd.size[1]), odd.mode)
    assert names(tmp_path) == ["in", "out.png"]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_is_refused(kind, gensr, zoo, tmp_path):
    (tmp_path / "in").mkdir()
    path = BAD[kind].make(tmp_path / "in")
    check_refusal(gensr("upscale", path, "-o", tmp_path / "out.png", "-m", "bicubic"), BAD[kind].says)
    assert names(tmp_path) == ["in"]


def test_a_picture_that_may_not_be_read(gensr, zoo, source):
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        pytest.skip("root may read every file")
    source.chmod(0)
    check_refusal(gensr("upscale", source), "permission denied")
    assert names(source.parent) == ["photo.png"]


@pytest.mark.parametrize(("method", "scale"), [("bicubic", 2), ("bicubic", 3), ("bicubic", 7), ("srcnn", 4), ("edsr", 2), ("edsr", 4)])
def test_every_method(method, scale, gensr, zoo, source):
    ran = gensr("upscale", source, "--method", method, "--scale", scale)
    assert ran.code == 0 and f"{method} ×{scale}" in ran.out
    with Image.open(source.with_name(f"photo_x{scale}.png")) as image:  # the default output
        assert image.size == (32 * scale, 24 * scale)


def test_the_pixels_are_those_of_the_library(gensr, zoo, source, tmp_path):
    gensr("upscale", source, "-o", tmp_path / "out.png", "-m", "bicubic", "-s", 3, "--tile", 8)
    x = bicubic_upsample(read_picture(source).color, 3)
    assert (read_picture(tmp_path / "out.png").color - x.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6


def test_the_self_ensemble_is_another_picture(gensr, zoo, source, tmp_path):
    assert gensr("upscale", source, "-o", tmp_path / "a.png", "-s", 2).code == 0
    ran = gensr("upscale", source, "-o", tmp_path / "b.png", "-s", 2, "--self-ensemble")
    assert ran.code == 0 and "edsr+ ×2" in ran.out
    a, b = (np.array(Image.open(tmp_path / n)).astype(int) for n in ("a.png", "b.png"))
    assert 0 < np.abs(a - b).mean() < 30


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".bmp", ".JPEG"])
def test_every_format(suffix, gensr, zoo, source, tmp_path):
    assert gensr("upscale", source, "-o", tmp_path / f"out{suffix}", "-m", "bicubic").code == 0
    assert read_picture(tmp_path / f"out{suffix}").color.shape == (1, 3, 96, 128)


def test_the_colour_profile_goes_along(gensr, zoo, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photo()).save(tmp_path / "a.jpg", icc_profile=profile)
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        assert gensr("upscale", tmp_path / "a.jpg", "-o", tmp_path / f"b{suffix}", "-m", "bicubic").code == 0
        assert Image.open(tmp_path / f"b{suffix}").info["icc_profile"] == profile


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_transparency_is_not_lost_in_silence(suffix, gensr, zoo, tmp_path):
    path = ODD["alpha"].make(tmp_path)
    check_refusal(gensr("upscale", path, "-o", tmp_path / f"out{suffix}", "-m", "bicubic"), "no transparency", "use .png")
    opaque = photo(channels=4)
    opaque[..., 3] = 255
    Image.fromarray(opaque).save(path)
    assert gensr("upscale", path, "-o", tmp_path / f"out{suffix}", "-m", "bicubic").code == 0  # nothing to lose


WRONG = {
    "output in a missing folder": (["-o", "{d}/no/out.png"], "does not exist"),
    "output of an unknown kind": (["-o", "{d}/out.xyz"], "cannot write .xyz"),
    "output without a suffix": (["-o", "{d}/out"], "without a suffix"),
    "output is a folder": (["-o", "{d}/in.png"], "is a folder"),
    "output exists": (["-o", "{d}/old.png"], "--force"),
    "output is the photo": (["-o", "{d}/photo.png"], "--force"),
    "unknown method": (["-m", "magic"], "expected one of bicubic, edsr, srcnn"),
    "no such factor of a network": (["-s", "7"], "only for ×2, ×4"),
    "no such factor of srcnn": (["-m", "srcnn", "-s", "2"], "only for ×4"),
    "no such factor of bicubic": (["-m", "bicubic", "-s", "1"], "from 2 to 8"),
    "factor is a word": (["-s", "four"], "--scale"),
    "unknown option": (["--faster"], "--faster"),
    "tile too small": (["--tile", "2"], "--tile"),
    "two photos": (["{d}/photo.png"], "see `gensr upscale --help`"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_call_is_refused(kind, gensr, zoo, source):
    folder = source.parent
    (folder / "in.png").mkdir()
    (folder / "old.png").write_bytes(b"old")
    arguments, says = WRONG[kind]
    check_refusal(gensr("upscale", source, *(a.format(d=folder) for a in arguments)), says)
    assert names(folder) == ["in.png", "old.png", "photo.png"] and (folder / "old.png").read_bytes() == b"old"


def test_force_overwrites(gensr, zoo, source):
    assert gensr("upscale", source, "-o", source, "-m", "bicubic", "-s", 2, "--force").code == 0
    assert Image.open(source).size == (64, 48) and names(source.parent) == ["photo.png"]


def test_a_full_disk(gensr, zoo, source, monkeypatch):
    save = Image.Image.save

    def full(self, f, *args, **kwargs):
        save(self, f, *args, **kwargs)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    check_refusal(gensr("upscale", source, "-m", "bicubic"), "photo_x4.png", "No space left")
    assert names(source.parent) == ["photo.png"]


@pytest.mark.parametrize("when", ["while enlarging", "while writing"])
def test_ctrl_c(when, gensr, zoo, source, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(*((sys.modules["gensr.cli.enlarge"], "bicubic_upsample", interrupt) if "enl" in when else (Image.Image, "save", interrupt)))
    ran = gensr("upscale", source, "-m", "bicubic")
    assert (ran.code, ran.out, ran.err) == (130, "", "interrupted\n") and names(source.parent) == ["photo.png"]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")])
def test_not_enough_memory(error, gensr, zoo, source, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(sys.modules["gensr.cli.enlarge"], "bicubic_upsample", fail)
    check_refusal(gensr("upscale", source, "-m", "bicubic"), "not enough memory")


def test_a_bug_of_ours_keeps_its_traceback(gensr, zoo, source, monkeypatch):
    def fail(*args, **kwargs):
        raise TypeError("ours")

    monkeypatch.setattr(sys.modules["gensr.cli.enlarge"], "bicubic_upsample", fail)
    with pytest.raises(TypeError, match="ours"):
        gensr("upscale", source, "-m", "bicubic")
