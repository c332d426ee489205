"""The folder of a training: checkpoints, of which a good one is always kept, and a line of losses every few steps."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.errors import UserError

LATEST, PREVIOUS, LOSSES, UNREADABLE = "latest.pt", "before.pt", "losses.jsonl", "unreadable.pt"
"""Files of the folder: the newest checkpoint, the one before it, a line of losses every few steps, and a former newest
checkpoint that could not be read.

A line of losses also has the seconds per step, and how many of them went into data, forward, backward and update; the
update includes the exchange between workers. A GPU computes asynchronously, so there the time that is spent waiting for
its results counts as update.
"""


class TrainingError(UserError):
    """Raised when a training cannot begin or go on; the message is one line."""


class CheckpointFolder:
    """The folder of a training, which is made when there is something to write.

    Raises:
        TrainingError: something cannot be written or read; the files that were there are kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._restored: Path | None = None

    def save(self, state: Mapping[str, Any]) -> None:
        """Writes a checkpoint; the newest one so far becomes the previous one."""
        latest = self.path / LATEST
        temporary = latest.with_name(f"{LATEST}.writing")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            if latest.exists():
                os.replace(latest, self.path / PREVIOUS)
            os.replace(temporary, latest)
        except (OSError, RuntimeError) as error:  # torch wraps a full disk in a RuntimeError
            temporary.unlink(missing_ok=True)
            raise TrainingError(
                f"cannot write a checkpoint to {latest}: {_reason(error)}; the one before is kept"
            ) from error

    def load_newest(self) -> dict[str, Any] | None:
        """Returns the newest checkpoint that can be read; None where there is none."""
        found = [self.path / name for name in (LATEST, PREVIOUS) if (self.path / name).is_file()]
        for path in found:
            state = _read(path)
            if state is not None:
                self._restored = path
                return state
        if found:
            raise TrainingError(f"no checkpoint in {self.path} can be read: remove it to begin anew")
        return None

    def clean_up(self, step: int) -> None:
        """Renames a newer checkpoint that cannot be read, and drops the losses of steps that will be done again."""
        latest = self.path / LATEST
        try:
            if self._restored != latest and latest.exists():
                os.replace(latest, latest.with_name(UNREADABLE))
            _drop_losses_after(self.path / LOSSES, step)
        except OSError as error:
            raise TrainingError(f"cannot write to {self.path}: {_reason(error)}") from error

    def append_losses(self, line: Mapping[str, float]) -> None:
        """Appends a line of losses."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / LOSSES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise TrainingError(f"cannot write losses to {self.path / LOSSES}: {_reason(error)}") from error


def _read(path: Path) -> dict[str, Any] | None:
    """Returns a checkpoint; None if the file is damaged.

    Raises:
        TrainingError: the file may be good, but it cannot be read for lack of permission or memory.
    """
    try:
        path.open("rb").close()
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (PermissionError, MemoryError) as error:
        raise TrainingError(f"cannot read the checkpoint {path}: {_reason(error)}") from error
    except Exception:  # a truncated file raises many types of errors
        return None
    expected = {"step", "identity", "learned", "average", "optimizer", "sums"}
    return state if isinstance(state, dict) and expected <= set(state) else None


def _drop_losses_after(losses: Path, step: int) -> None:
    """Drops the lines of steps that will be done again, and an incomplete line."""
    if not losses.is_file():
        return
    kept = []
    for line in losses.read_text(encoding="utf-8").splitlines():
        try:
            if int(json.loads(line)["step"]) <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError):
            continue
    temporary = losses.with_name(f"{LOSSES}.writing")
    temporary.write_text("".join(kept), encoding="utf-8")
    os.replace(temporary, losses)


def _reason(error: BaseException) -> str:
    """Returns why a file was not written or read; a full disk is named even inside another error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return "the disk is full" if cause.errno == errno.ENOSPC else (cause.strerror or str(cause))
        cause = cause.__cause__ or cause.__context__
    return str(error).splitlines()[0]
