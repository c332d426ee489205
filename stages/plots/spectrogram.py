"""Draws music: its spectrogram, the requested rhythm, the onsets that were generated, and the cuts of the video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.plots.png import write_png

if TYPE_CHECKING:
    from torch import Tensor

Canvas = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 1600, 736
LEFT, RIGHT, TOP, GAP = 84, 28, 64, 62
SPECTRUM, CURVES = 360, 196
"""Heights of the two panels, in pixels."""
SCALE = 2
"""Factor by which everything is drawn larger and then reduced, so that lines and letters are smooth."""

BACKGROUND, PANEL, GRID = (22, 18, 16), (34, 28, 25), (64, 55, 50)  # blue, green, red
INK, SOFT = (236, 232, 228), (168, 158, 150)
REQUESTED, GENERATED, CUT = (80, 190, 255), (215, 200, 90), (245, 245, 245)

BANDS, LOWEST_DB = 128, -70.0
MARKS = (100, 300, 1000, 3000, 10000)
"""Frequencies in Hz that are marked beside the spectrogram."""


def draw_spectrogram(
    audio: Tensor,
    curve: Tensor | None,
    cuts: Sequence[float],
    path: Path,
    title: str = "",
    rate: float | None = None,
) -> None:
    """Writes a PNG of 1600 x 736 pixels.

    The upper panel is the log-mel spectrogram in dB below its greatest value. The lower panel has the requested rhythm
    as an area and the onset strength of the music as a line, both scaled to fill the panel. Cuts are dashed lines
    through both panels.

    Args:
        audio: [samples] or [channels, samples] at 44.1 kHz.
        curve: the requested rhythm over the whole audio, [values] or [channels, values]; the first channel is drawn.
        cuts: times of the cuts in seconds.
        path: the PNG file.
        title: a title in ASCII.
        rate: values of the curve per second; if left out, the curve covers the whole audio.

    Raises:
        OSError: the file cannot be written.
    """
    import cv2

    canvas = np.empty((HEIGHT * SCALE, WIDTH * SCALE, 3), np.uint8)
    canvas[:] = BACKGROUND
    seconds = audio.shape[-1] / 44_100
    below = TOP + SPECTRUM + GAP
    _spectrogram(canvas, audio)
    _curves(canvas, below, audio, curve, rate)
    _cuts(canvas, below, cuts, seconds)
    _times(canvas, below + CURVES, seconds)
    _text(canvas, title or "music", LEFT, 40, 0.8, INK)
    if len(cuts):
        x = WIDTH - RIGHT - 150
        _dashes(canvas, x, 22, 46)
        _text(canvas, "cuts of the film", x + 12, 40, 0.55, SOFT)
    write_png(path, cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8))


def _spectrogram(canvas: Canvas, audio: Tensor) -> None:
    """Draws the mel bands of the upper panel, with the marks of their frequencies."""
    import cv2

    from models.features.audio import SAMPLE_RATE, decibels, hertz_to_mel, mel_power

    level = decibels(mel_power(audio, SAMPLE_RATE, BANDS, high=SAMPLE_RATE / 2)).cpu().numpy()
    shade = np.clip((level - level.max()) / -LOWEST_DB + 1, 0, 1)
    picture = cv2.applyColorMap((255 * shade[::-1]).astype(np.uint8), cv2.COLORMAP_MAGMA)
    size = (_width() * SCALE, SPECTRUM * SCALE)
    _inside(canvas, TOP, SPECTRUM)[:] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    for hertz in MARKS:
        y = TOP + SPECTRUM - round(SPECTRUM * hertz_to_mel(hertz) / hertz_to_mel(SAMPLE_RATE / 2))
        name = f"{hertz // 1000} kHz" if hertz >= 1000 else f"{hertz} Hz"
        _line(canvas, LEFT - 6, y, LEFT, y, SOFT)
        _text(canvas, name, LEFT - 12, y + 5, 0.45, SOFT, right=True)


def _curves(canvas: Canvas, top: int, audio: Tensor, curve: Tensor | None, rate: float | None) -> None:
    """Draws the requested rhythm and the onset strength of the lower panel."""
    import cv2

    from models.features.audio import SAMPLE_RATE, onset_strength
    from models.features.rhythm_curve import EDGE_FRAMES

    _inside(canvas, top, CURVES)[:] = PANEL
    for part in (0.25, 0.5, 0.75):
        y = top + round(CURVES * part)
        _line(canvas, LEFT, y, WIDTH - RIGHT, y, GRID)
    strength = onset_strength(audio).double().cpu().numpy()
    strength[:EDGE_FRAMES] = 0
    if curve is not None:
        first = (curve if curve.ndim == 1 else curve[0]).double().cpu().numpy()
        seconds = len(first) / rate if rate else audio.shape[-1] / SAMPLE_RATE
        points = _points(first, top, seconds * SAMPLE_RATE / audio.shape[-1], steps=True)
        base = np.array([[points[-1, 0], top + CURVES], [points[0, 0], top + CURVES]]) * [1, SCALE]
        fill = canvas.copy()
        cv2.fillPoly(fill, [np.concatenate((points, base)).astype(np.int32)], REQUESTED)
        canvas[:] = cv2.addWeighted(fill, 0.45, canvas, 0.55, 0)
        cv2.polylines(canvas, [points], False, REQUESTED, SCALE, cv2.LINE_AA)
    cv2.polylines(canvas, [_points(strength, top)], False, GENERATED, SCALE, cv2.LINE_AA)
    _text(canvas, "onset strength of the music", LEFT, top - 14, 0.55, GENERATED)
    if curve is not None:
        _text(canvas, "asked rhythm", LEFT + 290, top - 14, 0.55, REQUESTED)


def _points(
    values: npt.NDArray[np.float64], top: int, share: float = 1.0, steps: bool = False
) -> npt.NDArray[np.int32]:
    """Returns the points [points, 2], x and y on the canvas, of a curve whose greatest value is near the panel's top.

    Args:
        top: upper edge of the panel in pixels.
        share: share of the panel's width that the curve takes; what goes beyond the panel is cut off.
        steps: whether to draw steps in place of lines from value to value.
    """
    height = np.maximum(values, 0) / max(float(values.max(initial=0.0)), 1e-9)
    edges = LEFT + (np.arange(len(values) + 1) / max(len(values), 1) * share).clip(max=1) * _width()
    x = np.repeat(edges, 2)[1:-1] if steps else (edges[:-1] + edges[1:]) / 2
    y = top + CURVES - 2 - (np.repeat(height, 2) if steps else height) * (CURVES - 14)
    return np.rint(np.stack((x, y), 1) * SCALE).astype(np.int32)


def _cuts(canvas: Canvas, below: int, cuts: Sequence[float], seconds: float) -> None:
    for cut in cuts:
        if 0 <= cut <= seconds:
            x = LEFT + round(cut / seconds * _width())
            _dashes(canvas, x, TOP, TOP + SPECTRUM)
            _dashes(canvas, x, below, below + CURVES)


def _times(canvas: Canvas, bottom: int, seconds: float) -> None:
    """Draws marks at regular times below both panels: at most 17 of them."""
    step = next((s for s in (0.5, 1, 2, 5, 10, 20, 30, 60) if seconds / s <= 16), math.ceil(seconds / 16))
    for n in range(math.floor(seconds / step + 1e-9) + 1):
        x = LEFT + round(n * step / seconds * _width())
        for y in (TOP + SPECTRUM, bottom):
            _line(canvas, x, y, x, y + 6, SOFT)
        _text(canvas, f"{n * step:g} s", x, bottom + 26, 0.45, SOFT, middle=True)


def _width() -> int:
    return WIDTH - LEFT - RIGHT


def _inside(canvas: Canvas, top: int, height: int) -> Canvas:
    """Returns the part of the canvas that a panel takes."""
    return canvas[top * SCALE : (top + height) * SCALE, LEFT * SCALE : (WIDTH - RIGHT) * SCALE]


def _line(canvas: Canvas, x1: int, y1: int, x2: int, y2: int, color: tuple[int, int, int]) -> None:
    import cv2

    cv2.line(canvas, (x1 * SCALE, y1 * SCALE), (x2 * SCALE, y2 * SCALE), color, SCALE, cv2.LINE_AA)


def _dashes(canvas: Canvas, x: int, top: int, bottom: int) -> None:
    for y in range(top, bottom, 10):
        _line(canvas, x, y, x, min(y + 5, bottom), CUT)


def _text(
    canvas: Canvas,
    words: str,
    x: int,
    y: int,
    size: float,
    color: tuple[int, int, int],
    right: bool = False,
    middle: bool = False,
) -> None:
    """Writes words on the line `y` so that they begin at `x`, or end there (`right`), or are centered (`middle`)."""
    import cv2

    face, thick = cv2.FONT_HERSHEY_SIMPLEX, 2
    (width, _), _ = cv2.getTextSize(words, face, size * SCALE, thick)
    start = x * SCALE - (width if right else width // 2 if middle else 0)
    cv2.putText(canvas, words, (start, y * SCALE), face, size * SCALE, color, thick, cv2.LINE_AA)
