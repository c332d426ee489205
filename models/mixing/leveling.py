"""Leveling: one gain for a whole sound, so that it has the loudness of its platform and no peak is too high."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.mixing.limiter import LimitedSound
from models.mixing.loudness import integrated_loudness
from models.mixing.sound import Sound, StoredSound, as_pcm, blocks_of
from models.mixing.true_peak import true_peak

CEILING = -1.0
"""Greatest true peak in dBTP of a sound that is leveled."""
MOST_LIMITED = 9.0
"""Decibels by which the limiter may lower the highest peak. A sound that would need more stays below its target."""
TOLERANCE = 0.05
"""Difference in LU to the target that is good enough."""
MAX_ROUNDS = 5


@dataclass(frozen=True)
class Levels:
    """The levels of a finished sound, as measured.

    Attributes:
        loudness: integrated loudness in LUFS; None where nothing can be heard.
        true_peak: true peak in dBTP; None for silence.
        gain: decibels by which the sound was raised.
        limited: decibels by which the limiter lowered the highest peak; 0 where it did nothing.
    """

    loudness: float | None
    true_peak: float | None
    gain: float = 0.0
    limited: float = 0.0


def measured(sound: Sound, gain: float = 0.0, limited: float = 0.0) -> Levels:
    """Returns the levels of a sound."""
    loudness, peak = integrated_loudness(sound), true_peak(sound)
    return Levels(_finite(loudness), _finite(peak), gain, limited)


def leveled(sound: Sound, target: float | None, ceiling: float = CEILING) -> tuple[npt.NDArray[np.int16], Levels]:
    """Returns a sound as 16-bit PCM [samples, channels] at a loudness, and its levels.

    The gain is the same all through, so nothing pumps. Where that takes a peak above the ceiling, a limiter lowers the
    peak alone, and the gain is corrected for what that costs in loudness.

    Args:
        sound: the sound.
        target: integrated loudness in LUFS; None leaves the level as it is, and only peaks are limited.
        ceiling: greatest true peak in dBTP.
    """
    before = measured(sound)
    if before.true_peak is None:
        return rendered(LimitedSound(sound, 0.0, None)), before
    most = ceiling + MOST_LIMITED - before.true_peak
    gain = 0.0 if target is None or before.loudness is None else min(target - before.loudness, most)
    for _ in range(MAX_ROUNDS):
        is_limited = before.true_peak + gain > ceiling
        pcm = rendered(LimitedSound(sound, gain, ceiling if is_limited else None))
        if not is_limited:
            loudness = None if before.loudness is None else before.loudness + gain
            return pcm, Levels(loudness, before.true_peak + gain, gain)
        levels = measured(StoredSound(pcm, sound.sample_rate), gain, before.true_peak + gain - ceiling)
        if target is None or levels.loudness is None:
            break
        missing = target - levels.loudness
        if abs(missing) <= TOLERANCE or gain >= most:
            break
        gain = min(gain + missing, most)
    return pcm, levels


def rendered(sound: Sound) -> npt.NDArray[np.int16]:
    """Returns a whole sound as 16-bit PCM."""
    pcm = np.zeros((sound.samples, 2), np.int16)
    for start, stop in blocks_of(sound):
        pcm[start:stop] = as_pcm(sound.read(start, stop))
    return pcm


def _finite(level: float) -> float | None:
    return level if math.isfinite(level) else None
