"""The skeleton: the places of joints for poses, and the angles of an arm that reaches a place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

JOINTS = (
    "neck", "head", "hips", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_hand", "right_hand",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_foot", "right_foot",
)  # fmt: skip
"""Names of the joints, in their order."""

UPPER_ARM, FOREARM = 0.165, 0.155  # heights of the body
_HIP_HEIGHT, _ANKLE, _SPINE, _NECK = 0.52, 0.035, 0.30, 0.125
_SHOULDER, _HIP_WIDTH = 0.095, 0.05  # half widths
_THIGH = 0.247  # length of the thigh and of the lower leg
_OUTWARD = 0.65  # share of a knee's bend that is seen from the front
_SIDES = np.array([-1.0, 1.0])


def joints(poses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the places of joints.

    Args:
        poses: values of poses, [figures, values].

    Returns:
        [figures, joints, 2], x to the right and y down from the floor, in heights of the body.
    """
    hip_x, hip_y, lean, head = (poses[:, i] for i in range(4))
    arm, elbow = poses[:, 4:8:2], poses[:, 5:8:2]  # [figures, sides]
    foot_x, raised = poses[:, 8:12:2], poses[:, 9:12:2]
    result = np.empty((len(poses), len(JOINTS), 2))
    hips = np.stack([hip_x, hip_y - _HIP_HEIGHT], 1)
    up, along = np.stack([np.sin(lean), -np.cos(lean)], 1), np.stack([np.cos(lean), np.sin(lean)], 1)
    neck = hips + _SPINE * up
    tilt = lean + head
    result[:, 0], result[:, 2] = neck, hips
    result[:, 1] = neck + _NECK * np.stack([np.sin(tilt), -np.cos(tilt)], 1)
    sides = _SIDES[None, :, None]
    shoulders = neck[:, None] + _SHOULDER * sides * along[:, None] - 0.015 * up[:, None]
    elbows = shoulders + UPPER_ARM * _hanging(arm, lean)
    result[:, 3:5], result[:, 5:7], result[:, 7:9] = shoulders, elbows, elbows + FOREARM * _hanging(arm + elbow, lean)
    tops = hips[:, None] + _HIP_WIDTH * sides * along[:, None]
    way = np.stack([foot_x, -raised - _ANKLE], 2) - tops
    length = np.maximum(np.sqrt((way**2).sum(2, keepdims=True)), 1e-6)
    way = way * np.minimum(1, 2 * _THIGH / length)
    length = np.minimum(length, 2 * _THIGH)
    bend = np.sqrt(np.maximum(_THIGH**2 - length**2 / 4, 0))
    side = np.stack([way[..., 1], -way[..., 0]], 2) / length  # to the right of a leg that hangs
    knees = tops + way / 2 + bend * _OUTWARD * sides * side
    result[:, 9:11], result[:, 11:13], result[:, 13:15] = tops, knees, tops + way
    return result


def _hanging(angle: npt.NDArray[np.float64], lean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns unit vectors [figures, sides, 2] of arms that hang at angle 0 and rise outward."""
    turned = angle * _SIDES[None, :] - lean[:, None]
    return np.stack([np.sin(turned), np.cos(turned)], 2)


def reach(outward: float, down: float) -> tuple[float, float]:
    """Returns the angles of an arm and its elbow whose hand is at a place beside and below the shoulder."""
    length = float(np.clip(np.hypot(outward, down), 0.06, UPPER_ARM + FOREARM - 1e-3))
    cosine = (length**2 - UPPER_ARM**2 - FOREARM**2) / (2 * UPPER_ARM * FOREARM)
    elbow = float(np.arccos(np.clip(cosine, -1, 1)))
    inner = np.arctan2(FOREARM * np.sin(elbow), UPPER_ARM + FOREARM * np.cos(elbow))
    return float(np.arctan2(outward, down) - inner), elbow
