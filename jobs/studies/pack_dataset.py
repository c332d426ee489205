"""Pack a dataset for a bare machine: `python -m jobs.studies.pack_dataset DATASET FOLDER`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from models.training.data.packed import pack
from pipeline.datasets.dataset import Dataset, DatasetError
from pipeline.storage.storage import StorageError
from pipeline.training.data import contents, contents_digest

COLUMNS = (
    "seconds", "semantic", "color", "scene_cut", "visual_beat", "odf", "mel", "tempo", "key", "curve", "pace", "cuts",
    "duration", "latents",
)  # fmt: skip


def pack_dataset(dataset: Dataset, folder: Path, columns: Sequence[str] = COLUMNS) -> int:
    """Write a dataset's segments as `models.training.data.packed` reads them; their sound stays behind.

    Returns:
        How many there are.
    """

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(len(dataset)):
            yield dataset.segment(number, columns)

    found = contents(dataset)
    pack(rows(), [seconds for _, seconds in found], dataset.settings, contents_digest(found), folder)
    return len(dataset)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.studies.pack_dataset", description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args(arguments)
    try:
        count = pack_dataset(Dataset.open(asked.dataset), asked.folder)
    except (DatasetError, StorageError, OSError) as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    print(f"{count} segments in {asked.folder}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
