"""Which model: a preset's name or a path, and which of its two sets of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from models.clip.config import TINY_WEIGHTS
from models.config import ModelConfig
from models.weights.presets import PRESETS, Preset

if TYPE_CHECKING:
    from models.diffv2m import DiffV2M
    from models.weights.checkpoint import Weights

VERSION = "1"
"""Of the arithmetic: raised with every change that makes other music from the same weights and settings."""


@dataclass(frozen=True)
class ModelSource:
    """A model that is not loaded yet; cheap to send to a worker."""

    name: str = "tiny"
    weights: Weights = "online"

    @property
    def preset(self) -> Preset | None:
        return PRESETS.get(self.name)

    @cached_property
    def config(self) -> ModelConfig:
        """Raises CheckpointError or ConfigError if the weights cannot be used."""
        if self.preset is not None:
            return self.preset.config
        from models.weights.checkpoint import open_checkpoint

        return open_checkpoint(self.name).config

    @cached_property
    def digest(self) -> str:
        """Identity of weights and arithmetic, in hexadecimal. Reads the whole file of a checkpoint."""
        if self.preset is not None:
            return f"{VERSION}-{self.preset.digest}"
        from models.weights.checkpoint import digest

        return f"{VERSION}-{self.weights}-{digest(self.name)}"

    @cached_property
    def codec_digest(self) -> str:
        """Identity of the autoencoder alone, and so of what its latents mean, in hexadecimal.

        Raises CheckpointError or ConfigError if the weights cannot be used.
        """
        from models.weights.checkpoint import open_checkpoint, tensors_digest

        checkpoint = open_checkpoint(self.preset.folder if self.preset else self.name)
        return f"{VERSION}-{tensors_digest(checkpoint.of_part('autoencoder', 'online'))}"

    @property
    def steps(self) -> int:
        """Sampling steps unless told otherwise."""
        return self.config.sampling.steps

    @property
    def guidance(self) -> float:
        """Guidance scale unless told otherwise."""
        return self.config.sampling.guidance

    def load(self, parts: Collection[str], device: str = "cpu", precision: str = "float32") -> DiffV2M:
        """Build the parts that are needed of `conditioner`, `dit` and `autoencoder`.

        Args:
            precision: one of `models.precision.PRECISIONS`.

        Raises:
            CheckpointError, ConfigError: the weights cannot be used.
        """
        from models.precision import dtype_of
        from models.weights.loading import load_model

        return load_model(self.name, self.weights, device, dtype_of(precision, device), parts)


TINY = ModelSource()


def clip_digest(clip: str) -> str:
    """Identity of the image tower's weights, `tiny` or a path, in hexadecimal."""
    with open(TINY_WEIGHTS if clip == "tiny" else clip, "rb") as stream:
        return f"{VERSION}-{hashlib.file_digest(stream, 'sha256').hexdigest()}"
