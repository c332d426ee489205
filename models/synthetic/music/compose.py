"""Composing a piece from a seed: first its mood, then tempo, key, style and form, then every note."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.synthetic.music import parts
from models.synthetic.music.harmony import Chord, progression, voiced
from models.synthetic.music.piece import BEATS_PER_BAR, Accent, Hit, Mood, Note, Piece, Section
from models.synthetic.music.styles import STEPS, STYLES, Style
from models.synthetic.rng import stream

# Density and loudness by name.
_SECTIONS = {"intro": (0.4, 0.7), "a": (0.65, 0.85), "b": (1.0, 1.0), "break": (0.35, 0.65)}
_FORMS = (
    ("intro", "a", "b"),
    ("a", "b"),
    ("b", "break"),
    ("a", "break", "b"),
    ("intro", "b", "a"),
    ("b", "a", "break"),
)


def compose(seed: int, seconds: float) -> Piece:
    """Returns the piece of a seed. It begins anywhere in a bar, as if it were cut out of a longer piece.

    Args:
        seed: any whole number that is not negative.
        seconds: duration of the clip.
    """
    rng = stream(seed, "piece")
    mood = _mood(rng)
    tempo, mode = _tempo(mood, rng), _mode(mood, rng)
    key = int(rng.integers(12))
    style = _style(mood, tempo, rng)
    beat = 60.0 / tempo
    bar = BEATS_PER_BAR * beat
    first = float(rng.uniform(0.06, 0.06 + bar)) - bar  # start of the bar that the clip begins in
    bars = int(np.ceil((seconds - first) / bar))
    sections = _sections(first, bar, seconds, rng)
    beats = tuple(t for i in range(bars * BEATS_PER_BAR) if 0.03 <= (t := first + i * beat) < seconds - 0.05)
    downbeats = tuple(t for i in range(bars) if 0.03 <= (t := first + i * bar) < seconds - 0.05)
    accents = _accents(first, beat, sections, seconds, rng)
    choices = parts.choose(style, key, mode, rng)
    chords, two_per_bar = progression(mode, rng), tempo < 84 and rng.random() < 0.6
    notes: list[Note] = []
    hits: list[Hit] = []
    for index in range(bars):
        start = first + index * bar
        section = next((s for s in reversed(sections) if s.start <= start + bar / 2), sections[0])
        this_bar = parts.Bar(start, beat / 4, _bar_chords(chords, index, two_per_bar), section.loudness)
        is_last = start + bar > section.stop - beat / 2
        notes += parts.arpeggio(this_bar, choices) + parts.chords(this_bar, choices)
        if section.name != "break":
            notes += parts.bass(this_bar, choices)
        if section.density > 0.6:
            notes += parts.melody(this_bar, choices, index)
        hits += parts.drums(this_bar, choices.groove, section.density, fill=is_last and rng.random() < 0.7)
    for accent in accents:
        index = int((accent.time - first + 1e-6) // bar)
        step = round((accent.time - first - index * bar) / (beat / 4))
        chord = parts.Bar(0.0, 1.0, _bar_chords(chords, index, two_per_bar), 1.0).chord_at(min(step, STEPS - 1))
        notes += _stab(accent, chord, key, style, beat)
        hits += [Hit(accent.time, drum, accent.strength) for drum in ("boom", "crash")]
    sections = tuple(_described(s, style.name, tempo, key, mode, mood) for s in sections)
    played = sorted(_inside(notes, seconds), key=lambda n: (n.onset, n.instrument, n.pitch))
    strokes = sorted((h for h in hits if 0.02 <= h.onset < seconds - 0.1), key=lambda h: (h.onset, h.drum))
    return Piece(
        seed=seed,
        duration=seconds,
        style=style.name,
        meter="4/4",
        tempo=tempo,
        key=key,
        mode=mode,
        mood=mood,
        sections=sections,
        beats=beats,
        downbeats=downbeats,
        accents=accents,
        instruments=tuple(
            sorted({n.instrument.removeprefix("stab:") for n in played} | ({"drums"} if hits else set()))
        ),
        intensity=_intensity(sections, mood, seconds),
        kit=style.kit,
        notes=tuple(played),
        hits=tuple(strokes),
    )


def _mood(rng: np.random.Generator) -> Mood:
    """Returns a mood: a quarter are clearly cold, a quarter clearly warm; warmth and energy are loosely related."""
    label = int(rng.choice((-1, 0, 0, 1)))
    if label:
        cold = float(rng.uniform(0.0, 0.15)), float(rng.uniform(0.05, 0.3))
        return Mood(*(cold if label < 0 else (1.0 - cold[0], 1.05 - cold[1])), label)
    warmth = float(rng.uniform(0.2, 0.8))
    return Mood(warmth, float(np.clip(0.5 + 0.6 * (warmth - 0.5) + rng.normal(0, 0.17), 0.15, 0.9)), 0)


def _tempo(mood: Mood, rng: np.random.Generator) -> float:
    """Returns beats per minute, rounded to tenths."""
    low, high = {-1: (60, 94), 0: (72, 144), 1: (112, 160)}[mood.label]
    place = mood.energy if mood.label == 0 else float(rng.random())
    return round(float(np.clip(low + (high - low) * place + rng.normal(0, 6) * (mood.label == 0), low, high)), 1)


def _mode(mood: Mood, rng: np.random.Generator) -> str:
    if mood.label:
        return "major" if mood.label > 0 else "minor"
    return "major" if rng.random() < 0.5 + 1.3 * (mood.warmth - 0.5) else "minor"


def _style(mood: Mood, tempo: float, rng: np.random.Generator) -> Style:
    styles = tuple(STYLES.values())
    fit = np.array([s.fit[mood.label + 1] * (tempo <= s.fastest) for s in styles])
    return styles[int(rng.choice(len(styles), p=fit / fit.sum()))]


def _sections(first: float, bar: float, seconds: float, rng: np.random.Generator) -> tuple[Section, ...]:
    """Returns a form that is repeated to the end, in sections of two or four bars, at least about 5 s long."""
    form = _FORMS[int(rng.integers(len(_FORMS)))]
    start, sections = first, list[Section]()
    while start < seconds:
        length = bar * (2 if bar > 2.3 else int(rng.choice((2, 4, 4))))
        name = form[len(sections) % len(form)]
        stop = start + length
        if seconds - stop < bar:  # the last section takes an incomplete bar too
            stop = max(stop, seconds)
        sections.append(Section(name, start, stop, *_SECTIONS[name], "", 0.0, 0, "", 0.0, 0.0))
        start = stop
    sections[-1] = replace(sections[-1], stop=seconds)
    sections[0] = replace(sections[0], start=0.0)
    return tuple(sections)


def _described(section: Section, style: str, tempo: float, key: int, mode: str, mood: Mood) -> Section:
    """Returns a section with style, tempo, key and mood."""
    arousal = round(mood.energy * (0.4 + 0.6 * section.density * section.loudness), 4)
    return replace(
        section, style=style, tempo=tempo, key=key, mode=mode, valence=round(mood.warmth, 4), arousal=arousal
    )


def _intensity(sections: tuple[Section, ...], mood: Mood, seconds: float) -> tuple[float, ...]:
    """Returns the intensity of each second."""
    times = [second + 0.5 for second in range(int(np.ceil(seconds)))]
    now = [next((s for s in reversed(sections) if s.start <= t), sections[0]) for t in times]
    return tuple(round((0.4 + 0.6 * mood.energy) * s.density * s.loudness, 4) for s in now)


def _accents(
    first: float, beat: float, sections: tuple[Section, ...], seconds: float, rng: np.random.Generator
) -> tuple[Accent, ...]:
    """Returns accents on section starts, and others so that one comes every 1.5 to 4 s, mostly on downbeats."""
    starts = [s.start for s in sections[1:] if s.start < seconds - 0.6]
    times, now = list[float](), float(rng.uniform(-1.2, 0.5))
    while True:
        target = next((s for s in starts if s > now + 0.1), seconds + 9)
        now += float(rng.uniform(1.5, 3.8))
        if now > target - 1.3:
            now = target
            if now > seconds:
                break
            times.append(now)
            continue
        eighth = round((now - first) / (beat / 2))
        near = range(eighth - 3, eighth + 4)
        weights = np.array([(6.0 if e % 8 == 0 else 2.0 if e % 2 == 0 else 0.45) for e in near])
        now = first + int(rng.choice(np.array(near), p=weights / weights.sum())) * beat / 2
        if (times and now < times[-1] + 1.2) or now > target - 1.2 or now < 0.25:
            now = times[-1] if times else now
            continue
        if now > seconds - 0.6:
            break
        times.append(now)
    section_starts = {round(s, 6) for s in starts}
    return tuple(
        Accent(t, 1.0 if round(t, 6) in section_starts else round(float(rng.uniform(0.75, 0.95)), 3)) for t in times
    )


def _bar_chords(chords: tuple[Chord, ...], index: int, two_per_bar: bool) -> tuple[Chord, ...]:
    """Returns the one or two chords of a bar."""
    if two_per_bar:
        return chords[2 * index % 4], chords[(2 * index + 1) % 4]
    return (chords[index % 4],)


def _stab(accent: Accent, chord: Chord, key: int, style: Style, beat: float) -> list[Note]:
    """Returns the notes of an accent: its chord in several octaves at once."""
    pitches = voiced(chord, key, 48) + voiced(chord, key, 60) + [voiced(chord, key, 60)[0] + 12]
    return [Note(accent.time, min(beat, 0.6), p, accent.strength, "stab:" + style.stab) for p in pitches]


def _inside(notes: list[Note], seconds: float) -> list[Note]:
    """Returns the notes within the clip; long notes that began before it are moved to its start."""
    kept = []
    for note in notes:
        stop = note.onset + note.duration
        if note.onset < 0.02:
            if stop < 0.3 or note.duration < 0.5:
                continue
            note = replace(note, onset=0.02, duration=stop - 0.02)
        if note.onset < seconds - 0.15:
            kept.append(replace(note, duration=min(note.duration, seconds - 0.05 - note.onset)))
    return kept
