"""What whole runs cost here: clips an hour, how busy the sampler is, time of each stage, memory, growth."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.cluster.session import cluster, layout_of_cluster
from pipeline.destination.ledger import Ledger
from pipeline.discovery import discover
from pipeline.scoring.run import Summary, run
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import STAGES
from pipeline.scoring.workers import Progress
from pipeline.storage.storage import Storage


@dataclass(frozen=True)
class Figures:
    """One run.

    Attributes:
        seconds: from the call to the last row; `start` of them passed before every stage had a worker.
        busy: share of the time after the first clip reached the sampler, up to its last one, that its workers worked.
        stages: seconds of work, all clips together.
        memory: MiB of this process and all its children at the most, what they share counted once for each.
    """

    clips: int
    seconds: float
    start: float
    music: float
    busy: float
    stages: Mapping[str, float]
    memory: float

    @property
    def per_hour(self) -> float:
        """Clips an hour, the start apart."""
        return 3600 * self.clips / (self.seconds - self.start)


class Clock:
    """A watcher that knows when every stage had a worker, and between which times a stage's rows left it.

    Attributes:
        up: seconds from the beginning until every stage had one.
        first: when the first rows left each stage, and how many they were; `last`: when the last did.
    """

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.up: float | None = None
        self.first: dict[str, tuple[float, int]] = {}
        self.last: dict[str, float] = {}
        self._left: dict[str, int] = {}

    def begin(self, total: int) -> None:
        """Nothing is told yet."""

    def __call__(self, progress: Progress, total: int) -> None:
        now = time.monotonic() - self.began
        if self.up is None and len(progress.up) == len(STAGES):
            self.up = now
        for stage, count in progress.left.items():
            self.first.setdefault(stage, (now, count))
            if count != self._left.get(stage):
                self._left[stage], self.last[stage] = count, now


def bench_runs(
    videos: Sequence[Path], counts: Sequence[int], settings: RunSettings, scratch: Path
) -> Iterator[Figures]:
    """Figures of a run of each of some numbers of videos, one after another in one cluster.

    Raises:
        RunError, StorageError: a run cannot go on.
        ValueError: there are fewer videos than are asked for, or one cannot be scored.
    """
    if max(counts) > len(videos):
        raise ValueError(f"expected {max(counts)} videos or more, got {len(videos)}")
    with cluster():
        workers = layout_of_cluster(large_model=settings.model.preset is None)["sample"].workers
        for count in counts:
            destination = Storage.open(scratch / str(count))
            manifest = discover([str(video) for video in videos[:count]], destination)
            clock = Clock()
            with _memory_watched() as most:
                summary = run(manifest, settings, destination, clock)
            yield _figures(summary, clock, Ledger(destination), workers, most[0])


def _figures(summary: Summary, clock: Clock, ledger: Ledger, workers: int, memory: float) -> Figures:
    if summary.failures:
        row = summary.failures[0]
        raise ValueError(f"{row['uri']} cannot be scored: {row['error_message']}")
    sampled = [dict(row)["sample"] for row in ledger.table()["seconds"].to_pylist()]
    # The sampler's time begins with its first clips, which were done when they left, and took their own seconds before.
    left, count = clock.first["sample"]
    span = clock.last["sample"] - left + sum(sampled[:count]) / min(workers, count)
    return Figures(
        clips=summary.done,
        seconds=time.monotonic() - clock.began,
        start=clock.up or 0.0,
        music=summary.music,
        busy=min(1.0, sum(sampled) / (span * min(workers, summary.done))),  # the clock ticks twice a second
        stages={name: round(seconds, 3) for name, seconds in summary.seconds.items()},
        memory=memory,
    )


@contextmanager
def _memory_watched(interval: float = 1.0) -> Iterator[list[float]]:
    """Gives a list whose one entry is the most MiB that were seen."""
    most, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(interval):
            most[0] = max(most[0], _mebibytes())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()
        most[0] = max(most[0], _mebibytes())


def _mebibytes() -> float:
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total / 2**20


def facts_of(found: Sequence[Figures]) -> list[dict[str, Any]]:
    """For machines."""
    return [asdict(figures) | {"clips_per_hour": round(figures.per_hour, 1)} for figures in found]
