"""The beat alignment score: known values, chance, and the beats of clicks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.beat_alignment import (
    DEVIATION,
    beat_alignment,
    beat_alignment_above_chance,
    beats_of_music,
)


def test_the_score_is_one_on_the_beat_and_falls_with_the_distance() -> None:
    beats = np.arange(20) * 0.5
    assert beat_alignment([1.0, 2.5, 7.0], beats) == 1.0
    assert beat_alignment([1.0 + DEVIATION], beats) == pytest.approx(math.exp(-0.5))
    assert beat_alignment([1.25], beats) < 1e-5
    assert beat_alignment([1.0], []) == 0.0


@given(shift=st.floats(0, 0.5))
def test_chance_depends_on_the_beats_alone(shift: float) -> None:
    beats, dance = np.arange(0, 30, 0.5), np.arange(0, 30, 0.5)
    chance = beat_alignment(dance + shift, beats) - beat_alignment_above_chance(dance + shift, beats, 30.0)
    assert chance == pytest.approx(DEVIATION * math.sqrt(2 * math.pi) / 0.5, abs=0.06)


def test_music_on_the_dancers_beats_scores_and_music_between_them_does_not() -> None:
    samples = torch.randn(2, 44100 * 12, generator=torch.Generator().manual_seed(0)) * 1e-4
    for time in np.arange(0.3, 11.9, 0.6):
        samples[:, round(44100 * time) : round(44100 * time) + 500] = 0.8
    beats = beats_of_music(samples)
    assert np.diff(beats) == pytest.approx(0.6, abs=0.01)
    dance = np.arange(0.3, 11.9, 0.6)
    assert beat_alignment_above_chance(dance, beats, 12.0) > 0.6
    assert beat_alignment_above_chance(dance + 0.3, beats, 12.0) < -0.1
