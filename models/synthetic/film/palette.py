"""Palettes of five colors, from background to highlight: warm and light, or cold and dark."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt

Color = tuple[int, int, int]
STOPS = (0, 70, 130, 190, 255)
"""Palette indices of the five colors."""

_LEAST_CONTRAST = 0.27

_WARM = (0.0, 0.04, 0.08, 0.12, 0.15, 0.27, 0.95)  # reds, oranges, yellows, bright green, rose
_COLD = (0.50, 0.55, 0.60, 0.65, 0.70, 0.76)  # teals, blues, violets
_NAMES = ((0.02, "red"), (0.1, "orange"), (0.18, "yellow"), (0.42, "green"), (0.53, "teal"), (0.68, "blue"))


def palette(warmth: float, rng: np.random.Generator) -> tuple[Color, ...]:
    """Returns five colors for a warmth of 0..1; medium values have hues of both kinds at medium lightness."""
    warm = rng.random() < np.clip(1.6 * (warmth - 0.5) + 0.5, 0.0, 1.0)
    hues = _WARM if warm else _COLD
    hue = hues[int(rng.integers(len(hues)))] + rng.uniform(-0.015, 0.015)
    other = hues[int(rng.integers(len(hues)))] + rng.uniform(-0.015, 0.015)
    light = 0.10 + 0.80 * warmth + rng.uniform(-0.08, 0.08)  # lightness of the background
    gray = 0.25 if not warm and rng.random() < 0.3 else 1.0
    pale = rng.random() < 0.5
    strong = (0.35 if pale else 0.8) if warm else (0.45 if pale else 0.85)
    if warmth > 0.6:
        accents = ((other, 0.85, 0.95), (hue + 0.05, 0.95, 0.9), (other - 0.04, 0.9, 0.8), (hue + 0.1, 0.5, 1.0))
    elif warmth < 0.4:
        accents = ((other, 0.7, 0.34), (hue + 0.04, 0.6, 0.46), (other - 0.05, 0.75, 0.26), (hue, 0.35, 0.62))
    else:
        accents = ((other, 0.6, 0.6), (hue + 0.05, 0.65, 0.7), (other - 0.05, 0.7, 0.45), (hue + 0.05, 0.4, 0.85))
    order = rng.permutation(3)
    shades = [(hue, strong * gray, light), *(accents[i] for i in order), accents[3]]
    return tuple(_rgb(h, s * (1.0 if i == 0 else gray), v) for i, (h, s, v) in enumerate(shades))


def muted(colors: tuple[Color, ...], saturation: float) -> tuple[Color, ...]:
    """Returns colors whose saturation is multiplied by a factor, as light and film stock do in recorded pictures."""
    result = []
    for color in colors:
        hue, strength, value = colorsys.rgb_to_hsv(*(c / 255 for c in color))
        result.append(_rgb(hue, strength * saturation, value))
    return tuple(result)


def portrait(colors: tuple[Color, ...], rng: np.random.Generator) -> tuple[Color, ...]:
    """Returns the palette of a portrait: the first of some colors, then hair, the shade of skin, skin, and white."""
    dark = float(rng.uniform(0.35, 0.95))
    hue, light = float(rng.uniform(0.03, 0.085)), max(colorsys.rgb_to_hsv(*(c / 255 for c in colors[0]))[2], 0.35)
    shade = 0.55 + 0.45 * light  # people in dark scenes are darker
    return (
        colors[0],
        _rgb(hue, 0.5, 0.22 * shade),
        _rgb(hue, 0.55, 0.62 * dark * shade),
        _rgb(hue, 0.42, dark * shade),
        _rgb(hue, 0.06, shade),
    )


def costumes(colors: tuple[Color, ...], rng: np.random.Generator) -> tuple[Color, ...]:
    """Returns the palette of a scene with people: two colors of what is behind them, clothes, skin, other clothes.

    All of people differs in lightness from what is behind them; in some scenes they are seen as dark or light outlines.
    """
    draws = rng.random(2)
    light = colorsys.rgb_to_hsv(*(c / 255 for c in colors[0]))[2]
    skin = portrait(colors, rng)[3]
    first, second, last = (_apart(color, light) for color in (colors[2], skin, colors[4 if draws[0] < 0.5 else 1]))
    if draws[1] < 0.15:
        first = second = last
    return colors[0], _mixed(colors[0], colors[1], 0.5), first, second, last


def _apart(color: Color, light: float) -> Color:
    """Returns a color whose value, 0..1, differs clearly from the one given."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in color))
    if abs(value - light) < _LEAST_CONTRAST:
        up = value >= light if 0.4 < light < 0.6 else light < 0.5
        value = light + _LEAST_CONTRAST if up else light - _LEAST_CONTRAST
    return _rgb(hue, saturation, value)


def _mixed(one: Color, two: Color, share: float) -> Color:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(one, two, strict=True))
    return red, green, blue


def ramp(colors: tuple[Color, ...]) -> npt.NDArray[np.float32]:
    """Returns a color for each palette index, [256, 3], 0..255, interpolated between the colors at `STOPS`."""
    points = np.array(colors, np.float64)
    index = np.arange(256)
    return np.stack([np.interp(index, STOPS, points[:, c]) for c in range(3)], axis=1).astype(np.float32)


def color_name(color: Color) -> str:
    """Returns the English name of a color."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in color))
    if value < 0.12:
        return "black"
    if saturation < 0.18:
        return "white" if value > 0.85 else "gray"
    return next(
        (name for limit, name in _NAMES if hue < limit), "violet" if hue < 0.85 else "pink" if hue < 0.97 else "red"
    )


def _rgb(hue: float, saturation: float, value: float) -> Color:
    clipped = (hue % 1.0, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1)))
    red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(*clipped))
    return red, green, blue
