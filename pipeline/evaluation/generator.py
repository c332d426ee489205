"""The model that is evaluated: music for pictures, or for a rhythm that is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from models.errors import UserError
from models.sampling.settings import SamplingSettings
from models.weights.source import TINY, ModelSource
from stages.contracts import Row
from stages.inference.batching import load_parts
from stages.inference.generator import CHUNK, Draw, MusicGenerator
from stages.inference.window_features import paced_features

if TYPE_CHECKING:
    from torch import Tensor

    from models import DiffV2M
    from models.lengths import Window
    from models.sampling.windows import Timeline

WINDOWS_PER_BATCH = 8


class EvaluationError(UserError):
    """A model that cannot be evaluated, in one line that says why."""


@dataclass(frozen=True)
class TargetRhythm:
    """The rhythm that the music of one video is to have.

    Attributes:
        windows: the rhythm of each window as the model takes it: curves [windows, channels, steps], or onsets
            [windows, seconds, 1].
        curve: onset strength over the whole video, [values].
        rate: values of `curve` per second.
    """

    windows: Tensor
    curve: Tensor
    rate: float


class EvaluatedModel(Protocol):
    """The interface of a model under evaluation, which makes music [2, samples] at 44.1 kHz for rows of `FEATURES`."""

    @property
    def rate(self) -> float:
        """Values of a target rhythm per second."""
        ...

    def windows(self, duration: float) -> Sequence[Window]:
        """The windows that a video is cut into."""
        ...

    def target_of_picture(self, row: Row, seed: int = 0) -> TargetRhythm:
        """The rhythm that a picture asks for; the one of a seed where the model samples it."""
        ...

    def target_of_music(self, row: Row, music: Tensor) -> TargetRhythm:
        """The rhythm of some music [channels, samples], as if a person had given it for this video."""
        ...

    def rhythm_of(self, music: Tensor, duration: float) -> Tensor:
        """The rhythm that music has, measured like `TargetRhythm.curve`."""
        ...

    def generate(self, rows: Sequence[Row], targets: Sequence[TargetRhythm], seed: int) -> list[Tensor]:
        """Music for each video: [2, samples]."""
        ...

    def key(self, row: Row, seed: int) -> int:
        """Number of the key that the music of a video is to have; `models.features.key.UNKNOWN` for none."""
        ...

    def reconstruct(self, music: Tensor) -> Tensor:
        """Music [2, samples] after encoder and decoder, of the same length."""
        ...


@dataclass(frozen=True)
class EvaluationSettings:
    """How the music for an evaluation is made.

    Attributes:
        model: the model that is evaluated.
        device, threads: as for `stages.inference.batching.load_parts`.
        sampling: settings of sampling; the model's defaults where they are left open.
        windows_per_batch: windows that go through the network at once.
        chunk: greatest number of latents that are decoded at once.
    """

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    sampling: SamplingSettings = SamplingSettings(precision="float32")
    windows_per_batch: int = WINDOWS_PER_BATCH
    chunk: int = CHUNK


class EvaluatedGenerator:
    """A model under evaluation, which generates as the stages do.

    The music is what the autoencoder gives, cut to the video's length. The fade and the scaling to full scale of
    delivered music are left out: they would count as the model's own doing.

    Args:
        model: used in place of the settings' weights where it is given.

    Raises:
        EvaluationError: the model's rhythm is not one of onsets, or its audio does not have 44.1 kHz; later, its audio
            is not made of numbers.
    """

    def __init__(self, settings: EvaluationSettings = EvaluationSettings(), model: DiffV2M | None = None) -> None:
        from models.config import Rhythm
        from models.diffv2m import PARTS
        from models.features.audio import SAMPLE_RATE

        self.model = model or load_parts(
            settings.model, PARTS, settings.device, settings.threads, settings.sampling.precision
        )
        self.generator = MusicGenerator(self.model, settings.sampling, settings.windows_per_batch, chunk=settings.chunk)
        self.config, self.lengths = self.model.config, self.model.config.lengths
        if self.config.rhythm is not Rhythm.ODF:
            raise EvaluationError(f"only models of onset rhythm can be evaluated, this one takes {self.config.rhythm}")
        if self.lengths.sample_rate != SAMPLE_RATE:
            raise EvaluationError(f"expected a model of {SAMPLE_RATE} Hz, got one of {self.lengths.sample_rate} Hz")

    @property
    def rate(self) -> float:
        """Values of a target rhythm per second."""
        return self.config.curve_rate if self.config.curve is not None else 1.0

    def windows(self, duration: float) -> Sequence[Window]:
        """The windows that a video is cut into."""
        return self.lengths.windows(duration)

    def target_of_picture(self, row: Row, seed: int = 0) -> TargetRhythm:
        """The rhythm that a picture asks for; the one of a seed where the model samples it."""
        (windows,) = self.generator.predict_rhythms([row], Draw(seed))
        return TargetRhythm(windows, self._whole_curve(windows, row), self.rate)

    def target_of_music(self, row: Row, music: Tensor) -> TargetRhythm:
        """The rhythm of some music [channels, samples], as if a person had given it for this video.

        A curve is cut at the windows' first latents. Onsets at 1 Hz are standardized for the model as in training.
        """
        import torch

        from models.features.rhythm_curve import rhythm_curve

        timeline, curve = self.generator.timeline(row), self.config.curve
        measured = self.rhythm_of(music, row["duration"])
        if curve is not None:
            steps, firsts = -(-timeline.frames // curve.stride), self._first_steps(timeline)
            whole = rhythm_curve(music, self.lengths.sample_rate, self.rate, firsts[-1] + steps)[: curve.channels]
            windows = torch.stack([whole[:, first : first + steps] for first in firsts])
            return TargetRhythm(windows, measured, self.rate)
        features = paced_features(row, timeline, self.config)
        onsets = [measured[window.start : window.stop, None] for window in timeline.windows]
        windows = self.model.rhythm_planner.measured(features, onsets)
        return TargetRhythm(windows.float().cpu(), measured, self.rate)

    def rhythm_of(self, music: Tensor, duration: float) -> Tensor:
        """Channel 0 of the rhythm curve of music, or without a curve its onsets at 1 Hz, over `duration` seconds."""
        import torch

        from models.features.rhythm_curve import rhythm_curve
        from models.features.rhythm_targets import odf

        values = self._num_values(duration)
        if self.config.curve is not None:
            return rhythm_curve(music, self.lengths.sample_rate, self.rate, values)[0]
        onsets = odf(music, self.lengths.sample_rate)[:values, 0]
        return torch.nn.functional.pad(onsets, (0, values - len(onsets)))

    def generate(self, rows: Sequence[Row], targets: Sequence[TargetRhythm], seed: int) -> list[Tensor]:
        """Music for each video: [2, samples], on the CPU."""
        latents = self.generator.sample_latents(rows, [target.windows for target in targets], Draw(seed))
        return [self._decode(x, row["duration"]) for row, x in zip(rows, latents, strict=True)]

    def key(self, row: Row, seed: int) -> int:
        """Number of the key that the music of a video is to have; `models.features.key.UNKNOWN` for none."""
        features = paced_features(row, self.generator.timeline(row), self.config)
        return self.generator.with_key(row, features, Draw(seed))[0].key

    def reconstruct(self, music: Tensor) -> Tensor:
        """Music [2, samples] after encoder and decoder, of the same length."""
        import torch

        hop, samples = self.lengths.downsampling, music.shape[-1]
        whole = torch.nn.functional.pad(music, (0, -samples % hop)).to(self.model.device, self.model.dtype)
        return self._decode(self.model.encode(whole[None])[0], samples / self.lengths.sample_rate)

    def _num_values(self, duration: float) -> int:
        """Number of values of a target rhythm over `duration` seconds."""
        return math.ceil(round(duration * self.rate, 6))

    def _first_steps(self, timeline: Timeline) -> list[int]:
        """Index on the video's time axis of the first value of each window's rhythm."""
        if self.config.curve is None:
            return [window.start for window in timeline.windows]
        return [round(start / self.config.curve.stride) for start in timeline.starts]

    def _whole_curve(self, windows: Tensor, row: Row) -> Tensor:
        """Channel 0 of the windows' rhythms as one curve [values]; where two windows overlap the later one is taken."""
        parts = windows[..., 0] if self.config.curve is None else windows[:, 0]
        firsts, values = self._first_steps(self.generator.timeline(row)), self._num_values(row["duration"])
        whole = parts.new_zeros(max(values, firsts[-1] + parts.shape[1]))
        for first, part in zip(firsts, parts, strict=True):
            whole[first : first + len(part)] = part
        return whole[:values]

    def _decode(self, latents: Tensor, duration: float) -> Tensor:
        """Audio [2, samples] of latents [channels, frames]."""
        import torch

        audio = self.generator.decode_audio(latents, duration)
        if not torch.isfinite(audio).all():
            raise EvaluationError("the model gives values that are not numbers: are these the right weights?")
        return audio
