"""Hard cuts: a small network judges each frame that differs from the one before, by the frames around it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.video.cuts.measures import Planes, Values, differences

CONTEXT = 12  # frames before and after a possible cut that are looked at
LEAST = 0.12  # least structural or color difference to the frame before, for a frame to be judged at all
WEIGHTS = Path(__file__).with_name("hard_cuts.json")

STEPS = (0, -1, -2, 1, 2)  # pairs of neighbors that are looked at, counted from the possible cut
SPANS = (2, 3, 5, 8, 12)  # frames before the possible cut that are compared with as many from it on
Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Network:
    """Weights of a network of one hidden layer, of the shapes [features], [features, hidden], [hidden].

    Attributes:
        mean, scale: of the features in training.
        inner, inner_bias, outer, outer_bias: weights.
    """

    mean: Values
    scale: Values
    inner: Values
    inner_bias: Values
    outer: Values
    outer_bias: Values

    def __call__(self, features: Values) -> Values:
        """Returns the confidence, 0..1, that there is a cut: the mean of the film forward and backward, [frames]."""
        both = self._forward(features) + self._forward(mirrored(features))
        return np.asarray(both / 2, np.float32)

    def _forward(self, features: Values) -> Values:
        hidden = np.tanh((features - self.mean) / self.scale @ self.inner + self.inner_bias)
        return np.asarray(1 / (1 + np.exp(-(hidden @ self.outer + self.outer_bias))), np.float32)


@cache
def shipped_network() -> Network:
    """Returns the network whose weights are part of the package."""
    return Network(**{name: np.array(v, np.float32) for name, v in json.loads(WEIGHTS.read_text()).items()})


def judged_frames(neighbors: Values) -> Numbers:
    """Returns the numbers of frames that differ enough to be judged, from `differences` to the frame before."""
    return np.flatnonzero((neighbors[:, 0] > LEAST) | (neighbors[:, 2] > LEAST))


def cut_features(planes: Planes, neighbors: Values, at: Numbers) -> Values:
    """Returns what the network sees of possible cuts, [cuts, features].

    Args:
        planes: frames; the possible cuts have at least `CONTEXT` of them on both sides.
        neighbors: `differences` of each frame to the one before, [frames, measures].
        at: numbers of the first frames after possible cuts.
    """
    parts = [neighbors[at + step] for step in STEPS]
    parts += [differences(planes, at - span, at + span - 1) for span in SPANS]
    values = np.log(np.concatenate(parts, 1) + 0.02)
    contrast = np.log(np.stack([planes.contrast[at - 1], planes.contrast[at]], 1) + 0.5)
    return np.concatenate([values, contrast], 1).astype(np.float32)


def mirrored(features: Values) -> Values:
    """Returns the features of the same moments in the film that runs backward."""
    count = (features.shape[1] - 2) // (len(STEPS) + len(SPANS))
    order = [*(STEPS.index(-step) for step in STEPS), *range(len(STEPS), len(STEPS) + len(SPANS))]
    blocks = [features[:, i * count : (i + 1) * count] for i in order]
    return np.concatenate([*blocks, features[:, -1:], features[:, -2:-1]], 1)
