"""Ducking: from the probability of speech to an envelope by which music sinks while somebody speaks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.mixing.bed import ENVELOPE_RATE, Envelope

BEGINS, ENDS = 0.5, 0.35
"""Probability at which speech is sure, and below which it ends."""
LEADS_IN = 0.1
"""Probability from which on the steps before sure speech are its beginning: it is known beforehand what comes."""
SHORTEST_S = 0.1
"""Seconds of the shortest speech that counts."""


@dataclass(frozen=True)
class Slopes:
    """How music sinks and comes back.

    Attributes:
        attack: seconds in which it sinks; it is down when a span begins.
        hang_over: seconds that it stays down after a span.
        release: seconds in which it comes back.
    """

    attack: float
    hang_over: float
    release: float


UNDER_SPEECH = Slopes(attack=0.3, hang_over=0.5, release=1.0)
BESIDE_MUSIC = Slopes(attack=2.0, hang_over=0.0, release=2.0)
ASIDE_DB = 40.0
"""Decibels by which music steps aside where the original has music of its own."""

Span = tuple[float, float]
"""Beginning and end in seconds."""


def speech_spans(probabilities: npt.NDArray[np.float32], step: float) -> list[Span]:
    """Returns the times at which somebody speaks.

    Args:
        probabilities: probability of speech, 0..1, at equal steps of time.
        step: seconds of one step.
    """
    spans = list[Span]()
    begin: int | None = None
    ended = 0
    for place, probability in enumerate([*probabilities, 0.0]):
        if begin is None and probability >= BEGINS:
            begin = place
        elif begin is not None and probability < ENDS:
            if (place - begin) * step >= SHORTEST_S:
                while begin > ended and probabilities[begin - 1] >= LEADS_IN:
                    begin -= 1
                spans.append((begin * step, place * step))
                ended = place
            begin = None
    return spans


def ducking_envelope(spans: Sequence[Span], duration: float, depth: float, slopes: Slopes = UNDER_SPEECH) -> Envelope:
    """Returns the envelope under which music sinks by `depth` decibels in spans, such as those of speech.

    Between two phrases that are closer than the music needs to come back and to sink again, it stays down: nothing
    pumps.

    Args:
        spans: times at which the music is down, in order.
        duration: seconds that the music lasts.
        depth: decibels, at least 0.
        slopes: how it sinks and comes back.
    """
    times = np.arange(math.ceil(duration * ENVELOPE_RATE) + 1) / ENVELOPE_RATE
    down = np.zeros(len(times))
    for begin, end in _joined(spans, slopes):
        sinking = np.clip((times - (begin - slopes.attack)) / slopes.attack, 0, 1)
        rising = np.clip((end - times) / slopes.release + 1, 0, 1)
        np.maximum(down, _smooth(np.minimum(sinking, rising)), out=down)
    return -depth * down


def _joined(spans: Sequence[Span], slopes: Slopes) -> list[Span]:
    """Joins the spans, each with its hang-over, between which the music would not come back."""
    joined = list[Span]()
    for begin, end in ((begin, end + slopes.hang_over) for begin, end in spans):
        if joined and begin - joined[-1][1] < slopes.attack + slopes.release:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


def _smooth(part: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turns a straight ramp 0..1 into a raised cosine."""
    return 0.5 - 0.5 * np.cos(np.pi * part)
