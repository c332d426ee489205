"""One key for a whole video: its number, its mode that follows the picture, and its effect in the DiT."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.bench import with_null_half
from models.config import ModelConfig
from models.diffv2m import DiffV2M
from models.features.audio import Key
from models.features.key import (
    CLEAR_KEY,
    KEYS,
    UNKNOWN,
    is_major,
    key_number,
    key_number_of,
    key_of_music,
    key_profiles,
    random_tonic,
)
from models.features.motion import CHANNELS
from models.inputs import Features
from models.synthetic import compose, render
from tests.support.training_parts import raw_config


@given(st.integers(0, 11), st.booleans())
def test_every_key_has_a_number_of_its_own(tonic: int, major: bool) -> None:
    number = key_number(tonic, major)
    assert UNKNOWN < number <= KEYS
    assert is_major(number) == major
    assert (number - 1) % 12 == tonic
    assert key_number_of(Key(tonic, "major" if major else "minor", CLEAR_KEY)) == number
    assert key_number_of(Key(tonic, "major" if major else "minor", CLEAR_KEY - 0.01)) == UNKNOWN


@given(st.text())
def test_a_tonic_is_a_pitch_class_that_depends_on_the_text_alone(text: str) -> None:
    assert 0 <= random_tonic(text) < 12
    assert random_tonic(text) == random_tonic(text)


def test_all_tonics_occur() -> None:
    counts = np.bincount([random_tonic(f"{seed}/clip/0") for seed in range(1200)], minlength=12)
    assert counts.min() > 60


def test_the_key_of_composed_music_is_found() -> None:
    right = 0
    for seed in range(8):
        piece = compose(seed, 20.0)
        found = key_of_music(torch.from_numpy(np.array(render(piece))))
        right += found == key_number(piece.key, piece.mode == "major")
    assert right >= 6


def test_noise_has_no_key() -> None:
    noise = torch.randn(10 * 44100, generator=torch.Generator().manual_seed(0))
    assert key_of_music(noise) == UNKNOWN
    assert key_of_music(torch.zeros(44100)) == UNKNOWN


def test_keys_that_share_notes_have_similar_profiles() -> None:
    table = key_profiles()
    assert table.shape == (1 + KEYS, 13)
    assert table[UNKNOWN].abs().max() == 0
    c, g, f_sharp = (table[key_number(tonic, True), :12] for tonic in (0, 7, 6))
    a_minor, c_minor = (table[key_number(tonic, False), :12] for tonic in (9, 0))
    assert c @ c == pytest.approx(12, rel=1e-4)  # a deviation of 1
    assert c @ g > c @ c_minor > c @ f_sharp
    assert c @ a_minor > c @ c_minor
    assert table[1:13, 12].tolist() == [1.0] * 12
    assert table[13:, 12].tolist() == [-1.0] * 12


def test_profiles_have_numbers_where_networks_have_none() -> None:
    key_profiles.cache_clear()
    with torch.device("meta"):
        assert key_profiles().device.type == "cpu"


@pytest.fixture(scope="module")
def model() -> DiffV2M:
    raw = raw_config()
    raw["model"]["diffusion"]["config"] |= {"key": True}
    torch.manual_seed(0)
    model = DiffV2M(ModelConfig.from_dict(raw), parts=("conditioner", "dit")).eval()
    for network in (model.dit.key_input, *(block.modulation.project for block in model.dit.transformer.layers)):
        torch.nn.init.normal_(network.weight, std=0.3)  # weights that begin as zeros must have an effect too
    return model


def clip(model: DiffV2M, seconds: int = 6, seed: int = 0) -> Features:
    draws = torch.Generator().manual_seed(seed)
    pace = torch.zeros(len(CHANNELS), model.lengths.window_latents)
    semantic, color = torch.randn(seconds, 8, generator=draws), torch.rand(seconds, 12, generator=draws)
    return Features(semantic, color, torch.zeros(seconds), torch.zeros(seconds), pace=pace)


def velocity(model: DiffV2M, features: Features, guidance: float) -> Tensor:
    noise = torch.randn(1, 4, 100, generator=torch.Generator().manual_seed(1))
    return model.velocity(noise, torch.tensor([0.6]), model.condition([features]), guidance)


def test_windows_of_a_video_share_the_key_of_the_longer_one(model: DiffV2M) -> None:
    one = next(c for c in (clip(model, 30, seed) for seed in range(50)) if model.key_planner.major_log_odds([c]) > 0.05)
    two = next(c for c in (clip(model, 3, seed) for seed in range(50)) if model.key_planner.major_log_odds([c]) < -0.05)
    assert [f.key for f in model.key_planner.with_key([two], 4)] == [key_number(4, False)]
    short = replace(two, semantic=two.semantic[:1], color=two.color[:1])
    together = [f.key for f in model.key_planner.with_key([one, short], 4)]
    assert together == [key_number(4, True)] * 2


def test_the_dit_depends_on_the_key_and_the_null_half_of_guidance_has_none(model: DiffV2M) -> None:
    of_c, of_d = (replace(clip(model), key=key_number(tonic, True)) for tonic in (0, 2))
    assert (velocity(model, of_c, 1.0) - velocity(model, of_d, 1.0)).abs().max() > 1e-4
    null = with_null_half(model.condition([of_c]))
    assert null.key is not None
    assert null.key.tolist() == [key_number(0, True), UNKNOWN]
    # Guidance goes away from what no key gives, towards the key.
    assert (velocity(model, of_c, 3.0) - velocity(model, of_d, 3.0)).abs().max() > 1e-4


def test_a_model_without_a_key_gets_none() -> None:
    raw = raw_config()
    raw["model"]["diffusion"]["config"] |= {"key": False}
    plain = DiffV2M(ModelConfig.from_dict(raw), parts=("conditioner", "dit")).eval()
    features = clip(plain)
    assert plain.key_planner.with_key([features], 3) == [features]
    assert plain.condition([features]).key is None
    with pytest.raises(ValueError, match="this model has no key"):
        plain.key_planner.major_log_odds([features])


def test_mode_is_learned_from_color(model: DiffV2M) -> None:
    """The loss of the mode falls in training with warm pictures in major."""
    from models.training.tasks.diffusion import DiffusionTask
    from models.training.tasks.diffusion_settings import DiffusionSettings

    task = DiffusionTask(model, DiffusionSettings())
    features = []
    for seed in range(16):
        warm = bool(seed % 2)
        base = clip(model, seed=seed)
        color = base.color + torch.tensor([1.0 if warm else 0.0] * 6 + [0.0] * 6)
        features.append(replace(base, color=color, key=key_number(seed, warm)))
    with torch.enable_grad():
        model.conditioner["key"].requires_grad_(True)
        optimizer = torch.optim.Adam(model.conditioner["key"].parameters(), lr=1e-2)
        losses = []
        for _ in range(60):
            loss = task._mode_loss(features)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert losses[0] > 0.5 * math.log(2)
    assert losses[-1] < 0.1
    unknown = [replace(f, key=UNKNOWN) for f in features]
    assert float(task._mode_loss(unknown).detach()) == 0.0
