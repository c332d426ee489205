"""Packed datasets, for machines that have only torch and numpy: a file per segment, and an index."""

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
"""The index of a folder of packed segments. It is written last, so a folder with an index is complete."""
VERSION = 2


def pack(
    rows: Iterable[Segment], seconds: Sequence[float], settings: Mapping[str, Any], contents: str, folder: Path
) -> None:
    """Writes segments to a folder, which is made if needed; segments that were packed there before are replaced.

    Args:
        rows: the columns of each segment: arrays, numbers, text or None.
        seconds: duration of each segment.
        settings: settings of the dataset, as JSON values.
        contents: digest that identifies the segments.
        folder: the folder.

    Raises:
        OSError: they cannot be written.
        ValueError: there are more or fewer rows than seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    columns: list[str] = []
    for number, (row, _) in enumerate(zip(rows, seconds, strict=True)):
        columns = list(row)
        temporary = folder / f"{_file(number)}.writing"
        with temporary.open("wb") as file:
            arrays: dict[str, Any] = {name: np.asarray(value) for name, value in row.items() if value is not None}
            np.savez(file, **arrays)
        os.replace(temporary, folder / _file(number))
    index = {"version": VERSION, "settings": dict(settings), "contents": contents}
    index |= {"seconds": list(seconds), "columns": columns}
    temporary = folder / f"{INDEX}.writing"
    temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, folder / INDEX)


class PackedSegments:
    """Segments that `pack` wrote; see `models.training.data.batches.SegmentSource`.

    Attributes:
        settings: settings of the dataset.
        seconds: duration of each segment.
        contents: digest that identifies the segments.

    Raises:
        TrainingError: the folder holds no packed segments.
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
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise TrainingError(f"{folder} holds no packed segments: pack a dataset there first") from error
        if version != VERSION:
            raise TrainingError(f"{folder} was packed by another version ({version}): pack the dataset again")

    def __len__(self) -> int:
        return len(self.seconds)

    def segment(self, index: int, columns: Sequence[str] | None = None) -> Segment:
        """Returns the given columns of a segment, all columns if left out.

        Raises:
            TrainingError: a column was not packed, or the file is damaged.
        """
        names = list(columns) if columns is not None else self._columns
        if missing := [name for name in names if name not in self._columns]:
            raise TrainingError(f"the packed segments in {self.folder} have no column {missing[0]!r}")
        path = self.folder / _file(index)
        try:
            with np.load(path) as arrays:
                return {name: _plain(arrays[name]) if name in arrays.files else None for name in names}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise TrainingError(f"{path} is damaged: pack the dataset again") from error


def _file(number: int) -> str:
    return f"{number:08d}.npz"


def _plain(array: np.ndarray) -> Any:
    """Returns numbers and text, which are packed as arrays without dimensions, as they were."""
    return array.item() if array.ndim == 0 else array
