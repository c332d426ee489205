"""Harmony: one key for a whole video, which the diffusion transformer is told and the music then keeps.

A third of a chord is a small part of what a network must explain of a sound, so that a dark picture wants a minor one
is hard to learn from the sound alone. So the key is chosen first, as the groove is: its mode suits the picture's mood,
its tonic is drawn.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from models.features.audio import PROFILES, SAMPLE_RATE, Key, chroma, key_of

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


@lru_cache(maxsize=1)
def key_profiles() -> Tensor:
    """How well each pitch class fits each key, and its mode: [25, 13], zeros for no key.

    Krumhansl and Kessler's ratings with a mean of 0 and a deviation of 1, then 1 for major and -1 for minor. Keys that
    share notes are alike here, so what is learned of one is known of the others.
    """
    table = torch.zeros(1 + KEYS, 13, device="cpu")  # kept: never on the meta device
    for number in range(1, 1 + KEYS):
        ratings = torch.tensor(PROFILES["major" if is_major(number) else "minor"], device="cpu").roll((number - 1) % 12)
        table[number, :12] = (ratings - ratings.mean()) / ratings.std(correction=0)
        table[number, 12] = 1.0 if is_major(number) else -1.0
    return table


def drawn_tonic(draw: str) -> int:
    """A pitch class, 0..11, that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(f"{draw}/tonic".encode("utf-8", "surrogateescape")).digest()[:8], "big") % 12
