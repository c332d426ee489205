"""Patterns of moving textures that fill a picture, made by integer arithmetic that wraps around."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.uint8]
"""A picture of palette indices, [height, width]."""
Pattern = Callable[[float], Indices]
"""Returns the picture of a scene after a distance of its motion."""
MakePattern = Callable[[np.random.Generator, int, int], Pattern]
"""Makes a random pattern of a height and a width."""

_TURN = 2 * np.pi * np.arange(256) / 256
SINE = np.round(127.5 + 127.5 * np.sin(_TURN)).astype(np.uint8)


def grid(height: int, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns rows [height, 1] and columns [1, width], measured from the middle in units of the height."""
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / height
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / height
    return y[:, None].astype(np.float32), x[None, :].astype(np.float32)


def wrapped(phase: npt.NDArray[np.floating]) -> Indices:
    """Returns phases in cycles as bytes, where a whole cycle is 256."""
    return np.asarray(np.floor(phase * 256) % 256, np.uint8)


def shift(cycles: float) -> np.uint8:
    """Returns a number of cycles as a byte, see `wrapped`."""
    return np.uint8(int(cycles * 256) % 256)


def _bands(levels: npt.ArrayLike, softness: int) -> Indices:
    """Returns a cycle [256] of bands of the given levels, with edges that are softened over some steps."""
    values = np.asarray(levels, np.float64)
    cycle = np.repeat(values, int(np.ceil(256 / len(values))))[:256]
    kernel = np.ones(softness) / softness
    return np.asarray(np.convolve(np.concatenate([cycle[-softness:], cycle, cycle[:softness]]), kernel, "same"))[
        softness:-softness
    ].astype(np.uint8)


def stripes(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """Parallel bands that move across the picture."""
    y, x = grid(height, width)
    angle, count = rng.uniform(0, np.pi), rng.uniform(1.5, 4.5)
    phase = wrapped((x * np.cos(angle) + y * np.sin(angle)) * count)
    cycle = _bands(rng.permutation([10, 90, 200, 60][: int(rng.integers(2, 5))]), 6)
    return lambda travel: cycle[phase + shift(0.9 * travel)]


def checker(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A checkerboard that slides."""
    y, x = grid(height, width)
    angle, count = rng.uniform(-0.6, 0.6), rng.uniform(1.2, 3.0)
    one = wrapped((x * np.cos(angle) + y * np.sin(angle)) * count)
    two = wrapped((y * np.cos(angle) - x * np.sin(angle)) * count)
    low, high = np.uint8(rng.integers(0, 50)), np.uint8(rng.integers(170, 240))
    step = np.uint8(high - low)

    def pattern(travel: float) -> Indices:
        odd = ((one + shift(0.6 * travel)) ^ (two + shift(0.25 * travel))) >> 7
        return np.asarray(low + odd * step, np.uint8)

    return pattern


def plasma(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """Clouds of color: the sum of slow waves in three directions."""
    y, x = grid(height, width)
    waves = []
    for _ in range(3):
        angle, count = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.3)
        bend = 0.15 * np.sin(2 * np.pi * (y * rng.uniform(0.4, 1.2) + rng.uniform()))
        waves.append((wrapped((x * np.cos(angle) + y * np.sin(angle) + bend) * count), rng.uniform(-0.7, 0.7)))
    third = SINE // 3

    def pattern(travel: float) -> Indices:
        total = np.zeros((height, width), np.uint8)
        for phase, speed in waves:
            total += third[phase + shift(speed * travel)]
        return total

    return pattern


def rings(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """Rings or a spiral that run out of the middle or into it."""
    y, x = grid(height, width)
    radius = np.sqrt(x**2 + y**2)
    arms = int(rng.choice((0, 0, 1, 2, 3)))
    depth = np.log(radius + 0.05) * 0.8 if rng.random() < 0.5 else radius * rng.uniform(1.8, 3.5)
    phase = wrapped(depth + arms * np.arctan2(y, x) / (2 * np.pi))
    cycle = _bands(rng.permutation([15, 110, 220, 60][: int(rng.integers(2, 5))]), 8)
    sign = float(rng.choice((-1, 1)))
    return lambda travel: cycle[phase + shift(0.8 * sign * travel)]


def rays(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A fan of rays that rotates about a point."""
    y, x = grid(height, width)
    across, down = rng.uniform(-0.4, 0.4), rng.uniform(-0.1, 0.5)
    phase = wrapped(np.arctan2(y - down, x - across) / (2 * np.pi) * int(rng.integers(5, 10)))
    cycle = _bands(rng.permutation([20, 150, 230][: int(rng.integers(2, 4))]), 10)
    return lambda travel: cycle[phase + shift(0.7 * travel)]


def tiles(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A mosaic of tiles that glow and fade one by one."""
    size = int(height // rng.integers(4, 8))
    rows, columns = -(-height // size), -(-width // size)
    phases = rng.integers(0, 256, (rows, columns)).astype(np.uint8)
    speeds = rng.choice((1, 1, 2), (rows, columns))
    down, across = np.arange(height) // size, np.arange(width) // size
    joint = (np.arange(height) % size < 2)[:, None] | (np.arange(width) % size < 2)[None, :]

    def pattern(travel: float) -> Indices:
        stones = SINE[(phases + (speeds * int(60 * travel)).astype(np.int64)) % 256]
        picture = stones[down][:, across]
        picture[joint] = 0
        return picture

    return pattern


TEXTURES: dict[str, MakePattern] = {make.__name__: make for make in (stripes, checker, plasma, rings, rays, tiles)}
