"""Chords of the band: numerals, voicings that move little, and scales that fit their chords."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from models.synthetic.music.band.chords import VOCABULARIES, chord, progression, scale_classes, voicing
from models.synthetic.rng import stream


@pytest.mark.parametrize(
    ("numeral", "classes"),
    [
        ("I", (0, 4, 7)),
        ("ii7", (2, 5, 9, 0)),
        ("bVImaj7", (8, 0, 3, 7)),
        ("V/vi", (4, 8, 11)),
        ("V7b9", (7, 11, 2, 5, 8)),
        ("biiidim7", (3, 6, 9, 0)),
        ("iiø7", (2, 5, 8, 0)),
    ],
)
def test_numerals_name_the_tones_of_their_chords(numeral: str, classes: tuple[int, ...]) -> None:
    assert chord(numeral).classes(0) == classes
    assert chord(numeral).classes(5) == tuple((c + 5) % 12 for c in classes)


def test_every_progression_can_be_read() -> None:
    for name, modes in VOCABULARIES.items():
        for mode in modes:
            for seed in range(20):
                assert all(1 <= len(bar) <= 2 for bar in progression(name, mode, stream(seed, "test")))
    with pytest.raises(ValueError, match="no Roman numeral"):
        chord("H7")


def test_voicings_hold_the_chord_and_move_by_small_steps() -> None:
    moved = []
    for seed in range(30):
        rng = stream(seed, "test")
        chords = [c for bar in progression("jazz", "major", rng) for c in bar] * 2
        before = None
        for harmony in chords:
            now = voicing(harmony, seed % 12, before, 50, 72, 3, False)
            assert len(now) == 3
            assert list(now) == sorted(now)
            assert now[0] >= 48
            assert now[-1] <= 74
            assert {p % 12 for p in now} <= set(harmony.classes(seed % 12))
            if before:
                moved.append(np.mean([abs(a - b) for a, b in zip(now, before, strict=True)]))
            before = now
    assert np.mean(moved) < 2.5


def test_melodies_avoid_tones_beside_altered_ones() -> None:
    assert scale_classes(0, "minor", chord("V")) == {0, 2, 3, 5, 7, 8, 11}  # the leading tone instead of the seventh
    assert scale_classes(0, "major", chord("I")) == {0, 2, 4, 5, 7, 9, 11}
    for a, b in itertools.pairwise(sorted(scale_classes(0, "minor", chord("V")))):
        assert b - a <= 3
