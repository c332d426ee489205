"""The table of stages: contracts that fit together, batches and devices of machines with and without a GPU."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from pipeline.cluster.resources import Machine
from pipeline.destination.ledger import SCHEMA
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import GPU_WINDOWS, SCORING_STAGES, STAGES, scoring_layout, scoring_steps
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST


def test_every_stage_reads_what_the_stage_before_writes() -> None:
    assert STAGES == ("decode", "features", "rhythm", "sample", "sound", "mix", "mux")
    assert SCORING_STAGES[0].reads is MANIFEST
    for before, after in pairwise(SCORING_STAGES):
        assert before.writes is after.reads
    assert SCORING_STAGES[-1].writes is SCHEMA


def test_a_gpu_takes_windows_together_and_a_processor_one_by_one(tmp_path: Path) -> None:
    settings, destination = RunSettings(), Storage.open(tmp_path)
    for gpus, rows, device, share in ((0, 1, "cpu", 1.0), (1, GPU_WINDOWS, "cuda", 0.6)):
        layout = scoring_layout(Machine(16.0, gpus, 16.0), settings.model)
        steps = scoring_steps(settings, destination, layout)
        assert tuple(steps) == STAGES
        assert [step.batch for step in steps.values()] == [1, 1, rows, rows, 1, 1, 1]
        sampling = steps["sample"].build.args[0]  # type: ignore[attr-defined]
        assert (sampling.device, sampling.windows_per_batch, sampling.gpu_share) == (device, rows, share)
        assert sampling.threads == layout["sample"].threads
