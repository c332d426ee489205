"""Each measure on sounds with a known result, and on sounds that must fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torch import Tensor

from models.features.audio import HOP, SAMPLE_RATE, onset_strength
from models.metrics.metrics import (
    FrameStatistics,
    chroma_correlation,
    frechet,
    hits,
    hits_above_chance,
    interval,
    log_magnitudes,
    log_mel_l1,
    onset_correlation,
    pearson,
    seam_ratio,
)
from tests.support.signals import cadence, drum_strokes, tones, white_noise

RATE = SAMPLE_RATE / HOP


def spikes(times: list[float], seconds: float, heights: list[float]) -> Tensor:
    """Returns onset strength with a peak at each time: [frames]."""
    strength = torch.zeros(round(seconds * RATE))
    strength[(torch.tensor(times) * RATE).round().long()] = torch.tensor(heights, dtype=torch.float32)
    return strength


def test_log_mel_l1() -> None:
    a, b = cadence(0), cadence(6)
    assert log_mel_l1(a, a) == 0
    assert 0.5 < log_mel_l1(a, 0.1 * a) <= math.log(10) + 0.01  # a tenth of the level in every audible band
    worn = a + 0.1 * white_noise(4.0)
    assert log_mel_l1(0.1 * a, 0.1 * worn) == pytest.approx(log_mel_l1(a, worn), abs=1e-3)
    assert log_mel_l1(a, torch.stack((a, a))[:, :-5000]) == pytest.approx(0, abs=0.02)
    quiet = white_noise(4.0, 0.01)
    assert 0 < log_mel_l1(a, a + 0.1 * quiet) < log_mel_l1(a, a + quiet) < log_mel_l1(a, white_noise(4.0))
    assert log_mel_l1(a, b) > 0.3
    assert math.isfinite(log_mel_l1(a, 0 * a))


def test_log_magnitudes_do_not_depend_on_the_sample_rate() -> None:
    time = torch.arange(2 * 44100) / 44100
    tone = torch.sin(2 * math.pi * 1000 * time)
    full, half = log_magnitudes(tone), log_magnitudes(tone[::2], 22050)
    assert full.shape[0] == 80
    torch.testing.assert_close(full[:, 20:100].amax(0), half[:, 20:100].amax(0), atol=0.01, rtol=0)


def test_onset_correlation() -> None:
    a, b = drum_strokes([1.0, 2.2, 3.1], 5.0), drum_strokes([0.5, 1.6, 4.2], 5.0)
    assert onset_correlation(a, a) == pytest.approx(1)
    assert onset_correlation(a, 0.5 * a + white_noise(5.0, 0.001)) > 0.8
    assert abs(onset_correlation(a, b)) < 0.2
    assert onset_correlation(a, torch.zeros(44100 * 5)) == 0


def test_chroma_correlation_is_0_on_average_between_unrelated_keys() -> None:
    songs = [cadence(k)[22050 : 3 * 44100] for k in range(12)]
    assert chroma_correlation(songs[3], songs[3]) == pytest.approx(1)
    assert chroma_correlation(songs[3], songs[3] + white_noise(2.5)) > 0.9
    others = [chroma_correlation(songs[0], s) for s in songs]
    assert float(np.mean(others)) == pytest.approx(0, abs=0.03)
    assert min(others) < -0.2
    assert chroma_correlation(torch.zeros(44100), songs[0]) == 0


def test_hits_count_events_beside_the_strongest_onsets() -> None:
    strength = spikes([1.0, 2.0, 3.0, 4.0, 5.0], 10.0, [5, 4, 3, 2, 1])
    assert hits(torch.tensor([1.05]), strength, RATE) == 1
    assert hits(torch.tensor([1.15]), strength, RATE) == 0
    assert hits(torch.tensor([1.15]), strength, RATE, tolerance=0.2) == 1
    assert hits(torch.tensor([3.0]), strength, RATE) == 0  # the third strongest, and one event has two
    assert hits(torch.tensor([3.0, 8.0]), strength, RATE) == 0.5
    assert hits(torch.tensor([3.0]), torch.zeros(500), RATE) == 0
    with pytest.raises(ValueError, match="at least one event"):
        hits(torch.zeros(0), strength, RATE)


def test_hits_above_chance() -> None:
    """Music with onsets at the events gets nearly 1; other music gets 0, however many onsets it has."""
    draw = torch.Generator().manual_seed(1)
    events = torch.tensor([1.3, 4.4, 7.9, 11.1, 15.2, 18.8])
    follows = spikes(events.tolist(), 24.0, [3.0] * 6)
    gain = hits_above_chance(events, follows, RATE)
    assert 0.7 < gain < 1
    assert gain == hits_above_chance(events, follows, RATE)
    blind = [
        hits_above_chance(24 * torch.rand(6, generator=draw), torch.rand(2067, generator=draw), RATE) for _ in range(60)
    ]
    assert float(np.mean(blind)) == pytest.approx(0, abs=0.06)
    metronome = spikes([0.1 + 0.15 * n for n in range(150)], 24.0, [1.0] * 150)
    assert abs(hits_above_chance(events, metronome, RATE)) < 0.35


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=2, max_size=30), st.floats(0.1, 5))
def test_pearson_is_bounded_symmetric_and_scale_free(pairs: list[tuple[float, float]], scale: float) -> None:
    a, b = torch.tensor(pairs, dtype=torch.float64).T
    r = float(pearson(a, b))
    assert abs(r) <= 1 + 1e-9
    assert float(pearson(b, a)) == pytest.approx(r, abs=1e-9)
    if float((a - a.mean()).norm() * (b - b.mean()).norm()) > 1e-3:
        assert float(pearson(scale * a + 1, b)) == pytest.approx(r, abs=1e-6)
        assert r == pytest.approx(np.corrcoef(a.numpy(), b.numpy())[0, 1], abs=1e-6)


def gaussian(seed: int, rank: int = 8) -> FrameStatistics:
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(8, rank))
    return FrameStatistics(rng.normal(size=8), spread @ spread.T)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 8))
def test_frechet_distance(one: int, two: int, rank: int) -> None:
    a, b = gaussian(one, rank), gaussian(two, 8)
    assert frechet(a, a) == pytest.approx(0, abs=1e-5)
    assert frechet(a, b) >= 0
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-4, abs=1e-4)
    moved = FrameStatistics(b.mean + 3, b.covariance)
    assert frechet(b, moved) == pytest.approx(8 * 9, rel=1e-6)
    if rank == 8:
        shift = a.mean - b.mean
        root = np.real(sqrtm(a.covariance @ b.covariance))
        expected = shift @ shift + np.trace(a.covariance + b.covariance - 2 * root)
        assert frechet(a, b) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def of_frames(*clips: Tensor) -> FrameStatistics:
    frames = torch.cat([log_magnitudes(clip).T for clip in clips]).double().numpy()
    return FrameStatistics(frames.mean(0), np.cov(frames, rowvar=False))


def test_frechet_of_sets_of_clips() -> None:
    songs, more, noise = (
        of_frames(cadence(0), cadence(3)),
        of_frames(cadence(1), cadence(4)),
        of_frames(white_noise(4.0)),
    )
    assert songs.mean.shape == (80,)
    assert songs.covariance.shape == (80, 80)
    assert frechet(songs, songs) == pytest.approx(0, abs=1e-3)
    assert frechet(songs, more) < 0.3 * frechet(songs, noise)


def test_seams() -> None:
    audio = white_noise(12.0, 0.05)
    smooth = seam_ratio(audio, [4.0, 8.0])
    assert (smooth.onset, smooth.flux) == pytest.approx((1, 1), abs=0.1)
    torn = 0.05 * audio + torch.cat((tones([60], 4.0), tones([61], 4.0), tones([60], 4.0)))
    ratios = seam_ratio(torn, [4.0, 8.0])
    assert ratios.onset > 1.2
    assert ratios.flux > 1.3
    elsewhere = seam_ratio(torn, [2.0, 6.0])
    assert elsewhere.onset < 1
    assert elsewhere.flux < 1
    with pytest.raises(ValueError, match="one join or more"):
        seam_ratio(audio, [])
    with pytest.raises(ValueError, match="must lie within the audio"):
        seam_ratio(audio, [40.0])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30))
def test_the_interval_contains_the_mean(values: list[float]) -> None:
    found = interval(values, seed=1, resamples=500)
    assert found.mean == pytest.approx(float(np.mean(values)))
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found == interval(values, seed=1, resamples=500)


def test_the_interval_contains_the_true_mean_in_about_95_percent() -> None:
    rng = np.random.default_rng(0)
    found = [interval(rng.normal(2.0, 1.0, 40).tolist(), seed=n, resamples=400) for n in range(300)]
    assert 0.9 < np.mean([i.low <= 2.0 <= i.high for i in found]) < 0.98
    assert np.mean([i.high - i.low for i in found]) == pytest.approx(2 * 1.96 / math.sqrt(40), rel=0.1)
    with pytest.raises(ValueError, match="one finite number or more"):
        interval([1.0, math.nan])


def test_onsets_of_a_stroke_hit_a_cut_beside_it() -> None:
    audio = drum_strokes([2.0, 5.5, 8.0], 12.0)
    cuts = torch.tensor([2.0, 5.5, 8.0])
    assert hits(cuts, onset_strength(audio)) == 1
    assert hits(cuts + 1, onset_strength(audio)) < 1
