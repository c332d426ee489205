"""The pace of a picture: each channel says what it is named after, at the right time."""

from __future__ import annotations

import numpy as np
import pytest

from models.features.motion import CHANNELS, Movement, pace_curve

RATE = 20.0


def channel(movement: Movement, name: str, steps: int = 40) -> np.ndarray:
    found = pace_curve(movement, RATE, steps)
    assert found.shape == (len(CHANNELS), steps)
    return found[CHANNELS.index(name)]


def still(**values: np.ndarray) -> Movement:
    times = np.arange(50) / 25
    return Movement(**{"times": times, "difference": np.zeros(50, np.float32), "cuts": np.zeros(0)} | values)


def test_a_picture_of_which_nothing_is_known_has_zeros() -> None:
    assert not pace_curve(still(), RATE, 40).any()
    empty = Movement(np.zeros(0), np.zeros(0, np.float32), np.zeros(0))
    assert not pace_curve(empty, RATE, 40).any()


def test_cuts_and_kinematic_beats_are_pulses_of_their_strength() -> None:
    movement = still(cuts=np.array([0.525]), beats=np.array([1.025]), strengths=np.array([0.6], np.float32))
    assert channel(movement, "cuts")[10] == 1
    beats = channel(movement, "kinematic beats")
    assert beats[20] == pytest.approx(0.6)
    assert beats.sum() == pytest.approx(0.6)


def test_motion_and_camera_are_logarithms_and_divergence_keeps_its_sign() -> None:
    times = np.arange(1, 51) / 25
    speed = np.where(times <= 1.0, 1.0, 0.0).astype(np.float32)
    movement = still(flow_times=times, energy=speed, divergence=-speed, camera=0.02 * speed)
    motion, divergence, camera = (channel(movement, name) for name in ("motion", "divergence", "camera"))
    np.testing.assert_allclose(motion[1:19], 1.0, atol=1e-5)
    np.testing.assert_allclose(motion[21:], 0.0, atol=1e-5)
    np.testing.assert_allclose(divergence[1:19], np.tanh(-2.0), atol=1e-5)
    np.testing.assert_allclose(camera[1:19], np.log(2) / np.log(51), atol=1e-5)
