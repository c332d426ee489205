"""Presets: models that are shipped in the package. This module imports no torch, so that planning a run needs none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.config import ModelConfig


@dataclass(frozen=True)
class Preset:
    """A model that is shipped in the package.

    Attributes:
        name: name that users choose it by.
        folder: folder with `model_config.json` and the weights in `model-*.safetensors`.
    """

    name: str
    folder: Path

    @cached_property
    def config(self) -> ModelConfig:
        return ModelConfig.from_file(self.folder / "model_config.json")

    @cached_property
    def digest(self) -> str:
        """A digest of configuration and weights, in hexadecimal."""
        total = hashlib.sha256((self.folder / "model_config.json").read_bytes())
        for file in sorted(self.folder.glob("model-*.safetensors")):
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()


PRESETS = {"tiny": Preset("tiny", Path(__file__).parents[1] / "tiny")}
