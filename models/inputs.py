"""The inputs of a model: features of clips, and how they are packed into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.config import ModelConfig
from models.features.beat_grid import CHANNELS, Groove
from models.features.key import UNKNOWN

Array = np.ndarray | Tensor


GENERAL_VIDEO = 2
"""The class of video that the authors' data sets always use."""


@dataclass(frozen=True)
class Features:
    """Features of a clip of T whole seconds, one row per second.

    Attributes:
        semantic: [T, D] CLIP image embeddings, not normalized.
        color: [T, C] RGB-uv log-chroma histograms.
        scene_cut: [T] 1 where a cut falls into that second, else 0.
        visual_beat: [T] strength of the strongest visual beat of each second, in [0, 1].
        class_label: 0 performance, 1 dance, 2 general video.
        seconds_total: length of the whole clip that the music is for; T if left out.
        pace: [channels, steps] of `models.features.motion.pace_curve`; only a model with a rhythm curve reads it.
        groove: the steady beat that the rhythm is to have; a model with a groove reads it, and chooses one if left out.
        key: number of the key that the music is to have (`models.features.key`); a model that is given keys reads it.
    """

    semantic: Array
    color: Array
    scene_cut: Array
    visual_beat: Array
    class_label: int = GENERAL_VIDEO
    seconds_total: float | None = None
    pace: Array | None = None
    groove: Groove | None = None
    key: int = UNKNOWN

    def __len__(self) -> int:
        return len(self.semantic)


class PredictorInputs(NamedTuple):
    """A batch of clips as the predictor of a rhythm curve reads it.

    Attributes:
        semantic: [clips, steps, D] CLIP embeddings.
        pace: [clips, channels, curve steps].
        label: [clips] class numbers.
        groove: [clips, 3, curve steps].
    """

    semantic: Tensor
    pace: Tensor
    label: Tensor
    groove: Tensor

    def hidden(self, seen: Tensor) -> PredictorInputs:
        """The same batch with the picture hidden where `seen` [clips] is 0; grooves stay."""
        return self._replace(semantic=self.semantic * seen[:, None, None], pace=self.pace * seen[:, None, None])


class InputPacker:
    """Packs features of clips into padded batches, on the device and in the precision of a model."""

    def __init__(self, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype

    def tensor(self, values: Array) -> Tensor:
        """An array as a tensor of the model's device and precision."""
        return torch.as_tensor(values).to(self.device, self.dtype)

    def numbers(self, values: Sequence[float]) -> Tensor:
        """One number for each clip: [clips]."""
        return torch.tensor([float(v) for v in values], device=self.device, dtype=self.dtype)

    def padded(self, features: Sequence[Array]) -> Tensor:
        """Features [seconds, ...] of each clip, padded with zeros to [clips, steps, ...].

        Raises:
            ValueError: a clip is longer than a window.
        """
        longest, steps = max(len(f) for f in features), self.config.steps
        if longest > steps:
            raise ValueError(f"a window holds {steps} s of features, got {longest} s; cut longer clips into windows")
        return pad([self.tensor(f) for f in features], steps)

    def labels(self, features: Sequence[Features]) -> Tensor:
        """Class numbers [clips]."""
        return self.numbers([f.class_label for f in features]).long()

    def predictor_inputs(self, features: Sequence[Features]) -> PredictorInputs:
        """The batch that the predictor of a rhythm curve reads."""
        semantic, pace = self.padded([f.semantic for f in features]), self.pace(features)
        return PredictorInputs(semantic, pace, self.labels(features), self._grooves(features, pace.shape[-1]))

    def pace(self, features: Sequence[Features]) -> Tensor:
        """The picture's pace [clips, channels, steps].

        Raises:
            ValueError: a clip has none, or one of too few channels.
        """
        paces = [f.pace for f in features]
        if any(pace is None for pace in paces):
            raise ValueError("this model reads the picture's pace: give every clip's Features a pace")
        channels = self.config.curve.pace if self.config.curve is not None else 0
        if any(pace is not None and len(pace) < channels for pace in paces):
            raise ValueError(f"this model reads {channels} channels of the picture's pace: give every clip as many")
        return torch.stack([self.tensor(pace[:channels]) for pace in paces if pace is not None])

    def _grooves(self, features: Sequence[Features], steps: int) -> Tensor:
        """Grooves [clips, 3, steps], zeros for clips without one."""
        none = torch.zeros(CHANNELS, steps)
        grooves = [f.groove.channels(self.config.curve_rate, steps) if f.groove else none for f in features]
        return torch.stack(grooves).to(self.device, self.dtype)


def pad(features: Sequence[Tensor], steps: int) -> Tensor:
    """Clips of [seconds, ...] padded with zeros to [clips, steps, ...]."""
    batch = features[0].new_zeros(len(features), steps, *features[0].shape[1:])
    for row, feature in zip(batch, features, strict=True):
        row[: len(feature)] = feature
    return batch
