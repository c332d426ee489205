"""The training loop for any task: it resumes exactly, writes losses to the disk and always keeps a good checkpoint."""

from __future__ import annotations

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

from models.training.checkpoints import CheckpointFolder, TrainingError
from models.training.sharding import SINGLE_WORKER, TrainingWorker


class TrainingListener(Protocol):
    """Receives the losses of a training, and is called when samples are due."""

    def on_losses(self, step: int, values: Mapping[str, float]) -> None:
        """Receives the losses up to a step, averaged since the previous call."""

    def on_sample(self, step: int) -> None:
        """Called when samples of the network are due; the task then has the moving average of its weights."""


@dataclass(frozen=True)
class LoopConfig:
    """Settings of the training loop.

    Attributes:
        steps: number of steps.
        batch: items per step, over all workers together.
        rate, rate_end, warmup: learning rate; it rises linearly over `warmup` steps to `rate`, then falls as a cosine
            to `rate_end`.
        betas, weight_decay: settings of AdamW; norms, biases and other vectors do not decay.
        clip: greatest norm of the gradient; 0 does not clip.
        ema: factor that the moving average of the weights is multiplied by in a step; it is smaller at the beginning.
        seed: seed of the random numbers.
        bf16: whether the task runs in bfloat16 where that is safe; weights and moments stay in float32.
        seconds: time after which a call ends with a checkpoint, so that the next call resumes it; 0 for no limit.
        checkpoint_every, log_every, sample_every: intervals in steps; 0 never samples.

    Raises:
        TrainingError: a number is out of its range.
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
        """Returns the learning rate of the step after `step` steps."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.rate_end + (self.rate - self.rate_end) * (1 + math.cos(math.pi * progress)) / 2

    def ema_at(self, step: int) -> float:
        """Returns the factor of the moving average: small at first, so that it forgets the initial weights."""
        return min(self.ema, (1 + step) / (10 + step))


class Trainer:
    """Trains `task` on `batches(step)`, beginning with the checkpoint in the folder if there is one.

    A batch and its random numbers depend on the step alone, so a training that was killed resumes with the losses that
    it would have had. Several workers see shares of one batch; the losses of a share are weighted by its `weight`.

    Args:
        task: network whose call `task(batch, step)` returns named losses, scalars; `loss` is differentiated.
        batches: function that returns the batch of a step; the `weight` of a batch, if it has one, is its share of all
            items of the step.
        config: settings of the loop.
        folder: folder of checkpoints and losses, made when there is something to write.
        identity: settings, data and networks that must be the same for a training to be resumed.
        listener: receives losses; None for nobody.
        worker: place of this process among the workers.
        device: device of the task.

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
        listener: TrainingListener | None = None,
        worker: TrainingWorker = SINGLE_WORKER,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.task = task.to(self.device)
        self.batches, self.config, self.folder = batches, config, folder
        self.listener, self.worker, self.writes = listener, worker, worker.first
        self.identity = json.loads(json.dumps(dict(identity or {}) | {"seed": config.seed, "batch": config.batch}))
        self.trained = {name: p for name, p in task.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.trained.items()}
        self.optimizer = _optimizer(self.trained, config)
        self.step = 0
        self._checkpoints = CheckpointFolder(folder)
        self._sums: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._timed_steps = 0
        self._restore()
        self._check_same_step()

    def deduct_time(self, seconds: float) -> None:
        """Shortens the time limit of this call by what was spent before its first step."""
        if self.config.seconds:
            self.config = replace(self.config, seconds=max(1e-9, self.config.seconds - seconds))

    def run(self) -> bool:
        """Trains to the last step, or until the time limit is reached.

        Returns:
            Whether the last step is done.

        Raises:
            TrainingError: a loss or gradient is not a number, or something cannot be written; the last good
                checkpoint stays.
        """
        config, began = self.config, time.monotonic()
        self.task.train()
        while self.step < config.steps:
            for name, value in self._train_step().items():
                self._sums[name] = self._sums.get(name, 0.0) + value
            self.step += 1
            self._timed_steps += 1
            if self.step % config.log_every == 0 or self.step == config.steps:
                self._log()
            if config.sample_every and self.step % config.sample_every == 0:
                self._sample()
            is_late = self.worker.any_worker(0 < config.seconds <= time.monotonic() - began, self.device)
            if is_late or self.step % config.checkpoint_every == 0 or self.step == config.steps:
                self._save()
            if is_late:
                break
        return self.step >= config.steps

    @contextmanager
    def average_in_place(self) -> Iterator[None]:
        """Context in which the task has the moving average of its weights and is in evaluation mode."""
        trained = {name: p.detach().clone() for name, p in self.trained.items()}
        was_training = self.task.training
        self._fill(self.average)
        self.task.eval()
        try:
            yield
        finally:
            self._fill(trained)
            self.task.train(was_training)

    def _train_step(self) -> dict[str, float]:
        """Does one step of the optimizer; returns the losses of the whole batch before it."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate_at(self.step)
        with self._timed("data"):
            batch = _to_device(self.batches(self.step), self.device)
        weight = float(getattr(batch, "weight", 1 / self.worker.count))
        with self._timed("forward"), torch.autocast(self.device.type, torch.bfloat16, enabled=config.bf16):
            losses = self.task(batch, self.step)
        self.optimizer.zero_grad(set_to_none=False)
        with self._timed("backward"):
            (losses["loss"] * weight).backward()
        with self._timed("update"):
            return self._update(losses, weight)

    def _update(self, losses: Mapping[str, Tensor], weight: float) -> dict[str, float]:
        """Sums gradients and losses over the workers, then updates the weights and their moving average."""
        config = self.config
        gradients = [p.grad for p in self.trained.values() if p.grad is not None]
        weighted = {name: loss.detach().float() * weight for name, loss in losses.items()}
        self.worker.sum_over_workers([*gradients, *weighted.values()])
        values = {name: float(value) for name, value in weighted.items()}
        self._check_finite("loss", values["loss"])
        norm = float(nn.utils.get_total_norm(gradients))
        self._check_finite("gradient", norm)
        if config.clip and norm > config.clip:
            torch._foreach_mul_(gradients, config.clip / norm)
        self.optimizer.step()
        with torch.no_grad():
            change = 1 - config.ema_at(self.step)
            torch._foreach_lerp_(list(self.average.values()), list(self.trained.values()), change)
        return values | {"gradient": norm}

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Measures the time of a phase of a step."""
        began = time.monotonic()
        yield
        self._seconds[phase] = self._seconds.get(phase, 0.0) + time.monotonic() - began

    def _check_finite(self, what: str, value: float) -> None:
        """Raises TrainingError if a loss or gradient is not a finite number."""
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} is {value:g} at step {self.step}; lower the learning rate ({self.config.rate:g}) or look "
                f"at the data; the last good checkpoint, of step {self._saved}, is kept"
            )

    def _log(self) -> None:
        """Writes the losses since the last time, averaged, and how long the phases of a step took."""
        done = (self.step - 1) % self.config.log_every + 1
        values = {name: total / done for name, total in self._sums.items()}
        values["rate"] = self.config.rate_at(self.step - 1)
        # Steps of an earlier call, whose losses came with the checkpoint, are not timed here.
        parts = {f"seconds_{phase}": round(total / self._timed_steps, 4) for phase, total in self._seconds.items()}
        parts["seconds_per_step"] = round(sum(self._seconds.values()) / self._timed_steps, 4)
        self._sums, self._seconds, self._timed_steps = {}, {}, 0
        if not self.writes:
            return
        self._checkpoints.append_losses({"step": self.step} | values | parts)
        if self.listener is not None:
            self.listener.on_losses(self.step, values)

    def _sample(self) -> None:
        if self.listener is not None and self.writes:
            with self.average_in_place():
                self.listener.on_sample(self.step)

    def _fill(self, values: Mapping[str, Tensor]) -> None:
        """Copies values into the trained parameters."""
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(values[name])

    def _save(self) -> None:
        """Saves everything that the next step depends on."""
        self._saved = self.step
        if not self.writes:
            return
        self._checkpoints.save(
            {
                "step": self.step,
                "identity": self.identity,
                "learned": {name: p.detach() for name, p in self.trained.items()},
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
                "sums": self._sums,
            }
        )

    def _restore(self) -> None:
        """Loads the newest checkpoint that can be read."""
        self._saved = 0
        state = self._checkpoints.load_newest()
        if state is None:
            return
        self._check_identity(state["identity"])
        self._fill(state["learned"])
        self.average = {name: state["average"][name].to(self.device) for name in self.trained}
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = self._saved = int(state["step"])
        self._sums = dict(state["sums"])
        if self.writes:
            self._checkpoints.clean_up(self.step)

    def _check_same_step(self) -> None:
        """Raises TrainingError if workers begin at different steps, because they would train different networks."""
        steps = torch.tensor([float(self.step)], device=self.device)
        self.worker.sum_over_workers([steps])
        if steps.item() != self.step * self.worker.count:
            raise TrainingError(
                f"worker {self.worker.number} begins at step {self.step}, others do not: "
                f"{self.folder} must be a folder that all nodes share"
            )

    def _check_identity(self, identity: Mapping[str, Any]) -> None:
        """Raises TrainingError if a checkpoint is of another training."""
        names = sorted(n for n in {*identity, *self.identity} if identity.get(n) != self.identity.get(n))
        if not names:
            return
        advice = "choose another out, or remove that one"
        if set(names) <= {"seed", "batch"}:
            advice = f"keep seed and batch, or {advice}"
        raise TrainingError(f"{self.folder} holds a training with another {', '.join(names)}: {advice}")


def _optimizer(trained: Mapping[str, nn.Parameter], config: LoopConfig) -> torch.optim.AdamW:
    matrices = [p for p in trained.values() if p.ndim >= 2]
    vectors = [p for p in trained.values() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.rate, betas=config.betas, fused=True)


def _to_device(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, tuple):
        return tuple(_to_device(member, device) for member in batch)
    return batch.to(device) if hasattr(batch, "to") else batch
