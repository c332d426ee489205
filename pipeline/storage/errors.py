"""Errors of storages: each is one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import UserError
from stages.error_kinds import is_retryable

_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_KEYS_NEEDED = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) in the environment"

# Pattern in the text of an object store or its client library, the kind of error it means, and the reason to show.
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


class StorageError(UserError):
    """A storage failed to do what was asked. The message is one line with the place, the reason and what to do.

    `kind` is a stable word, one of the table in `stages.error_kinds`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(" ".join(message.split()))
        self.kind = kind

    def __reduce__(self) -> tuple[type[StorageError], tuple[str, str]]:
        return type(self), (self.kind, str(self))

    @property
    def transient(self) -> bool:
        """Whether trying again may help."""
        return is_retryable(self.kind)


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turns errors of the operating system or the client library inside the block into a `StorageError`.

    The original exception is not chained: a server's answer may repeat what it was sent, credentials included.

    Args:
        where: the path or URL that the message names.
    """
    try:
        yield
    except StorageError:
        raise
    except (OSError, UnicodeError, ValueError) as error:
        kind, reason = _kind_and_reason(error)
        raise StorageError(kind, f"{printable(where)}: {reason}") from None


def printable(text: str) -> str:
    """Returns text on one line: as it is, or as an ASCII literal if it holds control characters or lone surrogates."""
    return text if text.isprintable() else ascii(text)


def _kind_and_reason(error: Exception) -> tuple[str, str]:
    if isinstance(error, UnicodeError):
        return "BadName", "the name is not valid UTF-8; rename the file"
    text = str(error)
    if isinstance(error, OSError) and error.errno in _LOCAL:
        return _LOCAL[error.errno]
    for pattern, kind, reason in _REMOTE:
        if re.search(pattern, text):
            # Some servers answer an unsigned request with a refusal, others with an error of their own.
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
    return "Failed", " ".join(text.split())[:300] or type(error).__name__


def _has_credentials() -> bool:
    """Whether the environment or a configuration file offers credentials for S3."""
    files = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config")
    names = ("AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if any(os.environ.get(name) for name in (*names, "AWS_WEB_IDENTITY_TOKEN_FILE")):
        return True
    return any(os.path.exists(os.path.expanduser(os.environ.get(name) or path)) for name, path in files)
