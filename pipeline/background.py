"""A function that is called again and again in a thread, beside other work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def run_every(interval: float, function: Callable[[], None]) -> Iterator[None]:
    """Calls a function every `interval` seconds in a thread while the block runs, and once more when the block ends.

    The last call happens in the caller's thread, whether the block ends well or with an exception.
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(interval):
            function()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)
        function()
