"""A dataset in plain files, for machines that have torch and numpy alone: a file for each segment, and an index."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.training.checkpoints import TrainingError
from models.training.data.crops import Segment

INDEX = "packed.json"
"""File that makes a folder one of packed segments; written last."""
VERSION = 2


def pack(
    rows: Iterable[Segment], seconds: Sequence[float], settings: Mapping[str, Any], contents: str, folder: Path
) -> None:
    """Write segments to a folder, made if needed; what was packed there before is replaced.

    Args:
        rows: the segments' columns: arrays, numbers, text or None.
        seconds: of each segment.
        settings: of the dataset, as JSON can hold them.
        contents: stands for which segments they are.

    Raises:
        OSError: they cannot be written.
        ValueError: there are more or fewer rows than seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    columns: list[str] = []
    for number, (row, _) in enumerate(zip(rows, seconds, strict=True)):
        columns = list(row)
        writing = folder / f"{_file(number)}.writing"
        with writing.open("wb") as file:
            arrays: dict[str, Any] = {name: np.asarray(value) for name, value in row.items() if value is not None}
            np.savez(file, **arrays)
        os.replace(writing, folder / _file(number))
    index = {"version": VERSION, "settings": dict(settings), "contents": contents}
    index |= {"seconds": list(seconds), "columns": columns}
    writing = folder / f"{INDEX}.writing"
    writing.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    os.replace(writing, folder / INDEX)


class PackedSegments:
    """Segments that `pack` wrote; see `models.training.data.batches.Segments`.

    Attributes:
        settings: of the dataset.
        seconds: of each segment.
        contents: stands for which segments they are.

    Raises:
        TrainingError: the folder holds none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            version = index["version"]
            self.settings: dict[str, Any] = dict(index["settings"])
            self.seconds: list[float] = list(index["seconds"])
            self._columns: list[str] = list(index["columns"])
            self.contents = str(index["contents"])
        except (OSError, ValueError, TypeError, KeyError) as fault:
            raise TrainingError(f"{folder} holds no packed segments: pack a dataset there first") from fault
        if version != VERSION:
            raise TrainingError(f"{folder} was packed by another version ({version}): pack the dataset again")

    def __len__(self) -> int:
        return len(self.seconds)

    def segment(self, index: int, columns: Sequence[str] | None = None) -> Segment:
        """A segment's columns: those wanted, all if left out.

        Raises:
            TrainingError: a column was not packed, or the file is damaged.
        """
        wanted = list(columns) if columns is not None else self._columns
        if missing := [name for name in wanted if name not in self._columns]:
            raise TrainingError(f"the packed segments in {self.folder} have no column {missing[0]!r}")
        path = self.folder / _file(index)
        try:
            with np.load(path) as arrays:
                return {name: _plain(arrays[name]) if name in arrays.files else None for name in wanted}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as fault:
            raise TrainingError(f"{path} is damaged: pack the dataset again") from fault


def _file(number: int) -> str:
    return f"{number:08d}.npz"


def _plain(array: np.ndarray) -> Any:
    """Numbers and text as they were packed."""
    return array.item() if array.ndim == 0 else array
