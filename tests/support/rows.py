"""Rows of the tables between the stages, with values that depend on a name alone."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from models.lengths import whole_seconds
from models.weights.presets import PRESETS
from stages.contracts import Row
from stages.video.motion.columns import FLOW

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


def media(**values: Any) -> Row:
    """Returns the description of a small video, with some other values."""
    whole = {
        "created": None,
        "stores_times": True,
        "hides_frames": False,
        "frames_lost": 0,
        "seconds_held": 0.0,
        "left_behind": [],
    }
    return {"width": 64, "height": 48, "fps": 25.0, "codec": "h264", "has_audio": False, **whole, **values}


MIX_COLUMNS: Row = {
    "sample_rate": 44100,
    "original": "dropped",
    "loudness": {"loudness": -18.0, "true_peak": -12.2, "gain": 0.0, "limited": 0.0},
}
"""The columns that the stage Mix adds."""


def sound_columns(duration: float) -> Row:
    """Returns the columns of MIXED that the music brings: a tone of 440 Hz, and a rhythm of ones."""
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(round(duration * 44100)) / 44100)).astype(np.int16)
    rhythm = np.ones((1, 30, 1), np.float32)
    return {
        "waveform": np.stack([tone, tone], axis=1),
        "cuts": np.array([0.5]),
        "kinematic_beats": np.array([[0.25, 0.75]]),
        "transitions": [{"kind": "cut", "start": 0.5, "end": 0.5, "confidence": 0.98765}],
        "rhythm": rhythm,
        "seconds": {},
    } | MIX_COLUMNS


def features_row(name: str, duration: float) -> Row:
    """Returns a row of FEATURES for the tiny preset."""
    draws = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    seconds = whole_seconds(duration)
    color = draws.random((seconds, CONFIG.color_dim), np.float32)
    return common(
        name,
        duration,
        media=media(),
        cuts=np.array([duration / 2]),
        semantic=draws.standard_normal((seconds, CONFIG.semantic_dim), np.float32),
        color=color / color.sum(1, keepdims=True),
        scene_cut=(np.arange(seconds) == int(duration / 2)).astype(np.float32),
        visual_beat=draws.random(seconds, np.float32),
        frame_times=np.arange(round(duration * 25)) / 25,
        difference=draws.random(round(duration * 25), np.float32) * 20,
        flow_times=np.arange(1, round(duration * 25)) / 25,
        flow=draws.random((round(duration * 25) - 1, len(FLOW)), np.float32),
        kinematic_beats=np.array([[duration / 3, 0.8]]),
    )
