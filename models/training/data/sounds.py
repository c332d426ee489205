"""Sound to train an autoencoder with: composed by rule, or of a dataset."""

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

from models.synthetic import HELD_OUT, compose, render
from models.training.checkpoints import TrainingError
from models.training.data.batches import Segments, excerpt_of

Samples = npt.NDArray[np.int16]
Excerpt = Callable[[bytes, float, int], Samples]
"""File, place and number of samples -> excerpt, as of `models.training.data.batches.Sounds`."""

SOUNDS, SETTINGS = "sounds.int16", "sounds.json"
VERSION = 1
"""Raised whenever the same seeds would sound different."""


class ComposedSounds:
    """Sounds of one length, [clips, samples, 2] int16; see `models.training.data.batches.Sounds`."""

    def __init__(self, sounds: Samples) -> None:
        self.sounds = sounds

    def __len__(self) -> int:
        return len(self.sounds)

    def excerpt(self, index: int, place: float, samples: int) -> Samples:
        """`samples` of a sound; zeros behind its end."""
        return excerpt_of(self.sounds[index], place, samples)


class SegmentSounds:
    """The sound of a dataset's segments; see `models.training.data.batches.Sounds`.

    Args:
        excerpt: decodes a part of a segment's sound.
    """

    def __init__(self, segments: Segments, excerpt: Excerpt) -> None:
        self.segments, self._excerpt = segments, excerpt

    def __len__(self) -> int:
        return len(self.segments)

    def excerpt(self, index: int, place: float, samples: int) -> Samples:
        """`samples` of a segment's sound; zeros behind its end.

        Raises:
            TrainingError: it has none.
        """
        sound = self.segments.segment(index, ("sound",))["sound"]
        if sound is None:
            raise TrainingError(f"segment {index} of the dataset has no sound")
        return self._excerpt(sound, place, samples)


def lengths_of(sounds: ComposedSounds, sample_rate: int) -> list[float]:
    """Seconds of each sound."""
    clips, samples = sounds.sounds.shape[:2]
    return [samples / sample_rate] * clips


def compose_sounds(
    clips: int,
    folder: Path,
    sample_rate: int,
    seconds: float = 24.0,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ComposedSounds:
    """The music of seeds 0 to `clips - 1`, composed on all cores the first time, read from the folder after.

    A call that was ended early, by its `progress` too, is gone on with by the next.

    Args:
        folder: made if needed; it keeps the sounds, mapped into memory when they are read.
        processes: as many as there are cores if left out.
        progress: told how many pieces are composed, and of how many.

    Raises:
        TrainingError: there would be held-out seeds among them, the folder cannot be written, or a process was killed.
    """
    if not 1 <= clips <= HELD_OUT:
        raise TrainingError(f"clips must be 1 to {HELD_OUT}, seeds above are held out for evaluation; got {clips}")
    shape = (clips, round(seconds * sample_rate), 2)
    settings = {"version": VERSION, "clips": clips, "sample_rate": sample_rate, "seconds": seconds}
    path = folder / SOUNDS
    try:
        if not _is_made(folder, settings, shape):
            folder.mkdir(parents=True, exist_ok=True)
            begun = _begun(folder, settings, 2 * int(np.prod(shape[1:])))
            _append(path, _composed(range(begun, clips), sample_rate, seconds, processes), begun, clips, progress)
        return ComposedSounds(np.memmap(path, np.int16, "r", shape=shape))
    except OSError as fault:
        raise TrainingError(f"cannot keep the composed music in {folder}: {fault.strerror or fault}") from fault
    except BrokenProcessPool as fault:
        raise TrainingError("a process that composed music was ended from outside; start again") from fault


def _is_made(folder: Path, settings: dict[str, Any], shape: Sequence[int]) -> bool:
    """Whether the folder holds the whole music of these settings."""
    try:
        made = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return bool(made == settings and (folder / SOUNDS).stat().st_size == 2 * int(np.prod(shape)))
    except (OSError, ValueError):
        return False


def _begun(folder: Path, settings: dict[str, Any], size: int) -> int:
    """How many whole sounds, of so many bytes, an earlier call of the same settings left; what is half is cut off."""
    writing, kept = folder / f"{SOUNDS}.writing", folder / SETTINGS
    try:
        same = json.loads(kept.read_text(encoding="utf-8")) == settings
    except (OSError, ValueError):
        same = False
    if not same or not writing.is_file():
        writing.unlink(missing_ok=True)
        (folder / SOUNDS).unlink(missing_ok=True)
        kept.write_text(json.dumps(settings) + "\n", encoding="utf-8")
        return 0
    whole = writing.stat().st_size // size
    os.truncate(writing, whole * size)
    return whole


def _append(
    path: Path, sounds: Iterator[Samples], begun: int, clips: int, progress: Callable[[int, int], None] | None
) -> None:
    """One sound after another, under a temporary name until all are there."""
    writing = path.with_name(f"{path.name}.writing")
    with writing.open("ab") as file:
        for done, sound in enumerate(sounds, begun + 1):
            file.write(sound.tobytes())
            if progress is not None:
                progress(done, clips)
        file.flush()
        os.fsync(file.fileno())
    os.replace(writing, path)


def _composed(seeds: range, sample_rate: int, seconds: float, processes: int | None) -> Iterator[Samples]:
    """The sounds by seed."""
    one = partial(_sound, seconds=seconds, sample_rate=sample_rate)
    count = min(processes or _cores(), len(seeds))
    if count <= 1:
        yield from map(one, seeds)
        return
    # Spawned, not forked: the caller may have threads.
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(one, seeds, chunksize=2)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _sound(seed: int, seconds: float, sample_rate: int) -> Samples:
    """[samples, 2] of one seed's piece."""
    return np.round(render(compose(seed, seconds), sample_rate).T * 32767).astype(np.int16)


def _cores() -> int:
    """Cores that this process may use; not every system tells which."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
