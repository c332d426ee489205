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
from jobs.options import Json, SettingsError, Verbosity, expand_options
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
    verbosity: Verbosity = Verbosity(),
    as_json: Json = False,
) -> None:
    """Give videos new sound: music that fits the picture, in a new file below --out, with a .wav and a .json beside it.

    The music replaces the original sound unless --original says otherwise. The picture is copied as it is, and the
    source file is left untouched. Run the same command again to go on where it stopped.
    """
    with exit_on_error(verbosity=verbosity):
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
    from pipeline.discovery import find_videos
    from pipeline.scoring.run import run
    from pipeline.scoring.steps import STAGES
    from pipeline.storage.storage import Storage

    started = time.monotonic()
    if options.address:
        check_address(options.address)
    destination = Storage.open(options.out)
    settings = options.settings()
    found = find_videos(options.sources, destination, options.limit)
    destination.check(write=True)
    with show_run(STAGES) as listener:
        summary = run(found.manifest, settings, destination, listener, address=options.address, mix=options.force)
    elapsed = time.monotonic() - started
    report_run(summary, settings, destination, elapsed, as_json=as_json, passed_over=found.passed_over)
    return summary
