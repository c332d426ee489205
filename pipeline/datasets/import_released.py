"""The layout that Diff-V2M's authors train from, as a dataset of ours.

    wav_30/NAME.wav             the music of a clip of about 30 s
    clip_30/NAME.npy            [T, D] image embeddings, one a second
    color_30/NAME.npy           [T, 3072] or [T, 3, 32, 32] color histograms, one a second
    visualRhythm_30.json        {"NAME.mp4": {"scene_cut": [T], "pseudo_beats": [T]}}

Cuts and beats are known to the second only. A cut is taken to fall in the middle of its second, and the motion of a
second is its strongest beat: the pace of such a dataset is coarse, and its settings say `"pace": "seconds"`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from models.lengths import TAIL, whole_seconds
from pipeline.datasets.builder import LOST, PrepareSettings, Summary, collect, facts
from pipeline.datasets.dataset import DatasetError
from pipeline.datasets.writer import Shards
from pipeline.discovery import content_id, item_id
from pipeline.scoring.streaming import Watcher
from pipeline.scoring.workers import Progress
from pipeline.storage.storage import Entry, Storage, StorageError
from stages.base import ItemError
from stages.contracts import LISTENED, Row, table_of
from stages.cut_segments import Segments, SegmentsSettings
from stages.extract_audio import ListenSettings, sound_of

SOUNDS = (".wav", ".flac", ".mp3", ".ogg")
COLORS = 3072
"""Numbers of a color histogram."""
FPS = 25
"""Of the frames that stand for the pace of a second; what `models.features.motion` measures motion by."""


@dataclass(frozen=True)
class _Folder:
    """A folder of the layout: where its files are, by the stem of their names."""

    storage: Storage
    sounds: dict[str, Entry]
    semantic: dict[str, Entry]
    color: dict[str, Entry]
    pace: dict[str, Any]

    @classmethod
    def open(cls, source: str) -> _Folder:
        storage = Storage.open(source)
        files = storage.files()
        tables = [f.name for f in files if "/" not in f.name and f.name.startswith("visualRhythm") and _is(f, ".json")]
        kinds = {kind: _by_stem(files, kind) for kind in ("wav", "clip", "color")}
        missing = [f"{kind}*/" for kind, found in kinds.items() if not found]
        missing += [] if len(tables) == 1 else ["one visualRhythm*.json"]
        if missing:
            raise DatasetError(f"{storage.url} is no folder in the released layout, it lacks {', '.join(missing)}")
        try:
            pace = json.loads(storage.read(tables[0]))
            by_stem = {PurePosixPath(name).stem: entry for name, entry in pace.items()}
        except (ValueError, AttributeError) as fault:
            raise DatasetError(f"{storage.uri(tables[0])} is no table of visual rhythm: {fault}") from None
        return cls(storage, kinds["wav"], kinds["clip"], kinds["color"], by_stem)

    def width(self) -> int | None:
        """Numbers of an embedding, by the first file that can be read; None if none can."""
        for file in self.semantic.values():
            with suppress(DatasetError):
                array = _array(self.storage, file)
                if array.ndim == 2:
                    return int(array.shape[1])
        return None


def prepare_released(
    folders: Sequence[str], out: Storage, settings: PrepareSettings, watcher: Watcher, *, limit: int | None = None
) -> Summary:
    """Make a dataset of clips whose features were extracted by others, or go on with one; in this process.

    Args:
        settings: their `clip` does not count, the embeddings are as they come.
        limit: take only the first so many clips.

    Raises:
        DatasetError: a folder is not of the layout, or there is a dataset of other settings already.
        StorageError: a folder or the dataset cannot be read or written.
    """
    found = [_Folder.open(folder) for folder in folders]
    clips = [(folder, stem) for folder in found for stem in sorted(folder.sounds)][:limit]
    widths = {width for folder in found if (width := folder.width()) is not None}
    if len(widths) != 1:
        many = f"the folders' embeddings have {sorted(widths)} numbers: make a dataset of each"
        raise DatasetError(many if widths else f"no embeddings of {', '.join(folders)} can be read")
    width = widths.pop()
    settings.facts()  # refuses a codec of another kind
    shards = Shards(out, facts("released", width, settings.codec, "seconds"))
    stage = Segments(SegmentsSettings(settings.codec, settings.device))
    summary = Summary(total=len(clips))
    watcher.begin(len(clips))
    try:
        for number, (folder, stem) in enumerate(clips, 1):
            row = _identity(folder, stem)
            failed = shards.failed.get(row["item_id"])
            if row["item_id"] in shards.items:
                summary.skipped += 1
            elif failed and failed["error_type"] in LOST:
                summary.failures.append(failed)
            else:
                collect(stage(table_of([_read(row, folder, stem, width)], LISTENED)), shards, summary)
            watcher(Progress({"segments": number}), len(clips))
    finally:
        shards.flush()
    return summary


def _identity(folder: _Folder, stem: str) -> Row:
    file = folder.sounds[stem]
    content = content_id(folder.storage, file.name, file.size)
    return {
        "item_id": item_id(content, file.name),
        "content_id": content,
        "uri": folder.storage.uri(file.name),
        "output": file.name,
        "size": file.size,
    }


def _read(row: Row, folder: _Folder, stem: str, width: int) -> Row:
    """The row of `LISTENED`, with an error if the clip cannot be used."""
    try:
        return row | _columns(folder, stem, width)
    except (ItemError, StorageError) as fault:
        return row | {"error": {"stage": "released", "type": fault.kind, "message": str(fault)}}


def _columns(folder: _Folder, stem: str, width: int) -> Row:
    lacking = [name for name in ("semantic", "color", "pace") if stem not in getattr(folder, name)]
    if lacking:
        raise ItemError("NoFeatures", f"the clip has no {', '.join(lacking)} features: extract them, or leave it out")
    semantic = _features(folder.storage, folder.semantic[stem], width)
    color = _features(folder.storage, folder.color[stem], COLORS)
    pace = folder.pace[stem]
    try:
        cut, beat = (np.asarray(pace[name], np.float32).reshape(-1) for name in ("scene_cut", "pseudo_beats"))
    except (KeyError, TypeError, ValueError) as fault:
        raise ItemError("BadFeatures", f"scene_cut and pseudo_beats are not numbers for each second: {fault}") from None
    if not (np.isfinite(cut).all() and np.isfinite(beat).all()):
        raise ItemError("BadFeatures", "scene_cut or pseudo_beats hold values that are no numbers")
    with folder.storage.localize(folder.sounds[stem].name) as path:
        lasting = _duration(str(path))
        seconds = min(len(semantic), len(color), len(cut), len(beat), whole_seconds(lasting))
        if not seconds:
            raise ItemError("BadFeatures", "the clip's features are empty")
        duration = min(lasting, seconds + TAIL)
        sound = sound_of(path, duration, ListenSettings())
    cut, beat = (cut[:seconds] > 0).astype(np.float32), beat[:seconds].clip(0, 1)
    return {
        "duration": duration,
        "cuts": np.flatnonzero(cut) + 0.5,
        "semantic": semantic[:seconds],
        "color": color[:seconds],
        "scene_cut": cut,
        "visual_beat": beat,
        "frame_times": np.arange(seconds * FPS) / FPS,
        "difference": np.repeat(256.0**beat - 1, FPS),  # what the pace curve makes `beat` of
        "sound": sound,
    }


def _features(storage: Storage, file: Entry, width: int) -> npt.NDArray[np.float32]:
    """[T, width] of a file of features."""
    try:
        array = _array(storage, file)
    except DatasetError as fault:
        raise ItemError("BadFeatures", str(fault)) from None
    if array.ndim < 2 or array.dtype.kind not in "fiu" or not len(array) or not np.isfinite(array).all():
        raise ItemError(
            "BadFeatures", f"{file.name}: expected [seconds, numbers], got {list(array.shape)} or no numbers"
        )
    rows = array.reshape(len(array), -1).astype(np.float32)
    if rows.shape[1] != width:
        raise ItemError("BadFeatures", f"{file.name}: expected {width} numbers a second, got {rows.shape[1]}")
    return rows


def _array(storage: Storage, file: Entry) -> npt.NDArray[Any]:
    try:
        return np.load(io.BytesIO(storage.read(file.name)), allow_pickle=False)
    except (ValueError, EOFError, OSError) as fault:
        raise DatasetError(f"{storage.uri(file.name)} is no array of numbers: {' '.join(str(fault).split())}") from None


def _duration(path: str) -> float:
    import soundfile

    try:
        return float(soundfile.info(path).duration)
    except soundfile.LibsndfileError as fault:
        raise ItemError("AudioFailed", f"the sound cannot be read ({fault}): convert it to WAV") from None


def _is(file: Entry, *suffixes: str) -> bool:
    return PurePosixPath(file.name).suffix.lower() in suffixes


def _by_stem(files: Sequence[Entry], kind: str) -> dict[str, Entry]:
    """The files in the one folder whose name begins with `kind`."""
    return dict(_stems(files, kind, SOUNDS if kind == "wav" else (".npy",)))


def _stems(files: Sequence[Entry], kind: str, suffixes: Sequence[str]) -> Iterator[tuple[str, Entry]]:
    for file in files:
        path = PurePosixPath(file.name)
        if len(path.parts) == 2 and path.parts[0].startswith(kind) and _is(file, *suffixes):
            yield path.stem, file
