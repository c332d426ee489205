"""Profiling: a few videos go through all stages in this process, to measure the cost of each stage."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from models.progress import ProgressCallback
from pipeline.cluster.resources import Machine
from pipeline.planning.cost_model import CostModel, fit_cost_model
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import STAGES, scoring_layout, scoring_steps
from pipeline.storage.storage import Storage, localize
from stages.contracts import Row, rows_of
from stages.mux import Mux, MuxSettings


def profile_stages(
    videos: Sequence[pa.Table],
    settings: RunSettings,
    machine: Machine,
    on_progress: ProgressCallback = lambda done, total: None,
) -> CostModel:
    """Measures the stages on videos, one after the other; nothing is delivered.

    The first video goes through twice and its first time is not counted, because that loads weights and libraries.

    Args:
        videos: tables of `MANIFEST` with one row each.
        settings: settings of the run.
        machine: this machine.
        on_progress: receives the number of videos done and of all videos.

    Raises:
        CostModelError: none of the videos could be scored.
    """
    with tempfile.TemporaryDirectory(prefix="diff-v2m-") as scratch:
        steps = scoring_steps(settings, Storage.open(scratch), scoring_layout(machine, settings.model))
        chain = [steps[name].build() for name in STAGES[:-1]]
        chain.append(Mux(MuxSettings(Path(scratch)), localize))
        measured = list[Row]()
        for number, table in enumerate([*videos[:1], *videos]):
            if number == 1:
                wall_start, cpu_start = time.perf_counter(), _processor_seconds()
            for stage in chain:
                table = stage(table)
            measured += rows_of(table, ("duration", "seconds", "error")) if number else []
            on_progress(number, len(videos))
        busy = (_processor_seconds() - cpu_start) / max(time.perf_counter() - wall_start, 1e-9)
    source = f"a rehearsal of {len(videos)} videos on this machine"
    return fit_cost_model([row for row in measured if not row["error"]], source, busy, machine.gpus)


def _processor_seconds() -> float:
    """Returns the processor time that this process and its children have used so far, in seconds."""
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system
