"""Containers of scored videos: which one takes a source's pictures, settled before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from stages.base import ItemError
from stages.video.child_process import DeadlinePassed, Killed, Limits, MemoryExhausted
from stages.video.ffmpeg import media_input, run_ffmpeg
from stages.video.media_info import MediaInfo, VideoStream


@dataclass(frozen=True)
class Container:
    """A container that is written.

    Attributes:
        muxer: ffmpeg's name of its muxer.
        encoder: ffmpeg's name of the encoder of its soundtrack.
        options: options of the encoder and the muxer.
        codecs: codecs of pictures that it is known to hold; whether it holds another one is tried.
        has_edit_lists: whether it can hide frames that only serve to decode others.
    """

    muxer: str
    encoder: str
    options: dict[str, Any] = field(default_factory=dict)
    codecs: frozenset[str] = frozenset()
    has_edit_lists: bool = False


_ISO = {"audio_bitrate": "192k", "movflags": "+faststart"}
_OPUS = {"audio_bitrate": "160k"}
_SHARED = {"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg"}
_MP4 = Container("mp4", "aac", _ISO, frozenset(_SHARED | {"av1", "vp9"}), has_edit_lists=True)
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container("mov", "aac", _ISO, frozenset(_SHARED | {"prores"}), has_edit_lists=True),
    ".webm": Container("webm", "libopus", _OPUS, frozenset({"vp8", "vp9", "av1"})),
    ".mkv": Container(
        "matroska", "libopus", _OPUS, frozenset(_SHARED | {"vp8", "vp9", "av1", "prores", "ffv1", "theora"})
    ),
}
"""Containers by the suffix of their files."""
LIMITS = Limits(deadline=60.0, memory=2 << 30)
FRAMES_TRIED = 3


def settle_output(path: Path, info: MediaInfo, output: str, fallback: str, source: str) -> str:
    """Returns the name of a scored video, whose suffix is that of a container which holds the source's pictures.

    The container of `output` is taken where it can be, then that of `fallback`, then MOV or MP4 under the full name of
    the source, which no other video's result has: `a.qt.mov`.

    Args:
        path: the source.
        info: its description, with a video stream.
        output: wanted name, with a suffix of `CONTAINERS`.
        fallback: name that is used where the wanted container cannot hold the pictures.
        source: name of the source, without folders.

    Raises:
        ItemError: NoContainer: no container can show what a player of the source shows.
    """
    assert info.video is not None
    if info.video.hidden == "middle":
        hint = "export the video again, so that it holds no frames that are not shown"
        raise ItemError("NoContainer", f"its edit list hides frames in its middle, which a copy would show: {hint}")
    others = [str(PurePosixPath(fallback).with_name(source + suffix)) for suffix in (".mov", ".mp4")]
    for name in dict.fromkeys((output, fallback, *others)):
        if _holds(CONTAINERS[PurePosixPath(name).suffix.lower()], path, info.video):
            return name
    hint = "convert the video to H.264"
    raise ItemError("NoContainer", f"no container can take its pictures (codec {info.video.codec}): {hint}")


def _holds(container: Container, path: Path, video: VideoStream) -> bool:
    """Whether a container can hold a video stream; where that is not known, ffmpeg tries it with the first frames."""
    import ffmpeg

    if video.hidden != "none" and not container.has_edit_lists:
        return False
    if video.codec in container.codecs:
        return True
    source = media_input(path, fflags="+genpts")["V:0"]
    trial = ffmpeg.output(source, "/dev/null", vcodec="copy", f=container.muxer, **{"frames:v": FRAMES_TRIED})
    try:
        return run_ffmpeg(trial.get_args(), LIMITS).code == 0
    except (DeadlinePassed, MemoryExhausted):
        return False
    except Killed as error:
        raise ItemError(error.kind, str(error)) from None
