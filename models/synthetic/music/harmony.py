"""Scales, chords and chord progressions. Every progression begins with the chord of the tonic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_MAJOR, _MINOR = (0, 4, 7), (0, 3, 7)


@dataclass(frozen=True)
class Chord:
    """A chord: its `root` in semitones above the tonic, and its `intervals` in semitones above the root."""

    root: int
    intervals: tuple[int, ...]

    def classes(self, key: int) -> tuple[int, ...]:
        """Returns the pitch classes of the chord in a key, beginning with the root."""
        return tuple((key + self.root + i) % 12 for i in self.intervals)


CHORDS = {
    "I": Chord(0, _MAJOR),
    "ii": Chord(2, _MINOR),
    "iii": Chord(4, _MINOR),
    "IV": Chord(5, _MAJOR),
    "V": Chord(7, _MAJOR),
    "vi": Chord(9, _MINOR),
    "i": Chord(0, _MINOR),
    "III": Chord(3, _MAJOR),
    "iv": Chord(5, _MINOR),
    "v": Chord(7, _MINOR),
    "VI": Chord(8, _MAJOR),
    "VII": Chord(10, _MAJOR),
}
PROGRESSIONS = {
    "major": ("I V vi IV", "I IV V I", "I vi IV V", "I IV I V", "I V IV I", "I ii V I", "I iii IV I"),
    "minor": ("i VI iv V", "i iv V i", "i VII VI V", "i v iv i", "i VI VII i", "i iv i V", "i VII i V"),
}


def progression(mode: str, rng: np.random.Generator) -> tuple[Chord, ...]:
    """Returns a random progression of four chords in a mode."""
    names = PROGRESSIONS[mode]
    return tuple(CHORDS[name] for name in names[int(rng.integers(len(names)))].split())


def voiced(chord: Chord, key: int, lowest: int) -> list[int]:
    """Returns the pitches of a chord in close position from `lowest` upwards, so that chords change by small steps."""
    return sorted(lowest + (c - lowest) % 12 for c in chord.classes(key))


def above(pitch_class: int, lowest: int) -> int:
    """Returns the first pitch of a pitch class at or above `lowest`."""
    return lowest + (pitch_class - lowest) % 12


def scale_pitches(key: int, mode: str, low: int, high: int) -> list[int]:
    """Returns all pitches of a scale from `low` to `high`."""
    return [p for p in range(low, high + 1) if (p - key) % 12 in SCALES[mode]]


def nearest(pitch: int, allowed: list[int]) -> int:
    """Returns the allowed pitch that is nearest to `pitch`, the lower one of two."""
    return min(allowed, key=lambda p: (abs(p - pitch), p))
