"""Packing a dataset for a machine that has torch and numpy alone: `diff-v2m experiment pack-dataset`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from models.training.data.packed import pack
from pipeline.datasets.dataset import Dataset
from pipeline.training.data import digest_segments, list_segments

COLUMNS = (
    "seconds", "semantic", "color", "scene_cut", "visual_beat", "odf", "mel", "tempo", "key", "curve", "pace", "cuts",
    "duration", "latents",
)  # fmt: skip


def pack_dataset(dataset: Dataset, folder: Path, columns: Sequence[str] = COLUMNS) -> int:
    """Writes a dataset's segments as `models.training.data.packed` reads them; their sound stays behind.

    Args:
        folder: takes the files; it is made if needed.
        columns: the columns of a segment that are packed.

    Returns:
        The number of segments.

    Raises:
        OSError: they cannot be written.
    """

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(len(dataset)):
            yield dataset.segment(number, columns)

    segments = list_segments(dataset)
    pack(rows(), [seconds for _, seconds in segments], dataset.settings, digest_segments(segments), folder)
    return len(dataset)
