"""Flow layers: the claimed log-determinant is the Jacobian's, the inverse inverts, and likelihood training needs both of its terms."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gensr.data.toy2d import EightGaussians, TwoMoons, entropy, grid
from gensr.models.flows import ActNorm, AffineCoupling, FlowSequence, InvertibleConv1x1, MaskedCoupling, RealNVP, Split, Squeeze, coupling_net
from gensr.train import cosine, fit


def randomised(layer: nn.Module) -> nn.Module:
    """Zero-initialised weights would make a coupling a constant scaling, whose determinant is right by luck."""
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return layer.eval()


LAYERS = {
    "ActNorm, images": (lambda: ActNorm(3), (3, 4, 2)),
    "ActNorm, vectors": (lambda: ActNorm(5), (5,)),
    "InvertibleConv1x1": (lambda: InvertibleConv1x1(4), (4, 3, 2)),
    "AffineCoupling, even": (lambda: AffineCoupling(4, 8), (4, 3, 2)),
    "AffineCoupling, odd": (lambda: AffineCoupling(3, 8), (3, 3, 2)),
    "MaskedCoupling": (lambda: MaskedCoupling(torch.tensor([1.0, 0, 1]), 8), (3,)),
    "Squeeze": (Squeeze, (2, 4, 2)),
    "FlowSequence": (lambda: FlowSequence([Squeeze(), ActNorm(4), InvertibleConv1x1(4), AffineCoupling(4, 8)]), (1, 4, 4)),
    "RealNVP": (lambda: RealNVP(3, 4, 8), (3,)),
}
every_layer = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS.keys())


def jacobian_logdets(f, x):
    """log|det| of f at each element of the batch, from autograd's dense Jacobian."""
    rows = [torch.autograd.functional.jacobian(lambda v: f(v[None]).flatten(), one) for one in x]
    return torch.stack([torch.linalg.slogdet(J.reshape(one.numel(), one.numel())).logabsdet for J, one in zip(rows, x, strict=True)])


@every_layer
def test_logdet_equals_the_jacobian(make, shape):
    layer = randomised(make()).double()
    x = torch.randn(3, *shape, dtype=torch.float64)
    with torch.no_grad():
        z, logdet = layer(x)
        back, backward_logdet = layer.inverse(z)
    assert logdet.shape == (3,)
    torch.testing.assert_close(logdet, jacobian_logdets(lambda v: layer(v)[0], x), atol=1e-8, rtol=0)
    torch.testing.assert_close(backward_logdet, jacobian_logdets(lambda v: layer.inverse(v)[0], z), atol=1e-8, rtol=0)
    torch.testing.assert_close(back, x, atol=1e-9, rtol=0)
    if not isinstance(layer, Squeeze):
        assert logdet.abs().min() > 1e-2  # or a layer that claims 0 would pass


@every_layer
def test_round_trip_in_single_precision(make, shape):
    layer = randomised(make())
    x = torch.randn(20, *shape)
    with torch.no_grad():
        z, logdet = layer(x)
        back, backward_logdet = layer.inverse(z)
    assert (back - x).abs().max() < 1e-4 and (logdet + backward_logdet).abs().max() < 1e-4


def test_split_is_a_flow_layer_with_two_outputs():
    split = randomised(Split(3)).double()
    x = torch.randn(3, 3, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        x_a, e, logdet = split(x)
        back, backward_logdet = split.inverse(x_a, e)
    assert x_a.shape[1] == 1 and e.shape[1] == 2
    reference = jacobian_logdets(lambda v: torch.cat(split(v)[:2], 1), x)
    torch.testing.assert_close(logdet, reference, atol=1e-8, rtol=0)
    torch.testing.assert_close(backward_logdet, -logdet)
    torch.testing.assert_close(back, x)
    assert logdet.abs().min() > 1e-2


def test_split_is_the_learned_conditional_prior():
    """N(e; 0, 1) and the log-determinant together are log N(x_b; mu(x_a), σ(x_a)²)."""
    split, x = randomised(Split(4)), torch.randn(3, 4, 2, 2)
    with torch.no_grad():
        x_a, e, logdet = split(x)
        mu, log_sigma = split.net(x_a).chunk(2, 1)
        ours = torch.distributions.Normal(0.0, 1.0).log_prob(e).sum((1, 2, 3)) + logdet
        torch.testing.assert_close(ours, torch.distributions.Normal(mu, log_sigma.exp()).log_prob(x[:, 2:]).sum((1, 2, 3)))


# ---- ActNorm ------------------------------------------------------------------------------------------------------------------------


def test_actnorm_normalises_the_first_batch_and_only_that():
    layer = ActNorm(3)
    x = 5 + 2 * torch.randn(50, 3, 4, 4) * torch.tensor([1.0, 2, 3]).view(3, 1, 1)
    z = layer(x)[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(z.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(1, correction=0), torch.ones(3))
    s = layer.log_s.detach().clone()
    layer(3 * x)
    assert torch.equal(layer.log_s, s)


def test_actnorm_does_not_initialise_in_eval_mode():
    layer = ActNorm(2).eval()
    x = 7 + torch.randn(10, 2)
    z, logdet = layer(x)
    assert torch.equal(z, x) and (logdet == 0).all() and not layer.initialised
    layer.train()(x)
    assert layer.initialised


def test_actnorm_stays_initialised_after_a_resume():
    layer = ActNorm(2)
    layer(7 + torch.randn(10, 2))
    layer.b.data.zero_()  # bias = 0 does not mean fresh
    resumed = ActNorm(2)
    resumed.load_state_dict(layer.state_dict())
    for copied in (resumed, copy.deepcopy(layer)):
        copied.train()(100 + torch.randn(10, 2))
        assert torch.equal(copied.log_s, layer.log_s) and torch.equal(copied.b, layer.b)


def test_actnorm_survives_a_constant_channel():
    z, logdet = ActNorm(2)(torch.cat([torch.full((10, 1), 3.0), torch.randn(10, 1)], 1))
    assert torch.isfinite(z).all() and torch.isfinite(logdet).all()


# ---- the 1×1 convolution and the coupling -------------------------------------------------------------------------------------------


def test_conv1x1_starts_as_a_rotation():
    layer = InvertibleConv1x1(6)
    with torch.no_grad():
        W = layer.weight()
        torch.testing.assert_close(W @ W.T, torch.eye(6), atol=1e-5, rtol=0)
        assert layer(torch.randn(2, 6, 3, 3))[1].abs().max() < 1e-4


def test_conv1x1_factors_keep_their_form_whatever_training_does():
    layer = randomised(InvertibleConv1x1(4))
    torch.testing.assert_close(torch.linalg.slogdet(layer.weight().double()).logabsdet.float(), layer.log_s.sum())
    learned = {name for name, _ in layer.named_parameters()}
    assert learned == {"log_s", "L", "U"} and {"P", "sign"} <= set(layer.state_dict())


def test_coupling_shifts_then_scales():
    """With a network that always says t = 2, h = −2, s is sigmoid(0) = ½, and z_b = ½ (x_b + 2)."""

    class Says(nn.Module):
        def forward(self, x):
            return torch.cat([torch.full_like(x, 2.0), torch.full_like(x, -2.0)], 1)

    z, logdet = AffineCoupling(2, net=Says())(torch.tensor([[3.0, 4.0]]).view(1, 2, 1, 1))
    assert z.flatten().tolist() == [3.0, 3.0]
    torch.testing.assert_close(logdet, torch.tensor([math.log(0.5)]))


def test_coupling_starts_as_one_scaling():
    x = torch.randn(3, 4, 2, 2)
    z, _ = AffineCoupling(4, 8)(x)
    torch.testing.assert_close(z, torch.cat([x[:, :2], torch.sigmoid(torch.tensor(2.0)) * x[:, 2:]], 1))
    assert coupling_net(1, 2, 4)(torch.randn(1, 1, 3, 3)).abs().max() == 0


def test_squeeze_makes_channels_of_blocks():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    z, logdet = Squeeze()(x)
    assert z.shape == (1, 4, 2, 2) and sorted(z[0, :, 0, 0].tolist()) == [0, 1, 4, 5] and logdet == 0


# ---- RealNVP ------------------------------------------------------------------------------------------------------------------------


def train(model: RealNVP, toy, steps: int) -> None:
    data = [toy.sample(256) for _ in range(50)]
    fit(model, data, steps=steps, lr=cosine(5e-3, steps), progress=False)


def test_realnvp_learns_two_moons():
    """The cross-entropy of a short training is within 0.15 nats of the data's entropy, which no model can beat; and the density integrates to 1."""
    toy, model = TwoMoons(), RealNVP()
    train(model, toy, 500)
    x = toy.sample(5000)
    points, area = grid(3 * toy.extent, 600)
    with torch.no_grad():
        excess = (toy.log_prob(x) - model.log_prob(x)).mean()  # an estimate of KL[p ‖ q], free of most of the noise of either term
        total = model.log_prob(points.float()).exp().sum() * area
    assert 0 < excess < 0.15
    assert abs(total - 1) < 0.01
    assert entropy(toy) + excess < 1.2  # a Gaussian with the data's covariance has 1.9 nats


def test_realnvp_samples_are_of_its_own_density():
    """Two routes to the entropy of the model: −log q over its samples, and a grid."""
    model = RealNVP(2, 4, 16)
    train(model, EightGaussians(sigma=0.5), 100)
    points, area = grid(8.0, 500)
    with torch.no_grad():
        x = model.sample(20_000)
        log_q = model.log_prob(points.float())
        reference = -(log_q.exp() * log_q).sum() * area
        assert abs(-model.log_prob(x).mean() - reference) < 0.04  # about 5 standard errors
        assert model.sample(1000, tau=0.1).std() < x.std() and model.sample(5).shape == (5, 2)


def test_without_the_determinant_z_collapses():
    """Maximising log N(f(x)) alone sends every x to 0: the term log|det| is what pushes points apart."""

    class Careless(RealNVP):
        def log_prob(self, x):
            z, _ = self(x)
            return -0.5 * z.square().sum(1) - math.log(2 * math.pi)

    toy, spread = TwoMoons(), {}
    for kind in (RealNVP, Careless):
        torch.manual_seed(0)
        model = kind(2, 4, 16)
        train(model, toy, 200)
        with torch.no_grad():
            spread[kind] = model(toy.sample(1000))[0].std()
    assert 0.8 < spread[RealNVP] < 1.2 and spread[Careless] < 0.1


def test_gradients_reach_every_parameter():
    model = randomised(RealNVP(4, 3, 8))
    model.loss(torch.randn(20, 4)).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().max() > 0, name


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="channels"):
        AffineCoupling(1)
    with pytest.raises(ValueError, match="channels"):
        Split(1)
    with pytest.raises(ValueError, match="dims"):
        RealNVP(1)
    with pytest.raises(ValueError, match="even"):
        Squeeze()(torch.zeros(1, 1, 3, 4))


def test_the_logdet_of_the_sigmoid_is_stable():
    """h = −200: log σ is −198, where log(sigmoid(h + 2)) would be −∞."""

    class Says(nn.Module):
        def forward(self, x):
            return torch.cat([torch.zeros_like(x), torch.full_like(x, -200.0)], 1)

    _, logdet = AffineCoupling(2, net=Says())(torch.ones(1, 2, 1, 1))
    torch.testing.assert_close(logdet, F.logsigmoid(torch.tensor([-198.0])))
