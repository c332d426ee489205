"""What the released rhythm predictors learn from: three descriptions of a clip's rhythm on a grid of whole seconds.

Frames fall into the second in which their time lies. (The released code rounds to the nearest second, which moves half
of all onsets one second late.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.features.audio import HOP, SAMPLE_RATE, log_mel, onset_strength
from models.features.rhythm_curve import find_peaks

PROMINENCE = 0.05
BINS = 16
TEMPO_HOP, TEMPO_WINDOW = 128, 384


def odf(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Onset detection function [seconds, 1]: the strongest onset of each second, in standard deviations, at least 0.

    Onset strength is standardised over the clip; peaks that stand out by 0.05 count.

    Args:
        audio: [samples] or [channels, samples].
        sample_rate: of the audio.
    """
    strength = _standardised(onset_strength(audio, sample_rate)).cpu()
    peaks, _ = find_peaks(strength.numpy(), PROMINENCE)
    index = torch.from_numpy(peaks)
    seconds = _seconds(audio, sample_rate)
    second = (index * HOP // sample_rate).clamp(max=seconds - 1)
    return torch.zeros(seconds).scatter_reduce(0, second, strength[index].float(), "amax")[:, None]


def mel_rhythm(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Low-resolution log-mel [seconds, 16]: 128 bands in dB, averaged over 8 bands and a second, standardised."""
    return _standardised(_blocks(log_mel(audio, sample_rate).T, audio, sample_rate, HOP))


def tempo_rhythm(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Low-resolution tempogram [seconds, 16]: 384 lags, averaged over 24 lags and a second, standardised."""
    strength = onset_strength(audio, sample_rate, TEMPO_HOP)
    return _standardised(_blocks(tempogram(strength).T, audio, sample_rate, TEMPO_HOP))


def tempogram(strength: Tensor, window: int = TEMPO_WINDOW) -> Tensor:
    """Local autocorrelation of onset strength [frames] -> [window, frames], at most 1, as librosa's."""
    half = window // 2
    ramp = torch.arange(half, dtype=strength.dtype, device=strength.device) / half
    padded = torch.cat((strength[0] * ramp, strength, strength[-1] * ramp.flip(0)))
    local = padded.unfold(0, window, 1)[: len(strength)] * torch.hann_window(window).to(strength)
    power = torch.fft.rfft(local, 2 * window).abs().square()
    correlation = torch.fft.irfft(power, 2 * window)[:, :window].T
    greatest = correlation.abs().amax(0)
    return correlation / torch.where(greatest < torch.finfo(greatest.dtype).tiny, 1.0, greatest)


def _seconds(audio: Tensor, sample_rate: int) -> int:
    """Seconds that have begun when the audio ends, at least 1."""
    return max(1, math.ceil(audio.shape[-1] / sample_rate))


def _blocks(frames: Tensor, audio: Tensor, sample_rate: int, hop: int) -> Tensor:
    """[frames, bins] -> [seconds, 16]: the mean of each second's frames and of neighbouring bins."""
    seconds = _seconds(audio, sample_rate)
    second = (torch.arange(len(frames), device=frames.device) * hop // sample_rate).clamp(max=seconds - 1)
    narrow = frames.reshape(len(frames), BINS, -1).mean(2)
    counts = torch.bincount(second, minlength=seconds).to(narrow)
    return narrow.new_zeros(seconds, BINS).index_add(0, second, narrow) / counts[:, None]


def _standardised(values: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 over everything; all 0 if nothing varies."""
    return (values - values.mean()) / (values.std(correction=0) + 1e-6)
