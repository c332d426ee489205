"""Imports the training data of Diff-V2M's authors, in the layout that their code reads, as a dataset of ours.

    wav_30/NAME.wav             the music of a clip of about 30 s
    clip_30/NAME.npy            [T, D] image embeddings, one per second
    color_30/NAME.npy           [T, 3072] or [T, 3, 32, 32] color histograms, one per second
    visualRhythm_30.json        {"NAME.mp4": {"scene_cut": [T], "pseudo_beats": [T]}}

The times of cuts and beats are known only to the second. A cut is taken to fall in the middle of its second, and the
motion of a second is its strongest beat. The pace curves of such a dataset are therefore coarse, and its settings say
`"pace": "seconds"`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from models.lengths import TAIL, whole_seconds
from pipeline.datasets.builder import DatasetSummary, PrepareSettings, add_segments, dataset_settings
from pipeline.datasets.dataset import DatasetError
from pipeline.datasets.writer import DatasetWriter
from pipeline.scoring.progress import ProgressListener, RunProgress
from pipeline.sources.identity import content_id, item_id
from pipeline.storage.storage import Entry, Storage, StorageError
from stages.base import ItemError
from stages.contracts import SOURCE_AUDIO, Row, table_of
from stages.cut_segments import CutSegments, CutSegmentsSettings
from stages.error_kinds import is_permanent
from stages.extract_audio import ExtractAudioSettings, extract_audio
from stages.video.motion.columns import no_motion

SOUNDS = (".wav", ".flac", ".mp3", ".ogg")
COLORS = 3072
"""Values of a color histogram."""
FPS = 25
"""Frames per second that are made up to carry the motion of a second, as `models.features.motion` reads it."""


@dataclass(frozen=True)
class _Folder:
    """A folder in this layout.

    Attributes:
        sounds, semantic, color: its files of each kind, by the stems of their names.
        pace: cuts and beats of each clip, by the stem of its name.
    """

    storage: Storage
    sounds: dict[str, Entry]
    semantic: dict[str, Entry]
    color: dict[str, Entry]
    pace: dict[str, Any]

    @classmethod
    def open(cls, source: str) -> _Folder:
        """Lists the files of a folder and reads its table of cuts and beats.

        Raises:
            DatasetError: the folder is not in this layout.
            StorageError: it cannot be read.
        """
        storage = Storage.open(source)
        files = storage.files()
        tables = [
            f.name for f in files if "/" not in f.name and f.name.startswith("visualRhythm") and _has_suffix(f, ".json")
        ]
        kinds = {kind: _by_stem(files, kind) for kind in ("wav", "clip", "color")}
        missing = [f"{kind}*/" for kind, found in kinds.items() if not found]
        missing += [] if len(tables) == 1 else ["one visualRhythm*.json"]
        if missing:
            raise DatasetError(f"{storage.url} is no folder in the released layout, it lacks {', '.join(missing)}")
        try:
            pace = json.loads(storage.read(tables[0]))
            by_stem = {PurePosixPath(name).stem: entry for name, entry in pace.items()}
        except (ValueError, AttributeError) as error:
            raise DatasetError(f"{storage.uri(tables[0])} is no table of visual rhythm: {error}") from None
        return cls(storage, kinds["wav"], kinds["clip"], kinds["color"], by_stem)

    def width(self) -> int | None:
        """Returns the width of the embeddings in the first file that can be read, or None if there is no such file."""
        for file in self.semantic.values():
            with suppress(DatasetError):
                array = _read_array(self.storage, file)
                if array.ndim == 2:
                    return int(array.shape[1])
        return None


def prepare_released(
    folders: Sequence[str],
    out: Storage,
    settings: PrepareSettings,
    listener: ProgressListener,
    *,
    limit: int | None = None,
) -> DatasetSummary:
    """Makes a dataset of clips whose features were extracted already, or continues one, in this process.

    Args:
        folders: folders in the layout of the authors.
        out: takes the dataset.
        settings: settings of the dataset; `clip_weights` has no effect, because the embeddings are there already.
        listener: receives the progress.
        limit: number of clips to take at most.

    Raises:
        DatasetError: a folder is not in this layout, or there is a dataset of other settings already.
        StorageError: a folder or the dataset cannot be read or written.
    """
    found = [_Folder.open(folder) for folder in folders]
    clips = [(folder, stem) for folder in found for stem in sorted(folder.sounds)][:limit]
    widths = {width for folder in found if (width := folder.width()) is not None}
    if len(widths) != 1:
        many = f"the folders' embeddings have {sorted(widths)} numbers: make a dataset of each"
        raise DatasetError(many if widths else f"no embeddings of {', '.join(folders)} can be read")
    width = widths.pop()
    settings.to_dict()  # refuses a codec on another time grid
    writer = DatasetWriter(out, dataset_settings("released", width, settings.codec, "seconds"))
    stage = CutSegments(CutSegmentsSettings(settings.codec, settings.device))
    summary = DatasetSummary(total=len(clips))
    listener.begin(len(clips))
    try:
        for number, (folder, stem) in enumerate(clips, 1):
            row = _common_columns(folder, stem)
            failed = writer.failed.get(row["item_id"])
            if row["item_id"] in writer.items:
                summary.skipped += 1
            elif failed and is_permanent(failed["error_type"]):
                summary.failures.append(failed)
            else:
                table = table_of([_read_clip(row, folder, stem, width)], SOURCE_AUDIO)
                add_segments(stage(table), writer, summary)
            listener(RunProgress({"segments": number}), len(clips))
    finally:
        writer.flush()
    return summary


def _common_columns(folder: _Folder, stem: str) -> Row:
    """Returns the columns that identify a clip."""
    file = folder.sounds[stem]
    content = content_id(folder.storage, file.name, file.size)
    return {
        "item_id": item_id(content, file.name),
        "content_id": content,
        "uri": folder.storage.uri(file.name),
        "output": file.name,
        "size": file.size,
    }


def _read_clip(row: Row, folder: _Folder, stem: str, width: int) -> Row:
    """Returns the row of `SOURCE_AUDIO` of a clip, with an error if the clip cannot be used."""
    try:
        return row | _read_columns(folder, stem, width)
    except (ItemError, StorageError) as error:
        return row | {"error": {"stage": "released", "type": error.kind, "message": str(error)}}


def _read_columns(folder: _Folder, stem: str, width: int) -> Row:
    """Returns the clip's own columns of `SOURCE_AUDIO`, all cut to the seconds that every file has.

    Raises:
        ItemError: NoFeatures, BadFeatures, or a kind of `stages.extract_audio.extract_audio`.
        StorageError: a file cannot be read.
    """
    missing = [name for name in ("semantic", "color", "pace") if stem not in getattr(folder, name)]
    if missing:
        raise ItemError("NoFeatures", f"the clip has no {', '.join(missing)} features: extract them, or leave it out")
    semantic = _read_features(folder.storage, folder.semantic[stem], width)
    color = _read_features(folder.storage, folder.color[stem], COLORS)
    pace = folder.pace[stem]
    try:
        cut, beat = (np.asarray(pace[name], np.float32).reshape(-1) for name in ("scene_cut", "pseudo_beats"))
    except (KeyError, TypeError, ValueError) as error:
        raise ItemError("BadFeatures", f"scene_cut and pseudo_beats are not numbers for each second: {error}") from None
    if not (np.isfinite(cut).all() and np.isfinite(beat).all()):
        raise ItemError("BadFeatures", "scene_cut or pseudo_beats hold values that are no numbers")
    with folder.storage.localize(folder.sounds[stem].name) as path:
        sound_seconds = _sound_seconds(str(path))
        seconds = min(len(semantic), len(color), len(cut), len(beat), whole_seconds(sound_seconds))
        if not seconds:
            raise ItemError("BadFeatures", "the clip's features are empty")
        duration = min(sound_seconds, seconds + TAIL)
        sound = extract_audio(path, duration, ExtractAudioSettings())
    cut, beat = (cut[:seconds] > 0).astype(np.float32), beat[:seconds].clip(0, 1)
    return {
        "duration": duration,
        "cuts": np.flatnonzero(cut) + 0.5,
        "semantic": semantic[:seconds],
        "color": color[:seconds],
        "scene_cut": cut,
        "visual_beat": beat,
        "frame_times": np.arange(seconds * FPS) / FPS,
        "difference": np.repeat(256.0**beat - 1, FPS),  # inverse of the pace curve's scale: it gives `beat` back
        **no_motion(),
        "sound": sound,
    }


def _read_features(storage: Storage, file: Entry, width: int) -> npt.NDArray[np.float32]:
    """Returns the features [T, width] in a file.

    Raises:
        ItemError: BadFeatures.
    """
    try:
        array = _read_array(storage, file)
    except DatasetError as error:
        raise ItemError("BadFeatures", str(error)) from None
    if array.ndim < 2 or array.dtype.kind not in "fiu" or not len(array) or not np.isfinite(array).all():
        raise ItemError(
            "BadFeatures", f"{file.name}: expected [seconds, numbers], got {list(array.shape)} or no numbers"
        )
    rows = array.reshape(len(array), -1).astype(np.float32)
    if rows.shape[1] != width:
        raise ItemError("BadFeatures", f"{file.name}: expected {width} numbers a second, got {rows.shape[1]}")
    return rows


def _read_array(storage: Storage, file: Entry) -> npt.NDArray[Any]:
    """Returns the array in a `.npy` file.

    Raises:
        DatasetError: the file does not hold an array.
    """
    try:
        return np.load(io.BytesIO(storage.read(file.name)), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DatasetError(f"{storage.uri(file.name)} is no array of numbers: {' '.join(str(error).split())}") from None


def _sound_seconds(path: str) -> float:
    """Returns the length of a sound file in seconds."""
    import soundfile

    try:
        return float(soundfile.info(path).duration)
    except soundfile.LibsndfileError as error:
        raise ItemError("AudioFailed", f"the sound cannot be read ({error}): convert it to WAV") from None


def _has_suffix(file: Entry, *suffixes: str) -> bool:
    return PurePosixPath(file.name).suffix.lower() in suffixes


def _by_stem(files: Sequence[Entry], kind: str) -> dict[str, Entry]:
    """Returns the files in the folder whose name begins with `kind`, by the stems of their names."""
    suffixes = SOUNDS if kind == "wav" else (".npy",)
    found = {}
    for file in files:
        path = PurePosixPath(file.name)
        if len(path.parts) == 2 and path.parts[0].startswith(kind) and _has_suffix(file, *suffixes):
            found[path.stem] = file
    return found
