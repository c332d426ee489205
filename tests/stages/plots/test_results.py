"""The picture of scored videos."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from stages.plots.results import PIXELS, draw_scored


def test_one_panel_for_each_result(tmp_path: Path):
    noise = np.random.default_rng(0).normal(0, 0.1, (3 * 44100, 2))
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", noise, 44100)
        (tmp_path / f"{name}.json").write_text(json.dumps({"cuts": [1.0], "rhythm": [0.1, 0.9, 0.2]}))
    (tmp_path / "other.json").write_text("{}")
    assert draw_scored(tmp_path, tmp_path / "out.png") == 2
    assert cv2.imread(str(tmp_path / "out.png")).shape == (1012, PIXELS, 3)


def test_a_folder_without_results(tmp_path: Path):
    with pytest.raises(OSError, match="no scored videos in"):
        draw_scored(tmp_path, tmp_path / "out.png")
