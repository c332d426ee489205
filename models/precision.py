"""Precision of the networks, and whether their blocks can be compiled on this machine."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from models.config import ConfigError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
COMPILERS = ("g++", "clang++", "c++")


def dtype_of(precision: str, device: str) -> torch.dtype:
    """Number type for one of `PRECISIONS`: `auto` is bfloat16 on a GPU (float16 on one without it), else float32.

    Raises:
        ConfigError: there is no such precision.
    """
    import torch

    if precision not in PRECISIONS:
        raise ConfigError(f"expected a precision of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "auto":
        found: torch.dtype = getattr(torch, precision)
        return found
    if torch.device(device).type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def check_compiler() -> None:
    """Check that torch would find a compiler for its kernels.

    Raises:
        ConfigError: there is none on the PATH.
    """
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else COMPILERS
    if not any(map(shutil.which, wanted)):
        raise ConfigError(f"compiling needs a C++ compiler ({', '.join(wanted)}), none is on the PATH: leave it out")
