"""Sounds that an autoencoder is trained with: composed music, or the sound of a dataset."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.progress import ProgressCallback
from models.synthetic import HELD_OUT, compose, render
from models.training.checkpoints import TrainingError
from models.training.data.batches import SegmentSource, excerpt_from

Samples = npt.NDArray[np.int16]
Excerpt = Callable[[bytes, float, int], Samples]
"""Returns an excerpt of an encoded sound file, given its bytes, place and number of samples, see `SoundSource`."""

SOUNDS, SETTINGS = "sounds.int16", "sounds.json"
CORPUS_VERSION = 1
"""Version of the music, raised whenever the same seeds would sound different."""


class ComposedSounds:
    """Sounds of one length, int16, [clips, samples, 2]; see `models.training.data.batches.SoundSource`."""

    def __init__(self, sounds: Samples) -> None:
        self.sounds = sounds

    def __len__(self) -> int:
        return len(self.sounds)

    def excerpt(self, index: int, place: float, samples: int) -> Samples:
        """Returns an excerpt of a sound, see `SoundSource.excerpt`."""
        return excerpt_from(self.sounds[index], place, samples)


class SegmentSounds:
    """The sound of a dataset's segments; see `models.training.data.batches.SoundSource`.

    Args:
        segments: the dataset.
        excerpt: decodes an excerpt of a segment's sound.
    """

    def __init__(self, segments: SegmentSource, excerpt: Excerpt) -> None:
        self.segments, self._excerpt = segments, excerpt

    def __len__(self) -> int:
        return len(self.segments)

    def excerpt(self, index: int, place: float, samples: int) -> Samples:
        """Returns an excerpt of a segment's sound, see `SoundSource.excerpt`.

        Raises:
            TrainingError: the segment has no sound.
        """
        sound = self.segments.segment(index, ("sound",))["sound"]
        if sound is None:
            raise TrainingError(f"segment {index} of the dataset has no sound")
        return self._excerpt(sound, place, samples)


def durations_of(sounds: ComposedSounds, sample_rate: int) -> list[float]:
    """Returns the duration of each sound in seconds."""
    clips, samples = sounds.sounds.shape[:2]
    return [samples / sample_rate] * clips


def compose_sounds(
    clips: int,
    folder: Path,
    sample_rate: int,
    seconds: float = 24.0,
    processes: int | None = None,
    on_progress: ProgressCallback | None = None,
) -> ComposedSounds:
    """Returns the music of seeds 0 to `clips - 1`, composed on all cores the first time and read from a folder later.

    A call that was interrupted, also by an exception of `on_progress`, is continued by the next call.

    Args:
        clips: number of pieces.
        folder: folder that keeps the sounds; it is made if needed, and its file is mapped into memory.
        sample_rate: samples per second.
        seconds: duration of a piece.
        processes: number of processes, one per core if left out.
        on_progress: receives how many pieces are composed, and of how many.

    Raises:
        TrainingError: there would be held-out seeds among them, the folder cannot be written, or a process was killed.
    """
    if not 1 <= clips <= HELD_OUT:
        raise TrainingError(f"clips must be 1 to {HELD_OUT}, seeds above are held out for evaluation; got {clips}")
    shape = (clips, round(seconds * sample_rate), 2)
    settings = {"version": CORPUS_VERSION, "clips": clips, "sample_rate": sample_rate, "seconds": seconds}
    path = folder / SOUNDS
    try:
        if not _is_complete(folder, settings, shape):
            folder.mkdir(parents=True, exist_ok=True)
            begun = _resume(folder, settings, 2 * int(np.prod(shape[1:])))
            _append(path, _composed(range(begun, clips), sample_rate, seconds, processes), begun, clips, on_progress)
        return ComposedSounds(np.memmap(path, np.int16, "r", shape=shape))
    except OSError as error:
        raise TrainingError(f"cannot keep the composed music in {folder}: {error.strerror or error}") from error
    except BrokenProcessPool as error:
        raise TrainingError("a process that composed music was ended from outside; start again") from error


def _is_complete(folder: Path, settings: dict[str, Any], shape: Sequence[int]) -> bool:
    """Returns whether the folder holds all music of these settings."""
    try:
        kept = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return bool(kept == settings and (folder / SOUNDS).stat().st_size == 2 * int(np.prod(shape)))
    except (OSError, ValueError):
        return False


def _resume(folder: Path, settings: dict[str, Any], size: int) -> int:
    """Returns how many complete sounds, of `size` bytes, an interrupted call with the same settings wrote.

    An incomplete sound is cut off; sounds of other settings are deleted.
    """
    temporary, kept = folder / f"{SOUNDS}.writing", folder / SETTINGS
    try:
        same = json.loads(kept.read_text(encoding="utf-8")) == settings
    except (OSError, ValueError):
        same = False
    if not same or not temporary.is_file():
        temporary.unlink(missing_ok=True)
        (folder / SOUNDS).unlink(missing_ok=True)
        kept.write_text(json.dumps(settings) + "\n", encoding="utf-8")
        return 0
    complete = temporary.stat().st_size // size
    os.truncate(temporary, complete * size)
    return complete


def _append(
    path: Path, sounds: Iterator[Samples], begun: int, clips: int, on_progress: ProgressCallback | None
) -> None:
    """Appends sounds to a file, which has a temporary name until all sounds are there."""
    temporary = path.with_name(f"{path.name}.writing")
    with temporary.open("ab") as file:
        for done, sound in enumerate(sounds, begun + 1):
            file.write(sound.tobytes())
            if on_progress is not None:
                on_progress(done, clips)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _composed(seeds: range, sample_rate: int, seconds: float, processes: int | None) -> Iterator[Samples]:
    """Yields the sounds in the order of their seeds."""
    compose_one = partial(_sound, seconds=seconds, sample_rate=sample_rate)
    count = min(processes or _cores(), len(seeds))
    if count <= 1:
        yield from map(compose_one, seeds)
        return
    # Processes are spawned, not forked, because the caller may have threads.
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(compose_one, seeds, chunksize=2)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _sound(seed: int, seconds: float, sample_rate: int) -> Samples:
    """Returns the sound of one seed's piece, [samples, 2]."""
    return np.round(render(compose(seed, seconds), sample_rate).T * 32767).astype(np.int16)


def _cores() -> int:
    """Returns how many cores this process may use, or all cores where the system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
