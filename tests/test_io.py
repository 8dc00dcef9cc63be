"""Reading and writing images: every kind of file comes in right or is refused in one line; nothing half-written stays."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from gensr import io
from gensr.io import ImageError, read_image, read_picture, whole_file, write_image
from tests.cli.pictures import BAD, ODD, photo


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_one_line_that_names_it(kind, tmp_path):
    path = BAD[kind].make(tmp_path)
    with pytest.raises(ImageError, match=BAD[kind].says) as refusal:
        read_picture(path)
    assert str(refusal.value).startswith(str(path)) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_file_is_read(kind, tmp_path, recwarn):
    odd = ODD[kind]
    picture = read_picture(odd.make(tmp_path))
    w, h = odd.size
    assert picture.color.shape == (1, 3, h, w) and picture.color.dtype == torch.float32 and picture.color.is_contiguous()
    assert picture.color.min() >= 0 and picture.color.max() <= 1
    assert (picture.alpha is not None) == odd.mode.endswith("A") and picture.grey == odd.mode.startswith("L")
    assert picture.alpha is None or picture.alpha.shape == (1, 1, h, w)
    assert not [w for w in recwarn if "DeprecationWarning" not in str(w.category)]


def test_no_permission(tmp_path):
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        pytest.skip("root may read every file")
    path = tmp_path / "secret.png"
    Image.fromarray(photo()).save(path)
    path.chmod(0)
    with pytest.raises(ImageError, match="permission denied"):
        read_image(path)


def test_pixels_come_back_exactly(tmp_path):
    a = photo(channels=4)
    Image.fromarray(a).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    both = torch.cat([picture.color, picture.alpha], 1)[0].permute(1, 2, 0)
    assert np.array_equal((both * 255).round().byte().numpy(), a)


def test_sixteen_bits_and_floats_keep_their_precision(tmp_path):
    a = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16) + 1
    Image.fromarray(a).save(tmp_path / "a.png")
    assert torch.allclose(read_image(tmp_path / "a.png")[0, 0], torch.from_numpy(a.astype(np.float32)) / 65535, atol=1e-7)
    f = np.linspace(-0.01, 1.01, 256, dtype=np.float32).reshape(16, 16)  # a little over the range is clipped, not refused
    Image.fromarray(f).save(tmp_path / "f.tif")
    assert torch.allclose(read_image(tmp_path / "f.tif")[0, 2], torch.from_numpy(f).clamp(0, 1))


def test_the_first_frame_is_read(tmp_path):
    assert (read_image(ODD["animated GIF"].make(tmp_path)) * 255).round().unique().tolist() == [200]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, tmp_path):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:4, :8] = 255  # a white patch in the top left corner, wider than high
    # how a camera held so would have stored it
    stored = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
              7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1)}[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal((read_image(tmp_path / "a.png")[0].permute(1, 2, 0) * 255).byte().numpy(), upright)


def test_the_colour_profile_is_kept_unless_the_pixels_were_converted(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photo()).save(tmp_path / "a.png", icc_profile=profile)
    assert read_picture(tmp_path / "a.png").profile == profile
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "c.tif", icc_profile=profile)
    assert read_picture(tmp_path / "c.tif").profile is None


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp", ".PNG"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_formats_give_back_what_was_written(suffix, channels, tmp_path):
    x = torch.rand(1, channels, 13, 17)
    write_image(tmp_path / f"a{suffix}", x)
    picture = read_picture(tmp_path / f"a{suffix}")
    expected = (x * 255).round() / 255
    assert torch.equal(picture.color, expected[:, : 3 if channels > 2 else 1].expand(-1, 3, -1, -1))
    if channels in (2, 4) and suffix != ".bmp":
        assert torch.equal(picture.alpha, expected[:, -1:])


def test_jpeg_is_near(tmp_path):
    x = torch.from_numpy(photo(64, 64)).permute(2, 0, 1)[None] / 255
    write_image(tmp_path / "a.jpg", x)
    assert (read_image(tmp_path / "a.jpg") - x).abs().mean() < 0.02  # quality 95 without chroma subsampling


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_where_alpha_is_dropped_grey_stays_grey(suffix, tmp_path):
    for channels, mode in ((2, "L"), (4, "RGB")):
        write_image(tmp_path / f"a{suffix}", torch.full((channels, 8, 8), 0.5))
        with Image.open(tmp_path / f"a{suffix}") as image:
            assert image.mode == mode


def test_values_are_clipped_and_rounded(tmp_path):
    write_image(tmp_path / "a.png", torch.tensor([-0.5, 0.4999 / 255, 0.5001 / 255, 2.0]).view(1, 1, 4))
    assert np.array(Image.open(tmp_path / "a.png")).tolist() == [[0, 0, 1, 255]]


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (torch.zeros(3, 4, 4, dtype=torch.uint8), TypeError, "float"), (torch.zeros(5, 4, 4), ValueError, "channels"), (torch.zeros(4, 4), ValueError, "shape"),
        (torch.zeros(2, 3, 4, 4), ValueError, "one image"), (torch.full((3, 4, 4), torch.nan), ValueError, "NaN"), (torch.zeros(3, 0, 4), ValueError, "pixel"),
    ],
)
def test_what_is_no_image_is_not_written(x, error, says, tmp_path):
    with pytest.raises(error, match=says):
        write_image(tmp_path / "a.png", x)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "says"), [("a.xyz", "cannot write .xyz"), ("a", "without a suffix"), ("no/a.png", "does not exist"), ("d.png", "is a folder")]
)
def test_an_output_that_cannot_be_is_refused(name, says, tmp_path):
    (tmp_path / "d.png").mkdir()
    with pytest.raises(ImageError, match=says):
        write_image(tmp_path / name, torch.zeros(3, 4, 4))
    assert [p.name for p in tmp_path.iterdir()] == ["d.png"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"a{suffix}"
    write_image(path, torch.zeros(3, 4, 4))
    before = path.read_bytes()
    save = Image.Image.save

    def full(self, f, *args, **kwargs):
        save(self, f, *args, **kwargs)  # everything is written but the last bytes
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ImageError, match="No space left"):
        write_image(path, torch.ones(3, 64, 64))
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_bytes() == before


def test_ctrl_c_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as f:
        f.write(b"half")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "old"


def test_a_side_too_long_for_the_format(tmp_path):
    with pytest.raises(ImageError, match="cannot write"):
        write_image(tmp_path / "a.webp", torch.zeros(1, 1, 17_000))
    assert not list(tmp_path.iterdir())


def test_written_files_have_the_usual_permissions(tmp_path):
    mask = os.umask(0o027)
    try:
        write_image(tmp_path / "a.png", torch.zeros(3, 4, 4))
    finally:
        os.umask(mask)
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


def test_the_interface_others_rely_on():
    assert issubclass(ImageError, ValueError) and io.SUFFIXES[".png"] == "PNG"
    assert read_picture.__module__ == read_image.__module__ == write_image.__module__ == io.check_suffix.__module__ == "gensr.io"
    io.check_suffix(Path("a.png"))


def test_an_array_that_is_no_tensor_is_named(tmp_path):
    with pytest.raises(TypeError, match="x: expected a float tensor in .* got ndarray"):
        write_image(tmp_path / "a.png", np.zeros((3, 2, 2), dtype=np.float32))
