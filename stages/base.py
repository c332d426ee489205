"""The shape of every stage: an Arrow table in, an Arrow table out, one failing row never touching another."""

from __future__ import annotations

import logging
import time
from typing import ClassVar

import pyarrow as pa

from stages.contracts import Contract, Row, rows_of, table_of

log = logging.getLogger(__name__)


class ItemError(Exception):
    """What is wrong with one video, in one line that a user can act on.

    `kind` is the error's type in the ledger: a stable word such as `NotAVideo`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Stage:
    """One step of a clip's way. A subclass declares its contracts and resources, and computes new columns in `process`.

    A stage is built once per worker and then called with tables. Rows that carry an error pass through untouched.
    A row whose computation raises gets the error as a column; the others of its batch are computed again without it.
    """

    name: ClassVar[str]
    reads: ClassVar[Contract]
    writes: ClassVar[Contract]
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    batch_size: int = 1

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        """The new columns of each row, or the exception that stands in its way."""
        raise NotImplementedError

    def __call__(self, table: pa.Table) -> pa.Table:
        rows = rows_of(self.reads.check(table))
        sound = [row for row in rows if row["error"] is None]
        started = time.perf_counter()
        results = self._isolated(sound) if sound else []
        each = (time.perf_counter() - started) / max(len(sound), 1)
        for row, result in zip(sound, results, strict=True):
            row["seconds"] = (row["seconds"] or {}) | {self.name: each}
            if isinstance(result, dict) and (came := _bytes(row | result, self.writes)) > self.writes.budget:
                result = ItemError(
                    "TooLarge", f"{came >> 20} MiB from {self.name}, the most is {self.writes.budget >> 20}"
                )
                for name in self.writes.columns:  # what it would carry on
                    row.pop(name, None)
            if isinstance(result, Exception):
                row["error"] = self._error(row, result)
            else:
                row.update(result)
        return self.writes.check(table_of(rows, self.writes))

    def _isolated(self, rows: list[Row]) -> list[Row | Exception]:
        try:
            return self.process(rows)
        except Exception as fault:  # whatever it is, it is this row's alone
            if len(rows) == 1:
                return [fault]
        return [result for row in rows for result in self._isolated([row])]

    def _error(self, row: Row, fault: Exception) -> Row:
        kind = getattr(fault, "kind", None)
        if not isinstance(kind, str):
            log.error("%s failed on %s", self.name, row["item_id"], exc_info=fault)
            kind = type(fault).__name__
        message = " ".join(str(fault).split()) or kind
        return {"stage": self.name, "type": kind, "message": message[:1000]}


def _bytes(row: Row, contract: Contract) -> int:
    """Of the tensors that a row carries on, new ones and those that were there."""
    return sum(getattr(row.get(name), "nbytes", 0) for name in contract.columns)
