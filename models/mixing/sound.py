"""Sound that is read block by block, so that however long it is, only a block of it is in memory as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Samples [samples, channels]; 1 is full scale."""

BLOCK = 1 << 18
"""Samples of a block: about six seconds."""
FULL_SCALE = 32768
"""The number that stands for full scale in 16-bit PCM."""


class Sound(Protocol):
    """A sound of known length. Outside of it there is silence."""

    @property
    def sample_rate(self) -> int:
        """Samples per second."""

    @property
    def samples(self) -> int:
        """Number of samples of each channel."""

    def read(self, start: int, stop: int) -> Samples:
        """Returns the samples from `start` up to `stop`, [stop - start, channels], with silence outside of it."""


@dataclass(frozen=True)
class StoredSound:
    """A sound that lies in an array, in memory or in a mapped file.

    Attributes:
        data: [samples, channels], 16-bit PCM or floats whose full scale is 1.
        sample_rate: samples per second.
    """

    data: Any
    sample_rate: int

    @property
    def samples(self) -> int:
        """Number of samples of each channel."""
        return len(self.data)

    def read(self, start: int, stop: int) -> Samples:
        """Returns the samples from `start` up to `stop`, with silence outside of the sound."""
        inside = self.data[max(start, 0) : max(min(stop, len(self.data)), 0)]
        scale = FULL_SCALE if self.data.dtype == np.int16 else 1
        found = np.zeros((stop - start, self.data.shape[1]), np.float32)
        first = max(-start, 0)
        found[first : first + len(inside)] = inside / np.float32(scale)
        return found


def blocks_of(sound: Sound) -> Iterator[tuple[int, int]]:
    """Yields the first sample and the end of each block of a sound."""
    for start in range(0, sound.samples, BLOCK):
        yield start, min(start + BLOCK, sound.samples)


def as_pcm(samples: Samples) -> npt.NDArray[np.int16]:
    """Returns samples as 16-bit PCM, rounded; what exceeds full scale is clipped."""
    return np.rint(samples * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def decibels(factor: float) -> float:
    """Returns a factor of amplitude in decibels; minus infinity for 0."""
    return 20 * float(np.log10(factor)) if factor > 0 else -np.inf


def factor_of(decibels: float) -> float:
    """Returns decibels as a factor of amplitude."""
    return float(10 ** (decibels / 20))
