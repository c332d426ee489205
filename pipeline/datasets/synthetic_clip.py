"""Writes one composed clip: its picture and its music as an ordinary video file."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.synthetic import FPS, Film, direct, edit, frames
from models.synthetic.music.soundfont.riff import Soundfont
from pipeline.datasets.synthetic_music import SAMPLE_RATE, band_outline, make_music
from pipeline.datasets.synthetic_truth import CorpusError, clip_name, part_path, truth
from stages.contracts import Row
from stages.video.ffmpeg import FLAGS, ffmpeg_binary

WIDTH, HEIGHT = 256, 144
_DEADLINE = 120.0  # seconds that ffmpeg may take to end after its last frame
_FRAMES_PER_WRITE = 10


class ClipFailed(CorpusError):
    """ffmpeg did not write a clip."""


def write_clip(
    seed: int,
    seconds: float,
    folder: str | os.PathLike[str],
    font: Soundfont | None = None,
    people: str | None = None,
) -> Row:
    """Writes one clip, H.264 and AAC in MP4, first under a temporary name; a seed always gives the same bytes.

    Args:
        seed: seed of the clip.
        seconds: its length.
        folder: takes the file.
        font: plays the music; oscillators do if left out.
        people: kind of the people in its film, one of `PEOPLE` or `none`; by chance if left out.

    Returns:
        The clip's row of `TRUTH`.

    Raises:
        ClipFailed: ffmpeg failed; the message has its last error.
        SoundfontError: the soundfont cannot be played.
    """
    target = Path(folder) / clip_name(seed)
    part = part_path(target)
    piece, music = make_music(seed, seconds, font)
    film = direct(piece, seed, band_outline, people) if font else edit(piece, seed, people)
    with tempfile.TemporaryDirectory(prefix="diff-v2m-clip-") as scratch:
        sound = Path(scratch) / "sound.wav"
        _write_wav(sound, music)
        _encode(_raw_frames(film), sound, part, Path(scratch) / "log")
    part.replace(target)
    return truth(piece, film, font.name if font else "")


def _raw_frames(film: Film) -> Iterator[bytes]:
    """Yields the film's frames as bytes of RGB, several at a time, because each write to the pipe has a cost."""
    pictures = frames(film, WIDTH, HEIGHT, FPS)
    while block := list(itertools.islice(pictures, _FRAMES_PER_WRITE)):
        yield np.stack(block).tobytes()


def _write_wav(path: Path, sound: np.ndarray) -> None:
    """Writes sound [2, samples] as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(sound.T * 32767).astype("<i2").tobytes())


def _encode(pictures: Iterator[bytes], sound: Path, target: Path, log: Path) -> None:
    """Writes the frames to ffmpeg, which reads the sound from its file."""
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
            [ffmpeg_binary(), *FLAGS, *command.get_args()],
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
