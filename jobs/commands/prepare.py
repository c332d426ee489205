"""What `prepare` does: make a dataset for training, and show a person how it goes."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipeline.datasets.builder import PrepareSettings, Summary
    from pipeline.scoring.workers import Progress
    from pipeline.storage.storage import Storage


@dataclass(frozen=True)
class PrepareOrder:
    """What a person asked for, option by option."""

    sources: list[str]
    out: str
    clip: Path | None = None
    codec: str | None = None
    released: bool = False
    limit: int | None = None
    address: str | None = None

    def settings(self) -> PrepareSettings:
        """The settings of the dataset; whether their files can be used is seen when they are read."""
        from models.weights.source import ModelSource
        from pipeline.datasets.builder import PrepareSettings

        codec = ModelSource(self.codec) if self.codec is not None else None
        return PrepareSettings(clip=str(self.clip) if self.clip is not None else "tiny", codec=codec)


class Lines:
    """A line when counts have changed, at most every few seconds."""

    def __init__(self, interval: float = 10.0) -> None:
        self._interval, self._last, self._told = interval, time.monotonic(), ""

    def begin(self, total: int) -> None:
        print(f"{total} to prepare", file=sys.stderr, flush=True)

    def __call__(self, progress: Progress, total: int) -> None:
        counts = progress.left
        line = ", ".join(f"{stage} {count}" for stage, count in counts.items())
        finished = min(counts.values(), default=0) == total
        if line != self._told and (finished or time.monotonic() - self._last >= self._interval):
            self._last, self._told = time.monotonic(), line
            print(f"of {total}: {line}", file=sys.stderr, flush=True)


def prepare_sources(order: PrepareOrder, *, as_json: bool = False) -> Summary:
    """Make the dataset that the order names, or go on with it; show progress and a summary.

    Raises:
        The errors of `pipeline.datasets.builder.prepare`, each one line.
    """
    from jobs.progress import show_summary
    from pipeline.cluster.session import check_address
    from pipeline.datasets.builder import prepare
    from pipeline.datasets.import_released import prepare_released
    from pipeline.storage.storage import Storage

    started = time.monotonic()
    if order.address:
        check_address(order.address)
    out = Storage.open(order.out)
    out.check(write=True)
    watcher, settings = Lines(), order.settings()
    if order.released:
        summary = prepare_released(order.sources, out, settings, watcher, limit=order.limit)
    else:
        summary = prepare(order.sources, out, settings, watcher, limit=order.limit, address=order.address)
    elapsed = time.monotonic() - started
    if as_json:
        print(json.dumps(_report(summary, out, elapsed)))
    else:
        show_summary(summary, out.url, elapsed)
    return summary


def _report(summary: Summary, out: Storage, elapsed: float) -> dict[str, Any]:
    return {
        "dataset": out.url,
        "total": summary.total,
        "done": summary.done,
        "skipped": summary.skipped,
        "failed": len(summary.failures),
        "failures": summary.failures,
        "segments": summary.segments,
        "seconds": round(elapsed, 3),
        "seconds_of_music": round(summary.music, 3),
        "seconds_of_stages": {stage: round(seconds, 3) for stage, seconds in summary.seconds.items()},
    }


def prepare_command(
    sources: Annotated[
        list[str], typer.Argument(help="Videos with music: files, folders (searched all the way down) or prefixes.")
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder or s3://bucket/prefix that takes the dataset.")],
    clip: Annotated[Path | None, typer.Option(help="CLIP weights of open_clip; our small ones if left out.")] = None,
    codec: Annotated[
        str | None, typer.Option(help="A preset or checkpoint whose autoencoder makes latents; none if left out.")
    ] = None,
    released: Annotated[
        bool, typer.Option("--released", help="The sources are folders of features as Diff-V2M's authors use them.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first so many videos.")] = None,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster; one is started on this machine if left out.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, to standard output.")
    ] = False,
) -> None:
    """Make a dataset for training from videos with music. Run it again to go on where it stopped."""
    from jobs.exits import ALL_DONE, SOME_FAILED, reported

    with reported():
        order = PrepareOrder(sources, out, clip, codec, released, limit, address)
        failed = bool(prepare_sources(order, as_json=as_json).failures)
    raise typer.Exit(SOME_FAILED if failed else ALL_DONE)
