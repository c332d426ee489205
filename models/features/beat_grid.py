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


LEAST_DANCED = 6.0
"""Least sum of the strengths of kinematic beats that can be a dance."""
LEAST_GAIN = 5.0
"""Least logarithm of the ratio of likelihoods of a steady beat and of chance."""
DANCED_STRENGTH = 0.5
"""Least strength of a groove that follows a dancer."""


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


def groove_of_picture(cuts: Tensor, bodies: Tensor, rate: float, tempo: float, strength: float) -> Groove:
    """Returns the beat that suits a picture: that of a dancer, or one near a tempo, with beats on many cuts.

    It maximizes the logarithm of a von Mises likelihood of the cuts' positions between beats, plus that of a Gaussian
    likelihood of the tempo. Where kinematic beats recur so steadily that a beat explains them better than chance does,
    their likelihood is added, and all tempi are tried.

    Args:
        cuts: pulses of the cuts over the whole video (`models.features.rhythm_curve.pulses`), [steps].
        bodies: pulses of the kinematic beats, [steps].
        rate: steps per second.
        tempo: the tempo that suits the picture best, in beats per minute.
        strength: strength of the groove; that of a dancer's beat is at least `DANCED_STRENGTH`.
    """
    danced = is_danced(bodies, rate)
    reach = 1.6 if danced else 2.5 * TEMPO_DEVIATION  # octaves; the range of tempi is 1.6 octaves wide
    low, high = (min(max(tempo * 2 ** (side * reach), SLOWEST_TEMPO), FASTEST_TEMPO) for side in (-1, 1))
    # Neighboring tempi may drift apart by no more than a tenth of a beat over the whole video.
    count = max(201, math.ceil(10 * (high - low) / 60 * len(cuts) / rate))
    tempi = torch.linspace(low, high, count, dtype=torch.float64)
    recurrence = _recurrence(cuts.double().cpu(), rate, tempi)
    if danced:
        recurrence = recurrence + _recurrence(bodies.double().cpu(), rate, tempi)
        strength = max(strength, DANCED_STRENGTH)
    deviation = torch.log2(tempi / tempo) / TEMPO_DEVIATION
    best = int((CONCENTRATION * recurrence.abs() - deviation.square() / 2).argmax())
    return _groove_at(tempi, recurrence, best, strength)


def is_danced(bodies: Tensor, rate: float) -> bool:
    """Returns whether a steady beat explains the kinematic beats better than chance does.

    The beats' positions between the beats of the best tempo have a von Mises likelihood, against a uniform one. Random
    beats fit the best of many tempi a little, too, so the gain must exceed `LEAST_GAIN`.

    Args:
        bodies: pulses of the kinematic beats, [steps].
        rate: steps per second.
    """
    weight = float(bodies.sum())
    if weight < LEAST_DANCED:
        return False
    tempi = torch.exp(torch.linspace(math.log(SLOWEST_TEMPO), math.log(FASTEST_TEMPO), 1201, dtype=torch.float64))
    fit = float(_recurrence(bodies.double().cpu(), rate, tempi).abs().max())
    return CONCENTRATION * fit - weight * math.log(float(torch.special.i0(torch.tensor(CONCENTRATION)))) > LEAST_GAIN


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
