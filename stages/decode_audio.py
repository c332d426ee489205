"""The stage that decodes audio: latents to a waveform that is as long as the video and ends with a fade."""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.weights.source import TINY, ModelSource
from stages.base import ItemError, Stage
from stages.contracts import LATENTS, SOUND, Row
from stages.inference.batching import load_parts
from stages.inference.generator import CHUNK, MusicGenerator


@dataclass(frozen=True)
class DecodeAudioSettings:
    """How the audio is decoded.

    Attributes:
        model: the model whose autoencoder is used.
        device, threads, precision: as for `stages.inference.batching.load_parts`.
        chunk: greatest number of latents that are decoded at once.
        fade: seconds of the fade at the end; at most a quarter of the video.
    """

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    precision: str = "auto"
    chunk: int = CHUNK
    fade: float = 1.0


class DecodeAudio(Stage):
    """Adds `waveform` [samples, channels]: 16-bit PCM at the model's rate, with its peak at full scale as released."""

    name = "sound"
    reads, writes = LATENTS, SOUND

    def __init__(self, settings: DecodeAudioSettings = DecodeAudioSettings()) -> None:
        self.settings = settings
        model = load_parts(settings.model, ("autoencoder",), settings.device, settings.threads, settings.precision)
        self.generator = MusicGenerator(model, chunk=settings.chunk)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [self._waveform(row) for row in rows]

    def _waveform(self, row: Row) -> Row | Exception:
        """The columns of one video. After decoding everything happens in place: half an hour is 635 MB of float32."""
        import torch

        from models.diffv2m import peak_normalized

        with torch.inference_mode():
            audio = self.generator.decode_audio(torch.tensor(row["latents"]), row["duration"])
            low, high = (float(x) for x in audio.aminmax())
            if not math.isfinite(high - low):
                return ItemError(
                    "NotFinite", "decoding gave values that are not numbers; try --precision float32, or other weights"
                )
            samples, rate = audio.shape[-1], self.generator.model.lengths.sample_rate
            fade = round(min(self.settings.fade, row["duration"] / 4) * rate)
            audio[:, samples - fade :] *= torch.cos(torch.linspace(0, torch.pi / 2, fade))
            return {"waveform": peak_normalized(audio).T.contiguous().numpy()}
