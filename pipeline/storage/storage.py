"""Files on a local disk or in a bucket, behind one small object over `pyarrow.fs`.

A `Storage` is two strings, a scheme and a root (a folder, or a bucket and a prefix): it travels between processes as it
is, and each process opens its own connection. Names are relative paths below the root and may hold anything that a
stranger's file name holds; none of them can leave the root.

What is atomic: a file appears at its name whole or not at all. It is written under a temporary name, measured, and then
renamed. On a local disk the rename is one step and survives a power cut (`fsync`, `os.replace`). In a bucket the
temporary object is copied on the server, which is atomic for whoever reads the name, and then deleted; a process
killed between the two leaves a hidden temporary object beside a complete file, never half a file.
Only an object over 5 GiB, which S3 does not copy in one request, is uploaded to its own name; there a failed upload is
removed again instead.

Credentials come from the environment alone (`ENVIRONMENT` lists what is read), and no message or repr shows them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypedDict

from pipeline.storage.clients import ENVIRONMENT, abort_uploads, connect
from pipeline.storage.errors import StorageError, explained, printable
from pipeline.storage.paths import check_name, is_hidden, is_temporary, split_scheme, temporary_name
from pipeline.storage.retry import patient

log = logging.getLogger(__name__)

__all__ = ["ENVIRONMENT", "Entry", "Output", "Storage", "StorageError", "localize"]

WORK = ".diff-v2m"  # the product's own folder below a destination
CHUNK = 8 << 20  # bytes held in memory while copying
COPY_LIMIT = 5 << 30  # bytes; S3 copies no larger object on the server in one request
_NOTE = b"This folder belongs to diff-v2m: the record of what was scored, as Parquet files in `ledger`.\n"


class Output(TypedDict):
    """A delivered file, as the `OUTPUT` type of the contracts has it."""

    name: str  # below the destination
    path: str  # absolute local path, or URL
    size: int  # bytes
    sha256: str  # hexadecimal


@dataclass(frozen=True)
class Entry:
    """One file of a listing: its name below the root, its size in bytes, when it was last written."""

    name: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Storage:
    """A local folder, or a prefix of a bucket. Made by `Storage.open`.

    Every method raises `StorageError`, one line that says what is wrong, where, and what to do. All but `check` try
    again first where a bucket stumbles (`pipeline.storage.retry`).
    """

    scheme: str  # "file", "s3" or "gs"
    root: str  # absolute local path, or bucket/prefix, without a slash at the end

    @classmethod
    def open(cls, url: str | os.PathLike[str]) -> Storage:
        """The storage at a path, `file://`, `s3://bucket/prefix` or `gs://bucket/prefix`; nothing is touched yet."""
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
        """The folder that a file's absolute path or URL stands in, and the file's name there."""
        whole = cls.open(uri)
        parent, _, name = whole.root.rpartition("/")
        if not name or (not whole.local and not parent):
            raise StorageError("BadName", f"{uri!r} names no file")
        return cls(whole.scheme, parent or "/"), name

    @property
    def local(self) -> bool:
        return self.scheme == "file"

    @property
    def url(self) -> str:
        """How a person writes this place."""
        return self.root if self.local else f"{self.scheme}://{self.root}"

    def uri(self, name: str) -> str:
        """Absolute local path, or URL, of a name."""
        return f"{self.url.rstrip('/')}/{check_name(name)}"

    def spelling(self, name: str) -> str:
        """The name as this storage can hold it: object stores carry no control characters, so `\\n` becomes `%0A`."""
        return name if self.local else re.sub(r"[\x00-\x1f\x7f]", lambda c: f"%{ord(c[0]):02X}", name)

    def check(self, *, write: bool = False) -> None:
        """Reach the storage and fail within seconds if that cannot be; with `write`, leave a note in its own folder."""
        if self.local:
            if os.path.exists(self.root) and not os.path.isdir(self.root):
                raise StorageError("NotAFolder", f"{self.url} is a file; expected a folder")
            if not write and not os.path.isdir(self.root):
                raise StorageError("NotFound", f"{self.url}: no such folder")
        else:
            # A listing names the reason (no bucket, wrong key, wrong secret); a HEAD request answers without a body.
            self._list(f"{self.root}/{WORK}/check", connect(self.scheme, self.root, patient=False))
        if write:
            self.write(f"{WORK}/README.txt", _NOTE)

    @patient
    def files(self, *, hidden: bool = False) -> list[Entry]:
        """All files below the root, sorted by name; an empty list where there is no such folder or prefix.

        Folders that are symbolic links are not entered (a warning names them). Temporary files are never listed, names
        with a component that starts with a dot only when `hidden`.
        """
        found = self._walk(hidden) if self.local else self._list(self.root, self._fs)
        wanted = (e for e in found if not is_temporary(e.name) and (hidden or not is_hidden(e.name)))
        return sorted(wanted, key=lambda e: e.name)

    @patient
    def size(self, name: str) -> int | None:
        """Bytes of a file, or None where there is none."""
        return self._size(name)

    def exists(self, name: str) -> bool:
        return self.size(name) is not None

    @patient
    def read(self, name: str) -> bytes:
        """A whole file's bytes."""
        with self._reader(name) as source:
            return bytes(source.read())

    @patient
    def ranges(self, name: str, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of several (offset, length) ranges of one file, opened once; short where the file ends."""
        with self._reader(name) as source:
            blocks = []
            end = source.seek(0, os.SEEK_END)
            for offset, length in wanted:
                source.seek(min(offset, end))
                blocks.append(bytes(source.read(length)))
            return blocks

    @patient
    def write(self, name: str, data: bytes) -> Output:
        """Put bytes at a name, atomically; what stood there is replaced."""
        return self._put(name, iter((data,)), len(data))

    @patient
    def deliver(self, path: str | os.PathLike[str], name: str) -> Output:
        """Copy a local file to a name, atomically; it has its name only when its size and hash were read back."""
        with explained(str(path)):
            size = os.stat(path).st_size
        return self._put(name, _chunks_of(Path(path)), size)

    @patient
    def delete(self, name: str) -> None:
        """Remove a file; it is no error if there is none."""
        self._delete(name)

    @patient
    def sweep(self) -> int:
        """Remove the temporary files that killed processes left, and say how many; for who has the storage alone."""
        found = self._walk(hidden=True) if self.local else self._list(f"{self.root}/{WORK}", self._fs)
        left = [entry.name for entry in found if is_temporary(entry.name)]
        for name in left:
            self._delete(name)
        if self.scheme == "s3" and (broken := abort_uploads(f"{self.root}/{WORK}/")):
            log.info("%d uploads that were broken off are ended", broken)
        return len(left)

    @contextmanager
    def localize(self, name: str) -> Iterator[Path]:
        """A local path with the file's content: the file itself, or a copy that is removed afterwards."""
        if self.local:
            with self._reader(name):
                pass
            yield Path(self._path(name))
            return
        suffix = PurePosixPath(name).suffix
        suffix = suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", suffix) else ""
        with explained(tempfile.gettempdir()):
            handle, copy = tempfile.mkstemp(suffix, "diff-v2m-")
            os.close(handle)
        try:
            self._download(name, copy)
            yield Path(copy)
        finally:
            Path(copy).unlink(missing_ok=True)

    @property
    def _fs(self) -> Any:
        return connect(self.scheme, self.root, patient=True)

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{check_name(name)}"

    @contextmanager
    def _reader(self, name: str) -> Iterator[Any]:
        with explained(self.uri(name)):
            if self.local:
                # Opening a pipe or a device could wait for ever, so its kind is looked at first.
                if not stat.S_ISREG(os.stat(self._path(name)).st_mode):
                    raise StorageError("NotAFile", f"{self.uri(name)}: not a regular file")
                source: Any = open(self._path(name), "rb")  # noqa: SIM115  closed below
            else:
                source = self._fs.open_input_file(self._path(name))
            with source:
                yield source

    @patient
    def _download(self, name: str, copy: str) -> None:
        """Fill a local file with a file's content."""
        with explained(copy):
            sink = open(copy, "wb")  # noqa: SIM115  closed below
        with sink, self._reader(name) as source:
            size = source.size()
            while chunk := _read(source, self.uri(name)):
                with explained(copy):
                    sink.write(chunk)
            if sink.tell() != size:
                raise StorageError("CutShort", f"{self.uri(name)}: read {sink.tell()} of {size} bytes; try again")

    def _size(self, name: str) -> int | None:
        with explained(self.uri(name)):
            if self.local:
                try:
                    facts = os.stat(self._path(name))
                except (FileNotFoundError, NotADirectoryError):
                    return None
                return facts.st_size if stat.S_ISREG(facts.st_mode) else None
            info = self._fs.get_file_info(self._path(name))
            return int(info.size) if info.is_file else None

    def _delete(self, name: str) -> None:
        with explained(self.uri(name)):
            if self.local:
                Path(self._path(name)).unlink(missing_ok=True)
            elif self._fs.get_file_info(self._path(name)).is_file:
                self._fs.delete_file(self._path(name))

    def _put(self, name: str, chunks: Iterator[bytes], size: int) -> Output:
        check_name(name)
        if name != self.spelling(name):
            raise StorageError("BadName", f"{self.uri(name)!r}: object stores carry no control characters in a name")
        direct = not self.local and size > COPY_LIMIT  # one multipart upload, which is atomic by itself
        # A rename needs one file system. Where the client deletes an object it marks the folder as existing with an
        # empty object: in a bucket all temporary ones share our own folder, so no other gets such a mark.
        folder = PurePosixPath(name).parent if self.local else PurePosixPath(WORK)
        temporary = name if direct else str(folder / temporary_name())
        try:
            sha256 = self._upload(temporary, chunks)
            if (landed := self._size(temporary)) != size:
                raise StorageError("CutShort", f"{self.uri(name)}: {landed} of {size} bytes arrived; try again")
            if self._hash(temporary) != sha256:
                raise StorageError("Damaged", f"{self.uri(name)}: other bytes arrived than were sent; try again")
            if not direct:
                with explained(self.uri(name)):
                    self._rename(temporary, name)
        except BaseException:
            with suppress(StorageError):
                self._delete(temporary)
            if self.scheme == "s3":
                abort_uploads(self._path(temporary))
            raise
        return Output(name=name, path=self.uri(name), size=size, sha256=sha256)

    def _upload(self, name: str, chunks: Iterator[bytes]) -> str:
        sha256 = hashlib.sha256()
        with explained(self.uri(name)):
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
        """Hexadecimal SHA-256 of what lies at a name."""
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
        def fail(fault: OSError) -> None:
            if not isinstance(fault, FileNotFoundError):
                raise fault

        with explained(self.url):
            for folder, folders, names in os.walk(self.root, onerror=fail):
                folders[:] = [f for f in folders if hidden or not f.startswith(".")]
                for linked in (f for f in folders if os.path.islink(os.path.join(folder, f))):
                    where = printable(os.path.join(folder, linked))
                    log.warning("%s is a linked folder and is not entered; name it as a source of its own", where)
                for name in names:
                    yield from _local_entry(self.root, os.path.join(folder, name))

    def _list(self, path: str, client: Any) -> Iterator[Entry]:
        from pyarrow.fs import FileSelector

        with explained(self.url):
            try:
                found = client.get_file_info(FileSelector(path, recursive=True))
            except FileNotFoundError:  # no such prefix; to allow that up front would allow a missing bucket too
                found = []
        skip = len(self.root) + 1
        return (Entry(i.path[skip:], i.size, i.mtime) for i in found if i.is_file)


@contextmanager
def localize(uri: str) -> Iterator[Path]:
    """A local path with the content of an absolute path or URL, as `Storage.localize`."""
    storage, name = Storage.locate(uri)
    with storage.localize(name) as path:
        yield path


def _local_entry(root: str, path: str) -> Iterator[Entry]:
    try:
        facts = os.stat(path)
    except OSError:  # a broken link is listed, and reading it says what is wrong
        try:
            facts = os.lstat(path)
        except FileNotFoundError:  # renamed or deleted since its folder was read, as temporary files are all the time
            return
    if stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode):
        yield Entry(os.path.relpath(path, root), facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))


def _chunks_of(path: Path) -> Iterator[bytes]:
    with explained(str(path)), open(path, "rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk


def _read(source: Any, where: str) -> bytes:
    with explained(where):
        return bytes(source.read(CHUNK))
