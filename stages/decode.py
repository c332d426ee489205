"""Decode: a video file to pictures once a second and the pace of all its frames, in one pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from stages.base import ItemError, Stage
from stages.contracts import DECODED, MANIFEST, Row
from stages.video import ffmpeg as child
from stages.video.decode_command import command
from stages.video.frame_reader import Reading
from stages.video.localize import Localize, local_path
from stages.video.streams import file_facts
from stages.video.validation import DecodeSettings, check_file, judge


class Decode(Stage):
    """Reads each video once, in a bounded child process.

    The frame of second i is the first that is shown at i seconds or later, or else the last one. Times are the file's
    own timestamps as ffmpeg puts them out by default (the container's start is 0), so they fit a copied stream.

    Args:
        settings: see `DecodeSettings`.
        localize: gives a local path for a uri, for as long as its context is open.
    """

    name = "decode"
    reads = MANIFEST
    writes = DECODED

    def __init__(self, settings: DecodeSettings | None = None, localize: Localize = local_path) -> None:
        self.settings = settings or DecodeSettings()
        self._localize = localize

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        results: list[Row | Exception] = []
        for row in rows:
            try:
                with self._opened(row["uri"]) as path:
                    results.append(decode(path, self.settings))
            except ItemError as fault:
                results.append(fault)
        return results

    @contextlib.contextmanager
    def _opened(self, uri: str) -> Iterator[Path]:
        """The local path of a uri that can be read."""
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(self._localize(uri))
                check_file(path)
            except OSError as fault:
                reason = fault.strerror or str(fault)
                hint = "check that it is there and may be read"
                raise ItemError("Unreadable", f"cannot read the file ({reason}): {hint}") from None
            yield path


def decode(path: Path, settings: DecodeSettings) -> Row:
    """The columns of `DECODED` for one local video file.

    Raises:
        ItemError: of one of the kinds NotAVideo, NoVideoStream, UnsupportedCodec, NoFrames, Truncated, TooShort,
            TooLong, TooLarge, DecodeTimeout, DecodeMemory, DecodeFailed.
    """
    reading = Reading(settings.clip_size, settings.longest)
    limits = child.Limits(settings.deadline, settings.memory)
    try:
        with (
            child.Pipe(reading.take_time) as times,
            child.Pipe(reading.take_pace) as pace,
            child.Pipe(reading.clip.extend) as clip,
            child.Pipe(reading.color.extend) as color,
        ):
            arguments = command(path, settings, times=times.url, pace=pace.url, clip=clip.url, color=color.url)
            # Times before frames: a frame's time is then known when the frame comes.
            outcome = child.run(arguments, limits, [times, pace, clip, color], reading.log)
    except child.DeadlinePassed:
        hint = "cut the video into parts, or raise the deadline"
        raise ItemError("DecodeTimeout", f"decoding took more than {settings.deadline:g} s: {hint}") from None
    except child.MemoryExhausted:
        size = f"{settings.memory >> 20} MiB"
        raise ItemError("DecodeMemory", f"decoding needs more than {size} of memory: scale the video down") from None
    facts = reading.facts or file_facts(outcome.log)
    judge(path, facts, reading, outcome, settings)
    return reading.columns(facts)
