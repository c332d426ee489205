"""Files on a local disk or in a bucket, behind one small object over `pyarrow.fs`.

A `Storage` is two strings, a scheme and a root (a folder, or a bucket with a prefix). It can be sent to other processes
as it is; each process opens its own connection. Names are relative paths below the root. They may hold anything that a
stranger's file name holds, and none of them can leave the root.

Writing is atomic: a file appears at its name whole or not at all. It is written under a temporary name, its size and
hash are verified, and then it is renamed. On a local disk the rename is one step and survives a power cut (`fsync`,
`os.replace`). In a bucket the server copies the temporary object, which is atomic for readers of the name, and then
the temporary object is deleted; a process killed between the two leaves a hidden temporary object beside a complete
file, never half a file. Only an object over 5 GiB, which S3 does not copy in one request, is uploaded to its own name;
if that upload fails, the object is removed again.

Credentials come from the environment alone (`ENVIRONMENT` lists the variables), and no message or repr shows them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypedDict

from pipeline.storage.clients import ENVIRONMENT, abort_uploads, connect
from pipeline.storage.errors import StorageError, printable, translate_errors
from pipeline.storage.listing import Entry, list_bucket, list_folder
from pipeline.storage.paths import check_name, is_hidden, is_temporary, problem_of_length, split_scheme, temporary_name
from pipeline.storage.retry import retry_transient

log = logging.getLogger(__name__)

__all__ = ["ENVIRONMENT", "Entry", "Output", "Staged", "Storage", "StorageError", "localize"]

WORK = ".diff-v2m"  # our own folder below a destination
CHUNK = 8 << 20  # bytes held in memory during a copy
COPY_LIMIT = 5 << 30  # bytes of the largest object that S3 copies on the server in one request
_NOTE = b"This folder belongs to diff-v2m: the record of what was scored, as Parquet files in `ledger`.\n"


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


@dataclass(frozen=True)
class Storage:
    """A local folder, or a prefix of a bucket. `Storage.open` makes it.

    Every method raises `StorageError`, one line that says what is wrong, where, and what to do. Before that, all
    methods but `check` repeat requests whose error is transient (`pipeline.storage.retry`).
    """

    scheme: str  # "file", "s3" or "gs"
    root: str  # absolute local path, or bucket/prefix; without a slash at the end

    @classmethod
    def open(cls, url: str | os.PathLike[str]) -> Storage:
        """Returns the storage at a path, `file://`, `s3://bucket/prefix` or `gs://bucket/prefix`; reads nothing yet."""
        text = os.fspath(url)
        scheme, rest = split_scheme(text)
        if scheme == "file":
            if not rest or "\0" in rest:
                raise StorageError("BadName", f"{text!r} is no folder's name: it is empty or holds a NUL character")
            return cls("file", os.path.abspath(os.path.expanduser(rest)))
        bucket, _, prefix = rest.partition("/")
        if "@" in bucket:
            raise StorageError("BadName", f"a {scheme}:// URL must hold no credentials: set them in the environment")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]", bucket):
            raise StorageError(
                "BadName", f"{text!r} names no bucket: write {scheme}://bucket or {scheme}://bucket/prefix"
            )
        prefix = prefix.strip("/")
        return cls(scheme, f"{bucket}/{check_name(prefix)}" if prefix else bucket)

    @classmethod
    def locate(cls, uri: str) -> tuple[Storage, str]:
        """Returns the folder of a file's absolute path or URL, and the file's name in it."""
        whole = cls.open(uri)
        parent, _, name = whole.root.rpartition("/")
        if not name or (not whole.local and not parent):
            raise StorageError("BadName", f"{uri!r} names no file")
        return cls(whole.scheme, parent or "/"), name

    @property
    def local(self) -> bool:
        """Whether it is a folder on a disk of this machine."""
        return self.scheme == "file"

    @property
    def url(self) -> str:
        """The path or URL as a person writes it."""
        return self.root if self.local else f"{self.scheme}://{self.root}"

    def uri(self, name: str) -> str:
        """Returns the absolute local path, or the URL, of a name."""
        return f"{self.url.rstrip('/')}/{check_name(name)}"

    def spelling(self, name: str) -> str:
        """Returns the name as this storage can hold it: in object stores, control characters become `%0A` and so on."""
        return name if self.local else re.sub(r"[\x00-\x1f\x7f]", lambda c: f"%{ord(c[0]):02X}", name)

    def obstacle(self, name: str) -> str | None:
        """Returns why a file cannot have this name here, as far as that shows before it is written; None if it can."""
        if problem := problem_of_length(self.root, name, local=self.local):
            return problem
        if not self.local:
            return None
        try:
            is_folder = stat.S_ISDIR(os.stat(self._path(name)).st_mode)
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
            self._list(f"{self.root}/{WORK}/check", connect(self.scheme, self.root, fail_fast=True))
        if write:
            self.write(f"{WORK}/README.txt", _NOTE)

    @retry_transient
    def files(self, *, hidden: bool = False) -> list[Entry]:
        """Returns all files below the root, sorted by name; an empty list where there is no such folder or prefix.

        Folders that are symbolic links are not entered; a warning names them. Temporary files are never listed.

        Args:
            hidden: whether to list names with a component that starts with a dot.
        """
        found = self._walk(hidden) if self.local else self._list(self.root, self._fs)
        wanted = (e for e in found if not is_temporary(e.name) and (hidden or not is_hidden(e.name)))
        return sorted(wanted, key=lambda e: e.name)

    @retry_transient
    def size(self, name: str) -> int | None:
        """Returns the size of a file in bytes, or None where there is no such file."""
        return self._size(name)

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return self.size(name) is not None

    @retry_transient
    def read(self, name: str) -> bytes:
        """Returns the whole content of a file."""
        with self._reader(name) as source:
            return bytes(source.read())

    @retry_transient
    def ranges(self, name: str, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """Returns the bytes of several (offset, length) ranges of one file, opened once; short where the file ends."""
        with self._reader(name) as source:
            blocks = []
            end = source.seek(0, os.SEEK_END)
            for offset, length in wanted:
                source.seek(min(offset, end))
                blocks.append(bytes(source.read(length)))
            return blocks

    def write(self, name: str, data: bytes) -> Output:
        """Writes a file atomically; an existing file of that name is replaced."""
        staged = self._stage_data(name, data)
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
        with translate_errors(str(path)):
            size = os.stat(path).st_size
        return self._stage(name, _read_chunks(Path(path)), size)

    @retry_transient
    def place(self, staged: Staged) -> Output:
        """Gives a staged file its name, atomically; an existing file of that name is replaced."""
        if not staged.direct:
            try:
                with translate_errors(self.uri(staged.name)):
                    self._rename(staged.temporary, staged.name)
            except StorageError:  # the answer to a request that succeeded may have been lost
                if self.local or self._size(staged.temporary) is not None or self._size(staged.name) != staged.size:
                    raise
        return Output(name=staged.name, path=self.uri(staged.name), size=staged.size, sha256=staged.sha256)

    @retry_transient
    def preserve(self, name: str) -> str | None:
        """Gives an existing file a second, temporary name, and returns that; None where there is no such file."""
        if self._size(name) is None:
            return None
        temporary = self._temporary_beside(name)
        with translate_errors(self.uri(name)):
            if not self.local:
                self._fs.copy_file(self._path(name), self._path(temporary))
                return temporary
            try:
                os.link(self._path(name), self._path(temporary))
            except OSError:  # not every file system has links
                shutil.copy2(self._path(name), self._path(temporary))
        return temporary

    @retry_transient
    def restore(self, temporary: str, name: str) -> None:
        """Gives a file that `preserve` kept its name again."""
        with translate_errors(self.uri(name)):
            self._rename(temporary, name)

    def discard(self, temporary: str) -> None:
        """Removes a temporary file, and a broken-off upload to it, as far as that is possible."""
        with suppress(StorageError):
            self._delete(temporary)
        if self.scheme == "s3":
            abort_uploads(self._path(temporary))

    @retry_transient
    def delete(self, name: str) -> None:
        """Removes a file; it is no error if there is none."""
        self._delete(name)

    @retry_transient
    def sweep(self) -> int:
        """Removes the temporary files that killed processes left, and returns their number.

        The caller must hold the run lock: the files of a process that still runs would be removed too.
        """
        found = self._walk(hidden=True) if self.local else self._list(f"{self.root}/{WORK}", self._fs)
        leftover = [entry.name for entry in found if is_temporary(entry.name)]
        for name in leftover:
            self._delete(name)
        if self.scheme == "s3" and (aborted := abort_uploads(f"{self.root}/{WORK}/")):
            log.info("%d uploads that were broken off are ended", aborted)
        return len(leftover)

    @contextmanager
    def localize(self, name: str) -> Iterator[Path]:
        """Gives a local path with the file's content: the file itself, or a copy that is removed afterwards."""
        if self.local:
            with self._reader(name):
                pass
            yield Path(self._path(name))
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

    @property
    def _fs(self) -> Any:
        return connect(self.scheme, self.root)

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{check_name(name)}"

    @contextmanager
    def _reader(self, name: str) -> Iterator[Any]:
        with translate_errors(self.uri(name)):
            if self.local:
                # Opening a pipe or a device could block forever, so the kind of the file is checked first.
                if not stat.S_ISREG(os.stat(self._path(name)).st_mode):
                    raise StorageError("NotAFile", f"{self.uri(name)}: not a regular file")
                source: Any = open(self._path(name), "rb")  # noqa: SIM115  closed below
            else:
                source = self._fs.open_input_file(self._path(name))
            with source:
                yield source

    @retry_transient
    def _download(self, name: str, copy: str) -> None:
        """Copies a file of the storage into the local file `copy`."""
        with translate_errors(copy):
            sink = open(copy, "wb")  # noqa: SIM115  closed below
        with sink, self._reader(name) as source:
            size = source.size()
            while chunk := _read(source, self.uri(name)):
                with translate_errors(copy):
                    sink.write(chunk)
            if sink.tell() != size:
                raise StorageError("CutShort", f"{self.uri(name)}: read {sink.tell()} of {size} bytes; try again")

    def _size(self, name: str) -> int | None:
        with translate_errors(self.uri(name)):
            if self.local:
                try:
                    status = os.stat(self._path(name))
                except (FileNotFoundError, NotADirectoryError):
                    return None
                return status.st_size if stat.S_ISREG(status.st_mode) else None
            info = self._fs.get_file_info(self._path(name))
            return int(info.size) if info.is_file else None

    def _delete(self, name: str) -> None:
        with translate_errors(self.uri(name)):
            if self.local:
                Path(self._path(name)).unlink(missing_ok=True)
            elif self._fs.get_file_info(self._path(name)).is_file:
                self._fs.delete_file(self._path(name))

    @retry_transient
    def _stage_data(self, name: str, data: bytes) -> Staged:
        return self._stage(name, iter((data,)), len(data))

    def _stage(self, name: str, chunks: Iterator[bytes], size: int) -> Staged:
        """Writes `size` bytes to a temporary name, verified."""
        check_name(name)
        if name != self.spelling(name):
            raise StorageError("BadName", f"{self.uri(name)!r}: object stores carry no control characters in a name")
        direct = not self.local and size > COPY_LIMIT  # one multipart upload, which is atomic by itself
        temporary = name if direct else self._temporary_beside(name)
        try:
            sha256 = self._upload(temporary, chunks)
            if (arrived := self._size(temporary)) != size:
                raise StorageError("CutShort", f"{self.uri(name)}: {arrived} of {size} bytes arrived; try again")
            if self._hash(temporary) != sha256:
                raise StorageError("Damaged", f"{self.uri(name)}: other bytes arrived than were sent; try again")
        except BaseException:
            self.discard(temporary)
            raise
        return Staged(name, temporary, size, sha256)

    def _temporary_beside(self, name: str) -> str:
        """Returns a new temporary name that can be renamed to a name.

        On a disk both must lie on one file system. In a bucket the client, when it deletes an object, marks the folder
        as existing with an empty object: all temporary objects share our own folder, so that no other folder gets such
        a mark.
        """
        return str((PurePosixPath(name).parent if self.local else PurePosixPath(WORK)) / temporary_name())

    def _upload(self, name: str, chunks: Iterator[bytes]) -> str:
        """Writes bytes to a name, not atomically, and returns their SHA-256 in hexadecimal."""
        sha256 = hashlib.sha256()
        with translate_errors(self.uri(name)):
            if self.local:
                os.makedirs(os.path.dirname(self._path(name)), exist_ok=True)
                sink: IO[bytes] = open(self._path(name), "wb")  # noqa: SIM115  closed below
            else:
                sink = self._fs.open_output_stream(self._path(name))
            with sink:
                for chunk in chunks:
                    sha256.update(chunk)
                    sink.write(chunk)
                if self.local:
                    sink.flush()
                    os.fsync(sink.fileno())
        return sha256.hexdigest()

    def _hash(self, name: str) -> str:
        """Returns the SHA-256 of a stored file, in hexadecimal."""
        sha256 = hashlib.sha256()
        with self._reader(name) as source:
            while chunk := _read(source, self.uri(name)):
                sha256.update(chunk)
        return sha256.hexdigest()

    def _rename(self, temporary: str, name: str) -> None:
        if not self.local:
            self._fs.move(self._path(temporary), self._path(name))
            return
        os.replace(self._path(temporary), self._path(name))
        folder = os.open(os.path.dirname(self._path(name)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _walk(self, hidden: bool) -> Iterator[Entry]:
        with translate_errors(self.url):
            yield from list_folder(self.root, hidden)

    def _list(self, path: str, client: Any) -> Iterator[Entry]:
        with translate_errors(self.url):
            return list_bucket(client, self.root, path)


@contextmanager
def localize(uri: str) -> Iterator[Path]:
    """Gives a local path with the content of a file's absolute path or URL; see `Storage.localize`."""
    storage, name = Storage.locate(uri)
    with storage.localize(name) as path:
        yield path


def _read_chunks(path: Path) -> Iterator[bytes]:
    with translate_errors(str(path)), open(path, "rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk


def _read(source: Any, where: str) -> bytes:
    with translate_errors(where):
        return bytes(source.read(CHUNK))
