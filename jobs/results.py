"""What `status`, `failures` and `retry` do: a destination is understood from what lies in it alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.standing import Standing

Destination = Annotated[str, typer.Argument(help="The --out of a run: a folder or s3://bucket/prefix.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to standard output.")]


def status_command(destination: Destination, as_json: Json = False) -> None:
    """Tell how a destination stands: done, failed and waiting videos, rates, causes of failures."""
    from jobs.cli import ALL_DONE, SOME_FAILED, reported

    with reported():
        found = _standing(destination)
        if as_json:
            typer.echo(json.dumps(found.facts))
        else:
            _show(found, destination)
    raise typer.Exit(SOME_FAILED if found.failures else ALL_DONE)


def failures_command(destination: Destination, as_json: Json = False) -> None:
    """List the videos that failed, grouped by cause."""
    from jobs.cli import ALL_DONE, SOME_FAILED, reported

    with reported():
        found = _standing(destination)
        if as_json:
            names = ("uri", "output", "stage", "error_type", "error_message", "attempt")
            typer.echo(json.dumps([{name: row[name] for name in names} for row in found.failures]))
        else:
            _list(found)
    raise typer.Exit(SOME_FAILED if found.failures else ALL_DONE)


def report_command(
    destination: Destination,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for the page; report.html in the destination if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a page about a destination: outcome, speed, failures, and every result to be seen and heard."""
    from jobs.cli import reported

    with reported():
        from pipeline.report import write_report
        from pipeline.storage import Storage

        where = write_report(Storage.open(destination), out)
        typer.echo(json.dumps({"report": where}) if as_json else f"the report is {where}")


def retry_command(
    destination: Destination,
    failed: Annotated[
        bool, typer.Option("--failed", help="Also files that failed for what they are, such as NotAVideo.")
    ] = False,
    address: Annotated[str | None, typer.Option(help="A Ray cluster; one is started here if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Go on with the latest run of a destination: what waits, and what failed and may go better now."""
    from jobs.cli import ALL_DONE, SOME_FAILED, reported

    with reported():
        from jobs.scoring import retry_destination

        summary = retry_destination(destination, failed=failed, address=address, as_json=as_json)
    raise typer.Exit(SOME_FAILED if summary.failures else ALL_DONE)


def _standing(destination: str) -> Standing:
    from pipeline.standing import standing
    from pipeline.storage import Storage

    storage = Storage.open(destination)
    storage.check()
    return standing(storage)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _show(found: Standing, destination: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    from jobs.view import printable

    console = _console()
    table = Table("videos", "done", "failed", "waiting", "attempts", "music")
    counts = found.total, found.done, len(found.failures), found.waiting, found.attempts
    table.add_row(*map(str, counts), f"{found.music:.0f} s")
    console.print(table)
    if found.causes:
        causes = Table("failed", "stage", "cause")
        for (stage, cause), count in found.causes.most_common():
            causes.add_row(str(count), stage, escape(printable(cause)))
        console.print(causes)
    if found.last is not None:
        left = "" if not found.waiting or found.hours_left is None else f", {found.hours_left:.1f} h left at that rate"
        console.print(f"last settled {found.last:%Y-%m-%d %H:%M:%S} UTC, {found.rate:.0f} videos an hour then{left}")
    for claim in found.at_work:
        console.print(escape(printable(f"at work: process {claim.process.pid} on {claim.process.machine}")))
    if not found.at_work and found.waiting:
        console.print(f"no run is at work: the same command goes on, into {escape(printable(destination))}")


def _list(found: Standing) -> None:
    from rich.markup import escape

    from jobs.view import printable

    console = _console()
    for (stage, cause), count in found.causes.most_common():
        console.print(escape(printable(f"{cause} in {stage}: {count}")), style="bold")
        for row in found.failures:
            if (row["stage"] or "", row["error_type"] or "") == (stage, cause):
                line = f"  {row['uri']}: {row['error_message']} (attempt {row['attempt']})"
                console.print(escape(printable(line)), soft_wrap=True)
    if not found.failures:
        console.print("none failed")
