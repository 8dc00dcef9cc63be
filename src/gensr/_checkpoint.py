"""Everything a training needs to stop and go on as if nothing had happened: checkpoints, random states, the position in the data, Ctrl-C."""

import os
import random
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class State:
    """Everything that must come back for a training to go on as if nothing had happened."""

    def __init__(self, model: nn.Module, optimizer: Any, history: Any, batches: Iterable, checkpoint: str | os.PathLike | None, write: bool):
        self.model, self.optimizer, self.history, self.batches, self.write = model, optimizer, history, batches, write
        self.path = Path(checkpoint) if checkpoint else None
        self.saved_at = self.began_at = time.monotonic()
        self.silent = not write
        self.position, self.epoch_start = 0, random_states()
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
                self.optimizer.load_state_dict(saved["optimizer"])
            except Exception as e:
                raise ValueError(f"checkpoint: {self.path} is damaged or of another model ({(str(e) or type(e).__name__).splitlines()[0]})") from None
            self.history.losses, self.history.seconds = saved["losses"].tolist(), saved["seconds"]
            self.history.critic_losses = saved.get("critic_losses", torch.zeros(0)).tolist()
            if self.history.average is not None and saved["average"] is not None:
                self.history.average.load_state_dict(saved["average"])
            if hasattr(self.batches, "load_state_dict"):
                self.batches.load_state_dict(saved["batches"])  # type: ignore[attr-defined]
                stream = self._stream()
            else:  # replay the epoch's random numbers up to where we stopped
                set_random_states(saved["epoch_start"])
                stream = self._stream()
                for _ in range(saved["position"]):
                    next(stream)
            set_random_states(saved["random"])
            return stream
        return self._stream()

    def _stream(self) -> Iterator:
        while True:
            self.position, self.epoch_start = 0, random_states()
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
            "critic_losses": torch.tensor(self.history.critic_losses, dtype=torch.float64),
            "average": None if average is None else average.state_dict(),
            "batches": self.batches.state_dict() if hasattr(self.batches, "load_state_dict") else None,  # type: ignore[attr-defined]
            "position": self.position, "epoch_start": self.epoch_start, "random": random_states(),
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


def random_states() -> dict[str, Any]:
    """Of Python, NumPy and torch, as things that `torch.load(weights_only=True)` reads back."""
    kind, keys, pos, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(), "numpy": [str(kind), torch.from_numpy(np.array(keys, dtype=np.int64)), int(pos), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(s: dict[str, Any]) -> None:
    """Put back what `random_states` gave."""
    random.setstate(s["python"])
    kind, keys, *rest = s["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(s["torch"])
    if s["cuda"]:
        torch.cuda.set_rng_state_all(s["cuda"])


class Both:
    """The optimisers of two players, kept as one."""

    def __init__(self, generator: torch.optim.Optimizer, critic: torch.optim.Optimizer):
        self.generator, self.critic = generator, critic

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.state_dict(), "critic": self.critic.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.generator.load_state_dict(saved["generator"])
        self.critic.load_state_dict(saved["critic"])
