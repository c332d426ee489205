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
_AREA = np.float32(_TALL * _BROAD)
_MIDDLE = np.s_[:, REACH[0] : ROWS - REACH[0], REACH[1] : COLUMNS - REACH[1]]


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
        self.sums, self.squares = _box_sums(self.gray), _box_sums(self.gray**2)


def _box_sums(picture: Values) -> Values:
    """Returns the sums over all boxes of the size of a block, [frames, rows, columns of their corners]."""
    total = np.zeros((len(picture), ROWS + 1, COLUMNS + 1), np.float64)
    total[:, 1:, 1:] = picture.cumsum(1, dtype=np.float64).cumsum(2)
    sums = total[:, _TALL:, _BROAD:] - total[:, :-_TALL, _BROAD:] - total[:, _TALL:, :-_BROAD]
    return (sums + total[:, :-_TALL, :-_BROAD]).astype(np.float32)


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
    down, across = REACH
    corners = np.s_[:, down : ROWS - down : _TALL, across : COLUMNS - across : _BROAD]
    blocks = planes.gray[_MIDDLE][one].reshape(-1, BLOCKS[0], _TALL, BLOCKS[1], _BROAD)
    own = planes.sums[corners][one]
    own_power = np.maximum(planes.squares[corners][one] / _AREA - (own / _AREA) ** 2, 0)
    other, other_sums, other_squares = planes.gray[two], planes.sums[two], planes.squares[two]
    noise = np.float32(NOISE**2)
    best = np.full(own.shape, -1, np.float32)
    still = best
    for y in range(2 * down + 1):
        for x in range(2 * across + 1):
            part = other[:, y : y + ROWS - 2 * down, x : x + COLUMNS - 2 * across].reshape(blocks.shape)
            at = np.s_[:, y : y + ROWS - 2 * down : _TALL, x : x + COLUMNS - 2 * across : _BROAD]
            sums = other_sums[at]
            power = np.maximum(other_squares[at] / _AREA - (sums / _AREA) ** 2, 0)
            common = np.einsum("nrhcw,nrhcw->nrc", blocks, part) / _AREA - own * sums / _AREA**2
            alike = common / np.sqrt((own_power + noise) * (power + noise))
            best = np.maximum(best, alike)
            if (y, x) == (down, across):
                still, still_power = alike, power
    weight = np.sqrt(np.maximum(own_power, still_power))
    weight = np.minimum(weight, 8 * weight.mean((1, 2), keepdims=True) / 4)
    # A block without contrast in both frames says nothing.
    total = weight.sum((1, 2)) + np.float32(NOISE)
    return np.column_stack([(weight * (1 - alike)).sum((1, 2)) / total for alike in (best, still)])
