"""The parts of a bar (bass, chords, arpeggio, melody and drums), made from patterns of sixteen steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthetic.music.harmony import Chord, above, nearest, scale_pitches, voiced
from models.synthetic.music.piece import Hit, Note
from models.synthetic.music.styles import ARP, BASS, CHORD, GROOVES, STEPS, Style

_LEAD_LOW, _LEAD_HIGH = 67, 86


@dataclass(frozen=True)
class Bar:
    """A bar of music.

    Attributes:
        start: time in seconds.
        step: duration of a sixteenth in seconds.
        chords: chords that divide the bar evenly.
        loudness: factor of every velocity.
    """

    start: float
    step: float
    chords: tuple[Chord, ...]
    loudness: float

    def chord_at(self, step: int) -> Chord:
        """Returns the chord at a step."""
        return self.chords[step * len(self.chords) // STEPS]

    def time(self, step: float) -> float:
        """Returns the time of a step in seconds."""
        return self.start + step * self.step


@dataclass(frozen=True)
class Choices:
    """The random choices that a piece keeps from bar to bar.

    Attributes:
        style, key, mode: style, tonic and mode of the piece.
        groove, bass, chords, arp: names of the patterns of drums, bass, chords and arpeggio.
        arp_order: order of the chord tones in the arpeggio.
        motifs: two motifs of the melody, as notes of (step, length in steps, scale steps above the chord's root).
    """

    style: Style
    key: int
    mode: str
    groove: str
    bass: str
    chords: str
    arp: str
    arp_order: tuple[int, ...]
    motifs: tuple[tuple[tuple[int, int, int], ...], ...]


def choose(style: Style, key: int, mode: str, rng: np.random.Generator) -> Choices:
    """Chooses patterns and motifs of a piece at random."""

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
    """Returns a random motif: a rhythm of one bar with a contour of small steps."""
    rhythms = ((0, 4, 6, 8, 12), (0, 4, 8, 10, 12, 14), (0, 2, 4, 8), (0, 6, 8, 12, 14), (0, 4, 8, 12), (0, 8, 10, 12))
    onsets = rhythms[int(rng.integers(len(rhythms)))]
    contour = np.clip(np.cumsum(rng.choice((-2, -1, -1, 1, 1, 2), len(onsets))), -4, 5)
    stops = (*onsets[1:], STEPS)
    return tuple((a, b - a, int(c)) for a, b, c in zip(onsets, stops, contour, strict=True))


def bass(bar: Bar, choices: Choices) -> list[Note]:
    """Returns the bass: roots of the chords, with octaves (`o`) and fifths (`f`) where the pattern has them."""
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
    """Returns all tones of the chords at once; held chords are struck again where the chord changes."""
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
    """Returns the tones of the chords one after another, louder on the beats."""
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
    """Returns the melody: the motifs of the piece (a a b a) with chord tones on beats and scale tones between them."""
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
    """Returns the strokes of the drum pattern; sparse sections have no snare, and a `fill` ends the bar with toms."""
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
    """Returns the steps from a stroke to the next one or to the end of the bar."""
    return next((i for i in range(step + 1, STEPS) if pattern[i] != "."), STEPS) - step
