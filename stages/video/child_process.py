"""Runs a child process that reads a stranger's file: bounded in time and memory, its outputs read while it runs.

Media files come from strangers, and native decoders have bugs. Decoders run in such children and nowhere else: without
our environment, our standard input or our memory, and killed when they take too long.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

Sink = Callable[[bytes], None]

CHUNK = 1 << 20  # bytes of one read, and the size that each pipe is given if possible


class DeadlinePassed(Exception):
    """The child was killed because it ran past its deadline."""


class MemoryExhausted(Exception):
    """The child ended because it reached the bound of its memory."""


class Killed(Exception):
    """Somebody else killed the child: a person, or a system that was short of memory."""

    kind = "Killed"  # the error type of the row in the ledger


@dataclass(frozen=True)
class Limits:
    """Bounds of a child: `deadline` seconds of wall time, `memory` bytes of address space."""

    deadline: float
    memory: int


class BoundedLog:
    """The child's standard error: only its beginning and its end are kept, so that it cannot fill the memory."""

    def __init__(self, keep: int = 256 << 10) -> None:
        self._keep = keep
        self._head = bytearray()
        self._tail = bytearray()

    def __call__(self, chunk: bytes) -> None:
        """Takes the next bytes."""
        room = self._keep - len(self._head)
        self._head += chunk[:room] if room > 0 else b""
        self._tail += chunk[max(room, 0) :]
        if len(self._tail) > 2 * self._keep:
            del self._tail[: -self._keep]

    @property
    def text(self) -> str:
        """The text that was kept."""
        return (self._head + self._tail).decode("utf-8", "replace")


class Pipe:
    """A pipe that the child writes to. `url` is its name as an output of ffmpeg; `sink` gets the bytes as they come."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.reader, self.writer = os.pipe()
        with contextlib.suppress(OSError):  # a used-up quota of pipe memory only costs speed
            fcntl.fcntl(self.writer, getattr(fcntl, "F_SETPIPE_SZ", 1031), CHUNK)

    @property
    def url(self) -> str:
        """The pipe's name in the arguments of ffmpeg."""
        return f"pipe:{self.writer}"

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_writer()
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close_writer(self) -> None:
        """Closes our copy of the writing end, so that the pipe ends when the child does."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@dataclass(frozen=True)
class ChildResult:
    """The result of a child: its exit `code` (negative: the signal that ended it), and its standard error."""

    code: int
    log: str


def run_child(
    command: Sequence[str],
    limits: Limits,
    pipes: Sequence[Pipe] = (),
    child_log: BoundedLog | None = None,
    environment: Mapping[str, str] | None = None,
) -> ChildResult:
    """Runs a program to its end and gives what it writes to each pipe to the pipe's sink.

    Args:
        command: the program and its arguments.
        limits: bounds of time and memory.
        pipes: made by the caller; the child's ends are closed here.
        child_log: takes the child's standard error, for a sink that needs what the child has said so far. What it said
            before it wrote to a pipe is in here before that pipe's sink is called.
        environment: the child's environment beside `LC_ALL`; nothing of ours is passed on.

    Returns:
        Exit code and standard error. The caller decides what a code other than 0 means.

    Raises:
        DeadlinePassed: the deadline was reached.
        Killed: somebody else ended the child.
        Exception: whatever a sink raises. In every case the child is gone and nothing is left behind.
    """
    child_log = child_log if child_log is not None else BoundedLog()
    end = time.monotonic() + limits.deadline
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[pipe.writer for pipe in pipes],
        env={"LC_ALL": "C", "MALLOC_ARENA_MAX": "2", **(environment or {})},
        start_new_session=True,  # so that an interrupt at the terminal reaches only us
    )
    assert child.stderr is not None
    try:
        _bound_memory(child.pid, limits.memory)
        for pipe in pipes:
            pipe.close_writer()
        _drain({child.stderr.fileno(): child_log} | {pipe.reader: pipe.sink for pipe in pipes}, end)
        code = child.wait(max(end - time.monotonic(), 0.001))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise DeadlinePassed(f"it was killed after {limits.deadline:g} s") from None
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        child.stderr.close()
    if code == -signal.SIGKILL:
        raise Killed("the child was killed by somebody, or by a system short of memory: try again")
    return ChildResult(code, child_log.text)


def _drain(sinks: dict[int, Sink], end: float) -> None:
    """Reads every descriptor to its end; of those that are ready together, the first in `sinks` is read first."""
    order = list(sinks)
    with selectors.DefaultSelector() as selector:
        for descriptor in order:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            remaining = end - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            ready = {key.fd for key, _ in selector.select(remaining)}
            for descriptor in (d for d in order if d in ready):
                chunk = os.read(descriptor, CHUNK)
                if chunk:
                    sinks[descriptor](chunk)
                else:
                    selector.unregister(descriptor)


def _bound_memory(process: int, limit: int) -> None:
    """Bounds a child's address space from outside: code between fork and exec is not safe in a process with threads."""
    if not hasattr(resource, "prlimit"):
        log.warning("this system cannot bound the memory of a child")
        return
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process, resource.RLIMIT_AS, (limit, limit))
