"""Tones of the instruments: wave tables of harmonics that are read at the frequency of a pitch and darken over time.

A tone is computed once per process and cut to the length of each note.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

BRIGHTNESS = (0.45, 1.0, 2.2)
"""Factors of a timbre's cutoff for its three degrees of brightness."""
_TABLE = 4096  # samples of a wave table
_LONGEST = 4.5  # seconds of a tone that does not decay


@dataclass(frozen=True)
class Timbre:
    """The sound of an instrument.

    Attributes:
        spectrum: name of the harmonics.
        cutoff: frequency in Hz above which harmonics fall off.
        attack, release: seconds in which a tone fades in and out.
        decay: seconds of the decay of the whole tone; 0 for none.
        opening: seconds in which the additional brightness of the attack decays; 0 for none.
        gain: loudness in the mix.
        pan: position in the mix, from -1 (left) to 1 (right).
        detune: cents by which two voices are detuned up and down; 0 for one voice.
    """

    spectrum: str
    cutoff: float
    attack: float
    decay: float
    opening: float
    release: float
    gain: float
    pan: float
    detune: float = 0.0


TIMBRES = {
    "pad": Timbre("saw", 900, 0.12, 0.0, 0.0, 0.20, 0.09, 0.10, 5.0),
    "strings": Timbre("saw", 1800, 0.06, 0.0, 0.0, 0.15, 0.12, -0.20, 6.0),
    "saws": Timbre("saw", 2600, 0.003, 0.5, 0.12, 0.04, 0.20, 0.15, 7.0),
    "piano": Timbre("soft", 2600, 0.003, 0.9, 0.25, 0.08, 0.26, 0.15),
    "epiano": Timbre("hollow", 1500, 0.004, 0.8, 0.20, 0.08, 0.28, -0.20),
    "guitar": Timbre("plucked", 2200, 0.002, 0.5, 0.12, 0.05, 0.28, 0.30),
    "pluck": Timbre("saw", 1400, 0.002, 0.22, 0.07, 0.03, 0.28, 0.40, 4.0),
    "bell": Timbre("bell", 4000, 0.002, 0.40, 0.15, 0.10, 0.60, 0.35),
    "marimba": Timbre("bell", 2400, 0.002, 0.25, 0.06, 0.03, 0.48, 0.35),
    "flute": Timbre("pure", 2500, 0.035, 0.0, 0.0, 0.06, 0.30, -0.15),
    "square": Timbre("square", 1800, 0.008, 0.0, 0.10, 0.04, 0.20, -0.15),
    "saw": Timbre("saw", 2200, 0.006, 0.0, 0.15, 0.04, 0.18, -0.15, 5.0),
    "horn": Timbre("soft", 1500, 0.03, 0.0, 0.15, 0.06, 0.28, -0.25),
    "brass": Timbre("saw", 2000, 0.008, 0.6, 0.18, 0.06, 0.20, 0.0, 4.0),
    "sub": Timbre("deep", 700, 0.006, 0.0, 0.08, 0.06, 0.42, 0.0),
    "upright": Timbre("deep", 900, 0.006, 0.7, 0.10, 0.05, 0.48, 0.0),
    "finger": Timbre("soft", 800, 0.004, 0.8, 0.10, 0.04, 0.42, 0.0),
    "acid": Timbre("saw", 600, 0.003, 0.5, 0.09, 0.03, 0.40, 0.0),
}


def frequency(pitch: int) -> float:
    """Returns the frequency in Hz of a MIDI pitch, in equal temperament with A at 440 Hz."""
    return float(440.0 * 2.0 ** ((pitch - 69) / 12))


def _harmonics(spectrum: str, count: int) -> npt.NDArray[np.float64]:
    """Returns the amplitudes of harmonics 1..count."""
    h = np.arange(1, count + 1, dtype=np.float64)
    if spectrum == "saw":
        return 1 / h
    if spectrum == "square":
        return (h % 2) / h
    if spectrum == "soft":
        return h**-1.5
    if spectrum == "plucked":  # a string plucked at a fifth of its length has no fifth harmonic
        return np.abs(np.sin(np.pi * h / 5)) / h**1.2
    short = {
        "hollow": (1.0, 0.35, 0.08, 0.12, 0.0, 0.05),
        "pure": (1.0, 0.25, 0.12, 0.04, 0.02),
        "bell": (1.0, 0.05, 0.0, 0.35, 0.0, 0.0, 0.0, 0.10),
        "deep": (1.0, 0.55, 0.25, 0.10, 0.04),
    }[spectrum]
    return np.pad(np.array(short), (0, max(count - len(short), 0)))[:count]


def _table(spectrum: str, cutoff: float, pitch: int, sample_rate: int) -> Samples:
    """Returns one period [4097] of a tone without aliasing; the first sample is repeated at the end to interpolate."""
    hertz = frequency(pitch)
    count = max(1, min(int(min(0.4 * sample_rate, 14_000) / hertz), 200))
    harmonics = _harmonics(spectrum, count)
    place = np.arange(1, count + 1) * hertz / max(cutoff, hertz)
    harmonics = harmonics / np.sqrt(1 + place**4)
    spectrum_bins = np.zeros(_TABLE // 2 + 1, np.complex128)
    spectrum_bins[1 : count + 1] = -1j * harmonics
    period = np.fft.irfft(spectrum_bins, _TABLE)
    period /= np.sqrt(2 * np.mean(period**2))
    return np.append(period, period[0]).astype(np.float32)


def _read(table: Samples, hertz: float, count: int, sample_rate: int, start: float) -> Samples:
    """Returns `count` samples of a table that is read at a frequency, with linear interpolation."""
    phase = (np.arange(count) * (hertz / sample_rate) + start) % 1.0 * _TABLE
    index = phase.astype(np.int32)
    share = (phase - index).astype(np.float32)
    low = table[index]
    return low + share * (table[index + 1] - low)


@functools.lru_cache(maxsize=1024)
def tone(instrument: str, pitch: int, brightness: int, sample_rate: int) -> Samples:
    """Returns a whole tone [samples] at full velocity with attack and decay; the release is added where a note ends."""
    timbre = TIMBRES[instrument]
    count = int((min(5 * timbre.decay, 3.0) if timbre.decay else _LONGEST) * sample_rate)
    cutoff = timbre.cutoff * BRIGHTNESS[brightness]
    time = np.arange(count, dtype=np.float32) / np.float32(sample_rate)
    voices = (-timbre.detune, timbre.detune) if timbre.detune else (0.0,)

    def layer(table: Samples) -> Samples:
        hertz = [frequency(pitch) * 2.0 ** (cents / 1200) for cents in voices]
        total = sum(_read(table, f, count, sample_rate, 0.37 * i) for i, f in enumerate(hertz))
        return np.asarray(total, np.float32) / np.float32(np.sqrt(len(voices)))

    sound = layer(_table(timbre.spectrum, cutoff, pitch, sample_rate))
    if timbre.opening:
        bright = layer(_table(timbre.spectrum, 3 * cutoff, pitch, sample_rate))
        sound = sound + (0.8 * bright - 0.3 * sound) * np.exp(-time / timbre.opening)
    if timbre.decay:
        sound = sound * np.exp(-time / timbre.decay)
    rise = int(timbre.attack * sample_rate)
    sound[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise, dtype=np.float32) / rise)
    sound.flags.writeable = False
    return sound
