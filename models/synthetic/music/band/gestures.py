"""What happens at certain moments of a piece: accents, hits on them, swells before sections, stops, and the ending."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.synthetic.music.band.chords import nearest_class, voicing
from models.synthetic.music.band.form import Form
from models.synthetic.music.band.grooves import CRASH, KICK
from models.synthetic.music.band.score import Note, ScoreSection, level
from models.synthetic.music.band.styles.base import Layer, Style
from models.synthetic.music.band.styles.instruments import NAMES
from models.synthetic.music.band.textures import Frame
from models.synthetic.rng import stream

_REVERSE_CYMBAL, _TIMPANI = NAMES.index("reverse cymbal"), NAMES.index("timpani")


@dataclass(frozen=True)
class Player:
    """A layer with its part in the piece."""

    style: Style
    layer: Layer
    bank: int
    program: int


def accents_of(plan: Form, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Returns accents on section starts and on some other places of the bars, at least a second apart."""
    found: dict[float, float] = {}
    for place, section in enumerate(plan.sections):
        louder = place == 0 or section.intensity >= plan.sections[place - 1].intensity - 0.1
        if place and louder:
            found[section.start] = 1.0
        elif place and rng.random() < 0.4:
            found[section.start] = 0.7
        for bar in range(len(section.bars)):
            if rng.random() < 0.15 + 0.35 * level(section, section.start + bar * plan.meter.beats):
                steps = plan.meter.steps
                choices = (0.0, 0.0, plan.meter.beats // 2, -0.5 if steps == 4 else -2 / 6)
                beat = section.start + bar * plan.meter.beats + float(choices[int(rng.integers(4))])
                if beat > 0:
                    found.setdefault(beat, round(float(rng.uniform(0.5, 0.9)), 3))
    kept: list[tuple[float, float]] = []
    for beat, strength in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        time = plan.tempo_map.time(beat)
        if all(abs(float(plan.tempo_map.time(other) - time)) >= 1.0 for other, _ in kept):
            kept.append((beat, strength))
    return tuple(sorted(kept))


def accented(notes: list[Note], accents: tuple[tuple[float, float], ...], player: Player) -> list[Note]:
    """Returns notes that are louder on accents; drums have kick and cymbal there."""
    times = np.array([beat for beat, _ in accents])
    strengths = np.array([strength for _, strength in accents])
    if not len(times):
        return notes
    shaped = []
    for note in notes:
        near = np.abs(times - note.start) < 0.02
        if near.any():
            note = replace(note, velocity=min(note.velocity * (1 + 0.4 * float(strengths[near].max())), 1.0))
        shaped.append(note)
    if player.layer.kind == "drums" and any(n.pitch == KICK for n in notes):
        first, last = min(n.start for n in notes), max(n.start for n in notes)
        for beat, strength in accents:
            if first <= beat <= last and strength > 0.7:
                have = {n.pitch for n in notes if abs(n.start - beat) < 0.02}
                shaped += [Note(beat, 0.5, key, 0.75 * strength) for key in (KICK, CRASH) if key not in have]
    return shaped


def hits(frame: Frame, layer: Layer, accents: tuple[tuple[float, float], ...]) -> list[Note]:
    """Returns short chords on the accents of a section."""
    section = frame.section
    notes: list[Note] = []
    for beat, strength in accents:
        if section.start <= beat < section.stop:
            chord = frame.span_at(beat + 0.51 if beat % 1 else beat).chord
            pitches = voicing(chord, section.key, None, *layer.span, 4, True)
            notes += [Note(beat, 0.5, p, 0.5 + 0.4 * strength, "staccato") for p in pitches]
    return notes


def rise(frame: Frame, player: Player, after: ScoreSection | None, rng: np.random.Generator) -> list[Note]:
    """Returns a swell into the next section, if that is more intense."""
    section = frame.section
    if after is None or after.intensity < section.intensity + 0.1:
        return []
    if player.program == _REVERSE_CYMBAL:
        return [Note(section.stop - 2.0, 2.0, 60, 0.9)]
    length = float(min(frame.meter.beats, section.beats))
    root = nearest_class(player.layer.span[0] + 5, (frame.spans[-1].chord.classes(section.key)[0],), *player.layer.span)
    each = 0.125 if player.program == _TIMPANI else 0.5
    count = round(length / each)
    return [
        Note(section.stop - length + i * each, each * 1.1, root, 0.15 + 0.65 * (i / count) ** 1.5) for i in range(count)
    ]


def stopped(notes: list[Note], plan: Form, seed: int) -> list[Note]:
    """Returns notes with a beat of silence before some sections; swells go through it."""
    rng = stream(seed, "stops")
    for section in plan.sections[1:]:
        if rng.random() < 0.22:
            length = float(rng.choice((0.5, 1.0)))
            begin = section.start - length
            notes = [
                replace(n, length=min(n.length, begin - n.start)) if n.start < begin < n.start + n.length else n
                for n in notes
                if not begin - 1e-6 <= n.start < section.start - 1e-6
            ]
    return notes


def ended(notes: list[Note], player: Player, plan: Form) -> list[Note]:
    """Returns a part whose last bar is one held chord, or a last stroke."""
    last = plan.sections[-1]
    if player.style is not last.style or player.layer.kind in ("rise", "hits"):
        return notes
    begin = last.stop - plan.meter.beats
    kept = [replace(n, length=min(n.length, max(begin - n.start, 0.1))) for n in notes if n.start < begin]
    low, high = player.layer.level
    if not low <= level(last, begin) < high or not kept:
        return kept
    held, loud = 1.2 * plan.meter.beats + 1.0, 0.45 + 0.35 * last.intensity
    if player.layer.kind == "drums":
        return kept + [Note(begin, 1.0, key, loud) for key in (KICK, CRASH)]
    chord = last.bars[-1][0].classes(last.key)
    if player.layer.kind in ("pad", "comp", "arpeggio"):
        pitches = voicing(
            last.bars[-1][0], last.key, None, *player.layer.span, min(player.layer.voices, 4), player.layer.wide
        )
    else:
        near = kept[-1].pitch
        wanted = (chord[0],) if player.layer.kind in ("bass", "walk", "lead", "drone") else chord
        pitches = (nearest_class(near, wanted, *player.layer.span),)
    touch = "strum" if player.layer.touch == "strum" else "legato"
    return kept + [Note(begin, held, p, loud, touch) for p in pitches]
