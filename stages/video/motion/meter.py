"""MotionMeter: reads every frame once, at a small size; how much it changes, how it moves, and the transitions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.video.cuts.detector import CutDetector
from stages.video.cuts.transitions import Transition
from stages.video.motion.flow import FlowMeter, Motion

CUT_THRESHOLD = 27.0  # PySceneDetect's default
NOMINAL_RATE = Fraction(25)  # frames per second; PySceneDetect needs a rate, though no time is computed from it
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
        self._flow_meter = FlowMeter()

    def add(self, frame: npt.NDArray[np.uint8], pts: int, time_base: Fraction) -> None:
        """Takes the next frame [height, width, 3], BGR, which is shown from `pts * time_base` seconds on."""
        from scenedetect.common import FrameTimecode, Timecode

        gray = self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2GRAY)
        previous = self._gray if self._gray is not None else gray
        self._differences.append(self._cv2.norm(gray, previous, self._cv2.NORM_L1) / gray.size)
        self._gray = gray
        time = FrameTimecode(Timecode(pts, time_base), NOMINAL_RATE)
        self._content_cuts += [cut.seconds for cut in self._detector.process_frame(time, frame)]
        seconds = pts * time_base.numerator / time_base.denominator
        self._cut_detector.add(frame, seconds)
        self._flow_meter.add(np.asarray(gray, np.uint8), seconds)

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

    def motion(self) -> Motion:
        """Returns the motion of people and things, after the last frame."""
        return self._flow_meter.motion()
