"""Rhythm: what onsets the picture asks for, one value a second in each window, or a curve at the latents' rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.weights.source import TINY, ModelSource
from stages.base import Stage
from stages.contracts import FEATURES, RHYTHM, Row
from stages.inference.batching import by_length, drawn_rhythm, fixed_batches, load_parts, paced_features

if TYPE_CHECKING:
    from torch import Tensor

    from models.sampling.windows import Timeline


@dataclass(frozen=True)
class RhythmSettings:
    """How the rhythm is found.

    Attributes:
        seed, take: choose the rhythm, in a model that draws it.
        windows_per_batch: windows that go through the predictor at once; those of one video where rhythms are drawn.
    """

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    seed: int = 0
    take: int = 0
    windows_per_batch: int = 1


class Rhythm(Stage):
    """Adds `rhythm` [windows, steps, 1 or 16] (paper 3.2); with a curve [windows, channels, steps]."""

    name = "rhythm"
    reads, writes = FEATURES, RHYTHM
    num_cpus = 0.5

    def __init__(self, settings: RhythmSettings = RhythmSettings()) -> None:
        self.settings = settings
        self.model = load_parts(settings.model, ("conditioner",), settings.device, settings.threads)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        from models.sampling.windows import Timeline

        timelines = [Timeline(self.model.lengths, row["duration"]) for row in rows]
        if self.model.draws:
            return [self._drawn(row, timeline) for row, timeline in zip(rows, timelines, strict=True)]
        found = by_length(rows, timelines, self._predicted)
        return [{"rhythm": rhythm.numpy()} for rhythm in found]

    def _predicted(self, rows: list[Row], timelines: list[Timeline]) -> Sequence[Tensor]:
        """Rhythms of videos whose windows are equally long."""
        import torch

        config = self.model.config
        features = [
            of_window
            for row, timeline in zip(rows, timelines, strict=True)
            for of_window in self.model.grooved(paced_features(row, timeline, config), timeline.seconds)
        ]
        curves = [
            self.model.predict_rhythm([features[i] for i in index])[:kept].cpu()
            for index, kept in fixed_batches(len(features), self.settings.windows_per_batch)
        ]
        parts = torch.cat(curves).float().split([len(timeline) for timeline in timelines])
        if config.curve is not None and config.curve.stride == 1:  # windows then agree about the time that they share
            parts = tuple(timeline.blend(part) for timeline, part in zip(timelines, parts, strict=True))
        return parts

    def _drawn(self, row: Row, timeline: Timeline) -> Row:
        """The rhythm of one video: its windows are drawn together."""
        from models.sampling.windows import noise_key

        key = noise_key(self.settings.seed, row["content_id"], self.settings.take)
        return {"rhythm": drawn_rhythm(self.model, row, timeline, key).cpu().numpy()}
