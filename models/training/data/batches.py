"""The batches of a training: crops of segments and of sounds that depend on the step alone, a share per worker."""

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
from models.training.data.crops import Segment, columns_of, cut_crop
from models.training.seeding import seeded_generator
from models.training.sharding import SINGLE_WORKER

Crop = tuple[int, float, float]
"""Index of a segment, whole second in it at which the crop begins, and whole seconds that are taken at most."""
Share = Callable[[int], slice]
"""Returns a worker's items of a batch, given the number of items."""


class SegmentSource(Protocol):
    """A dataset with random access to its segments."""

    def __len__(self) -> int: ...

    def segment(self, index: int, columns: Sequence[str] | None = None) -> Segment:
        """Returns the given columns of a segment, all columns if left out."""
        ...


class SoundSource(Protocol):
    """A collection of sounds with random access to excerpts."""

    def __len__(self) -> int: ...

    def excerpt(self, index: int, place: float, samples: int) -> npt.NDArray[np.int16]:
        """Returns an excerpt of a sound, [samples, 2]; a sound that is shorter is filled up with zeros.

        Args:
            index: index of the sound.
            place: position of the excerpt among all that fit into the sound, in [0, 1).
            samples: number of samples.
        """
        ...


@dataclass(frozen=True)
class DiffusionBatch:
    """Crops of one length, or a worker's share of them.

    Attributes:
        features: features of each picture.
        rhythm: measured rhythm of each item: a curve [channels, steps]; for models without a curve [seconds, 1 or 16].
        latents: latents of the music, [items, channels, frames], 0 after its end.
        mask: 1 where there is sound, 0 after its end, [items, frames].
        rhythm_mask: the same for the steps of the rhythm, [items, steps].
        total: number of items in the whole batch.
        items: which items of the whole batch these are.
        frames, steps: number of ones in the two masks of the whole batch.
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
        """The share of these items in the whole batch."""
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
    """Makes the batch of a step: crops of one length, which is random for each step.

    A crop begins with a whole second, so that the features, which have a value per second, stay in time with the
    latents. Each second of the dataset is equally likely. Batches of shorter crops have more items, so that every batch
    has about `items * longest` seconds.

    Args:
        segments: the dataset.
        seconds: duration of each segment.
        config: configuration of the model.
        items: number of items in a batch of the longest crops.
        shortest, longest: whole seconds of a crop.
        ending: probability that a crop ends with its segment and may have silence after it.
        seed: seed of the random numbers.
        share: chooses the worker's items.

    Raises:
        TrainingError: there are no segments, the lengths do not fit the model's window, or, when a batch is made, the
            columns of a segment do not fit the model.
    """

    def __init__(
        self,
        segments: SegmentSource,
        seconds: Sequence[float],
        config: ModelConfig,
        items: int,
        *,
        shortest: int,
        longest: int,
        ending: float = 0.15,
        seed: int = 0,
        share: Share = SINGLE_WORKER.share,
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
        draws = seeded_generator("crops", self.seed, step)
        length = int(torch.randint(self.shortest, self.longest + 1, (), generator=draws))
        total = max(1, round(self.items * self.longest / length))
        numbers = torch.rand(total, 3, generator=draws).double().tolist()
        crops = [self._random_crop(which, ends, place, length) for which, ends, place in numbers]
        frames = [self._frames_with_sound(crop, length) for crop in crops]
        has_curve, items = self.config.curve is not None, self.share(total)
        steps = [-(-f // self._stride) if has_curve else int(crop[2]) for f, crop in zip(frames, crops, strict=True)]
        own = self.batch_of(crops[items], length)
        return replace(own, total=total, items=items, frames=sum(frames), steps=sum(steps))

    def batch_of(self, crops: Sequence[Crop], seconds: int) -> DiffusionBatch:
        """Returns the batch of given crops, in windows of `seconds`."""
        frames = self.config.lengths.latents_of(seconds)
        found = [
            cut_crop(self.segments.segment(number, self.columns), int(start), int(taken), frames, self.config)
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

    def _random_crop(self, which: float, ends: float, place: float, length: int) -> Crop:
        """Returns a crop of up to `length` seconds, chosen by three random numbers in [0, 1).

        Args:
            which: chooses the segment.
            ends: decides whether the crop ends with its segment.
            place: chooses the position or, for a crop that ends with its segment, the length.
        """
        number = min(bisect_right(self._bounds, which * self._bounds[-1]), len(self._bounds) - 1)
        whole = min(whole_seconds(self.seconds[number]), self.config.steps)
        most = min(length, whole)
        if ends < self.ending:
            least = min(self.shortest, most)
            taken = least + int(place * (most - least + 1))
            return number, whole - taken, taken
        return number, int(place * (whole - most + 1)), most

    def _frames_with_sound(self, crop: Crop, length: int) -> int:
        """Returns how many latents of a crop have sound.

        The duration of the segment is enough to know that, so the items of other workers are never read.
        """
        number, start, taken = crop
        lengths, duration = self.config.lengths, self.seconds[number]
        first, stop = lengths.latent_at(int(start)), lengths.latents_of(duration)
        if start + taken < min(whole_seconds(duration), self.config.steps):
            stop = min(stop, first + lengths.latents_of(taken))
        return min(stop - first, lengths.latents_of(length))


@dataclass(frozen=True)
class SoundBatch:
    """Crops of sound.

    Attributes:
        audio: values in [-1, 1], [items, 2, samples].
        weight: share of these items in the whole batch.
    """

    audio: Tensor
    weight: float = 1.0

    def to(self, device: torch.device | str) -> SoundBatch:
        return replace(self, audio=self.audio.to(device))


class SoundCrops:
    """Makes the batch of a step: random crops, for which each second of sound is equally likely.

    Args:
        sounds: the sounds.
        seconds: duration of each sound.
        samples: samples of a crop.
        items: number of items in a batch.
        seed: seed of the random numbers.
        share: chooses the worker's items.

    Raises:
        TrainingError: there is no sound.
    """

    def __init__(
        self,
        sounds: SoundSource,
        seconds: Sequence[float],
        samples: int,
        items: int,
        seed: int = 0,
        share: Share = SINGLE_WORKER.share,
    ) -> None:
        if not seconds:
            raise TrainingError("the dataset has no sound: prepare videos with music first")
        self.sounds, self.samples, self.items, self.seed, self.share = sounds, samples, items, seed, share
        self._bounds = list(itertools.accumulate(seconds))

    def __call__(self, step: int) -> SoundBatch:
        numbers = torch.rand(self.items, 2, generator=seeded_generator("sounds", self.seed, step)).double().tolist()
        excerpts = [self._excerpt(*pair) for pair in numbers[self.share(self.items)]]
        audio = torch.from_numpy(np.stack(excerpts)).transpose(1, 2).float() / 32768
        return SoundBatch(audio.contiguous(), len(excerpts) / self.items)

    def _excerpt(self, which: float, place: float) -> npt.NDArray[np.int16]:
        number = min(bisect_right(self._bounds, which * self._bounds[-1]), len(self._bounds) - 1)
        return self.sounds.excerpt(number, place, self.samples)


def excerpt_from(sound: npt.NDArray[np.int16], place: float, samples: int) -> npt.NDArray[np.int16]:
    """Returns an excerpt of a sound [length, 2] in memory, see `SoundSource.excerpt`."""
    begin = int(place * (max(len(sound) - samples, 0) + 1))
    excerpt = sound[begin : begin + samples]
    return np.pad(excerpt, ((0, samples - len(excerpt)), (0, 0)))
