"""The groove: the beat of music is found, the beat of a picture falls on its cuts, and windows share it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import Features
from models.config import ModelConfig
from models.diffv2m import DiffV2M
from models.features.beat_grid import Groove, groove_of_music, groove_of_picture, is_danced
from models.features.rhythm_curve import pulses, rhythm_curve
from models.synthetic import HELD_OUT, compose, render
from tests.support.training_parts import raw_config

RATE = 44100 / 2048


def away(groove: Groove, time: float) -> float:
    """Returns the seconds from a time to the nearest beat."""
    period = 60 / groove.tempo
    return abs((time - groove.beat + period / 2) % period - period / 2)


def pulses_at(times: list[float], seconds: float = 24.0) -> torch.Tensor:
    at = torch.tensor(times, dtype=torch.float64)
    return pulses(at, torch.ones_like(at), RATE, math.ceil(seconds * RATE))


@pytest.mark.parametrize("seed", range(4))
def test_the_beat_of_composed_music_is_found(seed: int):
    piece = compose(HELD_OUT + 100 + seed, 24.0)
    music = torch.from_numpy(np.array(render(piece)))
    groove = groove_of_music(rhythm_curve(music, 44100, RATE, int(24 * RATE))[0], RATE)
    assert groove.tempo == pytest.approx(piece.tempo, rel=0.005)
    assert np.mean([away(groove, beat) for beat in piece.beats]) < 0.06
    assert groove.strength > 0.4


@settings(max_examples=30, deadline=None)
@given(st.floats(75, 150), st.floats(0, 1), st.floats(-0.1, 0.1), st.lists(st.integers(0, 20), min_size=4, unique=True))
def test_cuts_on_beats_are_on_the_chosen_beat(tempo: float, first: float, octaves: float, beats: list[int]):
    cuts = [first + beat * 60 / tempo for beat in beats]
    groove = groove_of_picture(pulses_at(cuts), torch.zeros(len(pulses_at(cuts))), RATE, tempo * 2**octaves, 0.7)
    assert np.mean([away(groove, cut) for cut in cuts]) < 0.05 * 60 / tempo + 0.02
    assert abs(math.log2(groove.tempo / (tempo * 2**octaves))) <= 2.5 * 0.15 + 1e-6


@settings(max_examples=30, deadline=None)
@given(st.floats(70, 160), st.floats(0, 1), st.integers(0, 1000))
def test_a_dancer_decides_tempo_and_phase(tempo: float, first: float, seed: int):
    """Whatever tempo the picture's mood suggests, the beat is a dancer's or one that it divides."""
    draws = np.random.default_rng(seed)
    dance = np.arange(first, 23.5, 60 / tempo) + draws.normal(0, 0.015, len(np.arange(first, 23.5, 60 / tempo)))
    bodies = 0.8 * pulses_at(dance[draws.random(len(dance)) > 0.1].tolist())
    assert is_danced(bodies, RATE)
    groove = groove_of_picture(torch.zeros(len(bodies)), bodies, RATE, 110.0, 0.1)
    octaves = math.log2(groove.tempo / tempo)
    assert octaves == pytest.approx(round(octaves), abs=0.02)
    if round(octaves) >= 0:
        assert np.mean([away(groove, time) for time in dance]) < 0.05
    assert groove.strength == 0.5


def test_people_who_move_at_random_do_not_drive_the_beat():
    random = [np.random.default_rng(seed).uniform(0, 24, 24) for seed in range(40)]
    assert sum(is_danced(0.7 * pulses_at(np.sort(times).tolist()), RATE) for times in random) <= 1
    bodies = 0.7 * pulses_at(np.sort(random[0]).tolist())
    cuts = pulses_at([1.0, 3.0, 7.0, 11.0])
    without = groove_of_picture(cuts, torch.zeros(len(cuts)), RATE, 100.0, 0.3)
    assert groove_of_picture(cuts, bodies, RATE, 100.0, 0.3) == without


def test_a_picture_without_cuts_keeps_the_preferred_tempo():
    groove = groove_of_picture(torch.zeros(500), torch.zeros(500), RATE, 96.0, 1.5)
    assert groove.tempo == pytest.approx(96.0, rel=0.005)
    assert groove.strength == 1.0


@given(st.floats(60, 180), st.floats(-5, 5), st.integers(0, 60))
def test_windows_share_the_time_axis(tempo: float, beat: float, first: int):
    whole = Groove(tempo, beat, 0.8)
    part = whole.after(first / RATE)
    torch.testing.assert_close(part.channels(RATE, 40), whole.channels(RATE, 100)[:, first : first + 40])


def test_channels_have_one_cycle_per_beat():
    cosine, sine, flag = Groove(120.0, 0.25, 0.5).channels(40.0, 80)
    assert flag.tolist() == [0.5] * 80
    torch.testing.assert_close(cosine.square() + sine.square(), torch.full((80,), 0.25))
    assert cosine.argmax() % 20 in (9, 10)  # 0.25 s is between steps 9 and 10; a beat lasts 20 of them


@pytest.fixture(scope="module")
def model() -> DiffV2M:
    raw = raw_config()
    raw["model"]["diffusion"]["config"]["curve"] = {"stride": 1, "groove": True}
    torch.manual_seed(0)
    return DiffV2M(ModelConfig.from_dict(raw), parts=("conditioner",)).eval()


def clip(model: DiffV2M, cuts: list[float]) -> Features:
    steps = model.lengths.window_latents
    draws = torch.Generator().manual_seed(1)
    pace = torch.stack((torch.full((steps,), 0.3), pulses_at(cuts, 31.0)[:steps]))
    return Features(
        torch.randn(30, 8, generator=draws), torch.zeros(30, 12), torch.zeros(30), torch.zeros(30), pace=pace
    )


def test_windows_of_a_video_have_one_groove_and_other_videos_do_not_matter(model: DiffV2M):
    features = [clip(model, [1.0, 3.0]), clip(model, [2.0])]
    one, two = model.rhythm_planner.with_groove(features, (0.0, 12.0))
    assert one.groove is not None
    assert two.groove is not None
    assert two.groove.tempo == one.groove.tempo
    assert away(one.groove, 14.0) == pytest.approx(away(two.groove, 2.0), abs=1e-6)
    alone = model.predict_rhythm(features[:1])
    torch.testing.assert_close(model.predict_rhythm(features)[:1], alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.predict_rhythm(model.rhythm_planner.with_groove(features[:1])), alone)


def test_the_predictor_depends_on_the_groove(model: DiffV2M):
    features = model.rhythm_planner.with_groove([clip(model, [1.0, 3.0])])[0]
    assert features.groove is not None
    other = replace(features, groove=replace(features.groove, beat=features.groove.beat + 0.2))
    one, two = model.predict_rhythm([features]), model.predict_rhythm([other])
    assert (one - two).abs().max() > 1e-4
