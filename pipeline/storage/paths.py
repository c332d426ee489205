"""Checks of names and URLs that strangers give: no name may leave the root of its storage."""

from __future__ import annotations

import re
import uuid
from urllib.parse import unquote, urlsplit

from pipeline.storage.errors import StorageError

WORK = ".diff-v2m"
"""Our own folder below a destination."""
SCHEMES = ("s3", "gs", "file")
MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4095
"""Longest name of a file on a local disk, and longest path."""
MAX_KEY_BYTES = 1024
"""Longest key of an object in a bucket."""
_TEMPORARY = re.compile(r"\.diff-v2m-[0-9a-f]{32}\.tmp")


def check_name(name: str) -> str:
    """Returns a name unchanged if it stays below the root.

    Raises:
        StorageError: the name is empty or absolute, has an empty, `.` or `..` component, holds a NUL, or is not valid
            Unicode text.
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


def problem_of_length(root: str, name: str, *, local: bool) -> str | None:
    """Returns why a storage cannot hold a name because of its length, or None if it can.

    Args:
        root: the storage's folder, or its bucket with a prefix.
        name: a path below it.
        local: whether it is a folder.
    """
    path = f"{root}/{name}" if local else f"{root}/{name}".partition("/")[2]
    sizes = [(name, path, MAX_PATH_BYTES if local else MAX_KEY_BYTES)]
    if local:
        sizes += [(part, part, MAX_NAME_BYTES) for part in name.split("/")]
    for shown, whole, most in sizes:
        if (size := len(whole.encode("utf-8", "surrogateescape"))) > most:
            return f"the result's name {shown[:40]}... has {size} bytes, at most {most} fit"
    return None


def is_hidden(name: str) -> bool:
    """Whether any component of a name starts with a dot."""
    return any(part.startswith(".") for part in name.split("/"))


def temporary_name() -> str:
    """Returns a new, unique name for a file that is being written."""
    return f".diff-v2m-{uuid.uuid4().hex}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a name was made by `temporary_name`, in any folder."""
    return _TEMPORARY.fullmatch(name.rpartition("/")[2]) is not None


def split_scheme(text: str) -> tuple[str, str]:
    """Splits a URL or path into its scheme and the rest: a path, or a bucket with a prefix.

    Raises:
        StorageError: the scheme is not one of `SCHEMES`.
    """
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if not found:
        return "file", text
    scheme = found[1].lower()
    if scheme not in SCHEMES:
        known = ", ".join(f"{s}://" for s in SCHEMES)
        raise StorageError("BadName", f"{scheme}:// is not supported: use a path or one of {known}")
    # A file URL is percent-encoded; the key of an object is taken literally.
    return scheme, unquote(urlsplit(text).path) if scheme == "file" else text[found.end() :]
