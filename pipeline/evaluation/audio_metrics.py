"""All measurements of one piece of music in an evaluation, so that the music itself need not be kept."""

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
"""Values per second of the rhythm curve with which the music of all models is compared."""
MOOD_TEMPO = 102.0
"""Beats per minute between the tempi of dark, cold music of the corpus (60..94) and those of bright, warm music
(112..160)."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SpectrumSums:
    """Sums over the frames of log-mel spectra; the statistics of any set of pieces follow from their sums.

    Attributes:
        frames: number of frames.
        total: sum of the frames, [80].
        products: sum of the outer products of frames with themselves, [80, 80].
    """

    frames: int
    total: Floats
    products: Floats

    def __add__(self, other: SpectrumSums) -> SpectrumSums:
        return SpectrumSums(self.frames + other.frames, self.total + other.total, self.products + other.products)


def spectrum_sums(music: Tensor) -> SpectrumSums:
    """Returns the sums over the frames of `models.metrics.metrics.log_magnitudes` of one piece."""
    frames = log_magnitudes(music).double().cpu().numpy()
    return SpectrumSums(frames.shape[1], frames.sum(1), frames @ frames.T)


def statistics(parts: Sequence[SpectrumSums]) -> FrameStatistics:
    """Returns mean and covariance of the log-mel spectra over all frames of some pieces."""
    whole = reduce(SpectrumSums.__add__, parts)
    mean = whole.total / whole.frames
    return FrameStatistics(mean, (whole.products - whole.frames * np.outer(mean, mean)) / (whole.frames - 1))


def per_second(curve: Tensor, rate: float) -> Tensor:
    """Returns the mean of a curve [values] in each whole second: [seconds].

    A value on the boundary of two seconds belongs to the later one.
    """
    seconds = math.floor(round(len(curve) / rate, 6))
    second = (torch.arange(len(curve), dtype=torch.float64) / rate).round(decimals=6).floor().long()
    inside = second < seconds
    values = curve.double().cpu()[inside]
    return torch.zeros(seconds, dtype=torch.float64).scatter_reduce(
        0, second[inside], values, "mean", include_self=False
    )


@dataclass(frozen=True)
class RhythmMeasurement:
    """The rhythm of one piece.

    Attributes:
        seconds: mean of each second of the rhythm that the model is conditioned with.
        curve: mean of each second of channel 0 of the rhythm curve (onset strength), which is the same for all models.
        onsets: onset strength, 86 values per second.
    """

    seconds: Tensor
    curve: Tensor
    onsets: Tensor


@dataclass(frozen=True)
class SoundMeasurement:
    """Key, beat, tempo and spectra of one piece.

    Attributes:
        key: key whose Krumhansl-Kessler profile correlates best with the mean chroma.
        beat: greatest autocorrelation of onset strength at 60..180 beats per minute.
        tempo: beats per minute, 60..180.
        spectrum_sums: sums over its spectra.
    """

    key: Key
    beat: float
    tempo: float
    spectrum_sums: SpectrumSums

    def fits_mood(self, mood_label: int) -> tuple[bool, bool]:
        """Returns whether mode and tempo are those of a mood in the corpus: 1 bright and warm, -1 dark and cold.

        Bright, warm music is in major and faster than 102 beats per minute; dark, cold music is in minor and slower.
        A tempo that is measured at half or double speed counts as it is measured.
        """
        is_bright = mood_label > 0
        return self.key.mode == ("major" if is_bright else "minor"), (self.tempo > MOOD_TEMPO) == is_bright


def measure_rhythm(music: Tensor, model_rhythm: Tensor, rate: float) -> RhythmMeasurement:
    """Measures the rhythm of music.

    Args:
        music: [channels, samples].
        model_rhythm: rhythm of the music as the model measures it, [steps].
        rate: steps per second of `model_rhythm`.
    """
    seconds = per_second(model_rhythm, rate)
    if rate == CURVE_RATE:
        return RhythmMeasurement(seconds, seconds, onset_strength(music).cpu())
    frames = math.ceil(round(music.shape[-1] / SAMPLE_RATE * CURVE_RATE, 6))
    curve = rhythm_curve(music, SAMPLE_RATE, CURVE_RATE, frames)[0]
    return RhythmMeasurement(seconds, per_second(curve, CURVE_RATE), onset_strength(music).cpu())


def measure_sound(music: Tensor, onsets: Tensor) -> SoundMeasurement:
    """Measures key, beat, tempo and spectra of music [channels, samples] with a known onset strength."""
    rate = SAMPLE_RATE / HOP
    tempo = tempo_of(attack_strength(music), rate)
    return SoundMeasurement(key_of(chroma(music)), beat_autocorrelation(onsets, rate), tempo, spectrum_sums(music))


@dataclass(frozen=True)
class CodecMeasurement:
    """The comparison of music with its reconstruction by the autoencoder.

    Attributes:
        log_mel_l1, onset_correlation, chroma_correlation: see `models.metrics.metrics`.
        spectrum_sums: sums over the spectra of the reconstruction.
    """

    log_mel_l1: float
    onset_correlation: float
    chroma_correlation: float
    spectrum_sums: SpectrumSums


def measure_codec(music: Tensor, reconstruction: Tensor) -> CodecMeasurement:
    """Compares music with its reconstruction."""
    return CodecMeasurement(
        log_mel_l1(music, reconstruction),
        onset_correlation(music, reconstruction),
        chroma_correlation(music, reconstruction),
        spectrum_sums(reconstruction),
    )


def strong_accents(music: Tensor) -> Tensor:
    """Returns the times of accents in seconds, as they are in the third channel of the rhythm curve of music."""
    return accent_times(music)[0]
