"""Writing the corpus: files as their truth says, sound and picture together, resumed where it stopped."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.synthetic import FPS, compose, edit, kind_of_people, render
from pipeline.datasets import synthetic_clip, synthetic_truth, synthetic_videos
from pipeline.datasets.synthetic_clip import ClipFailed, write_clip
from pipeline.datasets.synthetic_truth import clip_name
from pipeline.datasets.synthetic_videos import SeedRange, make_corpus
from stages.contracts import Row
from stages.decode import decode
from stages.video.child_process import Limits, Pipe
from stages.video.decode_settings import DecodeSettings
from stages.video.ffmpeg import run_ffmpeg

SEEDS = range(40, 44)
LENGTH = 16.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    make_corpus(root, len(SEEDS), SEEDS[0], LENGTH)
    return root


def test_cuts_of_the_truth_are_found(folder: Path) -> None:
    found = known = missed = false = 0
    for row in pq.read_table(folder / "truth.parquet").to_pylist():
        columns = decode(folder / row["file"], DecodeSettings())
        assert columns["duration"] == pytest.approx(LENGTH, abs=0.05)
        assert columns["media"]["has_audio"]
        seen, true = np.array(columns["cuts"]), np.array(row["cuts"])
        near = np.abs(seen[:, None] - true[None, :]) <= 1 / FPS + 1e-3
        known, found = known + len(true), found + len(seen)
        missed, false = missed + int((~near.any(0)).sum()), false + int((~near.any(1)).sum())
    assert 1 - missed / known >= 0.9
    assert 1 - false / found >= 0.8


def test_sound_is_aligned_with_the_picture(folder: Path) -> None:
    """The decoded sound matches the rendered one best at no shift, within 5 ms."""
    data = bytearray()
    with Pipe(data.extend) as pipe:
        arguments = ["-i", f"{folder / clip_name(SEEDS[0])}", "-map", "0:a", "-f", "f32le", "-ac", "2", pipe.url]
        assert run_ffmpeg(arguments, Limits(60, 4 << 30), [pipe]).code == 0
    heard = np.frombuffer(bytes(data), np.float32).reshape(-1, 2).mean(1)[: 4 * 44100]
    made = render(compose(SEEDS[0], LENGTH)).mean(0)[: len(heard)]
    size = 2 * len(made)
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(made, size)), size)
    shift = int(match.argmax())
    shift = shift - size if shift > size // 2 else shift
    assert abs(shift) < 0.005 * 44100
    assert match.max() / np.sqrt((heard**2).sum() * (made**2).sum()) > 0.95


def test_table_tells_the_truth(folder: Path) -> None:
    rows = pq.read_table(folder / "truth.parquet").to_pylist()
    assert [row["seed"] for row in rows] == list(SEEDS)
    for row in rows:
        piece = compose(row["seed"], LENGTH)
        assert (row["key"], row["mode"], row["tempo"]) == (piece.key, piece.mode, piece.tempo)
        assert row["accents"] == [accent.time for accent in piece.accents]
        assert row["people"] == kind_of_people(row["seed"])
        assert not row["held_out"]
        assert [scene["start"] for scene in row["scenes"]][1:] == row["cuts"]
        assert all(scene["caption"] for scene in row["scenes"])
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_clip_is_the_same_bytes_in_any_process(folder: Path, tmp_path: Path) -> None:
    write_clip(SEEDS[1], LENGTH, tmp_path)
    name = clip_name(SEEDS[1])
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert (folder / name).read_bytes() != (folder / clip_name(SEEDS[2])).read_bytes()


def test_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def failing(seed: int, seconds: float, root: Path, _font: None, people: str) -> Row:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(seed)
        return write_clip(seed, seconds, root, people=people)

    monkeypatch.setattr(synthetic_videos, "write_clip", failing)
    with pytest.raises(KeyboardInterrupt):
        make_corpus(tmp_path, 4, 10, 2.0, workers=1)
    assert pq.read_table(tmp_path / "truth.parquet")["seed"].to_pylist() == [10, 11]
    first = (tmp_path / clip_name(10)).stat().st_mtime_ns
    (tmp_path / clip_name(11)).unlink()
    made.clear()
    monkeypatch.setattr(synthetic_videos, "write_clip", lambda *call: (made.append(call[0]), write_clip(*call))[1])
    seen: list[tuple[int, int]] = []
    table = make_corpus(tmp_path, 4, 10, 2.0, workers=1, on_progress=lambda *state: seen.append(state))
    assert made == [11, 12, 13]
    assert seen == [(2, 4), (3, 4), (4, 4)]
    assert table["seed"].to_pylist() == [10, 11, 12, 13]
    assert (tmp_path / clip_name(10)).stat().st_mtime_ns == first


def test_clips_of_other_length_are_made_anew(tmp_path: Path) -> None:
    make_corpus(tmp_path, 1, 3, 2.0)
    table = make_corpus(tmp_path, 1, 3, 3.0)
    assert table["duration"].to_pylist() == [3.0]
    assert decode(tmp_path / clip_name(3), DecodeSettings())["duration"] == pytest.approx(3.0, abs=0.05)


def test_films_have_the_people_that_are_asked_for_and_their_kinematic_beats_are_in_the_table(tmp_path: Path) -> None:
    made: list[int] = []
    for people in ("talk", "dance", "dance"):
        table = make_corpus(tmp_path, 1, 3, 4.0, people=people, on_progress=lambda *_: made.append(1))
    assert len(made) == 2
    row, film = table.to_pylist()[0], edit(compose(3, 4.0), 3, "dance")
    assert (row["people"], row["people_styles"]) == ("dance", list(film.people_styles))
    assert row["people_follow"] == film.people_follow
    assert row["people_share"] == pytest.approx(film.people_share)
    assert list(zip(row["kinematic_beats"], row["kinematic_strengths"], strict=True)) == list(film.kinematic_beats)
    assert len(row["kinematic_beats"]) > 1
    assert all(bool(scene["people"]) == bool(scene["people_style"]) for scene in row["scenes"])
    assert any(scene["people"] for scene in row["scenes"])


def test_training_and_held_out_clips_are_kept_apart(tmp_path: Path) -> None:
    with pytest.raises(SeedRange, match="straddle 10000"):
        make_corpus(tmp_path, 3, 9_998)
    assert not list(tmp_path.iterdir())
    assert make_corpus(tmp_path, 1, 10_000, 2.0)["held_out"].to_pylist() == [True]
    with pytest.raises(SeedRange, match="holds clips held out"):
        make_corpus(tmp_path, 1, 0, 2.0)


@pytest.mark.parametrize(("clips", "seed", "seconds"), [(0, 0, 24.0), (1, -1, 24.0), (1, 0, 0.5)])
def test_nothing_to_make_is_refused(tmp_path: Path, clips: int, seed: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="expected clips >= 1"):
        make_corpus(tmp_path, clips, seed, seconds)


def test_failure_says_what_ffmpeg_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken.mp4").mkdir()
    monkeypatch.setattr(synthetic_clip, "part_path", lambda target: tmp_path / "taken.mp4")
    with pytest.raises(ClipFailed, match="directory"):
        write_clip(1, 2.0, tmp_path)
    assert not (tmp_path / clip_name(1)).exists()
    assert list(itertools.islice(tmp_path.glob("*.parquet"), 1)) == []


def test_rows_of_clips_that_are_made_anew_are_gone_before_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed between a clip and the table must not leave the truth of another clip."""
    make_corpus(tmp_path, 2, 5, 2.0, workers=1)

    def killed(*_: object) -> None:
        assert pq.read_table(tmp_path / "truth.parquet").num_rows == 0
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic_videos, "write_clip", killed)
    with pytest.raises(KeyboardInterrupt):
        make_corpus(tmp_path, 2, 5, 3.0, workers=1)


def test_clips_of_another_version_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make_corpus(tmp_path, 1, 5, 2.0, workers=1, on_progress=lambda done, _: made.append(done))
    make_corpus(tmp_path, 1, 5, 2.0, workers=1, on_progress=lambda done, _: made.append(done))
    assert made == [1]
    monkeypatch.setattr(synthetic_truth, "VERSION", b"other")
    make_corpus(tmp_path, 1, 5, 2.0, workers=1, on_progress=lambda done, _: made.append(done))
    assert made == [1, 1]
