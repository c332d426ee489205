"""Flashes: a few frames that are much lighter or darker than the shot, which goes on after them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.video.cuts.hard_cuts import CONTEXT, Numbers
from stages.video.cuts.measures import MEASURES, Planes, differences
from stages.video.cuts.transitions import FLASH, Transition

LONGEST = 0.3  # seconds that a flash lasts
LEAST_STEP = 5.0  # least change of the mean gray level
LEAST_SHARE = 0.3  # least change of the mean gray level, as a share of the contrast before
SAME = 0.3  # greatest structural and color difference between the pictures before and after a flash
WASHED_OUT = 0.6  # share of the contrast before, below which the picture in a flash may have any structure

Times = npt.NDArray[np.float64]


def find_flashes(planes: Planes, times: Times, at: Numbers) -> list[Transition]:
    """Returns the flashes that begin at one of the frames `at`, in the order of their times.

    Args:
        planes: frames.
        times: time of each of them in seconds, [frames].
        at: numbers of frames that differ from the frame before, with `CONTEXT` others on both sides.
    """
    structure, colors = MEASURES.index("structure"), MEASURES.index("colors")
    before, contrast = planes.mean[at - 1], planes.contrast[at - 1]
    least = np.maximum(LEAST_STEP, LEAST_SHARE * contrast)
    step = planes.mean[at] - before
    like = (differences(planes, at - 1, at)[:, structure] < SAME) | (planes.contrast[at] < WASHED_OUT * contrast)
    bright = (np.abs(step) > least) & like
    at, least, sign, before = at[bright], least[bright], np.sign(step[bright]), before[bright]
    found = list[Transition]()
    for after in range(1, CONTEXT + 1):
        if not len(at):
            break
        until = at + after
        change = differences(planes, at - 1, until)
        over = (change[:, structure] < SAME) & (change[:, colors] < SAME)
        lit = sign * (planes.mean[until] - before) > least
        short = times[until] - times[at] <= LONGEST
        for number in np.flatnonzero(over & ~lit & short):
            first, last = float(times[at[number]]), float(times[until[number]])
            found.append(Transition(FLASH, first, last, round(float(1 - change[number, structure]), 3)))
        # What is neither over nor too long may still end later.
        going = short & ~(over & ~lit)
        at, least, sign, before = at[going], least[going], sign[going], before[going]
    return sorted(found, key=lambda transition: transition.start)
