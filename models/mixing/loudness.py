"""Loudness by ITU-R BS.1770-4, measured block by block. The filters are those of pyloudnorm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.mixing.sound import Samples, Sound, blocks_of

STEPS_PER_SECOND = 10
"""Gating blocks begin every 100 ms and last 400 ms."""
STEPS_PER_BLOCK = 4
ABSOLUTE_GATE = -70.0
"""Loudness in LUFS below which a block does not count."""
RELATIVE_GATE = -10.0
"""Loudness, relative to the mean of the other blocks, below which a block does not count either."""
OFFSET = -0.691
SURROUND = (1.0, 1.0, 1.0, 1.41, 1.41)
"""Weights of left, right, center, left surround and right surround."""


class LoudnessMeter:
    """Measures the integrated loudness of a sound that comes in blocks of any size.

    Args:
        sample_rate: samples per second, a multiple of 10.
        weights: weight of each channel's power: 1 for each, and 1.41 for surround channels.
    """

    def __init__(self, sample_rate: int, weights: Sequence[float] = (1.0, 1.0)) -> None:
        from pyloudnorm import Meter

        # This class of filters gives the coefficients that the recommendation prints for 48 kHz.
        filters = Meter(sample_rate, filter_class="DeMan")._filters.values()
        self._filters = [(stage.b, stage.a) for stage in filters]
        self._states = [np.zeros((2, len(weights))) for _ in self._filters]
        self._weights = np.asarray(weights)
        self._step = sample_rate // STEPS_PER_SECOND
        self._rest = np.zeros((0, len(weights)))
        self._powers: list[npt.NDArray[np.float64]] = []

    def add(self, samples: Samples) -> None:
        """Takes the next samples [samples, channels]."""
        from scipy.signal import lfilter

        weighted: npt.NDArray[np.float64] = samples.astype(np.float64)
        for number, (b, a) in enumerate(self._filters):
            weighted, self._states[number] = lfilter(b, a, weighted, axis=0, zi=self._states[number])
        weighted = np.concatenate((self._rest, weighted))
        steps = len(weighted) // self._step
        whole = weighted[: steps * self._step].reshape(steps, self._step, len(self._weights))
        self._powers.append((np.square(whole).mean(1) * self._weights).sum(1))
        self._rest = weighted[steps * self._step :]

    @property
    def integrated(self) -> float:
        """The integrated loudness in LUFS; minus infinity for silence, and for what lasts less than 400 ms."""
        steps = np.concatenate((np.zeros(0), *self._powers))
        if len(steps) < STEPS_PER_BLOCK:
            return -np.inf
        blocks = np.convolve(steps, np.full(STEPS_PER_BLOCK, 1 / STEPS_PER_BLOCK), "valid")
        heard = blocks[blocks >= _power(ABSOLUTE_GATE)]
        if not len(heard):
            return -np.inf
        heard = heard[heard > heard.mean() * 10 ** (RELATIVE_GATE / 10)]
        return OFFSET + 10 * float(np.log10(heard.mean()))


def _power(loudness: float) -> float:
    return float(10 ** ((loudness - OFFSET) / 10))


def integrated_loudness(sound: Sound) -> float:
    """Returns the integrated loudness of a sound in LUFS; minus infinity where nothing can be heard."""
    meter = LoudnessMeter(sound.sample_rate)
    for start, stop in blocks_of(sound):
        meter.add(sound.read(start, stop))
    return meter.integrated
