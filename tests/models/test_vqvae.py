"""Vector quantisation: the copied gradient, moving averages by hand, β on the encoder, codes that come back to life, and a peer library."""

import pytest
import torch
from torch import nn

from gensr import weights
from gensr.data.digits import digits
from gensr.data.faces import faces
from gensr.likelihoods import Bernoulli
from gensr.models.vqvae import VQVAE, VQVAE2, VectorQuantizer, perplexity, rotate
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


def test_words_are_chosen_and_moved_in_full_precision_under_autocast():
    q, z = VectorQuantizer(16, 4), torch.randn(2, 4, 3, 3)
    expected = VectorQuantizer(16, 4)
    expected.load_state_dict(q.state_dict())
    coarse = z.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = q(coarse)
    same = expected(coarse.float())
    assert torch.equal(out.z, same.z)
    assert torch.equal(out.codes, same.codes)
    assert torch.equal(q.codebook, expected.codebook)


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


def test_the_top_alone_learns_to_speak():
    """With alone = 1 the bottom is never heard, so the decoder's gradient by it is 0; the top is trained as if it were the only level."""
    model, x = VQVAE2(1, 8, codes=8, dim=4, alone=1.0, beta=0.0), torch.rand(4, 1, 16, 16)
    model.loss(x).backward()
    assert model.ask_bottom.weight.grad is None or model.ask_bottom.weight.grad.abs().max() == 0
    assert model.ask_top.weight.grad.abs().max() > 0
    model.eval()
    top, bottom = model.encode(x)
    expected = -model.likelihood.log_prob(x, torch.logit(model.decode(top, bottom))).flatten(1).sum(1).mean()
    torch.testing.assert_close(model.loss(x), expected, rtol=1e-4, atol=1e-3)  # in evaluation both speak
    with pytest.raises(ValueError, match="alone"):
        VQVAE2(alone=1.5)


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


def test_moving_averages_agree_with_vector_quantize_pytorch():
    """One training step of both: the same words afterwards. They smooth the counts by 1e-5, hence the tolerance; and equal gradients for the encoder."""
    peer = pytest.importorskip("vector_quantize_pytorch", reason="the peer library of the dev extra is not installed")
    ours = VectorQuantizer(16, 4, beta=0.25, decay=0.9)
    theirs = peer.VectorQuantize(
        dim=4, codebook_size=16, decay=0.9, commitment_weight=0.25, rotation_trick=False, accept_image_fmap=True, threshold_ema_dead_code=0
    ).train()
    theirs._codebook.embed.data.copy_(ours.codebook[None])
    theirs._codebook.embed_avg.data.copy_(ours.codebook[None])
    theirs._codebook.cluster_size.fill_(1.0)
    theirs._codebook.initted.fill_(True)
    z, upstream = torch.randn(8, 4, 5, 5, requires_grad=True), torch.randn(8, 4, 5, 5)
    mine = ours(z)
    (gradient,) = torch.autograd.grad((mine.z * upstream).sum() + mine.loss, z)
    quantised, codes, loss = theirs(z)
    (expected,) = torch.autograd.grad((quantised * upstream).sum() + loss.sum(), z)
    assert torch.equal(codes, mine.codes)
    torch.testing.assert_close(loss.sum(), mine.loss)
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(ours.codebook.detach(), theirs._codebook.embed[0], rtol=1e-3, atol=1e-4)


def test_rotation_is_a_rotation():
    z, e = torch.randn(10, 5, dtype=torch.float64, requires_grad=True), torch.randn(10, 5, dtype=torch.float64)
    out = rotate(z, e)
    torch.testing.assert_close(out, e)  # forward: the word
    upstream = torch.randn(10, 5, dtype=torch.float64)
    (g,) = torch.autograd.grad(out, z, upstream)
    ratio = e.norm(dim=1) / z.detach().norm(dim=1)
    torch.testing.assert_close(g.norm(dim=1), ratio * upstream.norm(dim=1))  # backward: length scaled,
    torch.testing.assert_close((g * z.detach()).sum(1), (upstream * e).sum(1))  # and the angle to the vector is that to the word


def test_rotation_agrees_with_vector_quantize_pytorch():
    pytest.importorskip("vector_quantize_pytorch", reason="the peer library of the dev extra is not installed")
    from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

    z, e, upstream = torch.randn(10, 5, requires_grad=True), torch.randn(10, 5), torch.randn(10, 5)
    torch.testing.assert_close(rotate(z, e), rotate_to(z, e))
    (mine,), (theirs,) = (torch.autograd.grad(f(z, e), z, upstream) for f in (rotate, rotate_to))
    torch.testing.assert_close(mine, theirs)


def test_halvings_set_the_grid():
    model = VQVAE(1, 8, codes=8, dim=4, halvings=1).eval()
    codes = model.encode(torch.rand(2, 1, 8, 12))
    assert codes.shape == (2, 4, 6)
    assert model.decode(codes).shape == (2, 1, 8, 12)
    with pytest.raises(ValueError, match="halvings"):
        VQVAE(halvings=0)


@pytest.mark.parametrize(
    ("arguments", "word"), [({"codes": 0}, "codes"), ({"dim": 0}, "dim"), ({"beta": -1}, "beta"), ({"revive": -1}, "revive"), ({"decay": 1.0}, "decay")]
)
def test_bad_arguments(arguments, word):
    with pytest.raises(ValueError, match=word):
        VectorQuantizer(**arguments)


def test_shipped_faces_are_as_good_as_their_card_says():
    model, measured = weights.load("faces_vqvae2"), weights.card("faces_vqvae2")["measured"]
    x = faces().test[:, :, :24, :24]
    with torch.no_grad():
        top, bottom = model.encode(x)
        views = {"both": model.decode(top, bottom), "top": model.decode(top, None), "bottom": model.decode(None, bottom)}
    for name, view in views.items():
        assert (view - x).square().mean().item() == pytest.approx(measured[f"mse_{name}"], rel=0.02)  # a near tie may fall the other way elsewhere
    assert measured["mse_both"] < measured["mse_top"]


def test_is_a_module_with_state():
    a, b = VectorQuantizer(4, 2), VectorQuantizer(4, 2)
    b.load_state_dict(a.state_dict())
    assert isinstance(a, nn.Module)
    assert torch.equal(a.codebook, b.codebook)
