"""The form of a piece: style, meter, tempo and key, and sections that contrast, with their chords and moods."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.synthetic.music.band.chords import Chord, dominant, progression, tonic
from models.synthetic.music.band.score import METERS, Meter, ScoreSection, TempoMap
from models.synthetic.music.band.styles import STYLES
from models.synthetic.music.band.styles.base import Style
from models.synthetic.rng import stream

# Name, relative intensity, and whether it grows.
_FORMS: tuple[tuple[tuple[str, float, bool], ...], ...] = (
    (("intro", 0.1, False), ("a", 0.5, False), ("b", 0.9, False)),
    (("a", 0.45, False), ("b", 0.85, False), ("a", 0.55, False)),
    (("a", 0.35, False), ("a", 0.65, False), ("b", 1.0, False)),
    (("b", 0.9, False), ("break", 0.15, False), ("b", 1.0, False)),
    (("build", 0.6, True), ("b", 1.0, False), ("break", 0.2, False)),
    (("a", 0.6, False), ("break", 0.2, True), ("b", 0.85, False)),
    (("b", 0.75, False), ("a", 0.3, False), ("c", 0.95, False)),
    (("a", 0.25, False), ("c", 0.5, False), ("a", 0.3, False)),
    (("intro", 0.15, True), ("b", 0.8, False), ("a", 0.5, False), ("b", 1.0, False)),
)
_RING = (2.2, 3.8)  # seconds that the last chord rings
EARLIEST = 2.0  # seconds before the clip at which notes may begin


@dataclass(frozen=True)
class Form:
    """The form of a piece; see `models.synthetic.music.band.score.Score`."""

    style: Style
    meter: Meter
    sections: tuple[ScoreSection, ...]
    tempo_map: TempoMap
    ends: bool


def style_of(seed: int) -> Style:
    """Returns the style of a seed. Every sixteen seeds that begin at a multiple of sixteen have all sixteen styles."""
    names = list(STYLES)
    order = stream(seed // len(names), "styles").permutation(len(names))
    return STYLES[names[int(order[seed % len(names)])]]


def form(seed: int, seconds: float) -> Form:
    """Returns the form of a seed's piece for a clip of some seconds. It may begin and end outside the clip."""
    rng = stream(seed, "form")
    style = style_of(seed)
    meter = METERS[style.meters[int(rng.integers(len(style.meters)))]]
    tempo = float(np.exp(rng.uniform(*np.log(style.tempo))))
    if meter.name == "6/8":
        tempo = max(0.62 * tempo, 50.0)  # of dotted quarters
    tempo = round(tempo, 1)
    beat = 60.0 / tempo
    bar = meter.beats * beat
    begins = rng.random() < 0.3
    first = float(rng.uniform(0.12, 0.6)) if begins else -float(rng.uniform(0.0, min(2 * bar, 4.0)))
    ends = bool(rng.random() < 0.25)
    until = seconds - float(rng.uniform(*_RING)) - bar * 0.25 if ends else seconds + bar
    bars = max(int((until - first) / bar), 2)
    sections = _sections(style, meter, tempo, bars, ends, rng)
    return Form(style, meter, sections, _tempo_map(sections, meter, first, ends, rng), ends)


def _sections(
    style: Style, meter: Meter, tempo: float, bars: int, ends: bool, rng: np.random.Generator
) -> tuple[ScoreSection, ...]:
    """Returns sections of four or eight bars that fill a number of bars; the last one takes what is left."""
    plan = _FORMS[int(rng.integers(len(_FORMS)))]
    mode = "minor" if rng.random() < style.minor else "major"
    key = int(rng.integers(12))
    bar_seconds = meter.beats * 60 / tempo
    length = 8 if bar_seconds < 1.4 else 4
    chords: dict[str, tuple[tuple[Chord, ...], ...]] = {}
    sections: list[ScoreSection] = []
    start = 0
    while start < bars:
        name, level, rising = plan[len(sections) % len(plan)]
        count = length if rng.random() < 0.8 or length == 4 else 4
        if bars - start - count < 2:
            count = bars - start
        place = len(sections)
        if place and rng.random() < 0.14:
            key = (key + int(rng.choice((1, 2, 3, 5, 7)))) % 12
        if name == "c" and rng.random() < 0.4:
            mode = "major" if mode == "minor" else "minor"
        if place and rng.random() < 0.10:
            tempo = round(float(np.clip(tempo * rng.choice((0.75, 0.85, 1.15, 1.3)), 50, 180)), 1)
        if place and rng.random() < 0.08:
            style = _other_style(style, meter, tempo, rng)
        theme = "a" if name in ("intro", "break", "build") else name
        if theme + mode not in chords:
            chords[theme + mode] = progression(style.harmony, mode, rng)
        low, high = style.intensity
        intensity = round(float(np.clip(low + (high - low) * (level + rng.normal(0, 0.06)), 0.05, 1.0)), 3)
        sections.append(
            ScoreSection(
                name,
                style,
                float(start * meter.beats),
                float(count * meter.beats),
                tempo,
                key,
                mode,
                intensity,
                rising,
                *_mood(style, mode, tempo, meter, intensity, rng),
                _bars(chords[theme + mode], count, style, mode, start + count < bars, rng),
            )
        )
        start += count
    if ends:
        last = sections[-1]
        sections[-1] = replace(last, bars=(*last.bars[:-1], (tonic(last.mode),)))
    return tuple(sections)


def _bars(
    chords: tuple[tuple[Chord, ...], ...], count: int, style: Style, mode: str, leads_on: bool, rng: np.random.Generator
) -> tuple[tuple[Chord, ...], ...]:
    """Returns the chords of each bar: the progression again and again, and a dominant where another section follows."""
    stretch = style.chord_bars[int(rng.integers(len(style.chord_bars)))]
    bars = [chords[(i // stretch) % len(chords)] for i in range(count)]
    if leads_on and rng.random() < 0.7:
        lead = dominant(style.harmony, mode, rng)
        bars[-1] = (bars[-1][0], lead) if rng.random() < 0.5 else (lead,)
    return tuple(bars)


def _mood(
    style: Style, mode: str, tempo: float, meter: Meter, intensity: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Returns valence and arousal of a section, 0..1 each."""
    pace = np.clip(np.log2(tempo * (1.5 if meter.name == "6/8" else 1.0) / 50) / np.log2(180 / 50), 0, 1)
    valence = 0.5 * style.valence + (0.34 if mode == "major" else 0.06) + 0.16 * pace
    arousal = 0.3 * style.arousal + 0.45 * intensity + 0.25 * pace
    jitter = rng.normal(0, 0.03, 2)
    return tuple(round(float(np.clip(v + j, 0, 1)), 3) for v, j in zip((valence, arousal), jitter, strict=True))  # type: ignore[return-value]


def _other_style(style: Style, meter: Meter, tempo: float, rng: np.random.Generator) -> Style:
    """Returns another style that has the meter and nearly the tempo, or the same one if there is none."""
    felt = tempo / (0.62 if meter.name == "6/8" else 1.0)
    others = [
        s
        for s in STYLES.values()
        if s.name != style.name and meter.name in s.meters and 0.9 * s.tempo[0] <= felt <= 1.1 * s.tempo[1]
    ]
    return others[int(rng.integers(len(others)))] if others else style


def _tempo_map(
    sections: tuple[ScoreSection, ...], meter: Meter, first: float, ends: bool, rng: np.random.Generator
) -> TempoMap:
    """Returns the times of half beats: with rubato where the style has it, and slowing down to an end."""
    total = sections[-1].stop
    beats = np.arange(0, 2 * total + 1) / 2
    place = np.zeros(len(beats), int)
    for index, section in enumerate(sections):
        place[beats >= section.start] = index
    tempo = np.array([s.tempo for s in sections])[place]
    rubato = np.array([s.style.rubato for s in sections])[place]
    phrase = 4 * meter.beats
    wander = np.convolve(rng.normal(0, 1, len(beats) + 8), np.ones(9) / 3, "valid")
    factor = 1 + rubato * (0.8 * np.sin(2 * np.pi * (beats % phrase) / phrase) + 0.6 * wander)
    if ends and sections[-1].style.loose > 5:
        left = (total - meter.beats - beats) / meter.beats  # bars before the last one
        factor *= np.where(left < 1, 1 - float(rng.uniform(0.05, 0.3)) * np.clip(1 - left, 0, 1), 1.0)
    durations = 0.5 * 60 / (tempo * factor)
    seconds = first + np.concatenate([[0.0], np.cumsum(durations[:-1])])
    more = 16.0  # beats after the end, so that no time lies outside
    return TempoMap(np.append(beats, total + more), np.append(seconds, seconds[-1] + more * 2 * durations[-1]))
