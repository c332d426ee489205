"""The cuts and the visual beats of each second, as the released model takes them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BEAT_PROMINENCE = 0.25  # prominence in the difference curve when that is scaled to [0, 1]

Times = npt.NDArray[np.float64]
Curve = npt.NDArray[np.float32]


def second_of(times: npt.ArrayLike, seconds: int) -> npt.NDArray[np.int64]:
    """Returns the bin 0..seconds-1 of each time: its whole second; times outside go to the first or the last bin."""
    return np.clip(np.floor(np.asarray(times, np.float64)), 0, seconds - 1).astype(np.int64)


def scene_cuts(cuts: npt.ArrayLike, seconds: int) -> Curve:
    """Returns whether a cut falls in each second, [seconds], 0 or 1, from cut times in seconds."""
    bins = np.zeros(seconds, np.float32)
    bins[second_of(cuts, seconds)] = 1.0
    return bins


def visual_beats(times: Times, difference: Curve, seconds: int) -> Curve:
    """Returns the strength of the strongest visual beat of each second: [seconds], 0..1, 0 where there is none.

    The curve of differences between frames is scaled to [0, 1] by its own least and greatest value. Its peaks with a
    prominence of at least 0.25 are the beats, and their height on that scale is their strength. After the end the curve
    is taken to fall to its least value, so that a change at the very last frame counts. (Source: the visual beat of
    Diff-V2M, arXiv 2511.09090; the prominence is the likely one of the released features.)

    Args:
        times: [frames] time of each frame in seconds.
        difference: [frames] mean absolute difference of each frame to the frame before.
        seconds: number of bins.
    """
    from scipy.signal import find_peaks

    bins = np.zeros(seconds, np.float32)
    least, most = float(difference.min(initial=math.inf)), float(difference.max(initial=-math.inf))
    if not most > least:
        return bins
    curve = np.append((difference.astype(np.float64) - least) / (most - least), 0.0)
    peaks, _ = find_peaks(curve, prominence=BEAT_PROMINENCE)
    np.maximum.at(bins, second_of(times[peaks], seconds), curve[peaks].astype(np.float32))
    return bins
