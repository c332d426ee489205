"""Arithmetic of lengths and windows."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import ConfigError, ModelConfig
from models.lengths import TAIL, Lengths, whole_seconds
from models.sampling.windows import Timeline, draw_noise
from models.weights.presets import PRESETS

RELEASED = Lengths(sample_rate=44100, downsampling=2048, sample_size=1_323_000)
durations = st.floats(0.5, 1800, allow_nan=False)
models_lengths = st.builds(
    Lengths,
    sample_rate=st.sampled_from([1024, 22050, 44100, 48000]),
    downsampling=st.sampled_from([256, 512, 2048]),
    sample_size=st.just(1_323_000),
    window_seconds=st.integers(8, 40),
    overlap_seconds=st.integers(1, 7),
)


@pytest.mark.parametrize(
    ("duration", "seconds"), [(0.5, 1), (1.0, 1), (1.25, 1), (1.26, 2), (10.04, 10), (30.03, 30), (30.3, 31)]
)
def test_whole_seconds(duration: float, seconds: int) -> None:
    assert whole_seconds(duration) == seconds


def test_released_lengths() -> None:
    assert RELEASED.trained_latents == 645
    assert RELEASED.latent_rate == pytest.approx(21.533, abs=1e-3)
    assert RELEASED.samples_of(30) == 1_323_000
    assert RELEASED.latents_of(30) == 646
    assert [(w.start, w.stop) for w in RELEASED.windows(30.03)] == [(0, 30)]
    assert [(w.start, w.stop) for w in RELEASED.windows(60)] == [(0, 30), (15, 45), (30, 60)]


@pytest.mark.parametrize("duration", [0.0, -1.0, math.nan, math.inf])
def test_a_duration_is_positive(duration: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        RELEASED.windows(duration)


@given(models_lengths, durations)
def test_windows_cover_the_video_and_overlap(lengths: Lengths, duration: float) -> None:
    windows = lengths.windows(duration)
    assert windows[0].start == 0
    assert windows[-1].stop == whole_seconds(duration)
    for left, right in pairwise(windows):
        assert left.start < right.start
        assert left.stop - right.start >= lengths.overlap_seconds
        assert left.seconds == right.seconds == lengths.window_seconds


@settings(deadline=None, max_examples=50)
@given(models_lengths, durations)
def test_a_timeline_covers_every_latent_with_weights_that_sum_to_one(lengths: Lengths, duration: float) -> None:
    timeline = Timeline(lengths, duration)
    assert timeline.total * lengths.downsampling >= duration * lengths.sample_rate - 1
    ones = torch.ones(len(timeline), 1, timeline.frames)
    joined = timeline.join(ones)
    assert joined.shape == (1, timeline.total)
    torch.testing.assert_close(joined, torch.ones_like(joined))


def test_windows_share_noise_where_they_overlap_and_stay_equal_after_blending() -> None:
    timeline = Timeline(RELEASED, 75.0)
    noise = timeline.noise("7/abc/0", channels=2)
    assert torch.equal(noise[0], draw_noise("7/abc/0", 0, 2, timeline.frames))
    shift = timeline.starts[1] - timeline.starts[0]
    assert torch.equal(noise[0][:, shift:], noise[1][:, :-shift])
    blended = timeline.blend(torch.randn(noise.shape))
    for left, right in pairwise(range(len(timeline))):
        shift = timeline.starts[right] - timeline.starts[left]
        assert torch.equal(blended[left][:, shift:], blended[right][:, :-shift])


def test_noise_depends_on_key_and_window_alone() -> None:
    first = draw_noise("0/abc/0", 3, 4, 50)
    assert torch.equal(first, draw_noise("0/abc/0", 3, 4, 50))
    assert not torch.equal(first, draw_noise("0/abc/0", 4, 4, 50))
    assert not torch.equal(first, draw_noise("1/abc/0", 3, 4, 50))


@pytest.mark.parametrize(
    ("duration", "window"), [(0.5, 6), (6.2, 6), (6.3, 10), (20.0, 20), (20.3, 30), (30.2, 30), (30.3, 30), (99.0, 30)]
)
def test_short_videos_take_the_shortest_window_that_holds_them(duration: float, window: int) -> None:
    lengths = replace(RELEASED, short_windows=(6, 10, 20))
    timeline = Timeline(lengths, duration)
    assert timeline.frames == lengths.latents_of(window + TAIL) + 1
    assert timeline.noise("key", 2).shape == (len(timeline), 2, timeline.frames)
    assert len(timeline) > 1 or timeline.frames >= timeline.total


@pytest.mark.parametrize("windows", [[0, 6], [10, 6], [6, 6], [6, 30]])
def test_short_windows_rise_below_the_whole_one(windows: list[int]) -> None:
    raw = json.loads((PRESETS["tiny"].folder / "model_config.json").read_text())
    with pytest.raises(ConfigError, match="short_windows must rise from 1 to 29 s, got"):
        ModelConfig.from_dict(raw | {"short_windows": windows})
