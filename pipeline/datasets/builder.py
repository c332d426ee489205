"""Preparing: videos with music become a dataset for training. Run again, it goes on where it stopped."""

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
from models.weights.source import ModelSource, clip_digest
from pipeline.cluster.resources import Layout
from pipeline.cluster.session import cluster, layout_of_cluster
from pipeline.datasets.dataset import DatasetError
from pipeline.datasets.synthetic_videos import TABLE
from pipeline.datasets.writer import Shards
from pipeline.discovery import SourceError, discover
from pipeline.scoring import run
from pipeline.scoring.streaming import Step, Watcher, through
from pipeline.storage.storage import Storage, StorageError, localize
from stages.contracts import Row
from stages.cut_segments import DOWNSAMPLING, LENGTHS, SHORTEST_TAIL, Segments, SegmentsSettings, check_codec, unpacked
from stages.decode import Decode
from stages.extract_audio import Listen
from stages.extract_features import Features, FeaturesSettings
from stages.video.validation import DecodeSettings

STAGES = ("decode", "features", "listen", "segments")
VERSION = "2"
"""Of the arithmetic: raised with every change that makes other segments from the same videos and settings."""
LOST = run.HOPELESS | {"NoAudio", "SilentAudio", "AudioFailed"}
"""Failures of the file itself: the same bytes would fail again."""


@dataclass(frozen=True)
class PrepareSettings:
    """What changes a dataset.

    Attributes:
        clip: `tiny`, or the path of open_clip weights for the semantic features.
        codec: whose autoencoder makes the latents; none are made without.
        device: `auto`, `cpu` or `cuda`; does not count as a change.
    """

    clip: str = "tiny"
    codec: ModelSource | None = None
    device: str = "auto"

    def facts(self) -> dict[str, Any]:
        """What a dataset's manifest says of them. Reads the files of the weights.

        Raises:
            DatasetError: the codec makes latents of another length.
        """
        if self.codec is not None:
            try:
                check_codec(self.codec)
            except ValueError as fault:
                raise DatasetError(str(fault)) from None
        semantic = clip_config(self.clip).embed_dim
        return facts(clip_digest(self.clip), semantic, self.codec, "frames")


def facts(clip: str, semantic: int, codec: ModelSource | None, pace: str) -> dict[str, Any]:
    """The settings of a dataset.

    Args:
        clip: identity of the image tower.
        semantic: numbers of its embeddings.
        pace: what the picture's pace was measured on, `frames` or `seconds`.
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
class Summary(run.Summary):
    """How a run ended: `skipped`, `done` and `failures` are videos and add up to `total`; `segments` are new ones."""

    segments: int = 0


def prepare(
    sources: Sequence[str],
    out: Storage,
    settings: PrepareSettings,
    watcher: Watcher,
    *,
    limit: int | None = None,
    address: str | None = None,
) -> Summary:
    """Make a dataset of all videos that the sources lead to, or go on with one.

    A video that cannot be used is a row among the dataset's failures. It is tried again by the next run, unless it is
    the file itself that is at fault.

    Args:
        limit: take only the first so many videos.
        address: of a Ray cluster; one is started on this machine if left out, and if there is anything to do.

    Raises:
        SourceError: the sources cannot be used.
        DatasetError: there is a dataset of other settings already.
        RunError: no such cluster, or its workers cannot go on.
        StorageError: the dataset cannot be read or written.
    """
    manifest = videos(sources, out, limit)
    shards = Shards(out, settings.facts())
    summary = Summary(total=manifest.num_rows)
    todo = []
    for number, (item, error) in enumerate(zip(*(manifest[n].to_pylist() for n in ("item_id", "error")), strict=True)):
        failed = shards.failed.get(item)
        if item in shards.items:
            summary.skipped += 1
        elif failed and failed["error_type"] in LOST:
            summary.failures.append(failed)
        elif error:
            _fail(shards, summary, manifest.slice(number, 1).to_pylist()[0])
        else:
            todo.append(number)
    watcher.begin(len(todo))
    try:
        if todo:
            with cluster(address):
                steps = _steps(settings, layout_of_cluster(large_model=_is_large(settings)))
                for table in through(manifest.take(pa.array(todo, pa.int64())), steps, watcher):
                    collect(table, shards, summary)
    finally:
        shards.flush()
    return summary


def videos(sources: Sequence[str], out: Storage, limit: int | None = None) -> pa.Table:
    """The manifest of the sources' videos: the same content under the same name is one video.

    Raises:
        SourceError: the sources cannot be used, or hold clips that are for evaluation.
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
    """Composed clips that models are evaluated with must not train them, wherever below the source they lie."""
    folder, clip, tables = Storage.open(source), "", list[str]()
    with suppress(StorageError):  # a bucket's name alone names no file
        beside, name = Storage.locate(source)
        if beside.exists(name):  # the source is a clip itself
            folder, clip, tables = beside, name, [TABLE] if beside.exists(TABLE) else []
    with suppress(StorageError):  # whoever looks for videos there says what is wrong
        if not clip:
            tables = [file.name for file in folder.files() if PurePosixPath(file.name).name == TABLE]
    for name in tables:
        with folder.localize(name) as path:
            try:
                rows = pq.read_table(path, columns=["file", "held_out"]).to_pylist()
            except (pa.ArrowException, OSError):
                continue  # somebody else's table
        if any(row["held_out"] and clip in ("", row["file"]) for row in rows):
            raise SourceError(f"{folder.uri(name)} says that clips there are held out for evaluation: leave them out")


def collect(table: pa.Table, shards: Shards, summary: Summary) -> None:
    """Put a table of `SEGMENTS` into a dataset, and count it."""
    for row in _rows(table):
        if row["error"]:
            _fail(shards, summary, row)
        else:
            segments = unpacked(row["segments"])
            shards.add(segments)
            summary.done += 1
            summary.segments += segments.num_rows
            summary.music += sum(segments["duration"].to_pylist())
        summary.seconds.update(dict(row["seconds"] or {}))


def _rows(table: pa.Table) -> Iterator[Row]:
    """One row at a time: the segments of half an hour are hundreds of megabytes."""
    for number in range(table.num_rows):
        yield table.slice(number, 1).to_pylist()[0]


def _fail(shards: Shards, summary: Summary, row: Row) -> None:
    error = row["error"]
    failure = {"item_id": row["item_id"], "uri": row["uri"], "stage": error["stage"]}
    failure |= {"error_type": error["type"], "error_message": error["message"]}
    shards.fail(failure)
    summary.failures.append(failure)


def _is_large(settings: PrepareSettings) -> bool:
    return settings.codec is not None and settings.codec.preset is None


def _steps(settings: PrepareSettings, layout: Layout) -> dict[str, Step]:
    """The stages of preparing, each with the share of a stage of scoring that is most like it."""
    segments, features = layout["sample"], layout["features"]
    if settings.codec is None and segments.num_gpus:  # the analysis of sound alone needs no GPU
        segments = replace(segments, num_gpus=0.0)

    def device(on_gpu: float) -> str:
        chosen = "cuda" if on_gpu else "cpu"
        return chosen if settings.device == "auto" else settings.device

    decoding = DecodeSettings(clip_size=clip_config(settings.clip).image_size)
    cutting = SegmentsSettings(settings.codec, device(segments.num_gpus), segments.threads)
    return {
        "decode": Step(partial(Decode, decoding, localize), 1, layout["decode"]),
        "features": Step(partial(Features, FeaturesSettings(settings.clip, device(features.num_gpus))), 1, features),
        "listen": Step(partial(Listen, None, localize), 1, layout["mux"]),
        "segments": Step(partial(Segments, cutting), 1, segments),
    }
