"""Kinematic beats: the moments at which bodies stop or turn, on which a dancer's beats fall.

AIST++ (Li et al., arXiv 2101.08779) takes the least speeds of a dancer's joints for them: a limb that stops, and one
that turns back, is still for a moment. Here the energy of the motion takes the place of the joints' speeds. A sharp
stop that is held counts at its beginning, a short rest or a turn in its middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.video.motion.flow import Motion

RATE = 100.0  # values a second of the curve that is searched
SMOOTHING = 0.035  # seconds, standard deviation
REFERENCE = 2.0  # seconds to either side whose energy a fall is compared with
STILL = 0.01  # heights per second; where all motion is of this size, falls count half
LEAST_FALL = 0.3  # least fall of the energy, and least rise after it, against the energy around
REACH = 0.6  # seconds to either side in which the fall and the rise are looked for
GAP = 0.3  # least seconds between two beats
REST = 0.15  # share of the fall above the least energy below which bodies rest
SHORT_REST = 0.2  # seconds; a longer rest is a stop
AROUND_BREAK = 0.1  # seconds around a cut or flash in which no body can be followed

Times = npt.NDArray[np.float64]
Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KinematicBeat:
    """A moment at which bodies stop or turn.

    Attributes:
        time: in seconds.
        strength: fall of the energy of motion, against that of the seconds around, 0..1.
    """

    time: float
    strength: float


def find_kinematic_beats(motion: Motion, breaks: npt.ArrayLike = ()) -> list[KinematicBeat]:
    """Returns the kinematic beats of a video in the order of their times.

    Args:
        motion: the motion of the whole video.
        breaks: times in seconds of cuts and flashes, around which nothing is found.
    """
    from scipy.signal import find_peaks

    breaks = np.sort(np.asarray(breaks, np.float64))
    times, curve = relative_energy(motion, breaks)
    if not len(times):
        return []
    places, found = find_peaks(
        -curve, prominence=LEAST_FALL, distance=round(GAP * RATE), wlen=round(2 * REACH * RATE) | 1
    )
    beats = [
        KinematicBeat(round(_moment(times, curve, place, fall), 3), round(min(1.0, float(fall)), 3))
        for place, fall in zip(places, found["prominences"], strict=True)
    ]
    return [b for b in beats if not len(breaks) or np.abs(breaks - b.time).min() > AROUND_BREAK]


def relative_energy(motion: Motion, breaks: Times) -> tuple[Times, Curve]:
    """Returns times, `RATE` a second, and the energy of motion at each, against that of the seconds around.

    Args:
        motion: the motion of a video.
        breaks: times in seconds of cuts and flashes.
    """
    from scipy.ndimage import gaussian_filter1d, uniform_filter1d

    motion = motion.without(breaks)
    if len(motion.times) < 2:
        return np.zeros(0), np.zeros(0)
    # The flow to a frame is the motion in the middle of the time since the frame before.
    times = np.arange(motion.times[0], motion.times[-1], 1 / RATE)
    energy = np.interp(times, motion.times - motion.lengths / 2, motion.energy)
    energy = gaussian_filter1d(energy, SMOOTHING * RATE)
    around = uniform_filter1d(energy**2, round(2 * REFERENCE * RATE) | 1, mode="nearest")
    reference = np.sqrt(np.maximum(around, 0))  # its running sum may fall a little below 0 by rounding
    return times, energy / (reference + STILL)


def _moment(times: Times, curve: Curve, place: int, fall: float) -> float:
    """Returns the time in seconds of a beat whose least energy is at a place: the middle of a short rest, or a stop."""
    resting = curve <= curve[place] + REST * fall
    before, after = np.flatnonzero(~resting[:place]), np.flatnonzero(~resting[place:])
    start = int(before[-1]) + 1 if len(before) else 0
    stop = place + int(after[0]) - 1 if len(after) else len(curve) - 1
    return float(times[start] + times[stop]) / 2 if stop - start < SHORT_REST * RATE else float(times[start])
