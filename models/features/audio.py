"""Audio features: spectra, onset strength, chroma and key.

Audio is float [samples] or [channels, samples]. Spectra, mel bands and onset strength equal those of librosa (0.11,
McFee et al., "librosa: Audio and Music Signal Analysis in Python", SciPy 2015), which is not needed here.
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
"""Samples between two values of onset strength, which makes 86.13 values per second at 44.1 kHz."""
N_FFT = 2048
CHROMA_FFT, CHROMA_HOP = 8192, 2048
CHROMA_RANGE = (60.0, 2000.0)
"""Frequencies in Hz that count: from the lowest bass notes up to the second harmonics of a melody."""
SILENCE_DB = -60.0
"""Level in dB RMS below which a window counts as silent."""

Mode = Literal["major", "minor"]

# Krumhansl & Kessler 1982: probe-tone ratings from the tonic upwards.
PROFILES: dict[Mode, tuple[float, ...]] = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


@dataclass(frozen=True)
class Key:
    """A musical key.

    Attributes:
        tonic: pitch class, 0 = C .. 11 = B.
        mode: mode of the scale.
        clarity: correlation with the profile of the key, -1..1; 0 for silence.
    """

    tonic: int
    mode: Mode
    clarity: float


def mono(audio: Tensor) -> Tensor:
    """Returns the mean of the channels: [samples] or [channels, samples] -> [samples]."""
    if audio.ndim not in (1, 2):
        raise ValueError(f"expected audio of [samples] or [channels, samples], got {list(audio.shape)}")
    return audio if audio.ndim == 1 else audio.mean(0)


@lru_cache(maxsize=16)
def mel_filters(sample_rate: int, n_fft: int, mels: int, low: float = 0.0, high: float | None = None) -> Tensor:
    """Returns triangles on the Slaney mel scale, each of unit area over Hz: [mels, 1 + n_fft / 2] float32, as librosa.

    Args:
        sample_rate: samples per second of the audio.
        n_fft: samples per window.
        mels: number of bands.
        low, high: frequencies in Hz where the bands begin and end; `high` is half the sample rate if left out.
    """
    high = sample_rate / 2 if high is None else high
    edges = _hertz(torch.linspace(hertz_to_mel(low), hertz_to_mel(high), mels + 2, dtype=torch.float64))
    frequencies = torch.linspace(0, sample_rate / 2, 1 + n_fft // 2, dtype=torch.float64)
    distance = edges[:, None] - frequencies
    width = edges.diff()[:, None]
    triangles = torch.minimum(-distance[:-2] / width[:-1], distance[2:] / width[1:]).clamp(min=0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


def hertz_to_mel(hertz: float) -> float:
    """Returns Slaney's mel scale (Auditory Toolbox, 1998): linear to 1 kHz = 15 mel, then 27 mel per factor of 6.4."""
    return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _hertz(mels: Tensor) -> Tensor:
    return torch.where(mels < 15, 200 * mels / 3, 1000 * torch.exp((mels - 15) * (math.log(6.4) / 27)))


def spectrogram(audio: Tensor, n_fft: int = N_FFT, hop: int = HOP) -> Tensor:
    """Returns magnitudes [1 + n_fft / 2, 1 + samples // hop] of Hann windows centered on every `hop`-th sample.

    The audio is padded with zeros before its first and after its last sample.
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
    """Returns the power of the mel bands, [mels, 1 + samples // hop]; see `mel_filters` and `spectrogram`."""
    return mel_filters(sample_rate, n_fft, mels, 0.0, high).to(audio) @ spectrogram(audio, n_fft, hop).square()


def decibels(power: Tensor, floor: float | None = None) -> Tensor:
    """Returns power in dB, in the same shape.

    Args:
        power: values of at least 0.
        floor: the lowest result in dB; 80 dB below the greatest one if left out, as in librosa's `power_to_db`.
    """
    level = 10 * power.clamp(min=1e-10).log10()
    return level.clamp(min=float(level.max()) - 80 if floor is None else floor)


def log_mel(audio: Tensor, sample_rate: int = SAMPLE_RATE, hop: int = HOP) -> Tensor:
    """Returns 128 mel bands in dB, at most 80 dB below the greatest value of the clip: [128, 1 + samples // hop]."""
    return decibels(mel_power(audio, sample_rate, hop=hop))


def onset_strength(audio: Tensor, sample_rate: int = SAMPLE_RATE, hop: int = HOP) -> Tensor:
    """Returns onset strength [1 + samples // hop] in dB: the mean rise of the mel bands from one frame to the next.

    It equals `librosa.onset.onset_strength`: the differences of neighboring frames in 128 bands, with falls counted as
    0, averaged over the bands and shifted by half a window so that an onset lies where its sound begins.

    Args:
        audio: [samples] or [channels, samples].
        sample_rate: samples per second of the audio.
        hop: samples between two values.
    """
    return rises(log_mel(audio, sample_rate, hop), hop)


def attack_strength(audio: Tensor, sample_rate: int = SAMPLE_RATE, hop: int = HOP) -> Tensor:
    """Returns `onset_strength` of magnitudes instead of dB: [1 + samples // hop], about 0.1 on average in loud music.

    In dB a soft tick in a pause is as strong an onset as any other. In magnitudes it is as weak as it would be beside a
    stroke of the whole band, which is what tells accents and beats apart from other onsets.
    """
    return rises(mel_power(audio, sample_rate, hop=hop).sqrt(), hop)


def rises(bands: Tensor, hop: int) -> Tensor:
    """Returns the mean rise of bands [bands, frames] since the frame before, where its sound begins: [frames]."""
    rise = bands.diff(dim=1).clamp(min=0).mean(0)
    # A window contains the beginning of a sound as soon as its end reaches it, half a window before its middle does.
    delay = 1 + N_FFT // (2 * hop)
    return torch.cat((rise.new_zeros(delay), rise))[: bands.shape[1]]


@lru_cache(maxsize=4)
def _chroma_filters(sample_rate: int, n_fft: int) -> Tensor:
    """Returns the weights of frequencies in pitch classes, [12, 1 + n_fft / 2]: Gaussian in semitones, A = 440 Hz."""
    frequencies = torch.linspace(0, sample_rate / 2, 1 + n_fft // 2, dtype=torch.float64)
    low, high = CHROMA_RANGE
    pitch = 69 + 12 * torch.log2(frequencies.clamp(min=1) / 440)
    distance = torch.remainder(pitch - torch.arange(12, dtype=torch.float64)[:, None] + 6, 12) - 6
    weights = torch.exp(-0.5 * (distance / 0.25).square())
    return (weights * ((frequencies >= low) & (frequencies <= high))).float()


def chroma(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Returns the share of each pitch class in the magnitudes: [frames, 12], 0 = C .. 11 = B, each frame summing to 1.

    Windows are 186 ms long and 46 ms apart (at 44.1 kHz); frequencies of 60..2000 Hz count, tuned to A = 440 Hz. The
    values of silent frames are all 0.

    Args:
        audio: [samples] or [channels, samples].
        sample_rate: samples per second of the audio.
    """
    scale = sample_rate / SAMPLE_RATE
    n_fft, hop = 2 * round(CHROMA_FFT * scale / 2), round(CHROMA_HOP * scale)
    magnitudes = spectrogram(audio, n_fft, hop)
    weights = (_chroma_filters(sample_rate, n_fft).to(audio) @ magnitudes).T
    # The level follows from Parseval's theorem; the squares of a Hann window sum to 3/8 of its length.
    level = 10 * (2 * magnitudes.square().sum(0) / (0.375 * n_fft**2)).clamp(min=1e-10).log10()
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-9) * (level > SILENCE_DB)[:, None]


def key_of(chroma: Tensor) -> Key:
    """Returns the key whose Krumhansl-Kessler profile correlates best with the mean of chroma [frames, 12]."""
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
