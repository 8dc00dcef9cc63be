"""The digits and the faces that need no download."""

import math

import torch
from sklearn.decomposition import PCA

from gensr.data.digits import LEVELS, dequantised, digits
from gensr.data.faces import faces


def test_split_shapes_range_and_levels():
    d = digits()
    assert d.train.shape == (1400, 1, 8, 8) and d.test.shape == (397, 1, 8, 8)
    assert d.train_labels.shape == (1400,) and d.test_labels.shape == (397,)
    assert d.train.dtype == torch.float32 and d.train.min() == 0 and d.train.max() == 1
    assert torch.equal(d.train * 16, (d.train * 16).round())
    assert sorted(d.test_labels.unique().tolist()) == list(range(10))


def test_split_is_always_the_same_and_its_parts_hold_all_images_once():
    a, b = digits(), digits()
    assert torch.equal(a.train, b.train)
    together = torch.cat([a.train, a.test]).flatten(1).double() * 16
    everything = (dequantised() * 16).floor().flatten(1)
    weights = torch.rand(64, dtype=torch.float64)
    torch.testing.assert_close((together @ weights).sort().values, (everything @ weights).sort().values)


def test_independent_histograms_reach_their_known_score():
    """107.6 nats per test image, Laplace-smoothed counts: a yardstick for every model of these digits, and a check of the split."""
    d = digits()
    train, test = (d.train * 16).long().flatten(1), (d.test * 16).long().flatten(1)
    counts = 1 + torch.nn.functional.one_hot(train, LEVELS).sum(0).double()  # (64, 17)
    log_p = (counts / counts.sum(1, keepdim=True)).log()
    nats = -log_p[torch.arange(64), test].sum(1).mean()
    assert abs(nats - 107.6) < 0.05
    assert nats < 64 * math.log(LEVELS)


def test_dequantised_gives_the_published_pca_score():
    x = dequantised().flatten(1).numpy()
    assert x.shape == (1797, 64)
    assert abs(PCA(8).fit(x).score(x) - 13.8873) < 1e-4
    assert abs(PCA(2).fit(x).score(x) + 0.1738) < 1e-4


def test_faces():
    f = faces()
    assert f.train.shape == (160, 1, 25, 25) and f.test.shape == (20, 1, 25, 25)
    assert f.train.min() >= 0 and f.train.max() <= 1
    assert torch.equal(f.train[0].flip(2), f.train[80])
    # a face is near mirror-symmetric on average, and no test image is a training image
    assert torch.cdist(f.test.flatten(1), f.train.flatten(1)).min() > 0.5
