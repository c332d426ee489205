"""CutDetector: finds cuts, dissolves and fades of a video while it is decoded, at any frame rate."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stages.video.cuts.dissolves import STEP, find_dissolves
from stages.video.cuts.fades import find_fades
from stages.video.cuts.flashes import find_flashes
from stages.video.cuts.hard_cuts import CONTEXT, cut_features, judged_frames, shipped_network
from stages.video.cuts.measures import COLUMNS, ROWS, Planes, Signature, differences, signature
from stages.video.cuts.transitions import CUT, Transition

BLOCK = 128  # frames that are measured at once
LEAST_CONFIDENCE = 0.35  # least confidence of a cut
NEAR = 2  # frames within which there is one cut at most


class CutDetector:
    """Takes the frames of a video one by one, and tells its transitions at the end.

    Of each frame it keeps 17 bytes, and of twelve pictures in a second 432 bytes.

    Args:
        least: least confidence of a cut.
    """

    def __init__(self, least: float = LEAST_CONFIDENCE) -> None:
        self._least = least
        self._times = array("d")
        self._mean = array("f")
        self._contrast = array("f")
        self._waiting: list[Signature] = []  # with `CONTEXT` frames that were measured already, before the others
        self._cuts: dict[int, float] = {}  # confidence by the number of the frame
        self._flashes: list[Transition] = []
        self._pictures: list[Signature] = []
        self._picture_times = array("d")

    def add(self, frame: npt.NDArray[np.uint8], time: float) -> None:
        """Takes the next frame [height, width, 3], BGR, which is shown from `time` seconds on."""
        import cv2

        small = signature(frame)
        if not self._waiting:
            self._waiting = [small] * CONTEXT
        self._waiting.append(small)
        self._times.append(time)
        if not self._picture_times or time >= self._picture_times[-1] + STEP - 1e-6:
            self._picture_times.append(time)
            self._pictures.append(
                np.asarray(cv2.resize(small, (COLUMNS // 2, ROWS // 2), interpolation=cv2.INTER_AREA))
            )
        if len(self._waiting) == BLOCK + 2 * CONTEXT:
            self._measure(BLOCK)

    def _measure(self, count: int) -> None:
        """Judges the frames that have `CONTEXT` others on both sides, and lets go of them."""
        planes = Planes(np.stack(self._waiting))
        new = slice(CONTEXT, CONTEXT + count)
        self._mean.extend(planes.mean[new].tolist())
        self._contrast.extend(planes.contrast[new].tolist())
        neighbors = np.zeros((len(self._waiting), 4), np.float32)
        numbers = np.arange(1, len(self._waiting))
        neighbors[1:] = differences(planes, numbers - 1, numbers)
        at = judged_frames(neighbors)
        at = at[(at >= CONTEXT) & (at < CONTEXT + count)]
        if len(at):
            first = len(self._mean) - count - CONTEXT
            numbers = np.clip(np.arange(len(self._waiting)) + first, 0, len(self._times) - 1)
            self._flashes += find_flashes(planes, np.array(self._times)[numbers], at)
            confidences = shipped_network()(cut_features(planes, neighbors, at))
            self._cuts |= {int(n) + first: float(c) for n, c in zip(at, confidences, strict=True) if c >= self._least}
        self._waiting = self._waiting[count:]

    def transitions(self) -> list[Transition]:
        """Returns all transitions in the order of their times, after the last frame; call it once."""
        if not self._times:
            return []
        if rest := len(self._times) - len(self._mean):
            self._waiting += self._waiting[-1:] * CONTEXT
            self._measure(rest)
        times = np.array(self._times)
        cuts = [Transition(CUT, times[n], times[n], round(c, 3)) for n, c in strongest(self._cuts, NEAR)]
        fades = find_fades(times, np.array(self._mean), np.array(self._contrast))
        pictures = np.array(self._pictures, np.float32).reshape(len(self._pictures), -1)
        return reconciled(cuts, self._flashes, fades, find_dissolves(np.array(self._picture_times), pictures))


def strongest(confidences: dict[int, float], near: int) -> list[tuple[int, float]]:
    """Returns the frames, rising, whose confidence is the greatest within `near` frames; the first of equal ones."""
    return [
        (n, c)
        for n, c in sorted(confidences.items())
        if all(
            c > other or (c == other and n < m)
            for m in range(n - near, n + near + 1)
            if m != n and (other := confidences.get(m)) is not None
        )
    ]


def reconciled(
    cuts: Sequence[Transition],
    flashes: Sequence[Transition],
    fades: Sequence[Transition],
    dissolves: Sequence[Transition],
) -> list[Transition]:
    """Returns the transitions in the order of their times, without those that another kind explains.

    A flash holds no cut, and no fade or dissolve meets it. A fade holds no cut but at its ends, and meets no dissolve.
    A dissolve holds no cut: where there is one, the cut counts.
    """

    def meets(transition: Transition, others: Sequence[Transition]) -> bool:
        return any(transition.start < other.end and other.start < transition.end for other in others)

    fades = [fade for fade in fades if not meets(fade, flashes)]
    cuts = [
        cut
        for cut in cuts
        if not any(flash.start <= cut.time <= flash.end for flash in flashes)
        and not any(fade.start < cut.time < fade.end for fade in fades)
    ]
    mixed = [
        transition
        for transition in dissolves
        if not any(transition.start < cut.time <= transition.end for cut in cuts)
        and not meets(transition, [*flashes, *fades])
    ]
    return sorted([*cuts, *flashes, *fades, *mixed], key=lambda transition: (transition.start, transition.end))
