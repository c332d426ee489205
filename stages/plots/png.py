"""Writes pictures as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt


def write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Writes pixels [height, width, 3], in the order blue, green, red, as a PNG file.

    Raises:
        OSError: the file cannot be written.
    """
    import cv2

    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise OSError(f"cannot write a picture to {path}")
    path.write_bytes(data.tobytes())
