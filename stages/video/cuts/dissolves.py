"""Dissolves: stretches whose pictures are mixtures of the first and the last one, in shares that change evenly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.video.cuts.measures import NOISE
from stages.video.cuts.transitions import DISSOLVE, Transition

STEP = 0.08  # least seconds between two pictures that are kept
LENGTHS = (4, 5, 7, 9, 12, 16, 21, 27)  # steps that a dissolve may last
LEAST_CHANGE = 1.0  # least distance between both ends, over their contrast
LEAST_EXPLAINED = 0.6  # least share of the change that mixtures explain
MOST_RESTLESS = 0.2  # greatest change just before and just after, over that of the dissolve
MOST_UNEVEN = 0.1  # greatest mean deviation of the shares from an even change

Pictures = npt.NDArray[np.float32]


def find_dissolves(times: npt.NDArray[np.float64], pictures: Pictures) -> list[Transition]:
    """Returns dissolves in the order of their times.

    Args:
        times: [pictures] times in seconds, at least `STEP` apart.
        pictures: [pictures, values] tiny pictures, gray levels.
    """
    found: list[tuple[float, int, int]] = []
    for length in LENGTHS:
        if len(pictures) > length:
            scores = _mixture_score(pictures, length)
            found += [(float(scores[i]), int(i), int(i) + length) for i in np.flatnonzero(scores > 0)]
    kept: list[tuple[float, int, int]] = []
    for score, first, last in sorted(found, reverse=True):
        if all(last <= start or first >= stop for _, start, stop in kept):
            kept.append((score, first, last))
    return [
        Transition(DISSOLVE, float(times[first]), float(times[last]), round(min(0.99, score), 3))
        for score, first, last in sorted(kept, key=lambda one: one[1])
    ]


def _mixture_score(pictures: Pictures, length: int) -> npt.NDArray[np.float64]:
    """Returns how well each stretch of a length is a dissolve, 0 where it is none: [pictures - length]."""
    first, last = pictures[:-length], pictures[length:]
    change = last - first
    power = (change**2).mean(1, dtype=np.float64)
    spread = (first.var(1) + last.var(1)) / 2 + 4 * NOISE**2
    safe = np.maximum(power, 1e-3)
    rest, least, uneven = np.zeros_like(power), np.zeros_like(power), np.zeros_like(power)
    before, steepest = np.zeros_like(power), np.zeros_like(power)
    for step in range(1, length):
        since = pictures[step : step - length] - first
        share = (since * change).mean(1, dtype=np.float64) / safe
        own = (since**2).mean(1, dtype=np.float64)
        rest += np.maximum(own - share**2 * power, 0)
        # What is left if every picture were that of the nearer end.
        least += np.minimum(own, own - 2 * share * power + power)
        uneven += np.abs(share - step / length)
        steepest = np.maximum(steepest, share - before)
        before = share
    steepest = np.maximum(steepest, 1 - before)
    explained = 1 - rest / np.maximum(least, 1e-3)
    uneven /= length - 1
    half = max(1, length // 2)
    around = np.zeros((2, len(pictures)))
    around[0, half:] = around[1, :-half] = ((pictures[half:] - pictures[:-half]) ** 2).mean(1)
    restless = np.maximum(around[0, :-length], around[1, length:])
    good = (
        (power > LEAST_CHANGE**2 * spread)
        & (restless < MOST_RESTLESS * power)
        & (explained > LEAST_EXPLAINED)
        & (uneven < MOST_UNEVEN)
        & (steepest < 0.25 + 1.5 / length)
    )
    return np.where(good, explained * (1 - uneven) * np.minimum(1, 0.8 + 0.01 * length), 0.0)
