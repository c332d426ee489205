"""Inspection: decides, from one probe, whether a video can be scored, how long it is, and what will be written.

The plan and the Decode stage both ask here, so that they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.contracts import Row
from stages.video.containers import CONTAINERS, settle_output
from stages.video.decode_settings import DecodeSettings
from stages.video.media_info import MediaInfo
from stages.video.probe import probe


@dataclass(frozen=True)
class Inspection:
    """What is known of a video before it is decoded: its description, and the name of its scored video."""

    info: MediaInfo
    output: str


def inspect_video(path: Path, row: Row, settings: DecodeSettings, *, is_whole: bool = True) -> Inspection:
    """Returns the description of a video that can be scored, as far as its header tells.

    Args:
        path: a local file.
        row: the video's row, with `output` and `fallback` (null: a .mkv of the same name).
        settings: settings for reading videos; without `settles_output` the row's `output` is kept.
        is_whole: whether all bytes of the file are there.

    Raises:
        OSError: the file cannot be read.
        ItemError: the video cannot be scored; the kinds are those of `stages.decode.decode`.
    """
    info = probe(path, settings, is_whole=is_whole)
    output = row["output"]
    if settings.settles_output and PurePosixPath(output).suffix.lower() in CONTAINERS:
        fallback = row["fallback"] or str(PurePosixPath(output).with_suffix(".mkv"))
        output = settle_output(path, info, output, fallback, PurePosixPath(row["uri"]).name)
    return Inspection(info, output)
