"""How a machine is shared among the stages: workers of each, and what each worker takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# Share of the processors, and of each GPU, that a stage gets. Those of the GPU sum to 1. On a machine without a GPU
# sampling gets the most; on one with, decoding.
CPU_SHARES = {"decode": 0.25, "features": 0.14, "rhythm": 0.05, "sample": 0.35, "sound": 0.13, "mux": 0.08}
CPU_SHARES_BESIDE_GPU = {"decode": 0.6, "features": 0.1, "rhythm": 0.05, "sample": 0.06, "sound": 0.07, "mux": 0.12}
GPU_SHARES = {"features": 0.1, "rhythm": 0.05, "sample": 0.6, "sound": 0.25}


@dataclass(frozen=True)
class Pool:
    """Workers of one stage, and what each takes: processors and GPUs as Ray counts them, threads of torch."""

    workers: int
    num_cpus: float
    num_gpus: float
    threads: int


@dataclass(frozen=True)
class Layout:
    """The pools of all stages. A whole processor always stays free: pools that take every one starve the reader."""

    pools: dict[str, Pool]

    def __getitem__(self, stage: str) -> Pool:
        return self.pools[stage]

    @classmethod
    def of(
        cls, cpus: float, gpus: float = 0, *, largest_node: float | None = None, large_model: bool = False
    ) -> Layout:
        """Share out a machine or cluster.

        Args:
            cpus, gpus: of all nodes, as Ray counts them.
            largest_node: processors of the largest node: no worker takes more. All of `cpus` if left out.
            large_model: the weights fill a good part of the memory, so without a GPU one worker holds them and gets
                many threads, instead of many workers with a copy each.
        """
        shares = CPU_SHARES_BESIDE_GPU if gpus >= 1 else CPU_SHARES
        free = max(cpus - 1, cpus / 2)
        pools = {}
        for order, (stage, share) in enumerate(shares.items()):
            on_gpu = GPU_SHARES[stage] if gpus >= 1 and stage in GPU_SHARES else 0.0
            if on_gpu:
                workers = int(gpus)
            elif large_model and stage in GPU_SHARES:
                workers = 1
            else:
                workers = max(1, int(share * free))
            node = cpus if largest_node is None else largest_node
            each = min(share * free / workers, max(node - 1, node / 2))
            threads = min(cpus / workers, node) if stage == "sample" and not on_gpu else max(each, min(cpus, 2))
            pools[stage] = Pool(workers, _num_cpus(each, order), on_gpu, max(1, round(threads)))
        return cls(pools)


@dataclass(frozen=True)
class Machine:
    """Processors and GPUs of a machine or a cluster, and the processors of its largest node."""

    cores: float
    gpus: float
    largest_node: float
    nodes: int = 1

    @classmethod
    def here(cls) -> Machine:
        """This machine, as Ray would count it."""
        cores = float(os.cpu_count() or 1)
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
        if seen is not None:
            gpus = min(gpus, len([name for name in seen.split(",") if name.strip()]))
        return cls(cores, float(gpus), cores)

    def layout(self, gpus: float | None = None, *, large_model: bool) -> Layout:
        """How the stages share it; `gpus` asks what would be with so many."""
        return Layout.of(
            self.cores,
            self.gpus if gpus is None else gpus,
            largest_node=self.largest_node,
            large_model=large_model,
        )


def _num_cpus(cpus: float, order: int) -> float:
    """Rounded down, and a little different for each stage: Ray fuses neighbours of equal needs into one worker."""
    return round(max(0.001, int(cpus * 100) / 100) - order / 10_000, 4)
