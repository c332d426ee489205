"""Hostile files among good ones fail with their reason, and neither harm the good ones nor slow them down."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from models.sampling.settings import SamplingSettings
from pipeline.cluster.session import cluster
from pipeline.discovery import discover
from pipeline.scoring.run import RunSummary, run
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage
from tests.support.hostile import SECRET, write_hostile
from tests.support.listener import RecordedProgress
from tests.support.videos import gray, write_video

QUICK = RunSettings(seed=3, sampling=SamplingSettings(steps=2))


def write_good(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        write_video(folder / f"good{number:02}.mp4", [gray((3 * number + 2 * i) % 256) for i in range(50)])
    return folder


def scored(source: Path, out: Path) -> tuple[RunSummary, float]:
    destination, began = Storage.open(out), time.monotonic()
    return run(discover([str(source)], destination), QUICK, destination, RecordedProgress()), time.monotonic() - began


def test_hostile_files_fail_with_their_reason(tmp_path: Path) -> None:
    source = write_good(tmp_path / "in", 3)
    expected = write_hostile(source)
    assert len(expected) == 20
    with cluster():
        summary, _ = scored(source, tmp_path / "out")
    assert (summary.total, summary.done) == (23, 3)
    assert {Path(row["uri"]).name: row["error_type"] for row in summary.failures} == expected
    secret = Path(SECRET.removeprefix("file://")).read_text().splitlines()[0]
    assert not [
        path for path in (tmp_path / "out").rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]


@pytest.mark.slow
def test_hostile_files_cost_no_time(tmp_path: Path) -> None:
    """Run with `-s` to see the figures. The good ones alone, with the hostile ones, and alone again."""
    source = write_good(tmp_path / "good", 40)
    both = write_good(tmp_path / "both", 40)
    expected = write_hostile(both)
    with cluster():
        times = [scored(folder, tmp_path / f"out{turn}") for turn, folder in enumerate((source, both, source))]
    (_, before), (summary, poisoned), (_, after) = times
    ratio = poisoned / ((before + after) / 2)
    kinds = Counter(row["error_type"] for row in summary.failures)
    print(f"40 good {before:.1f} s and {after:.1f} s, with {len(expected)} hostile ones {poisoned:.1f} s: {ratio:.2f}")
    print(f"{summary.done} done, {len(summary.failures)} failed: {dict(kinds)}")
    assert (summary.done, len(summary.failures)) == (40, 20)
    assert ratio <= 1.3
