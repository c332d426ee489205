"""What a step learns from: crops of segments and of sounds, drawn by the step alone, a share for each worker."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.config import ModelConfig
from models.inputs import Features
from models.lengths import whole_seconds
from models.training.checkpoints import TrainingError
from models.training.data.crops import Segment, columns_of, cut
from models.training.sharding import ALONE
from models.training.trainer import generator

__all__ = [
    "Crop", "DiffusionBatch", "DiffusionCrops", "Segment", "Segments", "Share",
    "SoundBatch", "SoundCrops", "Sounds", "excerpt_of",
]  # fmt: skip

Crop = tuple[int, float, float]
"""Number of a segment, whole second in it at which the crop begins, whole seconds of it that are taken at most."""
Share = Callable[[int], slice]
"""Which items of a batch of so many a worker sees."""


class Segments(Protocol):
    """A dataset in random access."""

    def __len__(self) -> int: ...

    def segment(self, index: int, columns: Sequence[str] | None = None) -> Segment:
        """A segment's columns: those wanted, all if left out."""
        ...


class Sounds(Protocol):
    """Sound in random access."""

    def __len__(self) -> int: ...

    def excerpt(self, index: int, place: float, samples: int) -> npt.NDArray[np.int16]:
        """`samples` of a sound, [samples, 2], begun at `place` in [0, 1) of where they can be; zeros behind its end."""
        ...


@dataclass(frozen=True)
class DiffusionBatch:
    """Crops of one length, or a worker's share of them.

    Attributes:
        features: what each picture looks like.
        rhythm: measured rhythm of each: curves [channels, steps]; without a curve [seconds, 1 or 16].
        latents: [items, channels, frames], 0 behind the end.
        mask: [items, frames] 1 where there is sound, 0 behind the end.
        rhythm_mask: [items, steps] the same for the steps of the rhythm.
        total: items of the whole batch.
        items: those of the whole batch that these are.
        frames, steps: how many ones the two masks have in the whole batch.
    """

    features: Sequence[Features]
    rhythm: Sequence[Tensor]
    latents: Tensor
    mask: Tensor
    rhythm_mask: Tensor
    total: int
    items: slice
    frames: int
    steps: int

    @property
    def weight(self) -> float:
        """The share of the whole batch's items."""
        return len(self.latents) / self.total

    def to(self, device: torch.device | str) -> DiffusionBatch:
        def moved(features: Features) -> Features:
            arrays: dict[str, Any] = {n: a.to(device) for n, a in vars(features).items() if isinstance(a, Tensor)}
            return replace(features, **arrays)

        return replace(
            self,
            features=[moved(features) for features in self.features],
            rhythm=[rhythm.to(device) for rhythm in self.rhythm],
            latents=self.latents.to(device),
            mask=self.mask.to(device),
            rhythm_mask=self.rhythm_mask.to(device),
        )


class DiffusionCrops:
    """The batch of a step: crops of one length, which is drawn for the step.

    Crops begin with a whole second, so that its features stay in time with its latents. Each second of the dataset is
    as likely as any other. Shorter crops come in greater number: every batch has about `items * longest` seconds.

    Args:
        seconds: of each segment.
        items: of a batch of the longest crops.
        shortest, longest: whole seconds of a crop.
        ending: probability that a crop ends with its segment and may have silence behind the end.
        share: the worker's.

    Raises:
        TrainingError: there are no segments, the lengths do not fit the model's window, or, later, what a segment
            holds does not fit the model.
    """

    def __init__(
        self,
        segments: Segments,
        seconds: Sequence[float],
        config: ModelConfig,
        items: int,
        *,
        shortest: int,
        longest: int,
        ending: float = 0.15,
        seed: int = 0,
        share: Share = ALONE.share,
    ) -> None:
        if not 1 <= shortest <= longest <= config.steps:
            lengths = f"{shortest:g} to {longest:g} s"
            raise TrainingError(f"crops of {lengths} do not fit a window of {config.steps} s")
        if not 0 <= ending <= 1:
            raise TrainingError(f"ending is a share, got {ending}")
        if not len(segments):
            raise TrainingError("the dataset has no segments: prepare videos with music first")
        self.segments, self.seconds, self.config, self.items = segments, seconds, config, items
        self.shortest, self.longest, self.ending = int(shortest), int(longest), ending
        self.seed, self.share = seed, share
        self._stride = config.curve.stride if config.curve is not None else 1
        self.columns = columns_of(config)
        self._bounds = list(itertools.accumulate(seconds))

    def __call__(self, step: int) -> DiffusionBatch:
        draws = generator("crops", self.seed, step)
        length = int(torch.randint(self.shortest, self.longest + 1, (), generator=draws))
        total = max(1, round(self.items * self.longest / length))
        drawn = torch.rand(total, 3, generator=draws).double().tolist()
        crops = [self._drawn(which, ends, place, length) for which, ends, place in drawn]
        frames = [self._sounding(crop, length) for crop in crops]
        curved, items = self.config.curve is not None, self.share(total)
        steps = [-(-f // self._stride) if curved else int(crop[2]) for f, crop in zip(frames, crops, strict=True)]
        own = self.of(crops[items], length)
        return replace(own, total=total, items=items, frames=sum(frames), steps=sum(steps))

    def of(self, crops: Sequence[Crop], seconds: int) -> DiffusionBatch:
        """The batch of certain crops, in windows of so many seconds."""
        frames = self.config.lengths.latents_of(seconds)
        found = [
            cut(self.segments.segment(number, self.columns), int(start), int(taken), frames, self.config)
            for number, start, taken in crops
        ]
        mask, rhythm_mask = (torch.stack([getattr(item, name) for item in found]) for name in ("mask", "rhythm_mask"))
        return DiffusionBatch(
            features=[item.features for item in found],
            rhythm=[item.rhythm for item in found],
            latents=torch.stack([item.latents for item in found]),
            mask=mask,
            rhythm_mask=rhythm_mask,
            total=len(found),
            items=slice(0, len(found)),
            frames=int(mask.sum()),
            steps=int(rhythm_mask.sum()),
        )

    def _drawn(self, which: float, ends: float, place: float, length: int) -> Crop:
        """A crop from three numbers in [0, 1)."""
        number = min(bisect_right(self._bounds, which * self._bounds[-1]), len(self._bounds) - 1)
        whole = min(whole_seconds(self.seconds[number]), self.config.steps)
        most = min(length, whole)
        if ends < self.ending:
            least = min(self.shortest, most)
            taken = least + int(place * (most - least + 1))
            return number, whole - taken, taken
        return number, int(place * (whole - most + 1)), most

    def _sounding(self, crop: Crop, length: int) -> int:
        """Latents with sound of a crop, from the segment's length alone: other workers' items are never read."""
        number, start, taken = crop
        lengths, duration = self.config.lengths, self.seconds[number]
        first, stop = lengths.latent_at(int(start)), lengths.latents_of(duration)
        if start + taken < min(whole_seconds(duration), self.config.steps):
            stop = min(stop, first + lengths.latents_of(taken))
        return min(stop - first, lengths.latents_of(length))


@dataclass(frozen=True)
class SoundBatch:
    """Crops of sound, [items, 2, samples] in [-1, 1]; `weight` is the share of the whole batch that they are."""

    audio: Tensor
    weight: float = 1.0

    def to(self, device: torch.device | str) -> SoundBatch:
        return replace(self, audio=self.audio.to(device))


class SoundCrops:
    """The batch of a step: crops of `samples`, each second of sound as likely as any other.

    Args:
        seconds: of each sound.

    Raises:
        TrainingError: there is no sound.
    """

    def __init__(
        self,
        sounds: Sounds,
        seconds: Sequence[float],
        samples: int,
        items: int,
        seed: int = 0,
        share: Share = ALONE.share,
    ) -> None:
        if not seconds:
            raise TrainingError("the dataset has no sound: prepare videos with music first")
        self.sounds, self.samples, self.items, self.seed, self.share = sounds, samples, items, seed, share
        self._bounds = list(itertools.accumulate(seconds))

    def __call__(self, step: int) -> SoundBatch:
        drawn = torch.rand(self.items, 2, generator=generator("sounds", self.seed, step)).double().tolist()
        pieces = [self._excerpt(*numbers) for numbers in drawn[self.share(self.items)]]
        audio = torch.from_numpy(np.stack(pieces)).transpose(1, 2).float() / 32768
        return SoundBatch(audio.contiguous(), len(pieces) / self.items)

    def _excerpt(self, which: float, place: float) -> npt.NDArray[np.int16]:
        number = min(bisect_right(self._bounds, which * self._bounds[-1]), len(self._bounds) - 1)
        return self.sounds.excerpt(number, place, self.samples)


def excerpt_of(sound: npt.NDArray[np.int16], place: float, samples: int) -> npt.NDArray[np.int16]:
    """`Sounds.excerpt` of a sound [length, 2] that lies in memory."""
    begin = int(place * (max(len(sound) - samples, 0) + 1))
    piece = sound[begin : begin + samples]
    return np.pad(piece, ((0, samples - len(piece)), (0, 0)))
