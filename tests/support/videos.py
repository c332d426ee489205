"""Videos with known frames, times, cuts and colors, written with the bundled ffmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.video.ffmpeg import ffmpeg_binary

Pixels = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 64, 48
LOSSLESS = ("-c:v", "ffv1", "-pix_fmt", "bgr0")
SMALL = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "10", "-pix_fmt", "yuv420p")


def ffmpeg(*arguments: str | Path) -> None:
    """Runs the bundled ffmpeg; if it fails, the test fails."""
    done = subprocess.run([ffmpeg_binary(), "-v", "error", "-nostdin", "-y", *map(str, arguments)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def plain(color: Sequence[int], width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Returns a frame [height, width, 3] of one RGB color."""
    return np.full((height, width, 3), color, np.uint8)


def gray(level: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Returns a frame of one gray level, 0..255."""
    return plain((level, level, level), width, height)


def write_video(
    path: Path, frames: Iterable[Pixels], rate: float = 25, *, coding: Sequence[str] = SMALL, sound: bool = False
) -> Path:
    """Writes RGB frames as a video of a constant rate, with a tone of the same duration if `sound` is set."""
    pictures = [np.ascontiguousarray(frame) for frame in frames]
    height, width, _ = pictures[0].shape
    tone = f"sine=frequency=440:sample_rate=44100:duration={len(pictures) / rate}"
    audio = ["-f", "lavfi", "-i", tone, "-c:a", "libopus" if path.suffix == ".webm" else "aac"] if sound else []
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "pipe:0"]
    command = [ffmpeg_binary(), "-v", "error", "-y", *source, *audio, *coding, "file:" + str(path)]
    done = subprocess.run(command, input=b"".join(p.tobytes() for p in pictures), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return path


def write_timed(path: Path, frames: Sequence[Pixels], times_ms: Sequence[int]) -> Path:
    """Writes a lossless video (.mkv) whose frames are shown at the given times in milliseconds."""
    constant = write_video(path.with_name("constant.mkv"), frames, 1, coding=LOSSLESS)
    chosen = "+".join(f"eq(N,{n})*{ms}" for n, ms in enumerate(times_ms))
    timing = f"settb=1/1000,setpts='{chosen}'"
    ffmpeg("-i", constant, "-vf", timing, "-fps_mode", "passthrough", "-enc_time_base", "1/1000", *LOSSLESS, path)
    constant.unlink()
    return path


def write_shots(path: Path, shots: Sequence[tuple[Pixels, int]], rate: float = 25, **options: object) -> Path:
    """Writes shots, each of one picture for a number of frames, so that cuts lie exactly between two shots."""
    frames = [picture for picture, count in shots for _ in range(count)]
    return write_video(path, frames, rate, **options)  # type: ignore[arg-type]


def write_sound(path: Path, seconds: float = 2) -> Path:
    """Writes a file that has only sound."""
    ffmpeg("-f", "lavfi", "-i", f"sine=duration={seconds}", path)
    return path


def cut_in_half(source: Path, target: Path) -> Path:
    """Writes the first half of a file's bytes to another file."""
    data = source.read_bytes()
    target.write_bytes(data[: len(data) // 2])
    return target
