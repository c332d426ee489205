"""What was asked of a destination, kept in it: each run's manifest and settings, so that it is understood anywhere."""

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
from pipeline.storage.storage import WORK, Storage
from stages.contracts import MANIFEST

RUNS = f"{WORK}/runs"
ABOUT, WANTED = "run.json", "manifest.parquet"
"""Files of a run. The first is written last: a run without it never began."""


@dataclass(frozen=True)
class RunRecord:
    """A run as it began.

    Attributes:
        name: of its folder; names sort by time.
        fingerprint: of everything that changes the music.
        total: rows of its manifest.
        machine: where it was started.
        started: ISO 8601, UTC.
        settings: as `RunSettings.record`.
    """

    name: str
    fingerprint: str
    total: int
    machine: str
    started: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, data: bytes, where: str) -> RunRecord:
        """Raises LedgerError for what is none."""
        try:
            raw = json.loads(data)
            return cls(**{name: raw[name] for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError):
            raise LedgerError(f"{where}: no record of a run; move it away") from None


@dataclass(frozen=True)
class Records:
    """The runs of one destination. Every method raises `StorageError` where it cannot be reached."""

    storage: Storage

    def begin(self, manifest: pa.Table, fingerprint: str, settings: Mapping[str, Any]) -> RunRecord:
        """Record that a run begins; one that asks for the same as the latest goes on with its record."""
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
        """Every run that began, oldest first.

        Raises:
            LedgerError: a record cannot be read; the line names it.
        """
        below = Storage(self.storage.scheme, f"{self.storage.root.rstrip('/')}/{RUNS}")
        names = [entry.name for entry in below.files() if entry.name.endswith(f"/{ABOUT}")]
        return [RunRecord.read(below.read(name), below.uri(name)) for name in names]

    def latest(self) -> RunRecord | None:
        """The run that began last."""
        runs = self.all()
        return runs[-1] if runs else None

    def manifest(self, run: RunRecord) -> pa.Table:
        """What a run was asked to score.

        Raises:
            LedgerError: it is truncated, or no manifest.
        """
        import pyarrow.parquet as pq

        name = f"{RUNS}/{run.name}/{WANTED}"
        try:
            table = pq.ParquetFile(pa.BufferReader(self.storage.read(name))).read()
            return MANIFEST.check(table)
        except (pa.ArrowException, OSError, TypeError) as fault:
            reason = " ".join(str(fault).split())[:200]
            raise LedgerError(f"{self.storage.uri(name)}: no manifest of a run ({reason}); move it away") from None
