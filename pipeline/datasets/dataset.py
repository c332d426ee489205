"""A dataset for training: segments in Parquet shards, a manifest of how they were made, and what failed.

    manifest.json           version, settings, counts
    shards/*.parquet        rows of `stages.cut_segments.SEGMENT`; all segments of a video in one shard
    failures.parquet        a row for each video that could not be used

A shard appears whole or not at all and is never changed. Its footer says which videos are in it, so what is done is
known from the shards alone, without reading them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.storage.storage import Entry, Storage
from stages.contracts import Row, rows_of
from stages.cut_segments import SEGMENT

FORMAT, VERSION = "diff-v2m dataset", 1
MANIFEST, SHARDS, FAILURES = "manifest.json", "shards", "failures.parquet"
ITEMS = b"diff-v2m items"
"""Key in a shard's footer: JSON, for each item in the order of its rows the durations of its segments."""
TAIL = 64 << 10  # bytes that hold most footers

FAILURE = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("item_id", "uri", "stage", "error_type", "error_message")]
)


class DatasetError(ValueError):
    """Something is no dataset, or not one of the kind that is needed: one line that says what it is."""


@dataclass(frozen=True)
class Shard:
    """One file of segments. `items` maps each item to the durations of its segments, in the order of the rows."""

    name: str  # below the dataset
    size: int  # bytes
    items: dict[str, list[float]]


class Dataset:
    """The segments of a dataset in random access. May be sent to other processes. Made by `Dataset.open`."""

    def __init__(self, storage: Storage, settings: Mapping[str, Any], shards: Iterable[Shard], cache: Path) -> None:
        self.storage, self.settings, self.cache = storage, dict(settings), cache
        self.shards = list(shards)
        self._tables: dict[int, pa.Table] = {}
        places, durations = [], []
        seen = set[str]()
        for number, shard in enumerate(self.shards):
            row = 0
            for item, lasting in shard.items.items():
                if item not in seen:  # two runs at once may have made the same one
                    places += [(number, row + i) for i in range(len(lasting))]
                    durations += lasting
                seen.add(item)
                row += len(lasting)
        self._places = np.array(places, np.int64).reshape(-1, 2)
        self.seconds = float(sum(durations))
        """Of sound, in all segments."""

    @classmethod
    def open(cls, url: str | os.PathLike[str], cache: str | os.PathLike[str] | None = None) -> Dataset:
        """The dataset in a folder or bucket, as it is now; only manifest and footers are read.

        Args:
            cache: folder for the shards in a form that is mapped into memory; about as large as those that are read.

        Raises:
            DatasetError: it is none, or one of another version.
            StorageError: it cannot be read.
        """
        storage = Storage.open(url)
        settings = read_settings(storage)
        if settings is None:
            raise DatasetError(f"{storage.url} is no dataset, it has no {MANIFEST}: make one with `diff-v2m prepare`")
        return cls(storage, settings, read_shards(storage), Path(cache) if cache is not None else default_cache())

    def __len__(self) -> int:
        return len(self._places)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tables": {}}

    def segment(self, index: int, columns: Iterable[str] | None = None) -> Row:
        """A row of `SEGMENT`: tensors as read-only numpy arrays, the sound as the bytes of a FLAC file.

        Args:
            columns: those wanted; all if left out.

        Raises:
            IndexError: there is no such segment.
            DatasetError, StorageError: its shard cannot be read.
        """
        shard, row = (int(place) for place in self._places[index])
        if shard not in self._tables:
            self._tables[shard] = self._mapped(self.shards[shard])
        return rows_of(self._tables[shard].slice(row, 1), columns)[0]

    def failures(self) -> list[Row]:
        """The rows of `FAILURE`."""
        return read_failures(self.storage)

    def _mapped(self, shard: Shard) -> pa.Table:
        """A shard's table, mapped from the cache, where it is put first if need be."""
        import pyarrow.parquet as pq

        key = hashlib.sha256(f"{self.storage.uri(shard.name)} {shard.size}".encode()).hexdigest()[:32]
        path = self.cache / f"{key}.arrow"
        if not path.exists():
            with self.storage.localize(shard.name) as local:
                try:
                    table = pq.read_table(local, schema=SEGMENT).combine_chunks()
                except (pa.ArrowException, OSError) as fault:
                    raise unreadable(self.storage, shard.name, fault) from None
            _keep(table, path)
        try:
            return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (pa.ArrowException, OSError) as fault:
            path.unlink(missing_ok=True)  # half on the disk when the machine went down; the next call makes it anew
            raise DatasetError(
                f"the cached copy {path} of {shard.name} cannot be read ({fault}): start again"
            ) from fault


def _keep(table: pa.Table, path: Path) -> None:
    """Write a table to the cache, whole or not at all.

    Raises:
        DatasetError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
                file.write_table(table)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as fault:
        reason = "the disk is full" if fault.errno == errno.ENOSPC else fault.strerror or str(fault)
        raise DatasetError(f"cannot keep a copy of the dataset in {path.parent}: {reason}; make room there") from fault


def default_cache() -> Path:
    """Where datasets are kept for reading unless told otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diff-v2m" / "datasets"


def read_settings(storage: Storage) -> dict[str, Any] | None:
    """The settings under which a dataset was made; None where there is none.

    Raises:
        DatasetError: it is of another version, or its manifest is none.
    """
    if not storage.exists(MANIFEST):
        return None
    where = storage.uri(MANIFEST)
    try:
        manifest = json.loads(storage.read(MANIFEST))
        kind, version, settings = manifest.get("format"), manifest.get("version"), manifest.get("settings")
    except (ValueError, AttributeError):
        raise DatasetError(
            f"{where} is not the manifest of a dataset: it is damaged or belongs to another program"
        ) from None
    if kind != FORMAT or not isinstance(settings, dict):
        raise DatasetError(f"{where} is not the manifest of a dataset: it belongs to another program")
    if version != VERSION:
        raise DatasetError(
            f"{storage.url} is a dataset of version {version}, this program reads {VERSION}: make it anew"
        )
    return settings


def write_manifest(storage: Storage, settings: Mapping[str, Any], counts: Mapping[str, float]) -> None:
    """Say how a dataset is made, and for people what is in it."""
    manifest = {"format": FORMAT, "version": VERSION, "settings": dict(settings), "counts": dict(counts)}
    storage.write(MANIFEST, json.dumps(manifest, indent=2, sort_keys=True).encode() + b"\n")


def read_shards(storage: Storage) -> list[Shard]:
    """All shards, by name.

    Raises:
        DatasetError: a file among them is none.
    """
    below = Storage(storage.scheme, f"{storage.root.rstrip('/')}/{SHARDS}")
    return [_shard(storage, file) for file in below.files() if file.name.endswith(".parquet")]


def _shard(storage: Storage, file: Entry) -> Shard:
    import pyarrow.parquet as pq

    name = f"{SHARDS}/{file.name}"
    try:
        tail = _tail(storage, name, file.size, TAIL)
        footer = int.from_bytes(tail[-8:-4], "little") + 8
        if footer > len(tail):
            tail = _tail(storage, name, file.size, footer)
        items = json.loads((pq.read_metadata(pa.BufferReader(tail)).metadata or {})[ITEMS])
    except (pa.ArrowException, OSError, KeyError, ValueError) as fault:
        raise unreadable(storage, name, fault) from None
    return Shard(name, file.size, items)


def _tail(storage: Storage, name: str, size: int, length: int) -> bytes:
    length = min(length, size)
    return storage.ranges(name, [(size - length, length)])[0]


def read_failures(storage: Storage) -> list[Row]:
    """The rows of `FAILURE` of a dataset.

    Raises:
        DatasetError: the file is damaged.
    """
    import pyarrow.parquet as pq

    if not storage.exists(FAILURES):
        return []
    try:
        return pq.read_table(pa.BufferReader(storage.read(FAILURES)), schema=FAILURE).to_pylist()
    except (pa.ArrowException, OSError) as fault:
        raise unreadable(storage, FAILURES, fault) from None


def unreadable(storage: Storage, name: str, fault: BaseException) -> DatasetError:
    """The error of a file of a dataset that is damaged."""
    reason = " ".join(str(fault).split())[:200]
    return DatasetError(f"{storage.uri(name)} is damaged or not of this dataset ({reason}): move it away")
