"""Writing a dataset: shards as they fill, failures beside them, and what is done already."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline.datasets.dataset import (
    FAILURE,
    FAILURES,
    ITEMS,
    SHARDS,
    DatasetError,
    read_failures,
    read_settings,
    read_shards,
    write_manifest,
)
from pipeline.storage.storage import Storage
from stages.contracts import Row

SHARD_BYTES = 64 << 20
ITEMS_AT_RISK = 16
"""Videos that a killed run may lose at most."""


class Shards:
    """The writing end of a dataset. What is added counts from the next `flush` on, which happens by itself.

    Raises:
        DatasetError: there is a dataset of other settings already, named with what differs.
        StorageError: it cannot be read or written; so do all methods.
    """

    def __init__(self, storage: Storage, settings: Mapping[str, Any], *, shard_bytes: int = SHARD_BYTES) -> None:
        self.storage, self.settings, self._shard_bytes = storage, dict(settings), shard_bytes
        found = read_settings(storage)
        if found is not None and found != self.settings:
            raise DatasetError(f"{storage.url} {_difference(found, self.settings)}: take another --out")
        shards = read_shards(storage)
        if found is None and shards:
            raise DatasetError(f"{storage.url} holds shards without a manifest: take another --out")
        self.items = {item: lasting for shard in reversed(shards) for item, lasting in shard.items.items()}
        """The durations of the segments of each video that is done, or waits for the next flush."""
        self.failed = {row["item_id"]: row for row in read_failures(storage) if row["item_id"] not in self.items}
        self._waiting: dict[str, pa.Table] = {}
        self._failures_changed = False
        if found is None:
            self._write_manifest()

    @property
    def seconds(self) -> float:
        """Of sound, in all segments."""
        return sum(map(sum, self.items.values()))

    @property
    def segments(self) -> int:
        return sum(map(len, self.items.values()))

    def add(self, segments: pa.Table) -> None:
        """Take all segments of one video, a table of `SEGMENT`."""
        item = segments["item_id"][0].as_py()
        if item in self.items:
            return
        self.items[item] = segments["duration"].to_pylist()
        self._failures_changed |= self.failed.pop(item, None) is not None
        self._waiting[item] = segments
        if len(self._waiting) >= ITEMS_AT_RISK or sum(t.nbytes for t in self._waiting.values()) >= self._shard_bytes:
            self.flush()

    def fail(self, row: Row) -> None:
        """Take a row of `FAILURE`."""
        self.failed[row["item_id"]] = row
        self._failures_changed = True
        if len(self.failed) % ITEMS_AT_RISK == 0:
            self.flush()

    def flush(self) -> None:
        """Write what waits: the shard first, then what it makes true."""
        if not self._waiting and not self._failures_changed:
            return
        if self._waiting:
            self.storage.write(f"{SHARDS}/{_name()}", _parquet(self._waiting))
            self._waiting = {}
        if self._failures_changed:
            rows = sorted(self.failed.values(), key=lambda row: row["uri"])
            self.storage.write(FAILURES, _bytes(pa.Table.from_pylist(rows, FAILURE)))
            self._failures_changed = False
        self._write_manifest()

    def _write_manifest(self) -> None:
        counts = {
            "videos": len(self.items),
            "segments": self.segments,
            "seconds": round(self.seconds, 3),
            "failed": len(self.failed),
        }
        write_manifest(self.storage, self.settings, counts)


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    what = [
        f"{name} {found.get(name)!r}, not {wanted.get(name)!r}"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]
    return f"is a dataset of other settings ({'; '.join(what)})"


def _name() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:12]}.parquet"


def _parquet(items: Mapping[str, pa.Table]) -> bytes:
    durations = {item: table["duration"].to_pylist() for item, table in items.items()}
    table = pa.concat_tables(items.values())
    return _bytes(table.replace_schema_metadata({ITEMS: json.dumps(durations).encode()}))


def _bytes(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    return sink.getvalue().to_pybytes()
