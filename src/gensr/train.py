"""One visible training loop, and one for two players, with checkpoints that resume bit for bit.

`fit` knows nothing of the model but `model.loss(*batch)`; `fit_gan` nothing but a generator, a critic and a loss for each. They keep a checkpoint when given a
path: stop with Ctrl-C, start the same call again, and it ends with the same weights as if it had never stopped (on the same machine and number of threads).
"""

import copy
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gensr._checkpoint import Both, State

Schedule = Callable[[int], float]


@dataclass
class History:
    """What a training left behind: the loss of every step, the steps done, seconds of all sittings together, and the averaged model if one was kept.

    After `fit_gan`, `losses` are the generator's, and `critic_losses` those of the critic's last step before it.
    """

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    average: nn.Module | None = None
    critic_losses: list[float] = field(default_factory=list)

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
        ValueError: steps < 1, an average not in [0, 1), a batch source that gives nothing, a checkpoint of another model, or a loss that is not finite.

    Reference: Kingma & Ba 2015 (Adam); Polyak & Juditsky 1992 (averaging).
    """
    if not steps >= 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    _check_average(average)
    device = accelerator.device if accelerator else torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    adam: Any = optimizer or torch.optim.Adam(model.parameters(), lr=lr(0) if callable(lr) else lr)
    objective: nn.Module = _Objective(model)
    if accelerator:
        objective, adam = accelerator.prepare(objective, adam)
    history = History(average=copy.deepcopy(model).requires_grad_(False) if average else None)
    state = State(model, adam, history, batches, checkpoint, write=not accelerator or accelerator.is_main_process)
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


def fit_gan(
    model: nn.Module, batches: Iterable, *, steps: int, lr: float | Schedule, critic_steps: int = 1, checkpoint: str | os.PathLike | None = None,
    callback: Callable[[dict[str, Any]], Any] | None = None, accelerator: Any = None,
    optimizer: tuple[torch.optim.Optimizer, torch.optim.Optimizer] | None = None, average: float | None = None, bfloat16: bool = False,
    save_every: float = 120.0, progress: bool = True,
) -> History:
    """Let two players train each other: a critic that tells real from made, and a generator that makes.

    One step is `critic_steps` steps of the critic down `model.critic_loss(*batch)`, each on a new batch, then one of the generator down
    `model.generator_loss(*batch)` on the last of these batches. Neither step moves the other player.

    Args:
        model: has the modules `generator` and `critic`, and `critic_loss(*batch)` and `generator_loss(*batch)`, both scalars to be made small.
        steps: steps of the generator in all, those of earlier sittings included.
        critic_steps: of the critic for each step of the generator.
        callback: as for `fit`, with the critic's loss as "critic_loss" besides.
        optimizer: the generator's and the critic's; Adam with β₁ = 0.5 by default. Two rates: give the groups of one an "lr_scale".
        average: decay of a moving average of all weights; the generator's is the one of use.

    The other arguments are those of `fit`.

    Raises:
        ValueError: steps or critic_steps below 1, and what `fit` raises.

    Reference: Goodfellow et al. 2014, algorithm 1; Radford, Metz, Chintala 2016 (β₁).
    """
    for name, value in (("steps", steps), ("critic_steps", critic_steps)):
        if not value >= 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    _check_average(average)
    device = accelerator.device if accelerator else torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    generator, critic = optimizer or [
        torch.optim.Adam(model.get_submodule(player).parameters(), lr=lr(0) if callable(lr) else lr, betas=(0.5, 0.999))
        for player in ("generator", "critic")
    ]
    history = History(average=copy.deepcopy(model).requires_grad_(False) if average else None)
    state = State(model, Both(generator, critic), history, batches, checkpoint, write=not accelerator or accelerator.is_main_process)
    stream = state.resume()
    if accelerator and accelerator.num_processes > 1:  # all start from the same weights
        for v in model.state_dict().values():
            torch.distributed.broadcast(v, 0)
    model.train()
    bar = tqdm(total=steps, initial=history.steps, disable=not progress or state.silent, mininterval=1.0, unit="step")

    def descend(player: str, adam: torch.optim.Optimizer, batch: list[Tensor]) -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss = getattr(model, f"{player}_loss")(*batch)
        if not torch.isfinite(loss):
            raise ValueError(f"{player}_loss: became {loss.item()} at step {history.steps}; a smaller lr, or look for a log or a division of 0")
        adam.zero_grad()
        accelerator.backward(loss) if accelerator else loss.backward()
        if accelerator:  # two losses share one model, so the gradients of the processes are averaged by hand
            for p in (p for group in adam.param_groups for p in group["params"] if p.grad is not None):
                p.grad = accelerator.reduce(p.grad, "mean")
        adam.step()
        return loss.item()

    try:
        while history.steps < steps and not state.interrupted:
            rate = lr(history.steps) if callable(lr) else lr
            for group in generator.param_groups + critic.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            for _ in range(critic_steps):
                batch = [v.to(device) for v in next(stream)]
                critic_loss = descend("critic", critic, batch)
            loss = descend("generator", generator, batch)
            if average:
                _move_average(history.average, model, min(average, (1 + history.steps) / (10 + history.steps)))
            history.critic_losses.append(critic_loss)
            history.losses.append(loss)
            bar.update()
            bar.set_postfix(loss=f"{loss:.4g}", critic=f"{critic_loss:.4g}", refresh=False)
            stop = callback and callback(
                {"step": history.steps, "loss": loss, "critic_loss": critic_loss, "lr": rate, "model": model, "average": history.average, "history": history}
            )
            if stop is True:
                break
            if time.monotonic() - state.saved_at > save_every:
                state.save()
    finally:
        state.save()
        bar.close()
        state.release()
    model.eval()
    return history


def _check_average(decay: float | None) -> None:
    if decay is not None and not 0 <= decay < 1:
        raise ValueError(f"average: expected a decay in [0, 1), got {decay}")


@torch.no_grad()
def _move_average(average: nn.Module | None, model: nn.Module, decay: float) -> None:
    assert average is not None
    for a, w in zip(average.parameters(), model.parameters(), strict=True):
        a.lerp_(w, 1 - decay)
    for a, w in zip(average.buffers(), model.buffers(), strict=True):
        a.copy_(w)


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
