"""Choices that several commands offer."""

from __future__ import annotations

import enum


class PresetName(enum.StrEnum):
    """Models by name."""

    TINY = "tiny"
    RELEASED = "diff-v2m"


class WeightSet(enum.StrEnum):
    """The two sets of weights of a checkpoint."""

    ONLINE = "online"
    EMA = "ema"


class DeviceName(enum.StrEnum):
    """Where networks run; `auto` is a GPU where there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class PrecisionName(enum.StrEnum):
    """Numbers of the networks' large layers."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
