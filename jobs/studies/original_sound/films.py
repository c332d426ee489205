"""Films with a known sound: phrases of a voice over noise, atmosphere or music, and the times of the phrases."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from jobs.studies.original_sound.voices import voice
from models.synthetic import compose, render
from stages.video.ffmpeg import ffmpeg_binary

RATE = 44100
SECONDS = 40.0
PHRASES = ((5.0, 8.0), (9.2, 12.0), (20.0, 24.5), (31.0, 33.0))
"""Beginning and end of each phrase in seconds; the first two are close, between the others the music comes back."""
BACKGROUNDS = ("silence", "noise", "wind", "music")

Mono = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SpokenFilm:
    """A film with phrases over a background.

    Attributes:
        speech, background: [samples], which add up to its sound; `background` is None for silence.
        phrases: beginning and end of each phrase in seconds.
    """

    speech: Mono
    background: Mono
    phrases: tuple[tuple[float, float], ...] = PHRASES

    @property
    def sound(self) -> Mono:
        """The sum, [samples]."""
        return self.speech + self.background


def spoken_film(background: str, ratio: float, seed: int, *, speaks: bool = True) -> SpokenFilm:
    """Returns a film whose speech is `ratio` dB above its background while somebody speaks.

    Args:
        background: one of `BACKGROUNDS`.
        ratio: decibels of power.
        seed: chooses voice and background.
        speaks: whether there is any speech.
    """
    speech = np.zeros(round(SECONDS * RATE))
    for number, (begin, end) in enumerate(PHRASES):
        phrase = voice(end - begin, RATE, 100 * seed + number)
        speech[round(begin * RATE) : round(begin * RATE) + len(phrase)] += phrase
    inside = speech[speech != 0]
    behind = _background(background, seed)
    power = float(np.mean(np.square(behind)))
    if power:
        behind *= np.sqrt(np.mean(np.square(inside)) / power) / 10 ** (ratio / 20)
    return SpokenFilm(speech, behind) if speaks else SpokenFilm(np.zeros_like(speech), behind, ())


def _background(name: str, seed: int) -> Mono:
    """Returns [samples] at any level."""
    from scipy.signal import lfilter

    draws, count = np.random.default_rng(seed), round(SECONDS * RATE)
    if name == "silence":
        return np.zeros(count)
    if name == "music":
        made: Mono = render(compose(40_000 + seed, SECONDS), RATE).mean(0).astype(np.float64)[:count]
        return np.pad(made, (0, count - len(made)))
    noise = draws.standard_normal(count)
    if name == "noise":
        return noise
    swell = 1 + 0.7 * np.sin(2 * np.pi * 0.15 * np.arange(count) / RATE + draws.uniform(0, 6))
    wind: Mono = lfilter([0.02], [1, -0.98], noise) * swell
    return wind


def write_film(path: Path, sound: Mono) -> None:
    """Writes a gray video with a mono sound without loss."""
    with tempfile.TemporaryDirectory() as folder:
        wave = Path(folder, "sound.wav")
        soundfile.write(wave, sound, RATE, "PCM_24")
        picture = f"color=gray:s=64x48:r=10:d={len(sound) / RATE}"
        inputs = ["-f", "lavfi", "-i", picture, "-i", str(wave)]
        codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac"]
        subprocess.run([ffmpeg_binary(), "-v", "error", "-y", *inputs, *codecs, str(path)], check=True)
