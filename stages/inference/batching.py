"""Shared parts of the stages with a network: device, threads, and batches of one fixed shape."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from models.weights.source import ModelSource
from stages.base import ItemError

if TYPE_CHECKING:
    import torch

    from models import DiffV2M
    from models.sampling.windows import Timeline

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


def resolve_device(device: str) -> str:
    """Name of the device: `auto` is a GPU where there is one."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_parts(
    source: ModelSource, parts: Collection[str], device: str, threads: int, precision: str = "float32"
) -> DiffV2M:
    """Load parts of a model into this worker.

    Args:
        threads: threads of torch in this worker; 0 leaves the number to torch.
        precision: of the layers that take most of the time, one of `models.precision.PRECISIONS`.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    return source.load(parts, resolve_device(device), precision)


def halve_on_oom(work: Callable[[int], Result], size: int) -> tuple[Result, int]:
    """Call `work` with a batch size, and with half of it, and so on, where a GPU has too little memory.

    Returns:
        What `work` returns, and the size that it was given.

    Raises:
        ItemError: there is too little memory for a size of 1.
    """
    import torch

    while True:
        try:
            return work(size), size
        except torch.OutOfMemoryError:
            if size == 1:
                raise ItemError(
                    "OutOfMemory", "the GPU has too little memory for this video: give the stages fewer workers"
                ) from None
        size //= 2
        log.warning("too little memory on the GPU: %d at once from now on", size)
        torch.cuda.empty_cache()


def fixed_batches(count: int, size: int) -> Iterator[tuple[torch.Tensor, int]]:
    """Indices of `count` rows in batches of exactly `size`, each with the number of its rows that count.

    A short batch is filled with its last row again: the arithmetic of a network depends on the shape of its batch, so
    the result of a row would otherwise depend on the number of its neighbors.
    """
    import torch

    for start in range(0, count, size):
        yield torch.arange(start, start + size).clamp(max=count - 1), min(size, count - start)


def group_by_length(
    items: Sequence[Item],
    timelines: Sequence[Timeline],
    work: Callable[[list[Item], list[Timeline]], Iterable[Result]],
) -> list[Result]:
    """Results of `work` for each video's item and timeline, in their order.

    `work` is called once for all videos whose windows are equally long: only these fit into one batch.
    """
    groups: dict[int, list[int]] = {}
    for number, timeline in enumerate(timelines):
        groups.setdefault(timeline.frames, []).append(number)
    found = dict[int, Result]()
    for group in groups.values():
        results = work([items[i] for i in group], [timelines[i] for i in group])
        found.update(zip(group, results, strict=True))
    return [found[number] for number in range(len(items))]
