"""Batches of windows: latents of many videos' windows, batch by batch, all windows of a video denoised together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from models.sampling.settings import SamplingSettings
from stages.inference.batching import fixed_batches, halve_on_oom

if TYPE_CHECKING:
    from torch import Tensor

    from models import Conditions, DiffV2M
    from models.networks.guidance import GuidedVelocity
    from models.sampling.windows import Timeline

log = logging.getLogger(__name__)

RESERVED_SHARE = 0.1
"""Share of the GPU memory of a sampler that is left to the gaps of the allocator."""


def windows_that_fit(peak: Callable[[int], int], room: int, most: int) -> int:
    """The largest power of two, at least 1 and at most `most`, of windows that fit into the memory.

    Args:
        peak: number of windows -> greatest number of bytes during a step.
        room: bytes of memory.
    """
    one, two = peak(1), peak(2)
    each = max(1, two - one)
    fit = max(1, min(most, (room - (one - each)) // each))
    return 1 << (fit.bit_length() - 1)


class WindowBatcher:
    """Samples windows, several in one batch.

    On a GPU the first step is made with one window and with two, to measure how many of a length fit. If there is too
    little memory for a batch all the same, half of it is tried, down to one window, and kept from then on.

    Args:
        most: greatest number of windows in a batch.
        gpu_share: share of the GPU's memory that this sampler may use.
    """

    def __init__(self, model: DiffV2M, most: int, gpu_share: float = 1.0) -> None:
        self.model, self.most, self._gpu_share = model, most, gpu_share
        self.batch_sizes: dict[int, int] = {}
        """Number of windows in a batch, by the number of latents of a window."""

    def sample(
        self, noise: Sequence[Tensor], conditions: Conditions, timelines: Sequence[Timeline], settings: SamplingSettings
    ) -> list[Tensor]:
        """Latents [channels, frames] of each video, from the noise of its windows [windows, channels, frames].

        Args:
            conditions: conditions of all windows of all videos, one after another.
            settings: settings of sampling, with the model's defaults filled in.

        Raises:
            ItemError: there is too little memory for one window.
        """
        import torch

        from models.sampling.samplers import sampler_named
        from models.sampling.windows import blend_overlapping

        if settings.steps is None or settings.guidance is None:
            raise ValueError("sampling needs a number of steps and a guidance scale: fill in the model's defaults")
        steps, guidance, switch = settings.steps, settings.guidance, self.model.dit.switch
        sampler, frames = sampler_named(settings.sampler), noise[0].shape[-1]
        timesteps = sampler.times(steps, switch)
        batches: dict[int, list[tuple[Tensor, int, GuidedVelocity]]] = {}

        def make_batches(x: Tensor, size: int) -> list[tuple[Tensor, int, GuidedVelocity]]:
            """Row indices, number of rows that count, and guided velocity of each batch of `size` windows."""
            found = []
            for index, kept in fixed_batches(len(x), size):
                guided = self.model.make_guided(conditions.rows(index), frames, guidance, timesteps)
                found.append((index.to(x.device), kept, guided))
            return found

        def step(x: Tensor, time: float, size: int) -> Tensor:
            if size not in batches:
                batches.clear()
                batches[size] = make_batches(x, size)
            return torch.cat([guided(x[index], time)[:kept] for index, kept, guided in batches[size]])

        def velocity(x: Tensor, time: float) -> Tensor:
            if frames not in self.batch_sizes:
                self.batch_sizes[frames] = self._fitting(x, time, conditions, guidance)
            found, self.batch_sizes[frames] = halve_on_oom(partial(step, x, time), self.batch_sizes[frames])
            return found

        with torch.inference_mode():
            start = torch.cat(list(noise)).to(self.model.device, self.model.dtype)
            windows = sampler(blend_overlapping(timelines, velocity), start, steps, switch)
            counts = [len(timeline) for timeline in timelines]
            return [timeline.join(x) for timeline, x in zip(timelines, windows.split(counts), strict=True)]

    def _fitting(self, x: Tensor, time: float, conditions: Conditions, guidance: float) -> int:
        """Number of windows of this length that go into one batch."""
        import torch

        device = self.model.device
        if self.most == 1 or device.type != "cuda":
            return self.most

        def peak(count: int) -> int:
            rows = torch.zeros(count, dtype=torch.long, device=device)
            torch.cuda.reset_peak_memory_stats(device)
            self.model.make_guided(conditions.rows(rows), x.shape[-1], guidance)(x[rows], time)
            return torch.cuda.max_memory_allocated(device)

        room = torch.cuda.get_device_properties(device).total_memory * self._gpu_share * (1 - RESERVED_SHARE)
        try:
            # Compiled blocks would be compiled again for these two sizes, which never come back.
            with torch.compiler.set_stance("force_eager"):
                fitting = windows_that_fit(peak, int(room), self.most)
        except torch.OutOfMemoryError:  # with two windows; if one is too much as well, its step will say so
            torch.cuda.empty_cache()
            fitting = 1
        log.info("%d windows of %d latents at once", fitting, x.shape[-1])
        return fitting
