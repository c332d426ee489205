"""The end of a run, for people and for machines: what was done, what failed and why, where the time went."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.table import Table

from jobs.console import as_markup, make_console

if TYPE_CHECKING:
    from pipeline.scoring.run import RunSummary
    from pipeline.scoring.settings import RunSettings
    from pipeline.storage.storage import Storage

MAX_FAILURES_SHOWN = 20
FAILURE_FIELDS = ("uri", "output", "stage", "error_type", "error_message")


def report_run(
    summary: RunSummary, settings: RunSettings, destination: Storage, elapsed: float, *, as_json: bool
) -> None:
    """Prints how a run ended, as JSON or as tables.

    Args:
        elapsed: seconds since the command began.
    """
    if as_json:
        failures = [{name: row[name] for name in FAILURE_FIELDS} for row in summary.failures]
        report = {"destination": destination.url, "settings": settings.to_dict()}
        print(json.dumps(report | counts_of(summary, elapsed) | {"failures": failures}))
    else:
        show_summary(summary, destination.url, elapsed)


def counts_of(summary: RunSummary, elapsed: float) -> dict[str, Any]:
    """The counts and times of a run, as its JSON report has them.

    Args:
        elapsed: seconds since the command began.
    """
    return {
        "total": summary.total,
        "done": summary.done,
        "skipped": summary.skipped,
        "failed": len(summary.failures),
        "seconds": round(elapsed, 3),
        "seconds_of_music": round(summary.music, 3),
        "seconds_of_stages": {stage: round(seconds, 3) for stage, seconds in summary.seconds.items()},
    }


def show_summary(summary: RunSummary, destination: str, elapsed: float) -> None:
    """Prints tables of how a run ended, and why each video failed.

    Args:
        elapsed: seconds since the command began.
    """
    console = make_console()
    if summary.failures:
        table = Table("video", "stage", "why", title=f"{len(summary.failures)} failed", title_justify="left")
        for row in summary.failures[:MAX_FAILURES_SHOWN]:
            why = f"{row['error_type']}: {row['error_message']}"
            table.add_row(*(as_markup(text) for text in (row["uri"], row["stage"], why)))
        console.print(table)
        if len(summary.failures) > MAX_FAILURES_SHOWN:
            console.print(f"and {len(summary.failures) - MAX_FAILURES_SHOWN} more; the ledger lists them all")
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
    console.print(f"results in {as_markup(destination)}")
