"""Made videos with a known sound: a quiet tone, and clicks at known times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from tests.support.videos import ffmpeg, gray, write_video

RATE = 44100


def clicking(seconds: float, clicks: Sequence[float] = (), level: float = 0.02) -> npt.NDArray[np.float32]:
    """Returns [samples]: a quiet tone with a short, loud burst of noise at each click."""
    times = np.arange(round(seconds * RATE)) / RATE
    sound = level * np.sin(2 * np.pi * 330 * times)
    burst = np.random.default_rng(0).uniform(-0.9, 0.9, RATE // 50) * np.linspace(1, 0, RATE // 50)
    for click in clicks:
        first = round(click * RATE)
        sound[first : first + len(burst)] = burst[: len(sound) - first]
    return sound.astype(np.float32)


def first_loud(sound: npt.NDArray[np.int16]) -> float:
    """Returns the time in seconds at which a sound [samples, channels] becomes loud."""
    return float(np.argmax(np.abs(sound[:, 0].astype(int)) > 6000)) / RATE


def write_clicking(
    path: Path,
    seconds: float,
    clicks: Sequence[float] = (),
    *,
    codec: str = "aac",
    offset: float = 0.0,
    level: float = 0.02,
    heard: float | None = None,
) -> Path:
    """Writes a video that cuts from dark to light in its middle, with clicks in its sound.

    Args:
        offset: seconds by which the sound starts after the picture.
        heard: seconds that the sound lasts, if not as long as the picture.
    """
    frames = round(seconds * 25)
    silent = write_video(
        path.with_name(f"{path.stem}.silent.mkv"), [gray(30 + 180 * (2 * i // frames)) for i in range(frames)]
    )
    wave = path.with_name(f"{path.stem}.wav")
    soundfile.write(wave, clicking(heard or seconds, clicks, level), RATE, "PCM_16")
    ffmpeg(
        "-i",
        silent,
        "-itsoffset",
        offset,
        "-i",
        wave,
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c:v",
        "copy",
        "-c:a",
        codec,
        path,
    )
    silent.unlink()
    wave.unlink()
    return path
