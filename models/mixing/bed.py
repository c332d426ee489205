"""The bed: music under another sound, with a gain that may change over time, and the sum of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.mixing.sound import Samples, Sound, factor_of

Envelope = npt.NDArray[np.float64]
"""Gain in decibels at equal steps of time."""

ENVELOPE_RATE = 50
"""Values of an envelope per second."""


@dataclass(frozen=True)
class Bed:
    """Music with a gain and an envelope.

    Attributes:
        music: the music.
        gain: decibels by which all of it is raised.
        envelope: further gain in decibels, `ENVELOPE_RATE` values per second; None for none.
    """

    music: Sound
    gain: float
    envelope: Envelope | None = None

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.music.sample_rate

    @property
    def samples(self) -> int:
        """Number of samples of each channel."""
        return self.music.samples

    def read(self, start: int, stop: int) -> Samples:
        """Returns the samples from `start` up to `stop`, [stop - start, channels]."""
        music = self.music.read(start, stop) * np.float32(factor_of(self.gain))
        if self.envelope is None:
            return music
        places = np.arange(start, stop) * (ENVELOPE_RATE / self.sample_rate)
        decibels = np.interp(places, np.arange(len(self.envelope)), self.envelope)
        return music * (10 ** (decibels / 20)).astype(np.float32)[:, None]


@dataclass(frozen=True)
class MixedSound:
    """The sum of two sounds of one rate; it is as long as the first."""

    first: Sound
    second: Sound

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.first.sample_rate

    @property
    def samples(self) -> int:
        """Number of samples of each channel."""
        return self.first.samples

    def read(self, start: int, stop: int) -> Samples:
        """Returns the samples from `start` up to `stop`, [stop - start, channels]."""
        return self.first.read(start, stop) + self.second.read(start, stop)
