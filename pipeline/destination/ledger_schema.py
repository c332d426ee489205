"""The columns of a ledger, and the checks that a table has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from models.errors import UserError
from stages.contracts import OUTPUT, Row

DONE, FAILED = "done", "failed"

SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),  # the key: a hash of the content and the output's name
        pa.field("content_id", pa.string()),  # a hash of the content alone
        pa.field("uri", pa.string(), nullable=False),  # the source: absolute local path or URL
        pa.field("output", pa.string(), nullable=False),  # the scored video's path below the destination
        pa.field("state", pa.string(), nullable=False),  # `done` or `failed`
        pa.field("stage", pa.string()),  # the stage that failed; null when done
        pa.field("error_type", pa.string()),  # a kind of `stages.error_kinds`, such as NotAVideo; null when done
        pa.field("error_message", pa.string()),  # one line; null when done
        pa.field("seconds", pa.map_(pa.string(), pa.float64())),  # wall time of each stage, in seconds
        pa.field("outputs", pa.list_(OUTPUT)),  # delivered files: name below the destination, size in bytes, hash
        pa.field("duration", pa.float64()),  # seconds of the video; null if it was never decoded
        pa.field("frames_lost", pa.int32()),  # frames that could not be read; null in rows of earlier versions
        pa.field("seconds_held", pa.float64()),  # seconds in which an earlier frame is shown in their place
        pa.field("left_behind", pa.list_(pa.string())),  # kinds of streams that the scored video does not have
        pa.field("seed", pa.int64()),  # the run's seed
        pa.field("fingerprint", pa.string(), nullable=False),  # a hash of everything that changes the result
        pa.field("music", pa.string()),  # a hash of everything that changes the music; null in rows of earlier versions
        pa.field("attempt", pa.int32(), nullable=False),  # number of the attempt, from 1
        pa.field("worker", pa.string()),  # name of the machine that wrote the row
        pa.field("started", pa.timestamp("us", "UTC")),  # when the last stage began with the row
        pa.field("finished", pa.timestamp("us", "UTC"), nullable=False),  # when the row was written
    ]
)

ADDED_COLUMNS = ("frames_lost", "seconds_held", "left_behind", "music")
"""Columns that parts of earlier versions lack."""


class LedgerError(UserError):
    """The ledger cannot be read, or a row does not fit it. The message names the file or the column."""


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Returns rows as a table, a column that a row lacks as null.

    Raises:
        LedgerError: a row has an unknown column, or a value is of the wrong type.
    """
    unknown = sorted({name for row in rows for name in row} - set(SCHEMA.names))
    if unknown:
        raise LedgerError(f"the new rows have unknown columns {unknown}; known are {SCHEMA.names}")
    arrays = []
    for field in SCHEMA:
        values: list[Any] = [row.get(field.name) for row in rows]
        if pa.types.is_map(field.type):
            values = [list(value.items()) if isinstance(value, dict) else value for value in values]
        try:
            arrays.append(pa.array(values, field.type))
        except (pa.ArrowException, TypeError) as error:
            raise LedgerError(f"the new rows' {field.name} is no {field.type}: {error}") from None
    return pa.Table.from_arrays(arrays, names=SCHEMA.names)


def checked(table: pa.Table, where: str) -> pa.Table:
    """Returns a table in `SCHEMA`: columns that an earlier version lacks are null, those of a later one are dropped.

    Args:
        table: the table.
        where: name of the table in messages.

    Raises:
        LedgerError: a column is missing, of another type, or has nulls where it may not.
    """
    if table.schema.equals(SCHEMA):  # the usual case, and a ledger has a part for every attempt
        return table.replace_schema_metadata(None)
    for field in SCHEMA:
        if field.name not in table.column_names and field.name in ADDED_COLUMNS:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        if field.name not in table.column_names:
            raise LedgerError(f"{where}: no column {field.name!r}; is it a ledger of diff-v2m?")
        column = table.column(field.name)
        if column.type != field.type:
            raise LedgerError(f"{where}: column {field.name!r} is {column.type}, expected {field.type}")
        if not field.nullable and column.null_count:
            raise LedgerError(f"{where}: column {field.name!r} has {column.null_count} empty values")
    table = table.select(SCHEMA.names).replace_schema_metadata(None)
    return table if table.schema.equals(SCHEMA) else table.cast(SCHEMA)


def check_states(table: pa.Table) -> None:
    """Checks that done rows have outputs and no error, and that failed rows have an error.

    Raises:
        LedgerError: a row does not.
    """
    columns = (table[name].to_pylist() for name in ("item_id", "state", "error_type", "outputs"))
    for item, state, error, outputs in zip(*columns, strict=True):
        if state == DONE and (error is not None or not outputs):
            raise LedgerError(f"{item}: a done row has outputs and no error, got {outputs} and {error!r}")
        if state == FAILED and error is None:
            raise LedgerError(f"{item}: a failed row has an error_type")
        if state not in (DONE, FAILED):
            raise LedgerError(f"{item}: state is {DONE!r} or {FAILED!r}, got {state!r}")
