"""What is known of a score, in seconds: the truth about a clip, and what its picture is edited to."""

from __future__ import annotations

import numpy as np

from models.synthetic.music.band.arrange import DRUM_BANK
from models.synthetic.music.band.performance import perform
from models.synthetic.music.band.score import Score, ScoreSection, level
from models.synthetic.music.band.styles.instruments import NAMES
from models.synthetic.music.piece import Accent, Mood, Outline, Section


def outline(score: Score, seconds: float) -> Outline:
    """Returns the outline of a score within a clip of some seconds."""
    place = score.tempo_map
    starts = [float(place.time(s.start)) for s in score.sections]
    stops = [*starts[1:], seconds]
    inside = [
        (s, max(start, 0.0), min(stop, seconds))
        for s, start, stop in zip(score.sections, starts, stops, strict=True)
        if stop > 0.05 and start < seconds - 0.05
    ]
    sections = tuple(
        _section(s, 0.0 if i == 0 else start, seconds if i == len(inside) - 1 else stop)
        for i, (s, start, stop) in enumerate(inside)
    )
    total = np.arange(0, score.sections[-1].stop)
    times = place.time(total)
    heard = (times >= 0.03) & (times < seconds - 0.05)
    accents = tuple(
        Accent(time, strength)
        for beat, strength in score.accents
        if 0.05 < (time := float(place.time(beat))) < seconds - 0.3
    )
    first = inside[0][0]
    return Outline(
        seed=score.seed,
        duration=seconds,
        style=first.style.name,
        meter=score.meter.name,
        tempo=first.tempo,
        key=first.key,
        mode=first.mode,
        mood=_mood(sections),
        sections=sections,
        beats=tuple(times[heard].tolist()),
        downbeats=tuple(times[heard & (total % score.meter.beats == 0)].tolist()),
        accents=accents,
        instruments=tuple(
            sorted(
                {"drums" if p.part.bank == DRUM_BANK else NAMES[p.part.program] for p in perform(score, 0.0, seconds)}
            )
        ),
        intensity=_intensity(score, seconds),
    )


def _section(section: ScoreSection, start: float, stop: float) -> Section:
    return Section(
        section.name,
        start,
        stop,
        section.intensity,
        round(0.6 + 0.4 * section.intensity, 4),
        section.style.name,
        section.tempo,
        section.key,
        section.mode,
        section.valence,
        section.arousal,
    )


def _mood(sections: tuple[Section, ...]) -> Mood:
    """Returns the mood of the whole: the mean of its sections, by their length."""
    lengths = np.array([s.stop - s.start for s in sections])
    valence, arousal = (
        float(np.average([getattr(s, name) for s in sections], weights=lengths)) for name in ("valence", "arousal")
    )
    warmth = float(np.clip(0.5 + 1.25 * (valence - 0.48), 0, 1))
    label = -1 if warmth < 0.25 and arousal < 0.5 else 1 if warmth > 0.75 and arousal > 0.5 else 0
    return Mood(round(warmth, 4), round(arousal, 4), label)


def _intensity(score: Score, seconds: float) -> tuple[float, ...]:
    """Returns the intensity in the middle of each second; after an end it fades."""
    times = np.arange(int(np.ceil(seconds))) + 0.5
    beats = np.interp(times, score.tempo_map.seconds, score.tempo_map.beats)
    values = []
    for beat in beats:
        section = next((s for s in reversed(score.sections) if s.start <= beat), score.sections[0])
        now = level(section, min(max(beat, section.start), section.stop))
        values.append(round(float(now * (np.exp(-(beat - section.stop) / 3) if beat > section.stop else 1.0)), 4))
    return tuple(values)
