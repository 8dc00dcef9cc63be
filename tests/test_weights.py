"""Shipped weights: the round trip, every way a file or a manifest can be bad, and each weight's quality measured again."""

import hashlib
import json
import math
import sys
import tomllib

import pytest
import torch
from safetensors.torch import save_file

from gensr import weights
from gensr.cli.enlarge import enlarger
from gensr.data.photos import crop_to_multiple, load_folder
from gensr.metrics import sr_scores
from gensr.nets import SubPixelNet
from gensr.operators import Downsample
from gensr.superres.affine import AffineProjection
from gensr.superres.edsr import EDSR
from gensr.weights import WeightsError

SHIPPED = weights.names() if (weights.ZOO / "manifest.toml").exists() else []
# What the package promises: mean PSNR-Y on Set5, and parameters.
PROMISED = {"srcnn_x4": 30.0, "edsr_x2": 37.0, "edsr_x3": 33.3, "edsr_x4": 31.4}
ARGUMENTS = "{ scale = 2, channels = 4, blocks = 1 }"


def write_card(folder, *, name="tiny", model="gensr.superres.edsr.EDSR", arguments=ARGUMENTS, content=None, sha256=None, size=None):
    """A manifest of one card and, with `content`, its file."""
    path = folder / f"{name}.safetensors"
    if content is not None:
        path.write_bytes(content)
    known = path.read_bytes() if path.exists() else b""
    sha256 = hashlib.sha256(known).hexdigest() if sha256 is None else sha256
    (folder / "manifest.toml").write_text(
        f'[{name}]\nmodel = "{model}"\narguments = {arguments}\nsha256 = "{sha256}"\nbytes = {len(known) if size is None else size}\n'
    )


@pytest.fixture
def zoo(tmp_path):
    """A folder with one good weight, and the network it was made from."""
    net = EDSR(2, channels=4, blocks=1)
    save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, tmp_path / "tiny.safetensors")
    write_card(tmp_path)
    return tmp_path, net


def test_round_trip(zoo):
    folder, net = zoo
    assert weights.names(folder) == ["tiny"]
    assert weights.card("tiny", folder)["arguments"] == {"scale": 2, "channels": 4, "blocks": 1}
    loaded = weights.load("tiny", folder)
    assert isinstance(loaded, EDSR) and loaded.scale == 2 and not loaded.training
    for (k, a), b in zip(loaded.state_dict().items(), net.state_dict().values(), strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b.half().float()), k
    y = torch.rand(1, 3, 5, 6)
    assert torch.equal(loaded(y), net.half().float()(y))


INSIDE = '{ network = { model = "%s", arguments = { scale = 2, colours = 1, channels = 4, blocks = 1 } }, '
INSIDE += 'operator = { model = "gensr.operators.downsample.Downsample", arguments = { scale = 2 } } }'


def test_a_network_inside_another_comes_back(tmp_path):
    net = AffineProjection(SubPixelNet(2, 1, channels=4, blocks=1), Downsample(2)).half().float()
    save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, tmp_path / "tiny.safetensors")
    write_card(tmp_path, model="gensr.superres.affine.AffineProjection", arguments=INSIDE % "gensr.nets.SubPixelNet")
    loaded, y = weights.load("tiny", tmp_path), torch.rand(1, 1, 5, 6)
    assert isinstance(loaded, AffineProjection) and loaded.scale == 2
    assert torch.equal(loaded(y), net(y))
    for bad in ("os.system", "gensr.models.pixelcnnpp.Mixture", "gensr.netsuke.Net", "gensr.nets.nn.Linear", "gensr.train.Schedule"):
        write_card(tmp_path, model="gensr.superres.affine.AffineProjection", arguments=INSIDE % bad)
        refused(tmp_path, "manifest.toml", "no model of gensr")
    write_card(tmp_path, model="gensr.superres.affine.AffineProjection", arguments=(INSIDE % "gensr.nets.SubPixelNet").replace("blocks = 1", "blocks = -1"))
    refused(tmp_path, "manifest.toml", "refuses")


def test_names_are_sorted_whatever_the_order_of_the_cards(zoo):
    path = zoo[0] / "manifest.toml"
    path.write_text(path.read_text() + path.read_text().replace("[tiny]", "[big]"))
    assert weights.names(zoo[0]) == ["big", "tiny"]


def test_folder_may_be_a_string(zoo):
    assert weights.names(str(zoo[0])) == ["tiny"]
    assert weights.load("tiny", str(zoo[0])).scale == 2


@pytest.mark.parametrize("ask", [weights.card, weights.load])
def test_unknown_name_lists_the_names_and_the_nearest(zoo, ask):
    with pytest.raises(ValueError, match=r"no weight 'tinny', expected one of tiny; did you mean 'tiny'\?"):
        ask("tinny", zoo[0])
    with pytest.raises(ValueError, match="expected one of tiny$"):
        ask("qqqqqq", zoo[0])


def refused(folder, *parts, name="tiny"):
    """`load` raises WeightsError with one line that names the file, holds every part, and says what to do."""
    with pytest.raises(WeightsError) as info:
        weights.load(name, folder)
    message = str(info.value)
    assert "\n" not in message and len(message) < 700
    for part in (str(folder), "recipe", *parts):
        assert part in message
    assert isinstance(info.value, ValueError)


class TestBadFiles:
    def test_missing(self, zoo):
        (zoo[0] / "tiny.safetensors").unlink()
        refused(zoo[0], "tiny.safetensors", "no such file")

    def test_truncated(self, zoo):
        path = zoo[0] / "tiny.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        refused(zoo[0], "tiny.safetensors", f"truncated, {len(content) // 2} of {len(content)} bytes")

    def test_one_byte_short(self, zoo):
        path = zoo[0] / "tiny.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        refused(zoo[0], "tiny.safetensors", "truncated")

    def test_empty(self, zoo):
        (zoo[0] / "tiny.safetensors").write_bytes(b"")
        refused(zoo[0], "tiny.safetensors", "truncated, 0 of")

    def test_one_bit_changed(self, zoo):
        path = zoo[0] / "tiny.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        refused(zoo[0], "tiny.safetensors", "SHA-256")

    def test_another_file_of_the_right_length(self, zoo):
        path = zoo[0] / "tiny.safetensors"
        path.write_bytes(bytes(path.stat().st_size))
        refused(zoo[0], "tiny.safetensors", "SHA-256")

    @pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\x00" * 64, b"\xff" * 64], ids=["empty", "text", "zeros", "ones"])
    def test_not_safetensors_though_the_hash_is_right(self, tmp_path, content):
        write_card(tmp_path, content=content)
        refused(tmp_path, "tiny.safetensors", "not a safetensors file")

    def test_a_pickle_is_not_opened(self, tmp_path):
        torch.save({"a": torch.zeros(2)}, tmp_path / "tiny.safetensors")
        write_card(tmp_path)
        refused(tmp_path, "tiny.safetensors", "not a safetensors file")

    def test_shapes_of_another_model(self, zoo):
        write_card(zoo[0], arguments="{ scale = 2, channels = 8, blocks = 1 }")
        refused(zoo[0], "tiny.safetensors", "does not fit gensr.superres.edsr.EDSR")

    def test_tensors_missing(self, zoo):
        write_card(zoo[0], arguments="{ scale = 2, channels = 4, blocks = 2 }")
        refused(zoo[0], "tiny.safetensors", "does not fit")

    def test_a_folder_in_its_place(self, zoo):
        (zoo[0] / "tiny.safetensors").unlink()
        (zoo[0] / "tiny.safetensors").mkdir()
        refused(zoo[0], "tiny.safetensors", "cannot be read")


class TestBadManifests:
    def test_missing(self, tmp_path):
        refused(tmp_path, "manifest.toml", "no such file")
        with pytest.raises(WeightsError, match="no such file"):
            weights.names(tmp_path)

    @pytest.mark.parametrize("content", [b"[tiny\n", b"\xff\xfe\x00", b"tiny = "], ids=["bracket", "not text", "half a line"])
    def test_not_toml(self, zoo, content):
        (zoo[0] / "manifest.toml").write_bytes(content)
        refused(zoo[0], "manifest.toml", "is not TOML")

    @pytest.mark.parametrize("content", ["tiny = 3\n", '["../tiny"]\nmodel = "gensr.superres.edsr.EDSR"\n'], ids=["number", "path"])
    def test_not_a_card(self, zoo, content):
        (zoo[0] / "manifest.toml").write_text(content)
        refused(zoo[0], "manifest.toml", "is not the card of a weight")

    @pytest.mark.parametrize("key", ["model", "arguments", "sha256"])
    def test_a_card_without(self, zoo, key):
        path = zoo[0] / "manifest.toml"
        path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith(key)))
        refused(zoo[0], "manifest.toml", f"has no {key!r}")

    @pytest.mark.parametrize(
        "model",
        ["os.system", "subprocess.Popen", "gensr.superres.edsr.self_ensemble", "gensr.superres.edsr.nn.Linear", "gensr.superres.nothing.Net",
         "gensr.superres.edsr.Missing", "gensr.train._Objective", "EDSR", "", "gensr.superres.edsr.ResBlock", "gensr.superres..edsr.EDSR"],
    )
    def test_names_no_model_of_gensr(self, zoo, model):
        write_card(zoo[0], model=model)
        refused(zoo[0], "manifest.toml", "no model of gensr")

    def test_foreign_modules_are_not_even_imported(self, zoo, tmp_path, monkeypatch):
        (tmp_path / "evil_module_of_a_manifest.py").write_text("raise SystemExit('imported')\n")
        monkeypatch.syspath_prepend(tmp_path)
        write_card(zoo[0], model="evil_module_of_a_manifest.Net")
        refused(zoo[0], "manifest.toml", "no model of gensr")
        assert "evil_module_of_a_manifest" not in sys.modules

    def test_a_key_error_of_a_constructor_is_not_taken_for_a_missing_model(self, zoo, monkeypatch):
        monkeypatch.setattr(EDSR, "__init__", lambda self, **_: {}["kernel"])
        refused(zoo[0], "manifest.toml", "refuses ('kernel')")

    @pytest.mark.parametrize("arguments", ["{ scale = 2, chanels = 4 }", '{ scale = "two" }', "{ channels = -4 }"])
    def test_arguments_the_model_refuses(self, zoo, arguments):
        write_card(zoo[0], arguments=arguments)
        refused(zoo[0], "manifest.toml", "refuses")


def test_the_package_ships_what_it_promises():
    missing = sorted(set(PROMISED) - set(SHIPPED))
    assert not missing, f"train and publish: {missing} (recipes/)"


@pytest.mark.parametrize("name", SHIPPED)
def test_each_card_tells_the_truth_about_its_file(name):
    card, net = weights.card(name), weights.load(name)
    path = weights.ZOO / f"{name}.safetensors"
    assert card["bytes"] == path.stat().st_size <= 1_500_000
    assert card["parameters"] == sum(p.numel() for p in net.parameters()) <= 750_000
    if name[-3:-1] == "_x":  # a network for super-resolution of photographs
        assert net.scale == int(name[-1])
    assert card["recipe"].startswith("python recipes/") and card["data"] and card["licence"] and card["minutes"] > 0
    first, *_, last = values = [value for _, value in card["curve"]]
    if any(part in name for part in ("gan", "affdae", "affll")):  # they seek likely images, and leave those of the best PSNR, where they began
        learnt = last != first
    else:
        learnt = max(values) > first if "psnr" in card["measured"] else min(values) < first  # nats fall, and rise again where early stopping stopped
    assert len(values) >= 3 and learnt, "the curve of a training that learnt something"
    assert torch.isfinite(torch.cat([p.flatten() for p in net.parameters()])).all()


def test_nothing_lies_in_the_zoo_without_a_card():
    manifest = tomllib.loads((weights.ZOO / "manifest.toml").read_text()) if SHIPPED else {}
    assert {p.stem for p in weights.ZOO.glob("*.safetensors")} == set(manifest)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(SHIPPED) & set(PROMISED)))
@torch.no_grad()
def test_quality_on_set5_is_what_the_card_says(name, data_folder):
    """From MATLAB's own LR files, not ours. 0.02 dB allow for another processor's rounding; on the machine of the training it is exact."""
    net, card = weights.load(name), weights.card(name)
    s = net.scale
    hr = load_folder(data_folder / "sr" / "set5" / "hr")
    lr = load_folder(data_folder / "sr" / "set5" / f"lr_x{s}_symmetric")
    psnr, ssim = [], []
    for x, y in zip(hr, lr, strict=True):
        scores = sr_scores(net(y[None].float() / 255), crop_to_multiple(x, s)[None].float() / 255, s)
        psnr.append(scores.psnr.item())
        ssim.append(scores.ssim.item())
    assert sum(psnr) / 5 == pytest.approx(card["measured"]["psnr"], abs=0.02)
    assert sum(ssim) / 5 == pytest.approx(card["measured"]["ssim"], abs=0.0005)
    assert sum(psnr) / 5 >= PROMISED[name]


GLOW = sorted(name for name in SHIPPED if name.startswith("glow_"))


@pytest.mark.parametrize("name", GLOW)
@torch.no_grad()
def test_a_glow_costs_on_held_out_images_what_its_card_says(name):
    """Nats an image over three draws of the dequantisation, on images that its training never saw; the digits also keep the promise of 108."""
    from gensr.data import digits, textures

    net, card = weights.load(name), weights.card(name)
    x = digits.digits().test if name == "glow_digits" else ((textures.held_out("test") * 255).round() / 8).floor() / 31
    torch.manual_seed(0)
    nats = sum(float(net.loss(x)) for _ in range(3)) / 3
    assert nats == pytest.approx(card["measured"]["nats"], rel=0.005)
    assert nats / net.dims / math.log(2) == pytest.approx(card["measured"]["bits_per_dim"], rel=0.005)
    assert name != "glow_digits" or nats <= 108


@pytest.mark.parametrize("name", GLOW)
def test_a_weight_that_does_not_enlarge_is_refused_as_a_method(name):
    with pytest.raises(ValueError, match=f"--method: there is no '{name}', expected one of bicubic"):
        enlarger(name, 4)


MNIST_WORDS = {"mnist_vqvae", "mnist_codes"}


@pytest.mark.data
@pytest.mark.skipif(not set(SHIPPED) >= MNIST_WORDS, reason="recipes/mnist_vqvae.py has not run")
@torch.no_grad()
def test_words_of_mnist_cost_what_their_cards_say(data_folder):
    """Reconstruction, use of the vocabulary and the prior's rate, on all test images. Near ties between words may fall the other way elsewhere."""
    from gensr.data.mnist import binarised, mnist
    from gensr.models.vqvae import perplexity

    words, prior = weights.load("mnist_vqvae"), weights.load("mnist_codes")
    about, rate = (weights.card(name)["measured"] for name in ("mnist_vqvae", "mnist_codes"))
    parts = binarised(mnist().test, seed=0).split(500)
    codes = [words.encode(x) for x in parts]
    nats = sum(-words.likelihood.log_prob(x, words.decoder(words.quantizer.embed(k))).sum().item() for x, k in zip(parts, codes, strict=True)) / 10_000
    assert nats == pytest.approx(about["nats"], rel=0.005)
    assert perplexity(torch.cat(codes), 128) == pytest.approx(about["perplexity"], rel=0.01)
    assert about["perplexity"] >= 64  # half of the vocabulary, as promised
    cost = sum(prior.loss(k).item() for k in codes) / len(codes)
    assert cost == pytest.approx(rate["nats"], rel=0.005)
    assert cost < rate["nats_independent"] - 20 < rate["nats_uniform"] - 40


@pytest.mark.skipif("mnist_codes" not in SHIPPED, reason="recipes/mnist_vqvae.py has not run")
@torch.no_grad()
def test_the_prior_over_words_tells_digits_from_noise():
    """Words of test digits, kept by the recipe, against words drawn at random, one pair at a time; and what it draws itself is as likely as digits are."""
    stored = json.loads((weights.ZOO.parents[2] / "book" / "chapters" / "measured" / "vq_mnist.json").read_text(encoding="utf-8"))
    digits = torch.tensor([grid for pair in stored["words_of_test_digits"].values() for grid in pair])
    prior = weights.load("mnist_codes")
    real, noise, own = (prior.log_prob(k) for k in (digits, torch.randint(128, digits.shape), prior.sample(20, (7, 7))))
    assert (real > noise + 50).all()
    assert abs(own.mean() - real.mean()) < 30
    assert stored["means"]["prior"]["distance"] < stored["means"]["independent"]["distance"] < stored["means"]["uniform"]["distance"]
