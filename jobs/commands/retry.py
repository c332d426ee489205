"""The command `retry`: the latest run of a destination goes on as it was recorded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.exits import ALL_DONE, SOME_FAILED, exit_on_error
from jobs.options import Address, Destination, Json, SettingsError, Verbosity, expand_options
from jobs.run_display import show_run
from jobs.summary import report_run

if TYPE_CHECKING:
    from pipeline.destination.run_records import RunRecord
    from pipeline.scoring.run import RunSummary
    from pipeline.scoring.settings import RunSettings


@expand_options
def retry_command(
    destination: Destination,
    failed: Annotated[
        bool, typer.Option("--failed", help="Also try permanent errors again, such as NotAVideo.")
    ] = False,
    address: Address = None,
    verbosity: Verbosity = Verbosity(),
    as_json: Json = False,
) -> None:
    """Continue the latest run of a destination: pending videos, and failures that may succeed now."""
    with exit_on_error(verbosity=verbosity):
        summary = retry_destination(destination, retry_permanent=failed, address=address, as_json=as_json)
    raise typer.Exit(SOME_FAILED if summary.failures else ALL_DONE)


def retry_destination(
    out: str, *, retry_permanent: bool = False, address: str | None = None, as_json: bool = False
) -> RunSummary:
    """Continues the latest run of a destination: pending videos, and those whose errors are not permanent.

    Args:
        retry_permanent: whether videos with permanent errors are tried again, too.

    Raises:
        SettingsError: there is no run, or its weights are not what they were.
        UserError: an error of `RunRecords` or `run`.
    """
    from pipeline.cluster.session import check_address
    from pipeline.destination.run_records import RunRecords
    from pipeline.discovery import reread
    from pipeline.scoring.run import run
    from pipeline.scoring.steps import STAGES
    from pipeline.storage.storage import Storage

    started = time.monotonic()
    if address:
        check_address(address)
    destination = Storage.open(out)
    destination.check()
    records = RunRecords(destination)
    record = records.latest()
    if record is None:
        raise SettingsError(f"{destination.url} holds no run of diff-v2m: name the --out of a run")
    settings = recorded_settings(record)
    with show_run(STAGES) as listener:
        manifest = reread(records.manifest(record))
        # If music of other settings stands there, then the run that goes on was allowed to stand beside it.
        summary = run(
            manifest, settings, destination, listener, address=address, mix=True, retry_permanent=retry_permanent
        )
    report_run(summary, settings, destination, time.monotonic() - started, as_json=as_json)
    return summary


def recorded_settings(record: RunRecord) -> RunSettings:
    """The settings of a recorded run.

    Raises:
        SettingsError: they cannot be read, or make other music now.
    """
    from pipeline.scoring.settings import RunSettings

    try:
        settings = RunSettings.of_record(record.settings)
    except (TypeError, KeyError, AttributeError):
        raise SettingsError(f"the run of {record.started} was recorded by another version: use `score`") from None
    if settings.fingerprint != record.fingerprint:
        raise SettingsError(
            f"{settings.model.name} makes other music than in the run of {record.started} (fingerprint "
            f"{settings.fingerprint}, not {record.fingerprint}): bring back its weights, or `score` to another --out"
        )
    return settings
