"""Sound: from latents to a waveform that is exactly as long as the video and ends with a fade."""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.weights.source import TINY, ModelSource
from stages.base import ItemError, Stage
from stages.contracts import LATENTS, SOUND, Row
from stages.inference.batching import halving, load_parts


@dataclass(frozen=True)
class SoundSettings:
    """`chunk` latents are decoded at once, with numbers of a `precision` (`models.precision`).

    The music fades out over `fade` seconds, or a quarter of a short video.
    """

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    precision: str = "auto"
    chunk: int = 128
    fade: float = 1.0


class Sound(Stage):
    """Adds `waveform` [samples, channels]: 16-bit PCM at the model's rate, its peak at full scale as released."""

    name = "sound"
    reads, writes = LATENTS, SOUND

    def __init__(self, settings: SoundSettings = SoundSettings()) -> None:
        self.settings, self.chunk = settings, settings.chunk
        parts = ("autoencoder",)
        self.model = load_parts(settings.model, parts, settings.device, settings.threads, settings.precision)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [self._waveform(row) for row in rows]

    def _waveform(self, row: Row) -> Row | Exception:
        """Half an hour is 635 MB of float32, so after decoding everything happens in place."""
        import torch

        from models.diffv2m import peak_normalised

        cpu = torch.device("cpu")
        latents = torch.tensor(row["latents"], device=self.model.device, dtype=self.model.dtype)
        samples = self.model.lengths.samples_of(row["duration"])
        with torch.inference_mode():
            whole, self.chunk = halving(lambda chunk: self.model.decode(latents[None], chunk, cpu), self.chunk)
            audio = whole[0, :, :samples].float()
            low, high = (float(x) for x in audio.aminmax())
            if not math.isfinite(high - low):
                return ItemError(
                    "NotFinite", "decoding gave values that are not numbers; try --precision float32, or other weights"
                )
            fade = round(min(self.settings.fade, row["duration"] / 4) * self.model.lengths.sample_rate)
            audio[:, samples - fade :] *= torch.cos(torch.linspace(0, torch.pi / 2, fade))
            return {"waveform": peak_normalised(audio).T.contiguous().numpy()}
