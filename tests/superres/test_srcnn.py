"""SRCNN: shapes, its work on the luma alone, the loss and its gradient in closed form, and a toy it must learn."""

import pytest
import torch

from gensr.metrics import to_y
from gensr.resize import bicubic_upsample
from gensr.superres.srcnn import SRCNN
from gensr.train import cosine, fit


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 6), (5, 3), (12, 10)])
def test_output_is_scale_times_as_large(scale, h, w):
    net = SRCNN(scale)
    assert net.scale == scale
    assert net(torch.rand(2, 3, h, w)).shape == (2, 3, scale * h, scale * w)


@pytest.mark.parametrize(("kernels", "count"), [((9, 1, 5), 8_129), ((9, 5, 5), 57_281)])
def test_parameters_are_those_of_the_paper(kernels, count):
    """The paper counts weights without biases: 8,032 for 9-1-5 and 57,184 for 9-5-5 (TPAMI, table 2 and §4.3.2); the biases add 64 + 32 + 1."""
    assert sum(p.numel() for p in SRCNN(4, kernels).parameters()) == count
    assert sum(p.numel() for n, p in SRCNN(4, kernels).named_parameters() if n.endswith("weight")) == count - 97


def test_colour_differences_are_left_as_bicubic_made_them():
    net, y = SRCNN(4), torch.rand(1, 3, 8, 8)
    out, up = net(y), bicubic_upsample(y, 4)
    for a, b in ((0, 1), (1, 2)):
        assert torch.allclose(out[:, a] - out[:, b], up[:, a] - up[:, b], atol=1e-6)
    assert (out - up).abs().max() > 0.01, "an untrained network moves the luma, so the test means something"


def test_the_luma_of_the_output_is_what_the_network_made():
    """Y is a mixture of R, G, B with weights that add up to 219/255, so moving all three by 255/219 of a change moves Y by just the change."""
    net, y = SRCNN(2).double(), torch.rand(1, 3, 8, 8, dtype=torch.float64)
    assert torch.allclose(to_y(net(y)), net.luma(to_y(bicubic_upsample(y, 2))), atol=1e-12)


def test_receptive_field_is_13_pixels_for_9_1_5_and_17_for_9_5_5():
    """f₁ + f₂ + f₃ − 2 (TPAMI, §4.3.2)."""
    for kernels, width in (((9, 1, 5), 13), ((9, 5, 5), 17)):
        net = SRCNN(4, kernels)
        v = torch.rand(1, 1, 31, 31, requires_grad=True)
        net.luma(v)[0, 0, 15, 15].backward()
        seen = (v.grad[0, 0].abs() > 0).any(1).nonzero().flatten()
        assert seen.max() - seen.min() + 1 == width


def test_loss_is_the_mean_squared_error_of_the_luma_and_its_gradient_twice_the_mean_error():
    net = SRCNN(2)
    y, x = torch.rand(2, 3, 6, 5), torch.rand(2, 3, 12, 10)
    error = (net.luma(to_y(bicubic_upsample(y, 2))) - to_y(x)).detach()
    loss = net.loss(y, x)
    assert loss.item() == pytest.approx(error.square().mean().item(), rel=1e-5)
    loss.backward()
    assert net.reconstruct.bias.grad.item() == pytest.approx(2 * error.mean().item(), rel=1e-4)


def test_every_parameter_is_in_one_group_and_the_last_layer_is_slow():
    net = SRCNN(4)
    groups = net.parameter_groups()
    assert [g["lr_scale"] for g in groups] == [1.0, 0.1]
    assert sorted(map(id, net.parameters())) == sorted(id(p) for g in groups for p in g["params"])
    assert {id(p) for p in groups[1]["params"]} == {id(net.reconstruct.weight), id(net.reconstruct.bias)}


def test_fit_honours_the_slow_last_layer():
    """Adam's first step is lr · sign(gradient), so the first layers move by lr and the last by a tenth of it."""
    net = SRCNN(2)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    batch = (torch.rand(2, 3, 6, 6), torch.rand(2, 3, 12, 12))
    fit(net, [batch], steps=1, lr=1e-3, optimizer=torch.optim.Adam(net.parameter_groups(), lr=1e-3), progress=False)
    moved = {n: (p - before[n]).abs().max().item() for n, p in net.named_parameters()}
    assert moved["extract.weight"] == pytest.approx(1e-3, rel=0.01)
    assert moved["reconstruct.weight"] == pytest.approx(1e-4, rel=0.01)


@pytest.mark.slow
def test_learns_to_leave_an_image_as_it_is():
    """With the bicubic enlargement as its target, the network has to become the identity (over seeds 0 to 4 the loss fell 24- to 48-fold)."""
    net = SRCNN(2, channels=(16, 8))
    y = torch.rand(8, 3, 8, 8)
    history = fit(net, [(y, bicubic_upsample(y, 2))], steps=300, lr=cosine(5e-3, 300, warmup=20), progress=False)
    assert history.losses[-1] < history.losses[0] / 10
