"""Held-out clips: files of the synthetic corpus that are never trained on, with features as for any other video."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.clip.checkpoint import clip_config
from models.progress import ProgressCallback
from models.synthetic import HELD_OUT
from models.weights.source import clip_digest
from pipeline.datasets.synthetic_videos import make_corpus
from stages.base import ItemError
from stages.contracts import FEATURES, MANIFEST, Row, rows_of, table_of
from stages.decode import Decode
from stages.extract_audio import ExtractAudio, Samples
from stages.extract_features import ExtractFeatures, ExtractFeaturesSettings
from stages.video.decode_settings import DecodeSettings

if TYPE_CHECKING:
    from torch import Tensor

ROWS_VERSION = 3
"""Version of the rows that are read of a video, raised with every change that makes other rows of the same file."""
CLEAR_MOOD = 0.15
"""Greatest distance of a film's warmth from 0 or 1 at which the film is clearly dark and cold, or bright and warm."""


@dataclass(frozen=True)
class HeldOutClip:
    """A video of the corpus with its features, its own music and the truth about both.

    Attributes:
        row: row of `FEATURES`.
        sound: its own music at 44.1 kHz, int16, [samples, 2].
        truth: row of `pipeline.datasets.synthetic_truth.TRUTH`.
    """

    row: Row
    sound: Samples
    truth: Row

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return float(self.row["duration"])

    @property
    def music(self) -> Tensor:
        """The music as [2, samples] in [-1, 1]."""
        import torch

        return torch.from_numpy(self.sound.T.astype(np.float32) / 32768)

    @property
    def cuts(self) -> list[float]:
        """True times of the cuts in seconds."""
        return list(self.truth["cuts"])

    @property
    def related(self) -> bool:
        """Whether the film was edited to this music."""
        return bool(self.truth["related"])

    @property
    def film_mood_label(self) -> int:
        """The mood of the film: -1 clearly dark and cold, 1 clearly bright and warm, 0 between."""
        warmth = float(self.truth["film_warmth"])
        return (warmth >= 1 - CLEAR_MOOD) - (warmth <= CLEAR_MOOD)

    @property
    def music_mood_label(self) -> int:
        """The mood of the music, as it was composed, in the same numbers."""
        return int(self.truth["pole"])


class FeatureReader:
    """Reads videos as rows of `FEATURES`, with the stages of scoring; a cache keeps the rows.

    Args:
        clip_weights: weights of the image encoder, see `ExtractFeaturesSettings`.
        device: device of the image encoder.
        cache: folder that keeps the rows as Parquet, one file per video; no rows are kept if left out.
    """

    def __init__(self, clip_weights: str = "tiny", device: str = "auto", cache: Path | None = None) -> None:
        self.clip_weights, self.device, self.cache = clip_weights, device, cache
        self._weights_digest = clip_digest(clip_weights)
        self._stages: tuple[Decode, ExtractFeatures] | None = None

    def read(self, path: Path) -> Row:
        """Returns the row of one file.

        Raises:
            ItemError: the video cannot be used.
        """
        cached = self._cache_file(path)
        if cached is not None and cached.is_file():
            (row,) = rows_of(pq.read_table(cached, schema=FEATURES.schema))
            return row
        table = self._run_stages(path)
        (row,) = rows_of(table)
        if row["error"] is not None:
            raise ItemError(row["error"]["type"], row["error"]["message"])
        if cached is not None:
            cached.parent.mkdir(parents=True, exist_ok=True)
            part = cached.with_name(f".{cached.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
            pq.write_table(table, part)
            part.replace(cached)
        return row

    def _run_stages(self, path: Path) -> pa.Table:
        """Returns the table of one file after decoding and feature extraction."""
        if self._stages is None:
            size = clip_config(self.clip_weights).image_size
            self._stages = (
                Decode(DecodeSettings(clip_size=size, settles_output=False)),
                ExtractFeatures(ExtractFeaturesSettings(self.clip_weights, self.device)),
            )
        decode, features = self._stages
        name = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()
        row = {
            "item_id": name[:32],
            "content_id": name,  # seeds the noise, so it must not depend on the folder of the file
            "uri": str(path),
            "output": path.name,
            "size": path.stat().st_size,
            "seconds": {},
        }
        return features(decode(table_of([row], MANIFEST)))

    def _cache_file(self, path: Path) -> Path | None:
        """Returns the cache file of a video, which is named by the identities of the video and of the image encoder."""
        if self.cache is None:
            return None
        status = path.stat()
        identity = f"{path.resolve()}/{status.st_size}/{status.st_mtime_ns}/{self._weights_digest}/{ROWS_VERSION}"
        return self.cache / f"{path.stem}.{hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]}.parquet"


def held_out_clips(
    folder: Path,
    clips: int,
    seconds: float,
    reader: FeatureReader,
    first: int = HELD_OUT,
    on_progress: ProgressCallback | None = None,
    people: str = "none",
) -> list[HeldOutClip]:
    """Returns the clips of the seeds from `first` on; those that are not in the folder yet are made.

    Args:
        folder: folder of the files and of the truth about them.
        clips: number of clips.
        seconds: duration of a clip.
        reader: reads the pictures.
        first: first seed, 10,000 or more.
        on_progress: receives how many clips are ready, and of how many.
        people: people in the films, of a kind of `models.synthetic.film.people.casting.PEOPLE`, or none.

    Raises:
        ValueError: the first seed is one for training.
    """
    if first < HELD_OUT:
        raise ValueError(f"held-out clips have seeds of {HELD_OUT} and above, got {first}")
    seeds = range(first, first + clips)
    table = make_corpus(folder, clips, first, seconds, on_progress=on_progress, people=people)
    rows = {row["seed"]: row for row in table.to_pylist()}
    found = []
    for count, clip in enumerate(_clips(folder, [rows[seed] for seed in seeds], reader), 1):
        found.append(clip)
        if on_progress:
            on_progress(count, clips)
    return found


def _clips(folder: Path, truths: list[Row], reader: FeatureReader) -> Iterator[HeldOutClip]:
    extract_audio = ExtractAudio()
    for truth in truths:
        row = reader.read(folder / truth["file"])
        (audio,) = extract_audio.process([row])
        if isinstance(audio, Exception):
            raise audio
        yield HeldOutClip(row, audio["sound"], truth)
