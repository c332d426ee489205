"""Drawing people: limbs with thickness, trunk, head, hair and clothes, over what is behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthetic.film.people.body import joints
from models.synthetic.film.people.choreography import Figure, People
from models.synthetic.film.people.movement import Movement
from models.synthetic.film.textures import Indices
from models.synthetic.rng import stream

CLOTH, SKIN, OTHER_CLOTH = 130, 190, 255
"""Palette indices of clothes and skin; what is behind people has 0 to 63."""
_BITS = 4  # binary places of coordinates
_ONE = 1 << _BITS
_HEAD, _FACE = 0.072, 6.0  # radius of the head in heights of the body; pixels of it from which on a face is drawn

Point = list[int]


@dataclass(frozen=True)
class _Looks:
    """The looks of a figure: palette indices, and whether hair is long, sleeves are short and there is a skirt."""

    shirt: int
    trousers: int
    hair: int
    long_hair: bool
    short_sleeves: bool
    skirt: bool
    syllables: tuple[float, float, float]


class Drawing:
    """Draws the people of a scene."""

    def __init__(self, people: People, height: int, width: int) -> None:
        """Prepares drawing into pictures of a size."""
        self._people = people
        figures = people.figures
        self._movements = [Movement(figure) for figure in figures]
        self._looks = [_looks(figure) for figure in figures]
        self._sizes = [figure.size * height for figure in figures]
        ground = [(width / 2 + f.across * min(height, width / 1.6), f.floor * height) for f in figures]
        self._grounds = np.array(ground)[:, None]
        self._scales = np.array(self._sizes)[:, None, None]

    def over(self, picture: Indices, time: float) -> Indices:
        """Returns a new picture with the people of a time, in seconds of the film, before another picture."""
        result = np.ascontiguousarray(picture >> np.uint8(2))
        poses = np.array([movement.at(time) for movement in self._movements])
        places = joints(poses) * self._scales + self._grounds
        points = np.rint(np.clip(places, -2000, 6000) * _ONE).astype(int).tolist()
        tilts = (poses[:, 2] + poses[:, 3]).tolist()
        for number in range(len(points)):
            self._draw(result, number, points[number], tilts[number], time)
        return result

    def _draw(self, picture: Indices, number: int, points: list[Point], tilt: float, time: float) -> None:
        """Draws one figure."""
        import cv2

        size, looks = self._sizes[number], self._looks[number]
        neck, head, hips, *pairs = points
        shoulders, elbows, hands, tops, knees, feet = (pairs[i : i + 2] for i in range(0, 12, 2))

        def limb(one: Point, two: Point, width: float, value: int) -> None:
            cv2.line(picture, one, two, value, max(round(width * size), 1), cv2.LINE_AA, _BITS)

        def ellipse(middle: Point, across: float, down: float, value: int, angle: float = 0.0) -> None:
            axes = (int(across * size * _ONE), int(down * size * _ONE))
            cv2.ellipse(picture, middle, axes, angle, 0, 360, value, -1, cv2.LINE_AA, _BITS)

        for side in (0, 1):
            legs = SKIN if looks.skirt else looks.trousers
            limb(tops[side], knees[side], 0.085, legs)
            limb(knees[side], feet[side], 0.06, legs)
            outward = int((2 * side - 1) * 0.035 * size * _ONE)
            limb(feet[side], [feet[side][0] + outward, feet[side][1] + int(0.012 * size * _ONE)], 0.045, CLOTH)
        degrees = float(np.degrees(tilt))
        if looks.long_hair:
            back = [(head[0] + neck[0]) // 2, (head[1] + neck[1]) // 2]
            ellipse(back, 0.085, 0.12, looks.hair, degrees)
        limb(neck, head, 0.055, SKIN)
        trunk = np.array([shoulders[0], shoulders[1], tops[1], tops[0]], np.int32)
        cv2.fillConvexPoly(picture, trunk, looks.shirt, cv2.LINE_AA, _BITS)
        limb(shoulders[0], shoulders[1], 0.06, looks.shirt)
        chest, waist = ([neck[k] + (hips[k] - neck[k]) * share // 10 for k in (0, 1)] for share in (2, 8))
        limb(chest, waist, 0.12, looks.shirt)
        limb(tops[0], tops[1], 0.09, looks.shirt if looks.skirt else looks.trousers)
        if looks.skirt:
            self._skirt(picture, tops, knees, looks.shirt)
        ellipse(head, 0.062, _HEAD, SKIN, degrees)
        up = [head[0] + int(0.02 * size * _ONE * np.sin(tilt)), head[1] - int(0.026 * size * _ONE * np.cos(tilt))]
        ellipse(up, 0.065, 0.055, looks.hair, degrees)
        self._face(picture, head, size, looks, time)
        for side in (0, 1):
            limb(elbows[side], hands[side], 0.042, SKIN if looks.short_sleeves else looks.shirt)
            limb(shoulders[side], elbows[side], 0.056, looks.shirt)
            ellipse(hands[side], 0.028, 0.028, SKIN)
        if self._people.kind == "conductor":
            arm = [hands[1][k] - elbows[1][k] for k in (0, 1)]
            limb(hands[1], [hands[1][k] + arm[k] * 3 // 4 for k in (0, 1)], 0.012, OTHER_CLOTH)

    @staticmethod
    def _skirt(picture: Indices, tops: list[Point], knees: list[Point], value: int) -> None:
        import cv2

        low = [[2 * knee[0] - (top[0] + 2 * knee[0]) // 3, knee[1]] for knee, top in zip(knees, tops, strict=True)]
        out = (tops[1][0] - tops[0][0]) // 3
        shape = [[tops[0][0] - out, tops[0][1]], [tops[1][0] + out, tops[1][1]], low[1], low[0]]
        hull = cv2.convexHull(np.array(shape, np.int32))
        cv2.fillConvexPoly(picture, hull, value, cv2.LINE_AA, _BITS)

    def _face(self, picture: Indices, head: Point, size: float, looks: _Looks, time: float) -> None:
        """Draws a face where the head is large enough; the mouth of people who talk opens and shuts."""
        import cv2

        radius = _HEAD * size
        if radius < _FACE:
            return
        unit = radius * _ONE
        top, face = [head[0], head[1] + int(0.22 * unit)], (int(0.72 * unit), int(0.76 * unit))
        cv2.ellipse(picture, top, face, 0, 0, 360, SKIN, -1, cv2.LINE_AA, _BITS)
        blink = (time + looks.syllables[2]) % 3.1 < 0.12
        for side in (-1, 1):
            eye = [head[0] + int(0.33 * side * unit), head[1] + int(0.05 * unit)]
            axes = (int(0.12 * unit), int((0.03 if blink else 0.11) * unit))
            cv2.ellipse(picture, eye, axes, 0, 0, 360, CLOTH, -1, cv2.LINE_AA, _BITS)
        mouth = [head[0], head[1] + int(0.55 * unit)]
        axes = (int(0.26 * unit), int((0.05 + 0.17 * self._opened(looks, time)) * unit))
        cv2.ellipse(picture, mouth, axes, 0, 0, 360, 150, -1, cv2.LINE_AA, _BITS)

    def _opened(self, looks: _Looks, time: float) -> float:
        """Returns how far a mouth is open, 0..1: in uneven syllables, with rests."""
        if self._people.kind != "talk":
            return 0.0
        fast, slow, phase = looks.syllables
        talks = np.sin(slow * time + phase) + 0.6 * np.sin(2.3 * slow * time + 2 * phase) > -0.5
        return float(abs(np.sin(fast * time + 1.3 * np.sin(1.9 * time + phase)))) * float(talks)


def _looks(figure: Figure) -> _Looks:
    """Returns the random looks of a figure."""
    rng = stream(figure.seed, "looks")
    shirt = int(rng.choice((OTHER_CLOTH, OTHER_CLOTH, CLOTH, 222)))
    trousers = int(rng.choice((CLOTH, CLOTH, OTHER_CLOTH, 158)))
    long_hair, short_sleeves, skirt = (
        bool(draw < limit) for draw, limit in zip(rng.random(3), (0.45, 0.6, 0.25), strict=True)
    )
    fast, slow, phase = (float(v) for v in rng.uniform((10, 0.7, 0), (15, 1.3, 9)))
    return _Looks(
        shirt, trousers, int(rng.choice((CLOTH, 145, 222))), long_hair, short_sleeves, skirt, (fast, slow, phase)
    )
