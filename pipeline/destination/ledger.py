"""The ledger: a record of every attempt at a video, in append-only Parquet files beside the outputs.

A row is never changed. The latest row of an item is its state. Everything about a destination can be learned from its
ledger alone, with any program that reads Parquet: `pandas.read_parquet("out/.diff-v2m/ledger")`.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.destination.ledger_schema import DONE, FAILED, SCHEMA, LedgerError, check_states, checked, table_of
from pipeline.storage.errors import printable
from pipeline.storage.storage import WORK, Entry, Storage
from stages.contracts import Row

log = logging.getLogger(__name__)

__all__ = ["DONE", "FAILED", "READERS", "SCHEMA", "Ledger", "LedgerError"]

READERS = {"local": 2, "remote": 16}
"""Parts that are read at once: reading from a local disk is computing, reading from a remote storage is waiting."""


@dataclass(frozen=True)
class Ledger:
    """The ledger of one destination. Every method raises `StorageError` if the destination cannot be reached."""

    storage: Storage
    folder: str = f"{WORK}/ledger"

    def append(self, rows: Sequence[Row] | pa.Table) -> str | None:
        """Writes rows as one new part, and returns the part's name, or None if there are no rows.

        Existing parts are not touched, and the new part appears whole or not at all. Part names sort by time.

        Raises:
            LedgerError: a row has an unknown column, lacks a required one, or its state and its error disagree.
        """
        table = rows if isinstance(rows, pa.Table) else table_of(rows)
        table = checked(table, "the new rows")
        check_states(table)
        if not table.num_rows:
            return None
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        # In a part with one row, statistics and dictionaries would be most of the bytes, and most of the time to read.
        pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
        name = f"{self.folder}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:12]}.parquet"
        self.storage.write(name, sink.getvalue().to_pybytes())
        return name

    def parts(self) -> list[str]:
        """Returns the names of all parts, oldest first."""
        return [part.name for part in self._entries()]

    def table(self) -> pa.Table:
        """Returns every row ever written in `SCHEMA`, oldest part first.

        Parts never change, so those that this process has read before are not read again and come first.

        Raises:
            LedgerError: a part is truncated, no Parquet file or of another schema; the message names it.
        """
        parts = self._entries()
        known = _last_read.get(self)
        if known is None or not known.parts <= set(parts):  # a part that is gone was moved or replaced by somebody
            known = _PartsRead(frozenset(), SCHEMA.empty_table())
        with ThreadPoolExecutor(READERS["local" if self.storage.local else "remote"]) as readers:
            new = list(readers.map(self._part, (part.name for part in parts if part not in known.parts)))
        table = pa.concat_tables([known.table, *new]).combine_chunks()
        _last_read.clear()
        _last_read[self] = _PartsRead(frozenset(parts), table)
        return table

    def latest(self, rows: pa.Table | None = None) -> pa.Table:
        """Returns one row per item, its state: the row that finished last, and of equals the highest attempt.

        Args:
            rows: the ledger's `table()`, if it has been read already; so for `done` and `other_fingerprints`.
        """
        return _last_per(self.table() if rows is None else rows, "item_id")

    def results(self, rows: pa.Table | None = None) -> pa.Table:
        """Returns the rows of the results at the destination, sorted by output, whatever their fingerprint.

        A row counts until a later `done` row writes one of its files again.
        """
        rows = self.table() if rows is None else rows
        return _in_place(_last_per(rows.filter(pc.equal(rows["state"], DONE)), "item_id")).sort_by("output")

    def done(self, fingerprint: str, rows: pa.Table | None = None) -> set[str]:
        """Returns the items that are done under a fingerprint and whose outputs all exist with their recorded sizes.

        A later `done` row for the same item, or with a file of the same name, replaces an earlier one, because its
        files replaced the earlier files. A failed attempt under another fingerprint changed nothing. The destination is
        listed only once, however many items there are.
        """
        rows = self.table() if rows is None else rows
        is_done, is_ours = pc.equal(rows["state"], DONE), pc.equal(rows["fingerprint"], fingerprint)
        rows = _last_per(rows.filter(pc.or_(is_done, is_ours)), "item_id")
        rows = _in_place(rows.filter(pc.equal(rows["state"], DONE)))
        rows = rows.filter(pc.equal(rows["fingerprint"], fingerprint))
        if not rows.num_rows:
            return set()
        sizes = {file.name: file.size for file in self.storage.files(hidden=True)}
        complete, lost = set(), []
        for item, outputs in zip(rows["item_id"].to_pylist(), rows["outputs"].to_pylist(), strict=True):
            gone = [output["name"] for output in outputs if sizes.get(output["name"]) != output["size"]]
            lost += gone[:1]
            if not gone:
                complete.add(item)
        if lost:
            log.warning(
                "%d videos are recorded as done, but their outputs are missing or have another size (%s first): again",
                len(lost),
                printable(lost[0]),
            )
        return complete

    def other_fingerprints(self, fingerprint: str, rows: pa.Table | None = None) -> list[str]:
        """Returns the other fingerprints, sorted, under which something is done here: music of other settings."""
        rows = self.table() if rows is None else rows
        done = rows.filter(pc.equal(rows["state"], DONE))
        return sorted(set(done["fingerprint"].unique().to_pylist()) - {fingerprint})

    def _entries(self) -> list[Entry]:
        """Returns all parts, oldest first."""
        below = Storage(self.storage.scheme, f"{self.storage.root.rstrip('/')}/{self.folder}")
        return [replace(e, name=f"{self.folder}/{e.name}") for e in below.files() if e.name.endswith(".parquet")]

    def _part(self, name: str) -> pa.Table:
        import pyarrow.parquet as pq

        try:
            table = pq.ParquetFile(pa.BufferReader(self.storage.read(name))).read(use_threads=False)
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            where = self.storage.uri(name)
            raise LedgerError(f"{where}: the part is truncated or no Parquet ({reason}); move it away") from None
        return checked(table, self.storage.uri(name))


@dataclass(frozen=True)
class _PartsRead:
    """Parts of a ledger that were read, and their rows."""

    parts: frozenset[Entry]
    table: pa.Table


_last_read: dict[Ledger, _PartsRead] = {}
"""The ledger that was read last."""


def _last_per(rows: pa.Table, key: str) -> pa.Table:
    """Returns the last row of each value of `key` by (finished, attempt, place in the ledger), sorted by key."""
    import numpy as np

    if not rows.num_rows:
        return rows
    rows = rows.append_column("place", pa.array(np.arange(rows.num_rows)))
    order = [(key, "ascending"), ("finished", "ascending"), ("attempt", "ascending"), ("place", "ascending")]
    rows = rows.sort_by(order).drop_columns(["place"])
    codes = rows[key].combine_chunks().dictionary_encode().indices.to_numpy()
    return rows.take(pa.array(np.flatnonzero(np.append(codes[1:] != codes[:-1], True))))


def _in_place(rows: pa.Table) -> pa.Table:
    """Returns those of `done` rows, one of each item, of whose files no other row has written one later."""
    rows = rows.sort_by([("finished", "ascending"), ("attempt", "ascending")])
    items = rows["item_id"].to_pylist()
    files = [[output["name"] for output in outputs] for outputs in rows["outputs"].to_pylist()]
    writers = {name: item for item, names in zip(items, files, strict=True) for name in names}
    mine = [all(writers[name] == item for name in names) for item, names in zip(items, files, strict=True)]
    return rows.filter(pa.array(mine, pa.bool_()))
