"""MNIST is read as it is, and drawn in black and white as it should be."""

import pytest
import torch

from gensr.data.mnist import Binarised, binarised, mnist
from gensr.fetch import FetchError


@pytest.mark.data
def test_the_set_in_its_original_order(data_folder):
    x = mnist()
    assert x.train_labels[:5].tolist() == [5, 0, 4, 1, 9] and x.test_labels[:4].tolist() == [7, 2, 1, 0]
    assert x.train.float().mean().item() == pytest.approx(33.3184, abs=1e-4)


def test_a_missing_set_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GENSR_DATA", str(tmp_path))
    monkeypatch.setenv("GENSR_CACHE", str(tmp_path))
    with pytest.raises(FetchError, match="mnist: .*gen/mnist"):
        mnist()


def test_a_pixel_is_on_as_often_as_it_is_bright():
    x = torch.arange(0, 256, 17, dtype=torch.uint8).view(1, 1, 4, 4).expand(20_000, 1, 4, 4)
    drawn = binarised(x, seed=3)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(drawn, binarised(x, seed=3)) and not torch.equal(drawn, binarised(x, seed=4))
    p = x[0].float() / 255
    assert ((drawn.mean(0) - p).abs() <= 4.5 * (p * (1 - p) / 20_000).sqrt()).all()


def test_the_stream_draws_anew_and_resumes():
    x = torch.full((1, 1, 28, 28), 128, dtype=torch.uint8)
    stream = Binarised(x, batch=3)
    draws = iter(stream)
    first = next(draws)
    assert first.shape == (3, 1, 28, 28) and not torch.equal(first[0], first[1])
    place = stream.state_dict()
    second = next(draws)
    again = Binarised(x, batch=3)
    again.load_state_dict(place)
    assert torch.equal(next(iter(again)), second)
