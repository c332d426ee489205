"""What runs in Ray's actors: a stage in its worker, and the tally of what was begun and what was left."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

DEATHS = 2
"""Workers that a row may take with it before it is left alone."""
STARTS = 5
"""Times that a stage's workers may die while they start, for each of them, before the run is given up."""
QUARANTINED = "WorkerDied"
"""Error type of a row that is left alone."""
FINISHED = "Finished"
"""Mark of a row whose result is recorded already: its way here was lost, and is gone again for nothing."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        left: rows that have left each stage.
        failed: of those that have left the last stage, how many carry an error.
        music: seconds that the others last together.
        up: stages of which a worker has come up.
    """

    left: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    music: float = 0.0
    up: frozenset[str] = frozenset()


class Tally:
    """Counts the rows that have left each stage, and knows which were begun but never left. Lives in an actor."""

    def __init__(self, last: str) -> None:
        """`last` is the name of the last stage."""
        self._left: Counter[str] = Counter()
        self._failed, self._music = 0, 0.0
        self._last, self._settled, self._recorded = last, set[str](), set[str]()
        self._open: Counter[tuple[str, str]] = Counter()
        self._starts: Counter[str] = Counter()
        self._up = set[str]()

    def starting(self, stage: str) -> int:
        """A worker is about to build its stage: how many began to since the last one that came up."""
        self._starts[stage] += 1
        return self._starts[stage]

    def started(self, stage: str) -> None:
        """A worker has come up."""
        self._starts[stage] = 0
        self._up.add(stage)

    def begin(self, stage: str, items: Sequence[str]) -> list[int]:
        """Rows are about to be computed, unless a worker died with one of them.

        Returns:
            For each how many workers died with it at this stage, or -1 if its result is recorded.
        """
        found = [-1 if item in self._recorded else self._open[stage, item] for item in items]
        if not any(found):
            self._open.update((stage, item) for item in items)
        return found

    def begin_alone(self, stage: str, item: str) -> None:
        """A row is about to be computed by itself."""
        self._open[stage, item] += 1

    def leave(self, stage: str, items: Sequence[str], lengths: Sequence[float | None], recorded: bool = False) -> None:
        """Rows have left a stage.

        Args:
            lengths: how many seconds each row lasts, None for one that failed.
            recorded: whether their results last, whatever becomes of the worker.
        """
        for item in items:
            del self._open[stage, item]
        if recorded:
            self._recorded.update(items)
        if stage != self._last:
            self._left[stage] += len(items)
            return
        for item, seconds in zip(items, lengths, strict=True):
            if item not in self._settled:
                self._settled.add(item)
                self._left[stage] += 1
                self._failed += seconds is None
                self._music += seconds or 0.0

    def read(self) -> Progress:
        """How far the run has come."""
        return Progress(dict(self._left), self._failed, self._music, frozenset(self._up))


@runtime_checkable
class Recording(Protocol):
    """A stage whose results last: what it recorded before its worker died must not be made again."""

    def recorded(self, table: pa.Table) -> pa.Table:
        """What was recorded of these rows in this run; none if nothing was."""


class Worker:
    """What an actor of Ray holds: one stage, built once, and a line to the run's tally.

    A worker may die: of a file that its libraries cannot bear, of too little memory, by somebody's hand. Ray starts
    another one and gives it the same rows; those that were being computed are then computed one at a time, and a row
    with which two workers died goes on with an error in place of a result.

    Raises:
        RuntimeError: workers of this stage die as they start.
    """

    def __init__(self, name: str, build: Callable[[], Any], tally: Any, workers: int = 1) -> None:
        import ray

        _leave_terminal()
        self.name, self.tally = name, tally
        if ray.get(tally.starting.remote(name)) > STARTS * workers:
            raise RuntimeError(f"workers of {name} die as they start: too little memory, or a library that is broken")
        self.stage = build()
        tally.started.remote(name)

    def __call__(self, table: pa.Table) -> pa.Table:
        import ray

        items = table["item_id"].to_pylist()
        found = ray.get(self.tally.begin.remote(self.name, items))
        if not any(found):
            return self._through(table)
        return pa.concat_tables([self._alone(table.slice(i, 1), deaths) for i, deaths in enumerate(found)])

    def _alone(self, row: pa.Table, deaths: int) -> pa.Table:
        """One row, with which some workers died before, or none, or whose result is recorded (-1)."""
        import ray

        if deaths and isinstance(self.stage, Recording) and (recorded := self.stage.recorded(row)).num_rows:
            return self._left(row, recorded)
        if deaths < 0:
            row = marked(row, self.name, FINISHED, "its result is recorded already")
        elif deaths >= DEATHS:
            row = marked(row, self.name, QUARANTINED, f"{deaths} workers died with it at {self.name}; left alone")
        ray.get(self.tally.begin_alone.remote(self.name, row["item_id"][0].as_py()))
        return self._through(row)

    def _through(self, table: pa.Table) -> pa.Table:
        return self._left(table, self.stage(table))

    def _left(self, table: pa.Table, result: pa.Table) -> pa.Table:
        recorded = isinstance(self.stage, Recording)
        self.tally.leave.remote(self.name, table["item_id"].to_pylist(), lengths_of(result), recorded)
        return result


def lengths_of(table: pa.Table) -> list[float | None]:
    """How long the videos of rows are, None for rows that failed: of a stage's table, or of the ledger's."""
    error = "error" if "error" in table.column_names else "error_type"
    rows = zip(table[error].to_pylist(), table["duration"].to_pylist(), strict=True)
    return [None if failed else duration or 0.0 for failed, duration in rows]


def marked(table: pa.Table, stage: str, kind: str, message: str) -> pa.Table:
    """A table whose rows have an error, those that had one before that one."""
    place = table.schema.get_field_index("error")
    field = table.schema.field(place)
    errors = [old or {"stage": stage, "type": kind, "message": message} for old in table["error"].to_pylist()]
    return table.set_column(place, field, pa.array(errors, field.type))


def _leave_terminal() -> None:
    """Let standard input be nothing, for this process and its children.

    Ray's workers are in the background of the terminal that a run is started from. A child that so much as looks at
    its settings, as PySceneDetect's call of ffmpeg does when it is imported, would be stopped, and the worker with it.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
