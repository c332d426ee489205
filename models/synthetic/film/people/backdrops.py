"""What is behind people where it is no pattern: a wall and a floor, a stage, and a plain ground. They are still."""

from __future__ import annotations

import numpy as np

from models.synthetic.film.shapes import background
from models.synthetic.film.textures import Indices, MakePattern, Pattern, grid


def plain(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A plain ground, a gradient, or faint bands."""
    picture = np.asarray(2.5 * background(rng, height, width), np.uint8)
    return lambda travel: picture


def room(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A wall with panels, and a floor."""
    y, x = grid(height, width)
    wall = float(rng.uniform(0, 90)) + 60 * (0.5 - np.abs(x)) + 0 * y
    panels = ((x * float(rng.uniform(2, 5)) + 10) % 1 < 0.06) & (y > -2)
    floor = float(rng.uniform(120, 230)) - 60 * (0.5 - y) + 0 * x
    picture = np.where(y > float(rng.uniform(0.2, 0.34)), floor, np.where(panels, wall + 60, wall))
    still = np.asarray(np.clip(picture, 0, 255), np.uint8)
    return lambda travel: still


def stage(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A dark stage with cones of light."""
    y, x = grid(height, width)
    light = np.zeros((height, width))
    for _ in range(int(rng.integers(1, 4))):
        top, foot = rng.uniform(-0.7, 0.7), rng.uniform(-0.5, 0.5)
        middle = top + (foot - top) * (y + 0.5)
        light += 90 * (np.abs(x - middle) < 0.05 + 0.2 * (y + 0.5)) * (1 - 0.5 * (y + 0.5))
    light += 70 * (y > 0.3)
    still: Indices = np.asarray(np.clip(light, 0, 255), np.uint8)
    return lambda travel: still


BACKDROPS: dict[str, MakePattern] = {make.__name__: make for make in (plain, room, stage)}
