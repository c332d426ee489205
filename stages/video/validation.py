"""Validation: which videos are refused for their header, their length or missing frames, and why."""

from __future__ import annotations

from pathlib import Path

from stages.base import ItemError
from stages.video.decode_settings import DecodeSettings
from stages.video.ffmpeg import FfmpegResult
from stages.video.frame_reader import FrameReader, too_long
from stages.video.source_file import begins_like_video
from stages.video.streams import MediaInfo

CUT_OFF_MESSAGES = ("partial file", "File ended prematurely")
"""Texts in ffmpeg's log which mean that the file ends before its container says so."""


def validate(path: Path, info: MediaInfo, reader: FrameReader, result: FfmpegResult, settings: DecodeSettings) -> None:
    """Refuses a file that, once read, is not a whole video that can be scored.

    Raises:
        ItemError: one of the kinds of `stages.decode.decode`, but for those of its time and memory.
    """
    validate_header(path, info, result, settings)
    last = result.errors[-1] if result.errors else f"exit code {result.code}"
    _validate_end(info, reader, result)
    if result.code:
        raise ItemError("DecodeFailed", f"the decoder gave up ({last}): convert the video to H.264 in MP4")
    validate_length(reader.duration, settings)


def validate_header(path: Path, info: MediaInfo, result: FfmpegResult, settings: DecodeSettings) -> None:
    """Refuses a file for what its container declares.

    Raises:
        ItemError: DecodeFailed, Truncated, NotAVideo, NoVideoStream, TooLarge, UnsupportedCodec.
    """
    if result.code < 0:
        raise ItemError(
            "DecodeFailed", f"the decoder crashed (signal {-result.code}): convert the video to H.264 in MP4"
        )
    if not info.opened:
        if begins_like_video(path):
            raise ItemError("Truncated", "the file is cut off or damaged, its index is missing: copy it again")
        raise ItemError("NotAVideo", "expected a video file, found something else: check the file's content")
    if info.video is None:
        found = "sound alone" if info.has_audio else "none"
        raise ItemError("NoVideoStream", f"expected a video stream, found {found}: score a file with pictures")
    pixels = info.video.width * info.video.height
    if pixels > settings.max_pixels or "exceeds specified max pixel count" in result.log:
        size = f"{info.video.width} x {info.video.height} pixels" if pixels else "frames"
        most = f"more than the {settings.max_pixels / 1e6:.0f} million pixels that can be read"
        raise ItemError("TooLarge", f"{size} are {most}: scale the video down")
    if info.video.codec == "none" or "no decoder found" in result.log or "Decoder not found" in result.log:
        raise ItemError("UnsupportedCodec", f"the codec {info.video.codec} cannot be decoded: convert it to H.264")


def validate_length(seconds: float, settings: DecodeSettings) -> None:
    """Refuses a video that is too short or too long.

    Raises:
        ItemError: TooShort, TooLong.
    """
    if seconds < settings.shortest:
        lengths = f"the video lasts {seconds:.2f} s, expected at least {settings.shortest:g} s"
        raise ItemError("TooShort", f"{lengths}: there is too little to score")
    if seconds > settings.longest:
        raise too_long(seconds, settings.longest)


def _validate_end(info: MediaInfo, reader: FrameReader, result: FfmpegResult) -> None:
    """Refuses a file whose frames are not all there.

    Raises:
        ItemError: Truncated, NoFrames.
    """
    declared, seen = info.duration or 0.0, reader.duration
    is_cut_off = any(message in result.log for message in CUT_OFF_MESSAGES)
    lengths = f"the file should last {declared:.1f} s, its pictures end at {seen:.1f} s"
    hint = "it is cut off or damaged, copy or export it again"
    # The packets of all streams count here: the video stream may rightly be shorter than the sound.
    if declared - max(seen, reader.file_end) > (0.25 if is_cut_off else max(1.0, 0.03 * declared)):
        raise ItemError("Truncated", f"{lengths}: {hint}")
    if not reader.times:
        raise ItemError("NoFrames", "the video stream has no frames that can be shown: export the video again")
    if reader.video_end - seen > max(1.0, 0.03 * declared):
        raise ItemError(
            "Truncated", f"the video's data end at {reader.video_end:.1f} s, what it shows at {seen:.1f} s: {hint}"
        )
