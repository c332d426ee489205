"""Decode: reads a video file once, and gives its frames of each second and how much changes between all its frames."""

from __future__ import annotations

from pathlib import Path

from stages.base import ItemError, Stage, process_each
from stages.contracts import DECODED, MANIFEST, Row
from stages.video.child_process import DeadlinePassed, Limits, MemoryExhausted, Pipe
from stages.video.decode_command import decode_command
from stages.video.decode_settings import DecodeSettings
from stages.video.ffmpeg import run_ffmpeg
from stages.video.frame_reader import FrameReader
from stages.video.inspection import inspect_video
from stages.video.media_info import MediaInfo
from stages.video.probe import probe
from stages.video.source_file import Localize, local_path, open_source
from stages.video.validation import validate

UNREADABLE = "cannot read the file ({reason}): check that it is there and may be read"


class Decode(Stage):
    """Reads each video once, in a bounded child process.

    The frame of second i is the first one that appears in that second; if none does, the one that is on the screen.
    Times are the file's own timestamps as ffmpeg gives them by default (the container starts at 0), so that they are
    also right for a copy of the video stream.

    Args:
        settings: settings for reading videos.
        localize: gives a local path for a uri, for as long as its context is open.
    """

    name = "decode"
    reads = MANIFEST
    writes = DECODED

    def __init__(self, settings: DecodeSettings | None = None, localize: Localize = local_path) -> None:
        self.settings = settings or DecodeSettings()
        self._localize = localize

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return process_each(rows, self._decode)

    def _decode(self, row: Row) -> Row:
        with open_source(row["uri"], self._localize, UNREADABLE) as path:
            found = inspect_video(path, row, self.settings)
            return decode(path, self.settings, found.info) | {"output": found.output}


def decode(path: Path, settings: DecodeSettings, info: MediaInfo | None = None) -> Row:
    """Returns the columns of `DECODED` of one local video file.

    Args:
        path: the file.
        settings: settings for reading videos.
        info: its description, if it was probed already.

    Raises:
        ItemError: one of the kinds NotAVideo, NoVideoStream, UnsupportedCodec, NoContainer, NoFrames, Truncated,
            FramesLost, TooShort, TooLong, TooLarge, DecodeTimeout, DecodeMemory, DecodeFailed.
    """
    info = info or probe(path, settings)
    reader = FrameReader(info, settings.clip_size, settings.longest)
    limits = Limits(settings.deadline, settings.memory)
    try:
        with (
            Pipe(reader.read_times) as times,
            Pipe(reader.read_motion) as motion,
            Pipe(reader.clip_pixels.extend) as clip,
            Pipe(reader.color_pixels.extend) as color,
        ):
            arguments = decode_command(
                path,
                settings,
                stores_times=info.stores_times,
                times=times.url,
                motion=motion.url,
                clip=clip.url,
                color=color.url,
            )
            # Times stand before the frames, so that the time of a frame is known when the frame comes.
            result = run_ffmpeg(arguments, limits, [times, motion, clip, color])
    except DeadlinePassed:
        hint = "cut the video into parts, or raise the deadline"
        raise ItemError("DecodeTimeout", f"decoding took more than {settings.deadline:g} s: {hint}") from None
    except MemoryExhausted:
        size = f"{settings.memory >> 20} MiB"
        raise ItemError("DecodeMemory", f"decoding needs more than {size} of memory: scale the video down") from None
    validate(info, reader, result, settings)
    return reader.columns()
