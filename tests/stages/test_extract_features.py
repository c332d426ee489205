"""Features against formulas written out slowly, and against videos whose cuts, flashes and colors are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.contracts import DECODED, FEATURES, MANIFEST, rows_of, table_of
from stages.decode import Decode
from stages.extract_features import ExtractFeatures, ExtractFeaturesSettings
from stages.video.color_histogram import HistogramMaker, color_histograms
from stages.video.decode_settings import DecodeSettings
from stages.video.motion.seconds import scene_cuts, second_of, visual_beats
from tests.support.videos import LOSSLESS, gray, plain, write_shots, write_video

BINS = np.linspace(-3, 3, 32)


def slow_histogram(frame: np.ndarray) -> np.ndarray:
    """[3, 32, 32]: HistoGAN's RGB-uv histogram as its paper writes it, all six log ratios, in double precision."""
    colors = frame.reshape(-1, 3).astype(np.float64) / 255
    logs = np.log(colors + 1e-6)
    intensity = np.sqrt((colors**2).sum(axis=1) + 1e-6)
    histogram = np.zeros((3, 32, 32))
    for channel, (first, second) in enumerate([(1, 2), (0, 2), (0, 1)]):
        kernels = [
            1 / (1 + (np.abs((logs[:, channel] - logs[:, other])[:, None] - BINS) / 0.02) ** 2)
            for other in (first, second)
        ]
        histogram[channel] = (intensity[:, None] * kernels[0]).T @ kernels[1]
    return histogram / (histogram.sum() + 1e-6)


class TestColor:
    @pytest.mark.parametrize("shape", [(150, 150), (7, 11), (10, 25)])
    def test_it_is_the_formula(self, shape: tuple[int, int]):
        frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        came = color_histograms(frame[None])[0]
        assert came.dtype == np.float32
        np.testing.assert_allclose(came, slow_histogram(frame).reshape(-1), rtol=1e-4, atol=1e-9)

    @pytest.mark.parametrize(
        "color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (0, 0, 0), (200, 100, 50)]
    )
    def test_plain_colors(self, color: tuple[int, int, int]):
        frame = plain(color)
        came = color_histograms(frame[None])[0]
        np.testing.assert_allclose(came, slow_histogram(frame).reshape(-1), rtol=1e-4, atol=1e-9)
        assert came.sum() == pytest.approx(1, abs=1e-3)  # but for the 1e-6 in the divisor
        assert (came >= 0).all()

    def test_where_the_mass_lies(self):
        """Gray: the middle of all three planes. Red: G and B are infinitely below R, and equal."""
        of_gray, of_red = color_histograms(np.stack([gray(128), plain((255, 0, 0))])).reshape(2, 3, 32, 32)
        middle = slice(15, 17)
        assert (of_gray[:, middle, middle].sum(axis=(1, 2)) > 0.6 * of_gray.sum(axis=(1, 2))).all()
        np.testing.assert_allclose(of_gray.sum(axis=(1, 2)), 1 / 3, rtol=1e-3)
        for plane in (1, 2):
            u, v = np.unravel_index(of_red[plane].argmax(), (32, 32))
            assert u == 0  # log(G/R) and log(B/R) lie below the lowest bin
            assert v in (15, 16)  # log(G/B) is 0
        assert of_red[1:].sum() > 0.95 * of_red.sum()

    def test_e_to_the_bin_lands_in_the_bin(self):
        """R/G = R/B = e^u for u near bin 23: the greatest of plane R is there."""
        green = 50
        red = round(green * np.exp(BINS[23]))
        plane = color_histograms(plain((red, green, green))[None]).reshape(3, 32, 32)[0]
        assert np.unravel_index(plane.argmax(), (32, 32)) == (23, 23)

    def test_a_frame_does_not_depend_on_those_before_it(self):
        """The working memory is used again."""
        frames = np.random.default_rng(1).integers(0, 256, (3, 30, 40, 3), dtype=np.uint8)
        make = HistogramMaker(1200)
        together = color_histograms(frames)
        for frame, expected in zip(frames[::-1], together[::-1], strict=True):
            np.testing.assert_array_equal(make(frame), expected)

    def test_no_frames(self):
        assert color_histograms(np.zeros((0, 4, 4, 3), np.uint8)).shape == (0, 3072)


class TestBins:
    @given(st.lists(st.floats(-1, 40), max_size=30), st.integers(1, 30))
    @settings(max_examples=200, deadline=None)
    def test_scene_cuts_of_each_second(self, cuts: list[float], seconds: int):
        came = scene_cuts(cuts, seconds)
        assert came.shape == (seconds,)
        for second, value in enumerate(came):
            first, last = second == 0, second == seconds - 1
            inside = any((cut >= second or first) and (cut < second + 1 or last) for cut in cuts)
            assert value == float(inside)

    @given(st.floats(0, 1e4), st.integers(1, 10**4))
    @settings(deadline=None)
    def test_second_of_is_the_whole_second_within_the_bins(self, time: float, seconds: int):
        assert second_of(time, seconds) == min(int(time), seconds - 1)

    @given(
        st.lists(st.floats(0, 255, width=32), min_size=1, max_size=80),
        st.floats(1, 60),
        st.floats(0.5, 100),
    )
    @settings(max_examples=200, deadline=None)
    def test_visual_beats_are_bounded_and_of_no_unit(self, values: list[float], rate: float, scale: float):
        """Within 0..1, and the greatest change of a video is 1, however strong it is."""
        difference = np.array([0.0, *values], np.float32)
        times = np.arange(len(difference)) / rate
        seconds = int(times[-1]) + 1
        beats = visual_beats(times, difference, seconds)
        assert beats.shape == (seconds,)
        assert ((beats >= 0) & (beats <= 1)).all()
        if difference.max() > 1e-3:
            assert beats.max() == 1
            scaled = visual_beats(times, difference * np.float32(scale), seconds)
            assert scaled.max() == 1

    def test_the_highest_peak_of_each_second(self):
        """Peaks of 10, 6 and 2 of 10; the last has too little prominence."""
        difference = np.zeros(100, np.float32)
        difference[[10, 15, 40, 70]] = 10, 6, 6, 2
        np.testing.assert_allclose(visual_beats(np.arange(100) / 25, difference, 4), [1, 0.6, 0, 0])

    def test_prominence_not_height_makes_a_beat(self):
        """A ripple of a tenth on a high plateau is no beat, whatever its height."""
        difference = np.full(50, 8, np.float32)
        difference[0], difference[20], difference[30] = 0, 10, 8.9
        np.testing.assert_allclose(visual_beats(np.arange(50) / 10, difference, 5), [0, 0, 1, 0, 0])

    def test_a_change_at_the_very_end_goes_to_the_last_second(self):
        """The last frame comes at 2.12 s of a video of two seconds and a tail."""
        difference = np.zeros(54, np.float32)
        difference[53] = 9
        np.testing.assert_allclose(visual_beats(np.arange(54) / 25, difference, 2), [0, 1])

    @pytest.mark.parametrize("level", [0.0, 7.0])
    @pytest.mark.parametrize("frames", [0, 1, 50])
    def test_nothing_changes(self, level: float, frames: int):
        beats = visual_beats(np.arange(frames) / 25, np.full(frames, level, np.float32), 2)
        np.testing.assert_array_equal(beats, [0, 0])


class TestStage:
    @pytest.fixture(scope="class")
    def features(self) -> ExtractFeatures:
        return ExtractFeatures(ExtractFeaturesSettings(clip_weights="tiny", images_per_batch=4))

    @staticmethod
    def read(features: ExtractFeatures, *paths: Path) -> list[dict[str, Any]]:
        rows = [{"item_id": p.name, "content_id": "x", "uri": str(p), "output": "", "size": 1} for p in paths]
        return rows_of(features(Decode(DecodeSettings(clip_size=64))(table_of(rows, MANIFEST))))

    def test_cuts_flashes_and_colors_of_a_video(self, tmp_path: Path, features: ExtractFeatures):
        """Red until a cut at 1.2 s to green, a white flash of one frame at 3.6 s, five seconds and a short tail."""
        shots = [(plain((120, 10, 10)), 30), (plain((10, 200, 10)), 60), (gray(255), 1), (plain((10, 200, 10)), 38)]
        (row,) = self.read(features, write_shots(tmp_path / "a.mkv", shots, coding=LOSSLESS))
        assert row["error"] is None
        assert {name: row[name].shape for name in ("semantic", "color", "scene_cut", "visual_beat")} == {
            "semantic": (5, 64),
            "color": (5, 3072),
            "scene_cut": (5,),
            "visual_beat": (5,),
        }
        assert row["scene_cut"][1] == 1
        assert row["scene_cut"][[0, 2, 4]].sum() == 0
        np.testing.assert_allclose(row["visual_beat"][[0, 2, 3, 4]], [0, 0, 1, 0], atol=1e-6)
        # The cut is a beat too, as strong as its change of gray is beside the flash's.
        weights = np.array([0.299, 0.587, 0.114])
        red, green = np.array([120, 10, 10]) @ weights, np.array([10, 200, 10]) @ weights
        assert row["visual_beat"][1] == pytest.approx((green - red) / (255 - green), abs=0.02)
        for second, color in enumerate([(120, 10, 10)] * 2 + [(10, 200, 10)] * 3):
            expected = slow_histogram(plain(color)).reshape(-1)
            np.testing.assert_allclose(row["color"][second], expected, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(row["color"].sum(axis=1), 1, atol=1e-3)

    def test_a_still_video(self, tmp_path: Path, features: ExtractFeatures):
        (row,) = self.read(features, write_video(tmp_path / "a.mp4", [gray(90)] * 60))
        assert row["scene_cut"].tolist() == [0, 0, 0]
        assert row["visual_beat"].tolist() == [0, 0, 0]
        np.testing.assert_array_equal(row["semantic"][0], row["semantic"][1])

    def test_a_cut_in_the_tail_goes_to_the_last_second(self, tmp_path: Path, features: ExtractFeatures):
        (row,) = self.read(features, write_shots(tmp_path / "a.mp4", [(gray(20), 51), (gray(230), 4)]))
        assert row["duration"] == pytest.approx(2.2)
        assert row["scene_cut"].tolist() == [0, 1]
        assert row["visual_beat"].tolist() == [0, 1]

    @pytest.mark.parametrize("frames", [1, 3, 4, 5, 9])
    def test_embeddings_do_not_depend_on_how_many_there_are(self, features: ExtractFeatures, frames: int):
        """Bit for bit: a frame keeps its place in its batch, and every batch has one shape."""
        pictures = np.random.default_rng(0).integers(0, 256, (11, 64, 64, 3), dtype=np.uint8)
        whole = features.embed(pictures)
        assert whole.dtype == np.float32
        np.testing.assert_array_equal(features.embed(pictures[:frames]), whole[:frames])

    def test_a_video_does_not_depend_on_its_neighbors(self, tmp_path: Path, features: ExtractFeatures):
        noise = np.random.default_rng(0).integers(0, 256, (80, 48, 64, 3), dtype=np.uint8)
        paths = [write_video(tmp_path / "a.mp4", noise), write_video(tmp_path / "b.mp4", noise[:30][::-1])]
        (alone,) = self.read(features, paths[0])
        together = self.read(features, paths[1], paths[0])[1]
        for name in ("semantic", "color", "scene_cut", "visual_beat"):
            np.testing.assert_array_equal(alone[name], together[name])

    def test_embeddings_are_raw(self, features: ExtractFeatures):
        """Not normalized: their lengths differ from 1 and from each other."""
        pictures = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
        lengths = np.linalg.norm(features.embed(pictures), axis=1)
        assert np.ptp(lengths) > 1e-3
        assert abs(lengths - 1).min() > 0.1

    def test_frames_of_another_size_are_refused(self, features: ExtractFeatures):
        with pytest.raises(ValueError, match="expected frames of 64 x 64 x 3, got 32 x 32 x 3"):
            features.embed(np.zeros((1, 32, 32, 3), np.uint8))

    def test_a_row_with_an_error_passes_through(self, features: ExtractFeatures):
        error = {"stage": "decode", "type": "NotAVideo", "message": "no"}
        (row,) = rows_of(FEATURES.check(features(table_of([{"item_id": "x", "error": error}], DECODED))))
        assert row["error"] == error
        assert row["semantic"] is None
