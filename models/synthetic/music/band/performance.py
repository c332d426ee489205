"""Performing a score: beats become seconds with swing, and players are a little early or late, louder or softer."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.synthetic.music.band.score import Meter, Part, Score
from models.synthetic.rng import stream

_LENGTHS = {"": 0.92, "legato": 1.04, "staccato": 0.5, "pedal": 1.1, "strum": 0.95}
_STRUM = 0.012  # seconds from string to string


@dataclass(frozen=True)
class PlayedPart:
    """A part as it was played.

    Attributes:
        part: the part of the score.
        notes: onset and duration in seconds, pitch, and velocity 0..1, [notes, 4], in order.
        side: -1 or 1 for the left or the right of two performances of the part, else 0.
    """

    part: Part
    notes: npt.NDArray[np.float64]
    side: int


def perform(score: Score, start: float, stop: float) -> list[PlayedPart]:
    """Returns all parts as they are played, with notes that begin between two times in seconds."""
    played = []
    for index, part in enumerate(score.parts):
        for side in (-1, 1) if part.layer.doubled else (0,):
            rng = stream(score.seed, f"performance/{index}/{side}")
            notes = _play(score, part, rng)
            notes = notes[(notes[:, 0] >= start) & (notes[:, 0] < stop)]
            if len(notes):
                played.append(PlayedPart(part, notes, side))
    return played


def _play(score: Score, part: Part, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    notes = part.notes
    starts = np.array([n.start for n in notes])
    lengths = np.array([n.length * _LENGTHS[n.touch] for n in notes])
    style = part.style
    onset = score.tempo_map.time(swung(starts, score.meter, style.swing, style.swings_sixteenths))
    end = score.tempo_map.time(swung(starts + lengths, score.meter, style.swing, style.swings_sixteenths))
    loose = style.loose / 1000 * (0.6 if part.layer.kind in ("drums", "bass", "walk") else 1.0)
    lag = rng.normal(0, 0.5 * loose)  # a player who lays back or pushes
    drift = np.interp(starts, *_drift(starts, rng)) * loose
    shift = lag + drift + rng.normal(0, 0.6 * loose, len(notes))
    velocity = np.array([n.velocity for n in notes])
    velocity = velocity * (1 + 0.05 * rng.normal(size=len(notes))) * _pulse(starts, score)
    order = np.argsort(starts, kind="stable")
    if any(n.touch == "strum" for n in notes):
        shift[order] += _strums(starts[order], rng)
    return np.stack(
        [onset + shift, np.maximum(end - onset, 0.04), [n.pitch for n in notes], np.clip(velocity, 0.06, 1.0)], axis=1
    )[order]


def swung(beats: npt.NDArray[np.float64], meter: Meter, swing: float, sixteenths: bool) -> npt.NDArray[np.float64]:
    """Returns beats whose second half of each unit comes late; a `swing` of 1 divides the unit as 2 to 1."""
    if not swing or meter.steps == 6:
        return beats
    unit = 0.5 if sixteenths else 1.0
    whole = np.floor(beats / unit + 1e-9)
    share = beats / unit - whole
    middle = 0.5 + swing / 6
    bent = np.where(share < 0.5, share * middle / 0.5, middle + (share - 0.5) * (1 - middle) / 0.5)
    return (whole + bent) * unit


def _drift(starts: npt.NDArray[np.float64], rng: np.random.Generator) -> tuple[npt.NDArray, npt.NDArray]:
    """Returns places in beats and a slow random curve over them."""
    places = np.arange(starts.min() - 4, starts.max() + 8, 4.0)
    return places, rng.normal(0, 0.5, len(places))


def _pulse(starts: npt.NDArray[np.float64], score: Score) -> npt.NDArray[np.float64]:
    """Returns how much louder the first beats of bars are, and how much softer the places between beats."""
    within = starts % score.meter.beats
    return np.where(within < 0.02, 1.06, np.where(np.abs(within - np.round(within)) < 0.02, 1.0, 0.93))


def _strums(starts: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Returns how much later each note of a chord is struck than the first one, upwards or downwards."""
    late = np.zeros(len(starts))
    bounds = np.flatnonzero(np.diff(starts, prepend=-1e9, append=1e9) > 1e-6)
    for first, last in itertools.pairwise(bounds.tolist()):
        ramp = np.arange(last - first) * _STRUM * rng.uniform(0.6, 1.4)
        late[first:last] = ramp if starts[first] % 1 < 0.3 else ramp[::-1]
    return late
