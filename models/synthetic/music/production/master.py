"""The master: width, glue, tone and loudness of the whole, as records have them. Dynamics are left alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import butter, sosfilt

from models.synthetic.music.production.loudness import Sound, loudness

_HOP = 256  # samples between two gains
_CEILING = 0.93


@dataclass(frozen=True)
class Master:
    """What the whole is to be.

    Attributes:
        width: energy of the side to that of the middle, in dB.
        loudness: in LUFS.
        tilt: dB an octave, around 1 kHz.
        ratio: ratio of the compression above the usual level; 1 for none.
        crest: greatest peak above the level of the whole, in dB.
    """

    width: float
    loudness: float
    tilt: float
    ratio: float
    crest: float


def master(sound: Sound, settings: Master, sample_rate: int) -> Sound:
    """Returns the finished sound, with a peak of at most 0.93."""
    sound = _widened(_tilted(sound, settings.tilt, sample_rate), settings.width, sample_rate)
    sound = sound * _gains(_glue(sound, settings.ratio), sound.shape[1])
    sound = sound * np.float32(10 ** ((settings.loudness - loudness(sound, sample_rate)) / 20))
    level = float(np.sqrt(np.square(sound).mean()))
    return sound * _gains(_limit(sound, min(_CEILING, level * 10 ** (settings.crest / 20))), sound.shape[1])


def _tilted(sound: Sound, tilt: float, sample_rate: int) -> Sound:
    """Returns sound whose spectrum rises by `tilt` dB an octave."""
    if not tilt:
        return sound
    result = np.empty_like(sound)
    for side in range(2):
        spectrum = rfft(sound[side])
        hertz = np.linspace(0, sample_rate / 2, len(spectrum))
        octaves = np.clip(np.log2(np.maximum(hertz, 1) / 1000), -5, 4)
        result[side] = irfft(spectrum * (10 ** (tilt * octaves / 20)).astype(np.float32), sound.shape[1])
    return result


def _widened(sound: Sound, width: float, sample_rate: int) -> Sound:
    """Returns sound with the wanted width; the lowest tones stay in the middle."""
    middle, side = sound.mean(0), (sound[0] - sound[1]) / 2
    side = sosfilt(butter(2, 110, "highpass", fs=sample_rate, output="sos").astype(np.float32), side)
    now = 10 * np.log10((np.square(side).mean() + 1e-12) / (np.square(middle).mean() + 1e-12))
    side = side * np.float32(10 ** (np.clip(width - now, -12, 9) / 20))
    return np.stack([middle + side, middle - side]).astype(np.float32)


def _levels(sound: Sound) -> npt.NDArray[np.float64]:
    """Returns the greatest energy of both sides in each hop."""
    count = -(-sound.shape[1] // _HOP)
    padded = np.pad(sound, ((0, 0), (0, count * _HOP - sound.shape[1])))
    return np.square(padded).reshape(2, count, _HOP).mean(2).max(0)


def _glue(sound: Sound, ratio: float) -> npt.NDArray[np.float64]:
    """Returns slow gains that take a little of what is louder than usual."""
    energy = uniform_filter1d(_levels(sound), 60)
    level = 10 * np.log10(np.maximum(energy, 1e-10))
    usual = np.percentile(level, 60)
    return 10 ** (-(1 - 1 / ratio) * np.maximum(level - usual, 0) / 20)


def _limit(sound: Sound, ceiling: float) -> npt.NDArray[np.float64]:
    """Returns gains that keep peaks below the ceiling, looking ahead."""
    count = -(-sound.shape[1] // _HOP)
    peaks = np.abs(np.pad(sound, ((0, 0), (0, count * _HOP - sound.shape[1])))).reshape(2, count, _HOP).max((0, 2))
    gains = ceiling / np.maximum(maximum_filter1d(peaks, 13), ceiling)
    return uniform_filter1d(gains, 7)


def _gains(gains: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float32]:
    """Returns a gain for each sample."""
    places = np.arange(len(gains)) * _HOP + _HOP / 2
    return np.interp(np.arange(count), places, gains).astype(np.float32)
