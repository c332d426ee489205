"""A function runs again and again beside other work, and a last time when the work ends, however it ends."""

from __future__ import annotations

import time

import pytest

from pipeline.background import run_every


def test_the_last_call_comes_after_the_work() -> None:
    state, calls = [0], list[int]()
    with run_every(60, lambda: calls.append(state[0])):
        state[0] = 7
    assert calls == [7]


def test_calls_come_while_the_work_goes_on_and_when_it_fails() -> None:
    calls = list[float]()
    with pytest.raises(KeyError), run_every(0.01, lambda: calls.append(time.monotonic())):  # noqa: PT012
        deadline = time.monotonic() + 30
        while len(calls) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(calls) >= 3
        raise KeyError
    count = len(calls)
    time.sleep(0.05)
    assert len(calls) == count
