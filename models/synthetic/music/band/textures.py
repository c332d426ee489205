"""What the players beside the melody play: chords, arpeggios, bass lines, voices, pedals and swells.

Each function takes a section and a layer and returns notes. Rhythms are patterns of one character
a step: `.` is a rest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from models.synthetic.music.band.chords import Chord, nearest_class, scale_classes, voicing
from models.synthetic.music.band.score import Meter, Note, ScoreSection
from models.synthetic.music.band.styles.base import Layer

FOUR_PARTS = (43, 76)  # lowest bass and highest soprano of four voices


@dataclass(frozen=True)
class Span:
    """A chord and where it sounds, in beats; `following` is the chord after it."""

    start: float
    length: float
    chord: Chord
    following: Chord


@dataclass(frozen=True)
class Frame:
    """What all layers of a section share."""

    section: ScoreSection
    meter: Meter
    merged: bool = False

    @functools.cached_property
    def spans(self) -> tuple[Span, ...]:
        """The chords of the section, one after another."""
        places: list[tuple[float, float, Chord]] = []
        for bar, chords in enumerate(self.section.bars):
            length = self.meter.beats / len(chords)
            for index, harmony in enumerate(chords):
                places.append((self.section.start + bar * self.meter.beats + index * length, length, harmony))
        after = [*(p[2] for p in places[1:]), places[0][2]]
        return tuple(Span(*place, following) for place, following in zip(places, after, strict=True))

    def span_at(self, beat: float) -> Span:
        """Returns the chord at a beat."""
        return next((s for s in reversed(self.spans) if s.start <= beat + 1e-9), self.spans[0])

    def voicings(self, low: int, high: int, voices: int, wide: bool) -> dict[float, tuple[int, ...]]:
        """Returns the voicing of each span, by its start."""
        before: tuple[int, ...] | None = None
        found = {}
        for span in self.spans:
            before = voicing(span.chord, self.section.key, before, low, high, voices, wide)
            found[span.start] = before
        return found

    def strokes(self, pattern: str) -> Iterator[tuple[float, float, str, int]]:
        """Yields start and length in beats, mark and bar of every stroke of a pattern, bar after bar."""
        steps = self.meter.steps
        for bar in range(len(self.section.bars)):
            start = self.section.start + bar * self.meter.beats
            for step, mark in enumerate(pattern):
                if mark != ".":
                    stop = next((i for i in range(step + 1, len(pattern)) if pattern[i] != "."), len(pattern))
                    yield start + step / steps, (stop - step) / steps, mark, bar


Texture = Callable[[Frame, Layer, str, np.random.Generator], list[Note]]


def pad(frame: Frame, layer: Layer, pattern: str, rng: np.random.Generator) -> list[Note]:
    """Returns chords that are held as long as they last."""
    voices = frame.voicings(*layer.span, layer.voices, layer.wide)
    notes: list[Note] = []
    for span in frame.spans:
        notes += [Note(span.start, span.length, p, 0.55, layer.touch or "legato") for p in voices[span.start]]
    return notes


def comp(frame: Frame, layer: Layer, pattern: str, rng: np.random.Generator) -> list[Note]:
    """Returns chords in a rhythm; now and then a stroke is left out or anticipated."""
    voices = frame.voicings(*layer.span, layer.voices, layer.wide)
    notes: list[Note] = []
    for start, length, mark, _ in frame.strokes(pattern):
        if rng.random() < 0.06:
            continue
        pitches = voices[frame.span_at(start).start]
        notes += [Note(start, length, p, int(mark) / 11, layer.touch) for p in pitches]
    return notes


def arpeggio(frame: Frame, layer: Layer, pattern: str, rng: np.random.Generator) -> list[Note]:
    """Returns tones of the chords one after another: the pattern's digits count from the lowest."""
    voices = frame.voicings(*layer.span, layer.voices, layer.wide)
    notes = []
    for start, length, mark, _ in frame.strokes(pattern):
        span = frame.span_at(start)
        octave, index = divmod(int(mark), layer.voices)
        pitches = voices[span.start]
        pitch = pitches[min(index, len(pitches) - 1)] + 12 * octave
        held = max(span.start + span.length - start, length) if layer.touch == "pedal" else length
        accent = 0.12 if abs(start - span.start) < 1e-6 else 0.0
        notes.append(Note(start, held, pitch, 0.5 + accent, layer.touch))
    return notes


def bass(frame: Frame, layer: Layer, pattern: str, rng: np.random.Generator) -> list[Note]:
    """Returns a bass line: r root, f fifth, o octave, t third, a approach to the next root by a semitone, s scale."""
    low, high = layer.span
    notes: list[Note] = []
    for start, length, mark, _ in frame.strokes(pattern):
        span = frame.span_at(start)
        classes = span.chord.classes(frame.section.key)
        root = nearest_class(low + 5, (classes[0],), low, low + 11)
        if mark.lower() == "a":
            following = nearest_class(low + 5, (span.following.classes(frame.section.key)[0],), low, low + 11)
            pitch = following + (1 if rng.random() < 0.35 else -1)
        elif mark.lower() == "s":
            pitch = nearest_class(root + 3, scale_classes(frame.section.key, frame.section.mode, span.chord), low, high)
        else:
            pitch = (
                root
                + {"r": 0, "f": (classes[2] - classes[0]) % 12, "o": 12, "t": (classes[1] - classes[0]) % 12}[
                    mark.lower()
                ]
            )
        if pitch > high:
            pitch -= 12
        notes.append(Note(start, length, pitch, 0.75 if mark.isupper() else 0.6, layer.touch))
    return notes


def walk(frame: Frame, layer: Layer, pattern: str, rng: np.random.Generator) -> list[Note]:
    """Returns a walking bass: a root where the chord changes, an approach before, and steps between."""
    low, high = layer.span
    notes: list[Note] = []
    pitch = low + 7
    for span in frame.spans:
        classes = span.chord.classes(frame.section.key)
        after = nearest_class(pitch, (span.following.classes(frame.section.key)[0],), low, high)
        count = max(round(span.length), 1)
        for beat in range(count):
            if beat == 0:
                pitch = nearest_class(pitch, (classes[0],), low, high)
            elif beat == count - 1:
                pitch = after + (-1 if rng.random() < 0.6 else 1)
            else:
                aim = pitch + (4 if after > pitch or pitch < low + 5 else -4) + rng.normal(0, 1.5)
                pitch = nearest_class(float(np.clip(aim, low, high)), tuple(classes), low, high)
            notes.append(Note(span.start + beat, 1.0, pitch, 0.7 if beat % 2 else 0.62, layer.touch))
            if rng.random() < 0.07:
                notes.append(Note(span.start + beat + 0.5, 0.4, pitch, 0.4, "staccato"))
    return notes


def voice(frame: Frame, layer: Layer, pattern: str, rng: np.random.Generator) -> list[Note]:
    """Returns one of four voices: held where the pattern is empty, else in its rhythm, with passing tones."""
    chords = frame.voicings(*FOUR_PARTS, 4, True)
    own = {start: pitches[min(layer.voices, len(pitches) - 1)] for start, pitches in chords.items()}
    low, high = layer.span

    def fitted(pitch: int) -> int:
        while pitch < low:
            pitch += 12
        while pitch > high:
            pitch -= 12
        return pitch

    notes: list[Note] = []
    if pattern:
        for start, length, mark, _ in frame.strokes(pattern):
            pitch = fitted(own[frame.span_at(start).start])
            notes.append(Note(start, length, pitch, int(mark) / 11, layer.touch))
        return notes
    starts = [s.start for s in frame.spans]
    for index, span in enumerate(frame.spans):
        pitch = fitted(own[span.start])
        after = fitted(own[starts[index + 1]]) if index + 1 < len(starts) else pitch
        if abs(after - pitch) in (3, 4, 5) and span.length >= 2 and rng.random() < 0.5:  # a tone between
            classes = scale_classes(frame.section.key, frame.section.mode, span.chord)
            between = nearest_class((pitch + after) / 2, classes, min(pitch, after), max(pitch, after))
            notes.append(Note(span.start, span.length - 1, pitch, 0.55, layer.touch or "legato"))
            notes.append(Note(span.start + span.length - 1, 1.0, between, 0.5, layer.touch or "legato"))
        else:
            notes.append(Note(span.start, span.length, pitch, 0.55, layer.touch or "legato"))
    return notes


def counter(frame: Frame, layer: Layer, pattern: str, rng: np.random.Generator) -> list[Note]:
    """Returns a slow second melody of chord tones that moves by steps, with rests."""
    notes: list[Note] = []
    pitch = float(np.mean(layer.span))
    for span in frame.spans:
        if rng.random() < 0.2:
            continue
        aim = pitch + rng.choice((-2, -1, 1, 2))
        pitch = nearest_class(aim, span.chord.classes(frame.section.key)[1:], *layer.span)
        half = span.length / 2
        notes.append(Note(span.start, span.length if rng.random() < 0.6 else half, int(pitch), 0.5, "legato"))
        if notes[-1].length == half and rng.random() < 0.7:
            classes = scale_classes(frame.section.key, frame.section.mode, span.chord)
            pitch = nearest_class(pitch + rng.choice((-2, 2)), classes, *layer.span)
            notes.append(Note(span.start + half, half, int(pitch), 0.47, "legato"))
    return notes


def drone(frame: Frame, layer: Layer, pattern: str, rng: np.random.Generator) -> list[Note]:
    """Returns the tonic and its fifth, held through every two bars."""
    root = nearest_class(layer.span[0] + 6, (frame.section.key,), *layer.span)
    notes: list[Note] = []
    for bar in range(0, len(frame.section.bars), 2):
        length = min(2, len(frame.section.bars) - bar) * frame.meter.beats
        start = frame.section.start + bar * frame.meter.beats
        notes += [Note(start, length, root + step, 0.5, "legato") for step in (0, 7)[: layer.voices]]
    return notes


def sparkle(frame: Frame, layer: Layer, pattern: str, rng: np.random.Generator) -> list[Note]:
    """Returns single high tones here and there."""
    notes: list[Note] = []
    for span in frame.spans:
        if rng.random() < 0.45:
            pitch = nearest_class(rng.uniform(*layer.span), span.chord.classes(frame.section.key), *layer.span)
            place = int(rng.integers(0, max(round(span.length * 2), 1))) / 2
            notes.append(Note(span.start + place, 1.5, pitch, float(rng.uniform(0.3, 0.6)), layer.touch))
    return notes


TEXTURES: dict[str, Texture] = {
    f.__name__: f for f in (pad, comp, arpeggio, bass, walk, voice, counter, drone, sparkle)
}
