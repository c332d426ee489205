"""Listings of the files below a local folder or a prefix of a bucket."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.storage.errors import printable, translate_errors
from pipeline.storage.location import Location

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One file of a listing.

    Attributes:
        name: its path below the root of the storage.
        size: its size in bytes.
        modified: the time at which it was last written.
    """

    name: str
    size: int
    modified: datetime


def list_folder(location: Location, hidden: bool) -> Iterator[Entry]:
    """Yields the files below a local folder; nothing if there is no such folder.

    Folders that are symbolic links are not entered; a warning names them.

    Args:
        hidden: whether to enter folders whose names start with a dot.

    Raises:
        StorageError: a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    with translate_errors(location.url):
        for folder, folders, names in os.walk(location.root, onerror=fail):
            folders[:] = [f for f in folders if hidden or not f.startswith(".")]
            for linked in (f for f in folders if os.path.islink(os.path.join(folder, f))):
                where = printable(os.path.join(folder, linked))
                log.warning("%s is a linked folder and is not entered; name it as a source of its own", where)
            for name in names:
                yield from _local_entry(location.root, os.path.join(folder, name))


def list_bucket(location: Location, path: str, client: Any) -> Iterator[Entry]:
    """Returns the objects below a path, with names below the location's root; none if there is no such prefix.

    Args:
        location: the bucket, with or without a prefix.
        path: the bucket and a prefix: the location's root or a folder below it.
        client: the bucket's `pyarrow.fs` client.

    Raises:
        StorageError: the bucket cannot be listed.
    """
    from pyarrow.fs import FileSelector

    with translate_errors(location.url):
        try:
            found = client.get_file_info(FileSelector(path, recursive=True))
        except FileNotFoundError:  # a missing prefix; FileSelector's allow_not_found would hide a missing bucket too
            found = []
    skip = len(location.root) + 1
    return (Entry(info.path[skip:], info.size, info.mtime) for info in found if info.is_file)


def _local_entry(root: str, path: str) -> Iterator[Entry]:
    """Yields the entry of a path if it is a file or a link to one."""
    try:
        status = os.stat(path)
    except OSError:  # a broken link is listed; reading it says what is wrong
        try:
            status = os.lstat(path)
        except FileNotFoundError:  # renamed or deleted since its folder was read, as temporary files are all the time
            return
    if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
        yield Entry(os.path.relpath(path, root), status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
