"""Textures: the parts share no pixel, the crops come from where they should, and the stream resumes."""

import pytest
import torch

from gensr.data import textures
from gensr.data.textures import NAMES, Crops, held_out, regions, texture, tiles


@pytest.mark.parametrize("name", NAMES)
def test_regions_tile_the_photograph(name):
    x, parts = texture(name), regions(name)
    assert x.shape == (1, 512, 512) and x.dtype == torch.uint8 and x.float().std() > 10
    assert [part.shape[2] for part in parts] == [352, 64, 96]
    assert torch.equal(torch.cat(list(parts), 2), x)


def test_tiles_come_row_by_row_and_drop_the_rest():
    x = torch.arange(7 * 9).view(1, 7, 9)
    t = tiles(x, 3)
    assert t.shape == (6, 1, 3, 3)
    assert torch.equal(t[0], x[:, :3, :3]) and torch.equal(t[1], x[:, :3, 3:6]) and torch.equal(t[3], x[:, 3:6, :3])


def test_held_out_tiles_are_those_of_their_part():
    test = held_out("test")
    assert test.shape == (144, 1, 32, 32) and held_out("validation").shape == (96, 1, 32, 32)
    assert torch.equal((test[0] * 255).round().to(torch.uint8), texture("brick")[:, :32, 416:448])
    assert torch.equal((test[48 * 2 + 1] * 255).round().to(torch.uint8), texture("gravel")[:, :32, 448:480])


def occurs(crop, strip):
    """Whether a crop, or its mirror image, stands somewhere in a strip."""
    windows = strip.unfold(1, crop.shape[1], 1).unfold(2, crop.shape[2], 1)[0]
    return any(bool((windows == c[0]).flatten(2).all(2).any()) for c in (crop, crop.flip(2)))


def test_crops_come_from_the_training_strip_and_from_nowhere_else():
    crops = (Crops(8, batch=6, names=("gravel",)).draw() * 255).round().to(torch.uint8)
    parts = regions("gravel")
    for crop in crops:
        assert occurs(crop, parts.train)
        assert not occurs(crop, parts.validation) and not occurs(crop, parts.test)


def test_crops_reach_every_column_and_every_texture(monkeypatch):
    """On pictures that number their own columns, the first and the last column are both seen, and all pictures about equally often."""
    column = torch.arange(512, dtype=torch.int32).expand(1, 512, 512)
    monkeypatch.setattr(textures, "regions", lambda name: textures.Regions(*(column % 176).to(torch.uint8).split([352, 64, 96], 2)))
    x = (Crops(16, batch=800, flip=False).draw() * 255).round()
    assert x.min() == 0 and x.max() == 175
    assert (x[:, 0, 0].diff(dim=1) % 176 == 1).all()


def test_mirroring_turns_half_of_the_crops():
    straight, mirrored = Crops(16, 64, flip=False, seed=3).draw(), Crops(16, 64, seed=3).draw()
    turned = (straight != mirrored).flatten(1).any(1)
    assert 15 < turned.sum() < 49
    assert torch.equal(straight[turned].flip(3), mirrored[turned])


def test_stream_resumes():
    a = Crops(8, 4)
    a.draw()
    state = a.state_dict()
    expected = a.draw()
    b = Crops(8, 4, seed=9)
    b.load_state_dict(state)
    assert torch.equal(b.draw(), expected)
    assert not torch.equal(a.draw(), expected)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="name: expected one of brick, grass, gravel, got 'sand'"):
        texture("sand")
    with pytest.raises(ValueError, match="part"):
        held_out("tests")
    with pytest.raises(ValueError, match="size"):
        tiles(torch.zeros(1, 4, 4), 5)
    with pytest.raises(ValueError, match="size"):
        Crops(353)
