"""Sample: from noise to latents under the picture's conditions, all windows of a video at once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.source import TINY, ModelSource
from stages.contracts import LATENTS, RHYTHM, Row
from stages.loading import fixed_batches, load_parts, window_features
from stages.stage import ItemError, Stage

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from models import Conditions
    from models.windows import Timeline


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampleSettings:
    """How the music is drawn.

    Attributes:
        seed, take: choose the noise, with the video's content and the window's number.
        steps, guidance, sampler: of the sampler; None is the model's own default.
        windows_per_batch: windows that go through the network at once. With 1 a window's latents are the same bit for
            bit wherever it stands; with more they are as long as the device computes each row of a batch alike.
    """

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    seed: int = 0
    take: int = 0
    steps: int | None = None
    guidance: float | None = None
    sampler: str = "dpm"
    windows_per_batch: int = 1


class Sample(Stage):
    """Adds `latents` [channels, frames] of the whole video."""

    name = "sample"
    reads, writes = RHYTHM, LATENTS

    def __init__(self, settings: SampleSettings = SampleSettings()) -> None:
        self.settings = settings
        self._at_once = settings.windows_per_batch
        self.model = load_parts(settings.model, ("conditioner", "dit"), settings.device, settings.threads)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        import torch

        from models.sampler import SAMPLERS
        from models.windows import Timeline, together

        channels, source = self.model.config.latent_channels, self.settings.model
        timelines = [Timeline(self.model.lengths, row["duration"]) for row in rows]
        conditions = self._conditions(rows, timelines)
        noise = torch.cat(
            [timeline.noise(self._key(row), channels) for row, timeline in zip(rows, timelines, strict=True)]
        ).to(self.model.device)
        velocity = together(timelines, lambda x, t: self._velocity(x, t, conditions))
        sampler, steps = SAMPLERS[self.settings.sampler], self.settings.steps or source.steps
        latents = sampler(velocity, noise, steps, self.model.dit.switch)
        windows = latents.split([len(timeline) for timeline in timelines])
        joined = [timeline.join(x).float().cpu() for timeline, x in zip(timelines, windows, strict=True)]
        return [
            {"latents": x.numpy(), "rhythm": self._rhythm_by_second(row)}
            if torch.isfinite(x).all()
            else ItemError("NotFinite", "sampling gave values that are not numbers; try a lower --guidance")
            for row, x in zip(rows, joined, strict=True)
        ]

    def _key(self, row: Row) -> str:
        """What is left to chance in a video's music comes from this."""
        from models.windows import noise_key

        return noise_key(self.settings.seed, row["content_id"], self.settings.take)

    def _rhythm_by_second(self, row: Row) -> np.ndarray:
        """[windows, steps, 1 or 16]: of a curve the greatest onset strength of each second, for people to read."""
        import torch

        from models.conditioner import tokens_of_curve

        config = self.model.config
        if config.curve is None:
            return row["rhythm"]
        return tokens_of_curve(torch.tensor(row["rhythm"]), config.curve_rate, config.steps).numpy()

    def _conditions(self, rows: list[Row], timelines: list[Timeline]) -> Conditions:
        """Conditions of all windows of all rows, one after another."""
        import numpy as np
        import torch

        from models.conditions import Conditions
        from models.harmony import drawn_tonic

        features = []
        for row, timeline in zip(rows, timelines, strict=True):
            windows = [window_features(row, window) for window in timeline.windows]
            features += self.model.keyed(windows, drawn_tonic(self._key(row)))
        rhythm = torch.from_numpy(np.concatenate([row["rhythm"] for row in rows]))
        batches = [
            self.model.condition([features[i] for i in index], predicted_rhythm=rhythm[index]).rows(slice(kept))
            for index, kept in fixed_batches(len(features), self.settings.windows_per_batch)
        ]
        return Conditions.concatenated(batches)

    def _velocity(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """Guided velocity of all windows [windows, channels, frames], one fixed batch after another.

        Where a GPU has too little memory for a batch, half of it is tried, down to a window at a time, and so from then
        on.
        """
        import torch

        guidance = self.settings.model.guidance if self.settings.guidance is None else self.settings.guidance
        while True:
            try:
                batches = [
                    self.model.velocity(x[index], t[index], conditions.rows(index), guidance)[:kept]
                    for index, kept in fixed_batches(len(x), self._at_once)
                ]
                return torch.cat(batches)
            except torch.OutOfMemoryError:
                if self._at_once == 1:
                    raise ItemError(
                        "OutOfMemory", "the GPU has too little memory for one window: give the stages fewer workers"
                    ) from None
                self._at_once = max(1, self._at_once // 2)
                log.warning("too little memory on the GPU: %d windows at once from now on", self._at_once)
                torch.cuda.empty_cache()
