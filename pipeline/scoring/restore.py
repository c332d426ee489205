"""Restoring: music that an earlier run kept comes back from the destination, in place of all stages before the mix."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.destination.ledger import DONE
from pipeline.storage.storage import WORK, Storage, StorageError
from stages.audio.kept_music import read_kept_music
from stages.base import ItemError, Stage, process_each
from stages.contracts import COMMON, MANIFEST, SOUND, Row
from stages.error_kinds import NOT_FOUND

KEPT_MUSIC = f"{WORK}/music"
"""Folder of a destination that holds the music which is kept for another mix."""


def kept_music_folder(music: str) -> str:
    """Returns the folder of kept music of a fingerprint; the name of each file in it is its video's item id."""
    return f"{KEPT_MUSIC}/{music}"


def kept_music(rows: pa.Table, music: str) -> dict[str, Row]:
    """Returns the files of kept music of a fingerprint as a ledger's rows record them, by item id; the last of each.

    Args:
        rows: rows of a ledger, oldest first.
        music: fingerprint of the music.
    """
    folder, found = kept_music_folder(music), dict[str, Row]()
    for row in rows.select(["item_id", "state", "outputs"]).to_pylist():
        for output in row["outputs"] or () if row["state"] == DONE else ():
            if output["name"].startswith(f"{folder}/"):
                found[row["item_id"]] = output
    return found


@dataclass(frozen=True)
class RestoreMusicSettings:
    """Where the music lies.

    Attributes:
        destination: storage that holds it.
        kept: file of each item, as the ledger recorded it, by item id.
    """

    destination: Storage
    kept: Mapping[str, Row] = field(default_factory=dict, hash=False)


class RestoreMusic(Stage):
    """Gives each row of a manifest its columns before the mix. A file that is not what was recorded is an error."""

    name = "restore"
    reads, writes = MANIFEST, SOUND

    def __init__(self, settings: RestoreMusicSettings) -> None:
        self.settings = settings

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return process_each(rows, self._restore)

    def _restore(self, row: Row) -> Row:
        recorded = self.settings.kept[row["item_id"]]
        try:
            data = self.settings.destination.read(recorded["name"])
        except StorageError as error:
            if error.kind != NOT_FOUND:
                raise
            raise _lost("is gone") from error
        if hashlib.sha256(data).hexdigest() != recorded["sha256"]:
            raise _lost("has changed")
        try:
            found = read_kept_music(data)
        except ValueError as error:
            raise _lost("was written by another version") from error
        own = {name: found[name] for name in ("output", "duration")}
        return own | {name: value for name, value in found.items() if name not in COMMON}


def _lost(reason: str) -> ItemError:
    return ItemError("MusicLost", f"the music that was kept for another mix {reason}: it is made again")


def without_kept(rows: pa.Table, music: str, kept: Mapping[str, Row]) -> pa.Table:
    """Returns the ledger's rows but those with music of a fingerprint that is kept."""
    pairs = rows.select(["item_id", "music"]).to_pylist()
    return rows.filter(pa.array([row["music"] != music or row["item_id"] not in kept for row in pairs], pa.bool_()))


def split_kept(todo: pa.Table, kept: Mapping[str, Row]) -> Sequence[pa.Table]:
    """Returns the rows of a manifest whose music is kept, and the other ones."""
    is_kept = [item in kept for item in todo["item_id"].to_pylist()]
    return todo.filter(pa.array(is_kept, pa.bool_())), todo.filter(pa.array([not k for k in is_kept], pa.bool_()))
