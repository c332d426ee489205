"""Write the procedural corpus: ordinary videos with sound, and a table of the truth about each."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import tempfile
import uuid
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.synthetic import FPS, HELD_OUT, Film, Piece, compose, edit, frames, held_out, render, scene_captions
from models.synthetic.film.captions import caption
from stages.contracts import Row
from stages.video.ffmpeg import FLAGS, binary

WIDTH, HEIGHT, SAMPLE_RATE = 256, 144, 44100
TABLE = "truth.parquet"
_SAVE_EVERY = 100  # clips
_DEADLINE = 120.0  # seconds that ffmpeg may take to end after its last frame

_TIMES = pa.list_(pa.float64())
SECTION = pa.struct(
    [
        ("name", pa.string()),
        ("start", pa.float64()),
        ("stop", pa.float64()),
        ("density", pa.float64()),
        ("loudness", pa.float64()),
    ]
)
SCENE = pa.struct(
    [
        ("start", pa.float64()),
        ("stop", pa.float64()),
        ("kind", pa.string()),
        ("motion", pa.string()),
        ("speed", pa.float64()),
        ("warmth", pa.float64()),
        ("caption", pa.string()),
    ]
)
TRUTH = pa.schema(
    [
        ("seed", pa.int64()),
        ("file", pa.string()),
        ("held_out", pa.bool_()),
        ("duration", pa.float64()),
        ("related", pa.bool_()),  # false: the picture was edited to another piece
        ("style", pa.string()),
        ("tempo", pa.float64()),  # beats a minute
        ("key", pa.int32()),  # pitch class, 0 is C
        ("mode", pa.string()),
        ("warmth", pa.float64()),  # of the music
        ("energy", pa.float64()),
        ("pole", pa.int32()),  # -1 clearly dark and cold, 1 clearly bright and warm, 0 between
        ("beats", _TIMES),
        ("downbeats", _TIMES),
        ("accents", _TIMES),
        ("accent_strengths", _TIMES),
        ("sections", pa.list_(SECTION)),
        ("film_warmth", pa.float64()),  # of the picture: the music's own where they are related
        ("film_energy", pa.float64()),
        ("cuts", _TIMES),
        ("flashes", _TIMES),
        ("pulses", _TIMES),
        ("caption", pa.string()),
        ("scenes", pa.list_(SCENE)),
    ]
)


VERSION_KEY, VERSION = b"diff-v2m-corpus", b"1"
"""Of what a seed composes: raised with every change that makes other clips, which are then made anew."""


class CorpusError(ValueError):
    """A corpus that cannot be made, in one line that says why."""


class SeedRange(CorpusError):
    """The seeds would mix clips for training with those held out."""


class ClipFailed(CorpusError):
    """ffmpeg did not write a clip."""


def clip_name(seed: int) -> str:
    """File name of a seed's clip."""
    return f"clip_{seed:06d}.mp4"


def truth(piece: Piece, film: Film) -> Row:
    """The row of `TRUTH` for a clip."""
    return {
        "seed": piece.seed,
        "file": clip_name(piece.seed),
        "held_out": held_out(piece.seed),
        "duration": piece.duration,
        "related": film.related,
        "style": piece.style,
        "tempo": piece.tempo,
        "key": piece.key,
        "mode": piece.mode,
        "warmth": piece.mood.warmth,
        "energy": piece.mood.energy,
        "pole": piece.mood.pole,
        "beats": list(piece.beats),
        "downbeats": list(piece.downbeats),
        "accents": [accent.time for accent in piece.accents],
        "accent_strengths": [accent.strength for accent in piece.accents],
        "sections": [{name: getattr(section, name) for name in SECTION.names} for section in piece.sections],
        "film_warmth": film.warmth,
        "film_energy": film.energy,
        "cuts": list(film.cuts),
        "flashes": [time for time, _ in film.flashes],
        "pulses": [time for time, _ in film.pulses],
        "caption": caption(film),
        "scenes": [
            {name: getattr(scene, name) for name in SCENE.names if name != "caption"} | {"caption": words}
            for scene, words in zip(film.scenes, scene_captions(film), strict=True)
        ],
    }


def write_clip(seed: int, seconds: float, folder: str | os.PathLike[str]) -> Row:
    """Write one clip, H.264 and AAC in MP4, under a temporary name first; the same bytes for the same seed.

    Returns:
        Its row of `TRUTH`.

    Raises:
        ClipFailed: with what ffmpeg said.
    """
    target = Path(folder) / clip_name(seed)
    part = _part_of(target)
    piece = compose(seed, seconds)
    film = edit(piece, seed)
    with tempfile.TemporaryDirectory(prefix="diff-v2m-clip-") as scratch:
        sound = Path(scratch) / "sound.wav"
        _write_wav(sound, render(piece, SAMPLE_RATE))
        _encode(_raw(film), sound, part, Path(scratch) / "log")
    part.replace(target)
    return truth(piece, film)


def make_corpus(
    folder: str | os.PathLike[str],
    clips: int,
    seed: int,
    seconds: float = 24.0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Write the clips of seeds `seed` to `seed + clips - 1` and their truth; clips that are there already are kept.

    Args:
        folder: made if it is not there. It may hold clips of other seeds, all for training or all held out.
        clips, seed, seconds: how many, from which seed, and how long.
        workers: processes; as many as there are cores if left out.
        progress: told how many clips are done, kept ones among them, and of how many, after each clip.

    Returns:
        The table in `truth.parquet`, rising by seed.

    Raises:
        SeedRange: some of the seeds, or of the folder's clips, are for training and some held out.
        CorpusError: the folder cannot be used, or a clip cannot be written.
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
    except OSError as fault:
        raise CorpusError(f"cannot make the folder {root}: {fault.strerror}") from fault
    rows = _finished(root)
    if any(held_out(other) != held_out(seed) for other in rows):
        kinds = ("for training", "held out")
        here, new = kinds[not held_out(seed)], kinds[held_out(seed)]
        raise SeedRange(f"{root} holds clips {here}, seeds from {seed} on are {new}: choose another folder")
    missing = [s for s in wanted if s not in rows or rows[s]["duration"] != seconds]
    # A row must never stand beside a file of other length: it goes before its clip is made anew.
    dropped = [s for s in missing if s in rows]
    rows = {s: row for s, row in rows.items() if s not in missing}
    if dropped:
        _save(root, rows)
    table = pa.Table.from_pylist([rows[s] for s in sorted(rows)], schema=TRUTH)
    try:
        for count, row in enumerate(_made(missing, seconds, root, workers), 1):
            rows[row["seed"]] = row
            if count % _SAVE_EVERY == 0:
                _save(root, rows)
            if progress:
                progress(clips - len(missing) + count, clips)
    finally:
        if missing:
            table = _save(root, rows)
    return table


def _part_of(target: Path) -> Path:
    """A name beside a file that no other process uses, with the same suffix."""
    return target.with_name(f".{target.stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part{target.suffix}")


def _made(seeds: list[int], seconds: float, root: Path, workers: int | None) -> Iterator[Row]:
    """The rows of new clips, in the order in which they are finished."""
    count = min(workers or _cores(), len(seeds))
    if count <= 1:
        for seed in seeds:
            yield write_clip(seed, seconds, root)
        return
    # Spawned, not forked: the caller may have threads.
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        tasks = [pool.submit(write_clip, seed, seconds, root) for seed in seeds]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    """Cores that this process may use; not every system tells which."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finished(root: Path) -> dict[int, Row]:
    """Rows of the folder's table whose clips are there, by seed; none of a table of another version.

    Raises:
        CorpusError: it is no such table.
    """
    path = root / TABLE
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as fault:
        raise CorpusError(f"{path} is no table of composed clips: choose another folder") from fault
    if not {"seed", "held_out"} <= set(table.schema.names):
        raise CorpusError(f"{path} is no table of composed clips: choose another folder")
    if (table.schema.metadata or {}).get(VERSION_KEY) != VERSION:
        return {}
    return {row["seed"]: row for row in table.to_pylist() if (root / row["file"]).is_file()}


def _save(root: Path, rows: dict[int, Row]) -> pa.Table:
    """Write the table anew, whole or not at all."""
    table = pa.Table.from_pylist([rows[seed] for seed in sorted(rows)], schema=TRUTH)
    part = _part_of(root / TABLE)
    pq.write_table(table.replace_schema_metadata({VERSION_KEY: VERSION}), part)
    part.replace(root / TABLE)
    return table


def _raw(film: Film) -> Iterator[bytes]:
    """The film's frames as bytes of RGB, some at a time: a write to the pipe has its price."""
    pictures = frames(film, WIDTH, HEIGHT, FPS)
    while block := list(itertools.islice(pictures, 10)):
        yield np.stack(block).tobytes()


def _write_wav(path: Path, sound: np.ndarray) -> None:
    """Write [2, samples] as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(sound.T * 32767).astype("<i2").tobytes())


def _encode(pictures: Iterator[bytes], sound: Path, target: Path, log: Path) -> None:
    """Feed the frames to ffmpeg, which reads the sound by itself."""
    import ffmpeg

    picture = ffmpeg.input(
        "pipe:0", f="rawvideo", pix_fmt="rgb24", s=f"{WIDTH}x{HEIGHT}", framerate=FPS, thread_queue_size=64
    )
    command = ffmpeg.output(
        picture,
        ffmpeg.input(f"file:{sound}"),
        f"file:{target}",
        f="mp4",
        vcodec="libx264",
        preset="ultrafast",
        crf=20,
        pix_fmt="yuv420p",
        acodec="aac",
        audio_bitrate="192k",
        aac_coder="fast",
        threads=1,
        movflags="+faststart",
        fflags="+bitexact",
        map_metadata=-1,
        **{"flags:v": "+bitexact", "flags:a": "+bitexact"},
    )
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [binary(), *FLAGS, *command.get_args()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={"LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1"},
        )
        assert child.stdin is not None
        try:
            with child.stdin:
                for block in pictures:
                    child.stdin.write(block)
            code = child.wait(_DEADLINE)
        except BrokenPipeError:  # it ended early; its log says why
            code = child.wait(_DEADLINE) or 1
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    if code:
        lines = log.read_text("utf-8", "replace").splitlines()
        said = next((line for line in reversed(lines) if "[error]" in line or "[fatal]" in line), "no error told")
        raise ClipFailed(f"ffmpeg ended with {code} while it wrote {target.name}: {said}")
