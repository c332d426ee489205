"""Preparing: videos become a dataset, bad ones a row, and a killed run goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.weights.source import TINY
from pipeline.datasets.builder import STAGES, PrepareSettings, list_videos, prepare
from pipeline.datasets.dataset import Dataset, DatasetError, read_settings, read_shards
from pipeline.sources.explore import SourceError
from pipeline.storage.storage import Storage
from stages.cut_segments import decode_flac
from tests.support.inline import prepare_inline
from tests.support.listener import RecordedProgress
from tests.support.sounds import first_loud, write_clicking
from tests.support.videos import cut_in_half, gray, write_video


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips with a click after a second and as many tenths as their number, one without sound, one damaged."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "deep").mkdir()
    for number in range(4):
        write_clicking(folder / "deep" / f"{number}.mp4", 4.0 + number, [1 + number / 10])
    write_video(folder / "mute.mp4", [gray(i) for i in range(50)])
    cut_in_half(folder / "deep" / "3.mp4", folder / "half.mp4")
    return folder


def test_videos_become_segments(source: Path, tmp_path: Path) -> None:
    """The one test with Ray."""
    out, listener = Storage.open(tmp_path / "set"), RecordedProgress()
    summary = prepare([str(source)], out, PrepareSettings(codec=TINY), listener)
    assert (summary.total, summary.done, summary.skipped, summary.segments) == (6, 4, 0, 4)
    why = {Path(row["uri"]).name: (row["stage"], row["error_type"]) for row in summary.failures}
    assert why == {"mute.mp4": ("listen", "NoAudio"), "half.mp4": ("decode", "Truncated")}
    assert listener.counts == dict.fromkeys(STAGES, 6)
    assert set(summary.seconds) == set(STAGES)
    assert summary.music == pytest.approx(22, abs=0.1)
    dataset = Dataset.open(out.url, tmp_path / "cache")
    assert len(dataset.failures()) == 2
    assert dataset.seconds == pytest.approx(22, abs=0.1)
    for index in range(len(dataset)):
        segment = dataset.segment(index)
        number = int(Path(segment["uri"]).stem)
        assert first_loud(decode_flac(segment["sound"])) == pytest.approx(1 + number / 10, abs=0.005)
        np.testing.assert_allclose(segment["cuts"], [2 + number / 2], atol=0.05)
        assert segment["latents"].shape == (64, segment["curve"].shape[1])


def test_a_killed_run_goes_on(source: Path, tmp_path: Path) -> None:
    out = Storage.open(tmp_path / "set")
    command = [sys.executable, "-m", "tests.support.inline", str(source), out.url]
    child = subprocess.Popen(command, start_new_session=True)
    try:
        while read_settings(out) is None or len(read_shards(out)) < 2:
            assert child.poll() is None
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = {item for shard in read_shards(out) for item in shard.items}
    summary, listener = prepare_inline(str(source), out.url)
    assert summary.skipped == len(done)
    assert summary.skipped >= 2
    assert summary.done >= 1
    assert summary.skipped + summary.done == 4
    assert {row["error_type"] for row in summary.failures} == {"NoAudio", "Truncated"}
    dataset = Dataset.open(out.url, tmp_path / "cache")
    found = sorted(Path(dataset.segment(i)["uri"]).name for i in range(len(dataset)))
    assert found == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    # Once more: nothing is left, and nothing is written.
    before = {file.name: file.modified for file in out.files()}
    summary, listener = prepare_inline(str(source), out.url)
    assert (listener.total, summary.skipped, len(summary.failures)) == (0, 4, 2)
    assert {file.name: file.modified for file in out.files()} == before
    with pytest.raises(DatasetError, match=r"other settings.*codec None"):
        prepare_inline(str(source), out.url, PrepareSettings(codec=TINY))


def test_a_video_is_taken_once_and_names_may_repeat_in_other_sources(source: Path, tmp_path: Path) -> None:
    out = Storage.open(tmp_path / "set")
    other = tmp_path / "other"
    other.mkdir()
    write_video(other / "mute.mp4", [gray(i) for i in range(30)])
    assert list_videos([str(source), str(source / "mute.mp4"), str(other)], out).num_rows == 7
    assert list_videos([str(source), str(other)], out, limit=2).num_rows == 2
    with pytest.raises(SourceError, match="no source given"):
        list_videos([], out)
    with pytest.raises(SourceError, match=r"would be scored again|inside"):
        list_videos([str(tmp_path)], out)


def test_held_out_clips_are_refused_wherever_they_lie(tmp_path: Path) -> None:
    deep = tmp_path / "set" / "deep"
    deep.mkdir(parents=True)
    (deep / "clip_010000.mp4").write_bytes(b"x")
    table = {"file": ["clip_010000.mp4"], "held_out": [True]}
    pq.write_table(pa.table(table), deep / "truth.parquet")
    for source in (tmp_path / "set", deep, deep / "clip_010000.mp4"):
        with pytest.raises(SourceError, match="held out for evaluation"):
            list_videos([str(source)], Storage.open(tmp_path / "out"))
    pq.write_table(pa.table(table | {"held_out": [False]}), deep / "truth.parquet")
    assert list_videos([str(deep)], Storage.open(tmp_path / "out")).num_rows == 1


def test_names_that_only_scoring_would_write_twice_are_no_matter(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mov"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    assert list_videos([str(tmp_path / "in")], Storage.open(tmp_path / "out")).num_rows == 2
