"""A picture of scored videos: `python -m stages.plots.results FOLDER OUT.png`, one below the other.

For each video the spectrogram of its soundtrack, the music's onsets, the rhythm that the picture asked for, the cuts.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

PIXELS = 1100
"""Width of the picture."""


def draw_scored(folder: Path, path: Path) -> int:
    """Write a PNG of the results in a folder, as `score` and `demo` leave them.

    Returns:
        How many there are.

    Raises:
        OSError: there are none, or a file cannot be read or written.
    """
    import cv2
    import numpy as np
    import soundfile
    import torch

    from stages.plots.spectrogram import draw

    panels: list[Any] = []
    with tempfile.TemporaryDirectory() as scratch:
        for sidecar in sorted(folder.glob("*.json")):
            sound = sidecar.with_suffix(".wav")
            if not sound.is_file():
                continue
            facts = json.loads(sidecar.read_text(encoding="utf-8"))
            audio, _ = soundfile.read(sound, dtype="float32", always_2d=True)
            panel = Path(scratch) / "panel.png"
            rhythm = torch.tensor(facts["rhythm"]).reshape(len(facts["rhythm"]), -1)[:, 0]
            draw(torch.from_numpy(audio.T.copy()), rhythm, facts["cuts"], panel, sidecar.stem, rate=1.0)
            panels.append(cv2.imread(str(panel)))
    if not panels:
        raise OSError(f"no scored videos in {folder}: expected .wav and .json files side by side")
    whole = np.concatenate(panels)
    size = (PIXELS, round(PIXELS * whole.shape[0] / whole.shape[1]))
    done, data = cv2.imencode(".png", cv2.resize(whole, size, interpolation=cv2.INTER_AREA))
    if not done:
        raise OSError(f"cannot write a picture to {path}")
    path.write_bytes(data.tobytes())
    return len(panels)


if __name__ == "__main__":
    draw_scored(Path(sys.argv[1]), Path(sys.argv[2]))
