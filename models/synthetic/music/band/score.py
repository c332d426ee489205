"""A score: what each part plays, in beats, and what is known of each section. A performance makes seconds of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.synthetic.music.band.chords import Chord
from models.synthetic.music.band.styles.base import Layer, Style


@dataclass(frozen=True)
class Meter:
    """A meter: its `name`, the beats of a bar, and the steps (the shortest notes of patterns) of a beat."""

    name: str
    beats: int
    steps: int

    @property
    def bar_steps(self) -> int:
        """Steps of a bar."""
        return self.beats * self.steps


METERS = {m.name: m for m in (Meter("4/4", 4, 4), Meter("3/4", 3, 4), Meter("6/8", 2, 6))}


@dataclass(frozen=True)
class Note:
    """A note of a score.

    Attributes:
        start, length: in beats.
        pitch: MIDI number; for drums the key of General MIDI.
        velocity: loudness, 0..1.
        touch: articulation: `` for ordinary, `legato`, `staccato`, `pedal` or `strum` (a chord rolled upwards).
    """

    start: float
    length: float
    pitch: int
    velocity: float
    touch: str = ""


@dataclass(frozen=True)
class Part:
    """A part: the style and the layer that it comes from, its General MIDI bank and program, and its notes."""

    style: Style
    layer: Layer
    bank: int
    program: int
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class ScoreSection:
    """A section of a score.

    Attributes:
        name: kind of section; sections of one name share their theme.
        style: style of its parts.
        start, beats: its place in beats.
        tempo: beats per minute.
        key, mode: tonic as pitch class, and mode.
        intensity: from 0, still, to 1, all that the band has.
        rising: whether the intensity grows within the section.
        valence, arousal: mood, 0..1 each.
        bars: chords of each bar.
    """

    name: str
    style: Style
    start: float
    beats: float
    tempo: float
    key: int
    mode: str
    intensity: float
    rising: bool
    valence: float
    arousal: float
    bars: tuple[tuple[Chord, ...], ...]

    @property
    def stop(self) -> float:
        """End of the section in beats."""
        return self.start + self.beats


def level(section: ScoreSection, beat: float) -> float:
    """Returns the intensity at a beat of a section; one that rises begins at half."""
    if not section.rising:
        return section.intensity
    return section.intensity * (0.5 + 0.6 * (beat - section.start) / section.beats)


@dataclass(frozen=True)
class TempoMap:
    """Times of beats: `seconds` at each of the rising `beats`, linear between them."""

    beats: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]

    def time(self, beat: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Returns the times in seconds of places in beats."""
        return np.interp(np.asarray(beat, np.float64), self.beats, self.seconds)


@dataclass(frozen=True)
class Score:
    """A score.

    Attributes:
        seed: seed of the piece.
        style: style of the first section.
        meter: meter of the whole piece.
        sections: sections without gaps.
        parts: all parts.
        accents: (beat, strength 0..1) of moments at which the band strikes together.
        tempo_map: times of beats; time 0 is the start of the clip, and the score may begin before it.
        ends: whether the piece comes to an end within the clip.
    """

    seed: int
    style: Style
    meter: Meter
    sections: tuple[ScoreSection, ...]
    parts: tuple[Part, ...]
    accents: tuple[tuple[float, float], ...]
    tempo_map: TempoMap
    ends: bool
