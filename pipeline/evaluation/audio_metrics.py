"""Hearing: everything that an evaluation measures of one piece of music, so that the music itself need not be kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.features.audio import HOP, SAMPLE_RATE, Key, attack_strength, chroma, key_of, onset_strength
from models.features.rhythm_curve import accent_times, beat_autocorrelation, rhythm_curve, tempo_of
from models.metrics.metrics import FrameStatistics, chroma_correlation, log_magnitudes, log_mel_l1, onset_correlation

CURVE_RATE = SAMPLE_RATE / 2048
"""Values a second of the rhythm curve by which music of all models is compared."""
SIDE = 102.0
"""Beats a minute between the tempi of dark and cold music of the corpus (60..94) and of bright, warm one (112..160)."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spectra:
    """Sums over the frames of log-mel spectra, from which the statistics of any set of clips follow.

    Attributes:
        frames: how many.
        total: of the frames, [80].
        products: of their outer products, [80, 80].
    """

    frames: int
    total: Floats
    products: Floats

    def __add__(self, other: Spectra) -> Spectra:
        return Spectra(self.frames + other.frames, self.total + other.total, self.products + other.products)


def spectra(music: Tensor) -> Spectra:
    """The sums over the `measures.log_magnitudes` of one piece."""
    frames = log_magnitudes(music).double().cpu().numpy()
    return Spectra(frames.shape[1], frames.sum(1), frames @ frames.T)


def statistics(parts: Sequence[Spectra]) -> FrameStatistics:
    """Statistics of the log-mel spectra of all frames of these pieces."""
    whole = reduce(Spectra.__add__, parts)
    mean = whole.total / whole.frames
    return FrameStatistics(mean, (whole.products - whole.frames * np.outer(mean, mean)) / (whole.frames - 1))


def per_second(curve: Tensor, rate: float) -> Tensor:
    """Mean of a curve [values] in each whole second: [seconds]. A value between two seconds is the later one's."""
    seconds = math.floor(round(len(curve) / rate, 6))
    second = (torch.arange(len(curve), dtype=torch.float64) / rate).round(decimals=6).floor().long()
    inside = second < seconds
    values = curve.double().cpu()[inside]
    return torch.zeros(seconds, dtype=torch.float64).scatter_reduce(
        0, second[inside], values, "mean", include_self=False
    )


@dataclass(frozen=True)
class Rhythm:
    """What is measured of the rhythm of one piece.

    Attributes:
        seconds: of the rhythm as the model is asked for it, the mean of each second.
        curve: of channel 0 of the rhythm curve (onset strength), the mean of each second, whatever the model.
        onsets: onset strength, 86 values a second.
    """

    seconds: Tensor
    curve: Tensor
    onsets: Tensor


@dataclass(frozen=True)
class Sound:
    """What is measured of everything else.

    Attributes:
        key: whose Krumhansl-Kessler profile correlates best with the mean chroma.
        beat: greatest autocorrelation of onset strength at 60..180 beats a minute.
        tempo: beats a minute, 60..180.
        spectra: see `Spectra`.
    """

    key: Key
    beat: float
    tempo: float
    spectra: Spectra

    def mood(self, pole: int) -> tuple[bool, bool]:
        """Whether mode and tempo are those that the corpus gives a mood: 1 bright and warm, -1 dark and cold.

        Bright and warm music is in major and faster than 102 beats a minute, dark and cold music in minor and slower.
        A tempo that is heard at half or double speed counts as it is heard.
        """
        return self.key.mode == ("major" if pole > 0 else "minor"), (self.tempo > SIDE) == (pole > 0)


def hear_rhythm(music: Tensor, asked: Tensor, rate: float) -> Rhythm:
    """Measure the rhythm of music [channels, samples]; `asked` is measured as the model measures it, at `rate`."""
    seconds = per_second(asked, rate)
    if rate == CURVE_RATE:
        return Rhythm(seconds, seconds, onset_strength(music).cpu())
    frames = math.ceil(round(music.shape[-1] / SAMPLE_RATE * CURVE_RATE, 6))
    curve = rhythm_curve(music, SAMPLE_RATE, CURVE_RATE, frames)[0]
    return Rhythm(seconds, per_second(curve, CURVE_RATE), onset_strength(music).cpu())


def hear_sound(music: Tensor, onsets: Tensor) -> Sound:
    """Measure everything else of music whose onset strength is known."""
    rate = SAMPLE_RATE / HOP
    tempo = tempo_of(attack_strength(music), rate)
    return Sound(key_of(chroma(music)), beat_autocorrelation(onsets, rate), tempo, spectra(music))


@dataclass(frozen=True)
class Codec:
    """What is measured of music after a way through the autoencoder, against the music itself.

    Attributes:
        log_mel_l1, onset_correlation, chroma_correlation: see `models.metrics.metrics`.
        spectra: of the reconstruction.
    """

    log_mel_l1: float
    onset_correlation: float
    chroma_correlation: float
    spectra: Spectra


def hear_codec(real: Tensor, back: Tensor) -> Codec:
    """Compare music with its reconstruction."""
    return Codec(log_mel_l1(real, back), onset_correlation(real, back), chroma_correlation(real, back), spectra(back))


def strong_accents(music: Tensor) -> Tensor:
    """Times in seconds of the accents of music: those that the third channel of its rhythm curve asks for."""
    return accent_times(music)[0]
