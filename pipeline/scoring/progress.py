"""Progress of a run: how many rows have left each stage, and which rows were begun but never finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

RECORDED = -1
"""The answer of `ProgressTracker.begin` for a row whose result is recorded."""


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run.

    Attributes:
        completed: number of rows that have left each stage.
        failed: number of rows that have left the last stage with an error.
        music: seconds of music of the other rows that have left the last stage.
        ready: stages of which at least one worker has started.
        stages: names of the stages, in their order; empty until the run has begun.
    """

    completed: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    music: float = 0.0
    ready: frozenset[str] = frozenset()
    stages: tuple[str, ...] = ()


class ProgressListener(Protocol):
    """An object that receives the progress of a run, such as a progress bar."""

    def begin(self, total: int) -> None:
        """Receives the number of rows that are to be scored."""

    def __call__(self, progress: RunProgress, total: int) -> None:
        """Receives how far the run has come, and the number of rows in all."""


class ProgressTracker:
    """Counts the rows that have left each stage, and remembers rows that were begun but never finished.

    It lives in an actor of its own, so it outlives the workers that report to it. A row may leave a stage several
    times, because its worker died at a later stage of its group or because a message was lost; it counts once.

    Args:
        stages: names of the stages, in their order.
    """

    def __init__(self, stages: Sequence[str]) -> None:
        self._stages, self._last_stage = tuple(stages), stages[-1]
        self._bits = {stage: 1 << place for place, stage in enumerate(stages)}
        self._completed: Counter[str] = Counter()
        self._failed, self._music = 0, 0.0
        self._passed: dict[str, int] = {}  # item -> bits of the stages that it has left
        self._recorded = set[str]()
        self._unfinished: Counter[tuple[str, str]] = Counter()
        self._starts: Counter[str] = Counter()
        self._ready = set[str]()

    def starting(self, stage: str) -> int:
        """Registers that a worker is about to build its stage.

        Returns:
            How many workers of the stage began to start since the last one that finished starting, with this one.
        """
        self._starts[stage] += 1
        return self._starts[stage]

    def started(self, stage: str) -> None:
        """Registers that a worker has built its stage."""
        self._starts[stage] = 0
        self._ready.add(stage)

    def begin(self, stage: str, items: Sequence[str]) -> list[int]:
        """Registers that rows are about to be computed, unless a worker died with one of them or one is recorded.

        Returns:
            For each row, how many workers died with it at this stage, or `RECORDED` if its result is recorded.
        """
        deaths = [RECORDED if item in self._recorded else self._unfinished[stage, item] for item in items]
        if not any(deaths):
            self._unfinished.update((stage, item) for item in items)
        return deaths

    def begin_single(self, stage: str, item: str) -> None:
        """Registers that a row is about to be computed by itself."""
        self._unfinished[stage, item] += 1

    def finish(
        self, stage: str, items: Sequence[str], durations: Sequence[float | None], recorded: bool = False
    ) -> None:
        """Registers that rows have left a stage.

        Args:
            durations: seconds that each row's video lasts, None for a row that failed.
            recorded: whether the results are on disk and stay there if the worker dies.
        """
        for item in items:
            del self._unfinished[stage, item]
        if recorded:
            self._recorded.update(items)
        bit = self._bits[stage]
        for item, seconds in zip(items, durations, strict=True):
            passed = self._passed.get(item, 0)
            if not passed & bit:
                self._passed[item] = passed | bit
                self._completed[stage] += 1
                if stage == self._last_stage:
                    self._failed += seconds is None
                    self._music += seconds or 0.0

    def read(self) -> RunProgress:
        """Returns how far the run has come."""
        return RunProgress(dict(self._completed), self._failed, self._music, frozenset(self._ready), self._stages)
