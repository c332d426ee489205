"""A composed piece of music. It is the truth that the picture of a clip and the tests of measures are based on."""

from __future__ import annotations

from dataclasses import dataclass

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
BEATS_PER_BAR = 4


@dataclass(frozen=True)
class Note:
    """A note.

    Attributes:
        onset, duration: times in seconds.
        pitch: MIDI number; 69 is A at 440 Hz.
        velocity: loudness, 0..1.
        instrument: name of the instrument.
    """

    onset: float
    duration: float
    pitch: int
    velocity: float
    instrument: str


@dataclass(frozen=True)
class Hit:
    """A stroke of a drum of the piece's kit, at `onset` seconds, with a `velocity` of 0..1."""

    onset: float
    drum: str
    velocity: float


@dataclass(frozen=True)
class Accent:
    """A moment, `time` seconds, at which all instruments strike together, with a `strength` of 0..1."""

    time: float
    strength: float


@dataclass(frozen=True)
class Section:
    """A section of the piece.

    Attributes:
        name: kind of section.
        start, stop: times in seconds.
        density: how many parts play, 0..1.
        loudness: loudness, 0..1.
    """

    name: str
    start: float
    stop: float
    density: float
    loudness: float


@dataclass(frozen=True)
class Mood:
    """The mood of a piece.

    Attributes:
        warmth: from 0, dark and cold, to 1, warm and bright.
        energy: from 0, calm, to 1, wild.
        label: -1 if the mood is clearly dark and cold, 1 if it is clearly warm and bright, 0 between.
    """

    warmth: float
    energy: float
    label: int


@dataclass(frozen=True)
class Piece:
    """A piece of music. All times are seconds from the start of the clip, in rising order.

    Attributes:
        seed: seed of the piece.
        duration: duration in seconds.
        style: name of the style.
        kit: name of the drum kit.
        tempo: beats per minute.
        key: pitch class of the tonic, 0 for C.
        mode: `major` or `minor`.
        mood: the mood.
        sections: sections without gaps.
        beats, downbeats: times of all beats, and of the first beats of bars.
        accents: accents.
        notes: notes of all instruments.
        hits: strokes of all drums.
    """

    seed: int
    duration: float
    style: str
    kit: str
    tempo: float
    key: int
    mode: str
    mood: Mood
    sections: tuple[Section, ...]
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]
    accents: tuple[Accent, ...]
    notes: tuple[Note, ...]
    hits: tuple[Hit, ...]

    def section_at(self, time: float) -> Section:
        """Returns the section at a time."""
        return next((s for s in reversed(self.sections) if s.start <= time), self.sections[0])
