"""The choreography of people as data: poses, the moves that lead to them, and figures that make the moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

EASINGS = ("turn", "strike", "linear")
"""How a move runs: as a swing between its turns, ever faster and stopping at once, or evenly and without a stop."""
_TOGETHER = 0.08  # seconds within which the arrivals of several figures are one kinematic beat

Beats = tuple[tuple[float, float], ...]
"""Times in seconds, in rising order, and strengths, 0..1."""


@dataclass(frozen=True)
class Pose:
    """A pose. Lengths are in heights of the body, angles in radians; left and right are those of the picture.

    Attributes:
        hip_x, hip_y: place of the hips beside and below that of a person who stands.
        lean: angle of the trunk, positive to the right.
        head: angle of the head against the trunk.
        left_arm, right_arm: angles of the upper arms, 0 hanging, pi/2 sideways, pi up.
        left_elbow, right_elbow: angles of the forearms against the upper arms, positive outward and up.
        left_foot, right_foot: places of the feet beside the middle.
        left_raised, right_raised: heights of the feet over the floor.
    """

    hip_x: float = 0.0
    hip_y: float = 0.0
    lean: float = 0.0
    head: float = 0.0
    left_arm: float = 0.12
    left_elbow: float = 0.1
    right_arm: float = 0.12
    right_elbow: float = 0.1
    left_foot: float = -0.08
    left_raised: float = 0.0
    right_foot: float = 0.08
    right_raised: float = 0.0

    def moved(self, across: float) -> Pose:
        """Returns the pose at a place farther to the right."""
        return replace(
            self, hip_x=self.hip_x + across, left_foot=self.left_foot + across, right_foot=self.right_foot + across
        )

    def mirrored(self) -> Pose:
        """Returns the pose with left and right exchanged."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        other = {"left": "right", "right": "left"}
        swapped = {}
        for name, value in values.items():
            side, _, part = name.partition("_")
            sign = -1 if name in ("hip_x", "lean", "head") or part == "foot" else 1
            swapped[f"{other[side]}_{part}" if side in other else name] = sign * value
        return Pose(**swapped)

    def values(self) -> tuple[float, ...]:
        """Returns the values of all attributes, in their order."""
        return tuple(getattr(self, f.name) for f in fields(self))


@dataclass(frozen=True)
class Move:
    """A move into a pose.

    Attributes:
        start, time: when it begins and when it arrives, in seconds of the film.
        pose: the pose in which it arrives.
        easing: one of `EASINGS`.
        strength: strength of the kinematic beat at its arrival, 0..1; 0 for none.
        lift: how far the hips rise on the way, in heights of the body.
        jump: how far the whole body rises on the way.
    """

    start: float
    time: float
    pose: Pose
    easing: str
    strength: float
    lift: float = 0.0
    jump: float = 0.0


@dataclass(frozen=True)
class Figure:
    """A person in the picture.

    Attributes:
        across: place beside the middle, in heights of a picture of 16:9 (that is widths over 1.78).
        floor: place of the floor, in heights of the picture from the top.
        size: height of the body, in heights of the picture.
        seed: seed of looks and small movements.
        moves: moves in the order of their times.
        lag: seconds by which arms trail behind the body.
    """

    across: float
    floor: float
    size: float
    seed: int
    moves: tuple[Move, ...]
    lag: float = 0.0


@dataclass(frozen=True)
class People:
    """The people of a scene.

    Attributes:
        kind: `dance`, `conductor`, `sport` or `talk`.
        style: how they move.
        follows: what the times of their moves follow: `music` (the guide of the film), `own tempo`, `chance`.
        figures: the figures, the farthest first.
        backdrop: factor of the motion of what is behind them.
    """

    kind: str
    style: str
    follows: str
    figures: tuple[Figure, ...]
    backdrop: float = 0.0

    def kinematic_beats(self, start: float, stop: float) -> Beats:
        """Returns the moments from `start` to before `stop` at which movement stops or turns.

        Arrivals of several figures that are close to each other are one beat, as strong as the share of figures.
        """
        moves = (m for figure in self.figures for m in figure.moves)
        arrivals = sorted((m.time, m.strength) for m in moves if m.strength > 0 and start <= m.time < stop)
        groups: list[list[tuple[float, float]]] = []
        for arrival in arrivals:
            if groups and arrival[0] - groups[-1][0][0] <= _TOGETHER:
                groups[-1].append(arrival)
            else:
                groups.append([arrival])
        return tuple(_one(group, len(self.figures)) for group in groups)


def arrivals(moves: Iterable[Move], start: float, stop: float) -> tuple[Move, ...]:
    """Returns the moves that are needed to draw from `start` to `stop`, with the last one before and one after."""
    ordered = tuple(moves)
    first = max((i for i, move in enumerate(ordered) if move.time <= start), default=0)
    last = next((i for i, move in enumerate(ordered) if move.time > stop), len(ordered) - 1)
    return ordered[first : last + 1]


def _one(group: list[tuple[float, float]], figures: int) -> tuple[float, float]:
    """Returns the mean time and the strength of arrivals that are one kinematic beat."""
    weight = sum(strength for _, strength in group)
    time = sum(time * strength for time, strength in group) / weight
    return round(time, 4), round(min(weight / figures, 1.0), 3)
