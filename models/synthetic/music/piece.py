"""A composed piece: everything that sounds, and when. It is the truth that a clip's picture and its tests go by."""

from __future__ import annotations

from dataclasses import dataclass

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
BEATS_PER_BAR = 4


@dataclass(frozen=True)
class Note:
    """`onset` and `duration` in seconds, `pitch` as MIDI number (69 is A at 440 Hz), `velocity` in 0..1."""

    onset: float
    duration: float
    pitch: int
    velocity: float
    instrument: str


@dataclass(frozen=True)
class Hit:
    """A stroke of one drum of the piece's kit."""

    onset: float
    drum: str
    velocity: float


@dataclass(frozen=True)
class Accent:
    """A moment that every listener hears: all instruments strike together. `strength` in 0..1."""

    time: float
    strength: float


@dataclass(frozen=True)
class Section:
    """A stretch of the piece; `density` (how many parts play) and `loudness` in 0..1."""

    name: str
    start: float
    stop: float
    density: float
    loudness: float


@dataclass(frozen=True)
class Mood:
    """`warmth`: 0 dark and cold, 1 warm and bright; `energy`: 0 calm, 1 wild; `pole`: -1 or 1 if clearly one."""

    warmth: float
    energy: float
    pole: int


@dataclass(frozen=True)
class Piece:
    """Times are seconds from the start of the clip, in rising order; `key` is a pitch class (0 is C)."""

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
        """The section that sounds at `time`."""
        return next((s for s in reversed(self.sections) if s.start <= time), self.sections[0])
