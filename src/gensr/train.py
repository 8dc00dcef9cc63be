"""One visible training loop, with checkpoints that resume bit for bit.

`fit` knows nothing of the model but `model.loss(*batch)`. It keeps a checkpoint when given a path: stop it with Ctrl-C, start the same call again, and it
ends with the same weights as if it had never stopped (on the same machine and number of threads).
"""

import copy
import math
import os
import random
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

Schedule = Callable[[int], float]


@dataclass
class History:
    """What a training left behind: the loss of every step, the steps done, seconds of all sittings together, and the averaged model if one was kept."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    average: nn.Module | None = None

    @property
    def steps(self) -> int:
        return len(self.losses)


class _Objective(nn.Module):
    """Makes the loss the forward pass, so that data-parallel wrappers see it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *batch: Tensor) -> Tensor:
        return self.model.loss(*batch)  # type: ignore[operator]


def fit(
    model: nn.Module, batches: Iterable, *, steps: int, lr: float | Schedule, checkpoint: str | os.PathLike | None = None,
    callback: Callable[[dict[str, Any]], Any] | None = None, accelerator: Any = None, optimizer: torch.optim.Optimizer | None = None,
    average: float | None = None, bfloat16: bool = False, save_every: float = 120.0, progress: bool = True,
) -> History:
    """Minimise `model.loss(*batch)` for a number of steps.

    Args:
        model: has `loss(*batch) -> scalar`; it is moved to the GPU where there is one, and stays there.
        batches: gives tuples of tensors (or single tensors); started again when it ends. A `DataLoader`, a list, or an object with `state_dict` and
            `load_state_dict`, whose position is then kept exactly.
        steps: optimiser steps in all, those of earlier sittings included.
        lr: a number, or a function of the step from 0; see `cosine`. A parameter group with an "lr_scale" gets that multiple.
        checkpoint: file to resume from and to save to, every `save_every` seconds, at the end, and on Ctrl-C.
        callback: called after each step with a dict: step, loss, lr, model, average, history. If it returns True, training stops.
        accelerator: an `accelerate.Accelerator` for many GPUs or nodes.
        optimizer: Adam by default.
        average: decay of an exponential moving average of the weights, 0.999 for example; found in `History.average`.
        bfloat16: autocast; pays where `has_fast_bfloat16()`.
        progress: show a bar.

    Raises:
        ValueError: steps < 1, a batch source that gives nothing, a checkpoint of another model, or a loss that is not finite.

    Reference: Kingma & Ba 2015 (Adam); Polyak & Juditsky 1992 (averaging).
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    device = accelerator.device if accelerator else torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    adam: Any = optimizer or torch.optim.Adam(model.parameters(), lr=lr(0) if callable(lr) else lr)
    objective: nn.Module = _Objective(model)
    if accelerator:
        objective, adam = accelerator.prepare(objective, adam)
    history = History(average=copy.deepcopy(model).requires_grad_(False) if average else None)
    state = _State(model, adam, history, batches, checkpoint, write=not accelerator or accelerator.is_main_process)
    stream = state.resume()
    model.train()
    bar = tqdm(total=steps, initial=history.steps, disable=not progress or state.silent, mininterval=1.0, unit="step")
    try:
        while history.steps < steps and not state.interrupted:
            step = history.steps
            rate = lr(step) if callable(lr) else lr
            for group in adam.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            batch = [v.to(device) for v in next(stream)]
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                loss = objective(*batch)
            if not torch.isfinite(loss):
                raise ValueError(f"loss: became {loss.item()} at step {step}; a smaller lr, or look for a log or a division of 0")
            adam.zero_grad()
            accelerator.backward(loss) if accelerator else loss.backward()
            adam.step()
            if average:
                _move_average(history.average, model, min(average, (1 + step) / (10 + step)))
            history.losses.append(loss.item())
            bar.update()
            bar.set_postfix(loss=f"{history.losses[-1]:.4g}", refresh=False)
            stop = callback and callback(
                {"step": step + 1, "loss": history.losses[-1], "lr": rate, "model": model, "average": history.average, "history": history}
            )
            if stop is True:
                break
            if time.monotonic() - state.saved_at > save_every:
                state.save()
    finally:  # whatever ended the loop, what was learnt is not lost
        state.save()
        bar.close()
        state.release()
    model.eval()
    return history


@torch.no_grad()
def _move_average(average: nn.Module | None, model: nn.Module, decay: float) -> None:
    assert average is not None
    for a, w in zip(average.parameters(), model.parameters(), strict=True):
        a.lerp_(w, 1 - decay)
    for a, w in zip(average.buffers(), model.buffers(), strict=True):
        a.copy_(w)


class _State:
    """Everything that must come back for a training to go on as if nothing had happened."""

    def __init__(self, model: nn.Module, optimizer: Any, history: History, batches: Iterable, checkpoint: str | os.PathLike | None, write: bool):
        self.model, self.optimizer, self.history, self.batches, self.write = model, optimizer, history, batches, write
        self.path = Path(checkpoint) if checkpoint else None
        self.saved_at = self.began_at = time.monotonic()
        self.silent = not write
        self.position, self.epoch_start = 0, _random_states()
        self.interrupted = False
        self.handler = None
        if threading.current_thread() is threading.main_thread():
            self.handler = signal.signal(signal.SIGINT, self.interrupt)

    def interrupt(self, *_: Any) -> None:
        """Ctrl-C waits until the step is whole: half a step could not be resumed bit for bit. Pressed twice, it does not wait."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def release(self) -> None:
        if self.handler is not None:
            signal.signal(signal.SIGINT, self.handler)
        if self.interrupted:
            raise KeyboardInterrupt

    def resume(self) -> Iterator:
        if self.path and self.path.exists():
            try:
                saved = torch.load(self.path, weights_only=True, map_location="cpu")
                self.model.load_state_dict(saved["model"])
            except Exception as e:
                raise ValueError(f"checkpoint: {self.path} is damaged or of another model ({(str(e) or type(e).__name__).splitlines()[0]})") from None
            self.optimizer.load_state_dict(saved["optimizer"])
            self.history.losses, self.history.seconds = saved["losses"].tolist(), saved["seconds"]
            if self.history.average is not None and saved["average"] is not None:
                self.history.average.load_state_dict(saved["average"])
            if hasattr(self.batches, "load_state_dict"):
                self.batches.load_state_dict(saved["batches"])  # type: ignore[attr-defined]
                stream = self._stream()
            else:  # replay the epoch's random numbers up to where we stopped
                _set_random_states(saved["epoch_start"])
                stream = self._stream()
                for _ in range(saved["position"]):
                    next(stream)
            _set_random_states(saved["random"])
            return stream
        return self._stream()

    def _stream(self) -> Iterator:
        while True:
            self.position, self.epoch_start = 0, _random_states()
            for batch in self.batches:
                self.position += 1
                yield (batch,) if isinstance(batch, Tensor) else batch
            if self.position == 0:
                raise ValueError("batches: gave nothing; a generator that has been used up? Pass a list, a DataLoader, or an object with __iter__")

    def save(self) -> None:
        now = time.monotonic()
        self.history.seconds += now - self.began_at
        self.began_at = self.saved_at = now
        if not (self.path and self.write):
            return
        average = self.history.average
        content = {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "losses": torch.tensor(self.history.losses, dtype=torch.float64), "seconds": self.history.seconds,
            "average": None if average is None else average.state_dict(),
            "batches": self.batches.state_dict() if hasattr(self.batches, "load_state_dict") else None,  # type: ignore[attr-defined]
            "position": self.position, "epoch_start": self.epoch_start, "random": _random_states(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = None
        try:
            with tempfile.NamedTemporaryFile(dir=self.path.parent, suffix=".partial", delete=False) as f:
                temporary = Path(f.name)
                torch.save(content, f)
            os.replace(temporary, self.path)
        except (OSError, RuntimeError) as e:  # a full disk must not end a night's training; the last good checkpoint stays
            warnings.warn(f"checkpoint not written at step {self.history.steps}: {e}", stacklevel=2)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


def _random_states() -> dict[str, Any]:
    kind, keys, pos, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(), "numpy": [str(kind), torch.from_numpy(np.array(keys, dtype=np.int64)), int(pos), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_states(s: dict[str, Any]) -> None:
    random.setstate(s["python"])
    kind, keys, *rest = s["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(s["torch"])
    if s["cuda"]:
        torch.cuda.set_rng_state_all(s["cuda"])


def cosine(lr: float, steps: int, warmup: int = 0) -> Schedule:
    """Rise linearly over `warmup` steps to `lr`, then fall to 0 along half a cosine (Loshchilov & Hutter 2017, one cycle)."""

    def schedule(step: int) -> float:
        if step < warmup:
            return lr * (step + 1) / warmup
        return 0.5 * lr * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return schedule


def has_fast_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 matrices in hardware (a GPU, or a CPU with AMX or AVX512-BF16)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported())
