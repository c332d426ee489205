"""Segments: how many, how long, and everything in them on one time axis."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.features.motion import CHANNELS
from models.lengths import whole_seconds
from models.weights.source import TINY
from stages.contracts import SOURCE_AUDIO, Row, rows_of, table_of
from stages.cut_segments import (
    DOWNSAMPLING,
    LENGTHS,
    SHORTEST_TAIL,
    CutSegments,
    CutSegmentsSettings,
    decode_flac,
    encode_flac,
    segment_spans,
    unpack_segments,
)
from stages.extract_audio import SAMPLE_RATE
from tests.support.rows import CONFIG, features_row
from tests.support.sounds import clicking

RATE = LENGTHS.latent_rate


@cache
def stage(latents: bool = True) -> CutSegments:
    return CutSegments(CutSegmentsSettings(TINY if latents else None, "cpu"))


def listened(name: str, duration: float, clicks: tuple[float, ...] = (), cuts: tuple[float, ...] = ()) -> Row:
    sound = np.rint(clicking(duration, clicks) * 32767).astype(np.int16)
    row = features_row(name, duration) | {"sound": np.stack((sound, sound), 1)}
    return row | {"cuts": np.array(cuts, np.float64)}


def segments(row: Row, *, latents: bool = False) -> list[Row]:
    table = stage(latents)(table_of([row], SOURCE_AUDIO))
    assert table["error"].null_count == 1, table["error"]
    return rows_of(unpack_segments(table["segments"][0].as_py()))


@given(some.floats(0.5, 1801))
def test_stretches_follow_each_other_on_the_grid(duration: float) -> None:
    found = segment_spans(duration)
    assert found[0].first_frame == found[0].first_second == 0
    for number, span in enumerate(found):
        assert span.index == number
        assert span.first_second == 30 * number
        assert span.first_frame == int(np.floor(round(span.first_second * RATE, 6)))
        assert 0 <= span.first_second - span.start < 1 / RATE
        assert 1 <= span.seconds <= 30
        assert 1 <= span.frames <= 30 * RATE + 1
    for before, after in pairwise(found):
        assert before.first_frame + before.frames == after.first_frame
        assert before.seconds == 30
    last = found[-1]
    assert len(found) == 1 or duration - last.first_second >= SHORTEST_TAIL
    end = last.first_second + last.seconds
    assert end == whole_seconds(duration) or whole_seconds(duration) - end <= SHORTEST_TAIL
    covered = (last.first_frame + last.frames) / RATE
    assert covered >= min(duration, end) - 1 / RATE
    assert covered < duration + 1 / RATE


@pytest.mark.parametrize(
    ("duration", "seconds", "frames"),
    [
        (0.5, [1], [11]),
        (4.0, [4], [87]),
        (30.0, [30], [645]),
        (30.2, [30], [645]),
        (34.9, [30], [645]),
        (35.0, [30, 5], [645, 109]),
        (64.0, [30, 30], [645, 646]),
        (90.0, [30, 30, 30], [645, 646, 646]),
    ],
)
def test_numbers_of_segments_and_frames(duration: float, seconds: list[int], frames: list[int]) -> None:
    found = segment_spans(duration)
    assert [s.seconds for s in found] == seconds
    assert [s.frames for s in found] == frames


def test_shapes_of_a_video_of_two_segments() -> None:
    row = listened("two", 36.4, (3.0, 33.0), (10.0, 32.5))
    first, second = segments(row, latents=True)
    assert (first["seconds"], second["seconds"]) == (30, 7)
    for number, (segment, frames) in enumerate(((first, 645), (second, LENGTHS.latents_of(36.4) - 645))):
        steps = segment["seconds"]
        assert segment["index"] == number
        assert segment["item_id"] == row["item_id"]
        assert segment["semantic"].shape == (steps, CONFIG.semantic_dim)
        assert segment["color"].dtype == np.float16
        assert segment["color"].shape == (steps, CONFIG.color_dim)
        assert segment["scene_cut"].shape == segment["visual_beat"].shape == (steps,)
        assert [segment[name].shape for name in ("odf", "mel", "tempo")] == [(steps, 1), (steps, 16), (steps, 16)]
        assert segment["curve"].shape == (3, frames)
        assert segment["pace"].shape == (len(CHANNELS), frames)
        assert segment["latents"].shape == (stage().model.encode(_audio(segment))[0].shape[0], frames)
        assert decode_flac(segment["sound"]).shape == (frames * DOWNSAMPLING, 2)
    assert second["start"] == pytest.approx(645 / RATE)
    assert second["duration"] == pytest.approx(36.4 - 645 / RATE)
    np.testing.assert_array_equal(second["semantic"], row["semantic"][30:])
    np.testing.assert_allclose(first["cuts"], [10.0])
    np.testing.assert_allclose(second["cuts"], [32.5 - second["start"]])


def _audio(segment: Row):  # type: ignore[no-untyped-def]
    import torch

    return torch.from_numpy(decode_flac(segment["sound"]).T.astype(np.float32) / 32768)[None]


def test_latents_are_those_of_the_sound() -> None:
    (segment,) = segments(listened("latents", 6.0, (2.0,)), latents=True)
    model = stage().model
    assert model is not None
    np.testing.assert_allclose(model.encode(_audio(segment))[0].numpy(), segment["latents"], atol=1e-6)
    (without,) = segments(listened("latents", 6.0, (2.0,)))
    assert without["latents"] is None


def test_sounds_join_without_a_gap() -> None:
    row = listened("join", 36.0, (29.99,))
    joined = np.concatenate([decode_flac(s["sound"]) for s in segments(row)])
    np.testing.assert_array_equal(joined[: len(row["sound"])], row["sound"])
    assert not joined[len(row["sound"]) :].any()


def test_a_click_is_an_accent_at_its_time_in_every_segment() -> None:
    clicks = (12.34, 33.21)
    for segment, click in zip(segments(listened("click", 40.0, clicks)), clicks, strict=True):
        accents = segment["curve"][2].astype(np.float64)
        middle = int(accents.argmax())
        near = slice(max(0, middle - 1), middle + 2)
        time = (accents[near] * (np.arange(near.start, near.stop) + 0.5)).sum() / accents[near].sum() / RATE
        # A pulse at its peak and its neighbor tell the time between frames.
        assert segment["start"] + time == pytest.approx(click, abs=0.005)
        loud = np.argmax(np.abs(decode_flac(segment["sound"])[:, 0].astype(int)) > 6000) / SAMPLE_RATE
        assert segment["start"] + loud == pytest.approx(click, abs=0.005)


def test_curves_are_those_of_the_whole_sound() -> None:
    import torch

    from models.features.rhythm_curve import rhythm_curve

    row = listened("curve", 95.0, tuple(np.arange(1.0, 94, 1.7)))
    whole = torch.from_numpy(row["sound"].T.astype(np.float32) / 32768)
    curve = rhythm_curve(whole, SAMPLE_RATE, RATE, LENGTHS.latents_of(95.0)).numpy()
    cut = np.concatenate([s["curve"] for s in segments(row)], 1)
    np.testing.assert_allclose(cut, curve[:, : cut.shape[1]], atol=1e-3)


def test_pace_is_on_the_segments_own_axis() -> None:
    _, second = segments(listened("pace", 36.0, cuts=(33.0,)))
    cuts = second["pace"][1].astype(np.float64)
    time = (cuts * (np.arange(len(cuts)) + 0.5)).sum() / cuts.sum() / RATE
    assert second["start"] + time == pytest.approx(33.0, abs=1e-3)


def test_flac_loses_nothing() -> None:
    sound = np.random.default_rng(0).integers(-32768, 32768, (4096, 2)).astype(np.int16)
    np.testing.assert_array_equal(decode_flac(encode_flac(sound)), sound)
