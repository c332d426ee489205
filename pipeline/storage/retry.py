"""Trying again: a storage that stumbles is waited for, one that refuses is not."""

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
"""Seconds before each further try, at most; about a minute in all, beside what the client itself tries within one."""

P = ParamSpec("P")
T = TypeVar("T")


class Place(Protocol):
    """What may be far away."""

    @property
    def local(self) -> bool:
        """Whether it is a disk of this machine, which does not stumble."""
        ...


S = TypeVar("S", bound=Place)


def patient(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """A method of a remote storage that is tried again while its `StorageError` is transient.

    429, 5xx, connections that break or fall silent and bodies that end early are transient; a file that is not there
    or a refusal is not, and is raised at once. Waits are drawn between half and the whole of `WAITS`: the workers of a
    cluster do not come back all at once. The method must be one that may be done twice.
    """

    @functools.wraps(method)
    def tried(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.local:
            return method(self, *args, **kwargs)
        for wait in WAITS:
            try:
                return method(self, *args, **kwargs)
            except StorageError as fault:
                if not fault.transient:
                    raise
                log.info("%s; trying again", fault)
            time.sleep(wait * random.uniform(0.5, 1.0))
        return method(self, *args, **kwargs)

    return tried
