"""Sampling: latents of many videos' windows, batch by batch, all windows of a video denoised together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stages.inference.batching import fixed_batches, halving

if TYPE_CHECKING:
    from torch import Tensor

    from models import Conditions, DiffV2M
    from models.networks.guidance import Guided
    from models.sampling.windows import Timeline

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Steps:
    """How latents are sampled: the sampler's name, calls of the network, guidance."""

    sampler: str
    count: int
    guidance: float


HELD_BACK = 0.1
"""Of the memory that a sampler may use on a GPU, what it leaves to the allocator's gaps."""


def windows_that_fit(peak: Callable[[int], int], room: int, most: int) -> int:
    """The largest power of two, at most `most` and at least 1, of windows that so many bytes hold.

    Args:
        peak: bytes at the most during a step of so many windows.
    """
    one, two = peak(1), peak(2)
    each = max(1, two - one)
    fit = max(1, min(most, (room - (one - each)) // each))
    return 1 << (fit.bit_length() - 1)


class Batches:
    """Guided velocity of all windows, so many at once.

    On a GPU the first step of one window and of two tell how many of a length fit. Should there be too little memory
    for a batch all the same, half of it is tried, down to a window at a time, and so from then on.

    Args:
        most: windows of a batch.
        share: of a GPU's memory that is for this sampler.

    Raises:
        ItemError: there is too little memory for one window.
    """

    def __init__(self, model: DiffV2M, most: int, share: float = 1.0) -> None:
        self.model, self.most, self._share = model, most, share
        self.at_once: dict[int, int] = {}
        """Windows of a batch, by their latents."""

    def sample(
        self, noise: Sequence[Tensor], conditions: Conditions, timelines: Sequence[Timeline], steps: Steps
    ) -> list[Tensor]:
        """Latents [channels, frames] of each video, from its windows' noise [windows, channels, frames]."""
        import torch

        from models.sampling.samplers import SAMPLERS
        from models.sampling.windows import together

        chosen, switch = SAMPLERS[steps.sampler], self.model.dit.switch
        times, frames = chosen.times(steps.count, switch), noise[0].shape[-1]
        parts: dict[int, list[tuple[Tensor, int, Guided]]] = {}

        def begun(x: Tensor, size: int) -> list[tuple[Tensor, int, Guided]]:
            """All that no step changes, of batches of so many windows."""
            found = []
            for index, kept in fixed_batches(len(x), size):
                guided = self.model.guided(conditions.rows(index), frames, steps.guidance, times)
                found.append((index.to(x.device), kept, guided))
            return found

        def step(x: Tensor, time: float, size: int) -> Tensor:
            if size not in parts:
                parts.clear()
                parts[size] = begun(x, size)
            return torch.cat([guided(x[index], time)[:kept] for index, kept, guided in parts[size]])

        def velocity(x: Tensor, time: float) -> Tensor:
            if frames not in self.at_once:
                self.at_once[frames] = self._fitting(x, time, conditions, steps.guidance)
            found, self.at_once[frames] = halving(partial(step, x, time), self.at_once[frames])
            return found

        with torch.inference_mode():
            start = torch.cat(list(noise)).to(self.model.device, self.model.dtype)
            windows = chosen(together(timelines, velocity), start, steps.count, switch)
            counts = [len(timeline) for timeline in timelines]
            return [timeline.join(x) for timeline, x in zip(timelines, windows.split(counts), strict=True)]

    def _fitting(self, x: Tensor, time: float, conditions: Conditions, guidance: float) -> int:
        """How many windows go at once."""
        import torch

        device = self.model.device
        if self.most == 1 or device.type != "cuda":
            return self.most

        def peak(count: int) -> int:
            rows = torch.zeros(count, dtype=torch.long, device=device)
            torch.cuda.reset_peak_memory_stats(device)
            self.model.guided(conditions.rows(rows), x.shape[-1], guidance)(x[rows], time)
            return torch.cuda.max_memory_allocated(device)

        room = torch.cuda.get_device_properties(device).total_memory * self._share * (1 - HELD_BACK)
        try:
            # Compiled blocks would be compiled again for these two sizes, which never come back.
            with torch.compiler.set_stance("force_eager"):
                fitting = windows_that_fit(peak, int(room), self.most)
        except torch.OutOfMemoryError:  # of two; should one be too much as well, its step will say so
            torch.cuda.empty_cache()
            fitting = 1
        log.info("%d windows of %d latents at once", fitting, x.shape[-1])
        return fitting
