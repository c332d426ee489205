"""Preparing without Ray: the same stages one after the other in this process, or in one that may be killed.

python -m tests.support.inline SOURCE OUT
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from unittest.mock import patch

import pyarrow as pa

from pipeline.cluster.resources import Layout
from pipeline.datasets import builder as preparing
from pipeline.datasets import writer as shards
from pipeline.datasets.builder import PrepareSettings, Summary, prepare
from pipeline.scoring.streaming import Step, Watcher
from pipeline.scoring.workers import Progress
from pipeline.storage.storage import Storage


class Told:
    """Remembers what a run told."""

    def __init__(self) -> None:
        self.total, self.counts, self.progress = -1, dict[str, int](), Progress()

    def begin(self, total: int) -> None:
        self.total = total

    def __call__(self, progress: Progress, total: int) -> None:
        assert total == self.total
        self.progress, self.counts = progress, dict(progress.left)


def through(todo: pa.Table, steps: Mapping[str, Step], watcher: Watcher) -> Iterator[pa.Table]:
    stages = [step.build() for step in steps.values()]
    for number in range(todo.num_rows):
        table = todo.slice(number, 1)
        for stage in stages:
            table = stage(table)
        yield table


def prepare_inline(source: str, out: str, settings: PrepareSettings | None = None) -> tuple[Summary, Told]:
    """Prepare with a shard for each video."""
    told = Told()
    with (
        patch.object(preparing, "through", through),
        patch.object(preparing, "cluster", lambda address: nullcontext()),
        patch.object(preparing, "layout_of_cluster", lambda large_model: Layout.of(cpus=2)),
        patch.object(shards, "ITEMS_AT_RISK", 1),
    ):
        return prepare([source], Storage.open(out), settings or PrepareSettings(), told), told


if __name__ == "__main__":
    prepare_inline(sys.argv[1], sys.argv[2])
