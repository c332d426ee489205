"""Guidance without the work that cannot matter: the same numbers as both halves through the whole network."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from models.bench import reference_velocity
from models.diffv2m import DiffV2M
from models.networks.attention import CrossAttention
from models.networks.dit_block import BRANCH_SWITCH_T
from tests.support.dit_variants import FUSIONS, VARIANTS, small_model, two_conditions, two_noises

TIMES = (1.0, 0.7, float(torch.tensor(BRANCH_SWITCH_T)), 0.1)


def worst(model: DiffV2M, guidance: float) -> float:
    """Largest difference from plain arithmetic at any time, in standard deviations of the velocity."""
    conditions, x = two_conditions(model), two_noises()
    fast, found = model.make_guided(conditions, x.shape[-1], guidance, TIMES[:2]), 0.0
    for moment in TIMES:
        t = torch.full((2,), moment)
        expected = reference_velocity(model, conditions, guidance)(x, t)
        with torch.inference_mode():
            for velocity in (fast(x, moment), model.velocity(x, t, conditions, guidance)):
                found = max(found, float((velocity - expected).abs().max() / expected.std()))
    return found


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_gives_the_plain_numbers(fusion: str, variant: str) -> None:
    assert worst(small_model(fusion, variant), guidance=3.0) < 2e-5


@pytest.mark.parametrize("rhythm", ["odf", "mel", "tempo"])
def test_every_representation_gives_the_plain_numbers(rhythm: str) -> None:
    assert worst(small_model("FiLM_choose", "released", rhythm), guidance=3.0) < 2e-5


@pytest.mark.parametrize("fusion", FUSIONS)
def test_without_guidance_there_is_no_null_half(fusion: str) -> None:
    assert worst(small_model(fusion, "released"), guidance=1.0) < 2e-5


def test_the_measure_can_fail() -> None:
    """Had the null half been left out of FiLM, too, its beta would be missed."""
    model = small_model("FiLM", "released")
    with patch("models.networks.dit_block.DiTBlock.null_residual", return_value=None):
        assert worst(model, guidance=3.0) > 1e-3


def test_clips_may_have_times_of_their_own() -> None:
    model = small_model("FiLM_choose", "released")
    conditions, x, t = two_conditions(model), two_noises(), torch.tensor([0.7, 0.1])
    expected = reference_velocity(model, conditions, 2.0)(x, t)
    torch.testing.assert_close(model.velocity(x, t, conditions, 2.0), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("fusion", "calls"), [("FiLM", 3), ("FiLM_choose", 2), ("choose", 2), ("none", 2)])
def test_only_what_counts_is_computed(fusion: str, calls: int) -> None:
    """Cross-attentions of a block: emotion and the branches that the time selects, on the conditioned half alone."""
    model, batches = small_model(fusion, "released"), list[int]()
    conditions, forward = two_conditions(model), CrossAttention.forward

    def counted(self: CrossAttention, x: Tensor, *rest: Any) -> Tensor:
        batches.append(len(x))
        return forward(self, x, *rest)

    velocity = model.make_guided(conditions, 40, 3.0, (0.6, 0.5))
    with (
        patch.object(CrossAttention, "forward", counted),
        patch.object(CrossAttention, "key_values", side_effect=AssertionError("keys and values are made once")),
        torch.inference_mode(),
    ):
        velocity(two_noises(), 0.6)
        velocity(two_noises(), 0.5)
    assert batches == [2] * (2 * calls * model.config.depth)
