"""The training targets of the released rhythm predictors: three descriptions of rhythm on a grid of whole seconds.

A frame belongs to the second in which its time lies. (The released code rounds to the nearest second, which moves half
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
    """Returns the onset detection function [seconds, 1]: the strongest onset of each second, at least 0.

    It is given in standard deviations of the clip's onset strength; peaks with a prominence of 0.05 or more count.

    Args:
        audio: [samples] or [channels, samples].
        sample_rate: samples per second of the audio.
    """
    strength = _standardized(onset_strength(audio, sample_rate)).cpu()
    peaks, _ = find_peaks(strength.numpy(), PROMINENCE)
    index = torch.from_numpy(peaks)
    seconds = _seconds(audio, sample_rate)
    second = (index * HOP // sample_rate).clamp(max=seconds - 1)
    return torch.zeros(seconds).scatter_reduce(0, second, strength[index].float(), "amax")[:, None]


def mel_rhythm(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Returns a coarse log-mel [seconds, 16]: 128 bands in dB, averaged over 8 bands and a second, standardized."""
    return _standardized(_blocks(log_mel(audio, sample_rate).T, audio, sample_rate, HOP))


def tempo_rhythm(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Returns a coarse tempogram [seconds, 16]: 384 lags, averaged over 24 lags and a second, standardized."""
    strength = onset_strength(audio, sample_rate, TEMPO_HOP)
    return _standardized(_blocks(tempogram(strength).T, audio, sample_rate, TEMPO_HOP))


def tempogram(strength: Tensor, window: int = TEMPO_WINDOW) -> Tensor:
    """Returns the local autocorrelation of onset strength [frames], at most 1, as librosa does: [window, frames]."""
    half = window // 2
    ramp = torch.arange(half, dtype=strength.dtype, device=strength.device) / half
    padded = torch.cat((strength[0] * ramp, strength, strength[-1] * ramp.flip(0)))
    local = padded.unfold(0, window, 1)[: len(strength)] * torch.hann_window(window).to(strength)
    power = torch.fft.rfft(local, 2 * window).abs().square()
    correlation = torch.fft.irfft(power, 2 * window)[:, :window].T
    greatest = correlation.abs().amax(0)
    return correlation / torch.where(greatest < torch.finfo(greatest.dtype).tiny, 1.0, greatest)


def _seconds(audio: Tensor, sample_rate: int) -> int:
    """Returns the number of seconds that have begun when the audio ends, at least 1."""
    return max(1, math.ceil(audio.shape[-1] / sample_rate))


def _blocks(frames: Tensor, audio: Tensor, sample_rate: int, hop: int) -> Tensor:
    """Returns the mean over the frames of each second and over neighboring bins: [frames, bins] -> [seconds, 16]."""
    seconds = _seconds(audio, sample_rate)
    second = (torch.arange(len(frames), device=frames.device) * hop // sample_rate).clamp(max=seconds - 1)
    narrow = frames.reshape(len(frames), BINS, -1).mean(2)
    counts = torch.bincount(second, minlength=seconds).to(narrow)
    return narrow.new_zeros(seconds, BINS).index_add(0, second, narrow) / counts[:, None]


def _standardized(values: Tensor) -> Tensor:
    """Returns the values with mean 0 and standard deviation 1 over all of them; all 0 if nothing varies."""
    return (values - values.mean()) / (values.std(correction=0) + 1e-6)
