"""Guidance without the work that cannot matter: the same numbers as both halves through the whole network."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from models.bench import plain_velocity
from models.config import ModelConfig
from models.diffv2m import DiffV2M
from models.inputs import Features
from models.networks.attention import CrossAttention
from models.networks.dit_block import SWITCH
from tests.models.networks.test_dit import FUSIONS
from tests.support.parity import COMMITTED

TIME_AWARE: dict[str, Any] = {
    "positions": True,
    "curve": {"stride": 1},
    "global_cond_type": "adaLN",
    "patch_size": 2,
    "conv_kernel": 3,
    "key": True,
}
VARIANTS = {"released": {}, "color": {"emotion": "color", "residual": "pre_norm"}, "time-aware": TIME_AWARE}
TIMES = (1.0, 0.7, float(torch.tensor(SWITCH)), 0.1)


def model_of(fusion: str, variant: str, rhythm: str = "odf") -> DiffV2M:
    """A small network whose every weight counts, those too that begin as zeros."""
    raw: dict[str, Any] = json.loads((COMMITTED / "mini" / "model_config.json").read_text())
    raw["model"]["diffusion"]["config"] |= {"attention_weight_type": fusion, **VARIANTS[variant]}
    raw["model"]["conditioning"]["configs"][0]["config"]["rhythm_type"] = rhythm
    torch.manual_seed(0)
    model = DiffV2M(ModelConfig.from_dict(raw).with_predictor(32, 2), parts=("conditioner", "dit")).eval()
    for parameter in model.dit.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def clip(model: DiffV2M, seconds: int, seed: int) -> Features:
    g = torch.Generator().manual_seed(seed)
    draws = torch.rand(seconds, 34, generator=g)
    pace = torch.rand(2, 40, generator=g) if model.config.curve else None
    key = 1 + seed if model.config.key else 0
    return Features(draws[:, :8], draws[:, 8:32], (draws[:, 32] > 0.8).float(), draws[:, 33], pace=pace, key=key)


def conditions_of(model: DiffV2M):
    features = [clip(model, 9, 0), clip(model, 30, 1)]
    if model.config.curve:
        rhythm = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(5))
        return model.condition(features, predicted_rhythm=rhythm)
    return model.condition(features)


def noise() -> Tensor:
    return torch.randn(2, 4, 40, generator=torch.Generator().manual_seed(1))


def worst(model: DiffV2M, guidance: float) -> float:
    """Largest difference from plain arithmetic at any time, in standard deviations of the velocity."""
    conditions, x = conditions_of(model), noise()
    fast, found = model.guided(conditions, x.shape[-1], guidance, TIMES[:2]), 0.0
    for moment in TIMES:
        t = torch.full((2,), moment)
        expected = plain_velocity(model, conditions, guidance)(x, t)
        with torch.inference_mode():
            for velocity in (fast(x, moment), model.velocity(x, t, conditions, guidance)):
                found = max(found, float((velocity - expected).abs().max() / expected.std()))
    return found


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_gives_the_plain_numbers(fusion: str, variant: str) -> None:
    assert worst(model_of(fusion, variant), guidance=3.0) < 2e-5


@pytest.mark.parametrize("rhythm", ["odf", "mel", "tempo"])
def test_every_representation_gives_the_plain_numbers(rhythm: str) -> None:
    assert worst(model_of("FiLM_choose", "released", rhythm), guidance=3.0) < 2e-5


@pytest.mark.parametrize("fusion", FUSIONS)
def test_without_guidance_there_is_no_null_half(fusion: str) -> None:
    assert worst(model_of(fusion, "released"), guidance=1.0) < 2e-5


def test_the_measure_can_fail() -> None:
    """Had the null half been left out of FiLM, too, its beta would be missed."""
    model = model_of("FiLM", "released")
    with patch("models.networks.dit_block.DiTBlock.silence", return_value=None):
        assert worst(model, guidance=3.0) > 1e-3


def test_clips_may_have_times_of_their_own() -> None:
    model = model_of("FiLM_choose", "released")
    conditions, x, t = conditions_of(model), noise(), torch.tensor([0.7, 0.1])
    expected = plain_velocity(model, conditions, 2.0)(x, t)
    torch.testing.assert_close(model.velocity(x, t, conditions, 2.0), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("fusion", "heard"), [("FiLM", 3), ("FiLM_choose", 2), ("choose", 2), ("none", 2)])
def test_only_what_counts_is_computed(fusion: str, heard: int) -> None:
    """Cross-attentions of a block: emotion and the branches that the time selects, on the conditioned half alone."""
    model, batches = model_of(fusion, "released"), list[int]()
    conditions, forward = conditions_of(model), CrossAttention.forward

    def counted(self: CrossAttention, x: Tensor, *rest: Any) -> Tensor:
        batches.append(len(x))
        return forward(self, x, *rest)

    velocity = model.guided(conditions, 40, 3.0, (0.6, 0.5))
    with (
        patch.object(CrossAttention, "forward", counted),
        patch.object(CrossAttention, "memory", side_effect=AssertionError("keys and values are made once")),
        torch.inference_mode(),
    ):
        velocity(noise(), 0.6)
        velocity(noise(), 0.5)
    assert batches == [2] * (2 * heard * model.config.depth)
