"""The bounds of the shipped MNIST models, measured again on the same draw of the test set."""

import json
from pathlib import Path

import pytest
import torch

from gensr import weights
from gensr.data.mnist import binarised, mnist

PROMISED = {"mnist_vae": 92.0, "mnist_nvae": 90.0}  # nats per image


@pytest.fixture(scope="module")
def images(data_folder):
    return binarised(mnist().test, seed=0)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROMISED))
@torch.no_grad()
def test_the_bound_on_the_test_set_is_what_the_card_says(name, images):
    """One draw of z an image; over 10,000 images another draw moves the mean by about 0.03 nats."""
    net, card = weights.load(name), weights.card(name)
    torch.manual_seed(1)
    found = [net.elbo(x) for x in images.split(500)]
    nats = -torch.cat([e.total for e in found]).mean().item()
    assert nats == pytest.approx(card["measured"]["nats"], abs=0.1)
    assert torch.cat([e.kl for e in found]).mean().item() == pytest.approx(card["measured"]["kl"], abs=0.1)
    assert nats <= PROMISED[name]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROMISED))
@torch.no_grad()
def test_importance_weights_tighten_it_as_the_card_says(name, images):
    net, card = weights.load(name), weights.card(name)
    torch.manual_seed(1)
    x = images[:500]
    elbo, iw = -net.elbo(x).total.mean().item(), -net.iw_bound(x, 50).mean().item()
    gain = card["measured"].get("gain_iw100", card["measured"]["nats"] - card["measured"].get("iw500", 0))
    assert elbo - iw == pytest.approx(gain, abs=1.0)  # 50 draws of z close most of what 100 or 500 do
    assert elbo - iw > 0.5


@pytest.mark.data
@pytest.mark.slow
@torch.no_grad()
def test_the_pixelcnn_is_as_good_as_its_card_says(images):
    """Exact, so the figure of all 10,000 is met to its last digit; here every fourth, within what the choice moves (0.4 nats is 1.5 standard errors)."""
    net, card = weights.load("mnist_pixelcnn"), weights.card("mnist_pixelcnn")
    assert card["measured"]["nats"] <= 84
    nats = -torch.cat([net.log_prob(x) for x in images[::4].split(250)]).mean().item()
    assert nats == pytest.approx(card["measured"]["nats"], abs=0.8)


def test_the_hierarchy_beats_a_flat_model_of_as_many_parameters():
    """By the two figures' cards; the hierarchy's is measured again above, the flat one's weight is not shipped."""
    flat = json.loads((Path(__file__).parents[1] / "book" / "chapters" / "measured" / "mnist_vae_small.json").read_text(encoding="utf-8"))
    deep = weights.card("mnist_nvae")
    assert deep["parameters"] == pytest.approx(flat["parameters"], rel=0.01)
    assert deep["measured"]["nats"] <= flat["nats"] - 2
    assert sum(deep["measured"][f"kl_{i}"] for i in range(1, 5)) == pytest.approx(deep["measured"]["kl"], abs=0.2)
