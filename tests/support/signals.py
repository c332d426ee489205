"""Synthetic audio signals with known rhythm, pitch and direction."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from models.features.audio import SAMPLE_RATE

CHORDS = {"major": ([0, 4, 7], [5, 9, 12], [7, 11, 14]), "minor": ([0, 3, 7], [5, 8, 12], [7, 11, 14])}
"""The chords of `cadence`, in semitones above its tonic."""


def white_noise(seconds: float, level: float = 0.003, seed: int = 0) -> Tensor:
    """Returns white noise with a standard deviation of `level`: [samples]."""
    return level * torch.randn(round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(seed))


def drum_strokes(times: list[float], seconds: float, loudness: list[float] | None = None) -> Tensor:
    """Returns drum strokes at some times over soft noise: [samples]."""
    audio = white_noise(seconds)
    envelope = torch.exp(-torch.arange(6000) / 1000)
    for n, time in enumerate(times):
        start = round(time * SAMPLE_RATE)
        stroke = envelope * white_noise(1, 1.0, seed=n + 1)[:6000] * (loudness[n] if loudness else 0.3)
        audio[start : start + 6000] += stroke[: len(audio) - start]
    return audio


def tones(pitches: list[int], seconds: float = 1.0) -> Tensor:
    """Returns MIDI pitches one after another, each with three harmonics: [samples]."""
    time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    notes = [
        sum(torch.sin(2 * math.pi * 440 * 2 ** ((p - 69) / 12) * n * time) / n**2 for n in (1, 2, 3)) for p in pitches
    ]
    return 0.2 * torch.cat(notes)


@cache
def cadence(tonic: int, mode: str = "major") -> Tensor:
    """Returns a cadence of four chords in 4 s: [samples]."""
    first, second, third = (sum((tones([48 + tonic + p]) for p in chord), torch.zeros(44100)) for chord in CHORDS[mode])
    return torch.cat((first, second, third, first))


def stereo_notes(frames: int = 64) -> Tensor:
    """Returns struck notes, every other one to the right: [2, frames * 2048]."""
    samples = frames * 2048
    t = torch.arange(samples) / SAMPLE_RATE
    left, right = torch.zeros(2, samples)
    for i, hertz in enumerate((261.63, 329.63, 392.0, 523.25, 440.0, 349.23)):
        since = t - 0.45 * i - 0.1
        note = torch.where(since > 0, torch.exp(-3 * since) * torch.sin(2 * torch.pi * hertz * since), 0.0)
        left, right = left + note * (1 - i % 2 * 0.9), right + note * (0.1 + i % 2 * 0.9)
    return torch.stack((left, right)) * 0.3
