"""The stage that predicts rhythm: the onsets that a picture asks for, one value per second or a curve."""

from __future__ import annotations

from dataclasses import dataclass

from models.weights.source import TINY, ModelSource
from stages.base import Stage
from stages.contracts import FEATURES, RHYTHM, Row
from stages.inference.batching import load_parts
from stages.inference.generator import Draw, MusicGenerator


@dataclass(frozen=True)
class PredictRhythmSettings:
    """How the rhythm is predicted.

    Attributes:
        model: the model whose predictor is used.
        device, threads: as for `stages.inference.batching.load_parts`.
        seed, take: choose the rhythm, in a model that samples it.
        windows_per_batch: windows that go through the predictor at once; a model that samples its rhythm takes all
            windows of one video.
    """

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    seed: int = 0
    take: int = 0
    windows_per_batch: int = 1


class PredictRhythm(Stage):
    """Adds `rhythm` [windows, steps, 1 or 16] (paper 3.2); with a curve [windows, channels, steps]."""

    name = "rhythm"
    reads, writes = FEATURES, RHYTHM

    def __init__(self, settings: PredictRhythmSettings = PredictRhythmSettings()) -> None:
        model = load_parts(settings.model, ("conditioner",), settings.device, settings.threads)
        self.generator = MusicGenerator(model, windows_per_batch=settings.windows_per_batch)
        self.draw = Draw(settings.seed, settings.take)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [{"rhythm": rhythm.numpy()} for rhythm in self.generator.predict_rhythms(rows, self.draw)]
