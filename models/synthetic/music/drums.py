"""Drum kits. Every stroke of a drum is the same short sample, its noise included, so that nothing sounds accidental."""

from __future__ import annotations

import functools

import numpy as np

from models.synthetic.music.tones import Samples
from models.synthetic.rng import stream

# kit: (pitch factor, length factor, brightness factor, loudness factor)
KITS = {
    "studio": (1.0, 1.0, 1.0, 1.0),
    "machine": (0.9, 0.9, 1.3, 1.1),
    "orchestra": (0.8, 1.4, 0.6, 0.9),
    "wood": (1.3, 0.8, 0.7, 0.6),
    "soft": (0.9, 0.6, 0.5, 0.35),
}
PANS = {"hat": 0.30, "open": 0.30, "tom": -0.30, "crash": -0.15}
GAINS = {"kick": 0.80, "snare": 0.50, "hat": 0.16, "open": 0.16, "tom": 0.55, "crash": 0.55, "boom": 1.0}


@functools.lru_cache(maxsize=256)
def drum(kit: str, name: str, sample_rate: int) -> Samples:
    """One stroke [samples] at full velocity, in the kit's loudness."""
    pitch, length, bright, loud = KITS[kit]
    if name == "kick":
        sound = _thump(48 * pitch, 150 * pitch, 0.16 * length, sample_rate)
    elif name == "boom":
        sound = _thump(41 * pitch, 120 * pitch, 0.30 * length, sample_rate)
    elif name == "tom":
        sound = _thump(95 * pitch, 160 * pitch, 0.13 * length, sample_rate)
    elif name == "snare":
        body = _thump(185 * pitch, 240 * pitch, 0.05 * length, sample_rate)
        sound = _mixed(0.6 * body, _burst(kit, name, 1500, 7000 * bright, 0.07 * length, sample_rate))
    elif name == "hat":
        sound = _burst(kit, name, 6000, 14000, 0.022, sample_rate)
    elif name == "open":
        sound = _burst(kit, name, 5000, 13000, 0.07, sample_rate)
    elif name == "crash":
        sound = _burst(kit, name, 1200, 9000 * bright, 0.28 * length, sample_rate)
    else:
        raise KeyError(f"no drum {name!r}: {', '.join(GAINS)}")
    sound = (sound * np.float32(GAINS[name] * loud)).astype(np.float32)
    sound.flags.writeable = False
    return sound


def _thump(low: float, high: float, decay: float, sample_rate: int) -> Samples:
    """A skin: a sine that falls from `high` to `low` Hz."""
    time = np.arange(int(6 * decay * sample_rate)) / sample_rate
    phase = 2 * np.pi * (low * time + (high - low) * 0.03 * (1 - np.exp(-time / 0.03)))
    return _closed(np.sin(phase) * np.exp(-time / decay), sample_rate)


def _burst(kit: str, name: str, low: float, high: float, decay: float, sample_rate: int) -> Samples:
    """A fixed burst of noise between two frequencies (Hz), its edges soft."""
    count = int(6 * decay * sample_rate)
    noise = stream(0, f"drum/{kit}/{name}").standard_normal(count)
    hertz = np.fft.rfftfreq(count, 1 / sample_rate)
    band = 1 / (1 + (low / np.maximum(hertz, 1)) ** 6) / (1 + (hertz / high) ** 6)
    noise = np.fft.irfft(np.fft.rfft(noise) * band, count)
    sound = noise * np.exp(-np.arange(count) / sample_rate / decay)
    return _closed(sound / np.abs(sound).max(), sample_rate)


def _closed(sound: np.ndarray, sample_rate: int) -> Samples:
    """Begin within 0.5 ms and end in silence."""
    rise, fall = max(int(0.0005 * sample_rate), 1), len(sound) // 4
    sound[:rise] *= np.linspace(0, 1, rise, endpoint=False)
    sound[-fall:] *= np.linspace(1, 0, fall)
    return sound.astype(np.float32)


def _mixed(one: Samples, two: Samples) -> Samples:
    total = np.zeros(max(len(one), len(two)), np.float32)
    total[: len(one)] += one
    total[: len(two)] += two
    return total
