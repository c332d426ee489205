"""What ffmpeg says of a file in its log: the streams in it, and how long the file claims to be."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DURATION = re.compile(r"^\[info\] {3}Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?),", re.M)
_STREAM = re.compile(r"^\[info\] {3}Stream #0:\d+\S*: (Video|Audio): (\w+)(.*)$", re.M)
_SIZE = re.compile(r", (\d+)x(\d+)(?=[ ,]|$)(?: \[SAR (\d+):(\d+))?")
_RATE = re.compile(r", (\d+(?:\.\d+)?)(k?) (fps|tbr)")
_ROTATION = re.compile(r"display ?matrix: rotation of (-?\d+(?:\.\d+)?) degrees", re.I)
# Pictures that travel in a container without being its film; ffmpeg's own `V` stream specifier leaves the same out.
_STILL = ("(attached pic)", "(timed thumbnails)", "(still image)")
_END = ("\n[info] Stream mapping:", "\n[info] Output #")


@dataclass(frozen=True)
class VideoStream:
    """The first real video stream of a file."""

    codec: str
    width: int  # pixels as displayed: rotation and pixel shape applied; 0 where the file does not tell
    height: int
    rate: float  # mean frames a second as declared; 0 where the file does not tell


@dataclass(frozen=True)
class FileFacts:
    """What a container declares before anything of it is decoded."""

    opened: bool  # whether ffmpeg recognised a container at all
    video: VideoStream | None
    has_audio: bool
    duration: float | None  # seconds; null where the container declares none


def file_facts(log: str) -> FileFacts:
    """Read the description of input 0 from ffmpeg's log at `-loglevel level+info`."""
    start = log.find("[info] Input #0, ")
    if start < 0:
        return FileFacts(False, None, False, None)
    ends = [at for mark in _END if (at := log.find(mark, start)) >= 0]
    text = log[start : min(ends, default=len(log))]
    streams = list(_STREAM.finditer(text))
    films = [m for m in streams if m[1] == "Video" and not any(mark in m[3] for mark in _STILL)]
    duration = _DURATION.search(text)
    guessed = "Estimating duration from bitrate" in log
    seconds = None if guessed or not duration else int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])
    video = None
    if films:
        after = text[films[0].end() :].split("[info]   Stream #", 1)[0]
        video = _video(films[0][2], films[0][3], after)
    return FileFacts(True, video, any(m[1] == "Audio" for m in streams), seconds)


def _video(codec: str, line: str, after: str) -> VideoStream:
    width = height = 0
    if size := _SIZE.search(line):
        width, height = int(size[1]), int(size[2])
        if size[3] and int(size[3]) and int(size[4]):
            width = round(width * int(size[3]) / int(size[4]))
    rotation = _ROTATION.search(after)
    if rotation and round(float(rotation[1]) / 90) % 2:
        width, height = height, width
    # A container with a fine clock may give the clock as its mean rate; the base rate is then the lower and true one.
    rates = [float(value) * (1000 if kilo else 1) for value, kilo, _ in _RATE.findall(line)]
    return VideoStream(codec, width, height, min((r for r in rates if r > 0), default=0.0))
