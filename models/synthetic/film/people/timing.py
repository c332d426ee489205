"""When people move: the beats of the music or of a tempo of their own, with the scatter and the lapses of people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthetic.music.piece import Outline

SCATTER = 0.02  # seconds, deviation of people from the beat
_LAPSE = 0.05  # share of the arrivals that people miss
_CLOSEST = 0.16  # seconds between two arrivals
_UNLIKE = 0.08  # least difference of a tempo of one's own from the simple multiples of another


@dataclass(frozen=True)
class Arrival:
    """A moment, `time` seconds, at which a move shall arrive, and its `strength`, 0..1."""

    time: float
    strength: float


@dataclass(frozen=True)
class Grid:
    """Regular beats: times in seconds, which of them are the first of a bar, and beats per minute."""

    beats: tuple[float, ...]
    downbeats: tuple[bool, ...]
    tempo: float


def music_grid(guide: Outline) -> Grid:
    """Returns the beats of a piece."""
    downs = np.array([*guide.downbeats, -9.0])
    return Grid(tuple(guide.beats), tuple(bool(np.abs(downs - beat).min() < 0.02) for beat in guide.beats), guide.tempo)


def own_grid(guide: Outline, rng: np.random.Generator) -> Grid:
    """Returns steady beats whose tempo has nothing to do with that of a piece."""
    while True:
        tempo = float(rng.uniform(62, 165))
        ratio = tempo / guide.tempo
        if min(abs(ratio / simple - 1) for simple in (0.5, 2 / 3, 1.0, 1.5, 2.0)) > _UNLIKE:
            break
    period, first = 60 / tempo, float(rng.uniform(0, 60 / tempo))
    beats = tuple(first + period * i for i in range(int((guide.duration - first) / period) + 1))
    return Grid(beats, tuple(i % 4 == 0 for i in range(len(beats))), tempo)


def every(grid: Grid, step: float, rng: np.random.Generator) -> list[Arrival]:
    """Returns the arrivals of a person who moves on every beat, on each second (2) or fourth (4), or on halves (0.5).

    Each deviates by some 20 ms, and some are missed.
    """
    beats = np.array(grid.beats)
    places: list[tuple[float, float]] = []
    if step >= 1:
        first = grid.downbeats.index(True) if True in grid.downbeats else 0
        chosen = range(first % int(step), len(beats), int(step))
        places = [(float(beats[i]), 1.0 if grid.downbeats[i] else 0.85) for i in chosen]
    else:
        for i, beat in enumerate(beats.tolist()):
            places.append((beat, 1.0 if grid.downbeats[i] else 0.85))
            if i + 1 < len(beats):
                places.append((float(beat + beats[i + 1]) / 2, 0.6))
    result: list[Arrival] = []
    for time, strength in places:
        moment = time + scatter(rng)
        missed = rng.random() < _LAPSE
        if not missed and moment > 0 and (not result or moment - result[-1].time >= _CLOSEST):
            result.append(Arrival(moment, strength))
    return result


def scatter(rng: np.random.Generator, deviation: float = SCATTER) -> float:
    """Returns a random deviation from a beat in seconds."""
    return float(np.clip(rng.normal(0, deviation), -2.5 * deviation, 2.5 * deviation))
