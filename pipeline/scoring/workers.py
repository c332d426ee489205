"""Workers: the actors that hold the stages. A worker that dies costs at most the row that killed it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from pipeline.scoring.progress import RECORDED
from pipeline.scoring.read_write_lock import ReadWriteLock
from stages.error_kinds import FINISHED, WORKER_DIED

MAX_DEATHS = 2
"""Number of workers that may die with one row before the row gets an error in place of a result."""
MAX_STARTS = 5
"""Times that a stage's workers may die while they start, multiplied by their number, before the run is given up."""


@runtime_checkable
class RecordingStage(Protocol):
    """A stage whose results are recorded on disk, so that they need not be made again if its worker dies afterwards."""

    def recorded(self, table: pa.Table) -> pa.Table:
        """Returns what this run has recorded of these rows; an empty table if nothing."""


class StageWorker:
    """The content of a Ray actor: one stage or several neighboring ones, and a connection to the progress tracker.

    Several rows may be at work at once, each at another stage: while the sampler computes, ffmpeg decodes the next row
    and muxes the one before.

    A worker may die: because a file crashes a library, because memory runs out, or because somebody kills it. Ray
    starts another worker and gives it the same rows. Those that were being computed are then computed one at a time,
    with nothing beside them, and a row with which `MAX_DEATHS` workers died goes on with an error in place of a result.

    Args:
        builds: what builds each stage, by the stages' names, in their order.
        tracker: actor handle of a `ProgressTracker`.
        workers: number of workers of these stages.
        folder: the folder that relative paths start from, if this machine has it; nothing is imported from it.

    Raises:
        RuntimeError: workers die again and again as they start.
    """

    def __init__(
        self, builds: Mapping[str, Callable[[], Any]], tracker: Any, workers: int = 1, folder: str | None = None
    ) -> None:
        _detach_from_terminal()
        if folder is not None and os.path.isdir(folder):
            os.chdir(folder)
        lock = ReadWriteLock()
        self.stages = [HostedStage(name, build, tracker, lock, MAX_STARTS * workers) for name, build in builds.items()]

    def __call__(self, table: pa.Table) -> pa.Table:
        for stage in self.stages:
            table = stage(table)
        return table


class HostedStage:
    """A stage in its worker. It is built and called in a thread of its own, one table at a time.

    So a stage need not be safe for threads, and libraries keep the settings that they have for each thread.

    Args:
        name: the stage's name.
        build: builds the stage.
        tracker: actor handle of a `ProgressTracker`.
        lock: the lock of all stages of the worker: a row with which a worker died is computed alone.
        max_starts: times that workers may die in a row while they build the stage.

    Raises:
        RuntimeError: workers died more often than that.
    """

    def __init__(self, name: str, build: Callable[[], Any], tracker: Any, lock: ReadWriteLock, max_starts: int) -> None:
        import ray

        self.name, self.tracker, self.lock = name, tracker, lock
        if ray.get(tracker.starting.remote(name)) > max_starts:
            raise RuntimeError(f"workers of {name} die as they start: too little memory, or a library that is broken")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self.stage = self._thread.submit(build).result()
        tracker.started.remote(name)

    def __call__(self, table: pa.Table) -> pa.Table:
        return self._thread.submit(self._compute, table).result()

    def _compute(self, table: pa.Table) -> pa.Table:
        import ray

        items = table["item_id"].to_pylist()
        with self.lock.read():
            deaths = ray.get(self.tracker.begin.remote(self.name, items))
            if not any(deaths):
                return self._finished(table, self.stage(table))
        with self.lock.write():
            return pa.concat_tables([self._single(table.slice(i, 1), count) for i, count in enumerate(deaths)])

    def _single(self, row: pa.Table, deaths: int) -> pa.Table:
        """Computes one row by itself, unless its result is recorded or too many workers died with it."""
        import ray

        if deaths and isinstance(self.stage, RecordingStage) and (recorded := self.stage.recorded(row)).num_rows:
            return self._finished(row, recorded)
        if deaths == RECORDED:
            row = with_error(row, self.name, FINISHED, "its result is recorded already")
        elif deaths >= MAX_DEATHS:
            row = with_error(row, self.name, WORKER_DIED, f"{deaths} workers died with it at {self.name}; left alone")
        ray.get(self.tracker.begin_single.remote(self.name, row["item_id"][0].as_py()))
        return self._finished(row, self.stage(row))

    def _finished(self, table: pa.Table, result: pa.Table) -> pa.Table:
        """Reports to the tracker that rows have left the stage, and returns their result."""
        recorded = isinstance(self.stage, RecordingStage)
        self.tracker.finish.remote(self.name, table["item_id"].to_pylist(), durations_of(result), recorded)
        return result


def durations_of(table: pa.Table) -> list[float | None]:
    """Returns the seconds that each row's video lasts, None for rows that failed.

    Args:
        table: a stage's table (with a column `error`) or rows of a ledger (with a column `error_type`).
    """
    error = "error" if "error" in table.column_names else "error_type"
    rows = zip(table[error].to_pylist(), table["duration"].to_pylist(), strict=True)
    return [None if failed else duration or 0.0 for failed, duration in rows]


def with_error(table: pa.Table, stage: str, kind: str, message: str) -> pa.Table:
    """Returns a table whose rows all carry an error; rows that had one keep it."""
    place = table.schema.get_field_index("error")
    field = table.schema.field(place)
    errors = [old or {"stage": stage, "type": kind, "message": message} for old in table["error"].to_pylist()]
    return table.set_column(place, field, pa.array(errors, field.type))


def _detach_from_terminal() -> None:
    """Replaces the standard input of this process and its children by an empty file.

    Ray's workers are background processes of the terminal that a run is started from. The system stops a background
    process whose child reads the terminal's settings, as PySceneDetect's call of ffmpeg does when it is imported.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
