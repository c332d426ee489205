"""Every length in one place: seconds, condition steps, latents, samples, windows and their overlaps."""

from __future__ import annotations

import math
from dataclasses import dataclass

TAIL = 0.25
"""Seconds by which a video may run past its last whole second before another second is counted.

Clips called "30 s" last 30.03 s as often as 30.00 s; with another second, each of them would need a second window.
"""


def whole_seconds(duration: float) -> int:
    """Number of seconds, at least 1, that describe a video of `duration` seconds, with one feature each."""
    return max(1, math.ceil(duration - TAIL))


@dataclass(frozen=True)
class Window:
    """A part of a video that the network sees at once: the whole seconds from `start` up to `stop`."""

    start: int
    stop: int

    @property
    def seconds(self) -> int:
        """Length in whole seconds."""
        return self.stop - self.start


@dataclass(frozen=True)
class Lengths:
    """All lengths of a model, derived from a few numbers of its configuration.

    Attributes:
        sample_rate: samples per second.
        downsampling: samples per latent.
        sample_size: number of samples of a training clip.
        window_seconds: length of a window in seconds, which is its number of condition steps.
        overlap_seconds: the least overlap of neighboring windows of a long video.
        short_windows: lengths in seconds, rising, of shorter windows for short videos. There are none as released:
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
        """Latents per second."""
        return self.sample_rate / self.downsampling

    @property
    def trained_latents(self) -> int:
        """Number of latents of a training clip (released: 645 for 30 s; the last 46 ms are cut)."""
        return self.sample_size // self.downsampling

    @property
    def window_latents(self) -> int:
        """Number of latents of a whole window; see `window_latents_of`."""
        return self.window_latents_of(self.window_seconds)

    def window_latents_of(self, duration: float) -> int:
        """Number of latents of each window of a video: whole seconds, a tail, and one for a start between two latents.

        The shortest window that holds the video is taken, so that the windows of many videos have only a few lengths.
        """
        total = whole_seconds(duration)
        seconds = next((short for short in self.short_windows if total <= short), self.window_seconds)
        return self.latents_of(seconds + TAIL) + 1

    def latents_of(self, seconds: float) -> int:
        """Number of latents that cover `seconds`."""
        return math.ceil(round(seconds * self.latent_rate, 6))

    def latent_at(self, second: int) -> int:
        """Index of the latent in which a whole second begins."""
        return math.floor(round(second * self.latent_rate, 6))

    def samples_of(self, duration: float) -> int:
        """Number of samples of exactly `duration` seconds."""
        return round(duration * self.sample_rate)

    def windows(self, duration: float) -> list[Window]:
        """Windows that cover a video: one if it fits, else whole ones, spread evenly, with at least the overlap.

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
