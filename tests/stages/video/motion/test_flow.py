"""Flow: what moves is measured, what the camera does is taken away, and light is no motion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from stages.video.motion.flow import BATCH, FlowMeter, Motion, camera_flow
from stages.video.motion.kinematic_beats import find_kinematic_beats

Pixels = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 90, 160


def scenery(seed: int = 0) -> npt.NDArray[np.float64]:
    """Returns a smooth random picture that is larger than a frame."""
    import cv2

    noise = np.random.default_rng(seed).uniform(0, 255, (40, 60)).astype(np.float32)
    return np.asarray(cv2.resize(noise, (480, 320), interpolation=cv2.INTER_CUBIC), np.float64)


def view(picture: npt.NDArray[np.float64], x: float, y: float, zoom: float = 1.0) -> Pixels:
    """Returns what a camera sees whose middle is at (x, y) of a picture."""
    import cv2

    at = np.array([[1 / zoom, 0, x - WIDTH / 2 / zoom], [0, 1 / zoom, y - HEIGHT / 2 / zoom]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(np.clip(cv2.warpAffine(picture, at, (WIDTH, HEIGHT), flags=flags), 0, 255), np.uint8)


def square(frame: Pixels, x: float, y: float, side: int = 24) -> Pixels:
    """Returns a frame with a bright patterned square whose corner is at (x, y)."""
    drawn = frame.copy()
    top, left = round(y), round(x)
    pattern = (np.indices((side, side)).sum(0) % 8 < 4) * 90 + 160
    drawn[top : top + side, left : left + side] = pattern
    return drawn


def measured(frame_at: Callable[[float], Pixels], rate: float = 25.0, seconds: float = 2.0) -> Motion:
    meter = FlowMeter()
    for number in range(round(rate * seconds)):
        meter.add(frame_at(number / rate), number / rate)
    return meter.motion()


def test_a_thing_that_moves_has_energy_and_a_direction() -> None:
    back = view(scenery(), 240, 160)
    motion = measured(lambda t: square(back, 20 + 40 * t, 30))
    # 24 x 24 of 160 x 90 pixels move by 40 / 90 heights per second.
    assert np.median(motion.energy) == pytest.approx(40 / 90 * 24 / np.sqrt(160 * 90), rel=0.35)
    assert np.median(motion.directions[:, 0]) > 0.7
    np.testing.assert_allclose(motion.directions.sum(1), 1, atol=1e-3)
    assert np.median(motion.camera) < 0.02


@pytest.mark.parametrize(
    "camera",
    [
        lambda t: view(scenery(), 200 + 30 * t, 160),
        lambda t: view(scenery(), 240, 140 + 20 * t),
        lambda t: view(scenery(), 240, 160, 1 + 0.15 * t),
    ],
    ids=["across", "down", "zoom"],
)
def test_the_camera_is_taken_away(camera: Callable[[float], Pixels]) -> None:
    motion = measured(camera)
    assert np.median(motion.camera) > 0.03
    assert np.median(motion.energy) < 0.25 * np.median(motion.camera)
    both = measured(lambda t: square(camera(t), 20 + 50 * t, 30))
    assert np.median(both.energy) > 3 * np.median(motion.energy)


def test_what_comes_nearer_diverges() -> None:
    back = np.full((HEIGHT, WIDTH), 90, np.uint8)

    def growing(time: float) -> Pixels:
        import cv2

        frame, side = back.copy(), round(20 + 24 * time)
        pattern = np.random.default_rng(1).integers(120, 255, (8, 8)).astype(np.uint8)
        frame[45 - side // 2 : 45 - side // 2 + side, 80 - side // 2 : 80 - side // 2 + side] = cv2.resize(
            pattern, (side, side), interpolation=cv2.INTER_LINEAR
        )
        return frame

    nearer, farther = measured(growing), measured(lambda t: growing(2.0 - t))
    assert np.mean(nearer.divergence) > 0.1
    assert np.mean(farther.divergence) < -0.1


def test_a_flash_and_a_fade_are_no_motion() -> None:
    back = view(scenery(), 240, 160)
    lit = measured(lambda t: np.clip(back * (0.6 + 0.4 * (int(t * 5) % 2)), 0, 255).astype(np.uint8))
    assert lit.energy.max() < 0.02


def test_grain_is_little_motion_and_has_weak_beats() -> None:
    draws = np.random.default_rng(0)
    grain = measured(lambda _: np.clip(draws.normal(128, 1, (HEIGHT, WIDTH)), 0, 255).astype(np.uint8), seconds=6.0)
    assert np.median(grain.energy) < 0.15
    assert max((beat.strength for beat in find_kinematic_beats(grain)), default=0.0) < 0.6


def test_speed_does_not_depend_on_the_frame_rate_and_few_frames_are_measured() -> None:
    back = view(scenery(), 240, 160)
    slow, fast = (measured(lambda t: square(back, 20 + 40 * t, 30), rate) for rate in (15, 60))
    assert np.median(slow.energy) == pytest.approx(float(np.median(fast.energy)), rel=0.4)
    assert len(fast.times) == 59
    many = measured(lambda t: square(back, 20 + 40 * t, 30), 120)
    assert len(many.times) < 70
    assert np.diff(many.times).min() >= 1 / 33


def test_batches_and_breaks() -> None:
    motion = measured(lambda t: view(scenery(), 200 + 30 * t, 160), seconds=(BATCH + 10) / 25)
    assert len(motion.times) == len(motion.energy) == BATCH + 9
    cut = float(motion.times[20])
    without = motion.without([cut, 99.0])
    assert len(without.times) == len(motion.times) - 1
    assert cut not in without.times
    assert len(FlowMeter().motion().times) == 0


def test_the_fit_ignores_what_does_not_follow_the_camera() -> None:
    flow = np.zeros((3, 22, 40, 2), np.float32)
    flow[..., 0] = 0.5
    flow[:, 5:15, 10:20] = (-1.0, 0.7)
    np.testing.assert_allclose(camera_flow(flow)[..., 0], 0.5, atol=0.02)
    np.testing.assert_allclose(camera_flow(flow)[..., 1], 0.0, atol=0.02)
