"""What can be wrong with a storage, in one line that a person can act on."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_KEYS_NEEDED = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) in the environment"
_TRANSIENT = {"Unreachable", "Unavailable", "CutShort", "Damaged"}

# What object stores and their client library say, and what it means.
_REMOTE: tuple[tuple[str, str, str], ...] = (
    ("NO_SUCH_BUCKET|NoSuchBucket", "NoBucket", "there is no such bucket; correct the name or create it first"),
    (
        "INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_SIGNATURE|UNRECOGNIZED_CLIENT|INVALID_CLIENT_TOKEN|"
        "MISSING_AUTHENTICATION_TOKEN|EXPIRED_TOKEN|ExpiredToken|InvalidToken|UNAUTHENTICATED|HTTP status 401",
        "Credentials",
        "the credentials in the environment are wrong or have expired",
    ),
    (
        "ACCESS_DENIED|PERMISSION_DENIED|HTTP status 403",
        "AccessDenied",
        "access denied; check that the credentials in the environment are right and may read and write here",
    ),
    ("NETWORK_CONNECTION|curlCode", "Unreachable", "the storage cannot be reached; check the network and the endpoint"),
    (
        "SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT|UNAVAILABLE|HTTP status (5..|429)",
        "Unavailable",
        "the storage is overloaded or failing; try again later",
    ),
    ("RESOURCE_NOT_FOUND|NO_SUCH_KEY|NOT_FOUND|NoSuchKey", "NotFound", "no such file"),
    ("STORAGE_FULL|QuotaExceeded|XMinioStorageFull|HTTP status 507", "DiskFull", "the bucket is full"),
)
_LOCAL = {
    errno.ENOSPC: ("DiskFull", "the disk is full; free some space or choose another folder"),
    errno.EDQUOT: ("DiskFull", "the disk quota is used up; free some space or choose another folder"),
    errno.EACCES: ("AccessDenied", "permission denied; check the rights on the file and its folder"),
    errno.EPERM: ("AccessDenied", "permission denied; check the rights on the file and its folder"),
    errno.EROFS: ("AccessDenied", "the disk is read-only; choose another folder"),
    errno.ENOENT: ("NotFound", "no such file or folder"),
    errno.ENOTDIR: ("NotFound", "a part of the path is a file, not a folder"),
    errno.EEXIST: ("NotAFile", "a file stands where a folder is needed"),
    errno.EISDIR: ("NotAFile", "a folder stands where a file is needed"),
    errno.ENAMETOOLONG: ("BadName", "the name is too long for this disk"),
    errno.ELOOP: ("NotFound", "symbolic links that lead in a circle"),
}


class StorageError(Exception):
    """A storage does not do what was asked: one line with the place, the reason and what to do.

    `kind` is a stable word: BadName, NotFound, NotAFile, NoBucket, Credentials, AccessDenied, DiskFull, CutShort,
    Unreachable, Unavailable or Failed. `transient` says whether trying again may help.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(" ".join(message.split()))
        self.kind = kind

    def __reduce__(self) -> tuple[type[StorageError], tuple[str, str]]:
        return type(self), (self.kind, str(self))

    @property
    def transient(self) -> bool:
        return self.kind in _TRANSIENT


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what the system or the client library raises inside into a `StorageError` about `where`.

    The cause is cut off: a server may repeat in its answer what it was sent.
    """
    try:
        yield
    except StorageError:
        raise
    except (OSError, UnicodeError, ValueError) as fault:
        kind, reason = _meaning(fault)
        raise StorageError(kind, f"{printable(where)}: {reason}") from None


def printable(text: str) -> str:
    """Text on one line, quoted where it holds a control character or is no Unicode text."""
    return text if text.isprintable() else ascii(text)


def _meaning(fault: Exception) -> tuple[str, str]:
    if isinstance(fault, UnicodeError):
        return "BadName", "the name is not valid UTF-8; rename the file"
    text = str(fault)
    if isinstance(fault, OSError) and fault.errno in _LOCAL:
        return _LOCAL[fault.errno]
    for pattern, kind, reason in _REMOTE:
        if re.search(pattern, text):
            # Some servers answer an unsigned request with a refusal, others with a fault of their own.
            if (
                kind in ("Credentials", "AccessDenied", "Unavailable")
                and "AWS Error" in text
                and not _has_credentials()
            ):
                return "Credentials", f"no credentials found; {_KEYS_NEEDED}"
            return kind, reason
    for name in _SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return "Failed", " ".join(text.split())[:300] or type(fault).__name__


def _has_credentials() -> bool:
    files = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config")
    names = ("AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if any(os.environ.get(name) for name in (*names, "AWS_WEB_IDENTITY_TOKEN_FILE")):
        return True
    return any(os.path.exists(os.path.expanduser(os.environ.get(name) or path)) for name, path in files)
