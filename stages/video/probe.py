"""Probe: reads what a video's container declares, in milliseconds and without decoding the video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stages.base import ItemError
from stages.video.decode_settings import DecodeSettings
from stages.video.ffmpeg import DeadlinePassed, Killed, Limits, MemoryExhausted, media_input, run_ffmpeg
from stages.video.source_file import check_file
from stages.video.streams import MediaInfo, parse_media_info
from stages.video.validation import validate_header, validate_length

SETTINGS = replace(DecodeSettings(), deadline=60.0, memory=2 << 30)


def probe(path: Path, settings: DecodeSettings = SETTINGS) -> MediaInfo:
    """Returns what a container declares, read by the same bounded child process that decodes.

    A file that ends early, and damage in its middle, are found only when the video is decoded.

    Raises:
        OSError: the file cannot be read.
        ItemError: `Decode` would refuse the file too; the kinds are those of `stages.decode.decode`.
    """
    check_file(path)
    source = media_input(str(path), max_pixels=settings.max_pixels)
    options = source.node.kwargs
    named = [word for name, value in options.items() if name != "filename" for word in (f"-{name}", str(value))]
    limits = Limits(settings.deadline, settings.memory)
    try:
        # Without an output ffmpeg describes its input and then ends with an error code, which does not count here.
        result = run_ffmpeg([*named, "-i", options["filename"]], limits)
    except DeadlinePassed:
        raise ItemError("DecodeTimeout", f"its header took more than {settings.deadline:g} s to read") from None
    except MemoryExhausted:
        raise ItemError("DecodeMemory", f"its header needs more than {settings.memory >> 20} MiB of memory") from None
    except Killed as error:
        raise ItemError(error.kind, str(error)) from None
    info = parse_media_info(result.log)
    validate_header(path, info, result, settings)
    if info.duration is not None:
        validate_length(info.duration, settings)
    return info
