"""A run: what is left of the manifest streams through the stages' workers on Ray Data, and into the ledger."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from models.clip_config import clip_config
from pipeline.delivery import Delivery, DeliverySettings
from pipeline.layout import Layout, Pool
from pipeline.ledger import FAILED, Ledger
from pipeline.settings import RunSettings
from pipeline.storage import Storage, StorageError, localize
from stages.contracts import MANIFEST, Row
from stages.decode import Decode, DecodeSettings
from stages.features import Features, FeaturesSettings
from stages.rhythm import Rhythm, RhythmSettings
from stages.sample import Sample, SampleSettings
from stages.sound import Sound, SoundSettings

log = logging.getLogger(__name__)

STAGES = ("decode", "features", "rhythm", "sample", "sound", "mux")
MOST_BLOCKS = 2000  # Ray keeps statistics of every block for ever, so a long manifest gets several rows a block.
RESTARTS = 3  # of a worker, and of what it was doing, before the run is given up

# What is wrong with the file itself: the same bytes would fail again.
HOPELESS = frozenset(
    {
        "EmptyFile",
        "NotAVideo",
        "NoVideoStream",
        "UnsupportedCodec",
        "Truncated",
        "NoFrames",
        "TooShort",
        "TooLong",
        "TooLarge",
    }
)


class RunError(Exception):
    """A run that cannot go on, in one line that says what to do."""


class FingerprintError(RunError):
    """The destination holds music of other settings."""


class ClusterError(RunError):
    """There is no Ray cluster at the address."""


@dataclass(frozen=True)
class Resume:
    """What a destination already holds of a manifest: rows still to do, rows done or failed for good, past attempts."""

    todo: pa.Table
    done: int
    hopeless: list[Row] = field(default_factory=list)
    attempts: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Summary:
    """How a run ended. The counts add up to the manifest."""

    total: int
    skipped: int = 0
    done: int = 0
    failures: list[Row] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)
    music: float = 0.0

    def add(self, row: Row) -> None:
        if row["state"] == FAILED:
            self.failures.append(row)
        else:
            self.done += 1
            self.music += row["duration"]
        self.seconds.update(dict(row["seconds"] or {}))


class Watcher(Protocol):
    """Who is told how a run goes."""

    def begin(self, total: int) -> None:
        """So many rows are to be scored."""

    def __call__(self, counts: Mapping[str, int]) -> None:
        """So many rows have left each stage by now."""


def resume(manifest: pa.Table, fingerprint: str, ledger: Ledger, *, mix: bool = False) -> Resume:
    """Compare a manifest with the ledger of its destination.

    Raises:
        FingerprintError: the destination holds music of another fingerprint, and `mix` does not allow it.
    """
    rows = ledger.table()
    others = ledger.mixed(fingerprint, rows)
    if others and not mix:
        raise FingerprintError(
            f"{ledger.storage.url} holds music with the fingerprint {', '.join(others)}, this run's is {fingerprint}: "
            "take the settings of that run, another --out, or --force to mix both"
        )
    done = ledger.done(fingerprint, rows)
    latest = {row["item_id"]: row for row in ledger.latest(rows).to_pylist() if row["fingerprint"] == fingerprint}
    failed = {key: row for key, row in latest.items() if row["state"] == FAILED}
    hopeless = {key for key, row in failed.items() if row["error_type"] in HOPELESS}
    ids = manifest["item_id"].to_pylist()
    todo = pa.array([key not in done and key not in hopeless for key in ids], pa.bool_())
    return Resume(
        todo=manifest.filter(todo),
        done=sum(key in done for key in ids),
        hopeless=[failed[key] for key in ids if key in hopeless],
        attempts={key: row["attempt"] for key, row in latest.items()},
    )


def run(
    manifest: pa.Table, settings: RunSettings, destination: Storage, watcher: Watcher, *, mix: bool = False
) -> Summary:
    """Score every row of a manifest that is not done yet. Ray must be connected (`cluster`).

    Raises:
        RunError: another fingerprint in the destination, or the workers cannot go on.
        StorageError, LedgerError: the destination cannot be read or written.
    """
    state = resume(MANIFEST.check(manifest), settings.fingerprint, Ledger(destination), mix=mix)
    summary = Summary(total=manifest.num_rows, skipped=state.done, failures=list(state.hopeless))
    watcher.begin(state.todo.num_rows)
    if state.todo.num_rows:
        for table in _streamed(state, settings, destination, watcher):
            for row in table.to_pylist():
                summary.add(row)
    return summary


@contextmanager
def cluster(address: str | None = None, **options: Any) -> Iterator[None]:
    """Connect to a Ray cluster, or start one in this process; leave it again at the end."""
    # Under `uv run` Ray would start its workers through `uv run` again, and they never come up.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its notes would tear our lines
    import ray

    local: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        with _hushed():
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local, **options)
    except (ConnectionError, ValueError, RuntimeError) as fault:
        raise ClusterError(f"cannot reach a Ray cluster at {address}: {' '.join(str(fault).split())[:300]}") from fault
    _quiet(ray)
    try:
        yield
    finally:
        ray.shutdown()


class Worker:
    """What an actor of Ray holds: one stage, built once, and a line to the driver's progress."""

    def __init__(self, build: Callable[[], Any], tally: Any) -> None:
        self.stage, self.tally = build(), tally

    def __call__(self, table: pa.Table) -> pa.Table:
        result = self.stage(table)
        self.tally.add.remote(self.stage.name, table.num_rows)
        return result


class Tally:
    """Counts the rows that have left each stage. Lives in an actor of its own."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, stage: str, rows: int) -> None:
        self.counts[stage] += rows

    def read(self) -> dict[str, int]:
        return dict(self.counts)


def _streamed(state: Resume, settings: RunSettings, destination: Storage, watcher: Watcher) -> Iterator[pa.Table]:
    """Ledger rows, as they are written, of all rows to do."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    layout = Layout.of(
        cpus=sum(node.get("CPU", 0) for node in nodes),
        gpus=sum(node.get("GPU", 0) for node in nodes),
        largest_node=max(node.get("CPU", 0) for node in nodes),
        large_model=settings.model.preset is None,
    )
    tally = ray.remote(num_cpus=0)(Tally).remote()
    each = -(-state.todo.num_rows // MOST_BLOCKS)
    dataset: ray.data.Dataset = ray.data.from_arrow(
        [state.todo.slice(i, each) for i in range(0, state.todo.num_rows, each)]
    )
    for stage, (build, batch) in _builders(state, settings, destination, layout).items():
        pool = layout[stage]
        dataset = dataset.map_batches(
            Worker,
            fn_constructor_kwargs={"build": build, "tally": tally},
            batch_size=batch,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=min(pool.workers, state.todo.num_rows), max_tasks_in_flight_per_actor=2
            ),
            num_cpus=pool.num_cpus,
            num_gpus=pool.num_gpus or None,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        )
    with _watched(tally, watcher):
        try:
            yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")
        except ray.exceptions.RayError as fault:
            if isinstance(cause := _origin(fault), StorageError):
                raise cause from fault
            reason = (str(fault).strip() or type(fault).__name__).splitlines()[-1].strip()[:200]
            raise RunError(f"a worker failed: {reason}; what is done is kept, start the run again") from fault


def _builders(
    state: Resume, settings: RunSettings, destination: Storage, layout: Layout
) -> dict[str, tuple[Callable[[], Any], int]]:
    """What builds each stage in its worker, and the rows of a batch."""
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
        windows_per_batch=_windows_per_batch(layout["sample"]),
    )
    delivery = DeliverySettings(destination, settings, model.config.lengths.sample_rate, state.attempts)
    rows = _windows_per_batch(layout["sample"])
    return {
        "decode": (partial(Decode, DecodeSettings(clip_size=clip_config(settings.clip).image_size), localize), 1),
        "features": (partial(Features, FeaturesSettings(settings.clip, device("features"))), 1),
        "rhythm": (partial(Rhythm, RhythmSettings(**on("rhythm"))), rows),
        "sample": (partial(Sample, sampling), rows),
        "sound": (partial(Sound, SoundSettings(**on("sound"))), 1),
        "mux": (partial(Delivery, delivery), 1),
    }


def _windows_per_batch(pool: Pool) -> int:
    """A processor gains nothing from batches, and alone in its batch a window is the same bit for bit everywhere."""
    return 8 if pool.num_gpus else 1


@contextmanager
def _watched(tally: Any, watcher: Watcher, interval: float = 0.5) -> Iterator[None]:
    """Tell `watcher` the tally's counts until the work inside is done, and once more then."""
    import ray

    ended = threading.Event()

    def tell() -> None:
        with suppress(ray.exceptions.RayError):  # a tally that is lost costs no result
            watcher(ray.get(tally.read.remote()))

    def watch() -> None:
        while not ended.wait(interval):
            tell()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)
    tell()


def _origin(fault: BaseException) -> BaseException:
    """What went wrong in the worker, below the layers that Ray puts around it."""
    while (below := getattr(fault, "cause", None) or fault.__cause__) is not None:
        fault = below
    return fault


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
    # Ray 2.60 offers no other way to bound restarts.
    warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
