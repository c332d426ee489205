"""Finding phases for magnitudes: each peak of a spectrum continues as a sine, then Griffin-Lim improves the result."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MOMENTUM = 0.99
"""Momentum of the fast Griffin-Lim algorithm."""


def griffin_lim(magnitudes: Tensor, angles: Tensor, window: Tensor, hop: int, iterations: int) -> Tensor:
    """Returns phases for the magnitudes of a sound's spectra, as complex numbers [bins, frames] of absolute value 1.

    This is the fast Griffin-Lim algorithm (Perraudin, Balazs, Sondergaard 2013). Nothing is random: the same magnitudes
    give the same phases. The phases of a frame depend on `frames_seen` frames to either side.

    Args:
        magnitudes: [bins, frames]; frame i lies around the middle of the i-th `hop` samples.
        angles: angles that the search begins with, [bins, frames], see `advancing_phases`.
        window: window of the analysis, periodic Hann, [n_fft].
        hop: samples between two frames.
        iterations: iterations of the algorithm.
    """
    phases = torch.polar(torch.ones_like(magnitudes), angles)
    previous = torch.zeros_like(phases)
    for _ in range(iterations):
        consistent = stft(istft(magnitudes * phases, window, hop), window, hop)
        accelerated = consistent + MOMENTUM * (consistent - previous)
        previous, phases = consistent, accelerated / accelerated.abs().clamp(min=1e-9)
    return phases


def frames_seen(n_fft: int, hop: int, iterations: int) -> int:
    """Returns how many frames to either side the sound of a frame depends on: each iteration adds those it overlaps."""
    return (iterations + 1) * (-(-n_fft // hop) - 1)


def advancing_phases(magnitudes: Tensor, n_fft: int, hop: int, last: Tensor | None = None) -> Tensor:
    """Returns angles [bins, frames] that advance by the frequency of the nearest peak.

    This is the single-pass spectrogram inversion of Beauregard, Harish and Wyse (2015). A parabola through the log
    magnitudes of a peak gives its frequency between the bins. The bins around a peak alternate in sign, as those of a
    windowed sine do.

    Args:
        magnitudes: [bins, frames].
        n_fft: samples of a window.
        hop: samples between two frames.
        last: angles of the frame before the first, [bins]; zeros if left out.
    """
    bins, frames = magnitudes.shape
    lower, upper = F.pad(magnitudes, (0, 0, 1, 0))[:-1], F.pad(magnitudes, (0, 0, 0, 1))[1:]
    peak = (magnitudes > lower) & (magnitudes >= upper)
    below, at, above = ((x + 1e-9).log() for x in (lower, magnitudes, upper))
    offset = (0.5 * (below - above) / (below - 2 * at + above).clamp(max=-1e-6)).clamp(-0.5, 0.5)
    index = torch.arange(bins, device=magnitudes.device)[:, None].expand(bins, frames)
    advance = (2 * math.pi * hop / n_fft) * (index + offset)
    nearest = _nearest(peak, index)
    advance = advance.gather(0, nearest)
    sign = math.pi * ((index - nearest) % 2)
    phases, last = torch.empty_like(magnitudes), magnitudes.new_zeros(bins) if last is None else last
    for frame in range(frames):
        last = last.gather(0, nearest[:, frame]) + advance[:, frame] + sign[:, frame]
        last = torch.remainder(last, 2 * math.pi)  # otherwise single precision would lose the phase in a long piece
        phases[:, frame] = last
    return phases


def _nearest(peak: Tensor, index: Tensor) -> Tensor:
    """Returns the index of the peak nearest to each bin in its frame, [bins, frames]; its own if there is none."""
    bins = len(index)
    left = torch.where(peak, index, -bins).cummax(0).values
    right = torch.where(peak, index, 2 * bins).flip(0).cummin(0).values.flip(0)
    nearest = torch.where(index - left <= right - index, left, right)
    return torch.where((nearest < 0) | (nearest >= bins), index, nearest)


def stft(audio: Tensor, window: Tensor, hop: int) -> Tensor:
    """Returns the spectra [bins, frames] of a sound [frames * hop]."""
    n_fft = len(window)
    reach = (n_fft - hop) // 2
    padded = F.pad(audio, (reach, n_fft - hop - reach))
    return torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True)


def istft(spectra: Tensor, window: Tensor, hop: int) -> Tensor:
    """Returns the sound [frames * hop] whose windowed spectra come nearest to the given spectra [bins, frames]."""
    n_fft, frames = len(window), spectra.shape[-1]
    pieces = torch.fft.irfft(spectra, n_fft, dim=0) * window[:, None]
    length = (frames - 1) * hop + n_fft
    audio = _overlap_added(pieces, hop, length)
    weight = _overlap_added((window**2)[:, None].expand(n_fft, frames), hop, length)
    reach = (n_fft - hop) // 2
    return (audio / weight.clamp(min=1e-3))[reach : reach + frames * hop]


def _overlap_added(pieces: Tensor, hop: int, length: int) -> Tensor:
    """Returns the sum of pieces [n_fft, frames], each `hop` samples after the one before: [length]."""
    added = F.fold(pieces[None].contiguous(), (1, length), (1, len(pieces)), stride=(1, hop))
    return added[0, 0, 0]
