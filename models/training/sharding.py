"""A training's workers: which of a batch's items are whose, and how they agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Worker:
    """One of `count` processes that train the same network on shares of the same batches.

    With more than one, `torch.distributed` has to be initialised (Ray Train does so).
    """

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.number == 0

    def share(self, items: int) -> slice:
        """Its items of a batch: neighbours, at most one more than another's."""
        return slice(self.number * items // self.count, (self.number + 1) * items // self.count)

    def summed(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all workers, in one exchange for each kind of number."""
        if self.count == 1:
            return
        kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
        for group in kinds.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            dist.all_reduce(flat)
            for tensor, total in zip(group, flat.split([t.numel() for t in group]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def agreed(self, value: bool, device: torch.device) -> bool:
        """Whether it is so for any worker."""
        if self.count == 1:
            return value
        flag = torch.tensor([float(value)], device=device)
        dist.all_reduce(flag)
        return bool(flag.item())


ALONE = Worker()
