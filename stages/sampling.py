"""Sampling: latents of many videos' windows, batch by batch, all windows of a video denoised together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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


class Batches:
    """Guided velocity of all windows, so many at once.

    Where a GPU has too little memory for a batch, half of it is tried, down to a window at a time, and so from then on.

    Attributes:
        at_once: windows of a batch.

    Raises:
        ItemError: there is too little memory for one window.
    """

    def __init__(self, model: DiffV2M, at_once: int) -> None:
        self.model, self.at_once = model, at_once

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

    def _halve(self) -> None:
        import torch

        if self.at_once == 1:
            raise ItemError(
                "OutOfMemory", "the GPU has too little memory for one window: give the stages fewer workers"
            ) from None
        self.at_once = max(1, self.at_once // 2)
        log.warning("too little memory on the GPU: %d windows at once from now on", self.at_once)
        torch.cuda.empty_cache()
