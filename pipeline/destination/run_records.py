"""Records of runs: each run's manifest and settings, kept in its destination so that they can be read anywhere."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline.destination.ledger import LedgerError
from pipeline.sources.naming import usual_names
from pipeline.storage.storage import WORK, Storage
from stages.contracts import MANIFEST

RUNS = f"{WORK}/runs"
ABOUT, WANTED = "run.json", "manifest.parquet"
"""Files of a run: settings and manifest. The settings are written last, so a run without them never began."""


@dataclass(frozen=True)
class RunRecord:
    """A run as it began.

    Attributes:
        name: name of its folder; names sort by time.
        fingerprint: hash of everything that changes the music.
        total: number of rows of its manifest.
        machine: name of the machine that started it.
        started: time of the start, ISO 8601 in UTC.
        settings: settings, as `RunSettings.record` gives them.
    """

    name: str
    fingerprint: str
    total: int
    machine: str
    started: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, data: bytes, where: str) -> RunRecord:
        """Reads the record of a run.

        Args:
            data: content of the file.
            where: name of the file in messages.

        Raises:
            LedgerError: it is no record of a run.
        """
        try:
            raw = json.loads(data)
            return cls(**{name: raw[name] for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError):
            raise LedgerError(f"{where}: no record of a run; move it away") from None


@dataclass(frozen=True)
class RunRecords:
    """The records of one destination's runs. Every method raises `StorageError` if it cannot be reached."""

    storage: Storage

    def begin(self, manifest: pa.Table, fingerprint: str, settings: Mapping[str, Any]) -> RunRecord:
        """Records that a run begins, and returns the record.

        A run with the same fingerprint and manifest as the latest continues that one and shares its record.
        """
        import pyarrow.parquet as pq

        before = self.latest()
        if before and before.fingerprint == fingerprint and self.manifest(before).equals(MANIFEST.check(manifest)):
            return before
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:12]}"
        started = now.isoformat(timespec="seconds")
        record = RunRecord(name, fingerprint, manifest.num_rows, socket.gethostname(), started, dict(settings))
        sink = pa.BufferOutputStream()
        pq.write_table(manifest, sink, compression="zstd")
        self.storage.write(f"{RUNS}/{name}/{WANTED}", sink.getvalue().to_pybytes())
        self.storage.write(f"{RUNS}/{name}/{ABOUT}", json.dumps(asdict(record), indent=1).encode())
        return record

    def all(self) -> list[RunRecord]:
        """Returns every run that began, oldest first.

        Raises:
            LedgerError: a record cannot be read; the message names it.
        """
        below = Storage(self.storage.scheme, f"{self.storage.root.rstrip('/')}/{RUNS}")
        names = [entry.name for entry in below.files() if entry.name.endswith(f"/{ABOUT}")]
        return [RunRecord.read(below.read(name), below.uri(name)) for name in names]

    def latest(self) -> RunRecord | None:
        """Returns the run that began last, or None."""
        runs = self.all()
        return runs[-1] if runs else None

    def manifest(self, run: RunRecord) -> pa.Table:
        """Returns the manifest of a run: the videos that it was asked to score.

        Raises:
            LedgerError: the file is truncated, or no manifest.
        """
        import pyarrow.parquet as pq

        name = f"{RUNS}/{run.name}/{WANTED}"
        try:
            table = pq.ParquetFile(pa.BufferReader(self.storage.read(name))).read()
            return MANIFEST.check(_with_names(table))
        except (pa.ArrowException, OSError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise LedgerError(f"{self.storage.uri(name)}: no manifest of a run ({reason}); move it away") from None


def _with_names(table: pa.Table) -> pa.Table:
    """Returns a manifest with the columns `stem` and `fallback`, which earlier versions did not write."""
    if {"stem", "fallback"} & set(table.column_names) or "output" not in table.column_names:
        return table
    stems = [usual_names(output).stem for output in table["output"].to_pylist()]
    table = table.append_column("stem", pa.array(stems, pa.string()))
    return table.append_column("fallback", pa.array([f"{stem}.mkv" for stem in stems], pa.string()))
