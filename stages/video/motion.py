"""Motion: how much a video changes from frame to frame, its transitions, and the cuts and beats of each second.

`MotionMeter` reads every frame once, at a small size; `scene_cuts` and `visual_beats` put its results in bins of one
second.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.video.cuts.detector import CutDetector
from stages.video.cuts.transitions import Transition

CUT_THRESHOLD = 27.0  # PySceneDetect's default
NOMINAL_RATE = Fraction(25)  # frames per second; PySceneDetect needs a rate, though no time is computed from it
BEAT_PROMINENCE = 0.25  # prominence in the difference curve when that is scaled to [0, 1]
SHORTEST_SCENE = 0.6  # seconds

Times = npt.NDArray[np.float64]
Curve = npt.NDArray[np.float32]


class MotionMeter:
    """Measures differences and cuts of a video whose small BGR frames come one by one with their true times.

    `transitions` are those that our own detector finds. `content_cuts` are the input of the released model, whose
    features were made so: the cuts of PySceneDetect's `ContentDetector` with the defaults of its application, threshold
    27, scenes of at least 0.6 s. The default of its library, 15 frames, is the same at 25 frames per second, but at low
    or variable frame rates it would suppress cuts that are seconds apart. (Source: scenedetect 0.7, `detect-content`.)
    """

    def __init__(self) -> None:
        import cv2
        from scenedetect import ContentDetector

        self._cv2 = cv2
        self._detector = ContentDetector(threshold=CUT_THRESHOLD, min_scene_len=SHORTEST_SCENE)
        self._gray: npt.NDArray[Any] | None = None
        self._differences: list[float] = []
        self._content_cuts: list[float] = []
        self._cut_detector = CutDetector()

    def add(self, frame: npt.NDArray[np.uint8], pts: int, time_base: Fraction) -> None:
        """Takes the next frame [height, width, 3], BGR, which is shown from `pts * time_base` seconds on."""
        from scenedetect.common import FrameTimecode, Timecode

        gray = self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2GRAY)
        previous = self._gray if self._gray is not None else gray
        self._differences.append(self._cv2.norm(gray, previous, self._cv2.NORM_L1) / gray.size)
        self._gray = gray
        time = FrameTimecode(Timecode(pts, time_base), NOMINAL_RATE)
        self._content_cuts += [cut.seconds for cut in self._detector.process_frame(time, frame)]
        self._cut_detector.add(frame, pts * time_base.numerator / time_base.denominator)

    @property
    def difference(self) -> Curve:
        """Mean absolute gray difference to the frame before, 0..255: [frames]; 0 for the first."""
        return np.array(self._differences, np.float32)

    @property
    def content_cuts(self) -> Times:
        """Times in seconds, rising, of the cuts of `ContentDetector`: [cuts]."""
        return np.array(self._content_cuts, np.float64)

    def transitions(self) -> list[Transition]:
        """Returns cuts, dissolves and fades in the order of their times, after the last frame; call it once."""
        return self._cut_detector.transitions()


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
