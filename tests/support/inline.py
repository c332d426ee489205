"""Building a dataset without Ray: the same stages one after the other in this process, or in one that may be killed.

python -m tests.support.inline SOURCE OUT
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from unittest.mock import patch

import pyarrow as pa

from pipeline.cluster.resources import Machine
from pipeline.datasets import builder, writer
from pipeline.datasets.builder import DatasetSummary, PrepareSettings, prepare
from pipeline.scoring.progress import ProgressListener
from pipeline.scoring.streaming import Step
from pipeline.storage.storage import Storage
from tests.support.listener import RecordedProgress


def run_steps(todo: pa.Table, steps: Mapping[str, Step], listener: ProgressListener) -> Iterator[pa.Table]:
    """Takes the rows through the stages in this process."""
    stages = [step.build() for step in steps.values()]
    for number in range(todo.num_rows):
        table = todo.slice(number, 1)
        for stage in stages:
            table = stage(table)
        yield table


def prepare_inline(
    source: str, out: str, settings: PrepareSettings | None = None
) -> tuple[DatasetSummary, RecordedProgress]:
    """Builds a dataset with a shard for each video."""
    listener = RecordedProgress()
    with (
        patch.object(builder, "run_steps", run_steps),
        patch.object(builder, "cluster", lambda address: nullcontext()),
        patch.object(builder, "machine_of_cluster", lambda: Machine(2.0, 0.0, 2.0)),
        patch.object(writer, "ITEMS_AT_RISK", 1),
    ):
        return prepare([source], Storage.open(out), settings or PrepareSettings(), listener), listener


if __name__ == "__main__":
    prepare_inline(sys.argv[1], sys.argv[2])
