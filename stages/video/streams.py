"""Parses ffmpeg's description of a file: its streams, and the duration that the container declares."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DURATION = re.compile(r"^\[info\] {3}Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?),", re.M)
# Streams of a group, such as a picture with its timecode track, are indented once more than others.
_STREAM = re.compile(r"^\[info\] {3,}Stream #0:\d+\S*: (Video|Audio): (\w+)(.*)$", re.M)
_ANY_STREAM = re.compile(r"^\[info\] +Stream (?:group )?#", re.M)
_SIZE = re.compile(r", (\d+)x(\d+)(?=[ ,]|$)(?: \[SAR (\d+):(\d+))?")
_RATE = re.compile(r", (\d+(?:\.\d+)?)(k?) (fps|tbr)")
_ROTATION = re.compile(r"display ?matrix: rotation of (-?\d+(?:\.\d+)?) degrees", re.I)
# Marks of video streams that are mere pictures, such as cover art. ffmpeg's stream specifier `V` leaves out the same.
_STILL = ("(attached pic)", "(timed thumbnails)", "(still image)")
_END = ("\n[info] Stream mapping:", "\n[info] Output #")


@dataclass(frozen=True)
class VideoStream:
    """The first real video stream of a file.

    Attributes:
        codec: ffmpeg's name of the codec.
        width, height: pixels as displayed, with rotation and pixel shape applied; 0 where the file declares none.
        rate: declared mean frame rate in frames per second; 0 where the file declares none.
    """

    codec: str
    width: int
    height: int
    rate: float


@dataclass(frozen=True)
class MediaInfo:
    """The declarations of a container, read before anything of it is decoded.

    Attributes:
        opened: whether ffmpeg recognized a container at all.
        video: the first real video stream, if there is one.
        has_audio: whether there is an audio stream.
        duration: declared length in seconds; None where the container declares none.
    """

    opened: bool
    video: VideoStream | None
    has_audio: bool
    duration: float | None


def parse_media_info(log: str) -> MediaInfo:
    """Returns the description of input 0 in ffmpeg's log, written at `-loglevel level+info`."""
    start = log.find("[info] Input #0, ")
    if start < 0:
        return MediaInfo(False, None, False, None)
    ends = [at for mark in _END if (at := log.find(mark, start)) >= 0]
    text = log[start : min(ends, default=len(log))]
    streams = list(_STREAM.finditer(text))
    videos = [m for m in streams if m[1] == "Video" and not any(mark in m[3] for mark in _STILL)]
    duration = _DURATION.search(text)
    guessed = "Estimating duration from bitrate" in log
    seconds = None if guessed or not duration else int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])
    video = None
    if videos:
        side_data = _ANY_STREAM.split(text[videos[0].end() :], maxsplit=1)[0]
        video = _parse_video(videos[0][2], videos[0][3], side_data)
    return MediaInfo(True, video, any(m[1] == "Audio" for m in streams), seconds)


def _parse_video(codec: str, line: str, side_data: str) -> VideoStream:
    """Returns a video stream from the rest of its line in the log and from the lines below it."""
    width = height = 0
    if size := _SIZE.search(line):
        width, height = int(size[1]), int(size[2])
        if size[3] and int(size[3]) and int(size[4]):
            width = round(width * int(size[3]) / int(size[4]))
    rotation = _ROTATION.search(side_data)
    if rotation and round(float(rotation[1]) / 90) % 2:
        width, height = height, width
    # Some containers declare the rate of their fine clock as the mean frame rate (fps). The base rate (tbr) is then the
    # lower and true one.
    rates = [float(value) * (1000 if kilo else 1) for value, kilo, _ in _RATE.findall(line)]
    return VideoStream(codec, width, height, min((r for r in rates if r > 0), default=0.0))
