"""How a machine is shared among the stages: workers of each, and what each worker takes."""

from __future__ import annotations

from dataclasses import dataclass

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
    def of(cls, cpus: float, gpus: float = 0, *, large_model: bool = False) -> Layout:
        """Share out a machine or cluster.

        Args:
            cpus, gpus: as Ray counts them.
            large_model: the weights fill a good part of the memory, so without a GPU one worker holds them and gets
                many threads, instead of many workers with a copy each.
        """
        shares = CPU_SHARES_BESIDE_GPU if gpus >= 1 else CPU_SHARES
        free = max(cpus - 1, cpus / 2)
        return cls(
            {stage: cls._pool(stage, share * free, cpus, int(gpus), large_model) for stage, share in shares.items()}
        )

    @staticmethod
    def _pool(stage: str, cpus: float, total: float, gpus: int, large_model: bool) -> Pool:
        if gpus and stage in GPU_SHARES:
            return Pool(gpus, _floor(min(1.0, cpus / gpus)), GPU_SHARES[stage], threads=1)
        single = large_model and stage in GPU_SHARES
        workers = 1 if single else max(1, int(cpus))
        threads = max(
            1, round(cpus) if single else round(total / workers) if stage == "sample" else round(min(total, 2))
        )
        return Pool(workers, _floor(cpus / workers), 0.0, threads)


def _floor(cpus: float) -> float:
    return max(0.01, int(cpus * 100) / 100)
