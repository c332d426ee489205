"""The training loop: any task, exact resume, losses on the disk, the last good checkpoint always kept."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.training.checkpoints import TrainingError, TrainingFolder
from models.training.sharding import ALONE, Worker


class Watcher(Protocol):
    """Who hears how a training goes."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Losses, averaged since the call before, up to a step."""

    def sample(self, step: int) -> None:
        """Time to listen; the moving average is in place."""


@dataclass(frozen=True)
class LoopConfig:
    """How a task is trained.

    Attributes:
        batch: items of a step, those of all workers together.
        rate, rate_end, warmup: learning rate: linear over `warmup` steps to `rate`, then a cosine to `rate_end`.
        betas, weight_decay: of AdamW; norms, biases and other vectors do not decay.
        clip: greatest norm of the gradient; 0 does not clip.
        ema: share of the moving average that stays at a step, reached as training goes on.
        bf16: whether the task runs in bfloat16 where that is safe; weights and moments stay in float32.
        seconds: time after which a call ends, checkpoint kept, to be gone on with by the next; 0 for none.
        checkpoint_every, log_every, sample_every: in steps; 0 samples never.
    """

    steps: int
    batch: int = 8
    rate: float = 1e-3
    rate_end: float = 0.0
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    seed: int = 0
    bf16: bool = False
    seconds: float = 0.0
    checkpoint_every: int = 200
    log_every: int = 20
    sample_every: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "rate", "checkpoint_every", "log_every"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"{name} must be greater than 0, got {getattr(self, name)}")
        for name in ("rate_end", "warmup", "weight_decay", "clip", "seconds", "sample_every"):
            if not getattr(self, name) >= 0:
                raise TrainingError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name, value in (("ema", self.ema), ("betas", self.betas[0]), ("betas", self.betas[1])):
            if not 0 <= value < 1:
                raise TrainingError(f"{name} must be from 0 to less than 1, got {value}")

    def rate_at(self, step: int) -> float:
        """Learning rate of the step after `step` steps."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.rate_end + (self.rate - self.rate_end) * (1 + math.cos(math.pi * done)) / 2

    def ema_at(self, step: int) -> float:
        """Share of the average that stays: little at first, so that the beginning is forgotten."""
        return min(self.ema, (1 + step) / (10 + step))


def generator(*parts: object) -> torch.Generator:
    """Random numbers that depend on the parts alone, on the CPU."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Trainer:
    """Trains `task` on `batches(step)`, and goes on where the folder's checkpoint ends.

    Nothing but the step decides a batch and its random numbers, so a training that was killed goes on with the losses
    it would have had. Several workers see shares of one batch; a share's losses count by its `weight`.

    Args:
        task: `task(batch, step)` gives named losses, scalars; `loss` is the one that is differentiated.
        batches: the batch of a step; its `weight`, if it has one, is the share of all items that it holds.
        folder: of checkpoints and losses; made when there is something to write.
        identity: what has to be the same for the training to go on: data, networks, other settings.

    Raises:
        TrainingError: the folder holds another training, or its checkpoints cannot be read.
    """

    def __init__(
        self,
        task: nn.Module,
        batches: Callable[[int], Any],
        config: LoopConfig,
        folder: Path,
        *,
        identity: Mapping[str, Any] | None = None,
        watcher: Watcher | None = None,
        worker: Worker = ALONE,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.task = task.to(self.device)
        self.batches, self.config, self.folder = batches, config, folder
        self.watcher, self.worker, self.writes = watcher, worker, worker.first
        self.identity = json.loads(json.dumps(dict(identity or {}) | {"seed": config.seed, "batch": config.batch}))
        self.learned = {name: p for name, p in task.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.learned.items()}
        self.optimizer = _optimizer(self.learned, config)
        self.step = 0
        self._kept = TrainingFolder(folder)
        self._sums: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._timed_steps = 0
        self._restore()
        self._agree()

    def spend(self, seconds: float) -> None:
        """Take from the time of this call what was spent before its first step."""
        if self.config.seconds:
            self.config = replace(self.config, seconds=max(1e-9, self.config.seconds - seconds))

    def run(self) -> bool:
        """Train to the last step, or until the time is up.

        Returns:
            Whether the last step is done.

        Raises:
            TrainingError: a loss or gradient is not a number, or something cannot be written; the last good
                checkpoint stays.
        """
        config, began = self.config, time.monotonic()
        self.task.train()
        while self.step < config.steps:
            for name, value in self._update().items():
                self._sums[name] = self._sums.get(name, 0.0) + value
            self.step += 1
            self._timed_steps += 1
            if self.step % config.log_every == 0 or self.step == config.steps:
                self._log()
            if config.sample_every and self.step % config.sample_every == 0:
                self._sample()
            late = self.worker.agreed(0 < config.seconds <= time.monotonic() - began, self.device)
            if late or self.step % config.checkpoint_every == 0 or self.step == config.steps:
                self._save()
            if late:
                break
        return self.step >= config.steps

    @contextmanager
    def average_in_place(self) -> Iterator[None]:
        """The moving average stands in the task's place while the work inside goes on."""
        learned = {name: p.detach().clone() for name, p in self.learned.items()}
        was_training = self.task.training
        self._fill(self.average)
        self.task.eval()
        try:
            yield
        finally:
            self._fill(learned)
            self.task.train(was_training)

    def _update(self) -> dict[str, float]:
        """One step of the optimizer; the losses of the whole batch before it."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate_at(self.step)
        with self._timed("data"):
            batch = _on(self.batches(self.step), self.device)
        weight = float(getattr(batch, "weight", 1 / self.worker.count))
        with self._timed("forward"), torch.autocast(self.device.type, torch.bfloat16, enabled=config.bf16):
            losses = self.task(batch, self.step)
        self.optimizer.zero_grad(set_to_none=False)
        with self._timed("backward"):
            (losses["loss"] * weight).backward()
        with self._timed("update"):
            return self._stepped(losses, weight)

    def _stepped(self, losses: Mapping[str, Tensor], weight: float) -> dict[str, float]:
        """Exchange gradients and losses with the other workers, move weights and average."""
        config = self.config
        gradients = [p.grad for p in self.learned.values() if p.grad is not None]
        told = {name: loss.detach().float() * weight for name, loss in losses.items()}
        self.worker.summed([*gradients, *told.values()])
        values = {name: float(value) for name, value in told.items()}
        self._refuse("loss", values["loss"])
        norm = float(nn.utils.get_total_norm(gradients))
        self._refuse("gradient", norm)
        if config.clip and norm > config.clip:
            torch._foreach_mul_(gradients, config.clip / norm)
        self.optimizer.step()
        stays = config.ema_at(self.step)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.learned.values()), 1 - stays)
        return values | {"gradient": norm}

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._seconds[what] = self._seconds.get(what, 0.0) + time.monotonic() - began

    def _refuse(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} is {value:g} at step {self.step}; lower the learning rate ({self.config.rate:g}) or look "
                f"at the data; the last good checkpoint, of step {self._saved}, is kept"
            )

    def _log(self) -> None:
        done = (self.step - 1) % self.config.log_every + 1
        values = {name: total / done for name, total in self._sums.items()}
        values["rate"] = self.config.rate_at(self.step - 1)
        # Steps before a checkpoint that a call went on from are not timed here.
        parts = {f"seconds_{what}": round(total / self._timed_steps, 4) for what, total in self._seconds.items()}
        parts["seconds_per_step"] = round(sum(self._seconds.values()) / self._timed_steps, 4)
        self._sums, self._seconds, self._timed_steps = {}, {}, 0
        if not self.writes:
            return
        self._kept.tell({"step": self.step} | values | parts)
        if self.watcher is not None:
            self.watcher.scalars(self.step, values)

    def _sample(self) -> None:
        if self.watcher is not None and self.writes:
            with self.average_in_place():
                self.watcher.sample(self.step)

    def _fill(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.learned.items():
                parameter.copy_(values[name])

    def _save(self) -> None:
        """Keep everything that the next step depends on."""
        self._saved = self.step
        if not self.writes:
            return
        self._kept.save(
            {
                "step": self.step,
                "identity": self.identity,
                "learned": {name: p.detach() for name, p in self.learned.items()},
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
                "sums": self._sums,
            }
        )

    def _restore(self) -> None:
        """Go to the newest checkpoint that can be read."""
        self._saved = 0
        state = self._kept.newest()
        if state is None:
            return
        self._check(state["identity"])
        self._fill(state["learned"])
        self.average = {name: state["average"][name].to(self.device) for name in self.learned}
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = self._saved = int(state["step"])
        self._sums = dict(state["sums"])
        if self.writes:
            self._kept.tidy(self.step)

    def _agree(self) -> None:
        """Workers that begin at different steps would train different networks."""
        steps = torch.tensor([float(self.step)], device=self.device)
        self.worker.summed([steps])
        if steps.item() != self.step * self.worker.count:
            raise TrainingError(
                f"worker {self.worker.number} begins at step {self.step}, others do not: "
                f"{self.folder} must be a folder that all nodes share"
            )

    def _check(self, identity: Mapping[str, Any]) -> None:
        names = sorted(n for n in {*identity, *self.identity} if identity.get(n) != self.identity.get(n))
        if not names:
            return
        advice = "choose another out, or remove that one"
        if set(names) <= {"seed", "batch"}:
            advice = f"keep seed and batch, or {advice}"
        raise TrainingError(f"{self.folder} holds a training with another {', '.join(names)}: {advice}")


def _optimizer(learned: Mapping[str, nn.Parameter], config: LoopConfig) -> torch.optim.AdamW:
    matrices = [p for p in learned.values() if p.ndim >= 2]
    vectors = [p for p in learned.values() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.rate, betas=config.betas, fused=True)


def _on(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, tuple):
        return tuple(_on(member, device) for member in batch)
    return batch.to(device) if hasattr(batch, "to") else batch
