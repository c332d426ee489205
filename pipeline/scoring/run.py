"""A run: what its destination does not hold yet goes through the stages, and into the ledger."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cluster.session import RunError, cluster
from pipeline.destination.ledger import FAILED, Ledger
from pipeline.destination.run_lock import Claiming, claimed
from pipeline.destination.run_records import Records
from pipeline.scoring.delivery import Delivery, DeliverySettings
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import stream
from pipeline.scoring.streaming import Watcher
from pipeline.scoring.workers import QUARANTINED
from pipeline.storage.storage import Storage, StorageError
from stages.contracts import MANIFEST, SOUND, Row, rows_of, table_of

log = logging.getLogger(__name__)

# What is wrong with the file itself: the same bytes would fail again, or take more workers with them.
HOPELESS = frozenset(
    {
        "EmptyFile",
        "NotAVideo",
        "NoVideoStream",
        "UnsupportedCodec",
        "Truncated",
        "NoFrames",
        "TooShort",
        "TooLong",
        "TooLarge",
        QUARANTINED,
    }
)

# What another try may well get past: a child, a storage or a GPU that others brought down or filled.
PASSING = frozenset({"Killed", "Unavailable", "Unreachable", "CutShort", "Damaged", "OutOfMemory", "OutOfMemoryError"})
TRIES = 3
"""Times that a run tries a video that fails for a reason that may pass."""


class FingerprintError(RunError):
    """The destination holds music of other settings."""


@dataclass(frozen=True)
class Resume:
    """What a destination already holds of a manifest: rows still to do, rows done or failed for good, past attempts.

    `rows` are the ledger's as they were read for this.
    """

    todo: pa.Table
    done: int
    rows: pa.Table
    hopeless: list[Row] = field(default_factory=list)
    attempts: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Summary:
    """How a run ended. The counts add up to the manifest."""

    total: int
    skipped: int = 0
    done: int = 0
    failures: list[Row] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)
    music: float = 0.0

    def add(self, row: Row) -> None:
        if row["state"] == FAILED:
            self.failures.append(row)
        else:
            self.done += 1
            self.music += row["duration"]
        self.seconds.update(dict(row["seconds"] or {}))


def resume(
    manifest: pa.Table, fingerprint: str, ledger: Ledger, *, mix: bool = False, hopeless_too: bool = False
) -> Resume:
    """Compare a manifest with the ledger of its destination.

    Args:
        mix: whether music of another fingerprint may stand there.
        hopeless_too: whether files that are wrong by themselves are to be tried again, too.

    Raises:
        FingerprintError: the destination holds music of another fingerprint, and `mix` does not allow it.
    """
    rows = ledger.table()
    others = ledger.mixed(fingerprint, rows)
    if others and not mix:
        raise FingerprintError(
            f"{ledger.storage.url} holds music with the fingerprint {', '.join(others)}, this run's is {fingerprint}: "
            "take the settings of that run, another --out, or --force to mix both"
        )
    done = ledger.done(fingerprint, rows)
    latest = {row["item_id"]: row for row in ledger.latest(rows).to_pylist() if row["fingerprint"] == fingerprint}
    failed = {key: row for key, row in latest.items() if row["state"] == FAILED}
    hopeless = {key for key, row in failed.items() if row["error_type"] in HOPELESS and not hopeless_too}
    ids = manifest["item_id"].to_pylist()
    todo = pa.array([key not in done and key not in hopeless for key in ids], pa.bool_())
    return Resume(
        todo=manifest.filter(todo),
        done=sum(key in done for key in ids),
        hopeless=[failed[key] for key in ids if key in hopeless],
        attempts={key: row["attempt"] for key, row in latest.items()},
        rows=rows,
    )


def run(
    manifest: pa.Table,
    settings: RunSettings,
    destination: Storage,
    watcher: Watcher,
    *,
    address: str | None = None,
    mix: bool = False,
    hopeless_too: bool = False,
) -> Summary:
    """Score every row of a manifest that is not done yet.

    Args:
        address: of a Ray cluster; one is started on this machine if left out, and if there is anything to do.
        mix: put music of these settings beside music of others.
        hopeless_too: try files again that failed for what they are.

    Raises:
        FingerprintError: another fingerprint in the destination, and `mix` does not allow it.
        ClaimError: another run is at work there.
        Cancelled: somebody asked the run to stop.
        RunError: no such cluster, or its workers cannot go on.
        StorageError, LedgerError: the destination cannot be read or written.
    """
    with claimed(destination) as claim:
        if swept := destination.sweep():
            log.info("%d temporary files of a run that was killed are removed", swept)
        ledger = Ledger(destination)
        state = resume(MANIFEST.check(manifest), settings.fingerprint, ledger, mix=mix, hopeless_too=hopeless_too)
        Records(destination).begin(manifest, settings.fingerprint, settings.record)
        summary = Summary(total=manifest.num_rows, skipped=state.done, failures=list(state.hopeless))
        try:
            with cluster(address) if pc.any(pc.is_null(state.todo["error"])).as_py() else nullcontext():
                for row in _tried(state, settings, destination, watcher, claim):
                    summary.add(row)
        finally:
            with suppress(StorageError):  # what was being written when the run was stopped, or a worker killed
                destination.sweep()
    return summary


def _tried(
    state: Resume, settings: RunSettings, destination: Storage, watcher: Watcher, claim: Claiming
) -> Iterator[Row]:
    """The last ledger row of each video that was to do: what failed by chance is tried again when all others are done.

    Every try is an attempt of its own in the ledger.
    """
    unreadable = set(state.todo.filter(pc.is_valid(state.todo["error"]))["item_id"].to_pylist())
    for more in reversed(range(TRIES)):
        again = set[str]()
        for row in _settled(state, settings, destination, watcher, claim):
            if more and row["error_type"] in PASSING and row["item_id"] not in unreadable:
                again.add(row["item_id"])
            else:
                yield row
        if not again:
            return
        log.info("%d videos failed for a reason that may pass: again", len(again))
        todo = state.todo.filter(pc.is_in(state.todo["item_id"], pa.array(again)))
        state = replace(state, todo=todo, attempts={item: state.attempts.get(item, 0) + 1 for item in again})


def _settled(
    state: Resume, settings: RunSettings, destination: Storage, watcher: Watcher, claim: Claiming
) -> Iterator[Row]:
    """Ledger rows of what was to do, as they are written."""
    readable = pc.is_null(state.todo["error"])
    broken, todo = state.todo.filter(pc.invert(readable)), state.todo.filter(readable)
    watcher.begin(todo.num_rows)
    if broken.num_rows:  # what cannot even be opened needs no worker
        record = Delivery(DeliverySettings(destination, settings, 0, state.attempts))
        yield from record(table_of(rows_of(broken), SOUND)).to_pylist()
    if todo.num_rows:
        for table in stream(todo, settings, destination, watcher, state.attempts):
            claim.check()
            yield from table.to_pylist()
