"""Rhythm: the onset curve that the picture asks for, one value a second in each window."""

from __future__ import annotations

from dataclasses import dataclass

from models.source import TINY, ModelSource
from stages.contracts import FEATURES, RHYTHM, Row
from stages.loading import fixed_batches, load_parts, window_features
from stages.stage import Stage


@dataclass(frozen=True)
class RhythmSettings:
    """`windows_per_batch` windows go through the predictor at once."""

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    windows_per_batch: int = 1


class Rhythm(Stage):
    """Adds `rhythm` [windows, steps, 1 or 16] (paper 3.2)."""

    name = "rhythm"
    reads, writes = FEATURES, RHYTHM
    num_cpus = 0.5

    def __init__(self, settings: RhythmSettings = RhythmSettings()) -> None:
        self.settings = settings
        self.model = load_parts(settings.model, ("conditioner",), settings.device, settings.threads)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        import torch

        of_rows = [self.model.lengths.windows(row["duration"]) for row in rows]
        features = [window_features(row, w) for row, windows in zip(rows, of_rows, strict=True) for w in windows]
        curves = [
            self.model.predict_rhythm([features[i] for i in index])[:kept].cpu()
            for index, kept in fixed_batches(len(features), self.settings.windows_per_batch)
        ]
        parts = torch.cat(curves).split([len(windows) for windows in of_rows])
        return [{"rhythm": part.float().numpy()} for part in parts]
