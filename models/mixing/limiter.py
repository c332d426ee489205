"""A limiter that holds the true peak of a sound below a ceiling, and does nothing elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from models.mixing.sound import Samples, Sound, factor_of
from models.mixing.true_peak import REACH, between_peaks

LOOK_S = 0.03
"""Seconds before a peak at which the gain begins to sink, and after it until it is back."""
MARGIN_DB = 0.1
"""Decibels that are left below the ceiling: the gain changes a little between the samples that it was computed for."""


@dataclass(frozen=True)
class LimitedSound:
    """A sound with a gain, whose true peak stays below a ceiling.

    Around each peak that would exceed the ceiling, the gain sinks and comes back along a raised cosine. It is known
    beforehand what comes, so there is no delay, and no peak gets through.

    Attributes:
        source: the sound.
        gain: decibels by which it is raised.
        ceiling: greatest true peak in dBTP; None for none.
    """

    source: Sound
    gain: float
    ceiling: float | None

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.source.sample_rate

    @property
    def samples(self) -> int:
        """Number of samples of each channel."""
        return self.source.samples

    def read(self, start: int, stop: int) -> Samples:
        """Returns the samples from `start` up to `stop`, [stop - start, channels]."""
        if self.ceiling is None:
            return self.source.read(start, stop) * np.float32(factor_of(self.gain))
        look = round(LOOK_S * self.sample_rate)
        margin = 2 * look + 1 + REACH
        louder = self.source.read(start - margin, stop + margin) * np.float32(factor_of(self.gain))
        own: Samples = louder[margin : margin + stop - start]
        allowed = factor_of(self.ceiling - MARGIN_DB)
        peaks = between_peaks(louder)
        if float(peaks.max(initial=0)) <= allowed:
            return own
        return own * reduction(peaks, allowed, look)[:, None]


def reduction(peaks: npt.NDArray[np.float32], allowed: float, look: int) -> npt.NDArray[np.float32]:
    """Returns the smooth gain under which no peak exceeds what is allowed.

    Each value is a weighted mean of minima, every one of which is taken over a span that holds the value's own place.
    So it is nowhere above the gain that its place needs.

    Args:
        peaks: [1 + 2 * look + n + 2 * look + 1], the greatest value between each sample and the next.
        allowed: greatest value.
        look: samples before and after a peak in which the gain changes.

    Returns:
        [n], 0..1.
    """
    from scipy.ndimage import minimum_filter1d
    from scipy.signal import oaconvolve

    around = np.maximum(peaks[:-1], peaks[1:])  # a peak between two samples concerns both
    needed = np.minimum(1.0, allowed / np.maximum(around, 1e-9))
    lowest = minimum_filter1d(needed, 2 * look + 1)[look:-look]
    smooth = 1 - oaconvolve(1 - lowest, _weights(look), "valid")
    return np.asarray(smooth[1:], np.float32)


@cache
def _weights(look: int) -> npt.NDArray[np.float64]:
    """The weights [2 * look + 1] of a raised cosine; their sum is 1."""
    weights = np.hanning(2 * look + 3)[1:-1]
    return weights / weights.sum()
