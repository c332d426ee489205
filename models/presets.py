"""Models by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import ModelConfig

if TYPE_CHECKING:
    from models.diffv2m import DiffV2M

RANDOM = "random weights: the networks run at small size, but what they make is noise, not music"


@dataclass(frozen=True)
class Preset:
    """A model by name: its configuration, the seed of its weights, and how it is sampled by default.

    Attributes:
        steps, guidance: defaults of the sampler.
        caveat: what a user must know of these weights on every run; empty if there is nothing.
    """

    name: str
    settings: Path
    seed: int
    steps: int
    guidance: float
    caveat: str

    @cached_property
    def raw(self) -> dict[str, Any]:
        return json.loads(self.settings.read_text(encoding="utf-8"))

    @cached_property
    def config(self) -> ModelConfig:
        predictor = self.raw["predictor"]
        return ModelConfig.from_dict(self.raw).with_predictor(predictor["width"], predictor["depth"])

    @property
    def digest(self) -> str:
        """Identity of the weights, in hexadecimal."""
        return hashlib.sha256(f"{self.seed}".encode() + self.settings.read_bytes()).hexdigest()

    def model(self, parts: Collection[str]) -> DiffV2M:
        """The model with weights drawn from the seed, each part by itself."""
        import torch

        from models.diffv2m import PARTS, DiffV2M

        model = DiffV2M(self.config, parts=())
        for number, part in enumerate(PARTS):
            if part in parts:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(self.seed + number)
                    setattr(model, part, getattr(DiffV2M(self.config, parts=(part,)), part))
        if "autoencoder" in parts:
            model.autoencoder.fuse()
        return model.eval().requires_grad_(False)


PRESETS = {
    "tiny": Preset("tiny", Path(__file__).with_name("tiny.json"), seed=2511, steps=50, guidance=3.0, caveat=RANDOM),
}
