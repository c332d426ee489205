"""The model in the package: its size, its autoencoder, and that its music goes where a curve sends it."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from models import Features
from models.diffv2m import DiffV2M
from models.features.motion import CHANNELS
from models.features.rhythm_curve import rhythm_curve
from models.metrics.metrics import chroma_correlation, log_mel_l1, onset_correlation, pearson
from models.sampling.windows import draw_noise
from models.synthetic import HELD_OUT, compose, render
from models.weights.loading import load_model
from models.weights.presets import PRESETS

FOLDER = PRESETS["tiny"].folder
SECONDS = 12


@pytest.fixture(scope="module")
def model() -> DiffV2M:
    return load_model("tiny")


def music(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.array(render(compose(HELD_OUT + seed, float(SECONDS)))))


def test_it_is_small_enough_to_ship() -> None:
    sizes = [file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()]
    assert sum(sizes) <= 40e6
    assert max(sizes) <= 15e6


def test_its_autoencoder_keeps_music_that_it_never_heard(model: DiffV2M) -> None:
    real = music(1)
    frames = real.shape[-1] // model.lengths.downsampling
    real = real[:, : frames * model.lengths.downsampling]
    latents = model.encode(real[None])
    assert latents.shape == (1, 64, frames)
    assert 0.5 < latents.std() < 2.0
    made = model.decode(latents)[0]
    assert log_mel_l1(real, made) < 0.5
    assert onset_correlation(real, made) > 0.9
    assert chroma_correlation(real, made) > 0.8


def test_its_music_follows_a_given_curve_and_no_other(model: DiffV2M) -> None:
    """The onset strength of what it makes goes with the curve that was asked for, frame by frame."""
    rate, frames = model.lengths.latent_rate, model.lengths.latents_of(SECONDS)
    curves = [rhythm_curve(music(seed), 44100, rate, frames) for seed in (1, 2)]
    g = torch.Generator().manual_seed(0)
    color = torch.rand(SECONDS, model.config.color_dim, generator=g)
    blank = Features(
        torch.zeros(SECONDS, model.config.semantic_dim),
        color / color.sum(1, keepdim=True),
        torch.zeros(SECONDS),
        torch.zeros(SECONDS),
    )
    noise = torch.stack([draw_noise("tiny", i, 64, frames) for i in range(2)])
    latents = model.sample(noise, model.condition([blank, blank], real_rhythm=curves), steps=12, guidance=2.0)
    heard = [rhythm_curve(sound, 44100, rate, frames)[0] for sound in model.decode(latents)]
    right = [float(pearson(curves[i][0], heard[i])) for i in range(2)]
    wrong = [float(pearson(curves[i][0], heard[1 - i])) for i in range(2)]
    assert min(right) > 0.4
    assert max(wrong) < min(right) - 0.2


@pytest.mark.slow
def test_half_a_minute_takes_at_most_half_a_minute(model: DiffV2M) -> None:
    features = Features(torch.zeros(30, 64), torch.zeros(30, 3072), torch.zeros(30), torch.zeros(30),
                        pace=torch.zeros(len(CHANNELS), model.lengths.window_latents))  # fmt: skip
    began = time.perf_counter()
    noise = draw_noise("time", 0, 64, model.lengths.window_latents)[None]
    rhythm = model.predict_rhythm([features], draw_noise("rhythm", 0, 3, model.lengths.window_latents)[None])
    conditions = model.condition([features], predicted_rhythm=rhythm)
    model.decode(model.sample(noise, conditions, steps=model.config.sampling.steps, guidance=1.5))
    assert time.perf_counter() - began < 30
