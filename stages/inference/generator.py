"""The one way to make music: rhythm, key, latents and audio of videos with one model.

The stages, `evaluate` and the studies all generate through `MusicGenerator`, so the same video, seed and settings give
the same music everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from models.sampling.settings import SamplingSettings
from stages.contracts import Row
from stages.inference.batching import fixed_batches, group_by_length, halve_on_oom
from stages.inference.window_batcher import WindowBatcher
from stages.inference.window_features import paced_features, window_features

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from models import Conditions, DiffV2M, Features
    from models.sampling.windows import Timeline

CHUNK = 128
"""Number of latents that are decoded at once by default."""


@dataclass(frozen=True)
class Draw:
    """Choice of the random numbers of a video's music, together with the video's content."""

    seed: int = 0
    take: int = 0

    def key(self, row: Row) -> str:
        """Key of a video's random numbers (`models.sampling.windows.noise_key`)."""
        from models.sampling.windows import noise_key

        return noise_key(self.seed, row["content_id"], self.take)


class MusicGenerator:
    """Makes music for videos with one model, as far as its loaded parts allow.

    Videos are rows of `FEATURES`, or of a later contract that still has the columns that a call reads. Results lie on
    the CPU.

    Args:
        model: with the parts that the calls need.
        sampling: settings of sampling; the model's defaults are filled in.
        windows_per_batch: greatest number of windows that go through a network at once. With 1, a window gives the same
            result bit for bit wherever it stands; with more, as long as the device computes each row of a batch alike.
        gpu_share: share of the GPU's memory that the sampler may use.
        chunk: greatest number of latents that are decoded at once.
    """

    def __init__(
        self,
        model: DiffV2M,
        sampling: SamplingSettings = SamplingSettings(),
        windows_per_batch: int = 1,
        gpu_share: float = 1.0,
        chunk: int = CHUNK,
    ) -> None:
        self.model, self.chunk = model, chunk
        self.sampling = sampling.with_defaults(model.config.sampling)
        self.batcher = WindowBatcher(model, windows_per_batch, gpu_share)

    def timeline(self, row: Row) -> Timeline:
        """The windows of a video."""
        from models.sampling.windows import Timeline

        return Timeline(self.model.lengths, row["duration"])

    def predict_rhythms(self, rows: Sequence[Row], draw: Draw = Draw()) -> list[Tensor]:
        """Rhythms that the pictures ask for (paper 3.2): [windows, steps, 1 or 16]; curves [windows, channels, steps].

        In a model that samples its rhythm it depends on the draw; all windows of a video are sampled together.
        """
        timelines = [self.timeline(row) for row in rows]
        if self.model.rhythm_planner.is_sampled:
            return [self._sample_rhythm(row, timeline, draw) for row, timeline in zip(rows, timelines, strict=True)]
        return group_by_length(rows, timelines, self._predict_rhythms)

    def sample_latents(self, rows: Sequence[Row], rhythms: Sequence[Tensor], draw: Draw = Draw()) -> list[Tensor]:
        """Latents [channels, frames] of each whole video, under its features and the rhythm of its windows."""
        timelines = [self.timeline(row) for row in rows]
        pairs = list(zip(rows, rhythms, strict=True))
        return group_by_length(pairs, timelines, partial(self._sample_latents, draw))

    def conditions(self, rows: Sequence[Row], rhythms: Sequence[Tensor], draw: Draw = Draw()) -> Conditions:
        """Conditions of all windows of all videos, one after another, under features, rhythms and chosen keys."""
        import torch

        from models.networks.conditions import Conditions

        features: list[Features] = []
        for row in rows:
            windows = self.timeline(row).windows
            features += self.with_key(row, [window_features(row, window) for window in windows], draw)
        rhythm = torch.cat(list(rhythms))

        def encode(index: torch.Tensor, kept: int) -> Conditions:
            return self.model.condition([features[i] for i in index], predicted_rhythm=rhythm[index]).rows(slice(kept))

        return Conditions.concatenated(
            [encode(index, kept) for index, kept in fixed_batches(len(features), self.batcher.most)]
        )

    def decode_audio(self, latents: Tensor, duration: float) -> Tensor:
        """Audio [2, samples] of latents [channels, frames], exactly as long as the video, in float32, not clipped.

        Raises:
            ItemError: the GPU has too little memory for a single latent.
        """
        import torch

        on_device = latents.to(self.model.device, self.model.dtype)
        whole, self.chunk = halve_on_oom(
            lambda chunk: self.model.decode(on_device[None], chunk, torch.device("cpu")), self.chunk
        )
        return whole[0, :, : self.model.lengths.samples_of(duration)].float()

    def with_key(self, row: Row, features: Sequence[Features], draw: Draw) -> list[Features]:
        """Features of a video's windows with the key that its music is to have."""
        from models.features.key import random_tonic

        return self.model.key_planner.with_key(features, random_tonic(draw.key(row)))

    def with_groove(self, row: Row, timeline: Timeline) -> list[Features]:
        """Features of a video's windows with pace and groove."""
        features = paced_features(row, timeline, self.model.config)
        return self.model.rhythm_planner.with_groove(features, timeline.seconds)

    def _sample_rhythm(self, row: Row, timeline: Timeline, draw: Draw) -> Tensor:
        """Sampled curves [windows, channels, steps] of one video."""
        from models.sampling.windows import blend_overlapping

        assert self.model.config.curve is not None
        noise = timeline.noise(f"{draw.key(row)}/rhythm", self.model.config.curve.channels)
        features = self.with_groove(row, timeline)
        return self.model.predict_rhythm(features, noise, partial(blend_overlapping, [timeline])).float().cpu()

    def _predict_rhythms(self, rows: Sequence[Row], timelines: Sequence[Timeline]) -> Sequence[Tensor]:
        """Likeliest rhythms of videos whose windows are equally long."""
        import torch

        pairs = zip(rows, timelines, strict=True)
        features = [of_window for row, timeline in pairs for of_window in self.with_groove(row, timeline)]
        rhythms = [
            self.model.predict_rhythm([features[i] for i in index])[:kept].cpu()
            for index, kept in fixed_batches(len(features), self.batcher.most)
        ]
        parts = torch.cat(rhythms).float().split([len(timeline) for timeline in timelines])
        curve = self.model.config.curve
        if curve is not None and curve.stride == 1:  # windows then agree about the time that they share
            parts = tuple(timeline.blend(part) for timeline, part in zip(timelines, parts, strict=True))
        return parts

    def _sample_latents(
        self, draw: Draw, pairs: Sequence[tuple[Row, Tensor]], timelines: Sequence[Timeline]
    ) -> list[Tensor]:
        """Latents of videos whose windows are equally long."""
        rows, rhythms = zip(*pairs, strict=True)
        channels = self.model.config.latent_channels
        noise = [timeline.noise(draw.key(row), channels) for row, timeline in zip(rows, timelines, strict=True)]
        conditions = self.conditions(rows, rhythms, draw)
        latents = self.batcher.sample(noise, conditions, timelines, self.sampling)
        return [x.float().cpu() for x in latents]
