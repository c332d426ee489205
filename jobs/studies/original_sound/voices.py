"""A voice by rule: pulses of a larynx through the formants of vowels, with hisses between; no word of any language."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""The first three formants of vowels in hertz."""


def voice(seconds: float, rate: int = 16000, seed: int = 0) -> npt.NDArray[np.float32]:
    """Returns [samples] of babble without pauses, its peak at 0.3."""
    draws, sound, at = np.random.default_rng(seed), np.zeros(round(seconds * rate)), 0.0
    while at < seconds - 0.3:
        length = draws.uniform(0.12, 0.25)
        times = np.arange(round(length * rate)) / rate
        pitch = 110 + 25 * np.sin(2 * np.pi * 0.4 * at) + draws.uniform(-8, 8)
        turns = np.cumsum(pitch * (1 + 0.02 * np.sin(2 * np.pi * 5 * times)) / rate)
        pulses = lfilter([1], [1, -0.95], np.diff(np.floor(turns), prepend=0))
        vowel = sum(
            part * _resonance(pulses, formant, width, rate)
            for formant, width, part in zip(VOWELS[draws.integers(5)], (80, 100, 140), (1, 0.6, 0.3), strict=True)
        )
        hiss = lfilter([1, -0.9], [1], draws.standard_normal(round(0.05 * rate))) * 0.05
        syllable = np.concatenate((vowel * np.sqrt(np.sin(np.pi * times / length)), hiss * np.hanning(len(hiss))))
        first = round(at * rate)
        sound[first : first + len(syllable)] += syllable[: len(sound) - first]
        at += length + draws.uniform(0.03, 0.09)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def _resonance(sound: npt.NDArray[np.float64], hertz: float, width: float, rate: int) -> npt.NDArray[np.float64]:
    radius = np.exp(-np.pi * width / rate)
    filtered: npt.NDArray[np.float64] = lfilter(
        [1 - radius], [1, -2 * radius * np.cos(2 * np.pi * hertz / rate), radius**2], sound
    )
    return filtered
