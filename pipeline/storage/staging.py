"""Atomic writing: a file appears at its name whole or not at all.

It is written under a temporary name, its size and hash are verified, and then it is renamed. On a local disk the rename
is one step and survives a power cut (`fsync`, `os.replace`). In a bucket the server copies the temporary object, which
is atomic for readers of the name, and then the temporary object is deleted; a process killed between the two leaves a
hidden temporary object beside a complete file, never half a file. Only an object over 5 GiB, which S3 does not copy in
one request, is uploaded to its own name; if that upload fails, the object is removed again.

Every function but `discard` raises `StorageError`, and each is tried once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypedDict

from pipeline.storage.clients import abort_uploads
from pipeline.storage.errors import StorageError, translate_errors
from pipeline.storage.file_access import delete, duplicate, hash_of, read_chunks, rename, size_of, upload
from pipeline.storage.listing import list_bucket, list_folder
from pipeline.storage.location import Location
from pipeline.storage.paths import WORK, check_name, is_temporary, temporary_name

log = logging.getLogger(__name__)

COPY_LIMIT = 5 << 30
"""Bytes of the largest object that S3 copies on the server in one request."""


class Output(TypedDict):
    """A delivered file: a value of the type `OUTPUT` of `stages.contracts`."""

    name: str  # path below the destination
    path: str  # absolute local path, or URL
    size: int  # bytes
    sha256: str  # in hexadecimal


@dataclass(frozen=True)
class Staged:
    """A file that is written but not at its name yet.

    Attributes:
        name: its name in the end.
        temporary: its name until then.
        size: its size in bytes.
        sha256: its hash, in hexadecimal.
    """

    name: str
    temporary: str
    size: int
    sha256: str

    @property
    def direct(self) -> bool:
        """Whether it is at its name already."""
        return self.temporary == self.name


def stage_file(location: Location, path: str | os.PathLike[str], name: str) -> Staged:
    """Copies a local file to a temporary name, or to its own if it is too large to be copied within its bucket."""
    with translate_errors(str(path)):
        size = os.stat(path).st_size
    return _stage(location, name, read_chunks(Path(path)), size)


def stage_bytes(location: Location, name: str, data: bytes) -> Staged:
    """Writes bytes to a temporary name, or to their own if they are too many to be copied within their bucket."""
    return _stage(location, name, (data,), len(data))


def place(location: Location, staged: Staged) -> Output:
    """Gives a staged file its name, atomically; an existing file of that name is replaced."""
    name = staged.name
    if not staged.direct:
        try:
            rename(location, staged.temporary, name)
        except StorageError:  # the answer to a request that succeeded may have been lost
            gone = not location.local and size_of(location, staged.temporary) is None
            if not gone or size_of(location, name) != staged.size:
                raise
    return Output(name=name, path=location.uri(name), size=staged.size, sha256=staged.sha256)


def preserve(location: Location, name: str) -> str | None:
    """Gives an existing file a second, temporary name, and returns that; None where there is no such file."""
    if size_of(location, name) is None:
        return None
    temporary = _temporary_beside(location, name)
    duplicate(location, name, temporary)
    return temporary


def discard(location: Location, temporary: str) -> None:
    """Removes a temporary file, and a broken-off upload to it, as far as that is possible."""
    with suppress(StorageError):
        delete(location, temporary)
    if location.scheme == "s3":
        abort_uploads(location.path(temporary))


def sweep(location: Location) -> int:
    """Removes all temporary files and broken-off uploads, and returns the number of the files."""
    if location.local:
        found = list_folder(location, hidden=True)
    else:
        found = list_bucket(location, f"{location.root}/{WORK}", location.client)
    leftover = [entry.name for entry in found if is_temporary(entry.name)]
    for name in leftover:
        delete(location, name)
    if location.scheme == "s3" and (aborted := abort_uploads(f"{location.root}/{WORK}/")):
        log.info("%d uploads that were broken off are ended", aborted)
    return len(leftover)


def _stage(location: Location, name: str, chunks: Iterable[bytes], size: int) -> Staged:
    """Writes `size` bytes to a temporary name, verified."""
    check_name(name)
    if name != location.spelling(name):
        raise StorageError("BadName", f"{location.uri(name)!r}: object stores carry no control characters in a name")
    direct = not location.local and size > COPY_LIMIT  # one multipart upload, which is atomic by itself
    temporary = name if direct else _temporary_beside(location, name)
    try:
        sha256 = upload(location, temporary, chunks)
        if (arrived := size_of(location, temporary)) != size:
            raise StorageError("CutShort", f"{location.uri(name)}: {arrived} of {size} bytes arrived; try again")
        if hash_of(location, temporary) != sha256:
            raise StorageError("Damaged", f"{location.uri(name)}: other bytes arrived than were sent; try again")
    except BaseException:
        discard(location, temporary)
        raise
    return Staged(name, temporary, size, sha256)


def _temporary_beside(location: Location, name: str) -> str:
    """Returns a new temporary name that can be renamed to a name.

    On a disk both must lie on one file system. In a bucket the client, when it deletes an object, marks the folder as
    existing with an empty object: all temporary objects share our own folder, so that no other folder gets such a mark.
    """
    return str((PurePosixPath(name).parent if location.local else PurePosixPath(WORK)) / temporary_name())
