"""Random generators that depend only on a seed and a purpose, and not on order, process or global state."""

from __future__ import annotations

import hashlib

import numpy as np

HELD_OUT = 10_000
"""The first seed of clips that are for evaluation only; all higher seeds are too."""


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Returns the random generator for one purpose (`piece`, `film`, ...) of the clip with a seed."""
    digest = hashlib.sha256(f"diff-v2m corpus/{purpose}/{seed}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def held_out(seed: int) -> bool:
    """Returns whether the clip of a seed must not be trained on."""
    return seed >= HELD_OUT
