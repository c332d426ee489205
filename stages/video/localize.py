"""Local paths of videos."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

Localize = Callable[[str], AbstractContextManager[Path]]


@contextlib.contextmanager
def local_path(uri: str) -> Iterator[Path]:
    """A local file under its own path."""
    yield Path(uri)
