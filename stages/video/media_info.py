"""MediaInfo: what a container declares about its streams, and where its picture ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_DURATION = 1e-3
"""Seconds below which the declared duration of a last frame is a mere tick of the clock and says nothing."""
MOST_HELD = 1.0
"""Most seconds that a last frame is taken to be shown where nothing declares it."""


@dataclass(frozen=True)
class OtherStream:
    """A stream beside the picture.

    Attributes:
        kind: "audio", "subtitle", "data", "attachment", "video" or "cover art".
        codec: libavcodec's name of its codec; None where it has none.
        has_timecode: whether it carries a timecode, as of a camera or an editing program.
    """

    kind: str
    codec: str | None
    has_timecode: bool = False


@dataclass(frozen=True)
class VideoStream:
    """The first real video stream of a file.

    Attributes:
        codec: libavcodec's name of the codec; "none" where no decoder is known.
        width, height: pixels as displayed, with rotation and pixel shape applied; 0 where the file declares none.
        rate: declared mean frame rate in frames per second; 0 where the file declares none.
        tick: seconds of the clock of its timestamps.
        has_timecode: whether it carries a timecode, as of a camera or an editing program.
        hidden: where an edit list hides some of its frames: "none", "edges" (at the beginning or the end) or "middle".
        stores_times: whether the container stores when each frame is shown.
    """

    codec: str
    width: int
    height: int
    rate: float
    tick: float = 0.0
    has_timecode: bool = False
    hidden: str = "none"
    stores_times: bool = True


@dataclass(frozen=True)
class MediaInfo:
    """The declarations of a container, read before anything of it is decoded.

    Attributes:
        opened: whether a container was recognized at all.
        container: libavformat's name of the container.
        video: the first real video stream, if there is one.
        others: the streams beside it, in their order.
        tracks: channels of each audio stream, 0 where they are not known.
        duration: seconds from the start of the container to the end of the picture; None where only decoding tells.
        declared: seconds that the container declares for all its streams; None where it declares none.
        created: date and time of creation in the form of ISO 8601; None where the container declares none.
    """

    opened: bool
    container: str = ""
    video: VideoStream | None = None
    others: tuple[OtherStream, ...] = ()
    tracks: tuple[int, ...] = ()
    duration: float | None = None
    declared: float | None = None
    created: str | None = None

    @property
    def has_audio(self) -> bool:
        """Whether there is an audio stream."""
        return any(stream.kind == "audio" for stream in self.others)

    @property
    def stores_times(self) -> bool:
        """Whether the container stores when each frame is shown. If not, the first one is shown at 0."""
        return self.video is None or self.video.stores_times

    @property
    def left_behind(self) -> list[str]:
        """Kinds of streams that a scored video does not take along, each once, in alphabetical order.

        The sound is replaced and so not among them. A timecode is carried as a property of the picture.
        """
        kinds = [s.kind for s in self.others if s.kind != "audio" and not (s.kind == "data" and s.has_timecode)]
        return sorted(set(kinds))


def picture_end(last: float, own: float, steps: Sequence[float], rate: float, declared: float | None = None) -> float:
    """Returns the time in seconds at which a picture ends: the last frame's time plus the time that it is shown.

    A player shows the last frame for its own duration. Where that is missing or a mere tick, the end that the picture's
    stream declares decides, and else the usual distance of frames: the median, or what the rate gives, at most a
    second.

    Args:
        last: time of the last frame in seconds.
        own: duration of the last frame in seconds, as its packet declares; 0 where it is missing.
        steps: distances of frames in seconds, as many as are known.
        rate: declared frames per second; 0 where none are declared.
        declared: the end of the stream that its own header declares, in seconds; None where it declares none.
    """
    if own >= LEAST_DURATION:
        return last + own
    if declared is not None and last + LEAST_DURATION <= declared <= last + 2 * MOST_HELD:
        return declared
    real = [step for step in steps if step >= LEAST_DURATION]
    usual = float(np.median(real)) if real else 1.0 / rate if rate else 0.0
    return last + max(own, min(usual, MOST_HELD))
