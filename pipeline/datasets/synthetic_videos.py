"""Makes the composed corpus: ordinary videos with music in a folder, and a table of the truth about each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pyarrow as pa

from models.progress import ProgressCallback
from models.synthetic import HELD_OUT, held_out, kind_of_people
from models.synthetic.music.soundfont.riff import Soundfont
from pipeline.datasets.synthetic_clip import write_clip
from pipeline.datasets.synthetic_music import soundfont_of
from pipeline.datasets.synthetic_truth import CorpusError, read_truth, truth_table, write_truth
from stages.contracts import Row

_SAVE_EVERY = 100  # clips


class SeedRange(CorpusError):
    """The seeds would mix clips for training with those held out for evaluation."""


def make_corpus(
    folder: str | os.PathLike[str],
    clips: int,
    seed: int,
    seconds: float = 24.0,
    workers: int | None = None,
    on_progress: ProgressCallback | None = None,
    soundfonts: Sequence[Soundfont] = (),
    people: str | None = None,
) -> pa.Table:
    """Writes the clips of seeds `seed` to `seed + clips - 1` and their truth; clips that are there already are kept.

    Args:
        folder: takes the clips and is made if needed. It may hold clips of other seeds, all for training or all held
            out.
        clips: number of clips.
        seed: seed of the first clip.
        seconds: length of each clip.
        workers: number of processes; one for each core if left out.
        on_progress: called after each new clip; kept clips count as done.
        soundfonts: play the music, see `soundfont_of`; oscillators do if there are none.
        people: kind of the people in all films, one of `PEOPLE` or `none`; by chance, film by film, if left out.

    Returns:
        The table in `truth.parquet`, in rising order of the seeds.

    Raises:
        SeedRange: some of the seeds, or of the folder's clips, are for training and some held out.
        CorpusError: the folder cannot be used, or a clip cannot be written.
        SoundfontError: a soundfont cannot be played.
        ValueError: there is nothing to make.
    """
    if clips < 1 or seed < 0 or seconds < 2:
        raise ValueError(f"expected clips >= 1, seed >= 0, seconds >= 2: got {clips}, {seed} and {seconds:g}")
    wanted = range(seed, seed + clips)
    if held_out(wanted[0]) != held_out(wanted[-1]):
        raise SeedRange(
            f"seeds {wanted[0]} to {wanted[-1]} straddle {HELD_OUT}, where the held-out clips begin: make two corpora"
        )
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(f"cannot make the folder {root}: {error.strerror}") from error
    rows = read_truth(root)
    if any(held_out(other) != held_out(seed) for other in rows):
        kinds = ("for training", "held out")
        here, new = kinds[not held_out(seed)], kinds[held_out(seed)]
        raise SeedRange(f"{root} holds clips {here}, seeds from {seed} on are {new}: choose another folder")
    fonts = {s: soundfont_of(s, soundfonts) for s in wanted}
    sounds = {s: font.name if font else "" for s, font in fonts.items()}
    shown = {s: kind_of_people(s, people) for s in wanted}

    def is_made(s: int) -> bool:
        row = rows.get(s)
        return row is not None and (row["duration"], row["soundfont"], row["people"]) == (seconds, sounds[s], shown[s])

    missing = [s for s in wanted if not is_made(s)]
    # A row must never stand beside a clip that it does not describe, so it is removed before the clip is made anew.
    outdated = [s for s in missing if s in rows]
    rows = {s: row for s, row in rows.items() if s not in missing}
    if outdated:
        write_truth(root, rows)
    table = truth_table(rows)
    try:
        for count, row in enumerate(
            _write_clips([(s, fonts[s], shown[s]) for s in missing], seconds, root, workers), 1
        ):
            rows[row["seed"]] = row
            if count % _SAVE_EVERY == 0:
                write_truth(root, rows)
            if on_progress:
                on_progress(clips - len(missing) + count, clips)
    finally:
        if missing:
            table = write_truth(root, rows)
    return table


def _write_clips(
    clips: list[tuple[int, Soundfont | None, str]], seconds: float, root: Path, workers: int | None
) -> Iterator[Row]:
    """Writes clips in several processes and yields their rows, in the order in which the clips are finished."""
    count = min(workers or _usable_cores(), len(clips))
    if count <= 1:
        for seed, font, people in clips:
            yield write_clip(seed, seconds, root, font, people)
        return
    # Spawned, not forked: the caller may have threads.
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        tasks = [pool.submit(write_clip, seed, seconds, root, font, people) for seed, font, people in clips]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _usable_cores() -> int:
    """Returns the number of cores that this process may use; some systems only tell how many the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
