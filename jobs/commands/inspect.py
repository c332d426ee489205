"""What `status`, `failures` and `retry` do: a destination is understood from what lies in it alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.commands.submit import DASHBOARD, show_job

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.destination.status import Standing

Destination = Annotated[str, typer.Argument(help="The --out of a run: a folder or s3://bucket/prefix.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to standard output.")]


def status_command(
    destination: Annotated[
        str | None, typer.Argument(help="The --out of a run: a folder or s3://bucket/prefix.")
    ] = None,
    job: Annotated[str | None, typer.Option(help="A job of `submit`: tell how it stands, not its destination.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Tell what the job says, until its end.")] = False,
    address: Annotated[str, typer.Option(help="The dashboard of the job's cluster.")] = DASHBOARD,
    as_json: Json = False,
) -> None:
    """Tell how a destination stands: done, failed and waiting videos, rates, causes of failures."""
    from jobs.exits import ALL_DONE, SOME_FAILED, reported

    if job is not None:
        with reported():
            went_well = show_job(job, address, follow=follow)
        raise typer.Exit(ALL_DONE if went_well else SOME_FAILED)
    if destination is None:
        raise typer.BadParameter("name the --out of a run, or a --job")
    with reported():
        found = _standing(destination)
        if as_json:
            typer.echo(json.dumps(found.facts))
        else:
            _show(found, destination)
    raise typer.Exit(SOME_FAILED if found.failures else ALL_DONE)


def failures_command(destination: Destination, as_json: Json = False) -> None:
    """List the videos that failed, grouped by cause."""
    from jobs.exits import ALL_DONE, SOME_FAILED, reported

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
    from jobs.exits import reported

    with reported():
        from pipeline.destination.report import write_report
        from pipeline.storage.storage import Storage

        where = write_report(Storage.open(destination), out)
        typer.echo(json.dumps({"report": where}) if as_json else f"the report is {where}")


def cancel_command(destination: Destination, as_json: Json = False) -> None:
    """Ask the run that is at work in a destination, on whatever machine, to stop."""
    from jobs.exits import ALL_DONE, WRONG_USAGE, reported

    with reported():
        from pipeline.destination.run_lock import cancel
        from pipeline.storage.storage import Storage

        storage = Storage.open(destination)
        storage.check()
        asked = [f"process {claim.process.pid} on {claim.process.machine}" for claim in cancel(storage)]
        if as_json:
            typer.echo(json.dumps({"asked": asked}))
        elif asked:
            typer.echo(f"asked to stop: {', '.join(asked)}; videos in work leave nothing behind")
        else:
            typer.echo(f"no run is at work in {destination}", err=True)
    raise typer.Exit(ALL_DONE if asked else WRONG_USAGE)


def retry_command(
    destination: Destination,
    failed: Annotated[
        bool, typer.Option("--failed", help="Also files that failed for what they are, such as NotAVideo.")
    ] = False,
    address: Annotated[str | None, typer.Option(help="A Ray cluster; one is started here if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Go on with the latest run of a destination: what waits, and what failed and may go better now."""
    from jobs.exits import ALL_DONE, SOME_FAILED, reported

    with reported():
        from jobs.commands.score import retry_destination

        summary = retry_destination(destination, failed=failed, address=address, as_json=as_json)
    raise typer.Exit(SOME_FAILED if summary.failures else ALL_DONE)


def _standing(destination: str) -> Standing:
    from pipeline.destination.status import standing
    from pipeline.storage.storage import Storage

    storage = Storage.open(destination)
    storage.check()
    return standing(storage)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _show(found: Standing, destination: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    from jobs.progress import printable

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

    from jobs.progress import printable

    console = _console()
    for (stage, cause), count in found.causes.most_common():
        console.print(escape(printable(f"{cause} in {stage}: {count}")), style="bold")
        for row in found.failures:
            if (row["stage"] or "", row["error_type"] or "") == (stage, cause):
                line = f"  {row['uri']}: {row['error_message']} (attempt {row['attempt']})"
                console.print(escape(printable(line)), soft_wrap=True)
    if not found.failures:
        console.print("none failed")
