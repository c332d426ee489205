"""Sample: from noise to latents under the picture's conditions, all windows of a video at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.weights.source import TINY, ModelSource
from stages.base import ItemError, Stage
from stages.contracts import LATENTS, RHYTHM, Row
from stages.inference.batching import by_length, fixed_batches, load_parts, window_features
from stages.inference.window_batches import Batches, Steps

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from models import Conditions
    from models.sampling.windows import Timeline


@dataclass(frozen=True)
class SampleSettings:
    """How the music is drawn.

    Attributes:
        seed, take: choose the noise, with the video's content and the window's number.
        steps, guidance, sampler: of the sampler; None is the model's own default.
        precision: of the network's numbers (`models.precision`).
        compiled: whether its blocks are compiled at the start.
        share: of a GPU's memory that the worker has for itself.
        windows_per_batch: windows that go through the network at once, or fewer where a GPU has less memory. With 1 a
            window's latents are the same bit for bit wherever it stands; with more they are as long as the device
            computes each row of a batch alike.
    """

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    seed: int = 0
    take: int = 0
    steps: int | None = None
    guidance: float | None = None
    sampler: str = "dpm"
    precision: str = "auto"
    compiled: bool = False
    share: float = 1.0
    windows_per_batch: int = 1


class Sample(Stage):
    """Adds `latents` [channels, frames] of the whole video."""

    name = "sample"
    reads, writes = RHYTHM, LATENTS

    def __init__(self, settings: SampleSettings = SampleSettings()) -> None:
        self.settings = settings
        parts = ("conditioner", "dit")
        self.model = load_parts(settings.model, parts, settings.device, settings.threads, settings.precision)
        if settings.compiled:
            self.model.compile_blocks()
        self.batches = Batches(self.model, settings.windows_per_batch, settings.share)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        import torch

        from models.sampling.windows import Timeline

        timelines = [Timeline(self.model.lengths, row["duration"]) for row in rows]
        latents = by_length(rows, timelines, self._sampled)
        joined = [x.float().cpu() for x in latents]
        return [
            {"latents": x.numpy(), "rhythm": self._rhythm_by_second(row)}
            if torch.isfinite(x).all()
            else ItemError(
                "NotFinite", "sampling gave values that are not numbers; try a lower --guidance or --precision float32"
            )
            for row, x in zip(rows, joined, strict=True)
        ]

    def _sampled(self, rows: list[Row], timelines: list[Timeline]) -> list[Tensor]:
        """Latents of videos whose windows are equally long."""
        channels = self.model.config.latent_channels
        noise = [timeline.noise(self._key(row), channels) for row, timeline in zip(rows, timelines, strict=True)]
        return self.batches.sample(noise, self._conditions(rows, timelines), timelines, self._steps)

    @property
    def _steps(self) -> Steps:
        settings, source = self.settings, self.settings.model
        guidance = source.guidance if settings.guidance is None else settings.guidance
        return Steps(settings.sampler, settings.steps or source.steps, guidance)

    def _key(self, row: Row) -> str:
        """What is left to chance in a video's music comes from this."""
        from models.sampling.windows import noise_key

        return noise_key(self.settings.seed, row["content_id"], self.settings.take)

    def _rhythm_by_second(self, row: Row) -> np.ndarray:
        """[windows, steps, 1 or 16]: of a curve the greatest onset strength of each second, for people to read."""
        import torch

        from models.networks.conditioners import tokens_of_curve

        config = self.model.config
        if config.curve is None:
            return row["rhythm"]
        return tokens_of_curve(torch.tensor(row["rhythm"]), config.curve_rate, config.steps).numpy()

    def _conditions(self, rows: list[Row], timelines: list[Timeline]) -> Conditions:
        """Conditions of all windows of all rows, one after another."""
        import numpy as np
        import torch

        from models.features.key import drawn_tonic
        from models.networks.conditions import Conditions

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
