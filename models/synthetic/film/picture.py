"""Drawing a film: the moving pattern of a scene, seen by a moving camera and colored by a palette."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from models.synthetic.film.palette import ramp
from models.synthetic.film.plan import Film, Scene
from models.synthetic.film.shapes import SHAPES
from models.synthetic.film.textures import TEXTURES
from models.synthetic.rng import stream

Picture = npt.NDArray[np.uint8]

KINDS = SHAPES | TEXTURES
_MARGIN = 1.2  # size of the pattern over that of the picture, so that the camera can move
_PULSE = 0.10  # seconds in which a pulse fades
_FLASH = 0.12  # seconds in which a flash fades


def frames(film: Film, width: int = 256, height: int = 144, fps: float = 25.0) -> Iterator[Picture]:
    """Yields the `round(duration * fps)` pictures of a film, RGB, [height, width, 3]."""
    draw: Callable[[float, float, float], Picture] | None = None
    current: Scene | None = None
    for number in range(round(film.duration * fps)):
        time = number / fps
        scene = film.scene_at(time + 0.25 / fps)
        if scene is not current:
            draw, current = painter(scene, width, height), scene
        assert draw is not None
        yield draw(time, _fading(film.pulses, time, _PULSE), _fading(film.flashes, time, _FLASH))


def painter(scene: Scene, width: int, height: int) -> Callable[[float, float, float], Picture]:
    """Returns a function that draws a scene.

    It takes the time in seconds and the strengths, 0..1, of pulse and flash, and returns a picture [height, width, 3].
    """
    tall, wide = int(height * _MARGIN), int(width * _MARGIN)
    pattern = KINDS[scene.kind](stream(scene.seed, "scene"), tall, wide)
    colors = ramp(scene.palette)
    rows, columns = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    length = max(scene.stop - scene.start, 0.04)

    def draw(time: float, pulse: float, flash: float) -> Picture:
        since = time - scene.start
        across, down, zoom = _camera(scene.motion, since / length)
        zoom *= 1 - 0.05 * pulse
        picture = pattern(scene.speed * since)
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


def _camera(motion: str, share: float) -> tuple[float, float, float]:
    """Returns the camera after a share of the scene: its position across and down, -1..1, and its zoom factor."""
    swing = 2 * min(max(share, 0.0), 1.0) - 1
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
