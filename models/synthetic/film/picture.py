"""Drawing a film: the moving pattern of a scene, seen by a moving camera and colored by a palette."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from models.synthetic.film.palette import ramp
from models.synthetic.film.people.backdrops import BACKDROPS
from models.synthetic.film.people.drawing import Drawing
from models.synthetic.film.plan import Film, Scene
from models.synthetic.film.scenery import SCENERY
from models.synthetic.film.shapes import SHAPES
from models.synthetic.film.textures import TEXTURES
from models.synthetic.rng import stream

Picture = npt.NDArray[np.uint8]

PLAIN_KINDS = SHAPES | TEXTURES
KINDS = PLAIN_KINDS | SCENERY
PATTERNS = KINDS | BACKDROPS
_MARGIN = 1.2  # size of the pattern over that of the picture, so that the camera can move
_PULSE = 0.10  # seconds in which a pulse fades
_FLASH = 0.12  # seconds in which a flash fades
_GRAINS = 16  # pictures of noise that take turns

Draw = Callable[[float, float, float], Picture]


def frames(film: Film, width: int = 256, height: int = 144, fps: float = 25.0) -> Iterator[Picture]:
    """Yields the `round(duration * fps)` pictures of a film, RGB, [height, width, 3]."""
    draw: Draw | None = None
    before: Draw | None = None
    current: Scene | None = None
    noise = _noise(film, width, height)
    for number in range(round(film.duration * fps)):
        time = number / fps
        scene = film.scene_at(time + 0.25 / fps)
        if scene is not current:
            before, draw, current = draw, painter(scene, width, height), scene
        assert draw is not None
        pulse, flash = _fading(film.pulses, time, _PULSE), _fading(film.flashes, time, _FLASH)
        picture = draw(time, pulse, flash)
        share = (time - scene.start) / scene.transition_seconds if scene.transition_seconds else 1.0
        if share < 1 and scene.transition == "dissolve" and before:
            picture = _blended(before(time, pulse, flash), picture, share)
        light = min(share if scene.transition == "fade" else 1.0, _light(film, time))
        if light < 1:
            picture = _blended(np.zeros_like(picture), picture, max(light, 0.0))
        yield picture if noise is None else _grained(picture, noise[number % _GRAINS])


def _light(film: Film, time: float) -> float:
    """Returns how bright the film is at its opening and its closing, 0..1."""
    opening = time / film.opening if film.opening else 1.0
    closing = (film.duration - time) / film.closing if film.closing else 1.0
    return min(opening, closing, 1.0)


def _blended(one: Picture, two: Picture, share: float) -> Picture:
    """Returns a mix of two pictures with a share, 0..1, of the second."""
    weight = np.uint16(round(256 * share))
    return np.asarray((one * (np.uint16(256) - weight) + two * weight) >> np.uint16(8), np.uint8)


def _noise(film: Film, width: int, height: int) -> npt.NDArray[np.int16] | None:
    """Returns pictures of noise, [pictures, height, width, 1], or None for a film without grain."""
    if not film.grain:
        return None
    rng = stream(film.seed, "grain")
    return np.round(rng.normal(0, film.grain, (_GRAINS, height, width, 1))).astype(np.int16)


def _grained(picture: Picture, noise: npt.NDArray[np.int16]) -> Picture:
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


def painter(scene: Scene, width: int, height: int) -> Draw:
    """Returns a function that draws a scene, and beside it the scene that shares the picture.

    See `_painter`; a thin black line parts the two.
    """
    if scene.beside is None:
        return _painter(scene, width, height)
    half = width // 2
    left, right = _painter(scene, half, height), _painter(scene.beside, width - half, height)

    def draw(time: float, pulse: float, flash: float) -> Picture:
        picture = np.concatenate([left(time, pulse, flash), right(time, pulse, flash)], axis=1)
        picture[:, half - max(width // 128, 1) : half + max(width // 128, 1)] = 0
        return picture

    return draw


def _painter(scene: Scene, width: int, height: int) -> Draw:
    """Returns a function that draws a single scene.

    It takes the time in seconds and the strengths, 0..1, of pulse and flash, and returns a picture [height, width, 3].
    """
    tall, wide = int(height * _MARGIN), int(width * _MARGIN)
    pattern = PATTERNS[scene.kind](stream(scene.seed, "scene"), tall, wide)
    people = Drawing(scene.people, tall, wide) if scene.people else None
    speed = scene.speed * (scene.people.backdrop if scene.people else 1.0)
    still = pattern(0.0) if scene.people and not speed else None
    colors = ramp(scene.palette)
    rows, columns = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    length = max(scene.stop - scene.start, 0.04)

    def draw(time: float, pulse: float, flash: float) -> Picture:
        since = time - scene.start
        across, down, zoom = _camera(scene.motion, since / length, since)
        zoom *= (1 - 0.05 * pulse) / scene.zoom
        picture = pattern(speed * (since + scene.skip)) if still is None else still
        if people is not None:
            picture = people.over(picture, time)
        y = np.clip(rows * zoom + (tall - 1) / 2 + down * (tall - height) / 2, 0, tall - 1).astype(np.intp)
        x = np.clip(columns * zoom + (wide - 1) / 2 + across * (wide - width) / 2, 0, wide - 1).astype(np.intp)
        index = picture[y][:, x]
        shades = colors * (1 + 0.10 * pulse)
        if flash:
            shades = shades + (255 - shades) * np.float32(0.20 * flash)
        table = np.full((256, 4), 255, np.uint8)
        table[:, :3] = np.minimum(shades, 255)
        return np.ascontiguousarray(
            table.view(np.uint32)[:, 0].take(index).view(np.uint8).reshape(height, width, 4)[..., :3]
        )

    return draw


def _camera(motion: str, share: float, seconds: float) -> tuple[float, float, float]:
    """Returns the camera after a share of the scene: its position across and down, -1..1, and its zoom factor."""
    share = min(max(share, 0.0), 1.0)
    swing = 2 * share - 1
    if motion == "handheld":
        sway = [0.3 * np.sin(2.3 * seconds + p) + 0.15 * np.sin(7.1 * seconds + 2 * p) for p in (0.0, 1.7)]
        return float(sway[0]), float(sway[1]), 0.94
    if motion == "push in":
        return 0.0, 0.0, 1.05 - 0.4 * share * share
    return {
        "still": (0.0, 0.0, 1.0),
        "pan left": (-swing, 0.0, 1.0),
        "pan right": (swing, 0.0, 1.0),
        "pan up": (0.0, -swing, 1.0),
        "pan down": (0.0, swing, 1.0),
        "zoom in": (0.0, 0.0, 0.97 - 0.2 * swing),
        "zoom out": (0.0, 0.0, 0.97 + 0.2 * swing),
    }[motion]


def _fading(events: tuple[tuple[float, float], ...], time: float, fall: float) -> float:
    """Returns the strength at `time` of events that fade, which is that of the strongest one."""
    recent = (s * float(np.exp(-(time - t) / fall)) for t, s in events if -1e-6 <= time - t < 4 * fall)
    return max(recent, default=0.0)
