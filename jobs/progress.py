"""Progress of long commands, shown on standard error: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

from jobs.console import is_quiet


@dataclass(frozen=True)
class Part:
    """A part of a task, with the task's total: how many of its items are done, and a note about it."""

    done: int
    note: str = ""


class Display(Protocol):
    """Something that shows how far named tasks have come."""

    def announce(self, line: str) -> None:
        """Show a line at once; all tasks begin anew."""

    def update(self, task: str, done: int, total: int, note: str = "", parts: Mapping[str, Part] = {}) -> None:
        """Show how far a task has come.

        Args:
            task: name of the task. A task without a name is shown by its note alone.
            done: items of it that are done.
            total: items of it in all.
            note: what else there is to say about it.
            parts: its parts by name, where it has any; `done` then counts items that are through all of them.
        """


AmountText = Callable[[int, int], str]
"""Function that writes an amount: items done and items in all -> text."""


def count_text(done: int, total: int) -> str:
    """An amount of items: "3 of 10"."""
    return f"{done} of {total}"


def megabytes_text(done: int, total: int) -> str:
    """An amount of bytes: "1.5 of 3.0 MB"."""
    return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"


@contextmanager
def progress_display(
    interval: float = 10.0, amount_text: AmountText = count_text, *, time_left: bool = True
) -> Iterator[Display]:
    """Opens a display on standard error: bars on a terminal, lines elsewhere, nothing in a command that is quiet.

    Args:
        interval: fewest seconds between two lines about a task that is not done.
        amount_text: writes how much of a task is done.
        time_left: whether bars estimate the time left.
    """
    if is_quiet():
        yield Silence()
    elif sys.stderr.isatty():
        with Bars(amount_text, time_left=time_left) as bars:
            yield bars
    else:
        yield Lines(interval, amount_text)


class Silence:
    """Nothing."""

    def announce(self, line: str) -> None: ...

    def update(self, task: str, done: int, total: int, note: str = "", parts: Mapping[str, Part] = {}) -> None: ...


class Lines:
    """Lines: at most one about a task every `interval` seconds, and always one when it is done.

    The first line about a task comes at once, or `interval` seconds after the last announcement.
    """

    def __init__(self, interval: float = 10.0, amount_text: AmountText = count_text) -> None:
        self._interval, self._amount_text = interval, amount_text
        self._announced = -math.inf
        self._printed: dict[str, tuple[float, list[int]]] = {}  # task -> time of its last line, counts in that line

    def announce(self, line: str) -> None:
        self._announced = time.monotonic()
        self._printed.clear()
        print(line, file=sys.stderr, flush=True)

    def update(self, task: str, done: int, total: int, note: str = "", parts: Mapping[str, Part] = {}) -> None:
        now, counts = time.monotonic(), [done, *(part.done for part in parts.values())]
        before, printed = self._printed.get(task, (self._announced, []))
        if counts == printed or (done < total and now - before < self._interval):
            return
        self._printed[task] = now, counts
        amount = f"{task} {self._amount_text(done, total)}" if task else ""
        line = ": ".join(text for text in (amount, note) if text)
        if parts:
            line += f" ({', '.join(f'{name} {part.done}' for name, part in parts.items())})"
        print(line, file=sys.stderr, flush=True)


class Bars:
    """A progress bar for each task, below the bars of its parts; on the terminal from the first update on.

    It writes to the terminal itself: what is standard error is silenced while Ray starts.
    """

    def __init__(self, amount_text: AmountText = count_text, *, time_left: bool = True) -> None:
        columns = [
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            *([TimeRemainingColumn()] if time_left else []),
            TextColumn("{task.fields[note]}", markup=False),
        ]
        self._terminal = os.fdopen(os.dup(2), "w") if sys.stderr.isatty() else None
        self._progress = Progress(*columns, console=Console(file=self._terminal, stderr=True))
        self._amount_text = amount_text
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._terminal is not None:
            self._terminal.close()

    def announce(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False)
        for bar in self._bars.values():
            self._progress.reset(bar)

    def update(self, task: str, done: int, total: int, note: str = "", parts: Mapping[str, Part] = {}) -> None:
        self._progress.start()
        for name, part in parts.items():
            self._show(name, part.done, total, part.note)
        self._show(task, done, total, note)

    def _show(self, name: str, done: int, total: int, note: str) -> None:
        amount = self._amount_text(done, total)
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total, amount=amount, note=note)
        self._progress.update(self._bars[name], completed=done, total=total, amount=amount, note=note)
