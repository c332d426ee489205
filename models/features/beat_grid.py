"""Groove: one steady beat for a whole video, which the rhythm predictor is told and the music then keeps.

A picture says when something happens, but not how often the drum beats between two cuts: a predictor that is asked for
the most likely onset strength answers with a mean in which no beat is left. So the beat is chosen first, as a person
would who scores a film: a tempo that suits the picture's mood, moved a little until its beats fall on the cuts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.features.rhythm_curve import FASTEST, SLOWEST, beat_autocorrelation, tempo_of

CHANNELS = 3
"""Of a groove as the predictor reads it."""
TEMPO_DEVIATION = 0.15
"""Of the tempi, in octaves, that suit a picture."""
CONCENTRATION = 3.0
"""Of cuts around beats: the parameter of a von Mises distribution, a deviation of about a tenth of a beat."""


@dataclass(frozen=True)
class Groove:
    """A steady beat.

    Attributes:
        tempo: beats a minute.
        beat: seconds at which one of the beats falls.
        strength: how much of the onset strength recurs with the beat, 0..1.
    """

    tempo: float
    beat: float
    strength: float

    def channels(self, rate: float, steps: int) -> Tensor:
        """Cosine and sine of the place between two beats, and 1, all times the strength: [3, steps].

        Args:
            rate: steps a second; step i stands for its middle.
        """
        times = (torch.arange(steps, dtype=torch.float64) + 0.5) / rate
        angle = 2 * math.pi * (times - self.beat) * (self.tempo / 60)
        return (self.strength * torch.stack((angle.cos(), angle.sin(), torch.ones_like(angle)))).float()

    def after(self, seconds: float) -> Groove:
        """The same beat on the time axis of a window that begins so many seconds later."""
        return replace(self, beat=self.beat - seconds)


def groove_of_music(onsets: Tensor, rate: float) -> Groove:
    """The beat that music has.

    Args:
        onsets: onset strength [steps], at least 2 s of it.
        rate: steps a second.
    """
    onsets = onsets.double().cpu()
    tempo = tempo_of(onsets, rate)
    tempi = (tempo * torch.linspace(0.96, 1.04, 161, dtype=torch.float64)).clamp(SLOWEST, FASTEST)
    recurring = _recurrence(onsets - onsets.mean(), rate, tempi)
    return _at(tempi, recurring, int(recurring.abs().argmax()), max(0.0, beat_autocorrelation(onsets, rate)))


def groove_of_picture(cuts: Tensor, rate: float, tempo: float, strength: float) -> Groove:
    """The beat that suits a picture: near a tempo, its beats on as many cuts as can be.

    The logarithm of a von Mises likelihood of the cuts' places between beats, plus that of the tempo.

    Args:
        cuts: pulses of the cuts over the whole video (`models.features.rhythm_curve.pulses`), [steps].
        rate: steps a second.
        tempo: the one that suits best, beats a minute.
        strength: of the groove.
    """
    low, high = (min(max(tempo * 2 ** (side * 2.5 * TEMPO_DEVIATION), SLOWEST), FASTEST) for side in (-1, 1))
    # Neighbouring tempi may drift apart by no more than a tenth of a beat over the whole video.
    count = max(201, math.ceil(10 * (high - low) / 60 * len(cuts) / rate))
    tempi = torch.linspace(low, high, count, dtype=torch.float64)
    together = _recurrence(cuts.double().cpu(), rate, tempi)
    apart = torch.log2(tempi / tempo) / TEMPO_DEVIATION
    best = int((CONCENTRATION * together.abs() - apart.square() / 2).argmax())
    return _at(tempi, together, best, strength)


def _recurrence(values: Tensor, rate: float, tempi: Tensor) -> Tensor:
    """Fourier sum of values [steps] at each tempo: its angle tells where between two beats they are."""
    present = values.nonzero()[:, 0]
    times = (present + 0.5) / rate
    sums = [
        (values[present] * torch.exp(2j * math.pi * some[:, None] / 60 * times)).sum(1) for some in tempi.split(512)
    ]
    return torch.cat(sums)


def _at(tempi: Tensor, sums: Tensor, best: int, strength: float) -> Groove:
    tempo = float(tempi[best])
    return Groove(tempo, float(sums[best].angle()) / (2 * math.pi) * 60 / tempo, min(1.0, strength))
