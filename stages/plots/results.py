"""Draws scored videos, one below the other: `diff-v2m experiment plot-results FOLDER OUT.png`.

For each video: the spectrogram of its soundtrack, the onsets of the music, the requested rhythm, and the cuts.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from stages.plots.png import write_png

PIXELS = 1100
"""Width of the picture in pixels."""


def draw_scored(folder: Path, path: Path) -> int:
    """Writes a PNG of the results that `score` or `demo` has left in a folder.

    Returns:
        The number of results.

    Raises:
        OSError: there are none, or a file cannot be read or written.
    """
    import cv2
    import numpy as np
    import soundfile
    import torch

    from stages.plots.spectrogram import draw_spectrogram

    panels: list[Any] = []
    with tempfile.TemporaryDirectory() as scratch:
        for sidecar in sorted(folder.glob("*.json")):
            sound = sidecar.with_suffix(".wav")
            if not sound.is_file():
                continue
            entries = json.loads(sidecar.read_text(encoding="utf-8"))
            audio, _ = soundfile.read(sound, dtype="float32", always_2d=True)
            panel = Path(scratch) / "panel.png"
            rhythm = torch.tensor(entries["rhythm"]).reshape(len(entries["rhythm"]), -1)[:, 0]
            draw_spectrogram(torch.from_numpy(audio.T.copy()), rhythm, entries["cuts"], panel, sidecar.stem, rate=1.0)
            panels.append(cv2.imread(str(panel)))
    if not panels:
        raise OSError(f"no scored videos in {folder}: expected .wav and .json files side by side")
    picture = np.concatenate(panels)
    size = (PIXELS, round(PIXELS * picture.shape[0] / picture.shape[1]))
    write_png(path, cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8))
    return len(panels)
