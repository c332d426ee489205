"""The workers of a training: which items of a batch belong to which worker, and how workers exchange tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class TrainingWorker:
    """One of `count` processes that train the same network on shares of the same batches.

    With more than one worker, `torch.distributed` must be initialized (Ray Train does so).

    Attributes:
        number: number of this worker, from 0.
        count: number of workers.
    """

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the worker that writes files."""
        return self.number == 0

    def share(self, items: int) -> slice:
        """Returns the worker's items of a batch; they are contiguous, and workers differ by at most one item."""
        return slice(self.number * items // self.count, (self.number + 1) * items // self.count)

    def sum_over_workers(self, tensors: Iterable[Tensor]) -> None:
        """Replaces each tensor by its sum over all workers, in one exchange per data type and device."""
        if self.count == 1:
            return
        groups: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for tensor in tensors:
            groups.setdefault((tensor.dtype, tensor.device), []).append(tensor)
        for group in groups.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            dist.all_reduce(flat)
            for tensor, total in zip(group, flat.split([t.numel() for t in group]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def any_worker(self, value: bool, device: torch.device) -> bool:
        """Returns whether the value is true for at least one worker."""
        if self.count == 1:
            return value
        flag = torch.tensor([float(value)], device=device)
        dist.all_reduce(flag)
        return bool(flag.item())


SINGLE_WORKER = TrainingWorker()
