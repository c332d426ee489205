"""DatasetWriter: writes shards as they fill, and the failures, and knows which videos are done already."""

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
"""Size in memory at which a shard is written."""
ITEMS_AT_RISK = 16
"""Number of videos that a killed run may lose at most."""


class DatasetWriter:
    """Writes a dataset, or continues one. What is added is stored by the next `flush`, which also happens by itself.

    Args:
        storage: takes the dataset.
        settings: settings that all segments of the dataset share.
        shard_bytes: size in memory at which a shard is written.

    Attributes:
        items: durations of the segments of each video that is done, or waits for the next flush.
        failed: the row of `FAILURE` of each video that failed, by item id.

    Raises:
        DatasetError: there is a dataset of other settings already; the message says what differs.
        StorageError: it cannot be read or written; all methods raise this too.
    """

    def __init__(self, storage: Storage, settings: Mapping[str, Any], *, shard_bytes: int = SHARD_BYTES) -> None:
        self.storage, self.settings, self._shard_bytes = storage, dict(settings), shard_bytes
        found = read_settings(storage)
        if found is not None and found != self.settings:
            raise DatasetError(f"{storage.url} {_difference(found, self.settings)}: take another --out")
        shards = read_shards(storage)
        if found is None and shards:
            raise DatasetError(f"{storage.url} holds shards without a manifest: take another --out")
        self.items = {item: durations for shard in reversed(shards) for item, durations in shard.items.items()}
        self.failed = {row["item_id"]: row for row in read_failures(storage) if row["item_id"] not in self.items}
        self._pending: dict[str, pa.Table] = {}
        self._failures_changed = False
        if found is None:
            self._write_manifest()

    @property
    def seconds(self) -> float:
        """Seconds of sound in all segments."""
        return sum(map(sum, self.items.values()))

    @property
    def segments(self) -> int:
        """Number of segments."""
        return sum(map(len, self.items.values()))

    def add(self, segments: pa.Table) -> None:
        """Adds all segments of one video, a table of `SEGMENT`; a video that is done already is ignored."""
        item = segments["item_id"][0].as_py()
        if item in self.items:
            return
        self.items[item] = segments["duration"].to_pylist()
        self._failures_changed |= self.failed.pop(item, None) is not None
        self._pending[item] = segments
        if len(self._pending) >= ITEMS_AT_RISK or sum(t.nbytes for t in self._pending.values()) >= self._shard_bytes:
            self.flush()

    def add_failure(self, row: Row) -> None:
        """Adds a row of `FAILURE`."""
        self.failed[row["item_id"]] = row
        self._failures_changed = True
        if len(self.failed) % ITEMS_AT_RISK == 0:
            self.flush()

    def flush(self) -> None:
        """Stores what was added: first the shard, then the failures and the manifest that count it."""
        if not self._pending and not self._failures_changed:
            return
        if self._pending:
            self.storage.write(f"{SHARDS}/{_shard_name()}", _encode_shard(self._pending))
            self._pending = {}
        if self._failures_changed:
            rows = sorted(self.failed.values(), key=lambda row: row["uri"])
            self.storage.write(FAILURES, _encode_parquet(pa.Table.from_pylist(rows, FAILURE)))
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
    """Returns the part of an error message that says which settings differ."""
    differences = [
        f"{name} {found.get(name)!r}, not {wanted.get(name)!r}"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]
    return f"is a dataset of other settings ({'; '.join(differences)})"


def _shard_name() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:12]}.parquet"


def _encode_shard(items: Mapping[str, pa.Table]) -> bytes:
    """Returns the segments of several videos as a Parquet file whose footer lists the videos."""
    durations = {item: table["duration"].to_pylist() for item, table in items.items()}
    table = pa.concat_tables(items.values())
    return _encode_parquet(table.replace_schema_metadata({ITEMS: json.dumps(durations).encode()}))


def _encode_parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    return sink.getvalue().to_pybytes()
