"""The bundled ffmpeg as a child process: bounded in time and memory, its outputs read while it runs.

Media files come from strangers, and native decoders have faults. They run here and nowhere else: in a child without
our environment, our standard input or our memory, which is killed when it takes too long.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

Sink = Callable[[bytes], None]

CHUNK = 1 << 20  # bytes, also the size asked for each pipe
# Containers whose demuxer opens no second file. Playlists, globs, concat scripts and devices are not among them;
# those of sound alone are, so that a song gets the error of a file without pictures.
FORMATS = "mov,matroska,avi,flv,asf,mpeg,mpegts,mxf,ogg,wtv,wav,mp3,flac,aac"
FLAGS = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-y")
# ffmpeg may go on and even end well after an allocation failed, with frames lost, so what it says counts.
NO_MEMORY = ("Cannot allocate memory", "Resource temporarily unavailable")  # the latter of a thread's stack


class DeadlinePassed(Exception):
    """The child was killed because it ran past its deadline."""


class MemoryExhausted(Exception):
    """The child ended because it came to the bound of its memory."""


class Killed(Exception):
    """The child was killed by others: by a system that was short of memory, or by somebody's hand."""

    kind = "Killed"  # the error type of a row


@dataclass(frozen=True)
class Limits:
    """What a child may take: `deadline` seconds of wall time, `memory` bytes of address space."""

    deadline: float
    memory: int


@dataclass(frozen=True)
class Outcome:
    """How a child ended: its exit `code` (negative: the signal that ended it), its `log` with a level on each line."""

    code: int
    log: str

    @property
    def errors(self) -> list[str]:
        """The lines logged as errors or worse, without prefixes, oldest first."""
        marks = ("[error] ", "[fatal] ", "[panic] ")
        return [line.split(m, 1)[1].strip() for line in self.log.splitlines() for m in marks if m in line]


class Log:
    """What the child says on its standard error: the beginning and the end of it, so that it cannot fill the memory."""

    def __init__(self, keep: int = 256 << 10) -> None:
        self._keep = keep
        self._head = bytearray()
        self._tail = bytearray()

    def __call__(self, chunk: bytes) -> None:
        room = self._keep - len(self._head)
        self._head += chunk[:room] if room > 0 else b""
        self._tail += chunk[max(room, 0) :]
        if len(self._tail) > 2 * self._keep:
            del self._tail[: -self._keep]

    @property
    def text(self) -> str:
        """All that was kept, as text."""
        return (self._head + self._tail).decode("utf-8", "replace")


class Pipe:
    """A pipe that the child writes to: `url` names it among ffmpeg's outputs, `sink` gets its bytes as they come."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.reader, self.writer = os.pipe()
        with contextlib.suppress(OSError):  # a full quota of pipe memory only costs speed
            fcntl.fcntl(self.writer, getattr(fcntl, "F_SETPIPE_SZ", 1031), CHUNK)

    @property
    def url(self) -> str:
        return f"pipe:{self.writer}"

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_writer()
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close_writer(self) -> None:
        """Leave the child alone with the writing end, so that its end is the end of the pipe."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@functools.cache
def binary() -> str:
    """Path of the ffmpeg that comes with imageio-ffmpeg.

    That library would run it first, to see whether it works, and remember a failure for ever, even that of a child that
    somebody killed.
    """
    import imageio_ffmpeg

    own = sorted(Path(imageio_ffmpeg.__file__).with_name("binaries").glob("ffmpeg-*"))
    return os.environ.get("IMAGEIO_FFMPEG_EXE") or str(own[0] if own else imageio_ffmpeg.get_ffmpeg_exe())


def media_input(path: str | os.PathLike[str], **options: Any) -> Any:
    """The ffmpeg-python input of one local media file that came from a stranger.

    The `file:` prefix makes every name harmless (leading dashes, colons, quotes, newlines); the whitelists keep the
    file from opening another one or the network.
    """
    import ffmpeg

    return ffmpeg.input("file:" + os.fspath(path), protocol_whitelist="file", format_whitelist=FORMATS, **options)


def run(arguments: Sequence[str], limits: Limits, pipes: Sequence[Pipe] = (), output: Log | None = None) -> Outcome:
    """Run ffmpeg to its end, feeding each pipe's sink with what it writes there.

    Args:
        arguments: the command without its binary, as ffmpeg-python's `get_args` gives it.
        limits: bounds of time and memory.
        pipes: made by the caller; the child's ends are closed here.
        output: takes the child's log, for a sink that needs what ffmpeg said so far. What the child logged before it
            wrote to a pipe is in here before that pipe's sink is called.

    Returns:
        Exit code and log. A code other than 0 is for the caller to judge.

    Raises:
        DeadlinePassed, MemoryExhausted: a bound was met.
        Killed: it was not the child's own doing that it ended.
        Exception: whatever a sink raises. In every case the child is gone and nothing is left behind.
    """
    output = output if output is not None else Log()
    end = time.monotonic() + limits.deadline
    child = subprocess.Popen(
        [binary(), *FLAGS, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[pipe.writer for pipe in pipes],
        env={"LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1", "MALLOC_ARENA_MAX": "2"},
        start_new_session=True,  # an interrupt at the terminal is ours to handle
    )
    assert child.stderr is not None
    try:
        _bound_memory(child.pid, limits.memory)
        for pipe in pipes:
            pipe.close_writer()
        _drain({child.stderr.fileno(): output} | {pipe.reader: pipe.sink for pipe in pipes}, end)
        code = child.wait(max(end - time.monotonic(), 0.001))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise DeadlinePassed(f"ffmpeg was killed after {limits.deadline:g} s") from None
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        child.stderr.close()
    outcome = Outcome(code, output.text)
    if any(sign in line for line in outcome.errors for sign in NO_MEMORY):
        raise MemoryExhausted(f"ffmpeg needed more than {limits.memory / 2**20:.0f} MiB of memory")
    if code == -signal.SIGKILL:
        raise Killed("ffmpeg was killed by somebody, or by a system short of memory: try again")
    return outcome


def _drain(sinks: dict[int, Sink], end: float) -> None:
    """Read every descriptor to its end; of those ready at one time, the first in `sinks` first."""
    order = list(sinks)
    with selectors.DefaultSelector() as selector:
        for descriptor in order:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            ready = {key.fd for key, _ in selector.select(left)}
            for descriptor in (d for d in order if d in ready):
                chunk = os.read(descriptor, CHUNK)
                if chunk:
                    sinks[descriptor](chunk)
                else:
                    selector.unregister(descriptor)


def _bound_memory(process: int, limit: int) -> None:
    """Bound a child's address space from outside: code between fork and exec is not safe in a process with threads."""
    if not hasattr(resource, "prlimit"):
        log.warning("this system cannot bound the memory of ffmpeg")
        return
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process, resource.RLIMIT_AS, (limit, limit))
