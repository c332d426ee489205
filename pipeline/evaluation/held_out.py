"""Held-out clips: files of the procedural corpus that no training has seen, as the stages see any video."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.clip.checkpoint import clip_config
from models.synthetic import HELD_OUT
from models.weights.source import clip_digest
from pipeline.datasets.synthetic_videos import make_corpus
from stages.base import ItemError
from stages.contracts import FEATURES, MANIFEST, Row, rows_of, table_of
from stages.decode import Decode
from stages.extract_audio import Listen, Samples
from stages.extract_features import Features, FeaturesSettings
from stages.video.validation import DecodeSettings

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
"""Of what is read of a video: raised with every change that makes other rows of the same file."""
CLEAR = 0.15
"""How near the ends of 0..1 a film's warmth lies that is clearly dark and cold, or clearly bright and warm."""


@dataclass(frozen=True)
class Clip:
    """A video with what is known of it.

    Attributes:
        row: of `FEATURES`.
        sound: its own, 44.1 kHz: [samples, 2].
        truth: of `pipeline.datasets.synthetic_videos.TRUTH`.
    """

    row: Row
    sound: Samples
    truth: Row

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(self.row["duration"])

    @property
    def music(self) -> Tensor:
        """Its sound as [2, samples] in [-1, 1]."""
        import torch

        return torch.from_numpy(self.sound.T.astype(np.float32) / 32768)

    @property
    def cuts(self) -> list[float]:
        """Seconds at which the film really cuts."""
        return list(self.truth["cuts"])

    @property
    def related(self) -> bool:
        """Whether the film was edited to this music."""
        return bool(self.truth["related"])

    @property
    def film_pole(self) -> int:
        """-1 for a picture that is clearly dark and cold, 1 for one clearly bright and warm, 0 between."""
        warmth = float(self.truth["film_warmth"])
        return (warmth >= 1 - CLEAR) - (warmth <= CLEAR)

    @property
    def music_pole(self) -> int:
        """The same of its own music, as composed."""
        return int(self.truth["pole"])


class Reader:
    """Videos to rows of `FEATURES`, by the stages that score videos; rows that were read before come from a folder.

    Args:
        clip: weights of the image tower, see `FeaturesSettings`.
        device: of the tower.
        cache: folder that keeps the rows as Parquet, one file a video; none are kept if left out.
    """

    def __init__(self, clip: str = "tiny", device: str = "auto", cache: Path | None = None) -> None:
        self.clip, self.device, self.cache = clip, device, cache
        self._identity = clip_digest(clip)
        self._stages: tuple[Decode, Features] | None = None

    def read(self, path: Path) -> Row:
        """The row of one file.

        Raises:
            ItemError: the video cannot be used.
        """
        kept = self._kept(path)
        if kept is not None and kept.is_file():
            (row,) = rows_of(pq.read_table(kept, schema=FEATURES.schema))
            return row
        table = self._through_stages(path)
        (row,) = rows_of(table)
        if row["error"] is not None:
            raise ItemError(row["error"]["type"], row["error"]["message"])
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_name(f".{kept.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
            pq.write_table(table, part)
            part.replace(kept)
        return row

    def _through_stages(self, path: Path) -> pa.Table:
        if self._stages is None:
            size = clip_config(self.clip).image_size
            self._stages = Decode(DecodeSettings(clip_size=size)), Features(FeaturesSettings(self.clip, self.device))
        decode, features = self._stages
        name = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()
        row = {
            "item_id": name[:32],
            "content_id": name,  # draws the noise: the same wherever the file lies
            "uri": str(path),
            "output": path.name,
            "size": path.stat().st_size,
            "seconds": {},
        }
        return features(decode(table_of([row], MANIFEST)))

    def _kept(self, path: Path) -> Path | None:
        """Where a file's row is kept: named by the file's identity and the tower's."""
        if self.cache is None:
            return None
        facts = path.stat()
        identity = f"{path.resolve()}/{facts.st_size}/{facts.st_mtime_ns}/{self._identity}/{VERSION}"
        return self.cache / f"{path.stem}.{hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]}.parquet"


def held_out_clips(
    folder: Path,
    clips: int,
    seconds: float,
    reader: Reader,
    first: int = HELD_OUT,
    progress: Callable[[int, int], None] | None = None,
) -> list[Clip]:
    """Clips of the seeds from `first` on: made, or found in the folder where they were made before.

    Args:
        folder: takes the files and the truth about them.
        clips, seconds: how many, and how long.
        reader: of the pictures.
        first: seed, 10,000 or more.
        progress: told how many are ready, and of how many.

    Raises:
        ValueError: the first seed is one for training.
    """
    if first < HELD_OUT:
        raise ValueError(f"held-out clips have seeds of {HELD_OUT} and above, got {first}")
    seeds = range(first, first + clips)
    table = make_corpus(folder, clips, first, seconds, progress=progress)
    rows = {row["seed"]: row for row in table.to_pylist()}
    found = []
    for count, clip in enumerate(_clips(folder, [rows[seed] for seed in seeds], reader), 1):
        found.append(clip)
        if progress:
            progress(count, clips)
    return found


def _clips(folder: Path, truths: list[Row], reader: Reader) -> Iterator[Clip]:
    listen = Listen()
    for truth in truths:
        row = reader.read(folder / truth["file"])
        (heard,) = listen.process([row])
        if isinstance(heard, Exception):
            raise heard
        yield Clip(row, heard["sound"], truth)
