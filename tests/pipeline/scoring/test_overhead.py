"""Overhead: the time of a run, compared with a plain loop over the same stages, clips and cores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.studies.throughput import StageClock
from pipeline.cluster.resources import Machine
from pipeline.cluster.session import cluster
from pipeline.datasets.synthetic_clip import write_clip
from pipeline.discovery import discover
from pipeline.scoring.run import run
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import STAGES, scoring_layout, scoring_steps
from pipeline.storage.storage import Storage

CLIPS, SECONDS = 24, 20.0
SETTINGS = RunSettings(seed=1)


def looped(manifest: pa.Table, destination: Storage) -> float:
    """Seconds of a loop over clips and stages, whose networks were loaded before."""
    steps = scoring_steps(SETTINGS, destination, scoring_layout(Machine.here(), SETTINGS.model))
    chain = [steps[name].build() for name in STAGES]
    began = time.monotonic()
    for number in range(manifest.num_rows):
        table = manifest.slice(number, 1)
        for stage in chain:
            table = stage(table)
        assert table["state"].to_pylist() == ["done"]
    return time.monotonic() - began


def piped(manifest: pa.Table, destination: Storage) -> Mapping[str, float]:
    """Seconds of a run: from its call to its end, until every stage had a worker, and a clip's from then on."""
    clock = StageClock()
    summary = run(manifest, SETTINGS, destination, clock)
    assert summary.done == manifest.num_rows
    assert clock.ready
    each = (clock.last["mux"] - clock.first["mux"][0]) / (manifest.num_rows - 1)
    return {"run": time.monotonic() - clock.started, "start": clock.ready, "each": each}


@pytest.mark.slow
def test_the_pipeline_costs_little_more_than_a_loop(tmp_path: Path) -> None:
    """Run with `-s` to see the figures. Loop, pipeline, loop: what the machine does by itself shows in the loops."""
    (tmp_path / "in").mkdir()
    for number in range(CLIPS):
        write_clip(20_000 + number, SECONDS, tmp_path / "in")
    places = [Storage.open(tmp_path / name) for name in ("first", "piped", "second")]
    manifest = discover([str(tmp_path / "in")], places[0])
    before = looped(manifest, places[0])
    began = time.monotonic()
    with cluster():
        ray = time.monotonic() - began
        found = piped(manifest, places[1])
    after = looped(manifest, places[2])
    loop = (before + after) / 2
    print(f"{CLIPS} clips of {SECONDS:g} s: loop {before:.1f} s and {after:.1f} s, pipeline {found['run']:.1f} s")
    print(f"start: Ray {ray:.1f} s, then {found['start']:.1f} s until every stage has a worker with its networks")
    ratio = (found["run"] - found["start"]) / loop
    print(f"pipeline over loop: {ratio:.2f}, with its start {found['run'] / loop:.2f}")
    print(f"from the first result to the last, by clip: {found['each'] * CLIPS / loop:.2f}")
    assert ratio <= 1.1
