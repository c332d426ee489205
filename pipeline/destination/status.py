"""How a destination stands, told from what lies in it: no cluster and no running process is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.destination.ledger import DONE, FAILED, Ledger, LedgerError
from pipeline.destination.run_lock import Claim, claims
from pipeline.destination.run_records import Records, RunRecord
from pipeline.storage.storage import Storage
from stages.contracts import Row

RECENT = timedelta(minutes=10)
"""Before the last row of the ledger: what a rate is measured over."""
NAMES = ["output", "item_id"]


@dataclass(frozen=True)
class Standing:
    """What the runs of a destination were asked for, and came to; the counts add up to the total.

    Attributes:
        run: the latest; the others of its fingerprint count too.
        total: videos of all these runs' manifests.
        done, waiting: videos whose music stands, videos that are not settled yet.
        failures: ledger rows of those that failed, by output.
        rows: the ledger's, of every attempt at these videos.
        music: seconds of music that stand.
        seconds: of each stage, all attempts together.
        last: when the ledger was last written.
        rate: videos an hour, recently; 0 where nothing was settled.
        at_work: claims of runs that give signs of life.
    """

    run: RunRecord
    total: int
    done: int
    failures: list[Row]
    waiting: int
    rows: pa.Table
    music: float
    seconds: Counter[str] = field(default_factory=Counter)
    last: datetime | None = None
    rate: float = 0.0
    at_work: tuple[Claim, ...] = ()

    @property
    def attempts(self) -> int:
        """At all videos together."""
        return self.rows.num_rows

    @property
    def hours_left(self) -> float | None:
        """Until the last video at the recent rate; None where there is none."""
        return self.waiting / self.rate if self.rate else None

    @property
    def causes(self) -> Counter[tuple[str, str]]:
        """How many failed for each stage and error type, the most frequent first."""
        return Counter((row["stage"] or "", row["error_type"] or "") for row in self.failures)

    @property
    def facts(self) -> dict[str, Any]:
        """For machines."""
        return {
            "run": self.run.name,
            "started": self.run.started,
            "fingerprint": self.run.fingerprint,
            "total": self.total,
            "done": self.done,
            "failed": len(self.failures),
            "waiting": self.waiting,
            "attempts": self.attempts,
            "seconds_of_music": round(self.music, 3),
            "seconds_of_stages": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "last": self.last and self.last.isoformat(timespec="seconds"),
            "videos_per_hour": round(self.rate, 1),
            "hours_left": None if self.hours_left is None else round(self.hours_left, 3),
            "at_work": [f"process {c.process.pid} on {c.process.machine}" for c in self.at_work],
            "causes": [{"stage": s, "error_type": e, "count": n} for (s, e), n in self.causes.most_common()],
        }


def standing(destination: Storage) -> Standing:
    """How the latest run of a destination stands, and those before it with the same fingerprint.

    Raises:
        LedgerError: nothing was scored there, or its records cannot be read.
        StorageError: it cannot be reached.
    """
    records = Records(destination)
    runs = records.all()
    if not runs:
        raise LedgerError(f"{destination.url} holds no run of diff-v2m: name the --out of a run")
    run = runs[-1]
    manifests = [records.manifest(each) for each in runs if each.fingerprint == run.fingerprint]
    # A file that was replaced is another item with the same output: the later one is what is wanted there.
    items = {row["output"]: row["item_id"] for each in manifests for row in each.select(NAMES).to_pylist()}
    wanted = pa.array(items.values(), pa.string())
    ledger = Ledger(destination)
    rows = ledger.table()
    rows = rows.filter(pc.and_(pc.equal(rows["fingerprint"], run.fingerprint), pc.is_in(rows["item_id"], wanted)))
    latest = ledger.latest(rows)
    done = latest.filter(pc.equal(latest["state"], DONE))
    failed = latest.filter(pc.equal(latest["state"], FAILED)).sort_by("output")
    return Standing(
        run=run,
        total=len(wanted),
        done=done.num_rows,
        failures=failed.to_pylist(),
        waiting=len(wanted) - latest.num_rows,
        rows=rows,
        music=float(pc.sum(done["duration"]).as_py() or 0.0),
        seconds=_seconds(rows),
        last=pc.max(rows["finished"]).as_py(),
        rate=_rate(rows),
        at_work=tuple(claims(destination).values()),
    )


def _seconds(rows: pa.Table) -> Counter[str]:
    """Of each stage, summed over the attempts."""
    total: Counter[str] = Counter()
    for seconds in rows["seconds"].to_pylist():
        total.update(dict(seconds or ()))
    return total


def _rate(rows: pa.Table) -> float:
    """Videos an hour over the last minutes in which any were settled."""
    if not rows.num_rows:
        return 0.0
    last = pc.max(rows["finished"]).as_py()
    recent = rows.filter(pc.greater(rows["finished"], pa.scalar(last - RECENT, rows["finished"].type)))
    began = pc.min(recent["started"]).as_py() or last
    span = (last - max(began, last - RECENT)).total_seconds()
    return 3600 * recent.num_rows / max(span, 1.0)
