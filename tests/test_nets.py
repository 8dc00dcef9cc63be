"""The networks of `gensr.nets` that no chapter spells out: shapes, what they add to, what they can see, what they refuse."""

import pytest
import torch
from torch.nn import functional as F

from gensr.models.gan import kl
from gensr.nets import MLP, PatchCritic, SubPixelNet
from gensr.resize import bicubic_upsample
from gensr.train import fit


@pytest.mark.parametrize("colours, extra", [(1, 0), (3, 0), (1, 2), (3, 1)])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_an_image_of_any_size_is_enlarged(scale, colours, extra):
    net = SubPixelNet(scale, colours, extra=extra, channels=8, blocks=1)
    y = torch.rand(2, colours + extra, 5, 7)
    assert net(y).shape == (2, colours, 5 * scale, 7 * scale)
    for p in net.tail.parameters():
        p.data.zero_()
    torch.testing.assert_close(net(y), bicubic_upsample(y[:, :colours], scale))  # what is added to; the extra channels have no part in it
    net.skip = False
    assert torch.equal(net(y), torch.full((2, colours, 5 * scale, 7 * scale), 0.5)), "the plain body begins with mid grey"


def test_pixels_are_shuffled_to_their_place():
    """A change of one LR pixel moves the HR pixels around it: nothing is mirrored or shifted."""
    net = SubPixelNet(4, 1, channels=8, blocks=1)
    y = torch.rand(1, 1, 20, 24)
    other = y.clone()
    other[..., 8, 15] += 1  # five convolutions see five pixels to each side
    moved = (net(other) - net(y)).abs()[0, 0].gt(1e-6).nonzero()
    assert moved.amin(0).tolist() == [4 * (8 - 5), 4 * (15 - 5)] and moved.amax(0).tolist() == [4 * (8 + 5) + 3, 4 * (15 + 5) + 3]


def test_the_size_told_in_the_docstring():
    assert sum(p.numel() for p in SubPixelNet().parameters()) == 98_000


def test_it_learns_what_bicubic_misses():
    torch.manual_seed(0)
    y = torch.rand(4, 1, 8, 8)
    x = bicubic_upsample(y, 2) + 0.3 * F.interpolate(y, scale_factor=2).square()
    net = SubPixelNet(2, 1, channels=16, blocks=1)
    net.loss = lambda y, x: (net(y) - x).square().mean()
    losses = fit(net, [(y, x)], steps=60, lr=5e-3, progress=False).losses
    assert losses[-1] < 0.05 * (bicubic_upsample(y, 2) - x).square().mean().item()


@pytest.mark.parametrize("depth, side", [(1, 6), (2, 12), (3, 24)])
def test_a_logit_sees_a_patch(depth, side):
    """Its gradient is not 0 on 3·2ᵈ rows and columns, and 0 elsewhere."""
    critic = PatchCritic(1, channels=4, depth=depth)
    x = torch.rand(1, 1, 64, 64, requires_grad=True)
    logits = critic(x)
    assert logits.shape == (1, 1, 64 >> depth, 64 >> depth)
    middle = logits.shape[-1] // 2
    seen = torch.autograd.grad(logits[0, 0, middle, middle], x)[0][0, 0].ne(0)
    assert seen.any(0).sum() == side and seen.any(1).sum() == side


def test_images_of_any_size_are_judged():
    critic = PatchCritic(3, channels=4, depth=2)
    assert critic(torch.rand(2, 3, 9, 14)).shape == (2, 1, 2, 3)
    losses = kl(critic(torch.rand(2, 3, 9, 14)), critic(torch.rand(2, 3, 9, 14)))
    assert all(v.shape == () and v.isfinite() for v in losses)


def test_the_critic_tells_white_noise_from_smooth_noise():
    """Same variance and mean: only the neighbours tell."""
    critic = PatchCritic(1, channels=8, depth=2)
    smooth = F.avg_pool2d(torch.randn(64, 1, 18, 18), 3, 1) * 3
    white = torch.randn(64, 1, 16, 16)
    critic.loss = lambda a, b: kl(critic(a), critic(b)).critic
    fit(critic, [(smooth, white)], steps=80, lr=5e-3, progress=False)
    new_smooth, new_white = F.avg_pool2d(torch.randn(64, 1, 18, 18), 3, 1) * 3, torch.randn(64, 1, 16, 16)
    assert (critic(new_smooth) > 0).float().mean() > 0.9 and (critic(new_white) < 0).float().mean() > 0.9


def test_bad_arguments():
    with pytest.raises(ValueError, match="scale, colours, channels, blocks, extra: expected at least 1, for extra at least 0, got 0, 3, 32, 4 and 0"):
        SubPixelNet(0)
    with pytest.raises(ValueError, match="and -1"):
        SubPixelNet(2, extra=-1)
    with pytest.raises(ValueError, match=r"y: expected floats of shape \(b, 4, h, w\), got torch.float32 of \(1, 3, 8, 8\)"):
        SubPixelNet(2, extra=1)(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="colours, channels, depth: expected at least 1, got 3, 32 and 0"):
        PatchCritic(depth=0)
    with pytest.raises(ValueError, match="x: expected sides of at least 8, got 7x20"):
        PatchCritic()(torch.rand(1, 3, 7, 20))


def test_what_is_no_network_or_no_image_is_refused():
    for sizes in ((), (2,), (2, 0, 1)):
        with pytest.raises(ValueError, match="sizes: expected at least two"):
            MLP(*sizes)
    with pytest.raises(ValueError, match="y: expected floats of shape .* got torch.uint8"):
        SubPixelNet(2, channels=2, blocks=1)(torch.full((1, 3, 4, 4), 200, dtype=torch.uint8))
    critic = PatchCritic(3, channels=2, depth=1)
    for x in (torch.rand(3, 8, 8), torch.rand(1, 1, 8, 8), torch.ones(1, 3, 8, 8).long()):
        with pytest.raises(ValueError, match=r"x: expected floats of shape \(b, 3, h, w\)"):
            critic(x)


def test_grey_levels_are_centred_on_their_way_in_and_extra_channels_are_not():
    """The convolutions' border is 0: without the shift it would be black, and the critic's levels would all lie on one side."""
    net, critic, seen = SubPixelNet(2, 3, extra=1, channels=4, blocks=1), PatchCritic(1, channels=2, depth=1), []
    for layer in (net.head, critic.net[0]):
        layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    y = torch.cat([torch.full((1, 3, 4, 4), 0.5), torch.rand(1, 1, 4, 4)], 1)
    net(y)
    critic(torch.tensor([0.0, 0.5, 0.5, 1.0]).view(1, 1, 2, 2))
    assert (seen[0][:, :3] == 0).all() and torch.equal(seen[0][:, 3:], y[:, 3:])
    assert seen[1].flatten().tolist() == [-2, 0, 0, 2]
