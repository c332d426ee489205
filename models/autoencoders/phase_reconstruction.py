"""Phases for magnitudes: each peak of the spectrum is a sine that goes on, then a few steps towards consistency."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MOMENTUM = 0.99


def invert(magnitudes: Tensor, angles: Tensor, window: Tensor, hop: int, iterations: int) -> Tensor:
    """Phases, as numbers [bins, frames] on the unit circle, that go with the given magnitudes of a sound's spectra.

    The fast Griffin-Lim algorithm (Perraudin, Balazs, Sondergaard 2013). Nothing is drawn at random: the same
    magnitudes give the same phases. A frame's phases depend on `frames_seen` frames to either side.

    Args:
        magnitudes: [bins, frames], frame i around the middle of the i-th `hop` samples.
        angles: [bins, frames] where the search begins: those of `advancing_phases`.
        window: of the analysis, periodic Hann.
        hop: samples between two frames.
        iterations: of Griffin-Lim.
    """
    phases = torch.polar(torch.ones_like(magnitudes), angles)
    before = torch.zeros_like(phases)
    for _ in range(iterations):
        now = analysed(synthesised(magnitudes * phases, window, hop), window, hop)
        ahead = now + MOMENTUM * (now - before)
        before, phases = now, ahead / ahead.abs().clamp(min=1e-9)
    return phases


def frames_seen(n_fft: int, hop: int, iterations: int) -> int:
    """Frames to either side on which the sound of a frame depends: those that it overlaps, in each iteration again."""
    return (iterations + 1) * (-(-n_fft // hop) - 1)


def advancing_phases(magnitudes: Tensor, n_fft: int, hop: int, last: Tensor | None = None) -> Tensor:
    """Phases [bins, frames] that advance by the frequency of the nearest peak (Beauregard, Harish, Wyse, SPSI, 2015).

    A parabola through a peak's log magnitudes gives its frequency between the bins; the bins around a peak alternate in
    sign, as those of a windowed sine do.

    Args:
        last: [bins] phases of the frame before the first; zeros if left out.
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
        last = torch.remainder(last, 2 * math.pi)  # or single precision would lose the phase in a long piece
        phases[:, frame] = last
    return phases


def _nearest(peak: Tensor, index: Tensor) -> Tensor:
    """Index of the nearest peak of each bin in its frame, [bins, frames]; the bin's own where there is none."""
    bins = len(index)
    left = torch.where(peak, index, -bins).cummax(0).values
    right = torch.where(peak, index, 2 * bins).flip(0).cummin(0).values.flip(0)
    nearest = torch.where(index - left <= right - index, left, right)
    return torch.where((nearest < 0) | (nearest >= bins), index, nearest)


def analysed(audio: Tensor, window: Tensor, hop: int) -> Tensor:
    """Spectra [bins, frames] of a sound [frames * hop]."""
    n_fft = len(window)
    reach = (n_fft - hop) // 2
    padded = F.pad(audio, (reach, n_fft - hop - reach))
    return torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True)


def synthesised(spectra: Tensor, window: Tensor, hop: int) -> Tensor:
    """The sound [frames * hop] whose windowed stretches come nearest to the spectra [bins, frames]."""
    n_fft, frames = len(window), spectra.shape[-1]
    pieces = torch.fft.irfft(spectra, n_fft, dim=0) * window[:, None]
    length = (frames - 1) * hop + n_fft
    audio = _overlap_added(pieces, hop, length)
    weight = _overlap_added((window**2)[:, None].expand(n_fft, frames), hop, length)
    reach = (n_fft - hop) // 2
    return (audio / weight.clamp(min=1e-3))[reach : reach + frames * hop]


def _overlap_added(pieces: Tensor, hop: int, length: int) -> Tensor:
    """Sum of pieces [n_fft, frames], each `hop` samples after the one before: [length]."""
    added = F.fold(pieces[None].contiguous(), (1, length), (1, len(pieces)), stride=(1, hop))
    return added[0, 0, 0]
