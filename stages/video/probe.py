"""Probe: reads what a video's container declares, in a tenth of a second and without decoding the video."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

from stages.base import ItemError
from stages.video.child_process import DeadlinePassed, Killed, Limits, Pipe, run_child
from stages.video.decode_settings import DecodeSettings
from stages.video.ffmpeg import FORMATS
from stages.video.media_info import MediaInfo, OtherStream, VideoStream, picture_end
from stages.video.source_file import check_file
from stages.video.validation import validate_header, validate_length

SETTINGS = DecodeSettings()
LIMITS = Limits(deadline=60.0, memory=3 << 30)
MOST_BYTES = 1 << 20
"""Bytes that a description may have."""
JUMPING_CLOCKS = ("mpegts", "mpeg")
"""Containers whose declared length is the difference of their first and last timestamp, between which it may jump."""
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?")
PROGRAM = Path(__file__).with_name("probe_child.py")


def probe(path: Path, settings: DecodeSettings = SETTINGS, *, is_whole: bool = True) -> MediaInfo:
    """Returns what a container declares, read by PyAV in a bounded child process.

    Planning and decoding both decide by this function what can be scored. A file that ends early, and damage in its
    middle, are found only when the video is decoded.

    Args:
        path: a local file.
        settings: settings for reading videos.
        is_whole: whether all bytes of the file are there; if not, what lies between its ends is not read.

    Raises:
        OSError: the file cannot be read.
        ItemError: the video cannot be scored; the kinds are those of `stages.decode.decode`.
    """
    check_file(path)
    info = read_media_info(path, settings, is_whole=is_whole)
    validate_header(path, info, settings)
    if info.duration is not None:
        validate_length(info.duration, settings)
    return info


def read_media_info(path: Path, settings: DecodeSettings = SETTINGS, *, is_whole: bool = True) -> MediaInfo:
    """Returns what a container declares, whether or not it can be scored.

    Raises:
        ItemError: DecodeTimeout, DecodeMemory, DecodeFailed or Killed: the child came to no end of its own.
    """
    output = bytearray()

    def take(chunk: bytes) -> None:
        output.extend(chunk)
        if len(output) > MOST_BYTES:
            raise ItemError("DecodeFailed", "its header describes too many streams: convert the video to H.264 in MP4")

    options = json.dumps({"formats": FORMATS, "max_pixels": settings.max_pixels, "is_whole": is_whole})
    try:
        with Pipe(take) as pipe:
            command = [sys.executable, "-I", str(PROGRAM), _libraries(), str(path), options, str(pipe.writer)]
            result = run_child(command, LIMITS, [pipe])
    except DeadlinePassed:
        raise ItemError("DecodeTimeout", f"its header took more than {LIMITS.deadline:g} s to read") from None
    except Killed as error:
        raise ItemError(error.kind, str(error)) from None
    if result.code < 0:
        hint = "convert the video to H.264 in MP4"
        raise ItemError("DecodeFailed", f"the decoder crashed (signal {-result.code}): {hint}")
    found = json.loads(output) if result.code == 0 else {}
    if found.get("no_memory") or "MemoryError" in result.log or "Cannot allocate memory" in result.log:
        raise ItemError("DecodeMemory", f"its header needs more than {LIMITS.memory >> 20} MiB of memory")
    if not found:
        reason = (result.log.strip().splitlines() or [f"exit code {result.code}"])[-1]
        raise ItemError("DecodeFailed", f"its header cannot be read ({reason}): convert the video to H.264 in MP4")
    return _media_info(found)


@functools.cache
def _libraries() -> str:
    """Returns the folder that holds PyAV, without importing it."""
    found = importlib.util.find_spec("av")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parents[1])


def _media_info(found: dict[str, Any]) -> MediaInfo:
    """Returns the description from what the child wrote."""
    if not found["opened"]:
        return MediaInfo(opened=False)
    picture = found["video"]
    others = [s for s in found["streams"] if not s["chapters"] and (picture is None or s["index"] != picture["index"])]
    tracks = tuple(stream["channels"] or 0 for stream in found["streams"] if stream["type"] == "audio")
    return MediaInfo(
        opened=True,
        container=found["format"],
        video=_video_stream(picture, found["streams"]) if picture else None,
        others=tuple(OtherStream("cover art" if s["still"] else s["type"], s["codec"], s["timecode"]) for s in others),
        tracks=tracks,
        duration=_duration(picture) if picture else None,
        declared=_declared(found),
        created=found["created"] if _DATE.fullmatch(found["created"] or "") else None,
    )


def _declared(found: dict[str, Any]) -> float | None:
    """Returns the seconds from a container's start to its declared end; None where the clock's jumps count in it."""
    if found["duration"] is None or found["format"] in JUMPING_CLOCKS:
        return None
    # Matroska's duration counts from 0, wherever its first timestamp is.
    return float(found["duration"] - (found["start"] if found["format"].startswith("matroska") else 0.0))


def _video_stream(picture: dict[str, Any], streams: list[dict[str, Any]]) -> VideoStream:
    width, height = round(picture["width"] * picture["pixel_shape"]), picture["height"]
    if round(picture["rotation"] / 90) % 2:
        width, height = height, width
    return VideoStream(
        codec=picture["codec"] or "none",
        width=width,
        height=height,
        rate=picture["rate"],
        tick=picture["tick"],
        has_timecode=any(stream["timecode"] for stream in streams),
        hidden=picture["hidden"],
        stores_times=picture["stores_times"],
    )


def _duration(picture: dict[str, Any]) -> float | None:
    """Returns the end of the picture, or None where no packet tells it."""
    if picture["last"] is None:
        return None
    own = picture["end"] - picture["last"]
    return picture_end(picture["last"], own, picture["steps"], picture["rate"])
