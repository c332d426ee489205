"""The choice of a model: the name of a preset or a path, and which of its two sets of weights."""

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

ARITHMETIC_VERSION = "1"
"""Version of the arithmetic, raised with every change that makes other music from the same weights and settings."""


@dataclass(frozen=True)
class ModelSource:
    """A model that is not loaded yet, so that it is cheap to send to a worker.

    Attributes:
        name: name of a preset or a release, or path of a checkpoint.
        weights: `online` or `ema`, see `models.weights.loading.load_model`.
    """

    name: str = "tiny"
    weights: Weights = "online"

    @property
    def preset(self) -> Preset | None:
        return PRESETS.get(self.name)

    @cached_property
    def config(self) -> ModelConfig:
        """The configuration of the model.

        Raises:
            CheckpointError, ConfigError: the weights cannot be used.
        """
        if self.preset is not None:
            return self.preset.config
        from models.weights.checkpoint import open_checkpoint

        return open_checkpoint(self.name).config

    @cached_property
    def digest(self) -> str:
        """A digest of weights and arithmetic, in hexadecimal. For a checkpoint the whole file is read."""
        if self.preset is not None:
            return f"{ARITHMETIC_VERSION}-{self.preset.digest}"
        from models.weights.checkpoint import checkpoint_digest

        return f"{ARITHMETIC_VERSION}-{self.weights}-{checkpoint_digest(self.name)}"

    @cached_property
    def codec_digest(self) -> str:
        """A digest of the autoencoder alone, and so of the meaning of its latents, in hexadecimal.

        Raises:
            CheckpointError, ConfigError: the weights cannot be used.
        """
        from models.weights.checkpoint import open_checkpoint, tensors_digest

        checkpoint = open_checkpoint(self.preset.folder if self.preset else self.name)
        return f"{ARITHMETIC_VERSION}-{tensors_digest(checkpoint.part_tensors('autoencoder', 'online'))}"

    @property
    def steps(self) -> int:
        """The default number of sampling steps."""
        return self.config.sampling.steps

    @property
    def guidance(self) -> float:
        """The default guidance scale."""
        return self.config.sampling.guidance

    def load(self, parts: Collection[str], device: str = "cpu", precision: str = "float32") -> DiffV2M:
        """Builds the model with the given parts.

        Args:
            parts: the parts that are needed, of `conditioner`, `dit` and `autoencoder`.
            device: device of the model.
            precision: one of `models.precision.PRECISIONS`.

        Raises:
            CheckpointError, ConfigError: the weights cannot be used.
        """
        from models.precision import dtype_of
        from models.weights.loading import load_model

        return load_model(self.name, self.weights, device, dtype_of(precision, device), parts)


TINY = ModelSource()


def clip_digest(clip: str) -> str:
    """Returns a digest of the weights of an image encoder, `tiny` or a path, in hexadecimal."""
    with open(TINY_WEIGHTS if clip == "tiny" else clip, "rb") as stream:
        return f"{ARITHMETIC_VERSION}-{hashlib.file_digest(stream, 'sha256').hexdigest()}"
