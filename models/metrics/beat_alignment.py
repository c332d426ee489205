"""How well the beats of music fall on the moments at which dancers stop or turn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.features.audio import HOP, SAMPLE_RATE, onset_strength
from models.features.beat_grid import groove_of_music

DEVIATION = 0.05
"""Seconds, three frames of a film of 60 frames a second, at which a beat's score has fallen to 0.61."""
Times = npt.NDArray[np.float64]


def beats_of_music(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> Times:
    """Returns the times of the steady beat of music in seconds, rising, over its whole length.

    Args:
        audio: [samples] or [channels, samples], at least 2 s.
        sample_rate: samples per second.
    """
    strength = onset_strength(audio, sample_rate)
    rate = sample_rate / HOP
    groove, duration = groove_of_music(strength, rate), len(strength) / rate
    period = 60 / groove.tempo
    return np.arange(groove.beat % period, duration, period)


def beat_alignment(kinematic: npt.ArrayLike, beats: npt.ArrayLike) -> float:
    """Returns the beat alignment score of AIST++ (Li et al., arXiv 2101.08779), 0..1.

    It is the mean over the kinematic beats of exp(-d^2 / (2 DEVIATION^2)), where d is the distance to the nearest beat
    of the music. Without beats of the music it is 0.

    Args:
        kinematic: times in seconds of the kinematic beats, at least one.
        beats: times in seconds of the beats of the music.
    """
    return float(_scores(np.asarray(kinematic, np.float64)[None], np.asarray(beats, np.float64))[0])


def beat_alignment_above_chance(
    kinematic: npt.ArrayLike, beats: npt.ArrayLike, duration: float, shifts: int = 200, seed: int = 0
) -> float:
    """Returns `beat_alignment` minus its mean over random circular shifts of the kinematic beats, -1..1.

    Music with many beats has a high score by chance; of this it has none.

    Args:
        kinematic, beats: as for `beat_alignment`.
        duration: seconds of the film, over which the shifts are uniform.
        shifts: number of shifts.
        seed: seed of the shifts.
    """
    times = np.asarray(kinematic, np.float64)
    moves = np.random.default_rng(seed).uniform(0, duration, (shifts, 1))
    chance = _scores((times + moves) % duration, np.asarray(beats, np.float64)).mean()
    return beat_alignment(times, beats) - float(chance)


def _scores(kinematic: Times, beats: Times) -> Times:
    """Returns the scores of several sets of kinematic beats, [sets, beats] -> [sets]."""
    if not len(beats):
        return np.zeros(len(kinematic))
    distance = np.abs(kinematic[..., None] - beats).min(-1)
    return np.asarray(np.exp(-(distance**2) / (2 * DEVIATION**2)).mean(-1))
