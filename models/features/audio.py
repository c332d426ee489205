"""Hearing as arithmetic: spectra, onset strength, chroma and key of audio.

Audio comes as float [samples] or [channels, samples]. Spectra, mel bands and onset strength equal librosa's (0.11,
McFee et al., "librosa: Audio and Music Signal Analysis in Python", SciPy 2015) without needing it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

SAMPLE_RATE = 44_100
HOP = 512
"""Samples between two values of onset strength: 86.13 a second at 44.1 kHz."""
N_FFT = 2048
CHROMA_FFT, CHROMA_HOP = 8192, 2048
CHROMA_RANGE = (60.0, 2000.0)
"""Hz: from the lowest bass notes up to the second harmonics of a melody."""
SILENCE_DB = -60.0
"""Level of a window, dB RMS, below which it counts as silent."""

Mode = Literal["major", "minor"]

# Krumhansl & Kessler 1982, probe-tone ratings from the tonic upwards.
PROFILES: dict[Mode, tuple[float, ...]] = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


@dataclass(frozen=True)
class Key:
    """A musical key.

    Attributes:
        tonic: pitch class, 0 = C .. 11 = B.
        mode: of the scale.
        clarity: correlation with the key's profile, -1..1; 0 where nothing sounds.
    """

    tonic: int
    mode: Mode
    clarity: float


def mono(audio: Tensor) -> Tensor:
    """Mean of the channels: [samples] or [channels, samples] -> [samples]."""
    if audio.ndim not in (1, 2):
        raise ValueError(f"expected audio of [samples] or [channels, samples], got {list(audio.shape)}")
    return audio if audio.ndim == 1 else audio.mean(0)


@lru_cache(maxsize=16)
def mel_filters(sample_rate: int, n_fft: int, mels: int, low: float = 0.0, high: float | None = None) -> Tensor:
    """Triangles on the Slaney mel scale, each of unit area over Hz: [mels, 1 + n_fft / 2] float32, as librosa.

    Args:
        sample_rate: of the audio.
        n_fft: samples of a window.
        mels: number of bands.
        low, high: Hz where the bands begin and end; half the sample rate if `high` is left out.
    """
    high = sample_rate / 2 if high is None else high
    edges = _hertz(torch.linspace(_slaney(low), _slaney(high), mels + 2, dtype=torch.float64))
    frequencies = torch.linspace(0, sample_rate / 2, 1 + n_fft // 2, dtype=torch.float64)
    distance = edges[:, None] - frequencies
    width = edges.diff()[:, None]
    triangles = torch.minimum(-distance[:-2] / width[:-1], distance[2:] / width[1:]).clamp(min=0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


# Slaney's scale (Auditory Toolbox, 1998): linear to 1 kHz = 15 mel, then 27 mel for each factor of 6.4.
def _slaney(hertz: float) -> float:
    return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _hertz(mels: Tensor) -> Tensor:
    return torch.where(mels < 15, 200 * mels / 3, 1000 * torch.exp((mels - 15) * (math.log(6.4) / 27)))


def spectrogram(audio: Tensor, n_fft: int = N_FFT, hop: int = HOP) -> Tensor:
    """Magnitudes [1 + n_fft / 2, 1 + samples // hop] of Hann windows centered on every `hop`-th sample.

    Zeros are taken before the first and after the last sample.
    """
    window = torch.hann_window(n_fft, dtype=audio.dtype, device=audio.device)
    spectrum = torch.stft(mono(audio), n_fft, hop, window=window, pad_mode="constant", return_complex=True)
    return spectrum.abs()


def mel_power(
    audio: Tensor,
    sample_rate: int = SAMPLE_RATE,
    mels: int = 128,
    n_fft: int = N_FFT,
    hop: int = HOP,
    high: float | None = None,
) -> Tensor:
    """Power of the mel bands: [mels, 1 + samples // hop]; for the arguments see `mel_filters` and `spectrogram`."""
    return mel_filters(sample_rate, n_fft, mels, 0.0, high).to(audio) @ spectrogram(audio, n_fft, hop).square()


def decibels(power: Tensor, floor: float | None = None) -> Tensor:
    """Power in dB, of the same shape.

    Args:
        power: at least 0.
        floor: the lowest value in dB; 80 dB below the greatest one if left out, as librosa's `power_to_db`.
    """
    level = 10 * power.clamp(min=1e-10).log10()
    return level.clamp(min=float(level.max()) - 80 if floor is None else floor)


def log_mel(audio: Tensor, sample_rate: int = SAMPLE_RATE, hop: int = HOP) -> Tensor:
    """128 mel bands in dB, at most 80 dB below the clip's greatest: [128, 1 + samples // hop]."""
    return decibels(mel_power(audio, sample_rate, hop=hop))


def onset_strength(audio: Tensor, sample_rate: int = SAMPLE_RATE, hop: int = HOP) -> Tensor:
    """Onset strength [1 + samples // hop], dB: how much the mel bands rise from one frame to the next, on average.

    As `librosa.onset.onset_strength`: 128 bands, differences of neighbouring frames, falls counted as 0, the mean over
    the bands, moved by half a window so that a sound's onset is where the sound begins.

    Args:
        audio: [samples] or [channels, samples].
        sample_rate: of the audio.
        hop: samples between two values.
    """
    return rises(log_mel(audio, sample_rate, hop), hop)


def attack_strength(audio: Tensor, sample_rate: int = SAMPLE_RATE, hop: int = HOP) -> Tensor:
    """Like `onset_strength`, of magnitudes instead of dB: [1 + samples // hop], about 0.1 on average in loud music.

    A soft tick in a pause is an onset like any other; here it counts for as little as it would beside a stroke of the
    whole band. Tells accents and beats from mere onsets.
    """
    return rises(mel_power(audio, sample_rate, hop=hop).sqrt(), hop)


def rises(bands: Tensor, hop: int) -> Tensor:
    """Mean rise of bands [bands, frames] since the frame before -> [frames], where its sound begins."""
    rise = bands.diff(dim=1).clamp(min=0).mean(0)
    # A window first hears a sound half its length before its middle reaches it.
    delay = 1 + N_FFT // (2 * hop)
    return torch.cat((rise.new_zeros(delay), rise))[: bands.shape[1]]


@lru_cache(maxsize=4)
def _chroma_filters(sample_rate: int, n_fft: int) -> Tensor:
    """Weight of each frequency in each pitch class: [12, 1 + n_fft / 2], Gaussian in semitones, A = 440 Hz."""
    frequencies = torch.linspace(0, sample_rate / 2, 1 + n_fft // 2, dtype=torch.float64)
    low, high = CHROMA_RANGE
    pitch = 69 + 12 * torch.log2(frequencies.clamp(min=1) / 440)
    distance = torch.remainder(pitch - torch.arange(12, dtype=torch.float64)[:, None] + 6, 12) - 6
    weights = torch.exp(-0.5 * (distance / 0.25).square())
    return (weights * ((frequencies >= low) & (frequencies <= high))).float()


def chroma(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Share of each pitch class in the magnitudes: [frames, 12], 0 = C .. 11 = B, each frame summing to 1.

    From windows of 186 ms every 46 ms (at 44.1 kHz), 60..2000 Hz, tuned to A = 440 Hz. Silent frames are all 0.

    Args:
        audio: [samples] or [channels, samples].
        sample_rate: of the audio.
    """
    scale = sample_rate / SAMPLE_RATE
    n_fft, hop = 2 * round(CHROMA_FFT * scale / 2), round(CHROMA_HOP * scale)
    magnitudes = spectrogram(audio, n_fft, hop)
    weights = (_chroma_filters(sample_rate, n_fft).to(audio) @ magnitudes).T
    # Parseval with a Hann window, whose squares sum to 3/8 of its length.
    level = 10 * (2 * magnitudes.square().sum(0) / (0.375 * n_fft**2)).clamp(min=1e-10).log10()
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-9) * (level > SILENCE_DB)[:, None]


def key_of(chroma: Tensor) -> Key:
    """The key whose Krumhansl-Kessler profile correlates best with the mean of chroma [frames, 12]."""
    mean = chroma.mean(0).double()
    mean = mean - mean.mean()
    if float(mean.norm()) < 1e-9:
        return Key(0, "major", 0.0)
    best = Key(0, "major", -1.0)
    for mode, ratings in PROFILES.items():
        profile = torch.tensor(ratings, dtype=torch.float64, device=mean.device)
        profile = profile - profile.mean()
        for tonic in range(12):
            clarity = float(mean @ profile.roll(tonic) / (mean.norm() * profile.norm()))
            if clarity > best.clarity:
                best = Key(tonic, mode, clarity)
    return best
