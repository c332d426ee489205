"""Fades: runs of plain frames, to which or from which the picture's contrast changes bit by bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.video.cuts.transitions import FADE_IN, FADE_OUT, Transition

PLAIN = 4.0  # greatest deviation of a plain frame from its mean, in gray levels
SHARE = 0.15  # greatest deviation of a plain frame, as a share of that of the picture before or after it
LONGEST, SHORTEST = 4.0, 0.12  # seconds that a fade lasts
SUDDEN = 0.55  # share of the whole change that comes in one frame if it is a cut and no fade
SETTLED = 0.95  # share of the whole change after which a fade is over

Curve = npt.NDArray[np.floating]


def find_fades(times: Curve, mean: Curve, contrast: Curve) -> list[Transition]:
    """Returns fades to and from a plain color, in the order of their times.

    Args:
        times: times of the frames in seconds, [frames].
        mean: mean gray level of each frame, 0..255, [frames].
        contrast: standard deviation of gray and colors within each frame, [frames].
    """
    found = []
    for first, stop in _plain_runs(contrast):
        run_mean = float(np.median(mean[first:stop]))
        away = np.hypot(contrast, mean - run_mean)
        if first and (ramp := _ramp(times[:first][::-1], away[:first][::-1])):
            count, confidence = ramp
            found.append(Transition(FADE_OUT, float(times[first - count]), float(times[first]), confidence))
        if stop < len(times) and (ramp := _ramp(times[stop:], away[stop:])):
            count, confidence = ramp
            found.append(Transition(FADE_IN, float(times[stop]), float(times[stop + count - 1]), confidence))
    return found


def _plain_runs(contrast: Curve) -> list[tuple[int, int]]:
    """Returns first and stop of each run of plain frames."""
    plain = np.concatenate([[False], contrast < PLAIN, [False]])
    edges = np.flatnonzero(np.diff(plain.astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _ramp(times: Curve, away: Curve) -> tuple[int, float] | None:
    """Returns the number of frames in which the deviation from the plain color rises to its full value.

    Args:
        times: times of the frames, from those next to the plain run on.
        away: deviation of each of them from the plain color.

    Returns:
        The number of frames and the confidence; None if there is no such rise, or it is sudden.
    """
    near = np.abs(times - times[0]) <= LONGEST
    values = away[near]
    # The rise ends where the curve has fallen well below a value that it had: there the picture itself changes.
    peak = np.maximum.accumulate(values)
    fallen = np.flatnonzero(values < 0.8 * peak - 1)
    values = values[: fallen[0]] if len(fallen) else values
    # It also ends where half a second brings next to nothing.
    full = float(values.max())
    for number in range(len(values)):
        later = values[(np.abs(times[: len(values)] - times[number]) <= 0.4)][number:] if number else values
        if number and later.max(initial=0) < values[number] * 1.06 + 0.5:
            full = float(values[number])
            break
    if full < PLAIN / SHARE / 2:
        return None
    count = int(np.argmax(values >= SETTLED * full)) + 1
    steps = np.diff(np.concatenate([[0.0], values[:count]]))
    lasting = abs(float(times[count - 1] - times[0]))
    largest = float(steps.max()) / full
    if count < 3 or lasting < SHORTEST or largest > SUDDEN:
        return None
    return count, round(float(np.clip(1.1 - largest, 0.5, 0.99)), 3)
