"""Repeats an operation on a remote storage while its error is transient; every other error is raised at once."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from pipeline.storage.errors import StorageError

log = logging.getLogger(__name__)

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Longest waits, in seconds, before each further try: about a minute in all, beside the client's own retries."""

P = ParamSpec("P")
T = TypeVar("T")


class MaybeRemote(Protocol):
    """A storage that is either a disk of this machine or a remote service."""

    @property
    def local(self) -> bool:
        """Whether it is a disk of this machine, whose errors are not transient."""
        ...


S = TypeVar("S", bound=MaybeRemote)


def retry_transient(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Decorates a method of a remote storage: it is called again while its `StorageError` is transient.

    HTTP 429 and 5xx, connections that break or fall silent, and bodies that end early are transient. A missing file or
    a refusal is not, and is raised at once. Each wait is drawn between half and the whole of its entry in `WAITS`, so
    that the workers of a cluster do not all come back at the same moment. The method must be safe to repeat.
    """

    @functools.wraps(method)
    def retried(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.local:
            return method(self, *args, **kwargs)
        for wait in WAITS:
            try:
                return method(self, *args, **kwargs)
            except StorageError as error:
                if not error.transient:
                    raise
                log.info("%s; trying again", error)
            time.sleep(wait * random.uniform(0.5, 1.0))
        return method(self, *args, **kwargs)

    return retried
