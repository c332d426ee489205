"""Chords by Roman numerals, chord progressions by vocabulary, and voicings that move by small steps.

Numerals count from the major scale in both modes: minor keys write `bIII`, `bVI` and `bVII`. `V/vi` is the dominant of
`vi`, and a comma divides a bar between two chords.
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass

import numpy as np

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
_NUMERAL = re.compile(r"(b|#)?(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)")
_DEGREES = ("i", "ii", "iii", "iv", "v", "vi", "vii")
_QUALITIES = {
    "": (0, 4, 7), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "maj9": (0, 4, 7, 11, 14), "9": (0, 4, 7, 10, 14),
    "6": (0, 4, 7, 9), "add9": (0, 4, 7, 14), "sus4": (0, 5, 7), "sus2": (0, 2, 7), "7sus4": (0, 5, 7, 10),
    "7b9": (0, 4, 7, 10, 13), "+": (0, 4, 8), "13": (0, 4, 10, 14, 21),
}  # fmt: skip
_MINOR_QUALITIES = {
    "": (0, 3, 7), "7": (0, 3, 7, 10), "9": (0, 3, 7, 10, 14), "6": (0, 3, 7, 9), "add9": (0, 3, 7, 14),
    "ø7": (0, 3, 6, 10), "dim7": (0, 3, 6, 9), "dim": (0, 3, 6), "maj7": (0, 3, 7, 11), "sus2": (0, 2, 7),
}  # fmt: skip

VOCABULARIES: dict[str, dict[str, tuple[str, ...]]] = {
    "classical": {
        "major": ("I IV,ii V I", "I vi ii V", "I V/V V I", "I,V vi,iii IV,I ii,V", "I V vi V/V", "IV I ii V7",
                  "I I7 IV iv"),
        "minor": ("i iv V i", "i bVI iiø7 V", "i V V/iv iv", "i,V i iv,V i", "i bII V i", "i bVII bIII V",
                  "i bVI iv V7"),
    },
    "epic": {
        "major": ("I bVI bIII bVII", "I V/vi vi IV", "I II vi IV", "I iii bVI bVII", "vi IV I V"),
        "minor": ("i bVI bIII bVII", "i bVI iv v", "i bII i bVII", "i bIII bVII iv", "i bVI,bVII i iv,V",
                  "i bvi i V"),
    },
    "folk": {
        "major": ("I IV I V", "I vi IV V", "I V IV I", "IV I V vi", "I IV,V I V", "Iadd9 IV vi V", "I ii IV I"),
        "minor": ("i bVII i v", "i bVII bVI bVII", "i IV i bVII", "i iv bVII bIII", "i bVI bIII bVII"),
    },
    "jazz": {
        "major": ("Imaj7 vi7 ii7 V7", "ii7 V7 Imaj7 V7/ii", "Imaj7 I7 IVmaj7 iv6", "iii7 biiidim7 ii7 V7b9",
                  "ii7,V7 Imaj7,vi7 ii7,V13 Imaj9", "Imaj7 V7/vi vi7 V9/V", "ii9 bII7 Imaj9 bVII13"),
        "minor": ("i7 iiø7 V7b9 i6", "i6 iv7 iiø7 V7b9", "bVImaj7 iiø7 V7 i9", "i7 bVII7 bVImaj7 V7",
                  "iv7 bVII9 bIIImaj7 V7"),
    },
    "latin": {
        "major": ("ii7 V7 Imaj7 IVmaj7", "Imaj7 biiidim7 ii7 V7", "Imaj7 II7 ii7 V7b9", "Imaj7 vi7 ii9 V13",
                  "I6 V7/ii ii7 bII7"),
        "minor": ("i7 iv7 V7 i7", "i7 bVII7 bVImaj7 V7", "i6 iiø7 V7b9 i6", "i9 iv9 i9 V7b9"),
    },
    "funk": {
        "major": ("I7 I7 IV9 I7", "I9 IV9", "I7 bVII9 IV9 I7"),
        "minor": ("i7 i7 i7 IV9", "i9 IV9", "ii9 V9", "i7 bIII7 IV9 V9", "i7 bVII9 i7 V7"),
    },
    "pop": {
        "major": ("I V vi IV", "vi IV I V", "I vi IV V", "IV I V vi", "I iii IV iv", "I V/vi vi IV",
                  "IVmaj7 V iii7 vi7"),
        "minor": ("i bVI bIII bVII", "i iv bVI V", "i bVII bVI V", "i bVI iv V", "i v bVI iv"),
    },
    "rock": {
        "major": ("I bVII IV I", "I IV V IV", "I V bVII IV", "I bIII IV I", "I7 IV7 I7 V7"),
        "minor": ("i bVI bVII i", "i bIII bVII IV", "i bVII bVI bVII", "i iv bVI V", "i bII i bVII"),
    },
    "soul": {
        "major": ("Imaj9 vi9", "IVmaj7 iii7 ii9 Imaj7", "ii9 V13 Imaj9 V7/vi", "IVmaj9 iv6 iii7 vi9",
                  "Imaj7 bVII9 IVmaj7 iv6"),
        "minor": ("i9 bVImaj7", "iv9 i9 bVImaj7 V7b9", "i9 iv9", "bVImaj7 V7 i9 bIIImaj7"),
    },
    "modal": {
        "major": ("Iadd9 IVmaj7", "Imaj7 iii7 vi9 IVmaj7", "Isus2 bVIIadd9 IVadd9 Isus2",
                  "IVmaj9 Iadd9 vi9 Vsus4", "I II"),
        "minor": ("iadd9 bVImaj7", "i9 bVIImaj7 iv9 bVImaj7", "i bVII bVImaj7 v7", "isus2 IV", "iadd9 bII"),
    },
    "dance": {
        "major": ("vi IV I V", "I V vi IV", "IVmaj7 vi9 V Iadd9", "vi9 V IVmaj7 IVmaj7"),
        "minor": ("i bVI bIII bVII", "i9 i9 bVImaj7 v7", "i bVII iv bVI", "iv9 i9 bVImaj7 bVII"),
    },
}  # fmt: skip
"""Progressions by vocabulary and mode. A progression is repeated, and its last bar gives way to a cadence."""


@dataclass(frozen=True)
class Chord:
    """A chord: its `root` as semitones above the tonic, its `intervals` above the root, and the `numeral`."""

    root: int
    intervals: tuple[int, ...]
    numeral: str

    def classes(self, key: int) -> tuple[int, ...]:
        """Returns the pitch classes of the chord in a key, beginning with the root."""
        return tuple((key + self.root + i) % 12 for i in self.intervals)


@functools.cache
def chord(numeral: str) -> Chord:
    """Returns the chord of a Roman numeral.

    Raises:
        ValueError: the numeral is not known.
    """
    own, _, target = numeral.partition("/")
    found = _NUMERAL.fullmatch(own)
    if found is None:
        raise ValueError(f"{numeral!r} is no Roman numeral of a chord")
    sign, name, quality = found.groups()
    root = SCALES["major"][_DEGREES.index(name.lower())] + {"b": -1, "#": 1, None: 0}[sign]
    if target:
        root += chord(target).root
    qualities = _MINOR_QUALITIES if name.islower() else _QUALITIES
    return Chord(root % 12, qualities[quality], numeral)


def progression(vocabulary: str, mode: str, rng: np.random.Generator) -> tuple[tuple[Chord, ...], ...]:
    """Returns a random progression of a vocabulary: the one or two chords of each of its bars."""
    lines = VOCABULARIES[vocabulary][mode]
    return tuple(tuple(chord(name) for name in bar.split(",")) for bar in lines[int(rng.integers(len(lines)))].split())


def dominant(vocabulary: str, mode: str, rng: np.random.Generator) -> Chord:
    """Returns a chord that leads back to the tonic, as a vocabulary likes it."""
    soft = ("bVII", "v7") if mode == "minor" else ("Vsus4", "IV")
    choices = {
        "jazz": ("V7b9", "bII7") if mode == "minor" else ("V13", "bII7"),
        "latin": ("V7b9",) if mode == "minor" else ("V7", "bII7"),
        "soul": ("V7b9",) if mode == "minor" else ("V13",),
        "funk": ("V9",),
        "modal": soft,
        "rock": ("bVII", "V"),
        "dance": soft,
    }.get(vocabulary, ("V", "V7"))
    return chord(choices[int(rng.integers(len(choices)))])


def tonic(mode: str) -> Chord:
    """Returns the chord of the tonic."""
    return chord("i" if mode == "minor" else "I")


def scale_classes(key: int, mode: str, harmony: Chord) -> frozenset[int]:
    """Returns the pitch classes of a melody over a chord: its tones, and the scale where that does not clash."""
    tones = set(harmony.classes(key))
    scale = {(key + step) % 12 for step in SCALES[mode]}
    altered = tones - scale  # such as the leading tone in minor, which takes the place of its neighbor
    fixed = tones | {key, (key + 7) % 12}
    kept = {c for c in scale if c in fixed or not any((c - a) % 12 in (1, 11) for a in altered)}
    return frozenset(kept | tones)


def voicing(
    harmony: Chord, key: int, before: tuple[int, ...] | None, low: int, high: int, voices: int, open_position: bool
) -> tuple[int, ...]:
    """Returns pitches of a chord between two limits, from low to high, that move least from the chord before.

    With more tones than voices the fifth is left out first, then the root; with fewer, tones are doubled.
    """
    classes = list(harmony.classes(key))
    while len(classes) > voices:
        classes.pop(2 if len(classes) > 3 else 0)
    center = (low + high) / 2
    best: tuple[float, tuple[int, ...]] | None = None
    for lowest in dict.fromkeys(classes):
        for start in range(low + (lowest - low) % 12, high - 4, 12):
            pitches = [start]
            rest = sorted((c - start) % 12 for c in classes if c != lowest)
            stack = [start + r for r in rest]
            while len(stack) + 1 < voices:
                stack.append(stack[len(stack) - len(rest)] + 12 if rest and len(stack) >= len(rest) else start + 12)
            if open_position:
                stack = [p + 12 if i % 2 == 0 else p for i, p in enumerate(stack)]
            pitches = sorted([*pitches, *stack])
            if pitches[-1] > high + 2:
                continue
            if before:
                moved = sum(abs(a - b) for a, b in itertools.zip_longest(pitches, before, fillvalue=pitches[-1]))
                cost = moved + 0.3 * abs(float(np.mean(pitches)) - center)
            else:
                cost = abs(float(np.mean(pitches)) - center)
            if best is None or cost < best[0]:
                best = cost, tuple(pitches)
    if best is None:  # the limits are narrower than the chord
        return tuple(sorted(low + (c - low) % 12 for c in classes))
    return best[1]


def nearest_class(pitch: float, classes: frozenset[int] | tuple[int, ...], low: int, high: int) -> int:
    """Returns the pitch of some classes within limits that is nearest to `pitch`, the lower one of two."""
    allowed = [p for p in range(low, high + 1) if p % 12 in classes]
    return min(allowed, key=lambda p: (abs(p - pitch), p))
