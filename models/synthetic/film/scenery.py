"""Scenes as films show them: faces, titles, landscapes, roads, lights out of focus, and rough surfaces."""

from __future__ import annotations

import numpy as np

from models.synthetic.film.shapes import background, disc
from models.synthetic.film.textures import Indices, MakePattern, Pattern, grid, shift, wrapped

_WORDS = ("THE END", "PART ONE", "TODAY", "NEW", "NOW", "SUMMER", "NIGHT", "HOME", "GO", "ONE DAY", "LATER", "START")


def fractal(rng: np.random.Generator, height: int, width: int, roughness: float = 1.2) -> Indices:
    """Returns a surface whose spectrum falls as that of photographs does, of indices 0..255; its sides join."""
    noise = np.fft.rfft2(rng.standard_normal((height, width)))
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    radius = np.sqrt(rows**2 + columns**2)
    radius[0, 0] = 1
    surface = np.fft.irfft2(noise / radius**roughness, (height, width))
    low, high = np.percentile(surface, (2, 98))
    return np.asarray(np.clip(255 * (surface - low) / (high - low), 0, 255), np.uint8)


def surface(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A rough surface, such as stone, wood or grass, that passes by."""
    stretch = int(rng.choice((1, 1, 2, 4)))
    texture = fractal(rng, height, -(-width // stretch), float(rng.uniform(0.8, 1.5))).repeat(stretch, 1)[:, :width]
    side = int(rng.choice((-1, 1)))
    return lambda travel: np.roll(texture, int(side * 0.12 * travel * height), 1)


def landscape(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """Hills behind hills under a cloudy sky; near ones pass faster."""
    sky = fractal(rng, height, 2 * width, 1.6) // 4
    layers = []
    for depth, (level, value) in enumerate(((0.35, 110), (0.52, 160), (0.72, 215))):
        ridge = fractal(rng, 2, 2 * width, 1.1)[0].astype(np.float32) / 255
        tops = height * (level + (0.28 - 0.06 * depth) * (ridge - 0.5))
        rough = fractal(rng, height, 2 * width, 0.9) // 8
        body = np.asarray(np.clip(value + rough.astype(int) - 16, 0, 255), np.uint8)
        layers.append((np.arange(height)[:, None] >= tops[None, :], body, 0.05 * 2.2**depth))
    sun = (rng.uniform(0.1, 0.3) * height, rng.uniform(0.2, 0.8) * width, rng.uniform(0.05, 0.12) * height)

    def pattern(travel: float) -> Indices:
        left = int(0.02 * travel * height) % width
        picture = sky[:, left : left + width].copy()
        disc(picture, *sun, 250)
        for mask, body, speed in layers:
            left = int(speed * travel * height) % width
            np.copyto(picture, body[:, left : left + width], where=mask[:, left : left + width])
        return picture

    return pattern


def road(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A road that runs under the camera towards the horizon."""
    y, x = grid(height, width)
    horizon = float(rng.uniform(-0.2, 0.05))
    depth = 1 / np.maximum(y - horizon, 0.01)
    across = x * depth
    phase = np.broadcast_to(wrapped(0.25 * depth), (height, width))
    far = np.asarray(background(rng, height, width), np.uint8)
    ground, wide = y > horizon, float(rng.uniform(0.8, 1.6))
    on_road, line = ground & (np.abs(across) < wide), ground & (np.abs(across) < 0.05 * wide)
    edge = ground & (np.abs(np.abs(across) - wide) < 0.06)
    grass = fractal(rng, height, width, 0.7) // 6
    post = ground & (np.abs(np.abs(across) - 1.7 * wide) < 0.08)

    def pattern(travel: float) -> Indices:
        moved = phase + shift(0.9 * travel)
        picture = np.where(ground, 95 + grass + (moved >> 7) * np.uint8(18), far).astype(np.uint8)
        picture[on_road] = 40
        np.copyto(picture, np.uint8(240), where=(line & (moved > 128)) | edge)
        np.copyto(picture, np.uint8(200), where=post & (moved < 70))
        return picture

    return pattern


def lights(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """Lights out of focus that drift and glow, as of a city at night."""
    back, count = background(rng, height, width) // 3, int(rng.integers(10, 26))
    places, sizes = rng.uniform(0, 1, (count, 2)), rng.uniform(0.03, 0.13, count) * height
    drifts, rates = rng.normal(0, 0.05, (count, 2)), rng.uniform(0.2, 0.9, count)
    values = rng.integers(110, 256, count)

    def pattern(travel: float) -> Indices:
        picture = back.copy()
        glow = 0.75 + 0.25 * np.sin(2 * np.pi * rates * (travel + places[:, 0]))
        spots = (places + drifts * travel) % 1.0 * (height, width)
        for (row, column), size, value in zip(spots, sizes, values * glow, strict=True):
            disc(picture, row, column, size, int(value))
        return picture

    return pattern


def face(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A drawn face, or two, that looks about, blinks and speaks."""
    import cv2

    back = background(rng, height, width)
    count = 1 if rng.random() < 0.7 else 2
    people = []
    for index in range(count):
        middle = 0.5 if count == 1 else 0.3 + 0.4 * index
        size = height * rng.uniform(0.24, 0.36) * (1 if count == 1 else 0.75)
        skin, hair = int(rng.integers(150, 236)), int(rng.choice((10, 60, 110)))
        people.append((middle, size, skin, hair, rng.uniform(0, 9, 3), rng.random() < 0.5))

    def pattern(travel: float) -> Indices:
        picture = back.copy()
        for middle, size, skin, hair, phases, long_hair in people:
            look = 0.18 * np.sin(0.9 * travel + phases[0])
            x = int(width * middle + 0.3 * size * np.sin(0.5 * travel + phases[1]))
            y = int(height * 0.52 + 0.06 * size * np.sin(1.7 * travel + phases[2]))
            wide, tall = int(0.78 * size), int(size)
            cv2.ellipse(picture, (x, y + int(1.9 * size)), (int(1.5 * size), int(1.1 * size)), 0, 0, 360, 110, -1)
            if long_hair:
                cv2.ellipse(picture, (x, y + tall // 4), (int(1.05 * wide), int(1.2 * tall)), 0, 0, 360, hair, -1)
            cv2.ellipse(picture, (x, y - tall // 8), (int(1.02 * wide), int(1.02 * tall)), 0, 180, 360, hair, -1)
            cv2.ellipse(picture, (x, y), (wide, tall), 0, -20, 200, skin, -1)
            cv2.ellipse(picture, (x, y + tall // 8), (int(0.95 * wide), int(0.85 * tall)), 0, 0, 360, skin, -1)
            open_eyes = 1 if (1.3 * travel + phases[0]) % 3 > 0.2 else 0
            for side in (-1, 1):
                eye = (x + int((0.36 * side + look) * wide), y - int(0.08 * tall))
                cv2.ellipse(picture, eye, (int(0.17 * wide), int(0.1 * tall) * open_eyes + 1), 0, 0, 360, 252, -1)
                pupil = (eye[0] + int(0.25 * look * wide), eye[1])
                cv2.circle(picture, pupil, max(int(0.07 * wide) * open_eyes, 1), 5, -1)
                brow = (eye[0], eye[1] - int(0.2 * tall))
                cv2.ellipse(picture, brow, (int(0.2 * wide), int(0.06 * tall)), 0, 180, 360, hair, 2)
            mouth = (x + int(look * wide), y + int(0.45 * tall))
            opened = abs(np.sin(5 * travel + phases[2])) * (np.sin(0.7 * travel + phases[1]) > 0)
            cv2.ellipse(picture, mouth, (int(0.3 * wide), int(0.16 * tall * opened) + 2), 0, 0, 360, 30, -1)
        return picture

    return pattern


def title(rng: np.random.Generator, height: int, width: int) -> Pattern:
    """A word or two before a quiet background, large, gliding slowly."""
    import cv2

    plain = rng.random() < 0.5
    back = background(rng, height, width) if plain else fractal(rng, height, width, 1.5) // 3
    words = _WORDS[int(rng.integers(len(_WORDS)))]
    font = int(rng.choice((cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SIMPLEX)))
    (wide, tall), _ = cv2.getTextSize(words, font, 1.0, 2)
    scale = float(rng.uniform(0.4, 0.7)) * width / wide
    scale = min(scale, 0.4 * height / tall)
    thick = max(round(1.6 * scale), 1)
    value = int(rng.choice((235, 255)))
    from_left = int(rng.choice((-1, 1)))

    def pattern(travel: float) -> Indices:
        picture = back.copy()
        x = int((width - wide * scale) / 2 + from_left * 0.06 * width * (travel - 1))
        y = int((height + tall * scale) / 2)
        cv2.putText(picture, words, (x + thick, y + thick), font, scale, 5, thick, cv2.LINE_AA)
        cv2.putText(picture, words, (x, y), font, scale, value, thick, cv2.LINE_AA)
        return picture

    return pattern


SCENERY: dict[str, MakePattern] = {make.__name__: make for make in (surface, landscape, road, lights, face, title)}
