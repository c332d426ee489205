"""The inputs of a model: the features of a clip, and what a rhythm predictor reads of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from models.features.beat_grid import Groove
from models.features.key import UNKNOWN

Array = np.ndarray | Tensor


GENERAL_VIDEO = 2
"""The class that the authors' sets always use."""


@dataclass(frozen=True)
class Features:
    """What a clip of T whole seconds looks like, one row a second.

    Attributes:
        semantic: [T, D] CLIP image embeddings, not normalised.
        color: [T, C] RGB-uv log-chroma histograms.
        scene_cut: [T] 1 where a cut falls into that second, else 0.
        visual_beat: [T] in [0, 1].
        class_label: 0 performance, 1 dance, 2 general video.
        seconds_total: length of the clip that the music is asked for; T if left out.
        pace: [channels, steps] of `models.features.motion.pace_curve`; only a model with a rhythm curve reads it.
        groove: the steady beat that the rhythm shall have; a model with a groove reads it, and chooses one if left out.
        key: number of the key that the music shall have (`models.features.key`); a model that is told one reads it.
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


class Sight(NamedTuple):
    """What a curve predictor is told of pictures, whatever it draws from.

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

    def hidden(self, seen: Tensor) -> Sight:
        """The same with pictures hidden where `seen` [clips] is 0; grooves stay."""
        return self._replace(semantic=self.semantic * seen[:, None, None], pace=self.pace * seen[:, None, None])
