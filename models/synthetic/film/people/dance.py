"""Styles of dance: each makes the moves that arrive at given moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi

import numpy as np

from models.synthetic.film.people.choreography import Move, Pose
from models.synthetic.film.people.timing import Arrival

_ARMS = (  # angles of an upper arm and its elbow
    (0.1, 0.1), (0.5, 1.9), (pi / 2, 0.0), (pi / 2, pi / 2), (pi / 2, -2.2), (2.3, 0.0), (2.9, 0.1), (2.2, 1.6),
    (0.5, -1.5), (1.0, 0.1),
)  # fmt: skip

Make = Callable[[list[Arrival], np.random.Generator], list[Move]]


@dataclass(frozen=True)
class Style:
    """A style of dance.

    Attributes:
        make: makes the moves for arrivals.
        fastest: beats per minute up to which its dancers move on every beat; above, on every second.
        slow: whether they move at half that rate.
        halves: whether they may move on half beats where the tempo is slow.
        lag: seconds by which arms trail behind the body.
    """

    make: Make
    fastest: float
    slow: bool = False
    halves: bool = False
    lag: float = 0.0

    def step(self, tempo: float, rng: np.random.Generator) -> float:
        """Returns the beats between two arrivals: 0.5, 1, 2 or 4."""
        rate = rng.random()
        step = 1.0 if tempo <= self.fastest else 2.0
        if self.halves and tempo < 100 and rate < 0.35:
            return 0.5
        return step * (2 if self.slow or rate > 0.85 else 1)


def strike(arrivals: list[Arrival], rng: np.random.Generator) -> list[Move]:
    """Poses that are struck at once and held until the next."""
    moves = [Move(-2.0, -1.0, Pose(), "turn", 0.0)]
    pose, length = Pose(), float(rng.uniform(0.16, 0.26))
    for arrival in arrivals:
        pose = _other_pose(pose, rng)
        room = arrival.time - moves[-1].time
        start = arrival.time - min(length * float(rng.uniform(0.85, 1.2)), 0.85 * room)
        moves.append(Move(start, arrival.time, pose, "strike", arrival.strength))
    return moves


def sway(arrivals: list[Arrival], rng: np.random.Generator) -> list[Move]:
    """Swings of the whole body from side to side, which turn on the beat."""
    wide, lean, arms = rng.uniform(0.06, 0.11), rng.uniform(0.12, 0.28), rng.uniform(0.5, 1.1)
    low, elbow, high = rng.uniform(0.01, 0.04), rng.uniform(0.2, 1.2), rng.random() < 0.35
    base = 2.4 if high else 0.55
    right = Pose(
        hip_x=wide, hip_y=low, lean=-0.4 * lean if high else lean, head=0.5 * lean,
        left_arm=base - 0.5 * arms, left_elbow=elbow, right_arm=base + 0.6 * arms, right_elbow=elbow,
        left_foot=-0.12, right_foot=0.12, left_raised=0.03,
    )  # fmt: skip
    lift = float(rng.uniform(0.0, 0.025))
    return _in_turn(arrivals, (right, right.mirrored()), lift, rng)


def bounce(arrivals: list[Arrival], rng: np.random.Generator) -> list[Move]:
    """Knees that bend on every beat, with arms that pump in turn."""
    deep, arm, turned = rng.uniform(0.05, 0.09), rng.uniform(0.3, 0.7), rng.uniform(0.05, 0.15)
    one = Pose(
        hip_x=0.03, hip_y=deep, lean=turned, head=-turned,
        left_arm=arm, left_elbow=2.3, right_arm=arm + 0.5, right_elbow=0.9, left_foot=-0.13, right_foot=0.13,
    )  # fmt: skip
    if rng.random() < 0.4:
        one = replace(one, left_arm=2.2, left_elbow=1.2, right_arm=2.7, right_elbow=0.1)
    return _in_turn(arrivals, (one, one.mirrored()), deep + 0.015, rng)


def steps(arrivals: list[Arrival], rng: np.random.Generator) -> list[Move]:
    """Steps to the side and back, feet together in between."""
    far, arm = rng.uniform(0.16, 0.24), rng.uniform(0.5, 1.3)
    close = {"left_arm": 0.35, "left_elbow": 1.7, "right_arm": 0.35, "right_elbow": 1.7, "hip_y": 0.04}
    apart = {"left_arm": arm, "left_elbow": 0.5, "right_arm": arm, "right_elbow": 0.5, "hip_y": 0.06}
    middle = Pose(left_foot=-0.04, right_foot=0.04, **close)
    right = Pose(hip_x=far / 2, left_foot=-0.05, right_foot=far + 0.02, lean=0.08, **apart)
    there = middle.moved(far)
    back = Pose(hip_x=far / 2, left_foot=-0.02, right_foot=far + 0.05, lean=-0.08, **apart)
    if rng.random() < 0.5:
        return _in_turn(arrivals, (right, there, back, middle), 0.03, rng)
    return _in_turn(arrivals, (right, middle, right.mirrored(), middle), 0.03, rng)


def hop(arrivals: list[Arrival], rng: np.random.Generator) -> list[Move]:
    """Jumps that land on the beat, legs and arms apart and together."""
    high = rng.uniform(2.2, 2.9)
    apart = Pose(
        hip_y=0.06, left_arm=high, right_arm=high, left_elbow=0.2, right_elbow=0.2, left_foot=-0.2, right_foot=0.2
    )
    together = Pose(hip_y=0.06, left_arm=0.3, right_arm=0.3, left_elbow=0.8, right_elbow=0.8)
    moves = _in_turn(arrivals, (apart, together), 0.0, rng)
    return [replace(m, jump=0.09 * min(m.time - m.start, 0.7)) if m.strength else m for m in moves]


def flow(arrivals: list[Arrival], rng: np.random.Generator) -> list[Move]:
    """Slow movement of the whole body that never stops; its turns are soft."""
    moves = [Move(-2.0, -1.0, Pose(), "turn", 0.0)]
    pose = Pose()
    for arrival in arrivals:
        pose = _other_pose(pose, rng, calm=True)
        moves.append(
            Move(moves[-1].time, arrival.time, pose, "turn", 0.6 * arrival.strength, float(rng.uniform(0, 0.03)))
        )
    return moves


STYLES: dict[str, Style] = {
    "strike": Style(strike, 150, halves=True),
    "sway": Style(sway, 125, lag=0.03),
    "bounce": Style(bounce, 150),
    "steps": Style(steps, 140),
    "hop": Style(hop, 145),
    "flow": Style(flow, 130, slow=True, lag=0.04),
}
"""The styles of dance by name."""


def _in_turn(arrivals: list[Arrival], poses: tuple[Pose, ...], lift: float, rng: np.random.Generator) -> list[Move]:
    """Returns moves through poses in turn, each a little different, without a rest between."""
    moves = [Move(-2.0, -1.0, poses[-1], "turn", 0.0)]
    for number, arrival in enumerate(arrivals):
        before = moves[-1].time
        start = max(before, arrival.time - 1.2)  # who has missed a beat waits and then moves on
        pose = _varied(poses[number % len(poses)], rng)
        moves.append(Move(start, arrival.time, pose, "turn", arrival.strength, lift))
    return moves


def _varied(pose: Pose, rng: np.random.Generator) -> Pose:
    """Returns a pose that differs a little."""
    angles = rng.normal(0, 0.09, 5).tolist()
    return replace(
        pose,
        lean=pose.lean + 0.3 * angles[0],
        left_arm=pose.left_arm + angles[1],
        left_elbow=pose.left_elbow + angles[2],
        right_arm=pose.right_arm + angles[3],
        right_elbow=pose.right_elbow + angles[4],
    )


def _other_pose(before: Pose, rng: np.random.Generator, calm: bool = False) -> Pose:
    """Returns a random pose whose arms are clearly elsewhere than before."""
    for _ in range(20):
        left, right = (_ARMS[int(i)] for i in rng.integers(0, len(_ARMS), 2))
        if rng.random() < 0.35:
            right = left
        if abs(left[0] - before.left_arm) + abs(right[0] - before.right_arm) > 1.6:
            break
    wide = float(rng.choice((0.07, 0.13, 0.2)))
    low = float(rng.uniform(0.0, 0.05 if calm else 0.1)) + 0.25 * max(wide - 0.1, 0)
    shift = float(rng.uniform(-0.09, 0.09))
    raised = 0.16 if not calm and rng.random() < 0.15 else 0.0
    pose = Pose(
        hip_x=shift, hip_y=low, lean=float(rng.normal(0, 0.12)), head=float(rng.normal(0, 0.12)),
        left_arm=left[0], left_elbow=left[1], right_arm=right[0], right_elbow=right[1],
        left_foot=-wide, right_foot=wide,
    )  # fmt: skip
    if raised and shift > 0:
        return replace(pose, left_raised=raised, hip_y=0.02)
    return replace(pose, right_raised=raised, hip_y=0.02) if raised else pose
