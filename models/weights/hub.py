"""Downloading released weights from the Hugging Face hub into a folder that `load_model` opens.

Each file is downloaded straight into the folder as `NAME.KEY.part`, so an interrupted download is resumed, in this call
or the next, and nothing lies on the disk twice. The file gets its name once its size is right, and its hash where the
hub declares one. `HF_ENDPOINT` and `HF_TOKEN` are used; the token never appears in messages or files.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError

log = logging.getLogger(__name__)

DEFAULT_ENDPOINT = "https://huggingface.co"
RECORD = "hub.json"
"""File of the folder that records where the others came from."""
MAX_ATTEMPTS = 4
"""How many connections may break before a call gives up."""
TIMEOUT = 20.0
"""Seconds without an answer after which a connection counts as broken."""

DownloadCallback = Callable[[str, int, int], None]
"""Receives the name of a file, how many of its bytes are there, and how many it has in all."""


class HubError(UserError):
    """Raised when a file cannot be downloaded; the message is one line that says which, why and what to do."""


class _ConnectionBrokenError(HubError):
    """Raised when the connection broke; the bytes that arrived are kept."""


@dataclass(frozen=True)
class HubFile:
    """A file of a hub repository, and the name that it gets in the folder."""

    repo: str
    path: str
    name: str
    revision: str = "main"


RELEASES: dict[str, tuple[HubFile, ...]] = {
    "diff-v2m": (
        HubFile("TaylorJi/Diff-V2M", "model_config_odf.json", "model_config.json"),
        HubFile("TaylorJi/Diff-V2M", "model_odf.ckpt", "model.ckpt"),
        # OpenAI's ViT-B/32 in open_clip's format: it makes the image features that the release was trained on.
        HubFile("timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors", "clip.safetensors"),
    ),
}


@dataclass(frozen=True)
class License:
    """The license that the model card of a repository declares.

    Attributes:
        repo: the repository.
        name: name of the license; None if the card declares none.
        link: address of its text, if the card gives one.
    """

    repo: str
    name: str | None
    link: str | None = None

    def __str__(self) -> str:
        if self.name:
            return f"{self.repo}: licence {self.name}" + (f" ({self.link})" if self.link else "")
        return (
            f"{self.repo}: its model card declares no licence. Without one nothing is permitted: ask its authors "
            "before you use, share or sell these weights or what they make"
        )


@dataclass(frozen=True)
class FetchedFile:
    """A file in the folder, and where it came from.

    Attributes:
        name: name of the file in the folder.
        repo, path, commit: where it lies at the hub.
        etag: identity of its content; the SHA-256 of the content where the hub keeps it as a large file.
        size: bytes of the file.
    """

    name: str
    repo: str
    path: str
    commit: str
    etag: str
    size: int


@dataclass(frozen=True)
class PulledRelease:
    """A folder that `load_model` opens, the files that were downloaded to it, and the licenses of their use."""

    folder: Path
    files: tuple[FetchedFile, ...]
    licenses: tuple[License, ...]


def default_folder(name: str) -> Path:
    """Returns the default folder of a release: below `DIFF_V2M_WEIGHTS` if that is set, or else in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("DIFF_V2M_WEIGHTS") or f"{cache}/diff-v2m") / name


def pull(
    name: str = "diff-v2m",
    folder: str | os.PathLike[str] = "weights/diff-v2m",
    *,
    on_progress: DownloadCallback | None = None,
    endpoint: str | None = None,
) -> PulledRelease:
    """Downloads weights and configuration of a release, or what is missing of them, and logs their licenses.

    Args:
        name: name of the release, a key of `RELEASES`.
        folder: folder of the files, made if needed.
        on_progress: called as the bytes of a file arrive.
        endpoint: address of the hub; by default `HF_ENDPOINT`, or the public one.

    Raises:
        HubError: there is no such release, the hub cannot be reached, does not have a file or refuses it, the disk is
            full, or the content is not what the hub declared.
    """
    if name not in RELEASES:
        raise HubError(f"no released weights are called {name!r}; there are: {', '.join(RELEASES)}")
    hub = (endpoint or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    target = Path(folder)
    with _translate_errors(str(target), hub):
        target.mkdir(parents=True, exist_ok=True)
    licenses = tuple(_license(repo, hub) for repo in dict.fromkeys(file.repo for file in RELEASES[name]))
    for license in licenses:
        log.log(logging.INFO if license.name else logging.WARNING, "%s", license)
    known = _read_record(target)
    for file in RELEASES[name]:
        known[file.name] = _fetch(file, target, known.get(file.name), hub, on_progress or _ignore_progress)
        _write_record(target, known, licenses)
    return PulledRelease(target, tuple(known[file.name] for file in RELEASES[name]), licenses)


def _fetch(
    file: HubFile, folder: Path, known: FetchedFile | None, hub: str, on_progress: DownloadCallback
) -> FetchedFile:
    """Downloads a file unless the folder has it already, as far as the record (`known`) shows."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    where = f"{file.repo}/{file.path}"
    with _translate_errors(where, hub):
        url = hf_hub_url(file.repo, file.path, revision=file.revision, endpoint=hub)
        metadata = get_hf_file_metadata(url, timeout=TIMEOUT, endpoint=hub, retry_on_errors=False)
    if metadata.commit_hash is None or metadata.etag is None or metadata.size is None:
        raise HubError(f"{where}: {hub} does not answer like a hub; check HF_ENDPOINT and the proxy")
    fetched = FetchedFile(file.name, file.repo, file.path, metadata.commit_hash, metadata.etag, metadata.size)
    target = folder / file.name
    if known and known.etag == fetched.etag and target.is_file() and target.stat().st_size == fetched.size:
        on_progress(file.name, fetched.size, fetched.size)
        return fetched
    pinned = hf_hub_url(file.repo, file.path, revision=metadata.commit_hash, endpoint=hub)
    key = hashlib.sha256(f"{file.repo}\n{metadata.etag}".encode()).hexdigest()[:16]
    part = folder / f"{file.name}.{key}.part"
    for stale in folder.glob(f"{file.name}.*.part"):
        if stale != part:  # it is of another version, so its download cannot be resumed
            stale.unlink()
    _download(pinned, part, fetched, where, hub, on_progress)
    _verify(part, fetched, where)
    with _translate_errors(where, hub):
        os.replace(part, target)
    return fetched


def _download(url: str, part: Path, fetched: FetchedFile, where: str, hub: str, on_progress: DownloadCallback) -> None:
    """Downloads the missing bytes of a partial file; a broken connection is tried again."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            _resume(url, part, fetched, where, hub, on_progress)
            return
        except _ConnectionBrokenError as error:
            kept = part.stat().st_size if part.exists() else 0
            if attempt == MAX_ATTEMPTS:
                raise HubError(f"{error}; {kept} of {fetched.size} bytes are kept: run it again to go on") from None
            log.warning("%s: going on at byte %d of %d", error, kept, fetched.size)
            time.sleep(0.2 * 4**attempt)


def _resume(url: str, part: Path, fetched: FetchedFile, where: str, hub: str, on_progress: DownloadCallback) -> None:
    """Downloads the missing bytes of a partial file over one connection."""
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    with _translate_errors(where, hub), open(part, "ab") as sink:
        if sink.tell() > fetched.size:
            sink.truncate(0)
        start = sink.tell()
        on_progress(fetched.name, start, fetched.size)
        if start == fetched.size:
            return
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        # No retries here: `_download` tries again.
        once: dict[str, Any] = {"retry_on_exceptions": (), "retry_on_status_codes": ()}
        with http_stream_backoff("GET", url, headers=headers, timeout=TIMEOUT, **once) as answer:
            hf_raise_for_status(answer)
            if start and answer.status_code != 206:  # the whole file is sent instead of the rest
                sink.truncate(0)
            for chunk in answer.iter_bytes():  # of any size: bytes that wait to fill a block would be lost by a break
                sink.write(chunk)
                on_progress(fetched.name, sink.tell(), fetched.size)
        received = sink.tell()
    if received < fetched.size:
        raise _ConnectionBrokenError(f"{where}: the connection ended early")


def _verify(part: Path, fetched: FetchedFile, where: str) -> None:
    """Compares size and hash of a downloaded file with those that the hub declared; deletes a file that differs."""
    size = part.stat().st_size
    if size != fetched.size:
        part.unlink()
        raise HubError(f"{where}: the hub declares {fetched.size} bytes but sent {size}; run it again")
    if not re.fullmatch(r"[0-9a-f]{64}", fetched.etag):
        return
    with open(part, "rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    if digest != fetched.etag:
        part.unlink()
        raise HubError(f"{where}: what came has another hash than the hub declares; run it again")


def _license(repo: str, hub: str) -> License:
    """Returns the license that the model card of a repository declares."""
    from huggingface_hub import HfApi

    with _translate_errors(repo, hub):
        card: Any = HfApi(endpoint=hub).model_info(repo, timeout=TIMEOUT).card_data
    declared = card.to_dict() if card else {}
    name = declared.get("license")
    if name == "other":
        name = declared.get("license_name") or name
    return License(repo, " or ".join(name) if isinstance(name, list) else name, declared.get("license_link"))


def _read_record(folder: Path) -> dict[str, FetchedFile]:
    """Returns the files that were downloaded to a folder before, by name."""
    try:
        content = json.loads((folder / RECORD).read_text())
        return {name: FetchedFile(**entry) for name, entry in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_record(folder: Path, files: dict[str, FetchedFile], licenses: tuple[License, ...]) -> None:
    content = {
        "files": {name: asdict(file) for name, file in files.items()},
        "licences": [asdict(license) for license in licenses],
    }
    with _translate_errors(str(folder), ""):
        new = folder / f"{RECORD}.new"
        new.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(new, folder / RECORD)


@contextmanager
def _translate_errors(where: str, hub: str) -> Iterator[None]:
    """Turns errors of the network, the hub and the disk into a `HubError` about `where`, without their traceback."""
    from huggingface_hub import errors

    try:
        yield
    except HubError:
        raise
    except (errors.GatedRepoError, errors.DisabledRepoError):
        raise HubError(f"{where}: access is restricted; accept its terms at {hub} and set HF_TOKEN") from None
    except errors.RepositoryNotFoundError:
        raise HubError(f"{where}: not found at {hub}, or private: check the name, or set HF_TOKEN") from None
    except (errors.RemoteEntryNotFoundError, errors.RevisionNotFoundError):
        raise HubError(f"{where}: not found at {hub}; the release may have moved") from None
    except errors.HfHubHTTPError as error:
        raise _status_error(where, hub, error.response.status_code) from None
    except errors.OfflineModeIsEnabled:
        raise HubError(f"{where}: HF_HUB_OFFLINE forbids the network; unset it") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HubError(f"{where}: the disk is full; free some space and run it again, it goes on") from None
        raise HubError(f"{where}: {error.strerror or type(error).__name__}") from None
    except Exception as error:
        # The client library's own network errors share no base class with the system's.
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2"):
            raise
        raise _ConnectionBrokenError(
            f"{where}: no connection to {hub} ({type(error).__name__}); check the network"
        ) from None


def _status_error(where: str, hub: str, status: int) -> HubError:
    """Returns the error for an HTTP status that is not a success."""
    if status in (401, 403):
        return HubError(f"{where}: {hub} refuses access ({status}); set HF_TOKEN to a token that may read it")
    if status == 404:
        return HubError(f"{where}: not found at {hub}; the release may have moved")
    if status == 429 or status >= 500:
        return _ConnectionBrokenError(f"{where}: {hub} is overloaded or failing ({status}); try again later")
    return HubError(f"{where}: {hub} answered {status}")


def _ignore_progress(name: str, received: int, size: int) -> None:
    """Does nothing."""
