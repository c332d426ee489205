"""What a training keeps on the disk: checkpoints, the last good one always, and a line of losses every few steps."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

LATEST, BEFORE, LOSSES, UNREADABLE = "latest.pt", "before.pt", "losses.jsonl", "unreadable.pt"
"""Files of a training's folder: its newest checkpoint, the one before, a line of losses every few steps, and what was
its newest checkpoint when it could not be read.

A line also tells the seconds of a step, and how many of them went into data, forward, backward and update (the exchange
between workers among it). On a GPU, which works on by itself, waiting counts where the result is read: as update.
"""


class TrainingError(ValueError):
    """A training that cannot begin or go on, in one line."""


class TrainingFolder:
    """A training's folder; made when there is something to write.

    Raises:
        TrainingError: something cannot be written or read; what was there is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._restored: Path | None = None

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint beside the newest, which becomes the one before."""
        latest = self.path / LATEST
        writing = latest.with_name(f"{LATEST}.writing")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with writing.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            if latest.exists():
                os.replace(latest, self.path / BEFORE)
            os.replace(writing, latest)
        except (OSError, RuntimeError) as fault:  # torch wraps a full disk in a RuntimeError
            writing.unlink(missing_ok=True)
            raise TrainingError(
                f"cannot write a checkpoint to {latest}: {_reason(fault)}; the one before is kept"
            ) from fault

    def newest(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read; None where there is none."""
        found = [self.path / name for name in (LATEST, BEFORE) if (self.path / name).is_file()]
        for path in found:
            state = _read(path)
            if state is not None:
                self._restored = path
                return state
        if found:
            raise TrainingError(f"no checkpoint in {self.path} can be read: remove it to begin anew")
        return None

    def tidy(self, step: int) -> None:
        """Put a newer checkpoint that cannot be read out of the way, and drop losses of steps to be done again."""
        latest = self.path / LATEST
        try:
            if self._restored != latest and latest.exists():
                os.replace(latest, latest.with_name(UNREADABLE))
            _forget_after(self.path / LOSSES, step)
        except OSError as fault:
            raise TrainingError(f"cannot write to {self.path}: {_reason(fault)}") from fault

    def tell(self, line: Mapping[str, float]) -> None:
        """Add a line of losses."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / LOSSES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as fault:
            raise TrainingError(f"cannot write losses to {self.path / LOSSES}: {_reason(fault)}") from fault


def _read(path: Path) -> dict[str, Any] | None:
    """A checkpoint; None if it is not whole.

    Raises:
        TrainingError: it may be whole, but the disk or the memory does not give it.
    """
    try:
        path.open("rb").close()
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (PermissionError, MemoryError) as fault:
        raise TrainingError(f"cannot read the checkpoint {path}: {_reason(fault)}") from fault
    except Exception:  # a file that is cut off fails in many ways
        return None
    wanted = {"step", "identity", "learned", "average", "optimizer", "sums"}
    return state if isinstance(state, dict) and wanted <= set(state) else None


def _forget_after(losses: Path, step: int) -> None:
    """Drop lines of steps that will be done again, and half a line."""
    if not losses.is_file():
        return
    kept = []
    for line in losses.read_text(encoding="utf-8").splitlines():
        try:
            if int(json.loads(line)["step"]) <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError):
            continue
    fresh = losses.with_name(f"{LOSSES}.writing")
    fresh.write_text("".join(kept), encoding="utf-8")
    os.replace(fresh, losses)


def _reason(fault: BaseException) -> str:
    """Why something was not written: a full disk by its name."""
    seen: BaseException | None = fault
    while seen is not None:
        if isinstance(seen, OSError):
            return "the disk is full" if seen.errno == errno.ENOSPC else (seen.strerror or str(seen))
        seen = seen.__cause__ or seen.__context__
    return str(fault).splitlines()[0]
