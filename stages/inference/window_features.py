"""Features of a video's windows, as the model takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stages.contracts import Row
from stages.video.motion.columns import pace_of

if TYPE_CHECKING:
    from models import Features
    from models.config import ModelConfig
    from models.lengths import Window
    from models.sampling.windows import Timeline


def window_features(row: Row, window: Window) -> Features:
    """Features of one window of a video, a row of `FEATURES`."""
    import torch

    from models import Features

    part = slice(window.start, window.stop)
    names = ("semantic", "color", "scene_cut", "visual_beat")
    semantic, color, scene_cut, visual_beat = (torch.tensor(row[name][part]) for name in names)
    return Features(semantic, color, scene_cut, visual_beat)


def paced_features(row: Row, timeline: Timeline, config: ModelConfig) -> list[Features]:
    """Features of each window of a video, with the picture's pace where the model reads it.

    The pace of a window is counted from the time of its first latent, so that all windows share the video's time axis.
    """
    features = [window_features(row, window) for window in timeline.windows]
    if config.curve is None:
        return features
    steps, rate = -(-timeline.frames // config.curve.stride), config.curve_rate
    return [
        replace(of_window, pace=pace_of(row, start, rate, steps))
        for of_window, start in zip(features, timeline.seconds, strict=True)
    ]
