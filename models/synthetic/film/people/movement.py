"""The pose of a figure at a time: joints glide from pose to pose, each in the manner of its move."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.synthetic.film.people.choreography import EASINGS, Figure, Pose
from models.synthetic.rng import stream

Values = npt.NDArray[np.float64]

_STEPS = 256
_NAMES = tuple(Pose.__dataclass_fields__)
_ARMS = np.array([("arm" in name) or ("elbow" in name) for name in _NAMES])
_HEAD = np.array([name == "head" for name in _NAMES])
_FEET = (_NAMES.index("left_foot"), _NAMES.index("right_foot"))
_RAISED = (_NAMES.index("left_raised"), _NAMES.index("right_raised"))
_HIP = _NAMES.index("hip_y")
_SWAY = np.where(_ARMS, 0.02, np.where(_HEAD, 0.02, 0.0))  # radians of the small movement that never ends
_SWAY[_NAMES.index("hip_x")] = 0.003
_STRIDE = 0.45  # height of a step over its length
_HIGHEST_STEP = 0.12


def _easings() -> Values:
    """Returns the share of the way at equal steps of time for each of `EASINGS`, [easings, steps + 1]."""
    share = np.linspace(0, 1, _STEPS + 1)
    speed = (share**1.3) * (1 - share) ** 0.5
    strike = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    return np.stack([(1 - np.cos(np.pi * share)) / 2, strike / strike[-1], share])


_TABLE = _easings()


class Movement:
    """The movement of a figure."""

    def __init__(self, figure: Figure) -> None:
        """Prepares the moves of a figure."""
        moves = figure.moves
        self._times = np.array([move.time for move in moves])
        self._starts = np.array([move.start for move in moves])
        self._lengths = np.maximum(self._times - self._starts, 1e-3)
        self._poses = np.array([move.pose.values() for move in moves])
        self._easing = np.array([EASINGS.index(move.easing) for move in moves])
        self._lift = [move.lift for move in moves]
        self._jump = [move.jump for move in moves]
        self._lags = np.where(_ARMS, figure.lag, np.where(_HEAD, -0.5 * figure.lag, 0.0))
        self._columns = np.arange(len(_NAMES))
        rng = stream(figure.seed, "small movements")
        self._rates, self._phases = rng.uniform(1.0, 2.2, len(_NAMES)), rng.uniform(0, 6.3, len(_NAMES))

    def at(self, time: float) -> Values:
        """Returns the values of the pose at a time, in the order of `Pose.values`."""
        moments = time - self._lags
        last = len(self._times) - 1
        to = np.minimum(self._times.searchsorted(moments, "right"), last)
        before = np.maximum(to - 1, 0)
        along = np.clip((moments - self._starts[to]) / self._lengths[to], 0, 1)
        share = _TABLE[self._easing[to], (along * _STEPS + 0.5).astype(np.intp)]
        origin = self._poses[before, self._columns]
        way = self._poses[to, self._columns] - origin
        pose = np.asarray(origin + share * way + _SWAY * np.sin(self._rates * time + self._phases))
        move = int(to[_HIP])
        arc = float(np.sin(np.pi * share[_HIP]))
        pose[_HIP] -= (self._lift[move] + self._jump[move]) * arc
        for foot, raised in zip(_FEET, _RAISED, strict=True):
            step = 0.0 if self._jump[move] else min(_STRIDE * abs(float(way[foot])), _HIGHEST_STEP)
            pose[raised] += (self._jump[move] + step) * arc
        return pose
