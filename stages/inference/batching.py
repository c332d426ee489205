"""What the stages with a network share: the device, the threads, and batches of one fixed shape."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from models.features.motion import pace_curve
from models.weights.source import ModelSource
from stages.base import ItemError
from stages.contracts import Row

if TYPE_CHECKING:
    import torch

    from models import DiffV2M, Features
    from models.config import ModelConfig
    from models.lengths import Window
    from models.sampling.windows import Timeline

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Made = TypeVar("Made")


def resolve_device(device: str) -> str:
    """`auto` is a GPU where there is one."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_parts(
    source: ModelSource, parts: Collection[str], device: str, threads: int, precision: str = "float32"
) -> DiffV2M:
    """Load parts of a model into this worker, which is given so many threads (0: as the library sees fit).

    `precision` is that of the layers that take the time, one of `models.precision.PRECISIONS`.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    return source.load(parts, resolve_device(device), precision)


def halving(work: Callable[[int], Made], size: int) -> tuple[Made, int]:
    """What `work` makes with so much at once, or with half as much and so on where a GPU has too little memory.

    Returns:
        It, and how much at once that was.

    Raises:
        ItemError: there is too little memory for the least.
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
    """Indices of `count` rows in batches of exactly `size`, and how many of each batch count.

    A short batch is filled with its last row again: a network's arithmetic depends on the shape of its batch, so a
    row's result would otherwise depend on how many neighbours it has.
    """
    import torch

    for start in range(0, count, size):
        yield torch.arange(start, start + size).clamp(max=count - 1), min(size, count - start)


def by_length(
    items: Sequence[Item], timelines: Sequence[Timeline], work: Callable[[list[Item], list[Timeline]], Iterable[Made]]
) -> list[Made]:
    """What `work` makes of each video's item and timeline, done together for those whose windows are equally long.

    Only such go through a network in one batch.
    """
    groups: dict[int, list[int]] = {}
    for number, timeline in enumerate(timelines):
        groups.setdefault(timeline.frames, []).append(number)
    found = dict[int, Made]()
    for group in groups.values():
        made = work([items[i] for i in group], [timelines[i] for i in group])
        found.update(zip(group, made, strict=True))
    return [found[number] for number in range(len(items))]


def window_features(row: Row, window: Window) -> Features:
    """A row's features in one window of the video."""
    import torch

    from models import Features

    stretch = slice(window.start, window.stop)
    names = ("semantic", "color", "scene_cut", "visual_beat")
    semantic, color, scene_cut, visual_beat = (torch.tensor(row[name][stretch]) for name in names)
    return Features(semantic, color, scene_cut, visual_beat)


def drawn_rhythm(model: DiffV2M, row: Row, timeline: Timeline, key: str) -> torch.Tensor:
    """The curves [windows, channels, steps] that a model draws for a video, its windows together.

    Args:
        key: `models.sampling.windows.noise_key` of the video.
    """
    from models.sampling.windows import together

    assert model.config.curve is not None
    features = model.grooved(paced_features(row, timeline, model.config), timeline.seconds)
    noise = timeline.noise(f"{key}/rhythm", model.config.curve.channels)
    return model.predict_rhythm(features, noise, lambda velocity: together([timeline], velocity)).float()


def paced_features(row: Row, timeline: Timeline, config: ModelConfig) -> list[Features]:
    """A row's features in each window, with the picture's pace where the model reads it.

    The pace of a window is counted from the time of its first latent, so that all windows share the video's time axis.
    """
    features = [window_features(row, window) for window in timeline.windows]
    if config.curve is None:
        return features
    steps, rate = -(-timeline.frames // config.curve.stride), config.curve_rate
    return [
        replace(
            of_window,
            pace=pace_curve(row["frame_times"] - start, row["difference"], row["cuts"] - start, rate, steps),
        )
        for of_window, start in zip(features, timeline.seconds, strict=True)
    ]
