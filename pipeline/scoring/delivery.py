"""The last step of a clip's way: outputs to their place, and then, only then, the ledger row that says so."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from pipeline.destination.ledger import DONE, FAILED, SCHEMA, Ledger
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage, StorageError, localize
from stages.contracts import MUXED, SOUND, Row, rows_of
from stages.mux import Mux, MuxSettings

# What is wrong with the destination, not with a file: the run stops.
FATAL = frozenset({"DiskFull", "Credentials", "AccessDenied", "NoBucket"})


@dataclass(frozen=True)
class DeliverySettings:
    """Where outputs go. `attempts` counts the earlier attempts at items that failed before."""

    destination: Storage
    run: RunSettings
    sample_rate: int
    attempts: Mapping[str, int] = field(default_factory=dict)


class Delivery:
    """Muxes each clip in a scratch folder, delivers its files, verifies them, and records the attempt.

    A table of sound goes in; the ledger rows that were written come out.

    Raises:
        StorageError: what would fail for every other video as well: the destination takes nothing (`FATAL`), or a disk
            that a stage works on is full.
    """

    name = "mux"
    reads = SOUND

    def __init__(self, settings: DeliverySettings) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.destination)

    def __call__(self, table: pa.Table) -> pa.Table:
        started, run = datetime.now(UTC), self.settings.run
        with tempfile.TemporaryDirectory(prefix="diff-v2m-") as scratch:
            mux = Mux(MuxSettings(Path(scratch), self.settings.sample_rate, run.facts), localize)
            rows = rows_of(MUXED.check(mux(table)))
            _stop_on_full_disk(rows)
            records = [self._record(row, started) for row in rows]
        self.ledger.append(records)
        return pa.Table.from_pylist(records, SCHEMA)

    def recorded(self, table: pa.Table) -> pa.Table:
        """Ledger rows that this run has written of these rows already: its worker died before it could say so."""
        attempts = {item: self.settings.attempts.get(item, 0) + 1 for item in table["item_id"].to_pylist()}
        rows = self.ledger.table()
        mine = [
            row["fingerprint"] == self.settings.run.fingerprint and attempts.get(row["item_id"]) == row["attempt"]
            for row in rows.select(["fingerprint", "item_id", "attempt"]).to_pylist()
        ]
        return rows.filter(pa.array(mine, pa.bool_()))

    def _record(self, row: Row, started: datetime) -> Row:
        error = row["error"] or self._delivered(row)
        outputs = None if error else row["outputs"]
        return {
            **{name: row[name] for name in ("item_id", "content_id", "uri", "output", "seconds", "duration")},
            "state": FAILED if error else DONE,
            "stage": error and error["stage"],
            "error_type": error and error["type"],
            "error_message": error and error["message"],
            "outputs": outputs,
            "seed": self.settings.run.seed,
            "fingerprint": self.settings.run.fingerprint,
            "attempt": self.settings.attempts.get(row["item_id"], 0) + 1,
            "worker": socket.gethostname(),
            "started": started,
            "finished": datetime.now(UTC),
        }

    def _delivered(self, row: Row) -> Row | None:
        """Put a row's files in place; the error if that failed.

        Raises:
            StorageError: what would fail for every other row as well (`FATAL`).
        """
        try:
            row["outputs"] = [
                self.settings.destination.deliver(output["path"], output["name"]) for output in row["outputs"]
            ]
        except StorageError as fault:
            if fault.kind in FATAL:
                raise
            return {"stage": "deliver", "type": fault.kind, "message": str(fault)}
        return None


def _stop_on_full_disk(rows: list[Row]) -> None:
    """A worker's full disk is no fault of a video either, and every other one would meet it.

    Raises:
        StorageError: a row met one.
    """
    for row in rows:
        if row["error"] and row["error"]["type"] == "DiskFull":
            raise StorageError(
                "DiskFull", f"{socket.gethostname()}, {row['error']['stage']}: {row['error']['message']}"
            )
