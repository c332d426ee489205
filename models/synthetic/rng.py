"""Random streams that depend on a seed and a purpose and on nothing else: no order, no process, no global state."""

from __future__ import annotations

import hashlib

import numpy as np

HELD_OUT = 10_000  # clips of this seed and above are for evaluation only


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The generator of one purpose (`piece`, `film`, ...) of the clip of `seed`."""
    digest = hashlib.sha256(f"diff-v2m corpus/{purpose}/{seed}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def held_out(seed: int) -> bool:
    """Whether a clip of this seed must not be trained on."""
    return seed >= HELD_OUT
