"""Released weights, fetched from the Hugging Face hub into a folder that `load_model` opens.

Each file is downloaded straight into the folder as `NAME.ETAG.part`, so an interrupted download goes on where it broke,
in this call or the next, and nothing lies on the disk twice. It gets its name once its size, and its hash where the hub
tells one, are right. `HF_ENDPOINT` and `HF_TOKEN` are honored; the token is shown nowhere.
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

log = logging.getLogger(__name__)

DEFAULT_ENDPOINT = "https://huggingface.co"
RECORD = "hub.json"  # where each file of the folder came from
TRIES = 4  # connections that may break before a call gives up
TIMEOUT = 20.0  # seconds without an answer

Progress = Callable[[str, int, int], None]  # file, bytes there, bytes in all


class HubError(Exception):
    """A file cannot be fetched: one line that says which, why and what to do."""


class _BrokenError(HubError):
    """The connection broke; what came is kept."""


@dataclass(frozen=True)
class HubFile:
    """A file of a hub repository and the name it gets in the folder."""

    repo: str
    path: str
    name: str
    revision: str = "main"


RELEASES: dict[str, tuple[HubFile, ...]] = {
    "diff-v2m": (
        HubFile("TaylorJi/Diff-V2M", "model_config_odf.json", "model_config.json"),
        HubFile("TaylorJi/Diff-V2M", "model_odf.ckpt", "model.ckpt"),
        # OpenAI's ViT-B/32 in open_clip's format: the image features that the release was trained on.
        HubFile("timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors", "clip.safetensors"),
    ),
}


@dataclass(frozen=True)
class Licence:
    """What a repository's model card declares about its use."""

    repo: str
    name: str | None  # None where nothing is declared
    link: str | None = None

    def __str__(self) -> str:
        if self.name:
            return f"{self.repo}: licence {self.name}" + (f" ({self.link})" if self.link else "")
        return (
            f"{self.repo}: its model card declares no licence. Without one nothing is permitted: ask its authors "
            "before you use, share or sell these weights or what they make"
        )


@dataclass(frozen=True)
class Fetched:
    """One file in the folder, and where it came from."""

    name: str
    repo: str
    path: str
    commit: str
    etag: str  # the content's SHA-256 where the hub keeps it as a large file
    size: int  # bytes


@dataclass(frozen=True)
class Pulled:
    """A folder that `load_model` opens, what was fetched into it and what governs its use."""

    folder: Path
    files: tuple[Fetched, ...]
    licences: tuple[Licence, ...]


def default_folder(name: str) -> Path:
    """Where a release lies unless told otherwise: below `DIFF_V2M_WEIGHTS`, or the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("DIFF_V2M_WEIGHTS") or f"{cache}/diff-v2m") / name


def pull(
    name: str = "diff-v2m",
    folder: str | os.PathLike[str] = "weights/diff-v2m",
    *,
    progress: Progress | None = None,
    endpoint: str | None = None,
) -> Pulled:
    """Fetch a release's weights and configuration, or what is missing of them, and say what licences govern them.

    Args:
        progress: called with a file's name, the bytes of it that are there and the bytes it has in all.
        endpoint: address of the hub; by default `HF_ENDPOINT`, or the public one.

    Raises:
        HubError: no such release, the hub cannot be reached, does not have a file or refuses it, the disk is full, or
            what came is not what the hub declared.
    """
    if name not in RELEASES:
        raise HubError(f"no released weights are called {name!r}; there are: {', '.join(RELEASES)}")
    hub = (endpoint or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    target = Path(folder)
    with _explained(str(target), hub):
        target.mkdir(parents=True, exist_ok=True)
    licences = tuple(_licence(repo, hub) for repo in dict.fromkeys(file.repo for file in RELEASES[name]))
    for licence in licences:
        log.log(logging.INFO if licence.name else logging.WARNING, "%s", licence)
    known = _read_record(target)
    for file in RELEASES[name]:
        known[file.name] = _fetch(file, target, known.get(file.name), hub, progress or _silent)
        _write_record(target, known, licences)
    return Pulled(target, tuple(known[file.name] for file in RELEASES[name]), licences)


def _fetch(file: HubFile, folder: Path, known: Fetched | None, hub: str, progress: Progress) -> Fetched:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    where = f"{file.repo}/{file.path}"
    with _explained(where, hub):
        url = hf_hub_url(file.repo, file.path, revision=file.revision, endpoint=hub)
        facts = get_hf_file_metadata(url, timeout=TIMEOUT, endpoint=hub, retry_on_errors=False)
    if facts.commit_hash is None or facts.etag is None or facts.size is None:
        raise HubError(f"{where}: {hub} does not answer like a hub; check HF_ENDPOINT and the proxy")
    fetched = Fetched(file.name, file.repo, file.path, facts.commit_hash, facts.etag, facts.size)
    target = folder / file.name
    if known and known.etag == fetched.etag and target.is_file() and target.stat().st_size == fetched.size:
        progress(file.name, fetched.size, fetched.size)
        return fetched
    pinned = hf_hub_url(file.repo, file.path, revision=facts.commit_hash, endpoint=hub)
    key = hashlib.sha256(f"{file.repo}\n{facts.etag}".encode()).hexdigest()[:16]
    part = folder / f"{file.name}.{key}.part"
    for stale in folder.glob(f"{file.name}.*.part"):
        if stale != part:  # of another version: it cannot be gone on with
            stale.unlink()
    _download(pinned, part, fetched, where, hub, progress)
    _verify(part, fetched, where)
    with _explained(where, hub):
        os.replace(part, target)
    return fetched


def _download(url: str, part: Path, fetched: Fetched, where: str, hub: str, progress: Progress) -> None:
    """Bring a part to its full size, going on where it ends."""
    for attempt in range(1, TRIES + 1):
        try:
            _continue(url, part, fetched, where, hub, progress)
            return
        except _BrokenError as fault:
            kept = part.stat().st_size if part.exists() else 0
            if attempt == TRIES:
                raise HubError(f"{fault}; {kept} of {fetched.size} bytes are kept: run it again to go on") from None
            log.warning("%s: going on at byte %d of %d", fault, kept, fetched.size)
            time.sleep(0.2 * 4**attempt)


def _continue(url: str, part: Path, fetched: Fetched, where: str, hub: str, progress: Progress) -> None:
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    with _explained(where, hub), open(part, "ab") as sink:
        if sink.tell() > fetched.size:
            sink.truncate(0)
        start = sink.tell()
        progress(fetched.name, start, fetched.size)
        if start == fetched.size:
            return
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        once: dict[str, Any] = {"retry_on_exceptions": (), "retry_on_status_codes": ()}  # `_download` tries again
        with http_stream_backoff("GET", url, headers=headers, timeout=TIMEOUT, **once) as answer:
            hf_raise_for_status(answer)
            if start and answer.status_code != 206:  # the whole file came instead of the rest
                sink.truncate(0)
            for chunk in answer.iter_bytes():  # as they come: a break loses nothing that waits to fill a block
                sink.write(chunk)
                progress(fetched.name, sink.tell(), fetched.size)
        came = sink.tell()
    if came < fetched.size:
        raise _BrokenError(f"{where}: the connection ended early")


def _verify(part: Path, fetched: Fetched, where: str) -> None:
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


def _licence(repo: str, hub: str) -> Licence:
    from huggingface_hub import HfApi

    with _explained(repo, hub):
        card: Any = HfApi(endpoint=hub).model_info(repo, timeout=TIMEOUT).card_data
    declared = card.to_dict() if card else {}
    name = declared.get("license")
    if name == "other":
        name = declared.get("license_name") or name
    return Licence(repo, " or ".join(name) if isinstance(name, list) else name, declared.get("license_link"))


def _read_record(folder: Path) -> dict[str, Fetched]:
    try:
        content = json.loads((folder / RECORD).read_text())
        return {name: Fetched(**facts) for name, facts in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_record(folder: Path, files: dict[str, Fetched], licences: tuple[Licence, ...]) -> None:
    content = {
        "files": {name: asdict(facts) for name, facts in files.items()},
        "licences": [asdict(licence) for licence in licences],
    }
    with _explained(str(folder), ""):
        new = folder / f"{RECORD}.new"
        new.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(new, folder / RECORD)


@contextmanager
def _explained(where: str, hub: str) -> Iterator[None]:
    """Turn what the network, the hub and the disk raise into a `HubError` about `where`, its cause cut off."""
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
    except errors.HfHubHTTPError as fault:
        raise _refused(where, hub, fault.response.status_code) from None
    except errors.OfflineModeIsEnabled:
        raise HubError(f"{where}: HF_HUB_OFFLINE forbids the network; unset it") from None
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HubError(f"{where}: the disk is full; free some space and run it again, it goes on") from None
        raise HubError(f"{where}: {fault.strerror or type(fault).__name__}") from None
    except Exception as fault:
        # The client library's own network errors share no base class with the system's.
        if type(fault).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2"):
            raise
        raise _BrokenError(f"{where}: no connection to {hub} ({type(fault).__name__}); check the network") from None


def _refused(where: str, hub: str, status: int) -> HubError:
    if status in (401, 403):
        return HubError(f"{where}: {hub} refuses access ({status}); set HF_TOKEN to a token that may read it")
    if status == 404:
        return HubError(f"{where}: not found at {hub}; the release may have moved")
    if status == 429 or status >= 500:
        return _BrokenError(f"{where}: {hub} is overloaded or failing ({status}); try again later")
    return HubError(f"{where}: {hub} answered {status}")


def _silent(name: str, there: int, size: int) -> None:
    pass
