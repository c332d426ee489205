"""Evaluation: music of a model for a picture, with the rhythm that the picture asks for or one that is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from models.weights.source import TINY, ModelSource
from stages.contracts import Row
from stages.inference.batching import by_length, drawn_rhythm, load_parts, paced_features
from stages.inference.window_batches import Batches, Steps

if TYPE_CHECKING:
    from torch import Tensor

    from models import Conditions, DiffV2M, Features
    from models.lengths import Window
    from models.sampling.windows import Timeline

BATCH = 8


class EvaluationError(ValueError):
    """A model that cannot be evaluated, in one line that says why."""


@dataclass(frozen=True)
class Asked:
    """The rhythm that the music of one video is asked to have.

    Attributes:
        windows: what the model takes, one for each window: curves [windows, channels, steps], or onsets [windows,
            seconds, 1].
        curve: onset strength over the whole video, [values].
        rate: values a second of `curve`.
    """

    windows: Tensor
    curve: Tensor
    rate: float


class Musician(Protocol):
    """What is evaluated: makes music for videos (rows of `FEATURES`), 44.1 kHz, [2, samples]."""

    @property
    def rate(self) -> float:
        """Values a second of the asked rhythm."""
        ...

    def windows(self, duration: float) -> Sequence[Window]:
        """The windows that a video is cut into."""
        ...

    def asked_by_picture(self, rows: Sequence[Row], seed: int = 0) -> list[Asked]:
        """The rhythm that each picture asks for, or one of those that it may ask for."""
        ...

    def asked_by_music(self, row: Row, music: Tensor) -> Asked:
        """The rhythm of some music [channels, samples], as if a person had given it for this video."""
        ...

    def rhythm_of(self, music: Tensor, duration: float) -> Tensor:
        """The rhythm that music has, measured as `Asked.curve` is."""
        ...

    def play(self, rows: Sequence[Row], asked: Sequence[Asked], seed: int) -> list[Tensor]:
        """Music for each video."""
        ...

    def key(self, row: Row, seed: int) -> int:
        """Number of the key that the music of a video is asked to have; `models.features.key.UNKNOWN` for none."""
        ...

    def reconstruct(self, music: Tensor) -> Tensor:
        """Music after a way through the autoencoder."""
        ...


@dataclass(frozen=True)
class EvaluationSettings:
    """How the music is made.

    Attributes:
        steps, guidance, sampler: None is the model's own default.
        batch: windows that go through the network at once.
        chunk: latents decoded at once.
    """

    model: ModelSource = TINY
    device: str = "auto"
    threads: int = 0
    steps: int | None = None
    guidance: float | None = None
    sampler: str = "dpm"
    batch: int = BATCH
    chunk: int = 128


class Evaluation:
    """A model at work, as in `Rhythm`, `Sample` and `Sound`, many videos at once.

    The music is what the autoencoder gives, cut to the video's length: the fade and the scaling to full scale with
    which videos are delivered would count as the model's own doing.

    Raises:
        EvaluationError: the model's rhythm is not one of onsets, its sound not one of 44.1 kHz, or, later, what it
            gives no sound.
    """

    def __init__(self, settings: EvaluationSettings = EvaluationSettings(), model: DiffV2M | None = None) -> None:
        """`model` takes the place of the settings' weights where it is given."""
        from models.config import Rhythm
        from models.diffv2m import PARTS
        from models.features.audio import SAMPLE_RATE

        self.settings = settings
        self.model = model or load_parts(settings.model, PARTS, settings.device, settings.threads)
        self.config, self.lengths = self.model.config, self.model.config.lengths
        if self.config.rhythm is not Rhythm.ODF:
            raise EvaluationError(f"only models of onset rhythm can be evaluated, this one takes {self.config.rhythm}")
        if self.lengths.sample_rate != SAMPLE_RATE:
            raise EvaluationError(f"expected a model of {SAMPLE_RATE} Hz, got one of {self.lengths.sample_rate} Hz")

    @property
    def rate(self) -> float:
        """Values a second of the asked rhythm."""
        return self.config.curve_rate if self.config.curve is not None else 1.0

    def windows(self, duration: float) -> Sequence[Window]:
        """The windows that a video of so many seconds is cut into."""
        return self.lengths.windows(duration)

    def asked_by_picture(self, rows: Sequence[Row], seed: int = 0) -> list[Asked]:
        """The rhythm that each picture asks for; the one of a seed where the model draws it."""
        import torch

        from models.sampling.windows import noise_key

        asked = []
        for row in rows:
            timeline = self._timeline(row)
            if self.model.draws:
                windows = drawn_rhythm(self.model, row, timeline, noise_key(seed, row["content_id"])).cpu()
                asked.append(Asked(windows, self._whole(windows, timeline, row["duration"]), self.rate))
                continue
            features = self.model.grooved(paced_features(row, timeline, self.config), timeline.seconds)
            size = self.settings.batch
            parts = [self.model.predict_rhythm(features[i : i + size]) for i in range(0, len(features), size)]
            windows = torch.cat(parts).float().cpu()
            if self.config.curve is not None and self.config.curve.stride == 1:
                windows = timeline.blend(windows)
            asked.append(Asked(windows, self._whole(windows, timeline, row["duration"]), self.rate))
        return asked

    def asked_by_music(self, row: Row, music: Tensor) -> Asked:
        """The rhythm of some music: its curve, cut on the windows' first latents; without a curve its onsets at 1 Hz.

        Onsets are standardised for the model as in training, but told as they are.
        """
        import torch

        from models.features.rhythm_curve import rhythm_curve

        timeline, curve = self._timeline(row), self.config.curve
        told = self.rhythm_of(music, row["duration"])
        if curve is not None:
            steps = -(-timeline.frames // curve.stride)
            firsts = [round(start / curve.stride) for start in timeline.starts]
            whole = rhythm_curve(music, self.lengths.sample_rate, self.rate, firsts[-1] + steps)[: curve.channels]
            return Asked(torch.stack([whole[:, first : first + steps] for first in firsts]), told, self.rate)
        features = paced_features(row, timeline, self.config)
        windows = self.model.measured(features, [told[w.start : w.stop, None] for w in timeline.windows])
        return Asked(windows.float().cpu(), told, self.rate)

    def rhythm_of(self, music: Tensor, duration: float) -> Tensor:
        """Channel 0 of the rhythm curve of music, or without a curve its onsets at 1 Hz, over `duration` seconds."""
        import torch

        from models.features.rhythm_curve import rhythm_curve
        from models.features.rhythm_targets import odf

        values = self._values(duration)
        if self.config.curve is not None:
            return rhythm_curve(music, self.lengths.sample_rate, self.rate, values)[0]
        onsets = odf(music, self.lengths.sample_rate)[:values, 0]
        return torch.nn.functional.pad(onsets, (0, values - len(onsets)))

    def play(self, rows: Sequence[Row], asked: Sequence[Asked], seed: int) -> list[Tensor]:
        """Music for each video: [2, samples], on the CPU."""
        timelines = [self._timeline(row) for row in rows]
        return by_length(list(zip(rows, asked, strict=True)), timelines, partial(self._played, seed))

    def _played(self, seed: int, takes: list[tuple[Row, Asked]], timelines: list[Timeline]) -> list[Tensor]:
        """Music for videos whose windows are equally long."""
        from models.sampling.windows import noise_key

        rows, asked = zip(*takes, strict=True)
        noise = [
            timeline.noise(noise_key(seed, row["content_id"]), self.config.latent_channels)
            for row, timeline in zip(rows, timelines, strict=True)
        ]
        conditions = self._conditions(rows, timelines, asked, seed)
        latents = Batches(self.model, self.settings.batch).sample(noise, conditions, timelines, self._steps)
        return [self._decoded(x, row["duration"]) for row, x in zip(rows, latents, strict=True)]

    def key(self, row: Row, seed: int) -> int:
        """Number of the key that the music of a video is asked to have; `models.features.key.UNKNOWN` for none."""
        return self._keyed(row, self._timeline(row), seed)[0].key

    def reconstruct(self, music: Tensor) -> Tensor:
        """Music [2, samples] after encoder and decoder, of the same length."""
        import torch

        hop, samples = self.lengths.downsampling, music.shape[-1]
        whole = torch.nn.functional.pad(music, (0, -samples % hop)).to(self.model.device, self.model.dtype)
        return self._decoded(self.model.encode(whole[None])[0], samples / self.lengths.sample_rate)

    def _timeline(self, row: Row) -> Timeline:
        from models.sampling.windows import Timeline

        return Timeline(self.lengths, row["duration"])

    def _values(self, duration: float) -> int:
        """Values of the asked rhythm over so many seconds."""
        return math.ceil(round(duration * self.rate, 6))

    def _whole(self, windows: Tensor, timeline: Timeline, duration: float) -> Tensor:
        """Channel 0 of the windows' rhythms as one curve; of two windows the later one counts."""
        values = self._values(duration)
        if self.config.curve is not None:
            parts = windows[:, 0]
            firsts = [round(start / self.config.curve.stride) for start in timeline.starts]
        else:
            parts, firsts = windows[..., 0], [window.start for window in timeline.windows]
        whole = parts.new_zeros(max(values, firsts[-1] + parts.shape[1]))
        for first, part in zip(firsts, parts, strict=True):
            whole[first : first + len(part)] = part
        return whole[:values]

    def _conditions(
        self, rows: Sequence[Row], timelines: Sequence[Timeline], asked: Sequence[Asked], seed: int
    ) -> Conditions:
        """Conditions of all windows of all rows, one after another."""
        import torch

        from models.networks.conditions import Conditions

        features = []
        for row, timeline in zip(rows, timelines, strict=True):
            features += self._keyed(row, timeline, seed)
        rhythm = torch.cat([a.windows for a in asked])
        size = self.settings.batch
        return Conditions.concatenated(
            [
                self.model.condition(features[i : i + size], predicted_rhythm=rhythm[i : i + size])
                for i in range(0, len(features), size)
            ]
        )

    def _keyed(self, row: Row, timeline: Timeline, seed: int) -> list[Features]:
        """The features of a video's windows with its key."""
        from models.features.key import drawn_tonic
        from models.sampling.windows import noise_key

        tonic = drawn_tonic(noise_key(seed, row["content_id"]))
        return self.model.keyed(paced_features(row, timeline, self.config), tonic)

    @property
    def _steps(self) -> Steps:
        settings, source = self.settings, self.settings.model
        guidance = source.guidance if settings.guidance is None else settings.guidance
        return Steps(settings.sampler, settings.steps or source.steps, guidance)

    def _decoded(self, latents: Tensor, duration: float) -> Tensor:
        """Sound [2, samples] of latents [channels, frames]."""
        import torch

        audio = self.model.decode(latents[None], self.settings.chunk)[0, :, : self.lengths.samples_of(duration)]
        if not torch.isfinite(audio).all():
            raise EvaluationError("the model gives values that are not numbers: are these the right weights?")
        return audio.float().cpu()
