"""Kinematic beats: stops and turns are found at their times, and what never rests has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.video.motion.flow import DIRECTIONS, Motion
from stages.video.motion.kinematic_beats import find_kinematic_beats


def motion(energy: np.ndarray, rate: float = 25.0) -> Motion:
    """Returns motion whose energy at the middle of each frame's time is given."""
    frames, length = len(energy), 1 / rate
    empty = np.zeros(frames, np.float32)
    times = (np.arange(frames) + 1) * length
    directions = np.zeros((frames, DIRECTIONS), np.float32)
    return Motion(times, np.full(frames, length), energy.astype(np.float32), directions, empty, empty)


def middles(seconds: float, rate: float = 25.0) -> np.ndarray:
    return (np.arange(round(seconds * rate)) + 0.5) / rate


@settings(max_examples=30, deadline=None)
@given(
    period=st.floats(0.4, 1.2), first=st.floats(0.3, 0.8), size=st.floats(0.03, 0.5), rate=st.sampled_from([24, 25, 30])
)
def test_turns_are_beats(period: float, first: float, size: float, rate: float) -> None:
    times = middles(10, rate)
    found = find_kinematic_beats(motion(size * np.abs(np.sin(np.pi * (times - first) / period)), rate))
    true = np.arange(first + period, 10 - 0.6, period)
    near = [min(abs(beat.time - time) for beat in found) for time in true]
    assert np.max(near) < 0.04
    away = [abs((beat.time - first + period / 2) % period - period / 2) for beat in found]
    assert max(away) < 0.05
    assert all(0.3 <= beat.strength <= 1 for beat in found)


def test_a_held_stop_counts_at_its_beginning() -> None:
    times = middles(8)
    moving = (times % 1.0) < 0.45  # rests from 0.45 to 1.0 of every second
    found = np.array([beat.time for beat in find_kinematic_beats(motion(0.2 * moving))])
    assert len(found) >= 7  # the last one may be followed by too little
    np.testing.assert_allclose(found % 1.0, 0.45, atol=0.07)


def test_steady_motion_a_still_picture_and_a_break_have_none() -> None:
    assert find_kinematic_beats(motion(np.full(200, 0.3))) == []
    assert find_kinematic_beats(motion(np.zeros(200))) == []
    assert find_kinematic_beats(motion(np.zeros(0))) == []
    trembling = np.random.default_rng(0).uniform(0, 0.002, 300)
    assert find_kinematic_beats(motion(trembling)) == []
    energy = np.full(200, 0.2)
    energy[100] = 3.0  # the flow to the first frame of a shot
    cut = 101 / 25
    assert find_kinematic_beats(motion(energy), [cut]) == []


@pytest.mark.filterwarnings("error")
def test_stillness_after_great_motion_is_still() -> None:
    energy = np.concatenate([np.full(100, 30.0), np.zeros(300)])
    assert [beat.time for beat in find_kinematic_beats(motion(energy)) if beat.time > 5] == []


def test_around_a_cut_no_body_is_followed() -> None:
    times = middles(6)
    energy = 0.2 * np.abs(np.sin(np.pi * times))
    found = [beat.time for beat in find_kinematic_beats(motion(energy), [3.02])]
    assert found == pytest.approx([1, 2, 4, 5], abs=0.06)
