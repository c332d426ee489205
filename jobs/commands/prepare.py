"""The command `prepare`: videos with music become a dataset for training."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.exits import ALL_DONE, SOME_FAILED, exit_on_error
from jobs.options import CLIP_FLAGS, Address, Json, Limit, Verbosity, expand_options
from jobs.run_display import show_run
from jobs.summary import counts_of, show_summary

if TYPE_CHECKING:
    from pipeline.datasets.builder import DatasetSummary, PrepareSettings

LINES_INTERVAL_S = 10.0
"""Seconds between two lines about a run."""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Options of `prepare`."""

    sources: Annotated[
        list[str], typer.Argument(help="Videos with music: files, folders (searched all the way down) or prefixes.")
    ]
    out: Annotated[str, typer.Option("--out", "-o", help="Folder or s3://bucket/prefix that takes the dataset.")]
    clip_weights: Annotated[
        Path | None, typer.Option(*CLIP_FLAGS, help="CLIP weights of open_clip; our small ones if left out.")
    ] = None
    codec: Annotated[
        str | None, typer.Option(help="A preset or checkpoint whose autoencoder makes latents; none if left out.")
    ] = None
    released: Annotated[
        bool, typer.Option("--released", help="The sources are folders of features as Diff-V2M's authors use them.")
    ] = False
    limit: Limit = None
    address: Address = None

    def settings(self) -> PrepareSettings:
        """The settings of the dataset. Whether their files can be used shows when they are read."""
        from models.weights.source import ModelSource
        from pipeline.datasets.builder import PrepareSettings

        codec = ModelSource(self.codec) if self.codec is not None else None
        return PrepareSettings(clip_weights=str(self.clip_weights or "tiny"), codec=codec)


@expand_options
def prepare_command(options: PrepareOptions, verbosity: Verbosity = Verbosity(), as_json: Json = False) -> None:
    """Make a dataset for training from videos with music. Run it again to go on where it stopped."""
    with exit_on_error(verbosity=verbosity):
        failed = bool(prepare_sources(options, as_json=as_json).failures)
    raise typer.Exit(SOME_FAILED if failed else ALL_DONE)


def prepare_sources(options: PrepareOptions, *, as_json: bool = False) -> DatasetSummary:
    """Makes the dataset that the options name, or goes on with it; shows progress, and a summary at the end.

    Raises:
        UserError: an error of `pipeline.datasets.builder.prepare` or `prepare_released`.
    """
    from pipeline.cluster.session import check_address
    from pipeline.datasets.builder import STAGES, prepare
    from pipeline.datasets.import_released import prepare_released
    from pipeline.storage.storage import Storage

    started = time.monotonic()
    if options.address:
        check_address(options.address)
    out = Storage.open(options.out)
    out.check(write=True)
    settings = options.settings()
    stages = STAGES[-1:] if options.released else STAGES
    with show_run(stages, "prepare", LINES_INTERVAL_S, starts_ray=not options.released) as listener:
        if options.released:
            summary = prepare_released(options.sources, out, settings, listener, limit=options.limit)
        else:
            summary = prepare(options.sources, out, settings, listener, limit=options.limit, address=options.address)
    elapsed = time.monotonic() - started
    if as_json:
        report = {"dataset": out.url, "failures": summary.failures, "segments": summary.segments}
        print(json.dumps(report | counts_of(summary, elapsed)))
    else:
        show_summary(summary, out.url, elapsed)
    return summary
