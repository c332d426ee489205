"""The groove: one steady beat for a whole video, which conditions the rhythm predictor so that the music keeps it.

A picture shows when something happens, but not how often a drum beats between two cuts. A predictor of the most likely
onset strength therefore returns a mean in which no beat is left. So the beat is chosen first, as a film composer would
choose it: a tempo that suits the mood of the picture, changed a little until its beats fall on the cuts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.features.rhythm_curve import FASTEST_TEMPO, SLOWEST_TEMPO, beat_autocorrelation, tempo_of

CHANNELS = 3
"""Channels of a groove as the predictor reads it."""
TEMPO_DEVIATION = 0.15
"""Standard deviation, in octaves, of the tempi that suit a picture."""
CONCENTRATION = 3.0
"""Concentration of cuts around beats: the parameter of a von Mises distribution, for a deviation of about a tenth of a
beat."""


@dataclass(frozen=True)
class Groove:
    """A steady beat, which runs through a whole video.

    Attributes:
        tempo: beats per minute.
        beat: time in seconds of one of the beats.
        strength: how much of the onset strength recurs with the beat, 0..1.
    """

    tempo: float
    beat: float
    strength: float

    def channels(self, rate: float, steps: int) -> Tensor:
        """Returns cosine and sine of the position between two beats, and 1, all times the strength: [3, steps].

        Args:
            rate: steps per second; step i stands for its middle.
            steps: number of steps.
        """
        times = (torch.arange(steps, dtype=torch.float64) + 0.5) / rate
        angle = 2 * math.pi * (times - self.beat) * (self.tempo / 60)
        return (self.strength * torch.stack((angle.cos(), angle.sin(), torch.ones_like(angle)))).float()

    def after(self, seconds: float) -> Groove:
        """Returns the same beat on the time axis of a window that begins `seconds` later."""
        return replace(self, beat=self.beat - seconds)


def groove_of_music(onsets: Tensor, rate: float) -> Groove:
    """Returns the beat of music.

    Args:
        onsets: onset strength [steps], at least 2 s of it.
        rate: steps per second.
    """
    onsets = onsets.double().cpu()
    tempo = tempo_of(onsets, rate)
    tempi = (tempo * torch.linspace(0.96, 1.04, 161, dtype=torch.float64)).clamp(SLOWEST_TEMPO, FASTEST_TEMPO)
    recurrence = _recurrence(onsets - onsets.mean(), rate, tempi)
    return _groove_at(tempi, recurrence, int(recurrence.abs().argmax()), max(0.0, beat_autocorrelation(onsets, rate)))


def groove_of_picture(cuts: Tensor, rate: float, tempo: float, strength: float) -> Groove:
    """Returns the beat that suits a picture: near a tempo, and with beats on as many cuts as possible.

    It maximizes the logarithm of a von Mises likelihood of the cuts' positions between beats, plus that of a Gaussian
    likelihood of the tempo.

    Args:
        cuts: pulses of the cuts over the whole video (`models.features.rhythm_curve.pulses`), [steps].
        rate: steps per second.
        tempo: the tempo that suits the picture best, in beats per minute.
        strength: strength of the groove.
    """
    low, high = (
        min(max(tempo * 2 ** (side * 2.5 * TEMPO_DEVIATION), SLOWEST_TEMPO), FASTEST_TEMPO) for side in (-1, 1)
    )
    # Neighboring tempi may drift apart by no more than a tenth of a beat over the whole video.
    count = max(201, math.ceil(10 * (high - low) / 60 * len(cuts) / rate))
    tempi = torch.linspace(low, high, count, dtype=torch.float64)
    recurrence = _recurrence(cuts.double().cpu(), rate, tempi)
    deviation = torch.log2(tempi / tempo) / TEMPO_DEVIATION
    best = int((CONCENTRATION * recurrence.abs() - deviation.square() / 2).argmax())
    return _groove_at(tempi, recurrence, best, strength)


def _recurrence(values: Tensor, rate: float, tempi: Tensor) -> Tensor:
    """Returns the Fourier sum of values [steps] at each tempo; its angle is their position between two beats."""
    present = values.nonzero()[:, 0]
    times = (present + 0.5) / rate
    sums = [
        (values[present] * torch.exp(2j * math.pi * chunk[:, None] / 60 * times)).sum(1) for chunk in tempi.split(512)
    ]
    return torch.cat(sums)


def _groove_at(tempi: Tensor, sums: Tensor, best: int, strength: float) -> Groove:
    """Returns the groove of the tempo with the index `best` and the phase of its Fourier sum."""
    tempo = float(tempi[best])
    return Groove(tempo, float(sums[best].angle()) / (2 * math.pi) * 60 / tempo, min(1.0, strength))
