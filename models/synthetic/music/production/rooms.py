"""Rooms: impulse responses made of early reflections and of noise that fades, different on both sides."""

from __future__ import annotations

import numpy as np
from scipy.signal import oaconvolve

from models.synthetic.music.production.loudness import Sound

_BANDS = ((0.0, 500.0, 1.1), (500.0, 3000.0, 1.0), (3000.0, 9000.0, 0.6))  # lowest and highest Hz, share of the time


def room(seconds: float, sample_rate: int, rng: np.random.Generator) -> Sound:
    """Returns the impulse response of a room in stereo, with an energy of 1 on each side.

    Args:
        seconds: time in which the sound falls by 60 dB; high tones fade faster.
        sample_rate: rate in Hz.
        rng: makes the walls.
    """
    count = int(min(seconds, 3.2) * sample_rate)
    time = np.arange(count) / sample_rate
    hertz = np.fft.rfftfreq(count, 1 / sample_rate)
    response = np.zeros((2, count))
    for side in range(2):
        spectrum = np.fft.rfft(rng.standard_normal(count))
        for low, high, share in _BANDS:
            band = np.fft.irfft(spectrum * ((hertz >= low) & (hertz < high)), count)
            response[side] += band * np.exp(-6.91 * time / (seconds * share))
    delay = int(rng.uniform(0.004, 0.012 + 0.012 * seconds) * sample_rate)
    response = np.pad(response, ((0, 0), (delay, 0)))[:, :count]
    response *= 1 - np.exp(-np.maximum(np.arange(count) - delay, 0) / (0.008 * sample_rate))
    level = np.sqrt(np.mean(np.square(response[:, : sample_rate // 10]))) * 8
    for _ in range(7):
        place = int(rng.uniform(0.006, 0.02 + 0.03 * seconds) * sample_rate)
        if place < count:
            response[int(rng.integers(2)), place] += level * rng.uniform(0.4, 1.0) * rng.choice((-1, 1))
    response /= np.sqrt(np.square(response).sum(1, keepdims=True))
    return response.astype(np.float32)


def reverberate(sound: Sound, response: Sound) -> Sound:
    """Returns the sound of a room alone, as long as the sound."""
    wet = oaconvolve(sound, response, axes=1)[:, : sound.shape[1]]
    return np.asarray(wet, np.float32)
