"""Builds a dataset for training from videos with music; run again, it continues where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.clip.checkpoint import clip_config
from models.errors import UserError
from models.weights.source import ModelSource, clip_digest
from pipeline.cluster.resources import Layout
from pipeline.cluster.session import cluster, machine_of_cluster
from pipeline.datasets.dataset import DatasetError
from pipeline.datasets.synthetic_truth import TABLE
from pipeline.datasets.writer import DatasetWriter
from pipeline.discovery import discover
from pipeline.scoring.progress import ProgressListener
from pipeline.scoring.run import RunSummary
from pipeline.scoring.steps import STAGE_SHARES
from pipeline.scoring.streaming import Step, run_steps
from pipeline.sources.explore import SourceError
from pipeline.storage.storage import Storage, StorageError, localize
from stages.contracts import Row
from stages.cut_segments import (
    DOWNSAMPLING,
    LENGTHS,
    SHORTEST_TAIL,
    CutSegments,
    CutSegmentsSettings,
    check_codec_grid,
    unpack_segments,
)
from stages.decode import Decode
from stages.error_kinds import is_permanent
from stages.extract_audio import ExtractAudio
from stages.extract_features import ExtractFeatures, ExtractFeaturesSettings
from stages.video.decode_settings import DecodeSettings

STAGES = ("decode", "features", "listen", "segments")
VERSION = "3"
"""Version of the arithmetic. Every change that makes other segments from the same videos and settings raises it."""


@dataclass(frozen=True)
class PrepareSettings:
    """Settings for making a dataset.

    Attributes:
        clip_weights: `tiny`, or the path of open_clip weights for the semantic features.
        codec: the model whose autoencoder makes the latents; without one there are no latents.
        device: `auto`, `cpu` or `cuda`; it is not part of the dataset's settings.
    """

    clip_weights: str = "tiny"
    codec: ModelSource | None = None
    device: str = "auto"

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as they are in a dataset's manifest. This reads the files of the weights.

        Raises:
            DatasetError: the codec makes latents of another length.
        """
        if self.codec is not None:
            try:
                check_codec_grid(self.codec)
            except (ValueError, UserError) as error:
                raise DatasetError(str(error)) from None
        semantic = clip_config(self.clip_weights).embed_dim
        return dataset_settings(clip_digest(self.clip_weights), semantic, self.codec, "frames")


def dataset_settings(clip: str, semantic: int, codec: ModelSource | None, pace: str) -> dict[str, Any]:
    """Returns the settings in the manifest of a dataset.

    Args:
        clip: digest of the image encoder.
        semantic: width of its embeddings.
        codec: the model whose autoencoder made the latents, if there are latents.
        pace: the resolution at which the motion of the picture was measured, `frames` or `seconds`.
    """
    return {
        "version": VERSION,
        "clip": clip,
        "semantic": semantic,
        "codec": codec.codec_digest if codec is not None else None,
        "pace": pace,
        "sample_rate": LENGTHS.sample_rate,
        "downsampling": DOWNSAMPLING,
        "segment_seconds": LENGTHS.window_seconds,
        "shortest_tail": SHORTEST_TAIL,
    }


@dataclass
class DatasetSummary(RunSummary):
    """The outcome of building a dataset. `skipped`, `done` and `failures` count videos and add up to `total`.

    Attributes:
        segments: number of new segments.
    """

    segments: int = 0


def prepare(
    sources: Sequence[str],
    out: Storage,
    settings: PrepareSettings,
    listener: ProgressListener,
    *,
    limit: int | None = None,
    address: str | None = None,
) -> DatasetSummary:
    """Makes a dataset of all videos in the sources, or continues one.

    A video that cannot be used becomes a row among the dataset's failures. The next run tries it again, unless the
    error is permanent: the same file would fail again.

    Args:
        sources: video files, folders or prefixes of buckets.
        out: takes the dataset.
        settings: settings of the dataset.
        listener: receives the progress.
        limit: number of videos to take at most.
        address: a Ray cluster. If left out, one is started on this machine as soon as there is anything to do.

    Raises:
        SourceError: the sources cannot be used.
        DatasetError: there is a dataset of other settings already.
        RunError: no such cluster, or its workers cannot go on.
        StorageError: the dataset cannot be read or written.
    """
    manifest = list_videos(sources, out, limit)
    writer = DatasetWriter(out, settings.to_dict())
    summary = DatasetSummary(total=manifest.num_rows)
    todo = []
    for number, (item, error) in enumerate(zip(*(manifest[n].to_pylist() for n in ("item_id", "error")), strict=True)):
        failed = writer.failed.get(item)
        if item in writer.items:
            summary.skipped += 1
        elif failed and is_permanent(failed["error_type"]):
            summary.failures.append(failed)
        elif error:
            _add_failure(writer, summary, manifest.slice(number, 1).to_pylist()[0])
        else:
            todo.append(number)
    listener.begin(len(todo))
    try:
        if todo:
            with cluster(address):
                steps = _prepare_steps(
                    settings, machine_of_cluster().layout(STAGE_SHARES, large_model=_is_large(settings))
                )
                for table in run_steps(manifest.take(pa.array(todo, pa.int64())), steps, listener):
                    add_segments(table, writer, summary)
    finally:
        writer.flush()
    return summary


def list_videos(sources: Sequence[str], out: Storage, limit: int | None = None) -> pa.Table:
    """Returns the manifest of the sources' videos; the same content under the same name counts as one video.

    Raises:
        SourceError: the sources cannot be used, or hold clips that are held out for evaluation.
    """
    if not sources:
        raise SourceError("no source given: name video files, folders or s3:// prefixes")
    for source in sources:
        _refuse_held_out(source)
    tables = [discover([source], out, limit, scores=False) for source in sources]
    manifest = pa.concat_tables(tables).combine_chunks()
    first: dict[str, int] = {}
    for number, item in enumerate(manifest["item_id"].to_pylist()):
        first.setdefault(item, number)
    return manifest.take(pa.array(list(first.values())[:limit], pa.int64()))


def _refuse_held_out(source: str) -> None:
    """Refuses a source with composed clips for evaluation, wherever they lie below it: they must not train a model.

    Raises:
        SourceError: there are such clips.
    """
    folder, clip, tables = Storage.open(source), "", list[str]()
    with suppress(StorageError):  # the name of a bucket alone does not name a file
        parent, name = Storage.locate(source)
        if parent.exists(name):  # the source is a clip itself
            folder, clip, tables = parent, name, [TABLE] if parent.exists(TABLE) else []
    with suppress(StorageError):  # `discover` then says what is wrong
        if not clip:
            tables = [file.name for file in folder.files() if PurePosixPath(file.name).name == TABLE]
    for name in tables:
        with folder.localize(name) as path:
            try:
                rows = pq.read_table(path, columns=["file", "held_out"]).to_pylist()
            except (pa.ArrowException, OSError):
                continue  # the table of another program
        if any(row["held_out"] and clip in ("", row["file"]) for row in rows):
            raise SourceError(f"{folder.uri(name)} says that clips there are held out for evaluation: leave them out")


def add_segments(table: pa.Table, writer: DatasetWriter, summary: DatasetSummary) -> None:
    """Adds a table of `SEGMENTS` to a dataset and counts it in the summary."""
    for row in _rows(table):
        if row["error"]:
            _add_failure(writer, summary, row)
        else:
            segments = unpack_segments(row["segments"])
            writer.add(segments)
            summary.done += 1
            summary.segments += segments.num_rows
            summary.music += sum(segments["duration"].to_pylist())
        summary.seconds.update(dict(row["seconds"] or {}))


def _rows(table: pa.Table) -> Iterator[Row]:
    """Yields one row at a time: the segments of half an hour are hundreds of megabytes."""
    for number in range(table.num_rows):
        yield table.slice(number, 1).to_pylist()[0]


def _add_failure(writer: DatasetWriter, summary: DatasetSummary, row: Row) -> None:
    error = row["error"]
    failure = {"item_id": row["item_id"], "uri": row["uri"], "stage": error["stage"]}
    failure |= {"error_type": error["type"], "error_message": error["message"]}
    writer.add_failure(failure)
    summary.failures.append(failure)


def _is_large(settings: PrepareSettings) -> bool:
    """Whether the codec is a checkpoint, and not a preset that comes with the program."""
    return settings.codec is not None and settings.codec.preset is None


def _prepare_steps(settings: PrepareSettings, layout: Layout) -> dict[str, Step]:
    """Returns the steps, each with the share of the machine of the scoring stage that is most like it."""
    segments, features = layout["sample"], layout["features"]
    if settings.codec is None and segments.num_gpus:  # without latents only the sound is analyzed, which needs no GPU
        segments = replace(segments, num_gpus=0.0)

    def device(num_gpus: float) -> str:
        chosen = "cuda" if num_gpus else "cpu"
        return chosen if settings.device == "auto" else settings.device

    decoding = DecodeSettings(clip_size=clip_config(settings.clip_weights).image_size, settles_output=False)
    features_settings = ExtractFeaturesSettings(settings.clip_weights, device(features.num_gpus))
    cutting = CutSegmentsSettings(settings.codec, device(segments.num_gpus), segments.threads)
    return {
        "decode": Step(partial(Decode, decoding, localize), 1, layout["decode"]),
        "features": Step(partial(ExtractFeatures, features_settings), 1, features),
        "listen": Step(partial(ExtractAudio, None, localize), 1, layout["mux"]),
        "segments": Step(partial(CutSegments, cutting), 1, segments),
    }
