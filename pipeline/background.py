"""Something told again and again beside other work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def told_every(interval: float, tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` every so many seconds in a thread until the work inside ends, and once more then."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(interval):
            tell()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)
        tell()
