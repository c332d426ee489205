"""What a person names as sources, as the manifest: one row a video, with the ids that everything later hangs on."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NoReturn

import pyarrow as pa

from pipeline.storage.errors import StorageError, printable
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, Row, rows_of, table_of

KEPT_SUFFIXES = ("mp4", "m4v", "mov", "webm", "mkv")  # the containers that are written; the others become .mkv
VIDEO_SUFFIXES = (*KEPT_SUFFIXES, "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "flv", "3gp", "ogv")
BESIDE = (".wav", ".json")  # what is written beside every scored video

BLOCK = 16 << 10  # bytes of a sampled block
BLOCKS = 8  # of a file that is larger than all of them together
READERS = {"local": 8, "remote": 32}  # files read at once: reading is waiting, on a bucket above all


class SourceError(ValueError):
    """The sources, or the destination beside them, cannot be used: one line that says why and what to do."""


@dataclass(frozen=True)
class _Found:
    """A video that a source led to, before it is read."""

    source: str  # as the person wrote it
    storage: Storage
    name: str  # below `storage`
    size: int
    output: str  # below the destination

    @property
    def uri(self) -> str:
        return f"{self.storage.url.rstrip('/')}/{self.name}"


def discover(
    sources: Sequence[str], destination: Storage, limit: int | None = None, *, scores: bool = True
) -> pa.Table:
    """The manifest of all videos that the sources lead to, sorted by output.

    A folder or prefix gives the files below it that end like a video (`VIDEO_SUFFIXES`) and are not hidden; a file
    that is named itself is taken whatever it is called. A video below a folder keeps its relative path at the
    destination. A file that cannot be read is a row with an error.

    Two outputs that differ only in case or in the form of their accents count as one: a result is carried to disks
    that cannot tell them apart.

    Args:
        limit: take only the first so many of the sorted videos.
        scores: whether results are to be written under the videos' names, which must then not collide.

    Raises:
        SourceError: a source does not exist or holds no video, the destination is or lies inside a source, or an
            output would be written twice or over a source.
    """
    if not sources:
        raise SourceError("no source given: name video files, folders or s3:// prefixes")
    if limit is not None and limit < 1:
        raise SourceError(f"--limit must be at least 1, got {limit}")
    try:
        found = [video for source in sources for video in _explore(source, destination)]
    except StorageError as fault:
        raise SourceError(str(fault)) from None
    unique = {(video.uri, video.output): video for video in found}  # the same file named twice is one video
    videos = sorted(unique.values(), key=lambda video: _utf8(video.output))
    if scores:
        _refuse_collisions(videos)
        _refuse_overwriting(videos, destination)
    chosen = videos[:limit]
    far = any(not video.storage.local for video in chosen)
    with ThreadPoolExecutor(READERS["remote" if far else "local"]) as readers:
        return table_of(list(readers.map(_row, chosen)), MANIFEST)


def reread(manifest: pa.Table) -> pa.Table:
    """A manifest whose rows that could not be read were looked at once more."""
    return table_of([_again(row) if row["error"] else row for row in rows_of(manifest)], MANIFEST)


def _again(row: Row) -> Row:
    try:
        storage, name = Storage.locate(row["uri"])
        found = _row(_Found(row["uri"], storage, name, storage.size(name) or 0, row["output"]))
    except StorageError:
        return row
    return row if "error" in found else found


def content_id(storage: Storage, name: str, size: int) -> str:
    """Hexadecimal SHA-256 of a file's size and of blocks of it: what its noise is drawn from.

    Files up to 128 KiB are read whole; of larger ones eight blocks of 16 KiB, the first, the last and six evenly
    between, so that a bucket of large videos need not be downloaded to be listed. Two files of the same size that
    differ only between those blocks get the same id: a re-encoded, cut or re-tagged video never does, a file patched in
    place in the middle may, and is then taken for the old one if its name is the same too.

    Raises:
        StorageError: it cannot be read, or has another size by now.
    """
    whole = size <= BLOCK * BLOCKS
    offsets = [0] if whole else [(size - BLOCK) * i // (BLOCKS - 1) for i in range(BLOCKS)]
    length = size + 1 if whole else BLOCK  # one more shows that it has grown
    blocks = storage.ranges(name, [(offset, length) for offset in offsets])
    if sum(map(len, blocks)) != (size if whole else BLOCK * BLOCKS):
        raise StorageError("CutShort", f"{storage.uri(name)}: it changed while it was read; try again")
    digest = hashlib.sha256(f"{size}\n".encode())
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def item_id(content: str, output: str) -> str:
    """32 hexadecimal digits of a content id and an output's name: two copies of one clip are two items."""
    return hashlib.sha256(content.encode() + b"\0" + _utf8(output)).hexdigest()[:32]


def output_of(name: str) -> str:
    """Where a video called `name` (a relative path) goes below the destination: its suffix kept or turned to .mkv."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    kept = suffix if suffix[1:] in KEPT_SUFFIXES else ".mkv"
    return str(path.with_name(path.stem + kept))


def written_for(output: str) -> list[str]:
    """The names of all files that are written for one output: the video and what stands beside it."""
    return [output, *(str(PurePosixPath(output).with_suffix(suffix)) for suffix in BESIDE)]


def _explore(source: str, destination: Storage) -> list[_Found]:
    storage = Storage.open(source)
    if _is_file(storage):
        folder, name = Storage.locate(storage.url)
        return [_Found(source, folder, name, folder.size(name) or 0, destination.spelling(output_of(name)))]
    _refuse_overlap(source, storage, destination)
    if storage.local:
        if not os.path.exists(storage.root):
            raise SourceError(f"{printable(source)}: no such file or folder")
        if not os.path.isdir(storage.root):
            raise SourceError(f"{printable(source)}: neither a file nor a folder")
    files = storage.files()
    videos = [file for file in files if PurePosixPath(file.name).suffix[1:].lower() in VIDEO_SUFFIXES]
    if not videos:
        held = f"none of its {len(files)} files is a video" if files else "there are no files below it"
        looked = ", ".join(f".{suffix}" for suffix in VIDEO_SUFFIXES)
        raise SourceError(f"{printable(source)}: {held}; looked for names that end in {looked}")
    return [_Found(source, storage, f.name, f.size, destination.spelling(output_of(f.name))) for f in videos]


def _is_file(storage: Storage) -> bool:
    """Whether a source is one file or object; a bucket or key that is refused, or not there, raises."""
    if storage.local:
        return os.path.isfile(storage.root)
    storage.check()
    if "/" not in storage.root:
        return False
    folder, name = Storage.locate(storage.url)
    return folder.exists(name)


def _refuse_overlap(source: str, storage: Storage, destination: Storage) -> None:
    """A destination at or inside a source would be scored itself the next time."""
    if storage.scheme != destination.scheme:
        return
    if storage.local:
        inside = _is_same_or_inside(os.path.realpath(destination.root), storage.root)
    else:
        inside = f"{destination.root}/".startswith(f"{storage.root}/")
    if inside:
        where = "is" if destination.root == storage.root else "lies inside"
        raise SourceError(
            f"the destination {printable(destination.url)} {where} the source {printable(source)}: "
            "its results would be scored again; choose a folder outside"
        )


def _is_same_or_inside(path: str, folder: str) -> bool:
    """Whether a resolved path is a folder or lies inside, however both are spelled or linked."""
    try:
        wanted = os.stat(folder)
    except OSError:
        return False
    for ancestor in (path, *map(str, PurePosixPath(path).parents)):
        try:
            if os.path.samestat(os.stat(ancestor), wanted):
                return True
        except OSError:
            continue
    return False


def _refuse_collisions(videos: Iterable[_Found]) -> None:
    owners: dict[str, tuple[_Found, str]] = {}
    for video in videos:
        for name in written_for(video.output):
            other, theirs = owners.setdefault(_folded(name), (video, name))
            if other is not video:
                _collide(other, video, theirs, name)
    for video in {id(video): video for video, _ in owners.values()}.values():
        for parent in PurePosixPath(_folded(video.output)).parents:
            if taken := owners.get(str(parent)):
                _collide(taken[0], video, taken[1], video.output)


def _collide(first: _Found, second: _Found, theirs: str, name: str) -> NoReturn:
    both = printable(theirs) if theirs == name else f"{printable(theirs)} and {printable(name)}"
    raise SourceError(
        f"{printable(first.uri)} and {printable(second.uri)} would both be written to {both}; "
        "rename one of them, or score them to different destinations"
    )


def _refuse_overwriting(videos: Sequence[_Found], destination: Storage) -> None:
    places = {_place(video): video for video in videos if video.storage.scheme == destination.scheme}
    root = (os.path.realpath(destination.root) if destination.local else destination.url).rstrip("/")
    for video in videos:
        for name in written_for(video.output):
            if victim := places.get(f"{root}/{name}"):
                raise SourceError(
                    f"scoring {printable(video.uri)} would overwrite the source {printable(victim.uri)}; "
                    "choose another destination"
                )


def _place(video: _Found) -> str:
    """Where a source's content really is."""
    return os.path.realpath(video.uri) if video.storage.local else video.uri


def _row(video: _Found) -> Row:
    # Arrow holds Unicode text only, and a Linux file name need not be any.
    uri, output = (_utf8(text).decode() for text in (video.uri, video.output))
    row: Row = {"uri": uri, "output": output, "size": video.size}
    try:
        content = content_id(video.storage, video.name, video.size)
    except StorageError as fault:
        content = hashlib.sha256(f"{uri}\0{video.size}".encode()).hexdigest()
        row["error"] = {"stage": "source", "type": "Unreadable", "message": str(fault)}
    return row | {"content_id": content, "item_id": item_id(content, output)}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
