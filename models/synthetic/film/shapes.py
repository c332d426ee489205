"""Patterns of shapes that move before a background: low palette indices are background, high ones stand out."""

from __future__ import annotations

import numpy as np

from models.synthetic.film.textures import SINE, Indices, MakePattern, Pattern, grid, shift, wrapped


def background(rng: np.random.Generator, height: int, width: int) -> Indices:
    """Returns a still background of indices 0..90: plain, a gradient, or faint bands."""
    y, x = grid(height, width)
    angle, kind = rng.uniform(0, 2 * np.pi), int(rng.integers(3))
    place = x * np.cos(angle) + y * np.sin(angle)
    if kind == 0:
        return np.full((height, width), int(rng.integers(0, 60)), np.uint8)
    if kind == 1:
        return np.asarray(np.clip(45 + 50 * place, 0, 90), np.uint8)
    return SINE[wrapped(place * rng.uniform(1, 3))] // 4


def disc(picture: Indices, row: float, column: float, radius: float, value: int) -> None:
    """Draws a smooth disc into a picture; place and radius are in pixels, and parts outside are cut off."""
    height, width = picture.shape
    top, bottom = max(int(row - radius) - 1, 0), min(int(row + radius) + 2, height)
    left, right = max(int(column - radius) - 1, 0), min(int(column + radius) + 2, width)
    if top >= bottom or left >= right:
        return
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(row)
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(column)
    cover = np.clip(np.float32(radius + 0.5) - np.sqrt(y * y + x * x), 0, 1)
    box = picture[top:bottom, left:right]
    box[...] = box + cover * (np.float32(value) - box)


def circles(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """Balls that swing across the picture."""
    back, count = background(rng, height, width), int(rng.integers(3, 8))
    sizes = np.sort(rng.uniform(0.07, 0.26, count))[::-1] * height
    rates, phases = rng.uniform(0.08, 0.3, (count, 2)), rng.uniform(0, 1, (count, 2))
    values = rng.integers(120, 256, count)

    def pattern(travel: float) -> Indices:
        picture = back.copy()
        places = 0.5 + 0.42 * np.sin(2 * np.pi * (rates * travel + phases))
        for (row, column), size, value in zip(places * (height, width), sizes, values, strict=True):
            disc(picture, row, column, size, int(value))
        return picture

    return pattern


def star(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A rotating star or polygon in the middle, with smaller ones inside."""
    back = background(rng, height, width)
    y, x = grid(height, width)
    angle = wrapped(np.arctan2(y, x) / (2 * np.pi))
    radius = np.sqrt(x**2 + y**2) * height
    corners, pointed = int(rng.integers(3, 9)), float(rng.choice((0.0, 0.35, 0.55)))
    place = np.abs((np.arange(256) / 256 * corners) % 1 - 0.5) * 2  # 1 at a corner, 0 between two
    straight = np.cos(np.pi / corners) / np.cos(np.pi / corners * (1 - place))
    rim = ((1 - pointed) * straight + pointed * (0.4 + 0.6 * place)).astype(np.float32)
    size, turn = float(rng.uniform(0.28, 0.48)) * height, float(rng.choice((-0.25, 0.25)))
    layers = [
        (1.0, int(rng.integers(120, 180))),
        (0.6, int(rng.integers(200, 256))),
        (0.25, int(rng.integers(40, 160))),
    ]

    def pattern(travel: float) -> Indices:
        here = rim[angle + shift(turn * travel)]
        swell = size * (1 + 0.12 * np.sin(1.5 * travel))
        near = here * np.float32(swell) - radius
        picture = back.copy()
        for scale, value in layers:
            inside = near if scale == 1.0 else here * np.float32(swell * scale) - radius
            np.copyto(picture, np.uint8(value), where=inside > 0)
        return picture

    return pattern


def particles(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """Sparks, rain, snow or bubbles: many dots that move in one direction."""
    back, count = background(rng, height, width), int(rng.integers(40, 110))
    angle = float(rng.choice((np.pi / 2, -np.pi / 2, 0.0, np.pi, 1.0)))
    near = rng.uniform(0.4, 1.0, count)  # near dots are larger and faster
    places = rng.uniform(0, 1, (count, 2))
    sizes = np.maximum(near * rng.uniform(0.02, 0.05) * height, 1).astype(int)
    steps = 0.3 * near[:, None] * np.array([np.sin(angle), np.cos(angle) * height / width])
    values = (110 + 145 * near).astype(int)

    def pattern(travel: float) -> Indices:
        picture = back.copy()
        corners = ((places + steps * travel) % 1.0 * (height, width)).astype(int).tolist()
        for (row, column), size, value in zip(corners, sizes.tolist(), values.tolist(), strict=True):
            picture[row : row + size, column : column + size] = value
        return picture

    return pattern


def skyline(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A town under a sky with a sun or moon; the near row of houses passes faster than the far one."""
    y, _ = grid(height, width)
    sky = np.broadcast_to(np.clip(45 + 90 * y, 0, 90), (height, width)).astype(np.uint8)
    rows = []
    for low, high, value in ((0.35, 0.6, 130), (0.15, 0.45, 190)):
        roofs = np.zeros(3 * width)
        start = 0
        while start < len(roofs):
            wide = int(rng.integers(height // 14, height // 5))
            roofs[start : start + wide] = rng.uniform(low, high)
            start += wide
        rows.append((np.arange(height)[:, None] >= height * (1 - roofs[None, :]), value, 0.06 + 0.1 * (value > 150)))
    column, row, size = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.35) * height, rng.uniform(0.09, 0.2) * height

    def pattern(travel: float) -> Indices:
        picture = sky.copy()
        disc(picture, row, column, size, 250)
        for houses, value, speed in rows:
            left = int(speed * travel * height) % (2 * width)
            np.copyto(picture, np.uint8(value), where=houses[:, left : left + width])
        return picture

    return pattern


def waves(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A sea, or hills, in layers that roll at different speeds."""
    back = background(rng, height, width)
    y, x = grid(height, width)
    count = int(rng.integers(3, 6))
    levels = np.linspace(-0.25, 0.35, count)
    rates, lengths, heights = rng.uniform(0.2, 0.6, count), rng.uniform(0.5, 1.6, count), rng.uniform(0.03, 0.1, count)
    values = np.linspace(100, 240, count).astype(int)
    if rng.random() < 0.5:
        values = values[::-1]

    def pattern(travel: float) -> Indices:
        picture = back.copy()
        for level, rate, length, swing, value in zip(levels, rates, lengths, heights, values, strict=True):
            top = level + swing * np.sin(2 * np.pi * (x * length + rate * travel))
            np.copyto(picture, np.uint8(value), where=y > top)
        return picture

    return pattern


def bars(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """Columns that rise and fall, as on an equalizer."""
    back, count = background(rng, height, width), int(rng.integers(6, 14))
    rates, phases = rng.uniform(0.2, 0.7, count), rng.uniform(0, 1, count)
    values = rng.integers(120, 256, count)
    column = np.arange(width) * count // width
    color = np.broadcast_to(values[column].astype(np.uint8), (height, width))
    gap = (np.arange(width) * count) % width < width // 5
    rows = np.arange(height)[:, None]

    def pattern(travel: float) -> Indices:
        tall = 0.45 + 0.35 * np.sin(2 * np.pi * (rates * travel + phases))
        tops = np.where(gap, height, height * (1 - tall[column]))
        picture = back.copy()
        np.copyto(picture, color, where=rows >= tops[None, :])
        return picture

    return pattern


SHAPES: dict[str, MakePattern] = {make.__name__: make for make in (circles, star, particles, skyline, waves, bars)}
