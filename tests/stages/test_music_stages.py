"""PredictRhythm, SampleLatents and DecodeAudio: shapes, seeds, seams and lengths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.features.key import is_major, random_tonic
from models.networks.guidance import GuidedVelocity
from models.sampling.settings import SamplingSettings
from models.sampling.windows import Timeline, noise_key
from models.weights.source import TINY
from stages.contracts import FEATURES, LATENTS, RHYTHM, Row, rows_of, table_of
from stages.decode_audio import DecodeAudio, DecodeAudioSettings
from stages.inference.batching import fixed_batches
from stages.inference.generator import Draw
from stages.inference.window_batcher import windows_that_fit
from stages.mux import joined_curve
from stages.predict_rhythm import PredictRhythm
from stages.sample_latents import SampleLatents, SampleLatentsSettings
from tests.support.rows import CONFIG, common, features_row
from tests.support.signals import stereo_notes

QUICK = SampleLatentsSettings(sampling=SamplingSettings(steps=3))
CLIPS = [("a.mp4", 5.0), ("b.mp4", 12.3), ("c.mp4", 30.03), ("d.mp4", 41.0), ("e.mp4", 1.0), ("f.mp4", 8.0)]


@pytest.fixture(scope="module")
def rhythm() -> PredictRhythm:
    return PredictRhythm()


@pytest.fixture(scope="module")
def sample() -> SampleLatents:
    return SampleLatents(QUICK)


@pytest.fixture(scope="module")
def sound() -> DecodeAudio:
    return DecodeAudio()


def latents_of(clips: list[tuple[str, float]], rhythm: PredictRhythm, sample: SampleLatents) -> dict[str, np.ndarray]:
    table = rhythm(table_of([features_row(*clip) for clip in clips], FEATURES))
    rows = rows_of(sample(table))
    assert [row["error"] for row in rows] == [None] * len(clips)
    return {row["output"]: row["latents"] for row in rows}


def test_rhythm_has_a_curve_for_each_window(rhythm: PredictRhythm) -> None:
    rows = rows_of(rhythm(table_of([features_row(*clip) for clip in CLIPS[:4]], FEATURES)))
    """Of 5 s, 12 s, 30 s and 41 s, in windows of 6 s, 15 s and 30 s."""
    lengths, steps = CONFIG.lengths, CONFIG.lengths.window_latents
    six, fifteen = (lengths.window_latents_of(seconds) for seconds in (6, 15))
    assert six < fifteen < steps
    assert [row["rhythm"].shape for row in rows] == [(1, 3, six), (1, 3, fifteen), (1, 3, steps), (2, 3, steps)]
    first, second = rows[3]["rhythm"]
    start = Timeline(CONFIG.lengths, CLIPS[3][1]).starts[1]
    np.testing.assert_array_equal(
        first[:, start:], second[:, : steps - start]
    )  # one curve for the time that they share


def test_latents_cover_the_video(rhythm: PredictRhythm, sample: SampleLatents) -> None:
    for name, latents in latents_of(CLIPS, rhythm, sample).items():
        assert latents.shape == (CONFIG.latent_channels, CONFIG.lengths.latents_of(dict(CLIPS)[name]))


def test_latents_do_not_depend_on_neighbors_or_order(rhythm: PredictRhythm, sample: SampleLatents) -> None:
    """Alone, among five others, in another order: the same bits."""
    together = latents_of(CLIPS, rhythm, sample)
    backwards = latents_of(CLIPS[::-1], rhythm, sample)
    for clip in (CLIPS[1], CLIPS[3]):
        alone = latents_of([clip], PredictRhythm(), SampleLatents(QUICK))[clip[0]]
        assert np.array_equal(alone, together[clip[0]])
        assert np.array_equal(alone, backwards[clip[0]])


def test_a_fixed_batch_keeps_a_row_apart_from_its_neighbors(rhythm: PredictRhythm) -> None:
    four = SampleLatents(replace(QUICK, windows_per_batch=4))
    together = latents_of(CLIPS[:3], rhythm, four)
    other = latents_of([CLIPS[0], CLIPS[5], CLIPS[4]], rhythm, four)
    assert np.array_equal(together["a.mp4"], other["a.mp4"])
    np.testing.assert_allclose(
        together["a.mp4"], latents_of(CLIPS[:1], rhythm, SampleLatents(QUICK))["a.mp4"], atol=1e-4
    )


def test_too_little_memory_halves_the_batch(rhythm: PredictRhythm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same music; a row fails only when a window alone is too much."""
    usual, most = SampleLatents(replace(QUICK, windows_per_batch=4)), 2
    expected = latents_of([("long.mp4", 70.0)], rhythm, usual)["long.mp4"]
    velocity = GuidedVelocity.__call__

    def bounded(self: GuidedVelocity, x: torch.Tensor, *args: Any) -> torch.Tensor:
        if len(x) > most:
            raise torch.OutOfMemoryError("no room")
        return velocity(self, x, *args)

    monkeypatch.setattr(GuidedVelocity, "__call__", bounded)
    found = latents_of([("long.mp4", 70.0)], rhythm, usual)["long.mp4"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert usual.generator.batcher.batch_sizes == {CONFIG.lengths.window_latents: 2}
    most = 0
    (row,) = rows_of(usual(rhythm(table_of([features_row("a.mp4", 5.0)], FEATURES))))
    assert row["error"]["type"] == "OutOfMemory"


@pytest.mark.parametrize(
    ("room", "most", "fit"), [(100, 8, 4), (100, 2, 2), (84, 8, 2), (39, 8, 1), (5, 8, 1), (999, 8, 8)]
)
def test_as_many_windows_as_the_memory_holds(room: int, most: int, fit: int) -> None:
    """20 for the weights, 20 for each window; powers of two alone."""
    assert windows_that_fit(lambda count: 20 + 20 * count, room, most) == fit


def test_seed_take_and_content_choose_the_music(rhythm: PredictRhythm, sample: SampleLatents) -> None:
    base = latents_of(CLIPS[:1], rhythm, sample)["a.mp4"]
    for change in ({"seed": 1}, {"take": 1}):
        assert not np.allclose(base, latents_of(CLIPS[:1], rhythm, SampleLatents(replace(QUICK, **change)))["a.mp4"])
    row = features_row(*CLIPS[0])
    renamed = row | {"item_id": "other", "output": "other.mp4"}
    copies = rows_of(sample(rhythm(table_of([row, renamed], FEATURES))))
    assert np.array_equal(copies[0]["latents"], copies[1]["latents"])


def test_a_video_has_one_key_whose_tonic_the_noise_key_draws(rhythm: PredictRhythm, sample: SampleLatents) -> None:
    (row,) = rows_of(rhythm(table_of([features_row("long.mp4", 70.0)], FEATURES)))
    rhythms, keys = [torch.tensor(row["rhythm"])], {}
    for take in range(8):
        of_windows = sample.generator.conditions([row], rhythms, Draw(take=take)).key
        assert of_windows is not None
        assert len(of_windows) == 3
        (keys[take],) = set(of_windows.tolist())
    assert {(key - 1) % 12 for key in keys.values()} == {
        random_tonic(noise_key(0, row["content_id"], take)) for take in range(8)
    }
    assert len({is_major(key) for key in keys.values()}) == 1  # the mode is the picture's


def test_guidance_and_steps_are_heard(rhythm: PredictRhythm, sample: SampleLatents) -> None:
    base = latents_of(CLIPS[:1], rhythm, sample)["a.mp4"]
    for change in ({"guidance": 1.0}, {"steps": 4}):
        other = SampleLatentsSettings(sampling=replace(QUICK.sampling, **change))
        assert not np.allclose(base, latents_of(CLIPS[:1], rhythm, SampleLatents(other))["a.mp4"])


def test_joined_windows_have_no_seam(rhythm: PredictRhythm, sample: SampleLatents) -> None:
    """Steps from latent to latent are no larger where windows begin and end than at other places so far apart."""
    duration = 80.0
    latents = latents_of([("long.mp4", duration)], rhythm, sample)["long.mp4"]
    timeline = Timeline(CONFIG.lengths, duration)
    steps = np.abs(np.diff(latents, axis=1)).mean(0)
    edges = [s for s in (*timeline.starts[1:], *(s + timeline.frames for s in timeline.starts[:-1])) if s < len(steps)]
    places = (np.array(edges)[:, None] + np.arange(-2, 2)).ravel()
    shifted = [steps[(places + shift) % len(steps)].mean() for shift in range(len(steps))]
    assert shifted[0] <= np.quantile(shifted, 0.98)
    assert shifted[0] == pytest.approx(steps.mean(), rel=0.3)


@pytest.mark.parametrize("duration", [1.0, 5.017, 33.3])
def test_sound_is_as_long_as_the_video_and_fades_out(sound: DecodeAudio, duration: float) -> None:
    frames = CONFIG.lengths.latents_of(duration)
    latents = np.random.default_rng(0).standard_normal((CONFIG.latent_channels, frames), np.float32)
    row = rows_of(sound(table_of([common("a.mp4", duration, latents=latents)], LATENTS)))[0]
    waveform = row["waveform"].astype(np.float64) / 32767
    assert waveform.shape == (round(duration * 44100), 2)
    assert np.abs(waveform).max() == pytest.approx(1.0)
    level = np.sqrt((waveform**2).mean(1))
    fade = min(44100, len(level) // 4)
    assert level[-fade - 20000 : -fade].mean() > 0.5 * level.mean()  # music until the fade begins
    assert level[-fade // 2 :].mean() < level[:-fade].mean()
    assert level[-10:].max() < 0.01


def test_sound_in_chunks_is_the_same(sound: DecodeAudio) -> None:
    latents = TINY.load(("autoencoder",)).encode(stereo_notes(200)[None])[0].numpy()
    table = table_of([common("a.mp4", 9.0, latents=latents)], LATENTS)
    whole, parts = (DecodeAudio(DecodeAudioSettings(chunk=chunk))(table) for chunk in (1000, 40))
    heard = [rows_of(table)[0]["waveform"].astype(np.int32) for table in (whole, parts)]
    apart = np.abs(heard[0] - heard[1])  # in steps of 16 bit: 3 are 1e-4 of full scale
    assert np.quantile(apart, 0.9) <= 3
    assert apart.max() <= 66  # the search for phases magnifies the rounding of transforms of other sizes


def test_values_that_are_no_numbers_fail_their_row_alone(sound: DecodeAudio, sample: SampleLatents) -> None:
    good = np.zeros((CONFIG.latent_channels, 22), np.float32)
    bad = np.full_like(good, np.nan)
    rows = rows_of(sound(table_of([common("a", 1.0, latents=good), common("b", 1.0, latents=bad)], LATENTS)))
    assert [row["error"] and row["error"]["type"] for row in rows] == [None, "NotFinite"]
    broken: Row = features_row(*CLIPS[0]) | {"rhythm": np.full((1, 3, CONFIG.lengths.window_latents), np.inf)}
    assert rows_of(sample(table_of([broken], RHYTHM)))[0]["error"]["type"] == "NotFinite"


def test_fixed_batches_have_one_shape_and_keep_every_row_once() -> None:
    batches = list(fixed_batches(7, 3))
    assert [index.tolist() for index, _ in batches] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert torch.cat([index[:kept] for index, kept in batches]).tolist() == list(range(7))


def test_joined_curve_is_the_mean_where_windows_overlap() -> None:
    curves = np.stack([np.zeros((30, 1)), np.ones((30, 1))])
    joined = joined_curve(curves, 40.0)
    assert joined.shape == (40, 1)
    assert joined[:, 0].tolist() == [0.0] * 10 + [0.5] * 20 + [1.0] * 10
