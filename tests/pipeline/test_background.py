"""What is told beside other work is told now and then, and a last time when the work ends, however it ends."""

from __future__ import annotations

import time

import pytest

from pipeline.background import told_every


def test_the_last_word_comes_after_the_work() -> None:
    state, told = [0], list[int]()
    with told_every(60, lambda: told.append(state[0])):
        state[0] = 7
    assert told == [7]


def test_it_is_told_while_the_work_goes_on_and_when_it_fails() -> None:
    told = list[float]()
    with pytest.raises(KeyError), told_every(0.01, lambda: told.append(time.monotonic())):  # noqa: PT012
        deadline = time.monotonic() + 30
        while len(told) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(told) >= 3
        raise KeyError
    count = len(told)
    time.sleep(0.05)
    assert len(told) == count
