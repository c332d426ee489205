"""What is known of a piece of music: the truth that pictures are edited to and that measures are tested with."""

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
        style: style of the section.
        tempo: beats per minute.
        key, mode: tonic as pitch class, and mode.
        valence, arousal: mood, 0..1 each.
    """

    name: str
    start: float
    stop: float
    density: float
    loudness: float
    style: str
    tempo: float
    key: int
    mode: str
    valence: float
    arousal: float

    @property
    def mood(self) -> str:
        """The mood in a word."""
        if abs(self.valence - 0.5) < 0.12 and abs(self.arousal - 0.5) < 0.12:
            return "neutral"
        if self.arousal >= 0.5:
            return "happy" if self.valence >= 0.5 else "tense"
        return "calm" if self.valence >= 0.5 else "sad"


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
class Outline:
    """What is known of a piece of music, whoever plays it. All times are seconds from the start, in rising order.

    Attributes:
        seed: seed of the piece.
        duration: duration in seconds.
        style: name of the style of its first section.
        meter: its meter, such as `4/4`.
        tempo: beats per minute at the start.
        key: pitch class of the tonic at the start, 0 for C.
        mode: `major` or `minor`.
        mood: the mood of the whole.
        sections: sections without gaps.
        beats, downbeats: times of all beats, and of the first beats of bars.
        accents: accents.
        instruments: names of the instruments that play, in alphabetical order.
        intensity: intensity in the middle of each second, 0..1.
    """

    seed: int
    duration: float
    style: str
    meter: str
    tempo: float
    key: int
    mode: str
    mood: Mood
    sections: tuple[Section, ...]
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]
    accents: tuple[Accent, ...]
    instruments: tuple[str, ...]
    intensity: tuple[float, ...]

    def section_at(self, time: float) -> Section:
        """Returns the section at a time."""
        return next((s for s in reversed(self.sections) if s.start <= time), self.sections[0])

    def per_second(self, name: str) -> list[float]:
        """Returns `valence` or `arousal` in the middle of each second; at section starts it glides."""
        times = [second + 0.5 for second in range(len(self.intensity))]
        around = [[getattr(self.section_at(max(t + d, 0.0)), name) for d in (-0.75, 0.0, 0.75)] for t in times]
        return [round(sum(values) / 3, 4) for values in around]


@dataclass(frozen=True)
class Piece(Outline):
    """A piece of music for oscillators.

    Attributes:
        kit: name of the drum kit.
        notes: notes of all instruments.
        hits: strokes of all drums.
    """

    kit: str
    notes: tuple[Note, ...]
    hits: tuple[Hit, ...]
