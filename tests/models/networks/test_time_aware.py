"""Time-aware conditioning: positions of condition tokens, the rhythm curve at the DiT's input, its predictor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import models
from models.bench import with_null_half
from models.config import ConfigError, ModelConfig
from models.diffv2m import DiffV2M
from models.features.motion import Movement, pace_curve
from models.networks.conditioners import tokens_of_curve
from models.networks.conditions import Conditions, TokenSet
from models.networks.dit import patched, unpatched
from tests.support.dit_variants import mini_config

SECONDS, FRAMES = 9, 40


def small(**variant: Any) -> DiffV2M:
    raw = mini_config()
    raw["model"]["diffusion"]["config"] |= {"attention_weight_type": "FiLM", **variant}
    raw["predictor"] = {"width": 32, "depth": 2}
    torch.manual_seed(0)
    model = DiffV2M(ModelConfig.from_dict(raw), parts=("conditioner", "dit")).eval()
    for block in model.dit.transformer.layers:
        for name, parameter in block.named_parameters():  # what training begins at zero must be heard too
            if name.startswith(("conv.", "modulation.")):
                torch.nn.init.normal_(parameter, std=0.1)
    return model


def clip(model: DiffV2M, seed: int = 0, cut: float = 3.0) -> models.Features:
    draws = torch.rand(SECONDS, 34, generator=torch.Generator().manual_seed(seed))
    config, pace = model.config, None
    if config.curve is not None:
        times = np.arange(SECONDS * 25) / 25
        steps = -(-FRAMES // config.curve.stride)
        still = Movement(times, np.ones(len(times), np.float32), np.array([cut]))
        pace = pace_curve(still, config.curve_rate, steps)
    return models.Features(draws[:, :8], draws[:, 8:32], (draws[:, 32] > 0.8).float(), draws[:, 33], pace=pace)


def velocity(model: DiffV2M, conditions: Conditions) -> Tensor:
    noise = torch.randn(len(conditions), 4, FRAMES, generator=torch.Generator().manual_seed(1))
    return model.velocity(noise, torch.full((len(noise),), 0.6), conditions)


def shuffled(conditions: Conditions, name: str) -> Conditions:
    tokens = getattr(conditions, name).tokens.clone()
    tokens[:, :SECONDS] = tokens[:, torch.randperm(SECONDS, generator=torch.Generator().manual_seed(2))]
    return replace(conditions, **{name: TokenSet(tokens, getattr(conditions, name).mask)})


@pytest.mark.parametrize("form", ["prepend", "adaLN"])
@pytest.mark.parametrize("name", ["semantic", "rhythm", "color"])
def test_only_with_positions_the_order_of_tokens_counts(name: str, form: str) -> None:
    for positions in (False, True):
        model = small(positions=positions, global_cond_type=form, emotion="color")
        conditions = model.condition([clip(model)])
        change = (velocity(model, conditions) - velocity(model, shuffled(conditions, name))).abs().max()
        assert (change > 3e-6) == positions


@pytest.mark.parametrize("patch", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_a_curve_changes_the_music_where_it_changes(patch: int, stride: int) -> None:
    model = small(curve={"stride": stride}, patch_size=patch, conv_kernel=3)
    conditions = model.condition([clip(model)])
    assert conditions.curve is not None
    accent = conditions.curve.clone()
    accent[:, 2, 20 // stride] += 3.0
    change = (velocity(model, conditions) - velocity(model, replace(conditions, curve=accent))).abs().sum((0, 1))
    assert change[18:24].mean() > 2 * change[:8].mean()


def test_guidance_takes_the_curve_away_in_its_null_half() -> None:
    model = small(curve={})
    conditions = model.condition([clip(model)])
    both = with_null_half(conditions)
    assert both.curve is not None
    assert both.curve[0].abs().sum() > 0
    assert both.curve[1].abs().sum() == 0
    assert torch.equal(both.rows(slice(1, 2)).curve, both.curve[1:])
    joined = Conditions.concatenated([conditions, conditions])
    assert joined.curve.shape[0] == 2


def test_the_predictor_sees_the_exact_time_of_a_cut() -> None:
    model = small(curve={})
    early, late = (model.predict_rhythm([clip(model, cut=cut)])[0] for cut in (3.0, 3.02))
    assert early.shape == (3, FRAMES)
    assert not torch.allclose(early, late, atol=1e-6)


def test_a_model_with_a_curve_says_that_it_needs_the_pace() -> None:
    model = small(curve={})
    with pytest.raises(ValueError, match="give every clip's Features a pace"):
        model.predict_rhythm([replace(clip(model), pace=None)])


def test_the_tokens_of_a_curve_are_the_greatest_onset_of_each_second() -> None:
    curve = torch.zeros(1, 3, 50)
    curve[0, 0, 3], curve[0, 0, 9], curve[0, 0, 10], curve[0, 0, 49] = 2.0, 1.0, 4.0, 7.0
    tokens = tokens_of_curve(curve, 10.0, 6)
    assert tokens[0, :, 0].tolist() == [2.0, 4.0, 0.0, 0.0, 7.0, 0.0]


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 33))
def test_patches_come_apart_as_they_were(channels: int, patch: int, frames: int) -> None:
    x = torch.arange(channels * frames, dtype=torch.float32).reshape(1, channels, frames)
    packed = patched(x, patch)
    assert packed.shape == (1, channels * patch, -(-frames // patch))
    assert torch.equal(unpatched(packed, patch, frames), x)


@given(st.integers(0, 30), st.lists(st.floats(0.5, 8.5), max_size=5))
def test_windows_see_the_same_pace_on_their_own_axis(first: int, cuts: list[float]) -> None:
    """A window that begins at some latent sees what the whole video has from there on."""
    rate, times = 21.533, np.arange(250) / 25
    draws, at = np.random.default_rng(0).random((4, 250)).astype(np.float32), np.array(sorted(cuts))
    movement = Movement(times, draws[0] * 50, at, times, *draws[1:], at, np.full(len(at), 0.5, np.float32))
    whole = pace_curve(movement, rate, 150)
    window = pace_curve(movement.after(first / rate), rate, 100)
    np.testing.assert_allclose(window, whole[:, first : first + 100], atol=1e-4)


def test_motion_does_not_depend_on_the_frame_rate() -> None:
    slow, fast = (
        pace_curve(
            Movement(np.arange(10 * fps) / fps, np.full(10 * fps, 250 / fps, np.float32), np.zeros(0)), 21.533, 200
        )[0, 10:190]
        for fps in (12, 50)
    )
    np.testing.assert_allclose(slow, fast, atol=1e-3)


@pytest.mark.parametrize(
    ("variant", "line"),
    [
        ({"curve": {"stride": 0}}, "curve.stride must be 1 to 64, got 0"),
        ({"conv_kernel": 4}, "conv_kernel must be odd, got 4"),
        ({"global_cond_type": "film"}, "'film' is not a valid GlobalCond"),
    ],
)
def test_wrong_settings_are_named(variant: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        small(**variant)
