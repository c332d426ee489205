"""Draws the losses of trainings, a panel for each: `diff-v2m experiment plot-losses OUT.png NAME=FOLDER ...`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import UserError
from stages.plots.png import write_png

PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 520, 300, 56
BACKGROUND, INK, SOFT = (22, 18, 16), (236, 232, 228), (110, 100, 94)  # blue, green, red
COLORS = ((80, 190, 255), (215, 200, 90), (140, 220, 140), (200, 140, 240), (120, 160, 250), (170, 170, 170))
LEFT_OUT = {"step", "rate", "gradient", "prior", "loss", "logit_scale"}
SMOOTHING = 0.8
"""Share of the value before that stays in the drawn line."""


class LossesError(UserError):
    """A file of losses cannot be drawn."""


def draw_losses(trainings: dict[str, Path], path: Path) -> None:
    """Writes a PNG with the losses of each training over its steps; the axis of each loss ends at its greatest value.

    Args:
        trainings: the folder of each training, with its `losses.jsonl`, by title.
        path: the PNG file.

    Raises:
        OSError: a file cannot be read or written.
        LossesError: a file holds no losses.
    """
    read = {title: read_losses(folder / "losses.jsonl") for title, folder in trainings.items()}
    canvas = np.full(
        (PANEL_HEIGHT + 2 * MARGIN, (PANEL_WIDTH + MARGIN) * len(trainings) + MARGIN, 3), BACKGROUND, np.uint8
    )
    for number, (title, rows) in enumerate(read.items()):
        _panel(canvas, MARGIN + number * (PANEL_WIDTH + MARGIN), title, rows)
    write_png(path, canvas)


def read_losses(path: Path) -> list[dict[str, float]]:
    """Returns the lines of a training's `losses.jsonl`: the step and the losses of each.

    Raises:
        OSError: the file cannot be read.
        LossesError: it holds no losses.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        finite = [
            {name: float(value) for name, value in row.items() if math.isfinite(value)}
            for row in rows
            if row["step"] > 0
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LossesError(f"{path} is no file of losses: expected lines as a training writes them") from None
    if not any(_names(finite)):
        raise LossesError(f"{path} holds no losses yet: draw them when the training has logged its first step")
    return finite


def _names(rows: list[dict[str, float]]) -> list[str]:
    """Returns the names of the losses that are drawn: the total only where it has no parts."""
    found = dict.fromkeys(name for row in rows for name in row)
    parts = [name for name in found if name not in LEFT_OUT and not name.startswith("seconds")]
    return parts if len(parts) > 1 or "loss" not in found else ["loss", *parts]


def _panel(canvas: npt.NDArray[np.uint8], left: int, title: str, rows: list[dict[str, float]]) -> None:
    """Draws the panel of one training from the lines of its `losses.jsonl`."""
    import cv2

    bottom, last = MARGIN + PANEL_HEIGHT, rows[-1]["step"]
    cv2.rectangle(canvas, (left, MARGIN), (left + PANEL_WIDTH, bottom), SOFT, 1, cv2.LINE_AA)
    write_text(canvas, title, left, MARGIN - 18, 0.6, INK)
    write_text(canvas, f"{last:g} steps", left + PANEL_WIDTH - 90, bottom + 24, 0.45, SOFT)
    names = _names(rows)
    for name, color in zip(names, COLORS, strict=False):
        values = _smooth([row[name] for row in rows if name in row])
        steps = [row["step"] for row in rows if name in row]
        x = left + np.array(steps) / last * PANEL_WIDTH
        y = bottom - np.array(values) / (max(values) or 1.0) * (PANEL_HEIGHT - 12)
        cv2.polylines(canvas, [np.stack((x, y), 1).round().astype(np.int32)], False, color, 2, cv2.LINE_AA)
        row = names.index(name)
        words = f"{name} {values[0]:.3g} to {values[-1]:.3g}"
        write_text(canvas, words, left + 12, bottom - 12 - 20 * (len(names) - 1 - row), 0.45, color)


def _smooth(values: list[float]) -> list[float]:
    smooth = values[:1]
    for value in values[1:]:
        smooth.append(SMOOTHING * smooth[-1] + (1 - SMOOTHING) * value)
    return smooth


def write_text(
    canvas: npt.NDArray[np.uint8], words: str, x: int, y: int, size: float, color: tuple[int, int, int]
) -> None:
    """Writes words on the canvas; `x`, `y` are the pixels of the left end of their baseline."""
    import cv2

    cv2.putText(canvas, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)
