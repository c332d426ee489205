"""Melodies: motifs that return, phrases of question and answer, and cadences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.synthetic.music.band.chords import Chord, nearest_class, scale_classes
from models.synthetic.music.band.score import Meter, Note, ScoreSection
from models.synthetic.music.band.styles.base import MelodyManner

PHRASE = 4  # bars
_PLANS = ((0, 0, 1), (0, 1, 0), (0, 0, 0), (0, 1, 1), (0, 2, 1))  # motifs of the bars before a cadence


@dataclass(frozen=True)
class Motif:
    """A motif of one bar: (step, length in steps, scale steps above where the bar begins) of each note."""

    notes: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Theme:
    """What a melody is made of: three motifs, and which of them the bars of a phrase take."""

    motifs: tuple[Motif, Motif, Motif]
    plan: tuple[int, int, int]
    height: float  # semitones by which the middle of a phrase lies above its beginning


def theme(meter: Meter, manner: MelodyManner, rng: np.random.Generator) -> Theme:
    """Returns a random theme."""
    first, second, third = (_motif(meter, manner, rng) for _ in range(3))
    plan = _PLANS[int(rng.integers(len(_PLANS)))]
    return Theme((first, second, third), plan, float(rng.uniform(-2, 7)))


def _motif(meter: Meter, manner: MelodyManner, rng: np.random.Generator) -> Motif:
    steps = meter.bar_steps
    grid = np.arange(0, steps, 1 if manner.fine else 2)
    off_beat = (grid % meter.steps) != 0
    odd = (grid % 2) != 0
    weights = np.where(off_beat, 0.12 + manner.syncopation, 1.0) * np.where(odd, 0.35, 1.0)
    weights[0] *= 1.6
    count = int(np.clip(round(manner.density * meter.beats + rng.normal(0, 0.9)), 1, len(grid)))
    onsets = np.sort(rng.choice(grid, count, replace=False, p=weights / weights.sum()))
    stops = [*onsets[1:].tolist(), steps]
    notes, place = [], 0
    for index, (onset, stop) in enumerate(zip(onsets.tolist(), stops, strict=True)):
        if index:
            leap = int(rng.integers(2, 5)) if rng.random() < manner.leaps else 1
            up = rng.random() < 0.5 - 0.12 * place  # a melody that went up comes down
            place += leap if up else -leap
            if rng.random() < 0.12:
                place += -leap if up else leap  # the same tone again
        notes.append((onset, stop - onset, place))
    return Motif(tuple(notes))


def melody(
    section: ScoreSection,
    own: Theme,
    meter: Meter,
    manner: MelodyManner,
    span: tuple[int, int],
    rng: np.random.Generator,
) -> list[Note]:
    """Returns the melody of a section: every four bars are a phrase, questions and answers by turns.

    Args:
        section: its chords, key and intensity.
        own: the theme.
        meter: meter of the piece.
        manner: how melodies of the style move.
        span: lowest and highest pitch.
        rng: decides on variations.
    """
    low, high = span
    middle = (low + high) / 2 - 2
    notes: list[Note] = []
    last_pitch = middle
    bars = len(section.bars)
    for bar, chords in enumerate(section.bars):
        start = section.start + bar * meter.beats
        place = bar % PHRASE
        closes = place == PHRASE - 1 or bar == bars - 1
        motif = own.motifs[own.plan[min(place, 2)]]
        chosen = _ending(motif, meter, rng) if closes else motif.notes
        if not closes and rng.random() < manner.rest:
            chosen = tuple(n for n in chosen if n[0] < 0.6 * meter.bar_steps) or chosen
        anchor = middle + own.height * np.sin(np.pi * (bar % (2 * PHRASE) + 0.5) / (2 * PHRASE))
        anchor = nearest_class(0.6 * anchor + 0.4 * last_pitch, chords[0].classes(section.key), low, high)
        drift = 0 if bar < PHRASE or rng.random() > 0.35 else int(rng.choice((-1, 1)))
        line: list[Note] = []
        for index, (step, length, offset) in enumerate(chosen):
            harmony = chords[min(step * len(chords) // meter.bar_steps, len(chords) - 1)]
            final = closes and index == len(chosen) - 1
            pitch = _pitch(anchor + 1.75 * (offset + drift), step, harmony, section, meter, span)
            if final:
                pitch = _cadence(pitch, harmony, section, bar, bars, span)
            weight = 0.12 if step == 0 else 0.06 if step % meter.steps == 0 else 0.0
            line.append(Note(start + step / meter.steps, length / meter.steps, pitch, 0.6 + weight))
        notes += _with_approaches(line, meter, manner, rng)
        last_pitch = notes[-1].pitch if notes else middle
    return notes


def _ending(motif: Motif, meter: Meter, rng: np.random.Generator) -> tuple[tuple[int, int, int], ...]:
    """Returns the motif's beginning, with a long last note and a rest after it."""
    limit = int(rng.choice((1, 2))) * meter.steps if meter.beats > 2 else meter.steps
    kept = [n for n in motif.notes if n[0] <= limit][:3] or [motif.notes[0]]
    step = kept[-1][0]
    length = max(int((meter.bar_steps - step) * rng.uniform(0.5, 0.9)), 2)
    return (*kept[:-1], (step, length, kept[-1][2]))


def _pitch(target: float, step: int, harmony: Chord, section: ScoreSection, meter: Meter, span: tuple[int, int]) -> int:
    """Returns a tone of the chord on a beat, and of the scale between beats."""
    strong = step % meter.steps == 0
    classes = harmony.classes(section.key) if strong else scale_classes(section.key, section.mode, harmony)
    return nearest_class(target, classes, *span)


def _cadence(pitch: int, harmony: Chord, section: ScoreSection, bar: int, bars: int, span: tuple[int, int]) -> int:
    """Returns the last tone of a phrase: an answer ends on the tonic or third, a question on another tone."""
    tones = harmony.classes(section.key)
    home = {section.key, (section.key + (3 if section.mode == "minor" else 4)) % 12}
    answers = (bar // PHRASE) % 2 == 1 or bar == bars - 1
    wanted = tuple(t for t in tones if (t in home) == answers)
    return nearest_class(pitch, wanted or tones, *span)


def _with_approaches(line: list[Note], meter: Meter, manner: MelodyManner, rng: np.random.Generator) -> list[Note]:
    """Returns a bar whose weak notes sometimes approach the next one by a semitone."""
    for index in range(len(line) - 1):
        weak = round(line[index].start * meter.steps) % meter.steps != 0 and line[index].length <= 1
        if weak and rng.random() < 4 * manner.chromatic:
            side = -1 if rng.random() < 0.7 else 1
            line[index] = replace(line[index], pitch=line[index + 1].pitch + side)
    return line
