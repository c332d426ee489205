"""Transitions between shots: what they are, when they are, and how sure their detector is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CUT, DISSOLVE, FADE_OUT, FADE_IN, FLASH = "cut", "dissolve", "fade out", "fade in", "flash"
KINDS = (CUT, DISSOLVE, FADE_OUT, FADE_IN, FLASH)
HITS = (CUT,)
"""Kinds that music may hit. A fade is an end or a beginning, at which music may breathe; a dissolve has no moment."""


@dataclass(frozen=True)
class Transition:
    """A transition between two shots, or between a shot and a plain screen; or a flash within a shot.

    Attributes:
        kind: one of `KINDS`.
        start: time in seconds at which the first frame is shown that is not of the shot before, or that is flashed.
        end: time in seconds at which the first frame is shown that is of the next shot alone, or after a flash; that of
            a cut is `start`.
        confidence: how sure the detector is, 0..1.
    """

    kind: str
    start: float
    end: float
    confidence: float

    @property
    def time(self) -> float:
        """The middle of the transition in seconds, which is the time of a cut."""
        return (self.start + self.end) / 2


def hit_times(transitions: Sequence[Transition]) -> list[float]:
    """Returns the times in seconds that music may hit, rising."""
    return sorted(transition.time for transition in transitions if transition.kind in HITS)
