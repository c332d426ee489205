"""Resources: how the processors and GPUs of a machine or cluster are shared among the stages of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path


@dataclass(frozen=True)
class StageShare:
    """The part of a machine that the workers of one stage get together.

    Attributes:
        cpus: share of the processors on a machine without a GPU, 0 to 1.
        cpus_beside_gpu: share of the processors on a machine with GPUs, 0 to 1.
        gpu: share of each GPU, 0 to 1; 0 for a stage that holds no network.
        takes_all_threads: whether a worker without a GPU uses every processor for its threads, not only its share. That
            suits the stage with the most work, because the others are idle much of the time.
    """

    cpus: float
    cpus_beside_gpu: float
    gpu: float = 0.0
    takes_all_threads: bool = False


ONE_WORKER_CPUS = 4
"""Processors of a machine up to which one worker holds all stages: more workers would only load the libraries again."""


@dataclass(frozen=True)
class Pool:
    """The workers of one stage, or of several neighboring stages, which then share them.

    Attributes:
        workers: number of workers.
        num_cpus: processors of each worker, as Ray counts them.
        num_gpus: share of a GPU of each worker, as Ray counts it.
        threads: threads that PyTorch uses in each worker.
    """

    workers: int
    num_cpus: float
    num_gpus: float
    threads: int


@dataclass(frozen=True)
class Layout:
    """The pools of all stages, by the stages' names. Neighboring stages with the same pool form a group.

    The stages of a group live in the same workers. Where every stage has its own pool, no two of them are equal.

    One whole processor always stays free: with pools that take every processor, the task that reads the manifest would
    never start.
    """

    pools: dict[str, Pool]

    def __getitem__(self, stage: str) -> Pool:
        return self.pools[stage]

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Names of the stages that live together, in the order of the stages."""
        return [tuple(stages) for _, stages in groupby(self.pools, self.pools.__getitem__)]

    @classmethod
    def of(
        cls,
        shares: Mapping[str, StageShare],
        cpus: float,
        gpus: float = 0,
        *,
        largest_node: float | None = None,
        large_model: bool = False,
    ) -> Layout:
        """Shares out a machine or cluster.

        A small machine without a GPU has one worker with all stages, unless the model is large: its parts are then
        loaded once each, by the stages that need them.

        Args:
            shares: the share of each stage, in the order of the stages.
            cpus: processors of all nodes together, as Ray counts them.
            gpus: GPUs of all nodes together, as Ray counts them.
            largest_node: processors of the largest node, which no worker exceeds; `cpus` if left out.
            large_model: whether the weights fill a good part of the memory. Without a GPU, one worker then holds them
                and gets many threads, instead of many workers with a copy each.
        """
        free = max(cpus - 1, cpus / 2)
        node = cpus if largest_node is None else largest_node
        if gpus < 1 and not large_model and node == cpus <= ONE_WORKER_CPUS:
            return cls(dict.fromkeys(shares, Pool(1, _num_cpus(free, 0), 0.0, max(1, round(cpus)))))
        pools = {}
        for order, (stage, share) in enumerate(shares.items()):
            cpu_share = share.cpus_beside_gpu if gpus >= 1 else share.cpus
            num_gpus = share.gpu if gpus >= 1 else 0.0
            if num_gpus:
                workers = int(gpus)
            elif large_model and share.gpu:
                workers = 1
            else:
                workers = max(1, int(cpu_share * free))
            each = min(cpu_share * free / workers, max(node - 1, node / 2))
            threads = min(cpus / workers, node) if share.takes_all_threads and not num_gpus else max(each, min(cpus, 2))
            pools[stage] = Pool(workers, _num_cpus(each, order), num_gpus, max(1, round(threads)))
        return cls(pools)


@dataclass(frozen=True)
class Machine:
    """A machine or a cluster.

    Attributes:
        cores: processors of all nodes together.
        gpus: GPUs of all nodes together.
        largest_node: processors of the largest node.
        nodes: number of nodes.
    """

    cores: float
    gpus: float
    largest_node: float
    nodes: int = 1

    @classmethod
    def here(cls) -> Machine:
        """Returns this machine, as Ray would count it."""
        cores = float(os.cpu_count() or 1)
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
        if seen is not None:
            gpus = min(gpus, len([name for name in seen.split(",") if name.strip()]))
        return cls(cores, float(gpus), cores)

    def layout(self, shares: Mapping[str, StageShare], gpus: float | None = None, *, large_model: bool) -> Layout:
        """Returns the layout of this machine, as `Layout.of` makes it.

        Args:
            shares: the share of each stage, in the order of the stages.
            gpus: the number of GPUs to assume instead of the machine's own.
            large_model: whether the weights fill a good part of the memory.
        """
        gpus = self.gpus if gpus is None else gpus
        return Layout.of(shares, self.cores, gpus, largest_node=self.largest_node, large_model=large_model)


def _num_cpus(cpus: float, order: int) -> float:
    """Returns `cpus` rounded down and a little smaller for each stage, because Ray would fuse neighbors of equal needs.

    Args:
        cpus: processors of one worker.
        order: number of the stage, from 0.
    """
    return round(max(0.001, int(cpus * 100) / 100) - order / 10_000, 4)
