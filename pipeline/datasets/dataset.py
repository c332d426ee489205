"""A dataset for training: segments in Parquet shards, a manifest of how they were made, and the failed videos.

    manifest.json           version, settings, counts
    shards/*.parquet        rows of `stages.cut_segments.SEGMENT`; all segments of a video are in one shard
    failures.parquet        a row for each video that could not be used

A shard appears whole or not at all and is never changed. Its footer lists the videos in it, so that the footers alone
say which videos are done.
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

from models.errors import UserError
from pipeline.storage.storage import Entry, Storage
from stages.contracts import Row, rows_of
from stages.cut_segments import SEGMENT

FORMAT, VERSION = "diff-v2m dataset", 1
MANIFEST, SHARDS, FAILURES = "manifest.json", "shards", "failures.parquet"
ITEMS = b"diff-v2m items"
"""Key in a shard's footer. Its value is JSON: the durations of each item's segments, the items in the rows' order."""
TAIL = 64 << 10  # bytes at the end of a shard that are read first; most footers fit in them

FAILURE = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("item_id", "uri", "stage", "error_type", "error_message")]
)


class DatasetError(UserError):
    """A dataset is missing, damaged or not of the kind that is needed; the message is one line."""


@dataclass(frozen=True)
class Shard:
    """One file of segments.

    Attributes:
        name: path below the dataset.
        size: size in bytes.
        items: durations in seconds of the segments of each item, in the order of the rows.
    """

    name: str
    size: int
    items: dict[str, list[float]]


class Dataset:
    """The segments of a dataset in random access. `Dataset.open` makes it; it can be sent to other processes.

    Attributes:
        settings: settings with which the dataset was made.
        shards: its files.
        seconds: seconds of sound in all segments.
    """

    def __init__(self, storage: Storage, settings: Mapping[str, Any], shards: Iterable[Shard], cache: Path) -> None:
        self.storage, self.settings, self.cache = storage, dict(settings), cache
        self.shards = list(shards)
        self._tables: dict[int, pa.Table] = {}
        places, all_durations = [], []
        seen = set[str]()
        for number, shard in enumerate(self.shards):
            row = 0
            for item, durations in shard.items.items():
                if item not in seen:  # two runs at once may have made the same item
                    places += [(number, row + i) for i in range(len(durations))]
                    all_durations += durations
                seen.add(item)
                row += len(durations)
        self._places = np.array(places, np.int64).reshape(-1, 2)
        self.seconds = float(sum(all_durations))

    @classmethod
    def open(cls, url: str | os.PathLike[str], cache: str | os.PathLike[str] | None = None) -> Dataset:
        """Returns the dataset in a folder or bucket, as it is now; only its manifest and footers are read.

        Args:
            cache: folder that takes copies of the shards which can be mapped into memory. It grows to about the size
                of the shards that are read.

        Raises:
            DatasetError: there is no dataset, or one of another version.
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
        """Returns a row of `SEGMENT`: tensors as read-only numpy arrays, the sound as the bytes of a FLAC file.

        Args:
            columns: names of the wanted columns; all if left out.

        Raises:
            IndexError: there is no such segment.
            DatasetError, StorageError: its shard cannot be read.
        """
        shard, row = (int(place) for place in self._places[index])
        if shard not in self._tables:
            self._tables[shard] = self._mapped(self.shards[shard])
        return rows_of(self._tables[shard].slice(row, 1), columns)[0]

    def failures(self) -> list[Row]:
        """Returns the rows of `FAILURE`."""
        return read_failures(self.storage)

    def _mapped(self, shard: Shard) -> pa.Table:
        """Returns a shard's table, mapped from the cache; a shard that is not there yet is copied first."""
        import pyarrow.parquet as pq

        key = hashlib.sha256(f"{self.storage.uri(shard.name)} {shard.size}".encode()).hexdigest()[:32]
        path = self.cache / f"{key}.arrow"
        if not path.exists():
            with self.storage.localize(shard.name) as local:
                try:
                    table = pq.read_table(local, schema=SEGMENT).combine_chunks()
                except (pa.ArrowException, OSError) as error:
                    raise unreadable(self.storage, shard.name, error) from None
            _write_to_cache(table, path)
        try:
            return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (pa.ArrowException, OSError) as error:
            path.unlink(missing_ok=True)  # incomplete after the machine went down; the next call makes it anew
            raise DatasetError(
                f"the cached copy {path} of {shard.name} cannot be read ({error}): start again"
            ) from error


def _write_to_cache(table: pa.Table, path: Path) -> None:
    """Writes a table to the cache, whole or not at all.

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
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise DatasetError(f"cannot keep a copy of the dataset in {path.parent}: {reason}; make room there") from error


def default_cache() -> Path:
    """Returns the folder of cached shards that is used if none is given."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diff-v2m" / "datasets"


def read_settings(storage: Storage) -> dict[str, Any] | None:
    """Returns the settings with which a dataset was made, or None where there is no dataset.

    Raises:
        DatasetError: it is of another version, or its manifest is damaged or that of another program.
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
    """Writes the manifest: the settings of the dataset, and counts for people to read."""
    manifest = {"format": FORMAT, "version": VERSION, "settings": dict(settings), "counts": dict(counts)}
    storage.write(MANIFEST, json.dumps(manifest, indent=2, sort_keys=True).encode() + b"\n")


def read_shards(storage: Storage) -> list[Shard]:
    """Returns all shards in the order of their names.

    Raises:
        DatasetError: one of the files is not a shard.
    """
    below = Storage(storage.scheme, f"{storage.root.rstrip('/')}/{SHARDS}")
    return [_read_shard(storage, file) for file in below.files() if file.name.endswith(".parquet")]


def _read_shard(storage: Storage, file: Entry) -> Shard:
    """Reads the footer of a shard."""
    import pyarrow.parquet as pq

    name = f"{SHARDS}/{file.name}"
    try:
        tail = _tail(storage, name, file.size, TAIL)
        footer = int.from_bytes(tail[-8:-4], "little") + 8
        if footer > len(tail):
            tail = _tail(storage, name, file.size, footer)
        items = json.loads((pq.read_metadata(pa.BufferReader(tail)).metadata or {})[ITEMS])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise unreadable(storage, name, error) from None
    return Shard(name, file.size, items)


def _tail(storage: Storage, name: str, size: int, length: int) -> bytes:
    """Returns the last `length` bytes of a file."""
    length = min(length, size)
    return storage.ranges(name, [(size - length, length)])[0]


def read_failures(storage: Storage) -> list[Row]:
    """Returns the rows of `FAILURE` of a dataset.

    Raises:
        DatasetError: the file is damaged.
    """
    import pyarrow.parquet as pq

    if not storage.exists(FAILURES):
        return []
    try:
        return pq.read_table(pa.BufferReader(storage.read(FAILURES)), schema=FAILURE).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise unreadable(storage, FAILURES, error) from None


def unreadable(storage: Storage, name: str, error: BaseException) -> DatasetError:
    """Returns the error of a damaged file of a dataset."""
    reason = " ".join(str(error).split())[:200]
    return DatasetError(f"{storage.uri(name)} is damaged or not of this dataset ({reason}): move it away")
