"""Sampling: latents of many videos' windows, batch by batch, all windows of a video denoised together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.loading import fixed_batches
from stages.stage import ItemError

if TYPE_CHECKING:
    from torch import Tensor

    from models import Conditions, DiffV2M
    from models.guided import Guided
    from models.windows import Timeline

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

    On a GPU the first step of one window and of two tell how many fit. Should there be too little memory for a batch
    all the same, half of it is tried, down to a window at a time, and so from then on.

    Args:
        share: of a GPU's memory that is for this sampler.

    Attributes:
        at_once: windows of a batch.

    Raises:
        ItemError: there is too little memory for one window.
    """

    def __init__(self, model: DiffV2M, at_once: int, share: float = 1.0) -> None:
        self.model, self.at_once, self._share = model, at_once, share
        self._fitted = at_once == 1 or model.device.type != "cuda"

    def sample(
        self, noise: Sequence[Tensor], conditions: Conditions, timelines: Sequence[Timeline], steps: Steps
    ) -> list[Tensor]:
        """Latents [channels, frames] of each video, from its windows' noise [windows, channels, frames]."""
        import torch

        from models.sampler import SAMPLERS
        from models.windows import together

        chosen, switch = SAMPLERS[steps.sampler], self.model.dit.switch
        times, frames = chosen.times(steps.count, switch), noise[0].shape[-1]
        parts: list[tuple[Tensor, int, Guided]] = []

        def velocity(x: Tensor, time: float) -> Tensor:
            while True:
                try:
                    if not parts:
                        self._fit(x, time, conditions, steps.guidance)
                        parts.extend(
                            (index, kept, self.model.guided(conditions.rows(index), frames, steps.guidance, times))
                            for index, kept in fixed_batches(len(x), self.at_once)
                        )
                    return torch.cat([guided(x[index], time)[:kept] for index, kept, guided in parts])
                except torch.OutOfMemoryError:
                    parts.clear()
                    self._halve()

        with torch.inference_mode():
            start = torch.cat(list(noise)).to(self.model.device, self.model.dtype)
            windows = chosen(together(timelines, velocity), start, steps.count, switch)
            counts = [len(timeline) for timeline in timelines]
            return [timeline.join(x) for timeline, x in zip(timelines, windows.split(counts), strict=True)]

    def _fit(self, x: Tensor, time: float, conditions: Conditions, guidance: float) -> None:
        import torch

        if self._fitted:
            return

        def peak(count: int) -> int:
            rows = torch.zeros(count, dtype=torch.long)
            torch.cuda.reset_peak_memory_stats(self.model.device)
            self.model.guided(conditions.rows(rows), x.shape[-1], guidance)(x[rows], time)
            return torch.cuda.max_memory_allocated(self.model.device)

        total = torch.cuda.get_device_properties(self.model.device).total_memory
        self.at_once = windows_that_fit(peak, int(total * self._share * (1 - HELD_BACK)), self.at_once)
        self._fitted = True
        log.info("%d windows at once", self.at_once)

    def _halve(self) -> None:
        import torch

        if self.at_once == 1:
            raise ItemError(
                "OutOfMemory", "the GPU has too little memory for one window: give the stages fewer workers"
            ) from None
        self.at_once = max(1, self.at_once // 2)
        log.warning("too little memory on the GPU: %d windows at once from now on", self.at_once)
        torch.cuda.empty_cache()
