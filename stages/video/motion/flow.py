"""Flow: where everything in the picture moves, without the motion of the camera.

Dense optical flow of small frames (OpenCV's DIS, Kroeger et al., arXiv 1603.03590) is measured at 32 frames a second at
most, on a grid of 40 x 22 points. A camera that shifts, zooms and turns moves them all by one rule; that rule is fitted
to each frame in a way that ignores the points that do not follow it, and is taken away. What is left is the motion of
people and things. Speeds are in heights of the picture per second.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

FASTEST_RATE = 32.0  # frames a second that are measured at most
STRIDE = 4  # pixels of the small frame between two points of the grid
FINEST_SCALE = 1  # the flow is computed at half of the size of the small frame
BATCH = 64  # frames whose flow is kept until it is measured
DIRECTIONS = 8
STEPS_OF_FIT = 5
CHANGE = 4.0  # gray levels; flow whose points change so much counts half
LEAST_SPREAD = 0.01  # heights per second; residuals below it are noise

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Motion:
    """How a video moves, without the motion of the camera. Each value stands for the time since the frame before.

    Attributes:
        times: [frames] times in seconds of the frames that were measured.
        lengths: [frames] seconds since the frame before each.
        energy: [frames] root of the mean square of the speed, in heights per second.
        directions: [frames, 8] shares of the motion to the right, then by turns of 45 degrees clockwise to the lower
            right, down and so on; they add up to 1, or are 0 where nothing moves.
        divergence: [frames] mean of the divergence where things move, per second: positive where they come nearer.
        camera: [frames] speed of the camera, as the root of the mean square over the picture.
    """

    times: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.float64]
    energy: Floats
    directions: Floats
    divergence: Floats
    camera: Floats

    def without(self, breaks: npt.ArrayLike) -> Motion:
        """Returns the motion without the first frames after cuts and flashes, to which nothing moved.

        Args:
            breaks: times in seconds at which those frames are shown.
        """
        first = np.searchsorted(self.times, np.asarray(breaks, np.float64) - 1e-6)
        kept = np.ones(len(self.times), bool)
        kept[first[first < len(kept)]] = False
        return Motion(**{entry.name: getattr(self, entry.name)[kept] for entry in fields(self)})


class FlowMeter:
    """Measures the motion of a video whose small gray frames come one by one; keeps 60 bytes of each.

    The first frame, and each that comes less than 1/32 s after the last measured one, are passed over: flow between
    them is part of that to the next frame.
    """

    def __init__(self) -> None:
        import cv2

        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(FINEST_SCALE)
        self._before: Pixels | None = None
        self._last = 0.0
        self._times = array("d")
        self._lengths = array("d")
        self._waiting: list[Floats] = []
        self._measured: list[Floats] = []

    def add(self, gray: Pixels, time: float) -> None:
        """Takes the next frame [height, width], which is shown from `time` seconds on."""
        if self._before is not None:
            passed = time - self._last
            if passed < (1 - 1e-3) / FASTEST_RATE:
                return
            before = at_exposure_of(gray, self._before)
            field: Any = self._flow.calc(before, gray, None)  # type: ignore[call-overload]
            points = field[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE] * np.float32(1 / (len(gray) * passed))
            self._waiting.append(np.dstack([points, visible_change(before, gray, points.shape[:2])]))
            self._times.append(time)
            self._lengths.append(passed)
            if len(self._waiting) == BATCH:
                self._measure()
        self._before, self._last = gray, time

    def _measure(self) -> None:
        if self._waiting:
            self._measured.append(measures(np.stack(self._waiting)))
            self._waiting = []

    def motion(self) -> Motion:
        """Returns the motion of the whole video, after the last frame."""
        self._measure()
        empty = np.zeros((0, 3 + DIRECTIONS), np.float32)
        rows = np.concatenate([empty, *self._measured])
        return Motion(np.array(self._times), np.array(self._lengths), rows[:, 0], rows[:, 3:], rows[:, 1], rows[:, 2])


def at_exposure_of(gray: Pixels, before: Pixels) -> Pixels:
    """Returns the frame before with the brightness and the contrast of this one, so that a flash does not move."""
    import cv2

    (mean, spread), (mean_before, spread_before) = (
        (float(value[0, 0]) for value in cv2.meanStdDev(picture)) for picture in (gray, before)
    )
    gain = min(max((spread + 1) / (spread_before + 1), 0.5), 2.0)
    table = np.clip(np.round((np.arange(256) - mean_before) * gain + mean), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(before, table), np.uint8)


def visible_change(before: Pixels, gray: Pixels, shape: tuple[int, ...]) -> Floats:
    """Returns how much of the picture's change can be seen around each point of the grid, 0..1: [rows, columns].

    Flow is a guess where nothing can be seen to change, as in a plain background.
    """
    import cv2

    rows, columns = shape
    changed = cv2.absdiff(before, gray)[: rows * STRIDE, : columns * STRIDE]
    mean: Any = cv2.resize(changed, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(mean / (mean + np.float32(CHANGE)), np.float32)


def measures(flow: Floats) -> Floats:
    """Returns what `Motion` holds of each frame, as [frames, 3 + 8]: energy, divergence, camera, directions.

    Args:
        flow: [frames, rows, columns, 3], to the right and down, in heights of the picture per second, and how much
            change can be seen, 0..1.
    """
    count, rows = flow.shape[:2]
    flow, visible = flow[..., :2], flow[..., 2:]
    by_camera = camera_flow(flow)
    own = (flow - by_camera) * visible
    speed = np.sqrt((own**2).sum(3))
    energy = np.sqrt((speed**2).mean((1, 2)))
    camera = np.sqrt((by_camera**2).sum(3).mean((1, 2)))
    step = 1 / rows  # heights between two points
    spread = np.gradient(own[..., 0], step, axis=2) + np.gradient(own[..., 1], step, axis=1)
    weight = speed / np.maximum(speed.sum((1, 2), keepdims=True), 1e-9)
    divergence = (spread * weight).sum((1, 2))
    sector = np.round(np.arctan2(own[..., 1], own[..., 0]) * (DIRECTIONS / (2 * np.pi))).astype(np.intp) % DIRECTIONS
    index = sector.reshape(count, -1) + DIRECTIONS * np.arange(count)[:, None]
    directions = np.bincount(index.ravel(), weight.ravel(), count * DIRECTIONS).reshape(count, DIRECTIONS)
    return np.concatenate([np.stack([energy, divergence, camera], 1), directions], 1).astype(np.float32)


def camera_flow(flow: Floats) -> Floats:
    """Returns the part of the flow that is due to the camera, [frames, rows, columns, 2].

    A shift, a zoom and a turn are fitted by least squares, again and again, with weights that fall with the distance of
    a point from the last fit (Cauchy's weights). It begins with the median, so the greater part of the picture decides.

    Args:
        flow: [frames, rows, columns, 2].
    """
    count, rows, columns = flow.shape[:3]
    y, x = np.meshgrid(np.arange(rows) - (rows - 1) / 2, np.arange(columns) - (columns - 1) / 2, indexing="ij")
    x, y = (np.asarray(values / rows, np.float32).ravel() for values in (x, y))
    one, none = np.ones_like(x), np.zeros_like(x)
    across = np.stack([one, none, x, -y])  # [parameters, points]: velocity to the right of each point
    down = np.stack([none, one, y, x])
    products = np.einsum("ip,jp->pij", across, across) + np.einsum("ip,jp->pij", down, down)
    products = products.reshape(-1, 16)
    points = flow.reshape(count, -1, 2)
    middle = np.median(points, axis=1)
    fit = np.concatenate([middle, np.zeros_like(middle)], 1)
    for _ in range(STEPS_OF_FIT):
        left = points - np.stack([fit @ across, fit @ down], 2)
        square = (left**2).sum(2)
        scale = np.maximum(np.median(square, axis=1, keepdims=True), LEAST_SPREAD**2)
        weight = 1 / (1 + square / scale)
        normal = (weight @ products).reshape(count, 4, 4)
        target = (weight * points[..., 0]) @ across.T + (weight * points[..., 1]) @ down.T
        fit = np.linalg.solve(normal + np.eye(4, dtype=np.float32) * 1e-3, target[..., None])[..., 0]
    return np.stack([fit @ across, fit @ down], 2).reshape(flow.shape).astype(np.float32)
