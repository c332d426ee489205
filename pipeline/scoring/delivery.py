"""Delivery, the last stage of scoring: outputs go to the destination, and only then the ledger row that says so."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from pipeline.destination.ledger import DONE, FAILED, SCHEMA, Ledger
from pipeline.destination.run_lock import check_lock
from pipeline.scoring.restore import kept_music_folder
from pipeline.scoring.settings import RunSettings
from pipeline.storage.file_set import deliver_set
from pipeline.storage.storage import Storage, StorageError, localize
from stages.contracts import MIXED, MUXED, Row, rows_of
from stages.error_kinds import Treatment, treatment_of
from stages.mux import Mux, MuxSettings


@dataclass(frozen=True)
class DeliverySettings:
    """Settings of the delivery.

    Attributes:
        destination: storage that takes the outputs and the ledger.
        run: settings of the run.
        attempts: number of earlier attempts at each item that failed before, by item id.
        lock: name of the run's lock. A worker that outlives its run writes nothing into the next one's work. If left
            out, nothing is locked.
    """

    destination: Storage
    run: RunSettings
    attempts: Mapping[str, int] = field(default_factory=dict)
    lock: str | None = None


class Delivery:
    """Muxes each clip in a scratch folder, delivers its files, verifies them, and records the attempt.

    It takes a table of `MIXED` and returns the ledger rows that it wrote.

    Raises:
        RunLockError: the run is over, or another one has taken its place.
        StorageError: an error of a kind that every other video would meet as well (`stages.error_kinds`), such as a
            destination that refuses to be written, or a full disk of the worker.
    """

    name = "mux"
    reads = MIXED
    writes = SCHEMA

    def __init__(self, settings: DeliverySettings) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.destination)

    def __call__(self, table: pa.Table) -> pa.Table:
        started, run = datetime.now(UTC), self.settings.run
        with tempfile.TemporaryDirectory(prefix="diff-v2m-") as scratch:
            kept = kept_music_folder(run.music_fingerprint)
            mux = Mux(MuxSettings(Path(scratch), run.outputs, kept, run.to_dict()), localize)
            rows = rows_of(MUXED.check(mux(table)))
            _raise_fatal_error(rows)
            self._check_lock()
            records = [self._record(row, started) for row in rows]
        self._check_lock()
        self.ledger.append(records)
        return pa.Table.from_pylist(records, SCHEMA)

    def recorded(self, table: pa.Table) -> pa.Table:
        """Returns the ledger rows that this run wrote for these items before their worker died."""
        attempts = {item: self.settings.attempts.get(item, 0) + 1 for item in table["item_id"].to_pylist()}
        rows = self.ledger.table()
        is_ours = [
            row["fingerprint"] == self.settings.run.fingerprint and attempts.get(row["item_id"]) == row["attempt"]
            for row in rows.select(["fingerprint", "item_id", "attempt"]).to_pylist()
        ]
        return rows.filter(pa.array(is_ours, pa.bool_()))

    def _check_lock(self) -> None:
        if self.settings.lock is not None:
            check_lock(self.settings.destination, self.settings.lock)

    def _record(self, row: Row, started: datetime) -> Row:
        """Delivers a row's files unless it failed before, and returns its ledger row."""
        error = row["error"] or self._deliver(row)
        outputs = None if error else row["outputs"]
        media = row["media"] or {}
        return {
            **{name: row[name] for name in ("item_id", "content_id", "uri", "output", "seconds", "duration")},
            "state": FAILED if error else DONE,
            "stage": error and error["stage"],
            "error_type": error and error["type"],
            "error_message": error and error["message"],
            "outputs": outputs,
            **{name: media.get(name) for name in ("frames_lost", "seconds_held", "left_behind")},
            "seed": self.settings.run.seed,
            "fingerprint": self.settings.run.fingerprint,
            "music": self.settings.run.music_fingerprint,
            "attempt": self.settings.attempts.get(row["item_id"], 0) + 1,
            "worker": socket.gethostname(),
            "started": started,
            "finished": datetime.now(UTC),
        }

    def _deliver(self, row: Row) -> Row | None:
        """Puts a row's files in place, all or none. Returns the error if that failed.

        Raises:
            StorageError: an error that every other row would meet as well.
        """
        try:
            files = [(output["path"], output["name"]) for output in row["outputs"]]
            row["outputs"] = deliver_set(self.settings.destination, files)
        except StorageError as error:
            if treatment_of(error.kind) in (Treatment.FATAL, Treatment.FATAL_AT_DESTINATION):
                raise
            return {"stage": "deliver", "type": error.kind, "message": str(error)}
        return None


def _raise_fatal_error(rows: list[Row]) -> None:
    """Raises the error of a row that every other video would meet as well, such as a full disk of the worker.

    Raises:
        StorageError: a row has such an error.
    """
    for row in rows:
        error = row["error"]
        if error and treatment_of(error["type"]) is Treatment.FATAL:
            raise StorageError(error["type"], f"{socket.gethostname()}, {error['stage']}: {error['message']}")
