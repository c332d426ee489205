"""Execution on Ray Data: one pool of workers a stage, Arrow tables between them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from models.clip_config import clip_config
from pipeline.delivery import Delivery, DeliverySettings
from pipeline.layout import Layout, Machine, Pool
from pipeline.periodic import told_every
from pipeline.settings import RunSettings
from pipeline.storage import Storage, StorageError, localize
from pipeline.workers import Progress, Tally, Worker
from stages.decode import Decode, DecodeSettings
from stages.features import Features, FeaturesSettings
from stages.rhythm import Rhythm, RhythmSettings
from stages.sample import Sample, SampleSettings
from stages.sound import Sound, SoundSettings

log = logging.getLogger(__name__)

STAGES = ("decode", "features", "rhythm", "sample", "sound", "mux")
MOST_BLOCKS = 2000  # Ray keeps statistics of every block for ever, so a long manifest gets several rows a block.
GPU_WINDOWS = 16
"""Windows that go through a network on a GPU at once, if its memory holds as many."""
IN_FLIGHT = 2
"""Tasks of a worker: the one that it computes, and one that waits for it."""
STALL = 6 * 3600
"""Seconds without any progress after which a run is given up: much longer than the slowest video may take."""
AHEAD = 4
"""What is on its way at most: so many times what the workers have in hand."""


class RunError(Exception):
    """A run that cannot go on, in one line that says what to do."""


class ClusterError(RunError):
    """There is no Ray cluster at the address."""


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


@contextmanager
def cluster(address: str | None = None, **options: Any) -> Iterator[None]:
    """Connect to a Ray cluster, or start one in this process, unless connected already; leave it again at the end.

    Raises:
        ClusterError: there is none at the address.
    """
    # Under `uv run` Ray would start its workers through `uv run` again, and they never come up.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its notes would tear our lines
    import ray

    if ray.is_initialized():
        yield
        return
    local: dict[str, Any] = {} if address else {"include_dashboard": False}
    asked_to_stop = signal.getsignal(signal.SIGTERM)
    try:
        with _hushed():
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local, **options)
    except (ConnectionError, ValueError, RuntimeError) as fault:
        raise ClusterError(f"cannot reach a Ray cluster at {address}: {' '.join(str(fault).split())[:300]}") from fault
    _quiet(ray)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, asked_to_stop)  # Ray's own handler ends the process at once
    try:
        yield
    finally:
        ray.shutdown()


def stream(
    todo: pa.Table, settings: RunSettings, destination: Storage, watcher: Watcher, attempts: Mapping[str, int]
) -> Iterator[pa.Table]:
    """Take the rows of a manifest through all stages; give their ledger rows as they are written.

    Args:
        attempts: earlier attempts at items, by item id.

    Raises:
        RunError: the workers cannot go on.
        StorageError: the destination takes nothing any more.
    """
    layout = layout_of_cluster(large_model=settings.model.preset is None)
    yield from through(todo, steps_of(attempts, settings, destination, layout), watcher)


def layout_of_cluster(*, large_model: bool) -> Layout:
    """How the connected cluster is shared among the stages."""
    return machine_of_cluster().layout(large_model=large_model)


def machine_of_cluster() -> Machine:
    """What the connected cluster has."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Machine(
        cores=sum(node.get("CPU", 0) for node in nodes),
        gpus=sum(node.get("GPU", 0) for node in nodes),
        largest_node=max(node.get("CPU", 0) for node in nodes),
        nodes=len(nodes),
    )


def through(todo: pa.Table, steps: Mapping[str, Step], watcher: Watcher) -> Iterator[pa.Table]:
    """Take the rows of a manifest through steps; give what comes out of the last, in any order.

    Raises:
        RunError: the workers cannot go on.
        StorageError: a step's storage takes nothing any more.
    """
    import ray
    from ray.data.exceptions import ExecutionTimeoutError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from pipeline.backpressure import bound_blocks_ahead

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


def steps_of(
    attempts: Mapping[str, int], settings: RunSettings, destination: Storage, layout: Layout
) -> dict[str, Step]:
    """The steps of scoring."""
    model = settings.model

    def device(stage: str) -> str:
        """Without a share of a GPU a worker keeps off it, even if it could see one."""
        chosen = "cuda" if layout[stage].num_gpus else "cpu"
        return chosen if settings.device == "auto" else settings.device

    def on(stage: str) -> dict[str, Any]:
        return {"model": model, "device": device(stage), "threads": layout[stage].threads}

    sampling = SampleSettings(
        **on("sample"),
        seed=settings.seed,
        take=settings.take,
        steps=settings.sampling_steps,
        guidance=settings.guidance_scale,
        sampler=settings.sampler,
        precision=settings.precision,
        compiled=settings.compiled,
        share=layout["sample"].num_gpus or 1.0,
        windows_per_batch=_windows_per_batch(layout["sample"]),
    )
    delivery = DeliverySettings(destination, settings, model.config.lengths.sample_rate, attempts)
    rows = _windows_per_batch(layout["sample"])
    builders: dict[str, tuple[Callable[[], Any], int]] = {
        "decode": (partial(Decode, DecodeSettings(clip_size=clip_config(settings.clip).image_size), localize), 1),
        "features": (partial(Features, FeaturesSettings(settings.clip, device("features"))), 1),
        "rhythm": (partial(Rhythm, RhythmSettings(**on("rhythm"), seed=settings.seed, take=settings.take)), rows),
        "sample": (partial(Sample, sampling), rows),
        "sound": (partial(Sound, SoundSettings(**on("sound"), precision=settings.precision)), 1),
        "mux": (partial(Delivery, delivery), 1),
    }
    return {stage: Step(build, batch, layout[stage]) for stage, (build, batch) in builders.items()}


def _windows_per_batch(pool: Pool) -> int:
    """A processor gains nothing from batches, and alone in its batch a window is the same bit for bit everywhere."""
    return GPU_WINDOWS if pool.num_gpus else 1


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


def check_address(address: str) -> None:
    """Knock at a `host:port` or `ray://host:port`: Ray itself would wait there for minutes, deaf to interrupts.

    Raises:
        ClusterError: nothing answers.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as fault:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({fault}); start one with `ray start --head`, or leave out --address"
        ) from fault


@contextmanager
def _hushed() -> Iterator[None]:
    """Drop what Ray's native part prints while it starts; what goes wrong comes as an exception."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _quiet(ray: Any) -> None:
    """Ray Data's own bars and log lines would tear ours."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # What a raylet says of the death of others would go to standard output, whatever `log_to_driver` is.
    ray._private.worker.print_to_stdstream = _log_raylet
    # Ray 2.60 offers no other way to bound restarts.
    warnings.filterwarnings("ignore", message=".*ray_remote_args.*")


def _log_raylet(data: Mapping[str, Any], ignore_prefix: bool) -> None:
    """In place of Ray's function of the same arguments: the first lines of what a raylet says, to the log."""
    log.info("%s: %s", data.get("pid"), " ".join(" ".join(map(str, data.get("lines", ()))).split())[:300])
