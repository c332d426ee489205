"""Probing: what the headers of videos tell about a run, without decoding or fetching whole videos."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.progress import ProgressCallback
from pipeline.discovery import READERS
from pipeline.storage.storage import Storage, StorageError
from stages.base import ItemError
from stages.contracts import Row
from stages.video.decode_settings import DecodeSettings
from stages.video.inspection import inspect_video

HEAD, TAIL = 1 << 20, 4 << 20
"""Bytes at the beginning and at the end of a remote file that are fetched to probe it; its index is in one of them."""


@dataclass(frozen=True)
class ProbedVideos:
    """What the headers of some videos tell.

    Attributes:
        found: for each video its `uri`, and either `type` and `message` of an error, or `duration` (None where only
            decoding tells), the `wanted` name, the `output` that will be written, and the streams `left_behind`.
    """

    found: list[Row]

    @property
    def unusable(self) -> list[Row]:
        """The videos that cannot be scored, with `uri`, `type` and `message`."""
        return [video for video in self.found if "type" in video]

    @property
    def usable_share(self) -> float:
        """The share of the videos that can be scored, 0..1; 1 of none."""
        return 1 - len(self.unusable) / len(self.found) if self.found else 1.0

    @property
    def lengths(self) -> list[float]:
        """The lengths in seconds, of those videos whose header tells it."""
        return [video["duration"] for video in self.found if video.get("duration")]

    @property
    def guessed(self) -> int:
        """The number of usable videos whose length only decoding tells."""
        return len(self.found) - len(self.unusable) - len(self.lengths)

    @property
    def other_containers(self) -> list[Row]:
        """The videos that get another container than wanted, with `uri`, `wanted` and `output`."""
        usable = [video for video in self.found if "output" in video]
        return [{k: v[k] for k in ("uri", "wanted", "output")} for v in usable if v["output"] != v["wanted"]]

    @property
    def left_behind(self) -> Counter[str]:
        """The number of videos with each kind of stream that a scored video does not take along."""
        return Counter(kind for video in self.found for kind in video.get("left_behind", ()))


def probe_videos(rows: Sequence[Row], on_progress: ProgressCallback) -> ProbedVideos:
    """Probes many videos at once.

    Args:
        rows: rows of a manifest.
        on_progress: receives the number of videos probed and to probe.
    """
    remote = any("://" in row["uri"] for row in rows)
    probes = []
    with ThreadPoolExecutor(READERS["remote" if remote else "local"]) as readers:
        for found in readers.map(_probe, rows):
            probes.append(found)
            on_progress(len(probes), len(rows))
    return ProbedVideos(probes)


def _probe(row: Row) -> Row:
    """Returns the `uri` with `duration` (None if only decoding tells) and `output`, or with the `type` and `message` of
    an error.
    """
    if row["error"]:
        return {"uri": row["uri"], "type": row["error"]["type"], "message": row["error"]["message"]}
    try:
        with _both_ends(row["uri"]) as (path, is_whole):
            found = inspect_video(path, row, DecodeSettings(), is_whole=is_whole)
            return {
                "uri": row["uri"],
                "duration": found.info.duration,
                "output": found.output,
                "wanted": row["output"],
                "left_behind": found.info.left_behind,
            }
    except (ItemError, StorageError) as error:
        return {"uri": row["uri"], "type": error.kind, "message": str(error)}
    except OSError as error:
        return {"uri": row["uri"], "type": "Unreadable", "message": error.strerror or str(error)}


@contextmanager
def _both_ends(uri: str) -> Iterator[tuple[Path, bool]]:
    """Gives a local file to probe, and whether it is whole: the video itself, or of a large remote one both ends."""
    storage, name = Storage.locate(uri)
    if storage.local:
        with storage.localize(name) as path:
            yield path, True
        return
    size = storage.size(name) or 0
    wanted = [(0, size)] if size <= HEAD + TAIL else [(0, HEAD), (size - TAIL, TAIL)]
    with tempfile.NamedTemporaryFile(prefix="diff-v2m-") as copy:
        for (offset, _), block in zip(wanted, storage.ranges(name, wanted), strict=True):
            copy.seek(offset)
            copy.write(block)
        copy.truncate(size)
        copy.flush()
        yield Path(copy.name), len(wanted) == 1
