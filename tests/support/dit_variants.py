"""Small models for every fusion and variant of the DiT, and inputs for them."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from models.config import ModelConfig
from models.diffv2m import DiffV2M
from models.features.motion import CHANNELS
from models.inputs import Features
from models.networks.conditions import Conditions
from tests.support.parity import COMMITTED

FUSIONS = ["FiLM_choose", "FiLM", "preFiLM", "preFiLM_gate", "gate", "choose", "none", "only_clip", "mean"]
TIME_AWARE: dict[str, Any] = {
    "positions": True,
    "curve": {"stride": 1},
    "global_cond_type": "adaLN",
    "patch_size": 2,
    "conv_kernel": 3,
    "key": True,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "released": {},
    "color": {"emotion": "color", "residual": "pre_norm"},
    "time-aware": TIME_AWARE,
}


def mini_config() -> dict[str, Any]:
    """Returns the entries of the smallest parity fixture's configuration."""
    raw: dict[str, Any] = json.loads((COMMITTED / "mini" / "model_config.json").read_text())
    return raw


def small_model(fusion: str, variant: str, rhythm: str = "odf") -> DiffV2M:
    """Returns a small model in which every weight of the DiT matters: weights that begin as zeros are random too."""
    raw = mini_config()
    raw["model"]["diffusion"]["config"] |= {"attention_weight_type": fusion, **VARIANTS[variant]}
    raw["model"]["conditioning"]["configs"][0]["config"]["rhythm_type"] = rhythm
    torch.manual_seed(0)
    model = DiffV2M(ModelConfig.from_dict(raw).with_predictor(32, 2), parts=("conditioner", "dit")).eval()
    for parameter in model.dit.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def random_features(seconds: int = 9, seed: int = 0, pace_steps: int | None = None, key: int = 0) -> Features:
    """Returns random features of one clip."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(seconds, 34, generator=generator)
    pace = None if pace_steps is None else torch.rand(len(CHANNELS), pace_steps, generator=generator)
    return Features(draws[:, :8], draws[:, 8:32], (draws[:, 32] > 0.8).float(), draws[:, 33], pace=pace, key=key)


def two_conditions(model: DiffV2M) -> Conditions:
    """Returns the conditions of two clips of 9 s and 30 s."""
    steps, has_key = 40 if model.config.curve else None, model.config.key
    features = [
        random_features(seconds, seed, steps, 1 + seed if has_key else 0) for seed, seconds in enumerate((9, 30))
    ]
    if model.config.curve:
        rhythm = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(5))
        return model.condition(features, predicted_rhythm=rhythm)
    return model.condition(features)


def two_noises() -> Tensor:
    """Returns noise of two clips, [2, 4, 40]."""
    return torch.randn(2, 4, 40, generator=torch.Generator().manual_seed(1))
