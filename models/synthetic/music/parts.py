"""The parts of a bar: bass, chords, arpeggio, melody and drums, from patterns of sixteen steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthetic.music.harmony import Chord, above, nearest, scale_pitches, voiced
from models.synthetic.music.piece import Hit, Note
from models.synthetic.music.styles import ARP, BASS, CHORD, GROOVES, STEPS, Style

_LEAD_LOW, _LEAD_HIGH = 67, 86


@dataclass(frozen=True)
class Bar:
    """Where a bar lies and what it may use: `chords` share it evenly; `loudness` scales every velocity."""

    start: float
    step: float  # seconds of a sixteenth
    chords: tuple[Chord, ...]
    loudness: float

    def chord_at(self, step: int) -> Chord:
        """The chord that sounds at a step."""
        return self.chords[step * len(self.chords) // STEPS]

    def time(self, step: float) -> float:
        """Seconds of a step."""
        return self.start + step * self.step


@dataclass(frozen=True)
class Choices:
    """What a piece keeps from bar to bar."""

    style: Style
    key: int
    mode: str
    groove: str
    bass: str
    chords: str
    arp: str
    arp_order: tuple[int, ...]
    motifs: tuple[tuple[tuple[int, int, int], ...], ...]  # each: (step, length in steps, scale steps off the chord)


def choose(style: Style, key: int, mode: str, rng: np.random.Generator) -> Choices:
    """Patterns and motifs of a piece."""

    def one(names: tuple[str, ...]) -> str:
        return names[int(rng.integers(len(names)))]

    orders = ((0, 1, 2, 3), (0, 2, 1, 2), (0, 1, 2, 1), (3, 2, 1, 0), (0, 2, 3, 1), (0, 3, 2, 1))
    return Choices(
        style,
        key,
        mode,
        one(style.grooves),
        one(style.bass_patterns),
        one(style.chord_patterns),
        one(style.arp_patterns),
        orders[int(rng.integers(len(orders)))],
        (_motif(rng), _motif(rng)),
    )


def _motif(rng: np.random.Generator) -> tuple[tuple[int, int, int], ...]:
    """A rhythm of a bar with a contour that walks by small steps."""
    rhythms = ((0, 4, 6, 8, 12), (0, 4, 8, 10, 12, 14), (0, 2, 4, 8), (0, 6, 8, 12, 14), (0, 4, 8, 12), (0, 8, 10, 12))
    onsets = rhythms[int(rng.integers(len(rhythms)))]
    contour = np.clip(np.cumsum(rng.choice((-2, -1, -1, 1, 1, 2), len(onsets))), -4, 5)
    stops = (*onsets[1:], STEPS)
    return tuple((a, b - a, int(c)) for a, b, c in zip(onsets, stops, contour, strict=True))


def bass(bar: Bar, choices: Choices) -> list[Note]:
    """Roots, with octaves (`o`) and fifths (`f`) where the pattern has them."""
    pattern, notes = BASS[choices.bass], []
    for step, mark in enumerate(pattern):
        if mark == ".":
            continue
        chord = bar.chord_at(step)
        root = above((choices.key + chord.root) % 12, 33)
        pitch = root + {"o": 12, "f": 7}.get(mark, 0)
        velocity = 0.6 if mark in "of" else int(mark) / 9
        length = _until_next(pattern, step) * 0.9
        notes.append(Note(bar.time(step), length * bar.step, pitch, velocity * bar.loudness, choices.style.bass))
    return notes


def chords(bar: Bar, choices: Choices) -> list[Note]:
    """All tones of the chord at once; a held one is struck again where the chord changes."""
    pattern, notes = CHORD[choices.chords], []
    changes = {i * STEPS // len(bar.chords) for i in range(len(bar.chords))} if choices.chords == "held" else set()
    marks = "".join("9" if i in changes else mark for i, mark in enumerate(pattern))
    for step, mark in enumerate(marks):
        if mark != ".":
            length = _until_next(marks, step) * (1.0 if changes else 0.85) * bar.step
            notes += [
                Note(bar.time(step), length, pitch, int(mark) / 9 * bar.loudness, choices.style.chords)
                for pitch in voiced(bar.chord_at(step), choices.key, 54)
            ]
    return notes


def arpeggio(bar: Bar, choices: Choices) -> list[Note]:
    """The chord's tones one after another, louder on the beats."""
    pattern, notes, count = ARP[choices.arp], [], 0
    for step, mark in enumerate(pattern):
        if mark == ".":
            continue
        tones = voiced(bar.chord_at(step), choices.key, 60)
        tones.append(tones[0] + 12)
        pitch = tones[choices.arp_order[count % 4]]
        count += 1
        length = max(_until_next(pattern, step), 2) * bar.step
        notes.append(Note(bar.time(step), length, pitch, int(mark) / 9 * bar.loudness, choices.style.arp))
    return notes


def melody(bar: Bar, choices: Choices, index: int) -> list[Note]:
    """The piece's motifs (a a b a) on the bar's chords: chord tones on beats, scale tones between."""
    scale = scale_pitches(choices.key, choices.mode, _LEAD_LOW, _LEAD_HIGH)
    notes = []
    for step, length, offset in choices.motifs[1 if index % 4 == 2 else 0]:
        classes = bar.chord_at(step).classes(choices.key)
        middle = nearest(74, [p for p in range(67, 86) if p % 12 == classes[0]])
        allowed = [p for p in range(_LEAD_LOW, _LEAD_HIGH + 1) if p % 12 in classes] if step % 4 == 0 else scale
        pitch = nearest(middle + 2 * offset, allowed)
        velocity = (0.95 if step % 4 == 0 else 0.7) * bar.loudness
        notes.append(Note(bar.time(step), min(length, 8) * 0.9 * bar.step, pitch, velocity, choices.style.lead))
    return notes


def drums(bar: Bar, groove: str, density: float, fill: bool) -> list[Hit]:
    """The groove's strokes; sparse sections leave the snare out, and the last bar of a section ends with toms."""
    hits = []
    for drum, pattern in GROOVES[groove].items():
        if drum == "snare" and density < 0.5:
            continue
        for step, mark in enumerate(pattern):
            if mark != "." and not (fill and step > 12):
                hits.append(Hit(bar.time(step), drum, int(mark) / 9 * bar.loudness))
    if fill and groove != "none":
        hits += [
            Hit(bar.time(step), "tom", v * bar.loudness) for step, v in ((12, 0.8), (13, 0.5), (14, 0.65), (15, 0.6))
        ]
    return hits


def _until_next(pattern: str, step: int) -> int:
    """Steps from a stroke to the next one or the end of the bar."""
    return next((i for i in range(step + 1, STEPS) if pattern[i] != "."), STEPS) - step
