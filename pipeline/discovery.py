"""Discovery: the sources that a person names become a manifest, one row per video, with the ids that all else uses."""

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

from models.errors import UserError
from pipeline.naming import KEPT_SUFFIXES, names_of_output, plain_names
from pipeline.storage.errors import StorageError, printable
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, Row, rows_of, table_of
from stages.error_kinds import BAD_NAME, UNREADABLE

VIDEO_SUFFIXES = (
    *KEPT_SUFFIXES,
    *("qt", "3gp", "3g2", "f4v"),  # like mov
    *("mk3d", "avi", "divx", "flv", "wmv", "asf", "ogv", "ogm", "mxf", "wtv"),
    *("mpg", "mpeg", "mpe", "m2p", "vob"),  # program streams
    *("ts", "mts", "m2ts", "m2t", "tp", "trp"),  # transport streams
)
"""Suffixes of videos in a folder: those of the containers that the decoder may open (`stages.video.ffmpeg.FORMATS`)."""
MAX_NAME_BYTES = 255
"""Longest name of a file on a local disk."""

BLOCK_BYTES, BLOCKS = 16 << 10, 8
"""Size and number of the blocks that a content id is made of, for a file that is larger than all blocks together."""
READERS = {"local": 8, "remote": 32}
"""Files that are read at once: reading is mostly waiting, above all for a bucket."""


class SourceError(UserError):
    """The sources, or the destination together with them, cannot be used."""


@dataclass(frozen=True)
class _FoundVideo:
    """A video that a source led to, before it is read.

    Attributes:
        storage: storage that holds it.
        name: its path below the storage's root.
        size: its size in bytes.
        output: path of the scored video below the destination.
    """

    storage: Storage
    name: str
    size: int
    output: str

    @property
    def uri(self) -> str:
        return f"{self.storage.url.rstrip('/')}/{self.name}"


def discover(
    sources: Sequence[str], destination: Storage, limit: int | None = None, *, scores: bool = True
) -> pa.Table:
    """Returns the manifest of all videos that the sources lead to, sorted by output.

    A folder or prefix stands for the files below it that have a suffix of `VIDEO_SUFFIXES` and are not hidden. A file
    that is named itself is taken whatever its suffix. A video below a folder keeps its relative path at the
    destination. A file that cannot be read, or one of whose results would have too long a name, is a row with an error.

    Two outputs that differ only in case or in the Unicode form of their accents count as the same, because results may
    be copied to disks that cannot tell them apart.

    Args:
        sources: files, folders or prefixes of buckets, as a person writes them.
        destination: storage that takes the results.
        limit: number of videos to take at most, the first of the sorted ones.
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
    except StorageError as error:
        raise SourceError(str(error)) from None
    unique = {(video.uri, video.output): video for video in found}  # the same file named twice is one video
    videos = sorted(unique.values(), key=lambda video: _utf8(video.output))
    if scores:
        _refuse_collisions(videos)
        _refuse_overwriting(videos, destination)
    chosen = videos[:limit]
    remote = any(not video.storage.local for video in chosen)
    with ThreadPoolExecutor(READERS["remote" if remote else "local"]) as readers:
        rows = list(readers.map(_row, chosen))
    if scores and destination.local:
        rows = [row | _name_error(row["output"]) for row in rows]
    return table_of(rows, MANIFEST)


def reread(manifest: pa.Table) -> pa.Table:
    """Returns a manifest after another attempt to read the files that could not be read."""
    rows = rows_of(manifest)
    unreadable = [row["error"] is not None and row["error"]["type"] == UNREADABLE for row in rows]
    return table_of([_read_again(r) if again else r for r, again in zip(rows, unreadable, strict=True)], MANIFEST)


def _read_again(row: Row) -> Row:
    try:
        storage, name = Storage.locate(row["uri"])
        found = _row(_FoundVideo(storage, name, storage.size(name) or 0, row["output"]))
    except StorageError:
        return row
    return row if "error" in found else found


def content_id(storage: Storage, name: str, size: int) -> str:
    """Returns the content id of a file: a hexadecimal SHA-256 of its size and of blocks of it, the noise's seed.

    Files up to 128 KiB are read whole. Of larger ones eight blocks of 16 KiB are read: the first, the last and six
    evenly between, so that a bucket of large videos need not be downloaded to be listed. Two files of the same size
    that differ only between those blocks get the same id. A re-encoded, cut or re-tagged video always gets another id.
    A file that was patched in place in the middle may not, and is then taken for the old one if its name is the same.

    Args:
        storage: storage that holds the file.
        name: its path below the storage's root.
        size: its size in bytes.

    Raises:
        StorageError: it cannot be read, or has another size by now.
    """
    whole = size <= BLOCK_BYTES * BLOCKS
    offsets = [0] if whole else [(size - BLOCK_BYTES) * i // (BLOCKS - 1) for i in range(BLOCKS)]
    length = size + 1 if whole else BLOCK_BYTES  # one byte more shows a file that has grown
    blocks = storage.ranges(name, [(offset, length) for offset in offsets])
    if sum(map(len, blocks)) != (size if whole else BLOCK_BYTES * BLOCKS):
        raise StorageError("CutShort", f"{storage.uri(name)}: it changed while it was read; try again")
    digest = hashlib.sha256(f"{size}\n".encode())
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def item_id(content: str, output: str) -> str:
    """Returns the item id, 32 hexadecimal digits: a hash of content id and output, so two copies are two items."""
    return hashlib.sha256(content.encode() + b"\0" + _utf8(output)).hexdigest()[:32]


def _explore(source: str, destination: Storage) -> list[_FoundVideo]:
    """Returns the videos that one source leads to.

    Raises:
        SourceError, StorageError: the source does not exist, holds no video, or overlaps with the destination.
    """
    storage = Storage.open(source)
    if _is_file(storage):
        folder, name = Storage.locate(storage.url)
        return [_FoundVideo(folder, name, folder.size(name) or 0, destination.spelling(plain_names(name).output))]
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
    return [_FoundVideo(storage, f.name, f.size, destination.spelling(plain_names(f.name).output)) for f in videos]


def _is_file(storage: Storage) -> bool:
    """Returns whether a source is one file or object.

    Raises:
        StorageError: the bucket does not exist, or refuses to be read.
    """
    if storage.local:
        return os.path.isfile(storage.root)
    storage.check()
    if "/" not in storage.root:
        return False
    folder, name = Storage.locate(storage.url)
    return folder.exists(name)


def _refuse_overlap(source: str, storage: Storage, destination: Storage) -> None:
    """Refuses a destination at or inside a source, because its results would be scored the next time.

    Raises:
        SourceError: they overlap.
    """
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
    """Returns whether a resolved path is a folder or lies inside it, however both are spelled or linked."""
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


def _refuse_collisions(videos: Iterable[_FoundVideo]) -> None:
    """Refuses videos of which two would write the same file, or one a file where the other needs a folder.

    Raises:
        SourceError: two videos collide.
    """
    owners: dict[str, tuple[_FoundVideo, str]] = {}
    for video in videos:
        for name in names_of_output(video.output).written:
            other, other_name = owners.setdefault(_folded(name), (video, name))
            if other is not video:
                _raise_collision(other, video, other_name, name)
    for video in {id(video): video for video, _ in owners.values()}.values():
        for parent in PurePosixPath(_folded(video.output)).parents:
            if taken := owners.get(str(parent)):
                _raise_collision(taken[0], video, taken[1], video.output)


def _raise_collision(first: _FoundVideo, second: _FoundVideo, first_name: str, second_name: str) -> NoReturn:
    names = dict.fromkeys((printable(first_name), printable(second_name)))
    raise SourceError(
        f"{printable(first.uri)} and {printable(second.uri)} would both be written to {' and '.join(names)}; "
        "rename one of them, or score them to different destinations"
    )


def _refuse_overwriting(videos: Sequence[_FoundVideo], destination: Storage) -> None:
    """Refuses videos whose results would be written over a source.

    Raises:
        SourceError: a result would replace a source.
    """
    places = {_place(video): video for video in videos if video.storage.scheme == destination.scheme}
    root = (os.path.realpath(destination.root) if destination.local else destination.url).rstrip("/")
    for video in videos:
        for name in names_of_output(video.output).written:
            if victim := places.get(f"{root}/{name}"):
                raise SourceError(
                    f"scoring {printable(video.uri)} would overwrite the source {printable(victim.uri)}; "
                    "choose another destination"
                )


def _place(video: _FoundVideo) -> str:
    """Returns the location of a video's content, with symbolic links resolved."""
    return os.path.realpath(video.uri) if video.storage.local else video.uri


def _row(video: _FoundVideo) -> Row:
    """Returns the manifest's row of a video, with an error if the file cannot be read."""
    # Arrow holds Unicode text only, and a Linux file name need not be any.
    uri, output = (_utf8(text).decode() for text in (video.uri, video.output))
    stem = names_of_output(output).stem
    row: Row = {"uri": uri, "output": output, "stem": stem, "fallback": f"{stem}.mkv", "size": video.size}
    try:
        content = content_id(video.storage, video.name, video.size)
    except StorageError as error:
        content = hashlib.sha256(f"{uri}\0{video.size}".encode()).hexdigest()
        row["error"] = {"stage": "source", "type": UNREADABLE, "message": str(error)}
    return row | {"content_id": content, "item_id": item_id(content, output)}


def _name_error(output: str) -> Row:
    """Returns the column `error` of a video one of whose results has a name that no local disk takes; else nothing."""
    names = [PurePosixPath(name).name for name in names_of_output(output).written]
    longest = max(names, key=lambda name: len(os.fsencode(name)))
    size = len(os.fsencode(longest))
    if size <= MAX_NAME_BYTES:
        return {}
    message = f"the result's name {longest[:40]}... has {size} bytes, at most {MAX_NAME_BYTES} fit: rename the video"
    return {"error": {"stage": "source", "type": BAD_NAME, "message": message}}


def _folded(name: str) -> str:
    """Returns a name without the differences that some disks cannot tell apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _utf8(text: str) -> bytes:
    """Returns a name as UTF-8; bytes of a file name that are no UTF-8 are written as escapes."""
    return text.encode("utf-8", "backslashreplace")
