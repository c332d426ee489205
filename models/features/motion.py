"""The pace of a picture: how much it moves, where it cuts and where bodies stop or turn, on the latents' time axis."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float32]
Values = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

NOMINAL_FPS = 25.0
CHANNELS = ("difference", "cuts", "motion", "kinematic beats", "divergence", "camera")
"""Channels of the pace of a picture. A model reads the first few of them (`models.config.CurveConfig.pace`)."""
PULSES = ("cuts", "kinematic beats")
"""Channels that hold pulses."""
MOTION_UNIT = 0.02
"""Heights of the picture per second; slower motion is drawn nearly linearly, faster one as a logarithm."""
DIVERGENCE_UNIT = 0.5
"""Divergence per second that is drawn as about three quarters."""
LOGARITHM_OF_ONE = math.log1p(1 / MOTION_UNIT)
"""What the channels of motion are divided by, so that one height per second gives 1."""


def _no_times() -> Times:
    return np.zeros(0)


def _no_values() -> Values:
    return np.zeros(0, np.float32)


@dataclass(frozen=True)
class Movement:
    """What a picture does over time. Times are in seconds and rise.

    Attributes:
        times: [frames] at which frames are shown.
        difference: [frames] mean absolute gray difference to the frame before, 0..255.
        cuts: [cuts].
        flow_times: [measured frames] times of the frames whose flow was measured.
        energy, divergence, camera: [measured frames] of `stages.video.motion.flow.Motion`.
        beats, strengths: [beats] times and strengths, 0..1, of the kinematic beats.
    """

    times: Times
    difference: Values
    cuts: Times
    flow_times: Times = field(default_factory=_no_times)
    energy: Values = field(default_factory=_no_values)
    divergence: Values = field(default_factory=_no_values)
    camera: Values = field(default_factory=_no_values)
    beats: Times = field(default_factory=_no_times)
    strengths: Values = field(default_factory=_no_values)

    def after(self, seconds: float) -> Movement:
        """Returns the same on the time axis of a window that begins `seconds` later."""
        moved = {name: getattr(self, name) - seconds for name in ("times", "cuts", "flow_times", "beats")}
        return replace(self, **moved)


def pace_curve(movement: Movement, rate: float, steps: int) -> Curve:
    """Returns the pace of a picture as the rhythm predictor reads it: [6, steps], step i covers [i, i + 1) / rate.

    - difference: that between frames within a step, as a logarithm from about 0 (a still picture) to 1 (everything
      changes at 25 frames per second). The difference of a frame is spread evenly over the time since the frame before,
      so that it does not depend on the frame rate.
    - cuts: pulses at their exact times.
    - motion: that of people and things, without the camera's, as a logarithm of heights per second; 1 is a height of
      the picture per second over all of the picture.
    - kinematic beats: pulses at the exact times at which bodies stop or turn, of their strengths.
    - divergence: -1..1, positive where things come nearer.
    - camera: speed of the camera, on the scale of motion.

    Args:
        movement: what the picture does, on the time axis of the curve.
        rate: steps per second.
        steps: number of steps.
    """
    edges = np.arange(steps + 1) / rate
    times, difference = np.asarray(movement.times, np.float64), np.asarray(movement.difference, np.float64)
    changed = np.interp(edges, times, np.cumsum(difference)) if len(times) else np.zeros(steps + 1)
    motion, divergence, camera = (
        _mean_of_steps(movement.flow_times, values, edges)
        for values in (movement.energy, movement.divergence, movement.camera)
    )
    channels = (
        np.log1p(np.diff(changed) * rate / NOMINAL_FPS) / np.log(256),
        _pulses(movement.cuts, np.ones(len(movement.cuts)), rate, steps),
        _logarithm(motion),
        _pulses(movement.beats, movement.strengths, rate, steps),
        np.tanh(divergence / DIVERGENCE_UNIT),
        _logarithm(camera),
    )
    return np.stack(channels).astype(np.float32)


def _mean_of_steps(times: Times, values: Values, edges: Times) -> Times:
    """Returns the mean within each step of values that each hold since the time before; 0 where nothing is known."""
    if len(times) < 2:
        return np.zeros(len(edges) - 1)
    starts = np.concatenate([[2 * times[0] - times[1]], times])
    total = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64) * np.diff(starts))])
    return np.diff(np.interp(edges, starts, total)) / np.diff(edges)


def _logarithm(speed: Times) -> Times:
    return np.log1p(speed / MOTION_UNIT) / LOGARITHM_OF_ONE


def _pulses(times: Times, strengths: npt.ArrayLike, rate: float, steps: int) -> npt.NDArray[np.float64]:
    import torch

    from models.features.rhythm_curve import pulses

    at, height = (torch.from_numpy(np.array(values, np.float64).reshape(-1)) for values in (times, strengths))
    return np.asarray(pulses(at, height, rate, steps).numpy(), np.float64)
