"""Rows of the tables between the stages, with values that depend on a name alone."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from models.lengths import whole_seconds
from models.weights.presets import PRESETS
from stages.contracts import Row

CONFIG = PRESETS["tiny"].config


def common(name: str, duration: float | None = None, **values: Any) -> Row:
    """Returns a row with the columns of every table, and some more values."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    row = {
        "item_id": digest[:32],
        "content_id": digest,
        "uri": f"/videos/{name}",
        "output": name,
        "stem": os.path.splitext(name)[0],
        "fallback": f"{os.path.splitext(name)[0]}.mkv",
        "size": 1,
        "duration": duration,
        "seconds": {},
    }
    return row | values


def features_row(name: str, duration: float) -> Row:
    """Returns a row of FEATURES for the tiny preset."""
    draws = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    seconds = whole_seconds(duration)
    color = draws.random((seconds, CONFIG.color_dim), np.float32)
    return common(
        name,
        duration,
        media={"width": 64, "height": 48, "fps": 25.0, "codec": "h264", "has_audio": False},
        cuts=np.array([duration / 2]),
        semantic=draws.standard_normal((seconds, CONFIG.semantic_dim), np.float32),
        color=color / color.sum(1, keepdims=True),
        scene_cut=(np.arange(seconds) == int(duration / 2)).astype(np.float32),
        visual_beat=draws.random(seconds, np.float32),
        frame_times=np.arange(round(duration * 25)) / 25,
        difference=draws.random(round(duration * 25), np.float32) * 20,
    )
