"""Discovery: the sources that a person names become a manifest, one row per video, with the ids that all else uses."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from pipeline.destination.ledger import Ledger
from pipeline.sources.clashes import EarlierResult, NamedSource, assign_names, contested
from pipeline.sources.explore import FoundVideo, SourceError, explore
from pipeline.sources.identity import as_utf8, content_id, item_id
from pipeline.sources.naming import ResultNames, usual_names
from pipeline.storage.errors import StorageError, printable
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, Row, rows_of, table_of
from stages.error_kinds import BAD_NAME, UNREADABLE

READERS = {"local": 8, "remote": 32}
"""Files that are read at once: reading is mostly waiting, above all for a bucket."""


@dataclass(frozen=True)
class Discovery:
    """What sources lead to.

    Attributes:
        manifest: table of `MANIFEST`, one row for each video.
        passed_over: number of the files below folders that are no videos by their suffixes, for each suffix: in lower
            case and with its dot, empty for names without one.
    """

    manifest: pa.Table
    passed_over: Mapping[str, int]


@dataclass(frozen=True)
class _Content:
    """The content id of a file, or one of its location if it cannot be read, with the reason."""

    id: str
    problem: str | None = None


def discover(
    sources: Sequence[str], destination: Storage, limit: int | None = None, *, scores: bool = True
) -> pa.Table:
    """Returns the manifest of all videos that the sources lead to: `find_videos` for those who want nothing else."""
    return find_videos(sources, destination, limit, scores=scores).manifest


def find_videos(
    sources: Sequence[str], destination: Storage, limit: int | None = None, *, scores: bool = True
) -> Discovery:
    """Returns all videos that the sources lead to, sorted by the usual names of their outputs.

    A folder or prefix stands for the files below it that have a suffix of `VIDEO_SUFFIXES` and are not hidden. A file
    that is named itself is taken whatever its suffix. A video below a folder keeps its relative path at the
    destination; where several would write the same file, `pipeline.sources.clashes` tells their results apart. A file
    that cannot be read, or one of whose results would have a name that the destination cannot hold, is a row with an
    error.

    Args:
        sources: files, folders or prefixes of buckets, as a person writes them.
        destination: storage that takes the results; its ledger is read, because results keep their names.
        limit: number of videos to take at most, the first of the sorted ones; they have the names that they would have
            among all.
        scores: whether results are to be written under the videos' names.

    Raises:
        SourceError: a source does not exist or holds no video, the destination is or lies inside a source, or a result
            would be written over a source.
        LedgerError, StorageError: the destination's ledger cannot be read.
    """
    if limit is not None and limit < 1:
        raise SourceError(f"--limit must be at least 1, got {limit}")
    found = explore(sources, destination)
    videos = sorted(found.videos.values(), key=_order)
    chosen = videos[:limit]
    if scores:
        names, contents = _names_at_destination(videos, destination, limit)
        _refuse_overwriting(videos, names, destination)
        rows = [_row(v, names[i], contents[i]) | _name_error(names[i], destination) for i, v in enumerate(chosen)]
    else:
        read = zip(chosen, _read_contents(chosen), strict=True)
        rows = [_row(video, usual_names(video.spelled), content) for video, content in read]
    return Discovery(table_of(rows, MANIFEST), Counter(found.passed_over.values()))


def reread(manifest: pa.Table) -> pa.Table:
    """Returns a manifest after another attempt to read the files that could not be read."""
    rows = rows_of(manifest)
    unreadable = [row["error"] is not None and row["error"]["type"] == UNREADABLE for row in rows]
    return table_of([_read_again(r) if again else r for r, again in zip(rows, unreadable, strict=True)], MANIFEST)


def _read_again(row: Row) -> Row:
    try:
        storage, name = Storage.locate(row["uri"])
        size = storage.size(name) or 0
        content = content_id(storage, name, size)
    except StorageError:
        return row
    ids = {"content_id": content, "item_id": item_id(content, row["output"])}
    return row | ids | {"size": size, "error": None}


def _names_at_destination(
    videos: Sequence[FoundVideo], destination: Storage, limit: int | None
) -> tuple[list[ResultNames], dict[int, _Content]]:
    """Returns the names of all videos' results, and the contents of those that were read, by the videos' numbers.

    Contents are read of the videos within the limit, and of those whose names others want as well.

    Raises:
        LedgerError, StorageError: the destination's ledger cannot be read.
    """
    if not destination.local:
        destination.check()  # answers at once where the ledger's listing would be tried again for a minute
    earlier = [EarlierResult.of_row(row) for row in Ledger(destination).results().to_pylist()]
    spelled = [video.spelled for video in videos]
    wanted = [i for i, is_contested in enumerate(contested(spelled, earlier)) if is_contested or i < (limit or i + 1)]
    contents = dict(zip(wanted, _read_contents([videos[i] for i in wanted]), strict=True))
    named = [
        NamedSource(video.spelled, video.uri, contents[i].id if i in contents else None)
        for i, video in enumerate(videos)
    ]
    return assign_names(named, earlier), contents


def _read_contents(videos: Sequence[FoundVideo]) -> list[_Content]:
    """Returns the content ids of videos, many of which are read at once."""
    remote = any(not video.storage.local for video in videos)
    with ThreadPoolExecutor(READERS["remote" if remote else "local"]) as readers:
        return list(readers.map(_read_content, videos))


def _read_content(video: FoundVideo) -> _Content:
    try:
        return _Content(content_id(video.storage, video.name, video.size))
    except StorageError as error:
        return _Content(hashlib.sha256(f"{video.uri}\0{video.size}".encode()).hexdigest(), str(error))


def _refuse_overwriting(videos: Sequence[FoundVideo], names: Sequence[ResultNames], destination: Storage) -> None:
    """Refuses videos whose results would be written over a source.

    Raises:
        SourceError: a result would replace a source.
    """
    places = {_place(video): video for video in videos if video.storage.scheme == destination.scheme}
    root = (os.path.realpath(destination.root) if destination.local else destination.url).rstrip("/")
    for video, written in zip(videos, names, strict=True):
        for name in written.possible:
            if victim := places.get(f"{root}/{name}"):
                raise SourceError(
                    f"scoring {printable(video.location)} would overwrite the source {printable(victim.location)}; "
                    "choose another destination"
                )


def _place(video: FoundVideo) -> str:
    """Returns the location of a video's content, with symbolic links resolved."""
    return os.path.realpath(video.location) if video.storage.local else video.location


def _row(video: FoundVideo, names: ResultNames, content: _Content) -> Row:
    """Returns the manifest's row of a video, with an error if the file cannot be read."""
    row: Row = {
        "item_id": item_id(content.id, names.output),
        "content_id": content.id,
        "uri": video.uri,
        "output": names.output,
        "stem": names.stem,
        "fallback": names.fallback,
        "size": video.size,
    }
    if content.problem:
        row["error"] = {"stage": "source", "type": UNREADABLE, "message": content.problem}
    return row


def _name_error(names: ResultNames, destination: Storage) -> Row:
    """Returns the column `error` of a video whose results cannot have their names at the destination; else nothing."""
    problems = [destination.obstacle(name) for name in names.written]
    if names.blocked_by:
        where = printable(names.blocked_by)
        problems.insert(0, f"its results need a folder where an earlier run has written the file {where}")
    reason = next((problem for problem in problems if problem), None)
    if reason is None:
        return {}
    return {
        "error": {
            "stage": "source",
            "type": BAD_NAME,
            "message": f"{reason}: rename the video, or choose another destination",
        }
    }


def _order(video: FoundVideo) -> tuple[bytes, bool, bytes]:
    """Returns the key that videos are sorted by: of equal outputs, that of a video with this very name comes first."""
    output = usual_names(video.spelled).output
    return as_utf8(output), output != video.spelled, as_utf8(video.uri)
