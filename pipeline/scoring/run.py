"""A run: every video of a manifest that its destination does not hold yet goes through the stages into the ledger."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cluster.session import cluster
from pipeline.destination.ledger import FAILED, Ledger
from pipeline.destination.run_lock import RunLock, locked
from pipeline.destination.run_records import RunRecords
from pipeline.scoring.delivery import Delivery, DeliverySettings
from pipeline.scoring.progress import ProgressListener
from pipeline.scoring.restore import RestoreMusicSettings, split_kept
from pipeline.scoring.resume import RemainingWork, remaining_work
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import score_stream
from pipeline.storage.storage import Storage, StorageError
from stages.contracts import MANIFEST, MIXED, Row, rows_of, table_of
from stages.error_kinds import is_retryable

log = logging.getLogger(__name__)

MAX_TRIES = 3
"""Times that one run tries a video that fails for a reason that may pass."""


@dataclass
class RunSummary:
    """The outcome of a run. `skipped`, `done` and `failures` add up to `total`.

    Attributes:
        total: number of videos in the manifest.
        skipped: number of videos that were done before.
        done: number of videos that this run scored.
        failures: ledger rows of the videos that failed, in this run or for good in an earlier one.
        seconds: seconds of work of each stage.
        music: seconds of music that this run made.
        left_behind: number of videos that this run scored without each kind of stream that their sources have.
        damaged: number of videos that this run scored and some of whose frames could not be read.
        frames_lost: number of these frames.
    """

    total: int
    skipped: int = 0
    done: int = 0
    failures: list[Row] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)
    music: float = 0.0
    left_behind: Counter[str] = field(default_factory=Counter)
    damaged: int = 0
    frames_lost: int = 0

    def add(self, row: Row) -> None:
        """Counts a ledger row."""
        if row["state"] == FAILED:
            self.failures.append(row)
        else:
            self.done += 1
            self.music += row["duration"]
            self.left_behind.update(row.get("left_behind") or ())
            self.damaged += bool(row.get("frames_lost"))
            self.frames_lost += row.get("frames_lost") or 0
        self.seconds.update(dict(row["seconds"] or {}))


def run(
    manifest: pa.Table,
    settings: RunSettings,
    destination: Storage,
    listener: ProgressListener,
    *,
    address: str | None = None,
    mix: bool = False,
    retry_permanent: bool = False,
) -> RunSummary:
    """Scores every video of a manifest that is not done yet.

    Args:
        manifest: table of `MANIFEST`.
        settings: settings that change the music.
        destination: storage that takes the outputs and the ledger.
        listener: receives the progress.
        address: a Ray cluster. If left out, one is started on this machine as soon as there is anything to do.
        mix: whether music of these settings may be put beside music of others.
        retry_permanent: whether videos are tried again whose error is permanent.

    Raises:
        FingerprintError: the destination holds music of another fingerprint, and `mix` does not allow it.
        RunLockError: another run is at work in the destination.
        Cancelled: somebody asked the run to stop.
        RunError: there is no such cluster, or its workers cannot go on.
        StorageError, LedgerError: the destination cannot be read or written.
    """
    with locked(destination) as lock:
        if swept := destination.sweep():
            log.info("%d temporary files of a run that was killed are removed", swept)
        ledger = Ledger(destination)
        manifest = MANIFEST.check(manifest)
        work = remaining_work(manifest, settings, ledger, mix=mix, retry_permanent=retry_permanent)
        RunRecords(destination).begin(manifest, settings.fingerprint, settings.record)
        summary = RunSummary(total=manifest.num_rows, skipped=work.done, failures=list(work.permanent))
        try:
            with cluster(address) if pc.any(pc.is_null(work.todo["error"])).as_py() else nullcontext():
                for row in _score_with_retries(work, settings, destination, listener, lock):
                    summary.add(row)
        finally:
            with suppress(StorageError):  # removes what was being written when the run stopped or a worker was killed
                destination.sweep()
    return summary


def _score_with_retries(
    work: RemainingWork, settings: RunSettings, destination: Storage, listener: ProgressListener, lock: RunLock
) -> Iterator[Row]:
    """Yields the last ledger row of each video. Errors that may pass are tried again when all other videos are done.

    Every try is an attempt of its own in the ledger.
    """
    unreadable = set(work.todo.filter(pc.is_valid(work.todo["error"]))["item_id"].to_pylist())
    for tries_left in reversed(range(MAX_TRIES)):
        again = set[str]()
        for row in _score_once(work, settings, destination, listener, lock):
            if tries_left and is_retryable(row["error_type"]) and row["item_id"] not in unreadable:
                again.add(row["item_id"])
            else:
                yield row
        if not again:
            return
        log.info("%d videos failed for a reason that may pass: again", len(again))
        todo = work.todo.filter(pc.is_in(work.todo["item_id"], pa.array(again)))
        work = replace(work, todo=todo, kept={}, attempts={item: work.attempts.get(item, 0) + 1 for item in again})


def _score_once(
    work: RemainingWork, settings: RunSettings, destination: Storage, listener: ProgressListener, lock: RunLock
) -> Iterator[Row]:
    """Yields the ledger rows of one try at each video, as they are written."""
    readable = pc.is_null(work.todo["error"])
    broken, todo = work.todo.filter(pc.invert(readable)), work.todo.filter(readable)
    listener.begin(todo.num_rows)
    if broken.num_rows:  # a file that cannot even be opened needs no worker
        record = Delivery(DeliverySettings(destination, settings, work.attempts, lock=lock.name))
        yield from record(table_of(rows_of(broken), MIXED)).to_pylist()
    if todo.num_rows:
        again, fresh = split_kept(todo, work.kept)
        streams = [(again, RestoreMusicSettings(destination, work.kept)), (fresh, None)]
        for rows, restore in streams:
            for table in score_stream(rows, settings, destination, listener, work.attempts, lock.name, restore):
                lock.check()
                yield from table.to_pylist()
