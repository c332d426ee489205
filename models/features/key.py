"""The key: one key for a whole video, which conditions the diffusion transformer so that the music keeps it.

The third of a chord is a small part of a sound, so a network hardly learns from sound alone that dark pictures go with
minor thirds. So the key is chosen first, as the groove is: its mode suits the mood of the picture, its tonic is random.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from models.features.audio import PROFILES, SAMPLE_RATE, Key, chroma, key_of

KEYS = 24
UNKNOWN = 0
"""The number that stands for no key: for music without a clear key, and for the unconditioned half of guidance. Keys
are numbered from 1."""
CLEAR_KEY = 0.6
"""The clarity from which on music has a key. Composed music has about 0.9, noise has 0.5 or less."""


def key_number(tonic: int, is_major: bool) -> int:
    """Returns the number of a key: 1..12 for C major up to B major, 13..24 for C minor up to B minor."""
    return 1 + tonic % 12 + (0 if is_major else 12)


def is_major(number: int) -> bool:
    """Returns whether the number of a key, 1..24, is that of a major key."""
    return number <= 12


def key_number_of(key: Key) -> int:
    """Returns the number of a measured key; `UNKNOWN` where it is not clear."""
    return key_number(key.tonic, key.mode == "major") if key.clarity >= CLEAR_KEY else UNKNOWN


def key_of_music(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> int:
    """Returns the number, 0..24, of the key of music [samples] or [channels, samples]."""
    return key_number_of(key_of(chroma(audio, sample_rate)))


@lru_cache(maxsize=1)
def key_profiles() -> Tensor:
    """Returns how well each pitch class fits each key, and its mode: [25, 13], with zeros for no key.

    A row holds Krumhansl and Kessler's ratings with mean 0 and standard deviation 1, then 1 for major or -1 for minor.
    Keys that share notes have similar rows, so what a network learns about one key carries over to the others.
    """
    table = torch.zeros(1 + KEYS, 13, device="cpu")  # cached, so it must never be made on the meta device
    for number in range(1, 1 + KEYS):
        ratings = torch.tensor(PROFILES["major" if is_major(number) else "minor"], device="cpu").roll((number - 1) % 12)
        table[number, :12] = (ratings - ratings.mean()) / ratings.std(correction=0)
        table[number, 12] = 1.0 if is_major(number) else -1.0
    return table


def random_tonic(seed: str) -> int:
    """Returns a pitch class, 0..11, that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/tonic".encode("utf-8", "surrogateescape")).digest()[:8], "big") % 12
