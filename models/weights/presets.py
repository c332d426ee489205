"""Models by name, shipped in the package. Knows no torch, so that a run can be planned without it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.config import ModelConfig


@dataclass(frozen=True)
class Preset:
    """A model by name.

    Attributes:
        folder: holds `model_config.json` and the weights in `model-*.safetensors`.
    """

    name: str
    folder: Path

    @cached_property
    def config(self) -> ModelConfig:
        return ModelConfig.from_file(self.folder / "model_config.json")

    @cached_property
    def digest(self) -> str:
        """Identity of configuration and weights, in hexadecimal."""
        total = hashlib.sha256((self.folder / "model_config.json").read_bytes())
        for file in sorted(self.folder.glob("model-*.safetensors")):
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()


PRESETS = {"tiny": Preset("tiny", Path(__file__).parents[1] / "tiny")}
