"""Files on a local disk or in a bucket, behind one small object over `pyarrow.fs`.

A `Storage` is two strings, a scheme and a root (a folder, or a bucket with a prefix). It can be sent to other processes
as it is; each process opens its own connection. Names are relative paths below the root. They may hold anything that a
stranger's file name holds, and none of them can leave the root. Writing is atomic (`pipeline.storage.staging`).

Credentials come from the environment alone (`ENVIRONMENT` lists the variables), and no message or repr shows them.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.storage import file_access, staging
from pipeline.storage.clients import ENVIRONMENT, connect
from pipeline.storage.errors import StorageError, printable, translate_errors
from pipeline.storage.listing import Entry, list_bucket, list_folder
from pipeline.storage.location import Location
from pipeline.storage.paths import WORK, is_hidden, is_temporary, problem_of_length
from pipeline.storage.retry import retry_transient
from pipeline.storage.staging import Output, Staged

__all__ = ["ENVIRONMENT", "WORK", "Entry", "Output", "Staged", "Storage", "StorageError", "localize"]

_NOTE = b"This folder belongs to diff-v2m: the record of what was scored, as Parquet files in `ledger`.\n"


@dataclass(frozen=True)
class Storage(Location):
    """A local folder, or a prefix of a bucket. `Storage.open` makes it.

    Every method raises `StorageError`, one line that says what is wrong, where, and what to do. Before that, all
    methods but `check` repeat requests whose error is transient (`pipeline.storage.retry`).
    """

    def obstacle(self, name: str) -> str | None:
        """Returns why a file cannot have this name here, as far as that shows before it is written; None if it can."""
        if problem := problem_of_length(self.root, name, local=self.local):
            return problem
        if not self.local:
            return None
        try:
            is_folder = stat.S_ISDIR(os.stat(self.path(name)).st_mode)
        except NotADirectoryError:
            return f"a part of the path of {printable(name)} is a file"
        except (OSError, StorageError):
            return None
        return f"a folder stands where {printable(name)} is to be written" if is_folder else None

    def check(self, *, write: bool = False) -> None:
        """Checks that the storage can be reached, and fails within seconds if not.

        Args:
            write: whether to check writing too, which leaves a note in our own folder.
        """
        if self.local:
            if os.path.exists(self.root) and not os.path.isdir(self.root):
                raise StorageError("NotAFolder", f"{self.url} is a file; expected a folder")
            if not write and not os.path.isdir(self.root):
                raise StorageError("NotFound", f"{self.url}: no such folder")
        else:
            # A listing names the reason (no bucket, wrong key, wrong secret); the answer to a HEAD request has no body.
            list_bucket(self, f"{self.root}/{WORK}/check", connect(self.scheme, self.root, fail_fast=True))
        if write:
            self.write(f"{WORK}/README.txt", _NOTE)

    @retry_transient
    def files(self, *, hidden: bool = False) -> list[Entry]:
        """Returns all files below the root, sorted by name; an empty list where there is no such folder or prefix.

        Folders that are symbolic links are not entered; a warning names them. Temporary files are never listed.

        Args:
            hidden: whether to list names with a component that starts with a dot.
        """
        found = list_folder(self, hidden) if self.local else list_bucket(self, self.root, self.client)
        wanted = (e for e in found if not is_temporary(e.name) and (hidden or not is_hidden(e.name)))
        return sorted(wanted, key=lambda e: e.name)

    @retry_transient
    def size(self, name: str) -> int | None:
        """Returns the size of a file in bytes, or None where there is no such file."""
        return file_access.size_of(self, name)

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return self.size(name) is not None

    @retry_transient
    def read(self, name: str) -> bytes:
        """Returns the whole content of a file."""
        with file_access.open_file(self, name) as source:
            return bytes(source.read())

    @retry_transient
    def ranges(self, name: str, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """Returns the bytes of several (offset, length) ranges of one file, opened once; short where the file ends."""
        with file_access.open_file(self, name) as source:
            blocks = []
            end = source.seek(0, os.SEEK_END)
            for offset, length in wanted:
                source.seek(min(offset, end))
                blocks.append(bytes(source.read(length)))
            return blocks

    @contextmanager
    def localize(self, name: str) -> Iterator[Path]:
        """Gives a local path with the file's content: the file itself, or a copy that is removed afterwards."""
        if self.local:
            with file_access.open_file(self, name):
                pass
            yield Path(self.path(name))
            return
        suffix = PurePosixPath(name).suffix
        suffix = suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", suffix) else ""
        with translate_errors(tempfile.gettempdir()):
            handle, copy = tempfile.mkstemp(suffix, "diff-v2m-")
            os.close(handle)
        try:
            self._download(name, copy)
            yield Path(copy)
        finally:
            Path(copy).unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> Output:
        """Writes a file atomically; an existing file of that name is replaced."""
        staged = self._stage_bytes(name, data)
        try:
            return self.place(staged)
        except BaseException:
            self.discard(staged.temporary)
            raise

    @retry_transient
    def stage(self, path: str | os.PathLike[str], name: str) -> Staged:
        """Copies a local file to a temporary name, from which `place` takes it; size and hash were read back.

        An object that is too large to be copied within its bucket is uploaded to its name at once.
        """
        return staging.stage_file(self, path, name)

    @retry_transient
    def place(self, staged: Staged) -> Output:
        """Gives a staged file its name, atomically; an existing file of that name is replaced."""
        return staging.place(self, staged)

    @retry_transient
    def preserve(self, name: str) -> str | None:
        """Gives an existing file a second, temporary name, and returns that; None where there is no such file."""
        return staging.preserve(self, name)

    @retry_transient
    def restore(self, temporary: str, name: str) -> None:
        """Gives a file that `preserve` kept its name again."""
        file_access.rename(self, temporary, name)

    def discard(self, temporary: str) -> None:
        """Removes a temporary file, and a broken-off upload to it, as far as that is possible."""
        staging.discard(self, temporary)

    @retry_transient
    def delete(self, name: str) -> None:
        """Removes a file; it is no error if there is none."""
        file_access.delete(self, name)

    @retry_transient
    def sweep(self) -> int:
        """Removes the temporary files that killed processes left, and returns their number.

        The caller must hold the run lock: the files of a process that still runs would be removed too.
        """
        return staging.sweep(self)

    @retry_transient
    def _download(self, name: str, copy: str) -> None:
        file_access.download(self, name, copy)

    @retry_transient
    def _stage_bytes(self, name: str, data: bytes) -> Staged:
        return staging.stage_bytes(self, name, data)


@contextmanager
def localize(uri: str) -> Iterator[Path]:
    """Gives a local path with the content of a file's absolute path or URL; see `Storage.localize`."""
    storage, name = Storage.locate(uri)
    with storage.localize(name) as path:
        yield path
