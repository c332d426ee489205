"""Sources: the files, folders and prefixes of buckets that a person names, and the videos that they lead to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from models.errors import UserError
from pipeline.sources.identity import as_utf8
from pipeline.sources.naming import KEPT_SUFFIXES
from pipeline.storage.errors import StorageError, printable
from pipeline.storage.storage import Storage

VIDEO_SUFFIXES = (
    *KEPT_SUFFIXES,
    *("qt", "3gp", "3g2", "f4v"),  # like mov
    *("mk3d", "avi", "divx", "flv", "wmv", "asf", "ogv", "ogm", "mxf", "wtv"),
    *("mpg", "mpeg", "mpe", "m2p", "vob"),  # program streams
    *("ts", "mts", "m2ts", "m2t", "tp", "trp"),  # transport streams
    *("m2v", "dv", "y4m"),  # pictures without a container of their own
)
"""Suffixes of videos in a folder: those of the containers that the decoder may open (`stages.video.ffmpeg.FORMATS`).

A .gif is not among them, because most are still pictures or icons; an animated one is taken if it is named itself.
"""


class SourceError(UserError):
    """The sources, or the destination together with them, cannot be used."""


@dataclass(frozen=True)
class FoundVideo:
    """A video that a source led to, before it is read.

    Attributes:
        storage: storage that holds it.
        name: its path below the storage's root.
        size: its size in bytes.
        spelled: its path below its source, as the destination can spell it, in valid Unicode.
    """

    storage: Storage
    name: str
    size: int
    spelled: str

    @property
    def location(self) -> str:
        """The absolute path or URL, which may hold bytes that are no Unicode text."""
        return f"{self.storage.url.rstrip('/')}/{self.name}"

    @property
    def uri(self) -> str:
        """The location as Unicode text: Arrow holds nothing else, and a Linux file name need not be any."""
        return as_utf8(self.location).decode()


@dataclass
class FoundFiles:
    """The files that sources lead to.

    Attributes:
        videos: the videos, each once.
        passed_over: locations of the files below folders that are no videos by their suffixes, with these suffixes.
    """

    videos: dict[tuple[str, str], FoundVideo] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)

    def add_video(self, storage: Storage, name: str, size: int, destination: Storage) -> None:
        """Adds a video; the same file found twice under the same path is one video."""
        found = FoundVideo(storage, name, size, as_utf8(destination.spelling(name)).decode())
        self.videos[(found.location, found.spelled)] = found


def explore(sources: Sequence[str], destination: Storage) -> FoundFiles:
    """Returns the files that sources lead to; hidden ones below folders are left out.

    Raises:
        SourceError: a source does not exist, holds no video, or overlaps with the destination.
    """
    if not sources:
        raise SourceError("no source given: name video files, folders or s3:// prefixes")
    found = FoundFiles()
    try:
        for source in sources:
            _explore(source, destination, found)
    except StorageError as error:
        raise SourceError(str(error)) from None
    return found


def _explore(source: str, destination: Storage, found: FoundFiles) -> None:
    """Adds the files that one source leads to.

    Raises:
        SourceError, StorageError: the source does not exist, holds no video, or overlaps with the destination.
    """
    storage = Storage.open(source)
    if _is_file(storage):
        folder, name = Storage.locate(storage.url)
        found.add_video(folder, name, folder.size(name) or 0, destination)
        return
    _refuse_overlap(source, storage, destination)
    if storage.local:
        if not os.path.exists(storage.root):
            raise SourceError(f"{printable(source)}: no such file or folder")
        if not os.path.isdir(storage.root):
            raise SourceError(f"{printable(source)}: neither a file nor a folder")
    files = storage.files()
    suffixes = [PurePosixPath(file.name).suffix.lower() for file in files]
    if not any(suffix[1:] in VIDEO_SUFFIXES for suffix in suffixes):
        held = f"none of its {len(files)} files is a video" if files else "there are no files below it"
        looked = ", ".join(f".{suffix}" for suffix in VIDEO_SUFFIXES)
        raise SourceError(f"{printable(source)}: {held}; looked for names that end in {looked}")
    for file, suffix in zip(files, suffixes, strict=True):
        if suffix[1:] in VIDEO_SUFFIXES:
            found.add_video(storage, file.name, file.size, destination)
        else:
            found.passed_over[storage.url.rstrip("/") + "/" + file.name] = suffix


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
