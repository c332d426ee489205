"""Every length in one place: seconds, condition steps, latents, samples, windows and their overlaps."""

from __future__ import annotations

import math
from dataclasses import dataclass

TAIL = 0.25
"""Seconds by which a video may run past its last whole second before that second counts as one of its own.

Clips called "30 s" last 30.03 s as often as 30.00 s; counting that tail would cost each of them a second window.
"""


def whole_seconds(duration: float) -> int:
    """Seconds that a video of `duration` seconds is described by, one feature each: at least 1."""
    return max(1, math.ceil(duration - TAIL))


@dataclass(frozen=True)
class Window:
    """A stretch of the video that the network sees at once: whole seconds [start, stop)."""

    start: int
    stop: int

    @property
    def seconds(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Lengths:
    """The lengths of a model, derived from four numbers of its configuration.

    Attributes:
        sample_rate: samples a second.
        downsampling: samples of one latent.
        sample_size: samples of a training clip.
        window_seconds: condition steps of a window, one a second.
        overlap_seconds: the least overlap of neighbouring windows of a long video.
        short_windows: seconds of shorter windows, rising, for videos that need no whole one; none as released, where
            every video takes the time of a whole window.
    """

    sample_rate: int
    downsampling: int
    sample_size: int
    window_seconds: int = 30
    overlap_seconds: int = 6
    short_windows: tuple[int, ...] = ()

    @property
    def latent_rate(self) -> float:
        """Latents a second."""
        return self.sample_rate / self.downsampling

    @property
    def trained_latents(self) -> int:
        """Latents of a training clip (released: 645 for 30 s, the last 46 ms are cut)."""
        return self.sample_size // self.downsampling

    @property
    def window_latents(self) -> int:
        """Latents of a whole window: see `window_latents_of`."""
        return self.window_latents_of(self.window_seconds)

    def window_latents_of(self, duration: float) -> int:
        """Latents of each window of a video: whole seconds, the tail behind them, one for a start between two latents.

        Those of the shortest window that holds the video, so that windows of many videos are of a few lengths only.
        """
        total = whole_seconds(duration)
        seconds = next((short for short in self.short_windows if total <= short), self.window_seconds)
        return self.latents_of(seconds + TAIL) + 1

    def latents_of(self, seconds: float) -> int:
        """Latents that cover `seconds`."""
        return math.ceil(round(seconds * self.latent_rate, 6))

    def latent_at(self, second: int) -> int:
        """Index of the latent in which a whole second begins."""
        return math.floor(round(second * self.latent_rate, 6))

    def samples_of(self, duration: float) -> int:
        """Samples of exactly `duration` seconds."""
        return round(duration * self.sample_rate)

    def windows(self, duration: float) -> list[Window]:
        """Windows that cover a video: one if it fits, else full ones, spread evenly, with at least the overlap.

        Raises:
            ValueError: the duration is not a positive number.
        """
        if not (math.isfinite(duration) and duration > 0):
            raise ValueError(f"a duration is a positive number of seconds, got {duration}")
        total, width = whole_seconds(duration), self.window_seconds
        if total <= width:
            return [Window(0, total)]
        hops = math.ceil((total - width) / (width - self.overlap_seconds))
        starts = [(i * (total - width)) // hops for i in range(hops + 1)]
        return [Window(start, start + width) for start in starts]
