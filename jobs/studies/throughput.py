"""Throughput of whole runs: clips an hour, how busy the sampler is, the time of each stage, memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.cluster.session import cluster, machine_of_cluster
from pipeline.destination.ledger import Ledger
from pipeline.discovery import discover
from pipeline.scoring.progress import RunProgress
from pipeline.scoring.run import RunSummary, run
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import STAGES, scoring_layout
from pipeline.storage.storage import Storage


@dataclass(frozen=True)
class Throughput:
    """The measured values of one run.

    Attributes:
        clips: number of clips that were scored.
        seconds: time from the call to the last row; `start` of them passed before every stage had a worker.
        music: seconds of music that were made.
        busy: share of the time from the first clip that reached the sampler to its last one in which its workers
            worked.
        stages: seconds of work of each stage, all clips together.
        memory: greatest memory of this process and all its children in MiB; what they share counts once for each.
    """

    clips: int
    seconds: float
    start: float
    music: float
    busy: float
    stages: Mapping[str, float]
    memory: float

    @property
    def clips_per_hour(self) -> float:
        """Clips an hour, without the time of the start."""
        return 3600 * self.clips / (self.seconds - self.start)

    def to_dict(self) -> dict[str, Any]:
        """The entry of the run in a report."""
        return asdict(self) | {"clips_per_hour": round(self.clips_per_hour, 1)}


class StageClock:
    """A listener of a run that notes when every stage had a worker, and when rows left each stage.

    See `pipeline.scoring.progress.ProgressListener`.

    Attributes:
        started: time at which the clock was made, in seconds of a clock that never goes back.
        ready: seconds from then until every stage had a worker; None before that.
        first: stage -> seconds until its first rows left it, and how many rows these were.
        last: stage -> seconds until its last rows left it.
    """

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.ready: float | None = None
        self.first: dict[str, tuple[float, int]] = {}
        self.last: dict[str, float] = {}
        self._completed: dict[str, int] = {}

    def begin(self, total: int) -> None:
        """Does nothing: the clock runs since it was made."""

    def __call__(self, progress: RunProgress, total: int) -> None:
        """Notes what has changed."""
        now = time.monotonic() - self.started
        if self.ready is None and len(progress.ready) == len(STAGES):
            self.ready = now
        for stage, count in progress.completed.items():
            self.first.setdefault(stage, (now, count))
            if count != self._completed.get(stage):
                self._completed[stage], self.last[stage] = count, now


def measure_throughput(
    videos: Sequence[Path], counts: Sequence[int], settings: RunSettings, scratch: Path
) -> Iterator[Throughput]:
    """Runs with some numbers of videos, one after another in one cluster, each measured.

    Args:
        videos: the videos that the runs take the first of.
        counts: the number of videos of each run.
        scratch: folder that takes the results.

    Raises:
        RunError, StorageError: a run cannot go on.
        ValueError: there are fewer videos than a run is to have, or one cannot be scored.
    """
    if max(counts) > len(videos):
        raise ValueError(f"expected {max(counts)} videos or more, got {len(videos)}")
    with cluster():
        workers = scoring_layout(machine_of_cluster(), settings.model)["sample"].workers
        for count in counts:
            destination = Storage.open(scratch / str(count))
            manifest = discover([str(video) for video in videos[:count]], destination)
            clock = StageClock()
            with _peak_memory() as peak:
                summary = run(manifest, settings, destination, clock)
            yield _throughput(summary, clock, Ledger(destination), workers, peak[0])


def _throughput(summary: RunSummary, clock: StageClock, ledger: Ledger, workers: int, memory: float) -> Throughput:
    if summary.failures:
        row = summary.failures[0]
        raise ValueError(f"{row['uri']} cannot be scored: {row['error_message']}")
    sampled = [dict(row)["sample"] for row in ledger.table()["seconds"].to_pylist()]
    # The clock sees the sampler's first clips when they leave it. Their own seconds are added, for they passed before.
    first, count = clock.first["sample"]
    span = clock.last["sample"] - first + sum(sampled[:count]) / min(workers, count)
    return Throughput(
        clips=summary.done,
        seconds=time.monotonic() - clock.started,
        start=clock.ready or 0.0,
        music=summary.music,
        busy=min(1.0, sum(sampled) / (span * min(workers, summary.done))),  # the clock ticks twice a second
        stages={name: round(seconds, 3) for name, seconds in summary.seconds.items()},
        memory=memory,
    )


@contextmanager
def _peak_memory(interval: float = 1.0) -> Iterator[list[float]]:
    """Watches memory; yields a list whose one entry is the greatest memory so far in MiB."""
    peak, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(interval):
            peak[0] = max(peak[0], _mebibytes())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        peak[0] = max(peak[0], _mebibytes())


def _mebibytes() -> float:
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total / 2**20
