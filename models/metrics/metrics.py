"""The measures of an evaluation: how close two recordings are, and how well music follows a rhythm or a picture.

Audio is float [samples] or [channels, samples]. Of two recordings only the length that both have is compared. A Pearson
correlation is 0 where one side does not vary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.features.audio import HOP, N_FFT, SAMPLE_RATE, chroma, mel_filters, mono, onset_strength, spectrogram
from models.features.rhythm_curve import find_peaks

MELS = 80
HIGHEST_HZ = 11_025.0
MEL_FLOOR = 1e-4
"""The lowest mel magnitude; smaller ones are raised to it."""
LOUDNESS = 0.2
"""The root mean square that audio is scaled to before its spectra are compared. Peaks are no measure for this: they
depend on phases, which are inaudible.
"""
TOLERANCE = 0.1
"""Seconds between a cut and an onset that still count as simultaneous."""


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Returns the correlation along the last dimension, -1..1; 0 where one side does not vary."""
    a, b = a.double(), b.double()
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    norm = a.norm(dim=-1) * b.norm(dim=-1)
    return torch.where(norm > 1e-9, (a * b).sum(-1) / norm.clamp(min=1e-9), 0.0)


def log_magnitudes(audio: Tensor, sample_rate: int = SAMPLE_RATE, gain: float | None = None) -> Tensor:
    """Returns the natural logarithms of 80 mel bands of magnitudes, 0..11,025 Hz: [80, frames].

    Windows are 46 ms long and 12 ms apart (1024 and 256 samples at 22.05 kHz, as in HiFi-GAN, arXiv 2010.05646);
    magnitudes below 1e-4 are raised to that. The result does not depend on the sample rate.

    Args:
        audio: [samples] or [channels, samples].
        sample_rate: samples per second of the audio.
        gain: factor that the audio is scaled by; without it the audio is scaled to the root mean square `LOUDNESS`.
    """
    samples = mono(audio)
    scale = sample_rate / SAMPLE_RATE
    n_fft, hop = 2 * round(N_FFT * scale / 2), round(HOP * scale)
    gain = _gain(samples) if gain is None else gain
    magnitudes = spectrogram(samples * gain, n_fft, hop) * (N_FFT / 2 / n_fft)
    return (mel_filters(sample_rate, n_fft, MELS, 0.0, HIGHEST_HZ).to(samples) @ magnitudes).clamp(min=MEL_FLOOR).log()


def log_mel_l1(a: Tensor, b: Tensor, sample_rate: int = SAMPLE_RATE) -> float:
    """Returns the mean absolute difference of `log_magnitudes`; 1 means a factor of e. The gain of `a` scales both."""
    a, b = _same_length(a, b)
    gain = _gain(mono(a))
    return float((log_magnitudes(a, sample_rate, gain) - log_magnitudes(b, sample_rate, gain)).abs().mean())


def _gain(samples: Tensor) -> float:
    return LOUDNESS / max(float(samples.square().mean().sqrt()), 1e-9)


def onset_correlation(a: Tensor, b: Tensor, sample_rate: int = SAMPLE_RATE) -> float:
    """Returns the Pearson correlation of the onset strengths of two recordings, frame by frame."""
    a, b = _same_length(a, b)
    return float(pearson(onset_strength(a, sample_rate), onset_strength(b, sample_rate)))


def chroma_correlation(real: Tensor, made: Tensor, sample_rate: int = SAMPLE_RATE) -> float:
    """Returns the Pearson correlation of the 12 pitch classes, as a mean over the frames in which `real` is not silent.

    It is 1 for the same chords and melody, and about 0 for music in unrelated keys.
    """
    real, made = _same_length(real, made)
    expected, found = chroma(real, sample_rate), chroma(made, sample_rate)
    audible = expected.sum(1) > 0
    return float(pearson(expected[audible], found[audible]).mean()) if bool(audible.any()) else 0.0


def hits(events: Tensor, strength: Tensor, rate: float = SAMPLE_RATE / HOP, tolerance: float = TOLERANCE) -> float:
    """Returns the share of n events that have one of the 2n strongest onsets within `tolerance`, 0..1.

    Args:
        events: times in seconds, [n], at least one.
        strength: onset strength, [frames].
        rate: frames per second.
        tolerance: seconds.
    """
    return float(
        _share_of_hits(events.double().cpu()[None], _strongest_onsets(strength, 2 * len(events), rate), tolerance)
    )


def hits_above_chance(
    events: Tensor,
    strength: Tensor,
    rate: float = SAMPLE_RATE / HOP,
    shifts: int = 200,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> float:
    """Returns `hits` minus its mean over random circular shifts of the events, -1..1.

    It is about 0 if the music has nothing to do with the events.

    Args:
        events, strength, rate, tolerance: see `hits`.
        shifts: how many shifts, uniform over the duration of `strength`.
        seed: seed of the shifts.
    """
    times = events.double().cpu()
    duration = len(strength) / rate
    moves = torch.rand(shifts, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * duration
    onsets = _strongest_onsets(strength, 2 * len(times), rate)
    chance = _share_of_hits((times + moves) % duration, onsets, tolerance)
    return hits(times, strength, rate, tolerance) - float(chance)


def _strongest_onsets(strength: Tensor, count: int, rate: float) -> Tensor:
    """Returns the times, in seconds, of the `count` highest peaks of onset strength."""
    if count < 1:
        raise ValueError("hits are counted for at least one event, got none")
    curve = strength.double().cpu().numpy()
    peaks, _ = find_peaks(curve, 0.0)
    return torch.from_numpy(peaks[np.argsort(-curve[peaks], kind="stable")][:count] / rate)


def _share_of_hits(events: Tensor, onsets: Tensor, tolerance: float) -> Tensor:
    """Returns the share of events [shifts, n] that have an onset [m] within `tolerance`."""
    if len(onsets) == 0:
        return events.new_zeros(())
    return ((events[..., None] - onsets).abs().amin(-1) <= tolerance).double().mean()


@dataclass(frozen=True)
class FrameStatistics:
    """A Gaussian fitted to the spectra of a set of clips: `mean` [80] and `covariance` [80, 80], float64."""

    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]


def frechet(a: FrameStatistics, b: FrameStatistics) -> float:
    """Returns the Frechet distance of two Gaussians (Dowson & Landau 1982): 0 if they are equal, never below.

    It is |mean difference|^2 + trace(A + B - 2 (A^1/2 B A^1/2)^1/2). Only symmetric square roots occur, which exist and
    stay real for covariances of less than full rank too.
    """
    root = _square_root(a.covariance)
    cross = _square_root(root @ b.covariance @ root)
    shift = a.mean - b.mean
    return max(0.0, float(shift @ shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.trace(cross)))


def _square_root(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    root: npt.NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


@dataclass(frozen=True)
class SeamRatios:
    """Ratios of the activity where windows are joined to that elsewhere; 1 means that the joins are inaudible.

    Attributes:
        onset: ratio of the mean onset strength.
        flux: ratio of the mean spectral flux, the length of the vector by which magnitudes rise from frame to frame.
    """

    onset: float
    flux: float


def seam_ratio(
    audio: Tensor, joins: Sequence[float], sample_rate: int = SAMPLE_RATE, reach: float = 0.25
) -> SeamRatios:
    """Returns onset strength and spectral flux within `reach` seconds of the joins (seconds), over those elsewhere."""
    if not joins:
        raise ValueError("seams are measured at one join or more, got none")
    magnitudes = spectrogram(audio)
    flux = magnitudes.diff(dim=1, prepend=magnitudes[:, :1]).clamp(min=0).norm(dim=0)
    times = torch.arange(len(flux), dtype=torch.float64) * HOP / sample_rate
    near = ((times[:, None] - torch.tensor(list(joins), dtype=torch.float64)).abs() <= reach).any(1).to(flux.device)
    if not bool(near.any()) or bool(near.all()):
        raise ValueError(f"the joins {list(joins)} must lie within the audio and leave some of it apart from them")
    onset_ratio, flux_ratio = (
        float(curve[near].mean() / curve[~near].mean().clamp(min=1e-9))
        for curve in (onset_strength(audio, sample_rate), flux)
    )
    return SeamRatios(onset_ratio, flux_ratio)


@dataclass(frozen=True)
class Interval:
    """A mean over clips, and the interval from `low` to `high` that contains it with a probability of 95%."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], seed: int = 0, resamples: int = 10_000) -> Interval:
    """Returns the mean with its 95% bootstrap interval (percentiles), for which clips are drawn with replacement.

    Args:
        values: one value per clip, at least one.
        seed: seed of the draws.
        resamples: how often the whole set is drawn.
    """
    data = np.asarray(values, dtype=np.float64)
    if len(data) == 0 or not np.isfinite(data).all():
        raise ValueError(f"an interval takes one finite number or more, got {list(values)}")
    draws = np.random.default_rng(seed).integers(len(data), size=(resamples, len(data)))
    low, high = np.percentile(data[draws].mean(1), (2.5, 97.5))
    return Interval(float(data.mean()), float(low), float(high))


def _same_length(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Returns both recordings as mono, cut to the length of the shorter one: [samples] each."""
    samples = min(a.shape[-1], b.shape[-1])
    return mono(a)[:samples], mono(b)[:samples]
