"""The file of a source video: its local path, and the checks that need no decoder."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from stages.base import ItemError

Localize = Callable[[str], AbstractContextManager[Path]]
"""Gives a local path for a uri, for as long as the context is open."""

MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
"""Types of the boxes that a MOV or MP4 file begins with."""


@contextlib.contextmanager
def local_path(uri: str) -> Iterator[Path]:
    """Gives the path of a file that is local already."""
    yield Path(uri)


@contextlib.contextmanager
def open_source(uri: str, localize: Localize, message: str) -> Iterator[Path]:
    """Gives the local path of a readable file.

    Args:
        message: the message of the error `Unreadable`, with `{reason}` in it.

    Raises:
        ItemError: `Unreadable`, or what `check_file` raises.
    """
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(localize(uri))
            check_file(path)
        except OSError as error:
            raise ItemError("Unreadable", message.format(reason=error.strerror or str(error))) from None
        yield path


def check_file(path: Path) -> None:
    """Refuses a file that need not be decoded to be known as bad.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
        ItemError: `EmptyFile`, or `Truncated` if an AVI file is shorter than its first bytes declare.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        head = file.read(12)
        size = os.fstat(file.fileno()).st_size
    if not head:
        raise ItemError("EmptyFile", "the file is empty (0 bytes): copy or export it again")
    declared = int.from_bytes(head[4:8], "little") + 8
    if head[:4] == b"RIFF" and head[8:] == b"AVI " and size + 1 < declared < 1 << 32:
        raise ItemError("Truncated", f"the file holds {size} of its {declared} bytes: copy or export it again")


def begins_like_video(path: Path) -> bool:
    """Whether a file's first bytes are those of a video container, whatever the rest of it is."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] in MOV_BOXES or head[:4] in (b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS") or head[8:] == b"AVI "
