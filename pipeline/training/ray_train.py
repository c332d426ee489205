"""Several workers at one training: Ray Train starts them, Ray Data puts the dataset where each can read it."""

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
from models.training.factory import device_of
from models.training.sharding import Worker
from pipeline.background import told_every
from pipeline.cluster.session import ClusterError, cluster
from pipeline.datasets.dataset import Dataset
from pipeline.training.data import ArrowSegments, Prepared, blocks, contents

STATE = "workers.json"
"""File in `out` by which the first worker says how far it came."""


@dataclass(frozen=True)
class Work:
    """What every worker is sent.

    Attributes:
        tables: references to the dataset's Arrow tables; None where sound is composed.
        order: item, and number in it, of each segment.
    """

    config: TrainConfig
    tables: list[Any] | None
    order: list[tuple[str, int]]
    seconds: list[float]
    facts: dict[str, Any]
    contents: str


def train_on_ray(config: TrainConfig, prepared: Prepared | None, viewer: Any, address: str | None) -> tuple[bool, int]:
    """Train in Ray's workers: the same losses as one worker has, up to rounding.

    Checkpoints, losses and weights are the first worker's; `out` must be a folder that all nodes share.

    Returns:
        Whether the last step is done, and how many are.

    Raises:
        TrainingError: a worker failed, there are fewer GPUs than workers ask for, or `out` is not shared.
        ClusterError: no such cluster.
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
        work = _work(replace(config, device="cuda" if use_gpu else "cpu"), prepared)
        (config.out / STATE).unlink(missing_ok=True)
        trainer = TorchTrainer(
            _trained,
            train_loop_config={"work": work},
            scaling_config=ScalingConfig(
                num_workers=config.workers, use_gpu=use_gpu, resources_per_worker={"CPU": _fitting(each, ray)}
            ),
            run_config=RunConfig(
                name="train",
                storage_path=str(config.out / ".ray"),
                # A worker that fits nowhere would be waited for without end.
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),  # type: ignore[call-arg]
            ),
        )
        try:
            with followed(config.out / "losses.jsonl", viewer):
                trainer.fit()
        except Exception as fault:  # what a worker raised comes wrapped in several kinds
            raise _explained(fault) from fault
    try:
        state = json.loads((config.out / STATE).read_text(encoding="utf-8"))
    except OSError as fault:
        raise TrainingError(
            f"{config.out} must be a folder that all nodes share: the workers wrote elsewhere"
        ) from fault
    return bool(state["done"]), int(state["step"])


def _fitting(each: float, ray: Any) -> float:
    """No more processors than the largest node has."""
    return min(each, max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"]))


def _work(config: TrainConfig, prepared: Prepared | None) -> Work:
    if prepared is None:
        return Work(config, None, [], [], {}, "")
    if not isinstance(prepared.segments, Dataset):
        raise TrainingError("training: several workers read a prepared dataset; packed segments are for one")
    dataset = prepared.segments
    order = [key for key, _ in contents(dataset)]
    seconds, facts = list(prepared.seconds), dict(prepared.facts)
    return Work(config, blocks(config, dataset), order, seconds, facts, prepared.contents)


def _trained(given: Mapping[str, Any]) -> None:
    """What a worker does."""
    import ray
    import ray.train
    import ray.train.torch

    from pipeline.training.launch import finish, training_of

    work: Work = given["work"]
    context = ray.train.get_context()
    worker = Worker(context.get_world_rank(), context.get_world_size())
    prepared = None
    if work.tables is not None:
        segments = ArrowSegments(ray.get(work.tables), work.order)
        prepared = Prepared(segments, work.seconds, work.facts, work.contents)
    config = work.config
    if device_of(config).type == "cuda":
        import torch

        torch.cuda.set_device(ray.train.torch.get_device())
    training = training_of(config, prepared, Unseen(), worker)
    done = training.trainer.run()
    if worker.first:
        if done:
            finish(config, training, prepared)
        state = {"done": done, "step": training.trainer.step}
        (config.out / STATE).write_text(json.dumps(state), encoding="utf-8")


class Unseen:
    """A worker's viewer: the person's terminal is elsewhere, and reads `losses.jsonl`."""

    def composed(self, done: int, total: int) -> None:
        """Composed before."""

    def told(self, step: int, values: Mapping[str, float]) -> None:
        """Written to `losses.jsonl` already."""


def _explained(fault: BaseException) -> Exception:
    """What the first failing worker said, in one line."""
    if isinstance(fault, TrainingError | ClusterError):
        return fault
    failures = getattr(fault, "worker_failures", None)
    found: BaseException = next(iter(failures.values())) if failures else fault
    seen: BaseException | None = found
    while seen is not None:
        if isinstance(seen, TrainingError):
            return TrainingError(str(seen).splitlines()[0])
        seen = getattr(seen, "cause", None) or seen.__cause__
    lines = [line.strip() for line in str(found).splitlines() if line.strip()]
    own = [line.partition("TrainingError: ")[2] for line in lines if "TrainingError: " in line]
    if own:
        return TrainingError(own[-1])
    return TrainingError(
        f"a worker failed: {(lines or [type(found).__name__])[-1][:300]}; the last checkpoint is kept, start again"
    )


@contextmanager
def followed(losses: Path, viewer: Any, interval: float = 1.0) -> Iterator[None]:
    """Tell the viewer the last line of `losses.jsonl` whenever there is a new one, until the work inside is done."""
    told = int((_last(losses) or {"step": -1})["step"])

    def tell() -> None:
        nonlocal told
        values = _last(losses)
        if values and values["step"] > told:
            told = int(values.pop("step"))
            viewer.told(told, values)

    with told_every(interval, tell):
        yield


def _last(losses: Path) -> dict[str, float] | None:
    """The last whole line."""
    with suppress(OSError, ValueError, IndexError), losses.open("rb") as file:
        file.seek(max(0, losses.stat().st_size - 4096))
        data = file.read()
        return dict(json.loads(data[: data.rindex(b"\n")].splitlines()[-1]))
    return None
