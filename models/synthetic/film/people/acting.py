"""People who do not dance: conductors, athletes with sudden bursts, and people who talk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.synthetic.film.people.body import reach
from models.synthetic.film.people.choreography import Move, Pose
from models.synthetic.film.people.timing import Grid, scatter
from models.synthetic.music.piece import Outline

_DOWN, _IN, _OUT, _UP = (0.03, 0.2), (-0.16, 0.11), (0.2, 0.1), (0.05, -0.17)
_PATTERNS = {4: (_DOWN, _IN, _OUT, _UP), 3: (_DOWN, _OUT, _UP), 2: (_DOWN, _UP)}
"""Places of the hand beside and below the shoulder at the beats of a bar."""
_READY = Pose(
    left_arm=0.35, left_elbow=1.2, right_arm=0.35, right_elbow=1.2, hip_y=0.05, left_foot=-0.12, right_foot=0.12
)


def conduct(grid: Grid, rng: np.random.Generator) -> list[Move]:
    """Returns the moves of a conductor, whose arm traces the beats of each bar; fast music is beaten in halves."""
    both, wide = rng.random() < 0.55, float(rng.uniform(0.8, 1.15))
    rest = Pose(left_arm=0.25, left_elbow=1.6, right_arm=0.6, right_elbow=1.2)
    moves = [Move(-2.0, -1.0, rest, "turn", 0.0)]
    firsts = [i for i, down in enumerate(grid.downbeats) if down] or [0]
    for bar, first in enumerate(firsts):
        after = firsts[bar + 1] if bar + 1 < len(firsts) else min(first + 4, len(grid.beats))
        beats = list(range(first, after))
        if grid.tempo > 150 and len(beats) % 2 == 0:
            beats = beats[::2]
        pattern = _PATTERNS.get(len(beats), _PATTERNS[2])
        for place, index in enumerate(beats):
            outward, down = pattern[place % len(pattern)]
            arm, elbow = reach(0.06 + wide * outward, 0.06 + wide * down)
            pose = replace(rest, right_arm=arm, right_elbow=elbow, hip_y=0.012 * (place == 0), head=0.05 * (place % 2))
            if both:
                pose = replace(pose, left_arm=arm, left_elbow=elbow)
            elif place == 0 and rng.random() < 0.35:
                rest = replace(rest, left_arm=float(rng.uniform(0.2, 1.4)), left_elbow=float(rng.uniform(0.5, 1.9)))
            time = grid.beats[index] + scatter(rng, 0.015)
            if time - moves[-1].time > 0.16:
                start = max(moves[-1].time, time - 0.7)
                moves.append(Move(start, time, pose, "strike", 1.0 if place == 0 else 0.85))
    return moves


def burst(guide: Outline, on_accents: bool, rng: np.random.Generator) -> list[Move]:
    """Returns the moves of an athlete who runs, jumps, throws and kicks and stops at once, on accents or by chance."""
    moments: list[float] = []
    if on_accents:
        for accent in guide.accents:
            if accent.time > 1 and (not moments or accent.time - moments[-1] > 1.3):
                moments.append(accent.time + scatter(rng))
    else:
        now = float(rng.uniform(0.8, 2.5))
        while now < guide.duration:
            moments.append(now)
            now += float(rng.uniform(1.4, 3.6))
    here = 0.4 * float(rng.choice((-1, 1)))
    moves = [Move(-2.0, -1.0, _READY.moved(here), "turn", 0.0)]
    for moment in moments:
        name = ("jump", "throw", "run", "kick")[int(rng.integers(4))]
        here = _burst(name, moment, here, moves, rng)
    return moves


def _burst(name: str, stop: float, here: float, moves: list[Move], rng: np.random.Generator) -> float:
    """Adds the moves of a burst that stops at a time; returns where the athlete then stands."""
    side = float(rng.choice((-1, 1)))

    def add(length: float, time: float, pose: Pose, easing: str, strength: float = 0.0, jump: float = 0.0) -> None:
        shown = pose if side > 0 else pose.mirrored()
        start = max(moves[-1].time, time - length)
        moves.append(Move(start, time, shown.moved(here), easing, strength, jump=jump))

    last = moves[-1].time
    if stop - last > 2.0:  # the athlete rises slowly after the last burst
        moves.append(Move(last + 0.3, last + 1.1, _READY.moved(here), "turn", 0.0))
    crouch = replace(_READY, hip_y=0.15, lean=0.1, left_arm=0.5, right_arm=0.5, left_elbow=0.2, right_elbow=0.2)
    if name == "jump":
        add(0.6, stop - 0.45, crouch, "turn")
        landing = replace(_READY, hip_y=0.14, left_arm=1.3, right_arm=1.3, left_elbow=0.2, right_elbow=0.2)
        add(0.45, stop, landing, "strike", 1.0, jump=0.28)
    elif name == "throw":
        back = replace(_READY, lean=-0.25, right_arm=2.5, right_elbow=1.0, left_arm=1.4, left_elbow=0.1, hip_x=-0.05)
        add(0.6, stop - 0.2, back, "turn")
        ahead = replace(_READY, lean=0.35, right_arm=0.2, right_elbow=-0.9, left_arm=0.7, hip_x=0.1, right_foot=0.26)
        add(0.2, stop, replace(ahead, hip_y=0.09), "strike", 1.0)
    elif name == "kick":
        add(0.5, stop - 0.2, replace(crouch, hip_y=0.08, lean=-0.1), "turn")
        kicked = replace(_READY, lean=-0.3, right_foot=0.45, right_raised=0.5, left_arm=1.2, right_arm=0.8, hip_y=0.02)
        add(0.2, stop, kicked, "strike", 1.0)
    else:
        side = -1.0 if here > 0 else 1.0
        count, each = int(rng.integers(4, 7)), float(rng.uniform(0.12, 0.16))
        far = -2 * here / (count + 0.5)
        for number in range(count):
            leads = number % 2 == 0
            here += far
            pose = Pose(
                hip_y=0.03, lean=0.22,
                left_arm=0.7 if leads else -0.6, left_elbow=1.4, right_arm=-0.5 if leads else 0.7, right_elbow=1.4,
                left_foot=-0.18 if leads else 0.16, left_raised=0.1 if leads else 0.0,
                right_foot=0.16 if leads else -0.18, right_raised=0.0 if leads else 0.1,
            )  # fmt: skip
            add(each, stop - each * (count - number), pose, "linear")
        here += 0.5 * far
        add(each, stop, replace(_READY, hip_y=0.1, lean=-0.1, left_foot=-0.16, right_foot=0.2), "strike", 1.0)
    return here


def talk(duration: float, rng: np.random.Generator) -> list[Move]:
    """Returns the small movements of somebody who talks; they follow nothing and none of them is a beat."""
    hands = rng.random() < 0.6
    moves = [Move(-2.0, -1.0, Pose(), "turn", 0.0)]
    now = 0.0
    while now < duration + 2:
        now += float(rng.uniform(0.45, 1.7))
        lean, head, place = (float(v) for v in rng.normal(0, (0.02, 0.07, 0.006)))
        pose = Pose(hip_x=place, hip_y=float(rng.normal(0, 0.005)), lean=lean, head=head)
        if hands and rng.random() < 0.6:
            arms = [reach(*(float(v) for v in rng.uniform((-0.06, 0.06), (0.08, 0.2)))) for _ in range(2)]
            pose = replace(pose, left_arm=arms[0][0], left_elbow=arms[0][1])
            if rng.random() < 0.6:
                pose = replace(pose, right_arm=arms[1][0], right_elbow=arms[1][1])
        moves.append(Move(moves[-1].time, now, pose, "turn", 0.0))
    return moves
