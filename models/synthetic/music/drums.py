"""Drum kits. Every stroke of a drum is the same short sample, including its noise, so that strokes sound alike."""

from __future__ import annotations

import functools

import numpy as np

from models.synthetic.music.tones import Samples
from models.synthetic.rng import stream

# Factors of pitch, length, brightness and loudness by kit.
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
    """Returns one stroke [samples] at full velocity, with the loudness of the kit."""
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
    """Returns the sound of a drum skin: a sine that falls from `high` to `low` Hz."""
    time = np.arange(int(6 * decay * sample_rate)) / sample_rate
    phase = 2 * np.pi * (low * time + (high - low) * 0.03 * (1 - np.exp(-time / 0.03)))
    return _faded(np.sin(phase) * np.exp(-time / decay), sample_rate)


def _burst(kit: str, name: str, low: float, high: float, decay: float, sample_rate: int) -> Samples:
    """Returns a fixed burst of noise between two frequencies in Hz, with soft edges of the band."""
    count = int(6 * decay * sample_rate)
    noise = stream(0, f"drum/{kit}/{name}").standard_normal(count)
    hertz = np.fft.rfftfreq(count, 1 / sample_rate)
    band = 1 / (1 + (low / np.maximum(hertz, 1)) ** 6) / (1 + (hertz / high) ** 6)
    noise = np.fft.irfft(np.fft.rfft(noise) * band, count)
    sound = noise * np.exp(-np.arange(count) / sample_rate / decay)
    return _faded(sound / np.abs(sound).max(), sample_rate)


def _faded(sound: np.ndarray, sample_rate: int) -> Samples:
    """Fades a sound in within 0.5 ms, and out to silence."""
    rise, fall = max(int(0.0005 * sample_rate), 1), len(sound) // 4
    sound[:rise] *= np.linspace(0, 1, rise, endpoint=False)
    sound[-fall:] *= np.linspace(1, 0, fall)
    return sound.astype(np.float32)


def _mixed(one: Samples, two: Samples) -> Samples:
    """Returns the sum of two sounds of any lengths."""
    total = np.zeros(max(len(one), len(two)), np.float32)
    total[: len(one)] += one
    total[: len(two)] += two
    return total
