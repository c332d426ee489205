"""The motion of a video as columns of tables, and the pace that a model reads from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.features.motion import Movement, pace_curve
from stages.contracts import Row
from stages.video.motion.flow import DIRECTIONS, Motion
from stages.video.motion.kinematic_beats import find_kinematic_beats

FLOW = ("energy", "divergence", "camera", *(f"direction {45 * n}" for n in range(DIRECTIONS)))
"""Columns of `flow`: see `stages.video.motion.flow.Motion`; directions in degrees, clockwise from the right."""
MOTION_COLUMNS = ("flow_times", "flow", "kinematic_beats")


def motion_columns(motion: Motion, breaks: npt.ArrayLike) -> Row:
    """Returns the columns `MOTION_COLUMNS` of `DECODED`.

    Args:
        motion: the motion of a video.
        breaks: times in seconds of cuts and flashes, at which no body can be followed.
    """
    beats, motion = find_kinematic_beats(motion, breaks), motion.without(breaks)
    flow = np.column_stack([motion.energy, motion.divergence, motion.camera, motion.directions])
    return {
        "flow_times": motion.times,
        "flow": flow.astype(np.float32),
        "kinematic_beats": np.array([(beat.time, beat.strength) for beat in beats], np.float64).reshape(-1, 2),
    }


def no_motion() -> Row:
    """Returns `MOTION_COLUMNS` of a video whose frames are not at hand."""
    return {
        "flow_times": np.zeros(0),
        "flow": np.zeros((0, len(FLOW)), np.float32),
        "kinematic_beats": np.zeros((0, 2)),
    }


def pace_of(row: Row, start: float, rate: float, steps: int) -> npt.NDArray[np.float32]:
    """Returns the pace of a part of a video, [channels, steps] (`models.features.motion.pace_curve`).

    Args:
        row: a row of `FEATURES`.
        start: time in seconds at which the part begins.
        rate: steps per second.
        steps: number of steps.
    """
    energy, divergence, camera = row["flow"].reshape(-1, len(FLOW))[:, :3].T
    beats, strengths = row["kinematic_beats"].reshape(-1, 2).T
    movement = Movement(
        row["frame_times"],
        row["difference"],
        row["cuts"],
        row["flow_times"],
        energy,
        divergence,
        camera,
        beats,
        strengths.astype(np.float32),
    )
    return pace_curve(movement.after(start), rate, steps)
