"""The affine projection: consistent whatever the network says, on points and on images; its formula, its gradient, its limits."""

import pytest
import torch
from torch import nn

from gensr.nets import MLP
from gensr.operators import Average, Downsample, Mask, SubPixel, dense
from gensr.superres.affine import AffineProjection
from gensr.superres.edsr import EDSR


def test_every_network_of_the_plane_explains_its_measurement():
    y = 5 * torch.randn(1000, 1)
    for seed in range(5):
        torch.manual_seed(seed)
        net = AffineProjection(MLP(1, 32, 32, 2), Average())
        for p in net.parameters():
            p.data.mul_(3)  # wild answers
        made = net(y)
        size = made.abs().amax(1, keepdim=True)
        assert ((Average()(made) - y).abs() / size).max() < 1e-6  # rounding of float32, 6e-8 of the largest number in the sum, a few times over
        assert (made[:, 0] - made[:, 1]).std() > 0.1  # and the network still says something
        net.double()
        assert ((Average()(net(y.double())) - y) / y).abs().max() < 1e-6  # relative to y, however near to 0


def test_it_is_the_papers_formula():
    torch.manual_seed(3)
    f = MLP(1, 8, 2).double()
    y = torch.randn(7, 1, dtype=torch.float64)
    A = torch.full((1, 2), 0.5, dtype=torch.float64)
    inverse = torch.linalg.pinv(A)
    expected = f(y) @ (torch.eye(2, dtype=torch.float64) - inverse @ A).T + y @ inverse.T
    torch.testing.assert_close(AffineProjection(f, Average())(y), expected)


def test_only_the_gradient_in_the_null_space_comes_through():
    class Free(nn.Module):
        def __init__(self):
            super().__init__()
            self.x = nn.Parameter(torch.tensor([[0.3, -2.0]]))

        def forward(self, y):
            return self.x.expand(len(y), 2)

    net = AffineProjection(Free(), Average())
    (net(torch.ones(1, 1)) * torch.tensor([[5.0, 1.0]])).sum().backward()
    torch.testing.assert_close(net.network.x.grad, torch.tensor([[2.0, -2.0]]))  # (5, 1) less its part along (1, 1)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_super_resolution_network_on_images(scale):
    torch.manual_seed(0)
    net = AffineProjection(EDSR(scale=scale, blocks=1, channels=8), Downsample(scale))
    y = torch.rand(2, 3, 6, 5)
    made = net(y)
    assert made.shape == (2, 3, 6 * scale, 5 * scale) and net.scale == scale
    assert (Downsample(scale)(made) - y).abs().max() < 3e-6  # float32; a plain network is off by more than 0.01
    assert (Downsample(scale)(net.network(y)) - y).abs().max() > 0.01
    matrix = dense(Downsample(scale), (1, 4 * scale, 4 * scale))
    inverse = torch.linalg.pinv(matrix)
    assert (inverse @ matrix - torch.eye(len(inverse))).abs().max() > 0.1  # there is a null space to speak of


@pytest.mark.parametrize("A", [Downsample(4), Downsample(2), Downsample(3, "lanczos3"), Downsample.gaussian(4, 1.6)], ids=repr)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 33, 20), (1, 3, 7, 50), (1, 5, 48, 48)])
def test_every_size_and_number_of_channels_is_explained_to_1e_6(A, shape):
    class Wrong(nn.Module):
        """A picture in [0, 1] that has nothing to do with y."""

        def forward(self, y):
            return torch.rand(*y.shape[:2], A.scale * y.shape[2], A.scale * y.shape[3])

    torch.manual_seed(0)
    y = torch.rand(shape)
    made = AffineProjection(Wrong(), A)(y)
    assert made.dtype == torch.float32 and (A(made) - y).abs().max() <= 1e-6
    if y.numel() > 100:
        assert (A(Wrong()(y)) - y).abs().max() > 0.3  # what the projection had to mend


def test_a_pseudo_inverse_that_trains_along():
    net = AffineProjection(nn.Upsample(scale_factor=4), SubPixel(Downsample(4)))
    y = torch.rand(1, 3, 6, 5)
    assert [name for name, _ in net.named_parameters()] == ["operator.weight"]
    assert 1e-6 < (net.operator(net(y)) - y).abs().max() < 1e-3  # nearly explained: the kernels are cut off
    net(y).square().sum().backward()
    assert net.operator.weight.grad.abs().sum() > 0
    net.requires_grad_(False)
    assert not net(y).requires_grad


def test_a_measurement_outside_the_range_is_not_reached():
    hole = Mask(torch.tensor([[1.0, 0.0]]))
    y = torch.tensor([[[[0.7, 0.4]]]])  # 0.4 where nothing can be seen
    made = AffineProjection(nn.Identity(), hole)(y)
    assert hole(made).flatten().tolist() == pytest.approx([0.7, 0.0])


def test_bad_operator():
    with pytest.raises(TypeError, match="operator: expected a LinearOperator, got Linear"):
        AffineProjection(nn.Linear(1, 2), nn.Linear(2, 1))
