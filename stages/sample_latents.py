"""The stage that samples latents: from noise, under the picture's conditions, all windows of a video at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.sampling.settings import SamplingSettings
from models.weights.source import TINY, ModelSource
from stages.base import ItemError, Stage
from stages.contracts import LATENTS, RHYTHM, Row
from stages.inference.batching import load_parts
from stages.inference.generator import Draw, MusicGenerator

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class SampleLatentsSettings:
    """How the latents are sampled.

    Attributes:
        model: the model that is sampled.
        device, threads: as for `stages.inference.batching.load_parts`.
        seed, take: choose the noise, together with the video's content and the window's number.
        sampling: settings of sampling.
        gpu_share: share of a GPU's memory that the worker may use.
        windows_per_batch: as for `MusicGenerator`; fewer where a GPU has too little memory.
    """

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    seed: int = 0
    take: int = 0
    sampling: SamplingSettings = SamplingSettings()
    gpu_share: float = 1.0
    windows_per_batch: int = 1


class SampleLatents(Stage):
    """Adds `latents` [channels, frames] of the whole video."""

    name = "sample"
    reads, writes = RHYTHM, LATENTS

    def __init__(self, settings: SampleLatentsSettings = SampleLatentsSettings()) -> None:
        sampling, parts = settings.sampling, ("conditioner", "dit")
        model = load_parts(settings.model, parts, settings.device, settings.threads, sampling.precision)
        if sampling.compiled:
            model.compile_blocks()
        self.generator = MusicGenerator(model, sampling, settings.windows_per_batch, settings.gpu_share)
        self.draw = Draw(settings.seed, settings.take)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        import torch

        rhythms = [torch.tensor(row["rhythm"]) for row in rows]
        latents = self.generator.sample_latents(rows, rhythms, self.draw)
        return [
            {"latents": x.numpy(), "rhythm": self._rhythm_by_second(row)}
            if torch.isfinite(x).all()
            else ItemError(
                "NotFinite", "sampling gave values that are not numbers; try a lower --guidance or --precision float32"
            )
            for row, x in zip(rows, latents, strict=True)
        ]

    def _rhythm_by_second(self, row: Row) -> np.ndarray:
        """The rhythm per second, [windows, steps, 1 or 16]: of a curve, the greatest onset strength of each second."""
        import torch

        from models.networks.conditioners import tokens_of_curve

        config = self.generator.model.config
        if config.curve is None:
            return row["rhythm"]
        return tokens_of_curve(torch.tensor(row["rhythm"]), config.curve_rate, config.steps).numpy()
