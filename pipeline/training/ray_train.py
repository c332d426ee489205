"""Trains with several workers: Ray Train starts them, and Ray Data puts the dataset where each of them can read it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig
from models.training.factory import training_device
from models.training.sharding import TrainingWorker
from pipeline.background import run_every
from pipeline.cluster.session import ClusterError, cluster
from pipeline.datasets.dataset import Dataset
from pipeline.training.data import ArrowSegments, SegmentKey, TrainingData, list_segments, load_into_ray
from pipeline.training.setup import build_training, finish_training
from pipeline.training.viewer import SilentViewer, Viewer

STATE = "workers.json"
"""File in `out` in which the first worker writes how far the training is."""


@dataclass(frozen=True)
class WorkerInput:
    """The data that every worker receives.

    Attributes:
        config: what to train and how.
        tables: references to the dataset's Arrow tables; None if sounds are composed.
        order: keys of the segments in the dataset's order.
        seconds, settings, contents: see `TrainingData`.
    """

    config: TrainConfig
    tables: list[Any] | None
    order: list[SegmentKey]
    seconds: list[float]
    settings: dict[str, Any]
    contents: str


def train_on_ray(
    config: TrainConfig, data: TrainingData | None, viewer: Viewer, address: str | None
) -> tuple[bool, int]:
    """Trains in Ray's workers; the losses are those of a training with one worker, up to rounding.

    The first worker writes checkpoints, losses and weights; `out` must be a folder that all nodes share.

    Args:
        config: what to train and how.
        data: the dataset; None if sounds are composed.
        viewer: shows the losses.
        address: a Ray cluster; one is started on this machine if left out.

    Returns:
        Whether the last step is done, and the number of steps that are done.

    Raises:
        TrainingError: a worker failed, there are fewer GPUs than workers ask for, or `out` is not shared.
        ClusterError: there is no such cluster.
    """
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    with cluster(address):
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        logging.getLogger("ray.train").setLevel(logging.CRITICAL)
        resources = ray.cluster_resources()
        gpus, cpus = resources.get("GPU", 0), resources.get("CPU", 1)
        use_gpu = config.device != "cpu" and gpus >= config.workers
        if config.device == "cuda" and not use_gpu:
            raise TrainingError(f"training: {config.workers} workers want as many GPUs, the cluster has {gpus:g}")
        each = max(1.0, cpus // config.workers) if cpus >= config.workers else cpus / config.workers
        worker_input = _worker_input(replace(config, device="cuda" if use_gpu else "cpu"), data)
        (config.out / STATE).unlink(missing_ok=True)
        trainer = TorchTrainer(
            _run_worker,
            train_loop_config={"input": worker_input},
            scaling_config=ScalingConfig(
                num_workers=config.workers, use_gpu=use_gpu, resources_per_worker={"CPU": _at_most_one_node(each, ray)}
            ),
            run_config=RunConfig(
                name="train",
                storage_path=str(config.out / ".ray"),
                # Without these limits Ray would wait forever for a node that a worker fits on.
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),  # type: ignore[call-arg]
            ),
        )
        try:
            with follow_losses(config.out / "losses.jsonl", viewer):
                trainer.fit()
        except Exception as error:  # Ray wraps what a worker raised in exceptions of several types
            raise _one_line_error(error) from error
    try:
        state = json.loads((config.out / STATE).read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(
            f"{config.out} must be a folder that all nodes share: the workers wrote elsewhere"
        ) from error
    return bool(state["done"]), int(state["step"])


def _at_most_one_node(cpus: float, ray: Any) -> float:
    """Returns a number of processors, but at most as many as the largest node has."""
    return min(cpus, max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"]))


def _worker_input(config: TrainConfig, data: TrainingData | None) -> WorkerInput:
    if data is None:
        return WorkerInput(config, None, [], [], {}, "")
    if not isinstance(data.segments, Dataset):
        raise TrainingError("training: several workers read a prepared dataset; packed segments are for one")
    order = [key for key, _ in list_segments(data.segments)]
    tables = load_into_ray(config, data.segments)
    return WorkerInput(config, tables, order, list(data.seconds), dict(data.settings), data.contents)


def _run_worker(loop_config: Mapping[str, Any]) -> None:
    """Trains in one worker of Ray Train; the first one also writes the weights and the state."""
    import ray
    import ray.train
    import ray.train.torch

    given: WorkerInput = loop_config["input"]
    context = ray.train.get_context()
    worker = TrainingWorker(context.get_world_rank(), context.get_world_size())
    data = None
    if given.tables is not None:
        segments = ArrowSegments(ray.get(given.tables), given.order)
        data = TrainingData(segments, given.seconds, given.settings, given.contents)
    config = given.config
    if training_device(config).type == "cuda":
        import torch

        torch.cuda.set_device(ray.train.torch.get_device())
    # The person's terminal is elsewhere: `follow_losses` reads there what the first worker writes to `losses.jsonl`.
    training = build_training(config, data, SilentViewer(), worker)
    done = training.trainer.run()
    if worker.first:
        if done:
            finish_training(config, training, data)
        state = {"done": done, "step": training.trainer.step}
        (config.out / STATE).write_text(json.dumps(state), encoding="utf-8")


def _one_line_error(error: BaseException) -> Exception:
    """Returns an error with what the first failing worker said, in one line."""
    if isinstance(error, TrainingError | ClusterError):
        return error
    failures = getattr(error, "worker_failures", None)
    first: BaseException = next(iter(failures.values())) if failures else error
    cause: BaseException | None = first
    while cause is not None:
        if isinstance(cause, TrainingError):
            return TrainingError(str(cause).splitlines()[0])
        cause = getattr(cause, "cause", None) or cause.__cause__
    lines = [line.strip() for line in str(first).splitlines() if line.strip()]
    own = [line.partition("TrainingError: ")[2] for line in lines if "TrainingError: " in line]
    if own:
        return TrainingError(own[-1])
    return TrainingError(
        f"a worker failed: {(lines or [type(first).__name__])[-1][:300]}; the last checkpoint is kept, start again"
    )


@contextmanager
def follow_losses(losses: Path, viewer: Viewer, interval: float = 1.0) -> Iterator[None]:
    """Shows the viewer the last line of `losses.jsonl` whenever it is a new one, until the block ends.

    Args:
        losses: the file.
        viewer: receives the losses.
        interval: seconds between two looks at the file.
    """
    shown = int((_last_line(losses) or {"step": -1})["step"])

    def show_new() -> None:
        nonlocal shown
        values = _last_line(losses)
        if values and values["step"] > shown:
            shown = int(values.pop("step"))
            viewer.on_losses(shown, values)

    with run_every(interval, show_new):
        yield


def _last_line(losses: Path) -> dict[str, float] | None:
    """Returns the last complete line of `losses.jsonl`, or None if there is none."""
    with suppress(OSError, ValueError, IndexError), losses.open("rb") as file:
        file.seek(max(0, losses.stat().st_size - 4096))
        data = file.read()
        return dict(json.loads(data[: data.rindex(b"\n")].splitlines()[-1]))
    return None
