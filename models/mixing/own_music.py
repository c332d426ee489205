"""Detection of music in the original sound, by how clearly it has a key. Percussion and noise have none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.mixing.sound import Sound

WINDOW_S, HOP_S = 10.0, 2.5
"""Seconds of a window, and between two of them. Each speaks for the time around its middle."""
SHORTEST_S = 4.0
"""Seconds of a window in which something must sound while nobody speaks; vowels alone may seem to have a key."""
AROUND_SPEECH_S = 0.3
"""Seconds around speech that count as speech."""
CLEAR = 0.65
"""Clarity of the key from which on a window is music."""
QUIETEST_DB = -55.0
"""Level in decibels of full scale below which a window holds nothing."""

Span = tuple[float, float]
"""Beginning and end in seconds."""


def music_spans(sound: Sound, speech: Sequence[Span] = ()) -> list[Span]:
    """Returns the times at which a sound is music with a key.

    Args:
        sound: the sound.
        speech: times at which somebody speaks; they are left out of what is judged.
    """
    duration = sound.samples / sound.sample_rate
    if duration < SHORTEST_S:
        return []
    count = max(1, math.ceil((duration - WINDOW_S) / HOP_S) + 1)
    spans = list[Span]()
    for number in range(count):
        start = min(number * HOP_S, max(duration - WINDOW_S, 0.0))
        if _is_music(sound, start, speech):
            margin = (WINDOW_S - 2 * HOP_S) / 2
            begin = 0.0 if number == 0 else start + margin
            end = duration if number == count - 1 else start + WINDOW_S - margin
            if spans and begin <= spans[-1][1]:
                begin = spans.pop()[0]
            spans.append((begin, end))
    return spans


def _is_music(sound: Sound, start: float, speech: Sequence[Span]) -> bool:
    """Whether the window that starts at a time in seconds is music."""
    import torch

    from models.features.audio import chroma, key_of

    first, length = round(start * sound.sample_rate), round(WINDOW_S * sound.sample_rate)
    samples = sound.read(first, min(first + length, sound.samples)).mean(1)
    if float(np.sqrt(np.mean(np.square(samples)))) < 10 ** (QUIETEST_DB / 20):
        return False
    with torch.inference_mode():
        frames = chroma(torch.from_numpy(samples), sound.sample_rate)
        step = len(samples) / sound.sample_rate / len(frames)
        times = start + (torch.arange(len(frames)) + 0.5) * step
        judged = frames.sum(1) > 0
        for begin, end in speech:
            judged &= (times < begin - AROUND_SPEECH_S) | (times > end + AROUND_SPEECH_S)
        if int(judged.sum()) * step < SHORTEST_S:
            return False
        return key_of(frames[judged]).clarity >= CLEAR
