"""Random numbers of training that depend on nothing but the names and numbers they are asked for with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

import torch

Built = TypeVar("Built")


def seeded_generator(*parts: object) -> torch.Generator:
    """Returns a CPU generator whose random numbers depend on `parts` alone, such as a purpose, a seed and a step."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def build_seeded(seed: int, build: Callable[[], Built]) -> Built:
    """Returns what `build` makes with torch's global generator seeded; the global generator is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()
