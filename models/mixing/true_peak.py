"""True peak by ITU-R BS.1770-4: the greatest value of the sound between its samples, too, by oversampling."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from models.mixing.sound import Samples, Sound, blocks_of, decibels

OVERSAMPLING = 4
REACH = 12
"""Samples on each side that a value between two samples depends on."""
PART = 1 << 12
"""Samples that are looked at together when the greatest of all values is searched."""


def between_peaks(samples: Samples) -> npt.NDArray[np.float32]:
    """Returns the greatest absolute value at each sample and in the three places between it and the next.

    Args:
        samples: [REACH + n + REACH, channels]; the first and the last serve only to compute what lies between.

    Returns:
        [n], over all channels.
    """
    from scipy.signal import upfirdn

    count = len(samples) - 2 * REACH
    if float(np.abs(samples).max(initial=0)) == 0:
        return np.zeros(count, np.float32)
    first = 2 * OVERSAMPLING * REACH
    peaks = np.zeros((count, OVERSAMPLING), np.float32)
    for channel in samples.T:
        dense = np.abs(upfirdn(_filter(), np.ascontiguousarray(channel), OVERSAMPLING))
        np.maximum(peaks, dense[first : first + OVERSAMPLING * count].reshape(count, OVERSAMPLING), out=peaks)
    found: npt.NDArray[np.float32] = peaks.max(1)
    return found


@cache
def _filter() -> npt.NDArray[np.float32]:
    """The low-pass filter that fills in the values between samples; it leaves the samples themselves as they are."""
    from scipy.signal import firwin

    taps = firwin(2 * OVERSAMPLING * REACH + 1, 1 / OVERSAMPLING, window=("kaiser", 6.0))
    return np.asarray(OVERSAMPLING * taps, np.float32)


def true_peak(sound: Sound) -> float:
    """Returns the true peak of a sound in dBTP; minus infinity for silence."""
    highest = 0.0
    overshoot = float(np.abs(_filter().reshape(-1)[:-1].reshape(-1, OVERSAMPLING)).sum(0).max())
    for start, stop in blocks_of(sound):
        samples = sound.read(start - REACH, stop + REACH)
        highest = max(highest, float(np.abs(samples).max(initial=0)))
        for first in range(0, stop - start, PART):
            part = samples[first : first + PART + 2 * REACH]
            # A softer part cannot hold the greatest value, even between its samples.
            if float(np.abs(part).max(initial=0)) * overshoot > highest:
                highest = max(highest, float(between_peaks(part).max(initial=0)))
    return decibels(highest)
