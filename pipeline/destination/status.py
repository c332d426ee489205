"""Status of a destination, read from the files in it alone: no cluster and no running process is asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.destination.ledger import DONE, FAILED, Ledger, LedgerError
from pipeline.destination.run_lock import LockRecord, lock_records
from pipeline.destination.run_records import RunRecord, RunRecords
from pipeline.storage.storage import Storage
from stages.contracts import Row

RECENT = timedelta(minutes=10)
"""Time before the last row of the ledger that the rate is measured over."""


@dataclass(frozen=True)
class RunStatus:
    """The status of a destination: the videos that its runs were asked to score, and what became of them.

    `done`, the number of `failures` and `pending` add up to `total`.

    Attributes:
        run: record of the latest run. Earlier runs with its fingerprint are counted, too.
        total: number of videos in the manifests of all these runs.
        done: number of videos that are scored.
        failures: last ledger rows of the videos that failed, sorted by output.
        pending: number of videos that are neither done nor failed yet.
        rows: ledger rows of every attempt at these videos.
        music: seconds of music that are done.
        seconds: seconds of work of each stage, in all attempts together.
        last: time of the last row of the ledger; None if there is none.
        rate: videos per hour in the last minutes before that; 0 if there is no row.
        at_work: lock records of the runs that are at work in the destination.
    """

    run: RunRecord
    total: int
    done: int
    failures: list[Row]
    pending: int
    rows: pa.Table
    music: float
    seconds: Counter[str] = field(default_factory=Counter)
    last: datetime | None = None
    rate: float = 0.0
    at_work: tuple[LockRecord, ...] = ()

    @property
    def attempts(self) -> int:
        """Number of attempts at all videos together."""
        return self.rows.num_rows

    @property
    def hours_left(self) -> float | None:
        """Hours until the last video is done at the recent rate; None if that is 0."""
        return self.pending / self.rate if self.rate else None

    @property
    def causes(self) -> Counter[tuple[str, str]]:
        """Number of failed videos for each stage and error type."""
        return Counter((row["stage"] or "", row["error_type"] or "") for row in self.failures)

    def to_dict(self) -> dict[str, Any]:
        """Returns the status as `status --json` prints it."""
        return {
            "run": self.run.name,
            "started": self.run.started,
            "fingerprint": self.run.fingerprint,
            "total": self.total,
            "done": self.done,
            "failed": len(self.failures),
            "waiting": self.pending,
            "attempts": self.attempts,
            "seconds_of_music": round(self.music, 3),
            "seconds_of_stages": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "last": self.last and self.last.isoformat(timespec="seconds"),
            "videos_per_hour": round(self.rate, 1),
            "hours_left": None if self.hours_left is None else round(self.hours_left, 3),
            "at_work": [f"process {r.process.pid} on {r.process.machine}" for r in self.at_work],
            "causes": [{"stage": s, "error_type": e, "count": n} for (s, e), n in self.causes.most_common()],
        }


def run_status(destination: Storage) -> RunStatus:
    """Returns the status of a destination's latest run, and of those before it with the same fingerprint.

    Raises:
        LedgerError: no run ever began there, or its records cannot be read.
        StorageError: the destination cannot be reached.
    """
    records = RunRecords(destination)
    runs = records.all()
    if not runs:
        raise LedgerError(f"{destination.url} holds no run of diff-v2m: name the --out of a run")
    run = runs[-1]
    manifests = [records.manifest(each) for each in runs if each.fingerprint == run.fingerprint]
    ledger = Ledger(destination)
    rows = ledger.table()
    rows = rows.filter(pc.equal(rows["fingerprint"], run.fingerprint))
    wanted = pa.array(_wanted_items(manifests, rows), pa.string())
    rows = rows.filter(pc.is_in(rows["item_id"], wanted))
    latest = ledger.latest(rows)
    done = latest.filter(pc.equal(latest["state"], DONE))
    failed = latest.filter(pc.equal(latest["state"], FAILED)).sort_by("output")
    return RunStatus(
        run=run,
        total=len(wanted),
        done=done.num_rows,
        failures=failed.to_pylist(),
        pending=len(wanted) - latest.num_rows,
        rows=rows,
        music=float(pc.sum(done["duration"]).as_py() or 0.0),
        seconds=_seconds_of_stages(rows),
        last=pc.max(rows["finished"]).as_py(),
        rate=_videos_per_hour(rows),
        at_work=tuple(lock_records(destination).values()),
    )


def _wanted_items(manifests: Sequence[pa.Table], rows: pa.Table) -> list[str]:
    """Returns the items that runs were asked for, without those in whose place a later run put others.

    A source file that was replaced is another item with the same output. A video that was not scored yet may have got
    other names in the same folder, because of a file that was added.

    Args:
        manifests: the runs' manifests, oldest first.
        rows: the ledger's rows of these runs.
    """
    done = set(rows.filter(pc.equal(rows["state"], DONE))["item_id"].to_pylist())
    items, places = dict[str, tuple[str, tuple[str, str]]](), dict[tuple[str, str], set[str]]()
    for manifest in manifests:
        outputs = defaultdict[tuple[str, str], set[str]](set)
        for row in manifest.select(["uri", "output", "item_id"]).to_pylist():
            place = (row["uri"], row["output"].rpartition("/")[0])
            items[row["output"]] = row["item_id"], place
            outputs[place].add(row["output"])
        places |= outputs
    return [item for output, (item, place) in items.items() if item in done or output in places[place]]


def _seconds_of_stages(rows: pa.Table) -> Counter[str]:
    """Returns the seconds of work of each stage, summed over all attempts."""
    total: Counter[str] = Counter()
    for seconds in rows["seconds"].to_pylist():
        total.update(dict(seconds or ()))
    return total


def _videos_per_hour(rows: pa.Table) -> float:
    """Returns the videos per hour over the time `RECENT` before the last row of the ledger, 0 if there is no row."""
    if not rows.num_rows:
        return 0.0
    last = pc.max(rows["finished"]).as_py()
    recent = rows.filter(pc.greater(rows["finished"], pa.scalar(last - RECENT, rows["finished"].type)))
    began = pc.min(recent["started"]).as_py() or last
    span = (last - max(began, last - RECENT)).total_seconds()
    return 3600 * recent.num_rows / max(span, 1.0)
