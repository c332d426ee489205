"""What stages with a network share: less at once where memory is short, and batches of videos of one length."""

from __future__ import annotations

import pytest
import torch

from models.lengths import Lengths
from models.sampling.windows import Timeline
from stages.base import ItemError
from stages.inference.batching import group_by_length, halve_on_oom

LENGTHS = Lengths(sample_rate=44100, downsampling=2048, sample_size=1323000, short_windows=(6, 10))


def test_half_as_much_is_tried_where_memory_is_short() -> None:
    tried = list[int]()

    def work(size: int) -> str:
        tried.append(size)
        if size > 4:
            raise torch.OutOfMemoryError("no room")
        return f"by {size}"

    assert halve_on_oom(work, 16) == ("by 4", 4)
    assert tried == [16, 8, 4]


def test_the_least_that_is_too_much_is_one_line() -> None:
    def work(size: int) -> str:
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(ItemError, match="too little memory for this video") as caught:
        halve_on_oom(work, 3)
    assert caught.value.kind == "OutOfMemory"


def test_videos_of_one_length_go_together_and_keep_their_order() -> None:
    seconds = [5.0, 9.0, 6.2, 40.0, 11.0, 8.5]
    batches = list[list[float]]()

    def work(some: list[float], timelines: list[Timeline]) -> list[float]:
        batches.append(some)
        assert len({timeline.frames for timeline in timelines}) == 1
        return [2 * each for each in some]

    made = group_by_length(seconds, [Timeline(LENGTHS, each) for each in seconds], work)
    assert made == [2 * each for each in seconds]
    assert batches == [[5.0, 6.2], [9.0, 8.5], [40.0, 11.0]]
