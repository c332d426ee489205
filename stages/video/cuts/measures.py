"""How far two frames differ, in measures that do not depend on exposure and contrast.

A frame is described by its signature, a tiny picture. All measures are quotients by the contrast of the two frames, so
that a dark grey film and a bright one give the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

ROWS, COLUMNS = 18, 32  # size of a signature
REACH = (2, 4)  # pixels of the signature by which a part of the picture may move between two frames, down and across
BLOCKS = (2, 3)  # parts of the picture that may move each on its own, down and across
NOISE = 1.0  # standard deviation, in gray levels, of the noise that is left in a signature
MEASURES = ("structure", "still structure", "colors", "pixels")

Signature = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]

_TALL, _BROAD = (ROWS - 2 * REACH[0]) // BLOCKS[0], (COLUMNS - 2 * REACH[1]) // BLOCKS[1]
_SHIFTS = (2 * REACH[0] + 1, 2 * REACH[1] + 1)
_UNMOVED = _SHIFTS[0] * _SHIFTS[1] // 2  # number of the place that a part has without motion


def signature(frame: npt.NDArray[np.uint8]) -> Signature:
    """Returns the signature [18, 32, 3] of a BGR frame [height, width, 3]."""
    import cv2

    small: Any = cv2.resize(frame, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return small


class Planes:
    """Frames prepared for measuring: gray and two differences of colors, and their statistics.

    Args:
        signatures: [frames, 18, 32, 3] uint8.
    """

    def __init__(self, signatures: Signature) -> None:
        blue, green, red = (signatures[..., i].astype(np.float32) for i in range(3))
        self.gray = 0.114 * blue + 0.587 * green + 0.299 * red
        planes = np.stack([self.gray, blue - self.gray, red - self.gray], 1)[..., REACH[0] : ROWS - REACH[0], :]
        self.planes = planes.reshape(len(signatures), 3, -1)
        self.sorted = np.sort(self.planes, axis=2)[:, :, 2::5]
        self.contrast = np.sqrt(self.planes.var(2).sum(1))
        """Standard deviation of gray and colors, [frames]."""
        self.mean = self.planes[:, 0].mean(1)
        """Mean gray level, [frames]."""
        self.places, self.power = _places(self.gray)


def _places(gray: Values) -> tuple[Values, Values]:
    """Returns the parts of the picture at all places to which they may move.

    Returns:
        [frames, parts, places, pixels] without their mean and with a mean square of 1 (less where noise prevails), and
        their variance, [frames, parts, places].
    """
    windows = np.lib.stride_tricks.sliding_window_view(gray, (_TALL, _BROAD), axis=(1, 2))
    (down, across), count = _SHIFTS, len(gray)
    corners = [(row * _TALL, column * _BROAD) for row in range(BLOCKS[0]) for column in range(BLOCKS[1])]
    parts = [windows[:, y : y + down, x : x + across].reshape(count, down * across, -1) for y, x in corners]
    places = np.stack(parts, 1)
    places -= places.mean(3, keepdims=True)
    power = np.einsum("fpsa,fpsa->fps", places, places) / np.float32(_TALL * _BROAD)
    places /= np.sqrt(power + np.float32(NOISE**2))[..., None]
    return places, power


def differences(planes: Planes, one: npt.NDArray[np.intp], two: npt.NDArray[np.intp]) -> Values:
    """Returns the `MEASURES` between frames of two lists of numbers, [pairs, 4], each 0 for equal frames.

    - structure: 1 minus the correlation of each part of the picture with the best place near it in the other frame; 0
      where both are flat. It survives motion, flashes and fades.
    - still structure: the same without motion.
    - colors: distance between the distributions of gray and colors, over the contrast. It survives all motion.
    - pixels: mean absolute difference, over the contrast.
    """
    structure = _structure(planes, one, two)
    scale = np.sqrt((planes.contrast[one] ** 2 + planes.contrast[two] ** 2) / 2) + 2 * np.float32(NOISE)
    colors = np.abs(planes.sorted[one] - planes.sorted[two]).mean(2).sum(1) / scale
    pixels = np.abs(planes.planes[one] - planes.planes[two]).mean(2).sum(1) / scale
    return np.column_stack([structure, colors, pixels]).astype(np.float32)


def _structure(planes: Planes, one: npt.NDArray[np.intp], two: npt.NDArray[np.intp]) -> Values:
    """Returns structure with and without motion, [pairs, 2]."""
    own = planes.places[one, :, _UNMOVED]
    alike = (planes.places[two] @ own[..., None])[..., 0] / np.float32(_TALL * _BROAD)  # [pairs, parts, places]
    weight = np.sqrt(np.maximum(planes.power[one, :, _UNMOVED], planes.power[two, :, _UNMOVED]))
    weight = np.minimum(weight, 2 * weight.mean(1, keepdims=True))
    # A part without contrast in both frames says nothing.
    total = weight.sum(1) + np.float32(NOISE)
    return np.column_stack([(weight * (1 - best)).sum(1) / total for best in (alike.max(2), alike[..., _UNMOVED])])
