"""Vector quantisation: the copied gradient, moving averages by hand, β on the encoder, codes that come back to life, and a peer library."""

import pytest
import torch
from torch import nn

from gensr.data.digits import digits
from gensr.likelihoods import Bernoulli
from gensr.models.vqvae import VQVAE, VQVAE2, VectorQuantizer, perplexity
from gensr.train import fit


def test_the_encoder_gets_exactly_the_decoders_gradient():
    q = VectorQuantizer(16, 4, beta=0.0).eval()
    z = torch.randn(2, 4, 3, 3, requires_grad=True)
    out, upstream = q(z), torch.randn(2, 4, 3, 3)
    (g,) = torch.autograd.grad(out.z, z, upstream)
    assert torch.equal(g, upstream)
    torch.testing.assert_close(out.z, q.embed(out.codes))


def test_every_vector_gets_its_nearest_word():
    q = VectorQuantizer(16, 4).eval()
    z = torch.randn(2, 4, 3, 5)
    distance = (z.movedim(1, -1)[..., None, :] - q.codebook).square().sum(-1)  # (b, h, w, k) by subtraction
    assert torch.equal(q(z).codes, distance.argmin(-1))


def test_beta_sits_on_the_encoders_term():
    """With a gradient codebook the two terms are equal in value; only their gradients tell which is which: β to the encoder, 1 to the words."""
    q = VectorQuantizer(8, 4, beta=0.25, decay=None)
    z = torch.randn(1, 4, 2, 2, requires_grad=True)
    out = q(z)
    e = q.embed(out.codes).detach()
    torch.testing.assert_close(out.loss, 1.25 * (z - e).square().mean())
    gz, ge = torch.autograd.grad(out.loss, [z, q.codebook])
    torch.testing.assert_close(gz, 0.25 * 2 * (z - e) / z.numel())
    expected = torch.zeros_like(q.codebook)
    expected.index_add_(0, out.codes.flatten(), (2 * (e - z) / z.numel()).detach().movedim(1, -1).flatten(0, 2))
    torch.testing.assert_close(ge, expected)


def test_moving_averages_by_hand():
    q = VectorQuantizer(2, 1, decay=0.9)
    q.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    q.total.copy_(torch.tensor([[0.0], [10.0]]))
    q(torch.tensor([1.0, 2.0, 9.0]).view(3, 1, 1, 1))
    torch.testing.assert_close(q.count, torch.tensor([0.9 + 0.1 * 2, 0.9 + 0.1 * 1]))
    torch.testing.assert_close(q.total[:, 0], torch.tensor([0.1 * 3.0, 9 + 0.1 * 9.0]))
    torch.testing.assert_close(q.codebook[:, 0], torch.tensor([0.3 / 1.1, 9.9 / 1.0]))


def test_a_word_that_nobody_uses_stays_where_it_is():
    """Its sum and count fade together; a floor under the count alone would pull it to 0."""
    q = VectorQuantizer(2, 1, decay=0.9)
    q.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    q.total.copy_(torch.tensor([[0.0], [10.0]]))
    for _ in range(2000):
        q(torch.ones(4, 1, 1, 1))
    torch.testing.assert_close(q.codebook[:, 0], torch.tensor([1.0, 10.0]))


def test_averages_do_not_move_in_evaluation():
    q = VectorQuantizer(4, 2).eval()
    before = q.codebook.clone()
    q(torch.randn(3, 2, 2, 2))
    assert torch.equal(q.codebook, before)


def test_a_revived_code_is_in_use_three_updates_later():
    q = VectorQuantizer(4, 2, decay=0.9, revive=0.5)
    q.codebook[3] = q.total[3] = torch.tensor([50.0, 50.0])  # far from everything
    q.count[3] = 0.5
    torch.manual_seed(0)
    data = torch.randn(64, 2, 1, 1)
    used = []
    for _ in range(4):
        used.append((q(data).codes == 3).any().item())
    assert not used[0]  # dead in the first batch, and revived by it
    assert all(used[1:])
    assert q.codebook[3].norm() < 5


@pytest.mark.parametrize("forget", ["count", "total"])
def test_reviving_the_word_alone_does_not_last(forget):
    """Why count and sum are reset too: without, the next update computes the word from the old ones."""
    q = VectorQuantizer(4, 2, decay=0.9)
    q.count[3], q.total[3] = 1e-6, torch.tensor([5e-5, 5e-5])
    if forget == "total":
        q.count[3] = 1.0
    else:
        q.total[3] = torch.zeros(2)
    q.codebook[3] = torch.tensor([0.1, 0.1])
    q.update(torch.full((8, 2), -1.0), torch.zeros(8).long())
    assert (q.codebook[3] - 0.1).norm() > 0.05


def test_perplexity():
    assert perplexity(torch.arange(8), 8) == pytest.approx(8)
    assert perplexity(torch.zeros(5).long(), 8) == pytest.approx(1)
    assert perplexity(torch.tensor([0, 0, 1, 1]), 8) == pytest.approx(2)


def test_digits_use_most_words_and_improve():
    x = digits().train
    model = VQVAE(1, 16, likelihood=Bernoulli(), codes=32, dim=8, decay=0.9, revive=1.0)
    history = fit(model, torch.utils.data.DataLoader(x, 100, shuffle=True), steps=250, lr=3e-3, progress=False)
    assert sum(history.losses[-20:]) / 20 < 26  # 45 at the start; 27 is the blurred mean digit
    assert perplexity(model.encode(x), 32) > 16
    torch.testing.assert_close(model.decode(model.encode(x[:3])), model.likelihood.mean(model.decoder(model.quantizer(model.encoder(x[:3])).z)))


def test_two_levels():
    model, x = VQVAE2(3, 8, likelihood=Bernoulli(), codes=8, dim=4), torch.rand(2, 3, 16, 24)
    top, bottom = model.eval().encode(x)
    assert top.shape == (2, 2, 3)
    assert bottom.shape == (2, 4, 6)
    both, high, low = model.decode(top, bottom), model.decode(top, None), model.decode(None, bottom)
    assert both.shape == high.shape == low.shape == x.shape
    assert not torch.equal(both, high)
    assert not torch.equal(both, low)
    model.train().loss(x).backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not silent
    with pytest.raises(ValueError, match="top, bottom"):
        model.decode(None, None)


def test_agrees_with_vector_quantize_pytorch():
    """The same codebook gives the same words, the same commitment loss and the same gradient."""
    peer = pytest.importorskip("vector_quantize_pytorch", reason="the peer library of the dev extra is not installed")
    ours = VectorQuantizer(32, 6, beta=0.25).eval()
    theirs = peer.VectorQuantize(dim=6, codebook_size=32, commitment_weight=0.25, rotation_trick=False, accept_image_fmap=True)
    theirs._codebook.embed.data.copy_(ours.codebook.detach()[None])
    theirs.eval()
    z = torch.randn(2, 6, 4, 4, requires_grad=True)
    mine = ours(z)
    quantised, codes, _ = theirs(z)
    assert torch.equal(codes, mine.codes)
    torch.testing.assert_close(quantised, mine.z)


@pytest.mark.parametrize(
    ("arguments", "word"), [({"codes": 0}, "codes"), ({"dim": 0}, "dim"), ({"beta": -1}, "beta"), ({"revive": -1}, "revive"), ({"decay": 1.0}, "decay")]
)
def test_bad_arguments(arguments, word):
    with pytest.raises(ValueError, match=word):
        VectorQuantizer(**arguments)


def test_is_a_module_with_state():
    a, b = VectorQuantizer(4, 2), VectorQuantizer(4, 2)
    b.load_state_dict(a.state_dict())
    assert isinstance(a, nn.Module)
    assert torch.equal(a.codebook, b.codebook)
