"""Datasets as a training reads them: from their shards, from a packed folder, or from Ray's object store."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.training.checkpoints import TrainingError
from models.training.config import CORPUS, TrainConfig, TrainedStage
from models.training.data.batches import SegmentSource
from models.training.data.crops import columns_of as crop_columns
from models.training.data.packed import INDEX, PackedSegments
from models.training.factory import check_latents_codec
from pipeline.datasets.dataset import Dataset, DatasetError
from pipeline.storage.storage import Storage, StorageError
from stages.contracts import Row, rows_of


@dataclass(frozen=True)
class TrainingData:
    """An opened dataset.

    Attributes:
        segments: the segments.
        seconds: duration of each segment.
        settings: settings with which the dataset was made.
        contents: digest, in hexadecimal, that identifies the list of segments.
    """

    segments: SegmentSource
    seconds: Sequence[float]
    settings: Mapping[str, Any]
    contents: str = ""

    def identity(self) -> dict[str, Any]:
        """Returns what must be the same for a training to continue."""
        return {"dataset": dict(self.settings), "segments": len(self.segments), "contents": self.contents}


def open_training_data(config: TrainConfig) -> TrainingData:
    """Returns the dataset of a configuration, checked against what the training needs.

    Raises:
        TrainingError: there is no dataset, it is empty, or its latents are missing or of another codec.
    """
    if (Path(config.dataset) / INDEX).is_file():
        packed = PackedSegments(Path(config.dataset))
        return _checked(config, TrainingData(packed, packed.seconds, packed.settings, packed.contents))
    try:
        storage = Storage.open(config.dataset)
        storage.check()
        dataset = Dataset.open(config.dataset)
    except (DatasetError, StorageError) as error:
        raise TrainingError(f"training: dataset: {error}") from error
    listed = list_segments(dataset)
    seconds = [seconds for _, seconds in listed]
    return _checked(config, TrainingData(dataset, seconds, dataset.settings, digest_segments(listed)))


def _checked(config: TrainConfig, data: TrainingData) -> TrainingData:
    if not len(data.segments):
        raise TrainingError(f"the dataset {config.dataset} has no segments: prepare videos with music first")
    if config.stage is TrainedStage.DIFFUSION:
        check_latents_codec(config, data.settings.get("codec"))
    return data


SegmentKey = tuple[str, int]
"""A segment's item, and its number among the segments of the item."""


def list_segments(dataset: Dataset) -> list[tuple[SegmentKey, float]]:
    """Returns the key and the seconds of each segment of a dataset, in the dataset's order."""
    seen: dict[str, list[float]] = {}
    for shard in dataset.shards:
        for item, durations in shard.items.items():
            seen.setdefault(item, durations)
    return [((item, number), seconds) for item, durations in seen.items() for number, seconds in enumerate(durations)]


def digest_segments(listed: Sequence[tuple[SegmentKey, float]]) -> str:
    """Returns a digest of the list that `list_segments` returns."""
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


class ArrowSegments:
    """Segments in Arrow tables, which may lie in memory that several processes share.

    Args:
        tables: rows of `stages.cut_segments.SEGMENT`, in any order.
        order: keys of the segments in their order.

    Raises:
        TrainingError: a segment is missing.
    """

    def __init__(self, tables: Iterable[pa.Table], order: Sequence[SegmentKey]) -> None:
        self._tables = list(tables)
        places: dict[SegmentKey, tuple[int, int]] = {}
        for number, table in enumerate(self._tables):
            names, indices = table["item_id"].to_pylist(), table["index"].to_pylist()
            for row, key in enumerate(zip(names, indices, strict=True)):
                places.setdefault(key, (number, row))
        if missing := [key for key in order if key not in places]:
            raise TrainingError(f"the dataset changed while it was read: segment {missing[0]} is gone; start again")
        self._places = [places[key] for key in order]

    def __len__(self) -> int:
        return len(self._places)

    def segment(self, index: int, columns: Sequence[str] | None = None) -> Row:
        """Returns the columns of a segment; see `models.training.data.batches.SegmentSource`."""
        table, row = self._places[index]
        return rows_of(self._tables[table].slice(row, 1), columns)[0]


def decode_excerpt(data: bytes, place: float, samples: int) -> npt.NDArray[np.int16]:
    """Returns a part of a FLAC file, as `SoundSource.excerpt` does; only that part is decoded."""
    import soundfile

    with soundfile.SoundFile(io.BytesIO(data)) as file:
        file.seek(int(place * (max(file.frames - samples, 0) + 1)))
        piece = file.read(samples, dtype="int16", always_2d=True)
    return np.pad(piece, ((0, samples - len(piece)), (0, 0)))


def is_composed(config: TrainConfig) -> bool:
    """Whether a training composes its own sounds."""
    return config.stage is TrainedStage.AUTOENCODER and config.dataset == CORPUS


def load_into_ray(config: TrainConfig, dataset: Dataset) -> list[Any]:
    """Reads a dataset's shards into Ray's object store, once, and returns references to the Arrow tables there.

    Only the columns that the training needs are read.
    """
    import ray

    names = [dataset.storage.uri(shard.name) for shard in dataset.shards]
    options: dict[str, Any] = {}
    if not dataset.storage.local:
        names = [name.split("://", 1)[1] for name in names]
        options["filesystem"] = dataset.storage.client
    read = ray.data.read_parquet(names, columns=columns_of(config), **options)
    return list(read.materialize().to_arrow_refs())


def columns_of(config: TrainConfig) -> list[str]:
    """Returns the columns of `SEGMENT` that a training needs."""
    keys = ["item_id", "index"]
    if config.stage is TrainedStage.AUTOENCODER:
        return [*keys, "sound", "duration"]
    return [*keys, "duration", "cuts", *crop_columns(config.network)]
