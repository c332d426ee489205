"""The base of all stages: an Arrow table in, an Arrow table out, and a failing row never affects another."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import ClassVar

import pyarrow as pa

from stages.contracts import Contract, Row, rows_of, table_of

log = logging.getLogger(__name__)


class ItemError(Exception):
    """An error of one video: its message is one line that a user can act on.

    `kind` is the error's type in the ledger: a stable word such as `NotAVideo`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Stage:
    """One step of a clip's way. A subclass declares its contracts and resources, and computes new columns in `process`.

    A stage is built once per worker and then called with tables. Rows that carry an error pass through untouched.
    A row whose computation raises gets the error as a column; the other rows of its batch are then computed without it.
    """

    name: ClassVar[str]
    reads: ClassVar[Contract]
    writes: ClassVar[Contract]
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    batch_size: int = 1

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        """Returns for each row its new columns, or the exception that prevents them."""
        raise NotImplementedError

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns the table of the contract `writes` for a table of the contract `reads`, with the same rows in order.

        Raises:
            ContractError: a table does not keep its contract.
        """
        rows = rows_of(self.reads.check(table))
        valid = [row for row in rows if row["error"] is None]
        started = time.perf_counter()
        results = self._isolated(valid) if valid else []
        seconds_each = (time.perf_counter() - started) / max(len(valid), 1)
        for row, result in zip(valid, results, strict=True):
            row["seconds"] = (row["seconds"] or {}) | {self.name: seconds_each}
            if isinstance(result, dict) and (size := _tensor_bytes(row | result, self.writes)) > self.writes.budget:
                result = ItemError(
                    "TooLarge", f"{size >> 20} MiB from {self.name}, the most is {self.writes.budget >> 20}"
                )
                for name in self.writes.columns:  # columns of earlier stages count for the budget too
                    row.pop(name, None)
            if isinstance(result, Exception):
                row["error"] = self._error(row, result)
            else:
                row.update(result)
        return self.writes.check(table_of(rows, self.writes))

    def _isolated(self, rows: list[Row]) -> list[Row | Exception]:
        """Processes the rows together; if that raises, each one alone, so that an exception costs only its own row."""
        try:
            return self.process(rows)
        except Exception as error:
            if len(rows) == 1:
                return [error]
        return [result for row in rows for result in self._isolated([row])]

    def _error(self, row: Row, error: Exception) -> Row:
        """Returns the `error` column of a row; an exception without a kind is a fault of ours, and is logged whole."""
        kind = getattr(error, "kind", None)
        if not isinstance(kind, str):
            log.error("%s failed on %s", self.name, row["item_id"], exc_info=error)
            kind = type(error).__name__
        message = " ".join(str(error).split()) or kind
        return {"stage": self.name, "type": kind, "message": message[:1000]}


def process_each(rows: list[Row], compute: Callable[[Row], Row]) -> list[Row | Exception]:
    """Computes the rows one after another; an `ItemError` becomes the result of its row."""
    results: list[Row | Exception] = []
    for row in rows:
        try:
            results.append(compute(row))
        except ItemError as error:
            results.append(error)
    return results


def _tensor_bytes(row: Row, contract: Contract) -> int:
    """Returns the bytes of all tensors of a row that the contract carries on, whichever stage made them."""
    return sum(getattr(row.get(name), "nbytes", 0) for name in contract.columns)
