"""Where a storage lies: a scheme and a root, and the paths of the names below it. Nothing is read or written here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Self

from pipeline.storage.clients import connect
from pipeline.storage.errors import StorageError
from pipeline.storage.paths import check_name, split_scheme


@dataclass(frozen=True)
class Location:
    """A local folder, or a prefix of a bucket. `open` makes it.

    Methods that take a name raise `StorageError` if it does not stay below the root; only `spelling` takes any text.
    """

    scheme: str  # "file", "s3" or "gs"
    root: str  # absolute local path, or bucket/prefix; without a slash at the end

    @classmethod
    def open(cls, url: str | os.PathLike[str]) -> Self:
        """Returns the storage at a path, `file://`, `s3://bucket/prefix` or `gs://bucket/prefix`; reads nothing yet.

        Raises:
            StorageError: the text is no such path or URL, or holds credentials.
        """
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
    def locate(cls, uri: str) -> tuple[Self, str]:
        """Returns the folder of a file's absolute path or URL, and the file's name in it.

        Raises:
            StorageError: the text names no file.
        """
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

    @property
    def client(self) -> Any:
        """This process's `pyarrow.fs` client of the bucket; a local folder has none."""
        return connect(self.scheme, self.root)

    def uri(self, name: str) -> str:
        """Returns the absolute local path, or the URL, of a name."""
        return f"{self.url.rstrip('/')}/{check_name(name)}"

    def path(self, name: str) -> str:
        """Returns the absolute local path of a name, or its bucket and key as `client` takes them."""
        return f"{self.root.rstrip('/')}/{check_name(name)}"

    def spelling(self, name: str) -> str:
        """Returns the name as this storage can hold it: in object stores, control characters become `%0A` and so on."""
        return name if self.local else re.sub(r"[\x00-\x1f\x7f]", lambda c: f"%{ord(c[0]):02X}", name)
