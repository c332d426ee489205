"""Validation: which videos are refused for their header, their length or missing frames, and why."""

from __future__ import annotations

from pathlib import Path

from stages.base import ItemError
from stages.video.decode_settings import DecodeSettings
from stages.video.ffmpeg import FfmpegResult
from stages.video.frame_reader import FrameReader, too_long
from stages.video.media_info import MediaInfo
from stages.video.source_file import begins_like_video

CUT_OFF_MESSAGES = ("partial file", "File ended prematurely")
"""Texts in ffmpeg's log which mean that the file ends before its container says so."""

DAMAGE_MESSAGES = ("corrupt input packet", "corrupt decoded frame", "Packet corrupt", "timestamp discontinuity")
"""Texts in ffmpeg's log which mean that some of the file's data could not be used."""


def validate(info: MediaInfo, reader: FrameReader, result: FfmpegResult, settings: DecodeSettings) -> None:
    """Refuses a file that, once read, is not a whole video that can be scored.

    Raises:
        ItemError: one of the kinds of `stages.decode.decode`, but for those of its time and memory.
    """
    if result.code < 0:
        hint = "convert the video to H.264 in MP4"
        raise ItemError("DecodeFailed", f"the decoder crashed (signal {-result.code}): {hint}")
    assert info.video is not None
    if "exceeds specified max pixel count" in result.log:
        raise _too_large("frames", settings)
    if "no decoder found" in result.log or "Decoder not found" in result.log:
        raise _unsupported(info.video.codec)
    last = result.errors[-1] if result.errors else f"exit code {result.code}"
    _validate_end(info, reader, result)
    if result.code:
        raise ItemError("DecodeFailed", f"the decoder gave up ({last}): convert the video to H.264 in MP4")
    validate_length(reader.duration, settings)
    damage = reader.damage(is_damaged=has_damage(result))
    if damage.seconds_held > settings.max_lost * reader.duration:
        lost = f"{damage.frames_lost} frames ({damage.seconds_held:.1f} s) cannot be read"
        most = f"more than {settings.max_lost:.0%} of the video"
        raise ItemError("FramesLost", f"{lost}, {most}: copy or export it again, or raise --max-lost")


def has_damage(result: FfmpegResult) -> bool:
    """Whether the decoder complained about the file's data."""
    return bool(result.errors) or any(message in result.log for message in DAMAGE_MESSAGES)


def validate_header(path: Path, info: MediaInfo, settings: DecodeSettings) -> None:
    """Refuses a file for what its container declares.

    Raises:
        ItemError: Truncated, NotAVideo, NoVideoStream, TooLarge, UnsupportedCodec.
    """
    if not info.opened:
        if begins_like_video(path):
            raise ItemError("Truncated", "the file is cut off or damaged, its index is missing: copy it again")
        raise ItemError("NotAVideo", "expected a video file, found something else: check the file's content")
    if info.video is None:
        found = "sound alone" if info.has_audio else "none"
        raise ItemError("NoVideoStream", f"expected a video stream, found {found}: score a file with pictures")
    if info.video.width * info.video.height > settings.max_pixels:
        raise _too_large(f"{info.video.width} x {info.video.height} pixels", settings)
    if info.video.codec == "none":
        raise _unsupported(info.video.codec)


def _too_large(size: str, settings: DecodeSettings) -> ItemError:
    most = f"more than the {settings.max_pixels / 1e6:.0f} million pixels that can be read"
    return ItemError("TooLarge", f"{size} are {most}: scale the video down")


def _unsupported(codec: str) -> ItemError:
    return ItemError("UnsupportedCodec", f"the codec {codec} cannot be decoded: convert it to H.264")


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
    seen = reader.duration
    # What the file lacks is missing at the end of the picture, or at the end of everything that the container holds:
    # subtitles and sound may rightly be longer than the picture, but then their packets are there.
    missing = max((info.duration or 0.0) - seen, (info.declared or 0.0) - max(seen, reader.file_end))
    declared = max(info.duration or 0.0, info.declared or 0.0)
    is_cut_off = any(message in result.log for message in CUT_OFF_MESSAGES)
    lengths = f"the file should last {declared:.1f} s, its pictures end at {seen:.1f} s"
    hint = "it is cut off or damaged, copy or export it again"
    if missing > (0.25 if is_cut_off else max(1.0, 0.03 * declared)):
        raise ItemError("Truncated", f"{lengths}: {hint}")
    if not reader.times:
        raise ItemError("NoFrames", "the video stream has no frames that can be shown: export the video again")
    if reader.video_end - seen > max(1.0, 0.03 * declared):
        raise ItemError(
            "Truncated", f"the video's data end at {reader.video_end:.1f} s, what it shows at {seen:.1f} s: {hint}"
        )
