"""Drum patterns, fills and cymbals, for the drum keys of General MIDI."""

from __future__ import annotations

import numpy as np

from models.synthetic.music.band.score import Meter, Note, ScoreSection

KICK, STICK, SNARE, CLAP, HAT, PEDAL, OPEN = 36, 37, 38, 39, 42, 44, 46
LOW_TOM, MID_TOM, HIGH_TOM, CRASH, RIDE, BELL, SPLASH = 41, 45, 48, 49, 51, 53, 55
TAMBOURINE, COWBELL, HIGH_BONGO, LOW_BONGO, CONGA, LOW_CONGA, SHAKER, CLAVES, TRIANGLE = (
    54,
    56,
    60,
    61,
    63,
    64,
    70,
    75,
    81,
)
BRUSH = 40  # the second snare, which brush kits stir with

Groove = dict[int, str]
GROOVES: dict[str, tuple[Groove, ...]] = {
    "pop": (
        {KICK: "9.....5.9.......", SNARE: "....8.......8...", HAT: "6.4.6.4.6.4.6.4."},
        {KICK: "9.......7.8.....", SNARE: "....8.......8...", HAT: "6.4.6.4.6.4.6.4.", SHAKER: "..3...3...3...3."},
        {KICK: "8.......8.......", STICK: "....6.......6...", HAT: "5...4...5...4..."},
    ),
    "rock": (
        {KICK: "9.....8.9.8.....", SNARE: "....9.......9...", HAT: "7.5.7.5.7.5.7.5."},
        {KICK: "9...9.....9.....", SNARE: "....9.......9...", CRASH: "5...5...5...5..."},
        {KICK: "9.9.....9.....8.", SNARE: "....9.......9..3", RIDE: "7.4.7.4.7.4.7.4."},
        {KICK: "9.........8.", SNARE: "......9.....", HAT: "7.5.5.7.5.5."},
    ),
    "half": (
        {KICK: "9.......3.......", SNARE: "........8.......", HAT: "6...4...6...4..."},
        {KICK: "9.....6.........", SNARE: "........8.......", HAT: "5.3.5.3.5.3.5.3."},
    ),
    "funk": (
        {KICK: "9..9......9..7..", SNARE: "....9..3.3..9..3", HAT: "7353735373537353"},
        {KICK: "9.....9...7.....", SNARE: "....9..4....9.4.", HAT: "7.5.7.5.7.5.7.55", OPEN: "..............6."},
        {KICK: "9.9...8....8....", SNARE: "....9....3..9...", HAT: "7.5375.3.75375.3", COWBELL: "6...5...6...5..."},
    ),
    "hiphop": (
        {KICK: "9......7..8.....", SNARE: "....9.......9...", HAT: "5.4.5.4.5.4.5.4."},
        {KICK: "9..7....9.......", SNARE: "....8.......8...", CLAP: "....6.......6...", HAT: "5.44.445.4.4.444"},
        {KICK: "9.........9..6..", CLAP: "........9.......", HAT: "6.4.6.4.6.446444"},
    ),
    "lofi": (
        {KICK: "8.....5...7.....", SNARE: "....5.......5...", HAT: "4.3.4.3.4.3.4.3."},
        {KICK: "8.......5..6....", STICK: "....5.......5...", HAT: "4...3...4...3.3."},
    ),
    "house": (
        {KICK: "9...9...9...9...", CLAP: "....7.......7...", OPEN: "..6...6...6...6.", HAT: "4.3.4.3.4.3.4.3."},
        {KICK: "9...9...9...9...", HAT: "..7...7...7...7.", SHAKER: "3434343434343434"},
        {KICK: "9...9...9...9...", SNARE: "....5.......5..3", OPEN: "..6...6...6...6."},
    ),
    "synth": (
        {KICK: "9...9...9...9...", SNARE: "....9.......9...", HAT: "5.5.5.5.5.5.5.5."},
        {KICK: "9.......9.......", SNARE: "....9.......9...", HAT: "6.4.6.4.6.4.6.4."},
        {KICK: "9.........9.....", SNARE: "........9.......", TAMBOURINE: "..4...4...4...4."},
    ),
    "jazz": (
        {RIDE: "7...6..57...6..5", PEDAL: "....5.......5...", KICK: "3.......2......."},
        {RIDE: "7...6..57...6.45", PEDAL: "....5.......5...", SNARE: "..........2....2"},
        {BRUSH: "5...4..35...4..3", PEDAL: "....4.......4...", KICK: "3..............."},
        {RIDE: "7...6.5.6...", PEDAL: "....4...4..."},
    ),
    "bossa": (
        {KICK: "7..57..57..57..5", STICK: "5..5..5...5..5..", HAT: "4343434343434343"},
        {KICK: "7..57..57..57..5", STICK: "..5.5...5..5..5.", SHAKER: "5343534353435343", CONGA: "..4...4...4...44"},
        {
            CLAVES: "5..5..5...5.5...",
            CONGA: "4.4.44..4.4.44..",
            LOW_CONGA: "......6.......6.",
            SHAKER: "5.3.5.3.5.3.5.3.",
        },
    ),
    "folk": (
        {TAMBOURINE: "....4.......4...", KICK: "6.......6......."},
        {SHAKER: "4.3.5.3.4.3.5.3.", KICK: "6.......5......."},
        {SHAKER: "4.3.4.5.3.4.", KICK: "6.....4....."},
        {STICK: "....4...4...", KICK: "6..........."},
    ),
    "epic": (
        {LOW_TOM: "9.....6.8.......", MID_TOM: "............6.6."},
        {LOW_TOM: "9..5..9..5..9.5.", KICK: "9...............", SNARE: "....3.33....3.33"},
        {LOW_TOM: "9.......9...7.7.", MID_TOM: "..5.5.5...5.5..."},
        {LOW_TOM: "9.....7..5..", MID_TOM: "...5.......5"},
    ),
    "orchestra": (
        {SNARE: "5..34.4.5..34.33"},
        {LOW_TOM: "6...............", TRIANGLE: "....3.......3..."},
        {SNARE: "5...3.3.4...", LOW_TOM: "5..........."},
    ),
    "light": (
        {SHAKER: "4.3.4.3.4.3.4.3."},
        {HIGH_BONGO: "4..3..4.....3.3.", LOW_BONGO: "........5......."},
        {SHAKER: "4.3.3.4.3.3."},
    ),
}
"""Patterns by groove, of sixteen steps for 4/4 and of twelve for 3/4 and 6/8. Digits are velocities."""
_FEW = frozenset({KICK, HAT, PEDAL, SHAKER, RIDE, LOW_TOM})  # what plays in quiet sections


def drums(
    section: ScoreSection, groove: Groove, meter: Meter, follows: bool, changes: bool, rng: np.random.Generator
) -> list[Note]:
    """Returns the drums of a section.

    Args:
        section: the section.
        groove: pattern of a bar.
        meter: meter of the piece.
        follows: whether a section came before, so that a cymbal marks the start.
        changes: whether a section comes after, so that a fill leads to it.
        rng: decides on ghost notes, variations and fills.
    """
    notes: list[Note] = []
    bars, steps = len(section.bars), meter.steps
    sparse = section.intensity < 0.5
    for bar in range(bars):
        start = section.start + bar * meter.beats
        fill = meter.bar_steps
        if bar == bars - 1 and changes and rng.random() < 0.75:
            fill = meter.bar_steps - int(rng.choice((1, 1, 2))) * steps // (1 if meter.beats > 2 else 2)
        elif bar % 4 == 3 and rng.random() < 0.35:
            fill = meter.bar_steps - steps // 2
        for key, pattern in groove.items():
            if sparse and key not in _FEW and rng.random() < 0.8:
                continue
            for step, mark in enumerate(pattern[: meter.bar_steps]):
                if mark == "." or step >= fill or (int(mark) < 7 and rng.random() < 0.05):
                    continue
                notes.append(Note(start + step / steps, 0.2, key, int(mark) / 10 + rng.normal(0, 0.03)))
        if fill < meter.bar_steps:
            notes += _fill(start, fill, groove, meter, rng)
    if follows and section.intensity > 0.55 and not sparse:
        notes.append(Note(section.start, 2.0, CRASH, 0.5 + 0.35 * section.intensity))
    return notes


def _fill(start: float, first: int, groove: Groove, meter: Meter, rng: np.random.Generator) -> list[Note]:
    """Returns a fill on drums that the groove has, growing to the end of the bar."""
    drums = [k for k in (SNARE, HIGH_TOM, MID_TOM, LOW_TOM) if SNARE in groove or k == LOW_TOM or LOW_TOM in groove]
    if not {SNARE, LOW_TOM} & set(groove):
        return []
    notes = []
    count = meter.bar_steps - first
    for index in range(count):
        if rng.random() < 0.25:
            continue
        drum = drums[min(index * len(drums) // count, len(drums) - 1)]
        notes.append(Note(start + (first + index) / meter.steps, 0.2, drum, 0.5 + 0.35 * index / count))
    return notes
