"""The end of a run, for people and for machines: what was done, what failed and why, where the time went."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from jobs.console import as_markup, is_quiet, make_console

if TYPE_CHECKING:
    from pipeline.scoring.run import RunSummary
    from pipeline.scoring.settings import RunSettings
    from pipeline.storage.storage import Storage

MAX_FAILURES_SHOWN = 20
MAX_KINDS_SHOWN, MAX_SUFFIX_SHOWN = 10, 16
"""Suffixes of files that are passed over: how many are named, and how many characters of each."""
SOUND_OF_RESULTS = {
    "drop": "the scored videos have new sound: it replaces the original sound, and the source files are left untouched",
    "keep": "the scored videos have music under their original sound; the source files are left untouched",
    "duck": "the scored videos have music under their original sound, softer while somebody speaks; the source files "
    "are left untouched",
}
"""What is said at the end of a run, by what becomes of the original sound."""
ADDED_TRACK = (
    "the scored videos keep their own sound and have a further track behind it; the source files are left untouched"
)
FAILURE_FIELDS = ("uri", "output", "stage", "error_type", "error_message")


def report_run(
    summary: RunSummary,
    settings: RunSettings,
    destination: Storage,
    elapsed: float,
    *,
    as_json: bool,
    passed_over: Mapping[str, int] = {},
) -> None:
    """Prints how a run ended, as JSON or as tables.

    Args:
        elapsed: seconds since the command began.
        passed_over: number of files in the sources that are no videos by their suffixes, for each suffix.
    """
    if as_json:
        failures = [{name: row[name] for name in FAILURE_FIELDS} for row in summary.failures]
        report = {"destination": destination.url, "settings": settings.to_dict(), "passed_over": dict(passed_over)}
        print(json.dumps(report | counts_of(summary, elapsed) | {"failures": failures}))
        return
    if passed_over and not is_quiet():
        make_console().print(passed_over_text(passed_over))
    if summary.done and not is_quiet():
        make_console().print(sound_of_results(settings))
        for line in kept_and_lost(summary):
            make_console().print(line)
    show_summary(summary, destination.url, elapsed)


def sound_of_results(settings: RunSettings) -> str:
    """A line about the sound of the scored videos."""
    return ADDED_TRACK if settings.outputs.music_track == "add" else SOUND_OF_RESULTS[settings.mixing.original]


def kept_and_lost(summary: RunSummary) -> list[str]:
    """Lines about streams that the scored videos do not take along, and about frames that could not be read."""
    lines = [left_behind_text(summary.left_behind)] if summary.left_behind else []
    if summary.damaged:
        lines.append(f"{summary.frames_lost} frames of {videos_text(summary.damaged)} could not be read")
    return lines


def left_behind_text(counts: Mapping[str, int]) -> str:
    """A line about the streams beside picture and sound that are left behind.

    Args:
        counts: number of videos with each kind of stream.
    """
    kinds = ", ".join(f"{kind} of {videos_text(number)}" for kind, number in sorted(counts.items()))
    return f"left behind: {kinds}"


def videos_text(number: int) -> str:
    """A number of videos in words."""
    return "1 video" if number == 1 else f"{number} videos"


def passed_over_text(counts: Mapping[str, int]) -> str:
    """A line about the files of the sources that are no videos by their suffixes, as rich's markup.

    Args:
        counts: number of these files for each suffix, with its dot; empty for names without one.
    """
    kinds = sorted(counts.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = [f"{n} {as_markup(suffix[:MAX_SUFFIX_SHOWN]) or 'without suffix'}" for suffix, n in kinds[:MAX_KINDS_SHOWN]]
    if others := sum(n for _, n in kinds[MAX_KINDS_SHOWN:]):
        shown.append(f"{others} with other suffixes")
    return f"passed over: {', '.join(shown)}"


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
        "left_behind": dict(summary.left_behind),
        "damaged": summary.damaged,
        "frames_lost": summary.frames_lost,
        "seconds_of_music": round(summary.music, 3),
        "seconds_of_stages": {stage: round(seconds, 3) for stage, seconds in summary.seconds.items()},
    }


def show_summary(summary: RunSummary, destination: str, elapsed: float) -> None:
    """Prints tables of how a run ended, and why each video failed; one line if the command is quiet.

    Args:
        elapsed: seconds since the command began.
    """
    console = make_console()
    if is_quiet():
        counts_line = f"{summary.done} done, {summary.skipped} done before, {len(summary.failures)} failed"
        console.print(f"{counts_line}; results in {as_markup(destination)}")
        return
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
