"""The commands `status`, `failures`, `report` and `cancel`: all about a destination, from what lies in it alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from jobs.console import as_markup, make_console
from jobs.exits import ALL_DONE, SOME_FAILED, WRONG_USAGE, exit_on_error
from jobs.options import Destination, Json
from jobs.ray_jobs import DASHBOARD, show_job

if TYPE_CHECKING:
    from pipeline.destination.status import RunStatus

FAILURE_FIELDS = ("uri", "output", "stage", "error_type", "error_message", "attempt")


def status_command(
    destination: Annotated[
        str | None, typer.Argument(help="The --out of a run: a folder or s3://bucket/prefix.")
    ] = None,
    job: Annotated[str | None, typer.Option(help="A job of `submit`: show its status, not its destination's.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show the job's log as it grows, until its end.")] = False,
    address: Annotated[str, typer.Option(help="The dashboard of the job's cluster.")] = DASHBOARD,
    as_json: Json = False,
) -> None:
    """Show the status of a destination: done, failed and waiting videos, rates, causes of failures."""
    if job is not None:
        with exit_on_error():
            went_well = show_job(job, address, follow=follow)
        raise typer.Exit(ALL_DONE if went_well else SOME_FAILED)
    if destination is None:
        raise typer.BadParameter("name the --out of a run, or a --job")
    with exit_on_error():
        status = status_of(destination)
        if as_json:
            typer.echo(json.dumps(status.to_dict()))
        else:
            show_status(status, destination)
    raise typer.Exit(SOME_FAILED if status.failures else ALL_DONE)


def failures_command(destination: Destination, as_json: Json = False) -> None:
    """List the videos that failed, grouped by cause."""
    with exit_on_error():
        status = status_of(destination)
        if as_json:
            typer.echo(json.dumps([{name: row[name] for name in FAILURE_FIELDS} for row in status.failures]))
        else:
            show_failures(status)
    raise typer.Exit(SOME_FAILED if status.failures else ALL_DONE)


def report_command(
    destination: Destination,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for the page; report.html in the destination if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a page about a destination: outcome, speed, failures, and every result to be seen and heard."""
    with exit_on_error():
        from pipeline.destination.report import write_report
        from pipeline.storage.storage import Storage

        page = write_report(Storage.open(destination), out)
        typer.echo(json.dumps({"report": page}) if as_json else f"the report is {page}")


def cancel_command(destination: Destination, as_json: Json = False) -> None:
    """Ask the run that is at work in a destination, on whatever machine, to stop."""
    with exit_on_error():
        from pipeline.destination.run_lock import cancel
        from pipeline.storage.storage import Storage

        storage = Storage.open(destination)
        storage.check()
        asked = [f"process {record.process.pid} on {record.process.machine}" for record in cancel(storage)]
        if as_json:
            typer.echo(json.dumps({"asked": asked}))
        elif asked:
            typer.echo(f"asked to stop: {', '.join(asked)}; unfinished videos leave no files")
        else:
            typer.echo(f"no run is at work in {destination}", err=True)
    raise typer.Exit(ALL_DONE if asked else WRONG_USAGE)


def status_of(destination: str) -> RunStatus:
    """The status of the runs of a destination.

    Raises:
        LedgerError: nothing was scored there, or its records cannot be read.
        StorageError: it cannot be reached.
    """
    from pipeline.destination.status import run_status
    from pipeline.storage.storage import Storage

    storage = Storage.open(destination)
    storage.check()
    return run_status(storage)


def show_status(status: RunStatus, destination: str) -> None:
    """Prints counts, causes of failures, rates, and the runs that are at work."""
    console = make_console()
    table = Table("videos", "done", "failed", "waiting", "attempts", "music")
    counts = status.total, status.done, len(status.failures), status.pending, status.attempts
    table.add_row(*map(str, counts), f"{status.music:.0f} s")
    console.print(table)
    if status.causes:
        causes = Table("failed", "stage", "cause")
        for (stage, cause), count in status.causes.most_common():
            causes.add_row(str(count), stage, as_markup(cause))
        console.print(causes)
    if status.last is not None:
        has_rate = status.pending and status.hours_left is not None
        left = f", {status.hours_left:.1f} h left at that rate" if has_rate else ""
        console.print(f"last settled {status.last:%Y-%m-%d %H:%M:%S} UTC, {status.rate:.0f} videos an hour then{left}")
    for record in status.at_work:
        console.print(as_markup(f"at work: process {record.process.pid} on {record.process.machine}"))
    if not status.at_work and status.pending:
        console.print(f"no run is at work: the same command goes on, into {as_markup(destination)}")


def show_failures(status: RunStatus) -> None:
    """Prints the videos that failed, grouped by cause, the most frequent cause first."""
    console = make_console()
    for (stage, cause), count in status.causes.most_common():
        console.print(as_markup(f"{cause} in {stage}: {count}"), style="bold")
        for row in status.failures:
            if (row["stage"] or "", row["error_type"] or "") == (stage, cause):
                line = f"  {row['uri']}: {row['error_message']} (attempt {row['attempt']})"
                console.print(as_markup(line), soft_wrap=True)
    if not status.failures:
        console.print("none failed")
