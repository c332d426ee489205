"""Names of files below a storage's root, as strangers give them: none leaves the root."""

from __future__ import annotations

import re
import uuid
from urllib.parse import unquote, urlsplit

from pipeline.storage.errors import StorageError

SCHEMES = ("s3", "gs", "file")
_TEMPORARY = re.compile(r"\.diff-v2m-[0-9a-f]{32}\.tmp")


def check_name(name: str) -> str:
    """Give back a name that stays below the root.

    Raises:
        StorageError: it is empty or absolute, has an empty, `.` or `..` component, holds a NUL, or is not Unicode text.
    """
    if not name or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise StorageError("BadName", f"{name!r} is no name below a folder: no empty part, '.', '..' or NUL is allowed")
    if not _is_text(name):
        raise StorageError("BadName", f"{name!a}: the name is not valid UTF-8; rename the file")
    return name


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_hidden(name: str) -> bool:
    """Whether any component of a name starts with a dot."""
    return any(part.startswith(".") for part in name.split("/"))


def temporary_name() -> str:
    """One of its own for a file that is being written."""
    return f".diff-v2m-{uuid.uuid4().hex}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a name is one under which a file is written before it gets its own."""
    return _TEMPORARY.fullmatch(name.rpartition("/")[2]) is not None


def split_scheme(text: str) -> tuple[str, str]:
    """The scheme of a URL or path, and what it names there.

    Raises:
        StorageError: no storage has this scheme.
    """
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if not found:
        return "file", text
    scheme = found[1].lower()
    if scheme not in SCHEMES:
        known = ", ".join(f"{s}://" for s in SCHEMES)
        raise StorageError("BadName", f"{scheme}:// is not supported: use a path or one of {known}")
    # A file URL is percent-encoded; an object's key is taken as it is written.
    return scheme, unquote(urlsplit(text).path) if scheme == "file" else text[found.end() :]
