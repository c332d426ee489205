"""The command `score`: videos get soundtracks."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.commands.plan import plan_sources
from jobs.exits import ALL_DONE, SOME_FAILED, exit_on_error
from jobs.options import Json, SettingsError, expand_options
from jobs.run_display import show_run
from jobs.score_options import ScoreOptions
from jobs.summary import report_run

if TYPE_CHECKING:
    from pipeline.scoring.run import RunSummary


@expand_options
def score_command(
    options: ScoreOptions,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done, as `plan` does.")] = False,
    needs: Annotated[list[str] | None, typer.Option(help="Environment variable that must be set. Repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Score videos: each gets a soundtrack, a .wav and a .json beside it. Run it again to go on where it stopped."""
    with exit_on_error():
        check_environment(needs or [])
        if dry_run:
            failed = bool(plan_sources(options, as_json=as_json).unusable)
        else:
            failed = bool(score_sources(options, as_json=as_json).failures)
    raise typer.Exit(SOME_FAILED if failed else ALL_DONE)


def check_environment(names: Sequence[str]) -> None:
    """Checks that the environment has the variables that a run needs.

    Raises:
        SettingsError: a variable is not set.
    """
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise SettingsError(f"not set in the environment of {socket.gethostname()}: {', '.join(missing)}")


def score_sources(options: ScoreOptions, *, as_json: bool = False) -> RunSummary:
    """Scores the videos that the options name; shows the progress, and a summary at the end.

    Raises:
        UserError: an error of `discover`, `ScoreOptions.settings` or `run`.
    """
    from pipeline.cluster.session import check_address
    from pipeline.discovery import discover
    from pipeline.scoring.run import run
    from pipeline.scoring.steps import STAGES
    from pipeline.storage.storage import Storage

    started = time.monotonic()
    if options.address:
        check_address(options.address)
    destination = Storage.open(options.out)
    settings = options.settings()
    manifest = discover(options.sources, destination, options.limit)
    destination.check(write=True)
    with show_run(STAGES) as listener:
        summary = run(manifest, settings, destination, listener, address=options.address, mix=options.force)
    report_run(summary, settings, destination, time.monotonic() - started, as_json=as_json)
    return summary
