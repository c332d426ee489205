"""The command `bench`: a line for each figure, and JSON."""

from __future__ import annotations

import json

import pytest

from jobs.commands.bench import throughput_line
from jobs.studies.throughput import StageClock, Throughput
from pipeline.scoring.progress import RunProgress
from tests.support.command_line import invoke


def test_runs_are_measured() -> None:
    result = invoke("bench", "--only", "runs", "--clips", "2", "--clips", "3", "--seconds", "2", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["about"]["torch"]
    two, three = report["runs"]
    assert (two["clips"], three["clips"]) == (2, 3)
    for run in (two, three):
        assert 0 < run["start"] < run["seconds"]
        assert 0 < run["busy"] <= 1
        assert set(run["stages"]) == {"decode", "features", "rhythm", "sample", "sound", "mix", "mux"}
        assert run["memory"] > 100
    assert "from 2 to 3 clips" in result.stderr


def test_a_line_has_all_values() -> None:
    throughput = Throughput(10, 110.0, 10.0, 200.0, 0.9, {"decode": 1.0, "sample": 3.0}, 1000.0)
    assert throughput.clips_per_hour == pytest.approx(360)
    assert throughput_line(throughput) == (
        "10 clips: 110.0 s, 10.0 of them to start; 360 clips an hour, 2.0 s of music a second; sampler busy 90%; "
        "decode 25%, sample 75%; 1000 MiB"
    )


def test_the_clock_knows_first_and_last() -> None:
    clock = StageClock()
    clock(RunProgress({"sample": 1}), 2)
    first = clock.first["sample"]
    clock(RunProgress({"sample": 2}), 2)
    last = clock.last["sample"]
    clock(RunProgress({"sample": 2}), 2)
    assert (clock.first["sample"], clock.last["sample"]) == (first, last)
    assert last >= first[0]
    assert first[1] == 1


def test_a_wrong_number_is_wrong_usage() -> None:
    assert invoke("bench", "--clips", "0").exit_code == 2
