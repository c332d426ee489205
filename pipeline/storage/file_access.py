"""Access to one file of a storage: what a local disk and a bucket do in different ways. Each operation is tried once.

Every function raises `StorageError`. Names are relative paths below the root of the location.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.storage.errors import StorageError, translate_errors
from pipeline.storage.location import Location

CHUNK = 8 << 20
"""Bytes held in memory during a copy."""


@contextmanager
def open_file(location: Location, name: str) -> Iterator[Any]:
    """Opens a stored file for reading, as a seekable binary file."""
    with translate_errors(location.uri(name)):
        if location.local:
            # Opening a pipe or a device could block forever, so the kind of the file is checked first.
            if not stat.S_ISREG(os.stat(location.path(name)).st_mode):
                raise StorageError("NotAFile", f"{location.uri(name)}: not a regular file")
            source: Any = open(location.path(name), "rb")  # noqa: SIM115  closed below
        else:
            source = location.client.open_input_file(location.path(name))
        with source:
            yield source


def download(location: Location, name: str, copy: str) -> None:
    """Copies a file of a bucket into the local file `copy`."""
    with translate_errors(copy):
        sink = open(copy, "wb")  # noqa: SIM115  closed below
    with sink, open_file(location, name) as source:
        size = source.size()
        while chunk := _read(source, location.uri(name)):
            with translate_errors(copy):
                sink.write(chunk)
        if sink.tell() != size:
            raise StorageError("CutShort", f"{location.uri(name)}: read {sink.tell()} of {size} bytes; try again")


def size_of(location: Location, name: str) -> int | None:
    """Returns the size of a file in bytes, or None where there is no such file."""
    with translate_errors(location.uri(name)):
        if location.local:
            try:
                status = os.stat(location.path(name))
            except (FileNotFoundError, NotADirectoryError):
                return None
            return status.st_size if stat.S_ISREG(status.st_mode) else None
        info = location.client.get_file_info(location.path(name))
        return int(info.size) if info.is_file else None


def hash_of(location: Location, name: str) -> str:
    """Returns the SHA-256 of a stored file, in hexadecimal."""
    sha256 = hashlib.sha256()
    with open_file(location, name) as source:
        while chunk := _read(source, location.uri(name)):
            sha256.update(chunk)
    return sha256.hexdigest()


def upload(location: Location, name: str, chunks: Iterable[bytes]) -> str:
    """Writes bytes to a name, not atomically, and returns their SHA-256 in hexadecimal."""
    sha256 = hashlib.sha256()
    with translate_errors(location.uri(name)):
        if location.local:
            os.makedirs(os.path.dirname(location.path(name)), exist_ok=True)
            sink: IO[bytes] = open(location.path(name), "wb")  # noqa: SIM115  closed below
        else:
            sink = location.client.open_output_stream(location.path(name))
        with sink:
            for chunk in chunks:
                sha256.update(chunk)
                sink.write(chunk)
            if location.local:
                sink.flush()
                os.fsync(sink.fileno())
    return sha256.hexdigest()


def rename(location: Location, name: str, new: str) -> None:
    """Gives a file another name, at which an existing file is replaced; on a disk the change survives a power cut."""
    with translate_errors(location.uri(new)):
        if not location.local:
            location.client.move(location.path(name), location.path(new))
            return
        os.replace(location.path(name), location.path(new))
        folder = os.open(os.path.dirname(location.path(new)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def duplicate(location: Location, name: str, second: str) -> None:
    """Gives a file a second name, with a copy only where there are no links."""
    with translate_errors(location.uri(name)):
        if not location.local:
            location.client.copy_file(location.path(name), location.path(second))
            return
        try:
            os.link(location.path(name), location.path(second))
        except OSError:  # not every file system has links
            shutil.copy2(location.path(name), location.path(second))


def delete(location: Location, name: str) -> None:
    """Removes a file; it is no error if there is none."""
    with translate_errors(location.uri(name)):
        if location.local:
            Path(location.path(name)).unlink(missing_ok=True)
        elif location.client.get_file_info(location.path(name)).is_file:
            location.client.delete_file(location.path(name))


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yields the content of a local file, at most `CHUNK` bytes at a time."""
    with translate_errors(str(path)), open(path, "rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk


def _read(source: Any, where: str) -> bytes:
    with translate_errors(where):
        return bytes(source.read(CHUNK))
