"""What a person sees of a run: bars on a terminal, a line a minute elsewhere, and a summary."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from pipeline.scoring.run import Summary
from pipeline.scoring.steps import STAGES
from pipeline.scoring.workers import Progress

SHOWN_FAILURES = 20


class Speed:
    """Rates of the last minutes, from what was told."""

    def __init__(self, span: float = 180.0) -> None:
        self._span, self._told = span, deque[tuple[float, Progress]]()

    def add(self, progress: Progress, now: float | None = None) -> None:
        """Remember what was told, at a time in seconds."""
        now = time.monotonic() if now is None else now
        self._told.append((now, progress))
        while len(self._told) > 2 and self._told[1][0] <= now - self._span:
            self._told.popleft()

    def _per_second(self, value: Callable[[Progress], float]) -> float:
        if len(self._told) < 2:
            return 0.0
        (began, first), (ended, last) = self._told[0], self._told[-1]
        return (value(last) - value(first)) / max(ended - began, 1e-9)

    def videos(self, stage: str) -> float:
        """That leave a stage in a minute."""
        return 60 * self._per_second(lambda progress: progress.left.get(stage, 0))

    @property
    def music(self) -> float:
        """Seconds of music that are finished in a second."""
        return self._per_second(lambda progress: progress.music)

    def left(self, progress: Progress, total: int) -> float | None:
        """Seconds until the last row, at the recent rate; None while there is none."""
        rate = self.videos(STAGES[-1]) / 60
        return (total - progress.left.get(STAGES[-1], 0)) / rate if rate > 0 else None


def waiting(progress: Progress, total: int, stage: str) -> int:
    """Rows that have left the stage before, but not this one: in work or in line."""
    before = STAGES.index(stage) - 1
    return (progress.left.get(STAGES[before], 0) if before >= 0 else total) - progress.left.get(stage, 0)


def state_of(stage: str, progress: Progress, total: int, speed: Speed) -> str:
    """One line about a stage."""
    if progress.left.get(stage, 0) == total:
        return ""
    if stage not in progress.up:
        return "its workers start"
    return f"{speed.videos(stage):.1f} a minute, {waiting(progress, total, stage)} in line"


def whole(progress: Progress, total: int, speed: Speed) -> str:
    """One line about a run."""
    settled = progress.left.get(STAGES[-1], 0)
    flying = progress.left.get(STAGES[0], 0) - settled
    line = f"{settled - progress.failed} of {total} done, {progress.failed} failed, {max(flying, 0)} in flight"
    if speed.music:
        line += f", {speed.music:.1f} s of music a second"
    if settled < total and (left := speed.left(progress, total)) is not None:
        line += f", {timedelta(seconds=round(left))} left"
    if (busy := gpu_use()) is not None:
        line += f", GPU {busy}%"
    return line


def beginning(total: int, *, again: bool) -> str:
    """One line before a run, or before what failed by chance in it is tried again."""
    if again:
        return f"{total} failed for a reason that may pass: trying again"
    return f"{total} to score" + ("; starting Ray" if total else "")


def gpu_use() -> int | None:
    """Mean use of this machine's GPUs in percent; None where there is none, or none that tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.split()
        return round(sum(map(int, told)) / len(told))
    except (OSError, subprocess.SubprocessError, ValueError, ZeroDivisionError):
        return None


class Bars:
    """One progress bar for each stage, with its line and its rate, and a line about the whole."""

    def __init__(self, interval: float = 5.0) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._progress = Bar(*columns, console=Console(stderr=True))
        self._bars: dict[str, TaskID] = {}
        self._speed, self._interval, self._last = Speed(), interval, 0.0

    @contextmanager
    def shown(self) -> Iterator[Bars]:
        """Clean up at the end, however it ends."""
        try:
            yield self
        finally:
            self._progress.stop()

    def begin(self, total: int) -> None:
        self._progress.console.print(beginning(total, again=bool(self._bars)))
        self._speed = Speed()
        for bar in self._bars.values():
            self._progress.reset(bar, total=total)

    def __call__(self, progress: Progress, total: int) -> None:
        if not self._bars:  # not earlier: Ray's native part writes to the terminal while it starts
            self._progress.start()
            self._bars = {stage: self._progress.add_task(stage, total=total, note="") for stage in STAGES}
            self._bars["whole"] = self._progress.add_task("", total=total, note="")
        self._speed.add(progress)
        for stage in STAGES:
            note = state_of(stage, progress, total, self._speed)
            self._progress.update(self._bars[stage], completed=progress.left.get(stage, 0), note=note)
        finished = progress.left.get(STAGES[-1], 0)
        if finished == total or time.monotonic() - self._last >= self._interval:
            self._last = time.monotonic()
            self._progress.update(self._bars["whole"], completed=finished, note=whole(progress, total, self._speed))


class Lines:
    """A line a minute when something has changed, and one at the end."""

    def __init__(self, interval: float = 60.0) -> None:
        self._interval, self._last, self._told = interval, time.monotonic(), Progress()
        self._speed = Speed()

    @contextmanager
    def shown(self) -> Iterator[Lines]:
        yield self

    def begin(self, total: int) -> None:
        print(beginning(total, again=bool(self._told.left)), file=sys.stderr, flush=True)
        self._speed, self._told = Speed(), Progress()

    def __call__(self, progress: Progress, total: int) -> None:
        self._speed.add(progress)
        finished = progress.left.get(STAGES[-1], 0) == total
        if progress != self._told and (finished or time.monotonic() - self._last >= self._interval):
            self._last, self._told = time.monotonic(), progress
            stages = ", ".join(f"{stage} {progress.left.get(stage, 0)}" for stage in STAGES)
            print(f"{whole(progress, total, self._speed)} ({stages})", file=sys.stderr, flush=True)


def show_summary(summary: Summary, destination: str, elapsed: float) -> None:
    """Print how a run ended, and why each video failed."""
    console = Console(highlight=False)
    if summary.failures:
        table = Table("video", "stage", "why", title=f"{len(summary.failures)} failed", title_justify="left")
        for row in summary.failures[:SHOWN_FAILURES]:
            why = f"{row['error_type']}: {row['error_message']}"
            table.add_row(*(escape(printable(text)) for text in (row["uri"], row["stage"], why)))
        console.print(table)
        if len(summary.failures) > SHOWN_FAILURES:
            console.print(f"and {len(summary.failures) - SHOWN_FAILURES} more; the ledger lists them all")
    counts = Table("videos", "done", "done before", "failed", "music", "time")
    cells = (summary.total, summary.done, summary.skipped, len(summary.failures))
    counts.add_row(*map(str, cells), f"{summary.music:.0f} s", f"{elapsed:.0f} s")
    console.print(counts)
    if summary.seconds:
        total = sum(summary.seconds.values())
        stages = Table("stage", *summary.seconds, title="where the time went", title_justify="left")
        stages.add_row("seconds", *(f"{s:.1f}" for s in summary.seconds.values()))
        stages.add_row("share", *(f"{s / total:.0%}" for s in summary.seconds.values()))
        console.print(stages)
    console.print(f"results in {escape(printable(destination))}")


def printable(text: str) -> str:
    """A name from a stranger without what would move the cursor or break the line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
