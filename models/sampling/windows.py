"""Windows of long videos: they overlap and are denoised together, so that the joined latents have no seam.

Each window holds a part of one common sequence of latents. Windows start from the same noise where they overlap, and
their velocities are cross-faded there after every call of the network, so that they stay equal (MultiDiffusion,
arXiv 2302.08113).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from models.lengths import Lengths, Window
from models.sampling.samplers import Velocity


def draw_noise(key: str, window: int, channels: int, frames: int) -> Tensor:
    """Standard normal noise [channels, frames] for one window, drawn on the CPU from a hash of key and number."""
    seed = hashlib.sha256(f"{key}/{window}".encode()).digest()[:8]
    generator = torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1)
    return torch.randn(channels, frames, generator=generator)


def noise_key(seed: int, content_id: str, take: int = 0) -> str:
    """Key that seeds the noise of a video, and every other random choice in its music."""
    return f"{seed}/{content_id}/{take}"


def blend_overlapping(timelines: Sequence[Timeline], velocity: Velocity) -> Velocity:
    """The velocity of all windows of several videos, one after another, made equal where windows of a video overlap."""
    counts = [len(timeline) for timeline in timelines]

    def blended(x: Tensor, time: float) -> Tensor:
        parts = velocity(x, time).split(counts)
        return torch.cat([timeline.blend(part) for timeline, part in zip(timelines, parts, strict=True)])

    return blended


class Timeline:
    """The windows of one video, placed on its sequence of latents.

    Attributes:
        windows: the windows, in whole seconds.
        starts: index of the first latent of each window.
        seconds: time at which that latent begins, for each window.
        frames: number of latents of each window.
        total: number of latents of the whole video.
    """

    def __init__(self, lengths: Lengths, duration: float) -> None:
        self.windows: Sequence[Window] = lengths.windows(duration)
        self.frames = lengths.window_latents_of(duration)
        self.starts = [lengths.latent_at(w.start) for w in self.windows]
        self.seconds = [first / lengths.latent_rate for first in self.starts]
        self.total = lengths.latents_of(duration)
        self._fades = self._cross_fades(lengths)

    def __len__(self) -> int:
        return len(self.windows)

    def noise(self, key: str, channels: int) -> Tensor:
        """Noise [windows, channels, frames], drawn for each window; where two overlap, the noise of the earlier one."""
        long = torch.empty(channels, self.starts[-1] + self.frames)
        for window in reversed(range(len(self))):
            start = self.starts[window]
            long[:, start : start + self.frames] = draw_noise(key, window, channels, self.frames)
        return torch.stack([long[:, start : start + self.frames] for start in self.starts])

    def blend(self, velocity: Tensor) -> Tensor:
        """Velocities [windows, channels, frames] made equal where windows overlap."""
        if len(self) == 1:
            return velocity
        long = self._overlap_added(velocity)
        return torch.stack([long[:, start : start + self.frames] for start in self.starts])

    def join(self, latents: Tensor) -> Tensor:
        """[windows, channels, frames] -> the whole video's latents [channels, total]."""
        return (latents[0] if len(self) == 1 else self._overlap_added(latents))[:, : self.total]

    def _overlap_added(self, x: Tensor) -> Tensor:
        """Cross-faded sum [channels, latents] of windows [windows, channels, frames]."""
        long = x.new_zeros(x.shape[1], self.starts[-1] + self.frames)
        self._fades = self._fades.to(x.device, x.dtype)  # moved once: a copy to a GPU makes the host wait
        for start, fade, window in zip(self.starts, self._fades, x, strict=True):
            long[:, start : start + self.frames] += fade * window
        return long

    def _cross_fades(self, lengths: Lengths) -> Tensor:
        """Weights [windows, frames]: linear ramps over the overlaps, scaled to sum to 1 at every latent."""
        ramp = lengths.latents_of(lengths.overlap_seconds)
        rising = (torch.arange(self.frames, dtype=torch.float64) + 1).clamp(max=ramp) / ramp
        fades = torch.ones(len(self), self.frames, dtype=torch.float64)
        fades[1:] *= rising
        fades[:-1] *= rising.flip(0)
        total = torch.zeros(self.starts[-1] + self.frames, dtype=torch.float64)
        for start, fade in zip(self.starts, fades, strict=True):
            total[start : start + self.frames] += fade
        return torch.stack([f / total[s : s + self.frames] for s, f in zip(self.starts, fades, strict=True)])
