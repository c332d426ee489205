"""Execution on Ray Data: Arrow tables stream through steps, each of which has a pool of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import pyarrow as pa

from pipeline.background import run_every
from pipeline.cluster.resources import Pool
from pipeline.cluster.session import RunError
from pipeline.cluster.start import current_folder
from pipeline.destination.run_lock import RunLockError
from pipeline.scoring.progress import ProgressListener, ProgressTracker, RunProgress
from pipeline.scoring.workers import StageWorker
from pipeline.storage.errors import StorageError

MAX_BLOCKS = 2000
"""Number of blocks that a manifest is cut into at most: Ray keeps statistics of every block for ever."""
TASKS_AT_ONCE = 4
"""Tasks that a worker of several stages computes at once: one is decoded, one muxed, and two are with the networks.

More would take memory and gain nothing.
"""
TASKS_WAITING = 1
"""Tasks that wait in a worker for those that it computes."""
STALL_TIMEOUT_S = 6 * 3600
"""Seconds without any progress after which a run is given up; much longer than the slowest video may take."""
BLOCKS_AHEAD_FACTOR = 4
"""Bound on the blocks that are on their way, as a multiple of what all workers hold."""
PROGRESS_INTERVAL_S = 0.5
"""Seconds between two reports of the progress."""


@dataclass(frozen=True)
class Step:
    """One stage on one machine.

    Attributes:
        build: builds the stage in its worker.
        batch: rows of a batch.
        pool: the stage's workers. Neighboring steps with the same pool share them.
    """

    build: Callable[[], Any]
    batch: int
    pool: Pool


@dataclass(frozen=True)
class Group:
    """Neighboring steps that share their workers, by the stages' names."""

    steps: Mapping[str, Step]

    @property
    def pool(self) -> Pool:
        """The workers."""
        return next(iter(self.steps.values())).pool

    @property
    def batch(self) -> int:
        """Rows of a batch."""
        return max(step.batch for step in self.steps.values())

    @property
    def tasks_at_once(self) -> int:
        """Tasks that a worker computes at once."""
        return min(len(self.steps), TASKS_AT_ONCE)

    @property
    def tasks_in_flight(self) -> int:
        """Tasks that a worker holds."""
        return self.tasks_at_once + TASKS_WAITING


def groups_of(steps: Mapping[str, Step]) -> list[Group]:
    """Returns the groups of steps that share their workers, in the order of the steps."""
    return [Group(dict(some)) for _, some in groupby(steps.items(), key=lambda named: named[1].pool)]


def run_steps(todo: pa.Table, steps: Mapping[str, Step], listener: ProgressListener) -> Iterator[pa.Table]:
    """Takes the rows of a manifest through steps, and yields the tables that come out of the last, in any order.

    Args:
        todo: table of `MANIFEST`.
        steps: the steps in their order, by the stages' names.
        listener: receives the progress.

    Raises:
        RunError: the workers cannot go on.
        StorageError: a step's storage takes nothing any more.
        RunLockError: another run has taken this one's place at the destination.
    """
    import ray
    from ray.data.exceptions import ExecutionTimeoutError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # On the node of the driving process: the tracker lives as long as the run.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    tracker = ray.remote(ProgressTracker).options(num_cpus=0, scheduling_strategy=here).remote(list(steps))
    dataset = _dataset(todo, steps, tracker)
    with _progress_reported(tracker, partial(listener, total=todo.num_rows)):
        try:
            yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")
        except ExecutionTimeoutError:
            raise RunError(
                f"no progress for {STALL_TIMEOUT_S // 3600} hours: a node may be lost whose processors the stages "
                "need; what is done is kept, start the run again"
            ) from None
        except ray.exceptions.RayError as error:
            if isinstance(cause := _root_cause(error), StorageError | RunLockError):
                raise cause from error
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()[:200]
            raise RunError(f"a worker failed: {reason}; what is done is kept, start the run again") from error


def _dataset(todo: pa.Table, steps: Mapping[str, Step], tracker: Any) -> Any:
    """Returns the Ray dataset that computes all steps; nothing is computed yet."""
    import ray

    from pipeline.scoring.backpressure import limit_blocks_ahead

    rows_per_block = -(-todo.num_rows // MAX_BLOCKS)
    ray.data.DataContext.get_current().execution_no_progress_timeout_s = STALL_TIMEOUT_S
    groups = groups_of(steps)
    in_hand = sum(group.tasks_in_flight * group.pool.workers * -(-group.batch // rows_per_block) for group in groups)
    limit_blocks_ahead(BLOCKS_AHEAD_FACTOR * in_hand)
    blocks = [todo.slice(start, rows_per_block) for start in range(0, todo.num_rows, rows_per_block)]
    # `from_arrow` would start a process that looks at the blocks.
    dataset: ray.data.Dataset = ray.data.from_blocks(blocks)
    for group in groups:
        pool, workers = group.pool, min(group.pool.workers, todo.num_rows)
        dataset = dataset.map_batches(
            StageWorker,
            fn_constructor_kwargs={
                "builds": {name: step.build for name, step in group.steps.items()},
                "tracker": tracker,
                "workers": workers,
                "folder": current_folder(),
            },
            batch_size=group.batch,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=workers,
                max_tasks_in_flight_per_actor=group.tasks_in_flight,
                max_concurrent_calls_per_actor=group.tasks_at_once,
                enable_true_multi_threading=True,
            ),
            num_cpus=pool.num_cpus,
            num_gpus=pool.num_gpus or None,
            max_restarts=-1,  # the workers themselves see to it that this ends
            max_task_retries=-1,
        )
    return dataset


@contextmanager
def _progress_reported(tracker: Any, report: Callable[[RunProgress], None]) -> Iterator[None]:
    """Reports what the tracker has counted again and again until the block ends, and once more then."""
    import ray

    def read_and_report() -> None:
        with suppress(ray.exceptions.RayError):  # a lost tracker costs no result
            report(ray.get(tracker.read.remote()))

    with run_every(PROGRESS_INTERVAL_S, read_and_report):
        yield


def _root_cause(error: BaseException) -> BaseException:
    """Returns the exception of the worker, below the layers that Ray puts around it."""
    while (below := getattr(error, "cause", None) or error.__cause__) is not None:
        error = below
    return error
