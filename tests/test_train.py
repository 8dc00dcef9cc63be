"""The training loop: it learns, resumes bit for bit, survives Ctrl-C and a full disk, and refuses nonsense."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gensr import train
from gensr.data.photos import Patches
from gensr.train import cosine, fit


class Line(nn.Module):
    """Least squares with dropout and a buffer, so that random states and buffers matter."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.drop = nn.Dropout(0.05)
        self.norm = nn.BatchNorm1d(3)

    def loss(self, x, y):
        return (self.layer(self.drop(self.norm(x))) - y).square().mean()


def line_data():
    g = torch.Generator().manual_seed(1)
    x = torch.randn(60, 3, generator=g)
    return TensorDataset(x, x @ torch.tensor([[1.0], [-2.0], [0.5]]))


def new_line():
    torch.manual_seed(0)
    return Line(), DataLoader(line_data(), batch_size=8, shuffle=True)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(u, v) for u, v in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_loss_falls_and_history_counts():
    model, batches = new_line()
    history = fit(model, batches, steps=300, lr=cosine(0.05, 300), progress=False)
    assert history.steps == 300 and history.seconds > 0
    assert sum(history.losses[-20:]) < 0.3 * sum(history.losses[:20])
    assert not model.training


@pytest.mark.parametrize("stop", [1, 7, 8, 21])  # within, at the end of, and after the first pass over the data (8 batches)
def test_resume_is_bit_for_bit(tmp_path, stop):
    whole, batches = new_line()
    a = fit(whole, batches, steps=30, lr=cosine(0.01, 30), average=0.9, progress=False)

    part, batches = new_line()
    fit(part, batches, steps=stop, lr=cosine(0.01, 30), average=0.9, checkpoint=tmp_path / "c.pt", progress=False)
    torch.manual_seed(999)  # whatever happens between two sittings
    again, batches = new_line()
    b = fit(again, batches, steps=30, lr=cosine(0.01, 30), average=0.9, checkpoint=tmp_path / "c.pt", progress=False)
    assert a.losses == b.losses
    assert same(whole, again) and same(a.average, b.average)


def test_resume_of_patches_with_bfloat16(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 12, 3, padding=1)

        def loss(self, y, x):
            return (nn.functional.pixel_shuffle(self.conv(y), 2).float() - x).abs().mean()

    photos = [torch.randint(0, 256, (3, 40, 48), dtype=torch.uint8) for _ in range(3)]

    def run(steps, path):
        torch.manual_seed(0)
        net = Net()
        fit(net, Patches(photos, 2, size=8, batch=4), steps=steps, lr=1e-3, bfloat16=True, checkpoint=path, progress=False)
        return net

    whole = run(12, None)
    run(5, tmp_path / "c.pt")
    assert same(whole, run(12, tmp_path / "c.pt"))


@pytest.mark.parametrize("most", [0.5, 0.12])  # within 5 steps the ramp reaches 0.36: one decay is never reached, the other soon
def test_average_is_the_moving_average(most):
    model, batches = new_line()
    weights = []

    def keep(now):
        weights.append(now["model"].layer.weight.detach().clone())

    history = fit(model, batches, steps=5, lr=0.1, average=most, progress=False, callback=keep)
    torch.manual_seed(0)
    average = Line().layer.weight.detach()
    for step, w in enumerate(weights):
        decay = min(most, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * w
    torch.testing.assert_close(history.average.layer.weight, average)
    assert torch.equal(history.average.norm.running_mean, model.norm.running_mean)  # buffers are copied, not averaged


def test_callback_can_stop():
    model, batches = new_line()
    assert fit(model, batches, steps=100, lr=0.01, progress=False, callback=lambda now: now["step"] == 4).steps == 4


def test_parameter_group_with_its_own_rate():
    model, batches = new_line()
    frozen = model.layer.bias.detach().clone()
    groups = [{"params": [model.layer.weight]}, {"params": [model.layer.bias], "lr_scale": 0.0}]
    fit(model, batches, steps=3, lr=0.1, optimizer=torch.optim.Adam(groups, lr=0.1), progress=False)
    assert torch.equal(model.layer.bias, frozen)


def test_cosine_by_hand():
    lr = cosine(2.0, 110, warmup=10)
    assert lr(0) == pytest.approx(0.2) and lr(9) == pytest.approx(2.0)
    assert lr(60) == pytest.approx(1.0) and lr(110) == pytest.approx(0.0) and lr(500) == pytest.approx(0.0)


def test_full_disk_keeps_the_last_checkpoint_and_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    model, batches = new_line()
    fit(model, batches, steps=5, lr=0.01, checkpoint=path, progress=False)
    good = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(train.torch, "save", full)
    with pytest.warns(UserWarning, match="No space left"):
        history = fit(model, batches, steps=9, lr=0.01, checkpoint=path, progress=False)
    assert history.steps == 9 and path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_interrupt_saves_and_resumes(tmp_path):
    """A real Ctrl-C in a real process, then the same command again equals a run that was never stopped."""
    script = textwrap.dedent(
        """
        import sys, time, torch
        sys.path.insert(0, sys.argv[3])
        from tests.test_train import new_line
        from gensr.train import fit
        torch.set_num_threads(1)
        model, batches = new_line()
        slow = sys.argv[2] == "slow"
        def callback(now):
            if slow:
                print(now["step"], flush=True)
                time.sleep(0.05)
        h = fit(model, batches, steps=60, lr=0.01, checkpoint=sys.argv[1], progress=False, callback=callback, save_every=1e9)
        print("weights", model.layer.weight.detach().view(-1).tolist(), len(h.losses), flush=True)
        """
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    process = subprocess.Popen([*command, str(tmp_path / "c.pt"), "slow", root], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    while process.stdout.readline().strip() != "10":
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0 and "KeyboardInterrupt" in stderr
    saved = torch.load(tmp_path / "c.pt", weights_only=True)
    assert 10 <= len(saved["losses"]) < 60

    def finish(path):
        return subprocess.run([*command, str(path), "fast", root], capture_output=True, text=True, check=True, env=env).stdout

    assert finish(tmp_path / "c.pt") == finish(tmp_path / "never.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_damaged_or_foreign_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "c.pt"
    if content is None:
        fit(Other(), [(torch.zeros(1),)], steps=1, lr=0.1, checkpoint=path, progress=False)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    model, batches = new_line()
    with pytest.raises(ValueError, match="checkpoint: .* is damaged or of another model"):
        fit(model, batches, steps=5, lr=0.01, checkpoint=path, progress=False)
    assert path.read_bytes() == before


class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def loss(self, x):
        return self.w.sum() + x.sum()


def test_nan_loss_stops_with_the_step_and_is_not_saved(tmp_path):
    class Bad(Other):
        def loss(self, x):
            return self.w.sum().log() if x.item() == 0 else self.w.sum() * float("nan")

    path = tmp_path / "c.pt"
    with pytest.raises(ValueError, match=r"loss: became nan at step 2"):
        fit(Bad(), [torch.zeros(1), torch.zeros(1), torch.ones(1)], steps=5, lr=1e-3, checkpoint=path, progress=False)
    assert len(torch.load(path, weights_only=True)["losses"]) == 2


def test_bad_arguments():
    with pytest.raises(ValueError, match="steps"):
        fit(Other(), [torch.zeros(1)], steps=0, lr=0.1)
    with pytest.raises(ValueError, match="batches: gave nothing"):
        fit(Other(), [], steps=1, lr=0.1, progress=False)
    with pytest.raises(ValueError, match="batches: gave nothing"):  # a generator is used up after one pass
        fit(Other(), (torch.zeros(1) for _ in range(2)), steps=5, lr=0.1, progress=False)


def test_accelerate_gives_the_same_weights(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    plain, batches = new_line()
    fit(plain, batches, steps=10, lr=0.01, progress=False)
    other, batches = new_line()
    fit(other, batches, steps=10, lr=0.01, progress=False, accelerator=accelerate.Accelerator(cpu=True), checkpoint=tmp_path / "c.pt")
    assert same(plain, other) and (tmp_path / "c.pt").exists()


@pytest.mark.parametrize("average", [float("nan"), -0.5, 1.0, 1.5])
def test_a_decay_that_would_spoil_the_average_is_refused(average):
    with pytest.raises(ValueError, match="average: expected a decay in"):
        fit(Line(), [torch.zeros(1)], steps=1, lr=0.1, average=average)
    with pytest.raises(ValueError, match="average: expected a decay in"):
        train.fit_gan(Line(), [torch.zeros(1)], steps=1, lr=0.1, average=average)


def test_steps_that_are_no_number_are_refused():
    with pytest.raises(ValueError, match="steps: expected at least 1, got nan"):
        fit(Line(), [torch.zeros(1)], steps=float("nan"), lr=0.1)


def test_checkpoints_are_written_while_it_trains(tmp_path):
    model, batches = new_line()
    for save_every, expected in ((-1, [False, True, True]), (1e9, [False, False, False])):
        seen, path = [], tmp_path / f"{save_every}.pt"
        fit(model, batches, steps=3, lr=0.1, progress=False, checkpoint=path, save_every=save_every, callback=lambda _, s=seen, p=path: s.append(p.exists()))
        assert seen == expected and path.exists()


def test_cosine_without_room_to_fall():
    assert cosine(0.1, 10, 10)(9) == pytest.approx(0.1) and cosine(0.1, 10, 10)(11) == pytest.approx(0.0)
