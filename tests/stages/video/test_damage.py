"""Damage: lost frames are told from fields, skipped frames and leading packets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.video.damage import NO_DAMAGE, lost_frames

WHOLE = [n / 25 for n in range(100)]


@given(st.sets(st.integers(1, 98), max_size=40))
def test_packets_without_a_frame_are_lost(lost: set[int]) -> None:
    shown = [time for n, time in enumerate(WHOLE) if n not in lost]
    damage = lost_frames(shown, WHOLE, is_damaged=False)
    assert damage.frames_lost == len(lost)
    assert damage.seconds_held == pytest.approx(len(lost) / 25)


def test_holes_in_a_constant_rate_count_only_in_a_damaged_file() -> None:
    shown = WHOLE[:40] + WHOLE[90:]
    assert lost_frames(shown, shown, is_damaged=False) == NO_DAMAGE
    damage = lost_frames(shown, shown, is_damaged=True)
    assert damage.frames_lost == 50
    assert damage.seconds_held == pytest.approx(2.0)


def test_a_varying_rate_has_no_holes() -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.2, 200)).tolist()
    assert lost_frames(times, times, is_damaged=True) == NO_DAMAGE


def test_two_fields_are_one_frame() -> None:
    fields = sorted(WHOLE + [time + 0.02 for time in WHOLE])
    assert lost_frames(WHOLE, fields, is_damaged=True).frames_lost == 0


def test_too_few_frames_tell_nothing() -> None:
    assert lost_frames([0.0], [0.0, 0.04], is_damaged=True) == NO_DAMAGE
    assert lost_frames([0.0, 0.0], [0.0, 0.0], is_damaged=True) == NO_DAMAGE
