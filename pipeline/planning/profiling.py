"""Rehearsal: a few videos through all stages in this process, one after the other, to learn what each stage costs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.cluster.resources import Machine
from pipeline.planning.cost_model import Rates, fitted
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import STAGES, steps_of
from pipeline.storage.storage import Storage, localize
from stages.contracts import Row, rows_of
from stages.mux import Mux, MuxSettings


def rehearse(
    videos: Sequence[pa.Table],
    settings: RunSettings,
    machine: Machine,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Rates:
    """Measure the stages on videos; nothing is delivered. The first goes twice: what is loaded once is not counted.

    Args:
        videos: tables of `MANIFEST` with one row each.
        told: how many are done, and of how many.

    Raises:
        RatesError: none of them could be scored.
    """
    with tempfile.TemporaryDirectory(prefix="diff-v2m-") as scratch:
        layout = machine.layout(large_model=settings.model.preset is None)
        steps = steps_of({}, settings, Storage.open(scratch), layout)
        chain = [steps[name].build() for name in STAGES[:-1]]
        chain.append(Mux(MuxSettings(Path(scratch), settings.model.config.lengths.sample_rate), localize))
        measured = list[Row]()
        for number, table in enumerate([*videos[:1], *videos]):
            if number == 1:
                wall, work = time.perf_counter(), _processor_seconds()
            for stage in chain:
                table = stage(table)
            measured += rows_of(table, ("duration", "seconds", "error")) if number else []
            told(number, len(videos))
        busy = (_processor_seconds() - work) / max(time.perf_counter() - wall, 1e-9)
    source = f"a rehearsal of {len(videos)} videos on this machine"
    return fitted([row for row in measured if not row["error"]], source, busy, machine.gpus)


def _processor_seconds() -> float:
    """Of this process and its children."""
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system
