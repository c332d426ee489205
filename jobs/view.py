"""What a person sees of a run: a bar for each stage, or a line now and then where there is no terminal; a summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.execution import STAGES
from pipeline.run import Summary

SHOWN_FAILURES = 20


class Bars:
    """One progress bar for each stage."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._bars: dict[str, TaskID] = {}

    @contextmanager
    def shown(self) -> Iterator[Bars]:
        """Clean up at the end, however it ends."""
        try:
            yield self
        finally:
            self._progress.stop()

    def begin(self, total: int) -> None:
        self._progress.console.print(f"{total} to score" + ("; starting Ray" if total else ""))

    def __call__(self, counts: Mapping[str, int], total: int) -> None:
        if not self._bars:  # not earlier: Ray's native part writes to the terminal while it starts
            self._progress.start()
            self._bars = {stage: self._progress.add_task(stage, total=total) for stage in STAGES}
        for stage, bar in self._bars.items():
            self._progress.update(bar, completed=counts.get(stage, 0))


class Lines:
    """One line when counts have changed, at most every few seconds."""

    def __init__(self, interval: float = 10.0) -> None:
        self._interval, self._last, self._told = interval, time.monotonic(), ""

    @contextmanager
    def shown(self) -> Iterator[Lines]:
        yield self

    def begin(self, total: int) -> None:
        print(f"{total} to score" + ("; starting Ray" if total else ""), file=sys.stderr, flush=True)

    def __call__(self, counts: Mapping[str, int], total: int) -> None:
        line = ", ".join(f"{stage} {counts.get(stage, 0)}" for stage in STAGES)
        finished = counts.get(STAGES[-1], 0) == total
        if line != self._told and (finished or time.monotonic() - self._last >= self._interval):
            self._last, self._told = time.monotonic(), line
            print(f"of {total}: {line}", file=sys.stderr, flush=True)


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
