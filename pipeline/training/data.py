"""Datasets as a training reads them: from their shards, or out of Ray's object store."""

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
from models.training.data.batches import Segments
from models.training.data.packed import INDEX, PackedSegments
from models.training.factory import check_codec
from pipeline.datasets.dataset import Dataset, DatasetError
from pipeline.storage.storage import Storage, StorageError
from stages.contracts import Row, rows_of


@dataclass(frozen=True)
class Prepared:
    """A dataset that has been opened.

    Attributes:
        seconds: of each segment.
        facts: what tells it from other datasets.
        contents: stands for which segments they are, in hexadecimal.
    """

    segments: Segments
    seconds: Sequence[float]
    facts: Mapping[str, Any]
    contents: str = ""


def open_prepared(config: TrainConfig) -> Prepared:
    """The dataset of a configuration, held against what the training needs.

    Raises:
        TrainingError: it is none, is empty, or its latents are missing or of another codec.
    """
    if (Path(config.dataset) / INDEX).is_file():
        packed = PackedSegments(Path(config.dataset))
        return _checked(config, Prepared(packed, packed.seconds, packed.settings, packed.contents))
    try:
        storage = Storage.open(config.dataset)
        storage.check()
        dataset = Dataset.open(config.dataset)
    except (DatasetError, StorageError) as fault:
        raise TrainingError(f"training: dataset: {fault}") from fault
    found = contents(dataset)
    return _checked(
        config, Prepared(dataset, [seconds for _, seconds in found], dataset.settings, contents_digest(found))
    )


def _checked(config: TrainConfig, found: Prepared) -> Prepared:
    if not len(found.segments):
        raise TrainingError(f"the dataset {config.dataset} has no segments: prepare videos with music first")
    if config.stage is TrainedStage.DIFFUSION:
        check_codec(config, found.facts.get("codec"))
    return found


def facts_of(config: TrainConfig, found: Prepared) -> dict[str, Any]:
    """What must stay the same for a training to go on."""
    return {"dataset": dict(found.facts), "segments": len(found.segments), "contents": found.contents}


def contents(dataset: Dataset) -> list[tuple[tuple[str, int], float]]:
    """Item and number in it, and seconds, of each of a dataset's segments, in its order."""
    seen: dict[str, list[float]] = {}
    for shard in dataset.shards:
        for item, lasting in shard.items.items():
            seen.setdefault(item, lasting)
    return [((item, number), seconds) for item, lasting in seen.items() for number, seconds in enumerate(lasting)]


def contents_digest(found: Sequence[tuple[tuple[str, int], float]]) -> str:
    """Stands for what `contents` gives."""
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


class ArrowSegments:
    """Segments in Arrow tables, which may lie in memory that others share.

    Args:
        tables: rows of `stages.cut_segments.SEGMENT`, in any order.
        order: item, and number in it, of each segment.

    Raises:
        TrainingError: a segment is missing.
    """

    def __init__(self, tables: Iterable[pa.Table], order: Sequence[tuple[str, int]]) -> None:
        self._tables = list(tables)
        places: dict[tuple[str, int], tuple[int, int]] = {}
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
        """See `models.training.data.batches.Segments`."""
        table, row = self._places[index]
        return rows_of(self._tables[table].slice(row, 1), columns)[0]


def excerpt(data: bytes, place: float, samples: int) -> npt.NDArray[np.int16]:
    """`Sounds.excerpt` of a FLAC file: only what is wanted is decoded."""
    import soundfile

    with soundfile.SoundFile(io.BytesIO(data)) as file:
        file.seek(int(place * (max(file.frames - samples, 0) + 1)))
        piece = file.read(samples, dtype="int16", always_2d=True)
    return np.pad(piece, ((0, samples - len(piece)), (0, 0)))


def is_composed(config: TrainConfig) -> bool:
    """Whether a training composes its own sound."""
    return config.stage is TrainedStage.AUTOENCODER and config.dataset == CORPUS


def blocks(config: TrainConfig, dataset: Dataset) -> list[Any]:
    """References to Arrow tables of a dataset's shards, read by Ray Data into the object store, once.

    Only columns that the training reads are taken along.
    """
    import ray

    names = [dataset.storage.uri(shard.name) for shard in dataset.shards]
    options: dict[str, Any] = {}
    if not dataset.storage.local:
        from pipeline.storage.clients import connect

        names = [name.split("://", 1)[1] for name in names]
        options["filesystem"] = connect(dataset.storage.scheme, dataset.storage.root, patient=True)
    read = ray.data.read_parquet(names, columns=columns_of(config), **options)
    return list(read.materialize().to_arrow_refs())


def columns_of(config: TrainConfig) -> list[str]:
    """Columns of `SEGMENT` that a training reads."""
    from models.training.data import crops as cutting

    keys = ["item_id", "index"]
    if config.stage is TrainedStage.AUTOENCODER:
        return [*keys, "sound", "duration"]
    return [*keys, "duration", "cuts", *cutting.columns_of(config.network)]
