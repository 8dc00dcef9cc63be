"""The recipe on "Can affine projected networks learn?": its arms differ in what they should and in nothing else, and its claims follow from its curves."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from gensr.claims import stored
from gensr.data.textures import held_out
from gensr.operators.subpixel import SubPixel

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "book" / "chapters" / "measured"


@pytest.fixture(scope="module")
def recipe():
    sys.path.insert(0, str(ROOT / "recipes"))  # for its `from common import …`
    spec = importlib.util.spec_from_file_location("affine_learning", ROOT / "recipes" / "affine_learning.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "recipes"))


@pytest.fixture(scope="module")
def nets(recipe):
    """All arms of one seed, with the exact kernels in place of fitted ones."""
    fitted = SubPixel(recipe.A, recipe.SIZE)
    return {(body, arm): recipe.network(body, arm, 0, fitted) for body, arms in recipe.ARMS.items() for arm in arms}


def test_all_arms_begin_with_the_same_network(nets):
    wanted = nets["plain", "none"].state_dict()
    for key, net in nets.items():
        found = {k.removeprefix("network."): v for k, v in net.state_dict().items() if k != "operator.weight"}
        assert found.keys() == wanted.keys() and all(torch.equal(found[k], v) for k, v in wanted.items()), key


def test_only_the_trained_arms_train_b(nets):
    free = {key: getattr(net, "operator", None) is not None and any(p.requires_grad for p in net.operator.parameters()) for key, net in nets.items()}
    assert {arm for (_, arm), v in free.items() if v} == {"TT", "TR"}


def test_a_random_b_has_the_scale_of_the_inverse_and_nothing_else(nets):
    right, random = nets["plain", "FT"].operator.weight, nets["plain", "FR"].operator.weight
    assert torch.equal(random, nets["plain", "TR"].operator.weight)
    assert random.square().mean().sqrt().item() == pytest.approx(right.square().mean().sqrt().item(), rel=0.03)
    assert abs((right * random).sum() / right.norm() / random.norm()) < 0.05


def test_behind_the_inverse_both_bodies_are_the_same(nets, recipe):
    """Bicubic enlargement is s²Aᵀ, which I − A⁺A removes, and so is the mean grey that the plain body adds. Without a projection they are far apart."""
    y = recipe.A(held_out("test", 48)[:4])
    with torch.no_grad():
        skip, plain = (nets[body, "FT"](y) for body in recipe.ARMS)
        assert (skip - plain).abs().max() < 1e-3
        assert (nets["bicubic skip", "none"](y) - nets["plain", "none"](y)).abs().max() > 0.1


def test_the_claims_follow_from_the_curves():
    table = json.loads((MEASURED / "affine_learning.json").read_text(encoding="utf-8"))
    for body, short in (("bicubic skip", "skip"), ("plain", "plain")):
        arms = table["arms"][body]
        final = {arm: torch.tensor(v["final_psnr"]).mean().item() for arm, v in arms.items()}
        for name, a, b in (("ft_none", "FT", "none"), ("ft_fr", "FT", "FR"), ("ft_tr", "FT", "TR"), ("none_tr", "none", "TR")):
            assert stored(MEASURED / "affine_learning_claims.json", f"{short}_{name}").mean == pytest.approx(final[a] - final[b], abs=2e-3)
        assert len({len(v["psnr"][k]) for v in arms.values() for k in ("mean", "half")} | {len(table["steps"])}) == 1
        for v in arms.values():
            assert v["psnr"]["mean"][-1] == pytest.approx(torch.tensor(v["final_psnr"]).mean().item(), abs=2e-3)
