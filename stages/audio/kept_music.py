"""Kept music: the table row before the mix as a file, so that the music can be mixed again without being made again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from stages.contracts import SOUND, ContractError, Row, rows_of, table_of


def write_kept_music(row: Row, path: Path) -> None:
    """Writes the columns of `SOUND` of a row to a file: an Arrow IPC file with one row.

    Args:
        row: a row of `MIXED` whose `music` holds the music as the model released it.
        path: file that is written.
    """
    table = table_of([row | {"waveform": row["music"]}], SOUND)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_kept_music(data: bytes) -> Row:
    """Returns the row that `write_kept_music` wrote.

    Raises:
        ValueError: the bytes are no such file, or another version wrote them.
    """
    try:
        (row,) = rows_of(SOUND.check(pa.ipc.open_file(pa.BufferReader(data)).read_all()))
    except (pa.ArrowException, ContractError) as error:
        raise ValueError(f"no music of this version: {error}") from error
    return row
