"""The evaluation itself: music that follows reaches the aims, music that does not fails the bars."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from models.config import ModelConfig
from models.diffv2m import DiffV2M
from models.features.audio import SAMPLE_RATE, Key, onset_strength
from models.features.key import UNKNOWN, key_number
from models.features.rhythm_curve import rhythm_curve
from models.lengths import Lengths, Window
from models.metrics.metrics import log_magnitudes, pearson
from models.metrics.thresholds import Result, Verdict
from models.sampling.settings import SamplingSettings
from models.synthetic import HELD_OUT, compose, edit, render
from models.weights.presets import PRESETS
from models.weights.source import ModelSource
from pipeline.datasets.synthetic_truth import truth
from pipeline.evaluation import scorecard as judging
from pipeline.evaluation.audio_metrics import (
    CURVE_RATE,
    RhythmMeasurement,
    SoundMeasurement,
    measure_sound,
    per_second,
    spectrum_sums,
    statistics,
)
from pipeline.evaluation.evaluator import EvaluationSet, Evaluator, joins_of
from pipeline.evaluation.generator import EvaluatedGenerator, EvaluationError, EvaluationSettings, TargetRhythm
from pipeline.evaluation.held_out import FeatureReader, HeldOutClip, held_out_clips
from pipeline.evaluation.scorecard import (
    ClipMeasurements,
    rhythm_correlation,
    score_key,
    score_mood,
    score_picture,
    score_seams,
    score_videos,
)
from stages.contracts import Row
from stages.plots.spectrogram import draw_spectrogram
from tests.support.rows import features_row
from tests.support.signals import cadence, drum_strokes, white_noise

SECONDS, CLIPS = 12.0, 6
LENGTHS = Lengths(SAMPLE_RATE, 2048, 30 * SAMPLE_RATE)
Play = Callable[[int, int], Tensor]


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "FRECHET_RESAMPLES", 10)


@pytest.fixture(scope="module")
def clips() -> list[HeldOutClip]:
    """Held-out clips without the way through a file."""
    found = []
    for seed in range(HELD_OUT, HELD_OUT + CLIPS):
        piece = compose(seed, SECONDS)
        film = edit(piece, seed)
        row = features_row(f"{seed}", SECONDS) | {"cuts": np.array(film.cuts)}
        sound = np.round(render(piece, SAMPLE_RATE).T * 32767).astype(np.int16)
        found.append(HeldOutClip(row, sound, truth(piece, film)))
    return found


class Fake:
    """A model that asks for the rhythm of the clips' own music and plays what it is told to play."""

    rate = CURVE_RATE

    def __init__(self, clips: Sequence[HeldOutClip], play: Play) -> None:
        self.clips, self._play = clips, play

    def windows(self, duration: float) -> Sequence[Window]:
        return LENGTHS.windows(duration)

    def target_of_picture(self, row: Row, seed: int = 0) -> TargetRhythm:
        return self.target_of_music(row, self.clips[self._number(row)].music)

    def target_of_music(self, row: Row, music: Tensor) -> TargetRhythm:
        return TargetRhythm(torch.zeros(1), self.rhythm_of(music, row["duration"]), self.rate)

    def rhythm_of(self, music: Tensor, duration: float) -> Tensor:
        return rhythm_curve(music, SAMPLE_RATE, self.rate, round(duration * self.rate))[0]

    def generate(self, rows: Sequence[Row], targets: Sequence[TargetRhythm], seed: int) -> list[Tensor]:
        return [self._play(self._number(row), seed) for row in rows]

    def key(self, row: Row, seed: int) -> int:
        return key_number(self.clips[self._number(row)].truth["key"], True)

    def reconstruct(self, music: Tensor) -> Tensor:
        return music + 0.001 * torch.randn(music.shape, generator=torch.Generator().manual_seed(0))

    def _number(self, row: Row) -> int:
        return [clip.row["content_id"] for clip in self.clips].index(row["content_id"])


def measured(clips: Sequence[HeldOutClip], play: Play, *only: str) -> dict[str, Result]:
    results = Evaluator(Fake(clips, play), EvaluationSet(clips), (0,), batch=4).results(only)
    return {result.name: result for result in results}


def noise(number: int, seed: int) -> Tensor:
    return white_noise(SECONDS, 0.1, 100 * seed + number).expand(2, -1)


GIVEN = ("given curve: r per second", "given curve: strong accents within 0.1 s minus chance")


def test_music_with_the_given_curve_reaches_the_aim(clips: list[HeldOutClip]) -> None:
    found = measured(clips, lambda number, seed: clips[number].music, "given", "tune", "pulse", "vae", "spectrum")
    assert found[GIVEN[0]].value.mean == pytest.approx(1)
    assert found[GIVEN[1]].verdict is not Verdict.BELOW
    assert abs(found["given curve of another clip: r per second"].value.mean) < 0.3
    for name in ("in tune: key clarity", "pulse: beat autocorrelation"):
        assert found[f"{name} over that of held-out music"].value.mean == pytest.approx(1)
    assert found["spectrum: Frechet distance over that of VAE reconstructions"].verdict is Verdict.TARGET
    assert found["VAE, held-out: onset-strength correlation"].value.mean > 0.5


def test_music_of_other_clips_fails(clips: list[HeldOutClip]) -> None:
    found = measured(clips, lambda number, seed: clips[(number + 1) % CLIPS].music, "given", "picture")
    picture = "picture: r per second with the predicted curve", "picture: cuts hit within 0.1 s minus chance"
    for name in (*GIVEN, *picture):
        assert found[name].verdict is Verdict.BELOW


def test_an_autoencoder_that_loses_pitches_fails(clips: list[HeldOutClip]) -> None:
    """Noise with the music's own spectrum in broad bands: mel and onsets look better than it sounds."""

    class Unpitched(Fake):
        def reconstruct(self, music: Tensor) -> Tensor:
            spectrum = torch.stft(music, 1024, window=torch.hann_window(1024), return_complex=True)
            level = torch.nn.functional.avg_pool1d(spectrum.abs().transpose(1, 2), 33, 1, 16).transpose(1, 2)
            phase = 2 * torch.pi * torch.rand(spectrum.shape, generator=torch.Generator().manual_seed(0))
            window = torch.hann_window(1024)
            return torch.istft(torch.polar(level, phase), 1024, window=window, length=music.shape[-1])

    found = Evaluator(Unpitched(clips, noise), EvaluationSet(clips), (0,)).results(["vae"])
    chroma = {result.name: result for result in found}["VAE, held-out: chroma correlation per frame"]
    assert chroma.verdict is Verdict.BELOW
    assert all(result.verdict is Verdict.BELOW for result in found)


def test_noise_fails(clips: list[HeldOutClip]) -> None:
    found = measured(clips, noise, "given", "tune", "pulse", "spectrum")
    for name, result in found.items():
        if result.threshold is not None:
            assert result.verdict is Verdict.BELOW, name


def onsets(times: Sequence[float], seconds: float = 12.0) -> RhythmMeasurement:
    strength = torch.zeros(round(seconds * SAMPLE_RATE / 512))
    strength[(torch.tensor(times) * SAMPLE_RATE / 512).round().long()] = 1.0
    return RhythmMeasurement(torch.zeros(12), torch.zeros(12), strength)


def test_music_that_ignores_the_picture_is_seen_by_shuffling() -> None:
    """Music and pictures that all have one rhythm follow each other well, and then the shuffled row fails."""
    same = torch.rand(12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cuts = torch.tensor([2.0, 5.0, 9.0])
    take = replace(onsets(cuts.tolist()), seconds=same)
    found = {r.name: r for r in score_picture([ClipMeasurements([same], [take], cuts, take) for _ in range(4)])}
    assert found["picture: r per second with the predicted curve"].verdict is Verdict.TARGET
    assert found["picture: cuts hit within 0.1 s minus chance"].verdict is Verdict.TARGET
    assert found["pictures shuffled among clips: r per second"].verdict is Verdict.BELOW


def test_edges_do_not_count() -> None:
    one, two = torch.rand(2, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    plain = float(pearson(one[1:-1], two[1:-1]))
    one[0] = two[0] = 9
    assert rhythm_correlation(one, two) == pytest.approx(plain)
    with pytest.raises(ValueError, match="at least 4 s"):
        rhythm_correlation(one[:3], two[:3])


def test_per_second_is_the_mean_of_each_whole_second() -> None:
    values = torch.arange(25.0)
    assert per_second(values, 10.0).tolist() == [4.5, 14.5]
    level = torch.rand(12, generator=torch.Generator().manual_seed(0))
    second = (torch.arange(260) / CURVE_RATE).floor().long().clamp(max=11)
    torch.testing.assert_close(per_second(level[second], CURVE_RATE), level.double(), atol=1e-6, rtol=0)


def test_statistics_of_sums_are_those_of_all_frames() -> None:
    pieces = [drum_strokes([0.5, 1.2], 2.0), white_noise(1.5, 0.1)]
    found = statistics([spectrum_sums(piece) for piece in pieces])
    frames = torch.cat([log_magnitudes(piece).T for piece in pieces]).double().numpy()
    np.testing.assert_allclose(found.mean, frames.mean(0), atol=1e-9)
    np.testing.assert_allclose(found.covariance, np.cov(frames, rowvar=False), atol=1e-8)


def sound(mode: str, tempo: float) -> SoundMeasurement:
    return SoundMeasurement(Key(4, mode, 0.9), 0.5, tempo, spectrum_sums(white_noise(0.2)))  # type: ignore[arg-type]


def test_keys_that_were_asked_for_are_told_from_others() -> None:
    of_e = sound("major", 100.0)
    asked = [[key_number(4, True), key_number(4, False)], [UNKNOWN], [key_number(5, True)]]
    (found,) = score_key(asked, [[of_e, of_e], [of_e], [of_e]])
    assert (found.value.mean, found.clips) == (0.25, 2)
    assert score_key([[UNKNOWN]], [[of_e]]) == []


def test_mood() -> None:
    right = [(1, [sound("major", 130.0)]), (-1, [sound("minor", 70.0)]), (0, [sound("minor", 150.0)])]
    found = score_mood(right, [])[0]
    assert (found.value.mean, found.clips, found.verdict) == (1.0, 2, Verdict.TARGET)
    swapped = score_mood([(-label, takes) for label, takes in right], [])[0]
    assert (swapped.value.mean, swapped.verdict) == (0.0, Verdict.BELOW)
    half, mode, tempo = score_mood([(1, [sound("major", 70.0)])], [])
    assert (half.value.mean, mode.value.mean, tempo.value.mean) == (0.0, 1.0, 0.0)  # half right is not right
    (own,) = score_mood([], [(1, sound("major", 130.0)), (-1, sound("major", 70.0))])
    assert own.value.mean == 0.5


def test_mode_and_tempo_of_a_song_are_heard() -> None:
    beats = drum_strokes([0.1 + n * 60 / 132 for n in range(17)], 8.0)
    for mode in ("major", "minor"):
        music = beats + torch.cat((cadence(4, mode), cadence(4, mode)))
        heard = measure_sound(music, onset_strength(music))
        assert (heard.key.tonic, heard.key.mode) == (4, mode)
        assert heard.tempo == pytest.approx(132, rel=0.03)
        noise = measure_sound(white_noise(8.0, 0.1), onset_strength(white_noise(8.0, 0.1)))
        assert noise.key.clarity < 0.8 * heard.key.clarity
        assert noise.beat < 0.35 * heard.beat


def test_seams_are_heard() -> None:
    at = joins_of(LENGTHS.windows(50.0))
    (before, after) = LENGTHS.windows(50.0)
    assert at == [after.start, (after.start + before.stop) / 2, before.stop]
    smooth = white_noise(50.0, 0.05)
    clicking = [(smooth + 5 * drum_strokes([t], 50.0), Verdict.BELOW) for t in at]
    for music, verdict in ((smooth, Verdict.TARGET), *clicking):
        found = score_seams([[music]], [smooth], [at])
        assert [result.verdict for result in found[:2]] == [verdict, verdict]


def test_real_videos() -> None:
    cuts = torch.tensor([2.0, 5.0, 9.0])
    (hit,) = score_videos([(cuts, [onsets([2.0, 5.0, 9.0]).onsets])])
    (missed,) = score_videos([(cuts, [onsets([1.0, 3.5, 7.0]).onsets])])
    assert (hit.verdict, missed.verdict) == (Verdict.TARGET, Verdict.BELOW)


def model(curve: dict[str, int] | None) -> DiffV2M:
    raw = json.loads((PRESETS["tiny"].folder / "model_config.json").read_text())
    raw["model"]["diffusion"]["config"]["curve"] = curve
    config = ModelConfig.from_dict(raw | {"predictor": {"width": 64, "depth": 1}})
    torch.manual_seed(0)
    return DiffV2M(config).eval().requires_grad_(False)


@pytest.mark.parametrize("curve", [None, {}, {"stride": 3}])
def test_a_model_plays(curve: dict[str, int] | None) -> None:
    evaluation = EvaluatedGenerator(EvaluationSettings(sampling=SamplingSettings(steps=1)), model(curve))
    rows = [features_row("a", 8.0), features_row("b", 34.0)]
    music = drum_strokes([1.0, 20.0], 34.0).expand(2, -1)
    asked = [evaluation.target_of_picture(row) for row in rows]
    given = evaluation.target_of_music(rows[1], music)
    assert given.windows.shape == asked[1].windows.shape
    assert given.windows.shape[0] == 2
    assert len(given.curve) == len(asked[1].curve) == len(evaluation.rhythm_of(music, 34.0))
    if curve == {}:
        start = LENGTHS.latent_at(4)
        assert torch.equal(given.windows[0, :, start:], given.windows[1, :, : -start or None])
    takes = [evaluation.generate(rows, [asked[0], given], seed) for seed in (0, 1)]
    assert [[take.shape[1] for take in of_seed] for of_seed in takes] == [[8 * 44100, 34 * 44100]] * 2
    assert not torch.equal(takes[0][0], takes[1][0])
    assert evaluation.reconstruct(music[:, :50_000]).shape == (2, 50_000)


def test_models_without_onsets_are_refused() -> None:
    other = model(None)
    other.config = replace(other.config, rhythm=type(other.config.rhythm)("mel"))
    with pytest.raises(EvaluationError, match="onset rhythm"):
        EvaluatedGenerator(EvaluationSettings(ModelSource("tiny")), other)


def test_clips_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    reader = FeatureReader(cache=tmp_path / "rows")
    (first,) = held_out_clips(tmp_path / "clips", 1, 3.0, reader, on_progress=lambda *state: told.append(state))
    assert told[-1] == (1, 1)
    assert first.music.shape == (2, round(first.duration * SAMPLE_RATE))
    assert first.film_mood_label == (first.truth["film_warmth"] >= 0.85) - (first.truth["film_warmth"] <= 0.15)
    monkeypatch.setattr(FeatureReader, "_run_stages", lambda *_: pytest.fail("read again"))
    (again,) = held_out_clips(tmp_path / "clips", 1, 3.0, reader)
    np.testing.assert_array_equal(first.row["semantic"], again.row["semantic"])
    with pytest.raises(ValueError, match="10000 and above"):
        held_out_clips(tmp_path, 1, 3.0, reader, first=3)


def test_picture(tmp_path: Path) -> None:
    music = drum_strokes([1.0, 2.5], 4.0)
    draw_spectrogram(music, rhythm_curve(music, SAMPLE_RATE, CURVE_RATE, 86), [1.0], tmp_path / "a.png", "two strokes")
    draw_spectrogram(torch.zeros(2, 44100), None, [], tmp_path / "b.png")
    first, second = (cv2.imread(str(tmp_path / name)) for name in ("a.png", "b.png"))
    assert first.shape == second.shape == (736, 1600, 3)
    assert first.std() > 10
