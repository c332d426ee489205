"""Harmony: one key for a whole video, which the diffusion transformer is told and the music then keeps.

A third of a chord is a small part of what a network must explain of a sound, so that a dark picture wants a minor one
is hard to learn from the sound alone. So the key is chosen first, as the groove is: its mode suits the picture's mood,
its tonic is drawn.
"""

from __future__ import annotations

import hashlib

from torch import Tensor

from models.analysis import SAMPLE_RATE, Key, chroma, key_of

KEYS = 24
UNKNOWN = 0
"""Number of no key at all: for music without one, and for guidance's null half. Keys count from 1."""
CLEAR = 0.6
"""Clarity from which music has a key: that of composed music is about 0.9, that of noise 0.5 or less."""


def key_number(tonic: int, is_major: bool) -> int:
    """1..12 for C major up to B major, 13..24 for C minor up to B minor."""
    return 1 + tonic % 12 + (0 if is_major else 12)


def is_major(number: int) -> bool:
    """Whether a key's number, 1..24, is one of major."""
    return number <= 12


def key_number_of(key: Key) -> int:
    """The number of a key as heard; `UNKNOWN` where it is not clear."""
    return key_number(key.tonic, key.mode == "major") if key.clarity >= CLEAR else UNKNOWN


def key_of_music(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> int:
    """The number of the key that music [samples] or [channels, samples] has, 0..24."""
    return key_number_of(key_of(chroma(audio, sample_rate)))


def drawn_tonic(draw: str) -> int:
    """A pitch class, 0..11, that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(f"{draw}/tonic".encode("utf-8", "surrogateescape")).digest()[:8], "big") % 12
