"""Execution on Ray Data: one pool of workers a stage, Arrow tables between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from pipeline.background import told_every
from pipeline.cluster.resources import Pool
from pipeline.cluster.session import RunError
from pipeline.scoring.workers import Progress, Tally, Worker
from pipeline.storage.errors import StorageError

MOST_BLOCKS = 2000  # Ray keeps statistics of every block for ever, so a long manifest gets several rows a block.
IN_FLIGHT = 2
"""Tasks of a worker: the one that it computes, and one that waits for it."""
STALL = 6 * 3600
"""Seconds without any progress after which a run is given up: much longer than the slowest video may take."""
AHEAD = 4
"""What is on its way at most: so many times what the workers have in hand."""


@dataclass(frozen=True)
class Step:
    """One stage of a run: what builds it in its worker, the rows of a batch, and its share of the machine."""

    build: Callable[[], Any]
    batch: int
    pool: Pool


class Watcher(Protocol):
    """Who is told how a run goes."""

    def begin(self, total: int) -> None:
        """So many rows are to be scored."""

    def __call__(self, progress: Progress, total: int) -> None:
        """The run has come so far, of so many rows."""


def through(todo: pa.Table, steps: Mapping[str, Step], watcher: Watcher) -> Iterator[pa.Table]:
    """Take the rows of a manifest through steps; give what comes out of the last, in any order.

    Raises:
        RunError: the workers cannot go on.
        StorageError: a step's storage takes nothing any more.
    """
    import ray
    from ray.data.exceptions import ExecutionTimeoutError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from pipeline.scoring.backpressure import bound_blocks_ahead

    # Beside the driver: as long as there is a run, there is its tally.
    beside = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    tally = ray.remote(Tally).options(num_cpus=0, scheduling_strategy=beside).remote(list(steps)[-1])
    each = -(-todo.num_rows // MOST_BLOCKS)
    ray.data.DataContext.get_current().execution_no_progress_timeout_s = STALL
    bound_blocks_ahead(AHEAD * IN_FLIGHT * sum(step.pool.workers * -(-step.batch // each) for step in steps.values()))
    dataset: ray.data.Dataset = ray.data.from_arrow([todo.slice(i, each) for i in range(0, todo.num_rows, each)])
    for name, step in steps.items():
        pool = step.pool
        workers = min(pool.workers, todo.num_rows)
        dataset = dataset.map_batches(
            Worker,
            fn_constructor_kwargs={"name": name, "build": step.build, "tally": tally, "workers": workers},
            batch_size=step.batch,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=IN_FLIGHT),
            num_cpus=pool.num_cpus,
            num_gpus=pool.num_gpus or None,
            max_restarts=-1,  # the workers themselves see to it that this ends
            max_task_retries=-1,
        )
    with _watched(tally, partial(watcher, total=todo.num_rows)):
        try:
            yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")
        except ExecutionTimeoutError:
            raise RunError(
                f"nothing went on for {STALL // 3600} hours: a node may be gone whose processors the stages need; "
                "what is done is kept, start the run again"
            ) from None
        except ray.exceptions.RayError as fault:
            if isinstance(cause := _origin(fault), StorageError):
                raise cause from fault
            reason = (str(fault).strip() or type(fault).__name__).splitlines()[-1].strip()[:200]
            raise RunError(f"a worker failed: {reason}; what is done is kept, start the run again") from fault


@contextmanager
def _watched(tally: Any, tell_person: Callable[[Progress], None], interval: float = 0.5) -> Iterator[None]:
    """Tell a person how far the tally says it is until the work inside is done, and once more then."""
    import ray

    def tell() -> None:
        with suppress(ray.exceptions.RayError):  # a tally that is lost costs no result
            tell_person(ray.get(tally.read.remote()))

    with told_every(interval, tell):
        yield


def _origin(fault: BaseException) -> BaseException:
    """What went wrong in the worker, below the layers that Ray puts around it."""
    while (below := getattr(fault, "cause", None) or fault.__cause__) is not None:
        fault = below
    return fault
