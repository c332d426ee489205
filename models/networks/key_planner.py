"""Planning the key of clips: its mode, major or minor, suits the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from models.config import ModelConfig
from models.features.key import key_number
from models.inputs import Features, InputPacker
from models.networks.conditioners import Conditioner


class KeyPlanner:
    """Chooses the key for clips with the mode reader of one model."""

    def __init__(self, config: ModelConfig, conditioner: Conditioner, inputs: InputPacker) -> None:
        self.config, self.conditioner, self.inputs = config, conditioner, inputs

    @torch.inference_mode()
    def with_key(self, features: Sequence[Features], tonic: int) -> list[Features]:
        """Windows of one video with one key, whose mode suits the picture; unchanged in a model that is given no keys.

        Args:
            tonic: pitch class, 0 = C .. 11 = B.
        """
        if not self.config.key:
            return list(features)
        # A window counts by its seconds, so that the mode is that of the whole picture.
        whole = self.major_log_odds(features) @ self.inputs.numbers([len(f) for f in features])
        return [replace(f, key=key_number(tonic, bool(whole > 0))) for f in features]

    def major_log_odds(self, features: Sequence[Features]) -> Tensor:
        """Logarithm of the odds that music in major suits each picture, [clips]; with gradients.

        Raises:
            ValueError: the model is given no keys.
        """
        if not self.config.key:
            raise ValueError("this model has no key: only a model with a key chooses its mode")
        means = ([self.inputs.tensor(x).mean(0) for x in (f.semantic, f.color)] for f in features)
        semantic, color = zip(*means, strict=True)
        return self.conditioner["key"](torch.stack(semantic), torch.stack(color))
