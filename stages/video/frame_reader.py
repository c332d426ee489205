"""FrameReader: takes the outputs of the decoder while it runs, and keeps only what the later stages need."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from models.lengths import whole_seconds
from stages.base import ItemError
from stages.contracts import Row
from stages.video.ffmpeg import BoundedLog
from stages.video.motion import MotionMeter
from stages.video.streams import MediaInfo, parse_media_info

COLOR_SIZE = 150  # side of the frames for the color histogram, in pixels
MOTION_SIZE = (160, 90)  # width and height of the frames for cuts and differences, whose cost is that of their area
MOST_FRAMES = 1_000_000  # frames of a video: half an hour at more than 500 per second
TICK = 1e-6  # seconds by which two times may differ and still count as equal
# Expression for ffmpeg's `select` filter: the first frame of each second. `t` is the time in seconds in the output.
FIRST_OF_SECOND = f"isnan(prev_selected_t)+gte(t+{TICK:.6f},floor(prev_selected_t+{TICK:.6f})+1)"

Pixels = npt.NDArray[np.uint8]


class FrameReader:
    """Takes the decoder's outputs as they come; of the large frames only those of whole seconds are kept.

    Args:
        clip_size: side of the frames for the image encoder, in pixels.
        longest: length in seconds above which a video is refused.

    Attributes:
        log: takes what ffmpeg says.
        info: what the container declares; None until the first frame comes.
        clip_pixels, color_pixels: bytes of the frames of whole seconds, for the image encoder and the color histogram.
        times: time in seconds of every frame.
        last_duration: seconds that the last frame is shown, as the file declares.
        video_end: time in seconds at which the packets of the video stream end, decodable or not.
        file_end: time in seconds at which the packets of all streams end.
    """

    def __init__(self, clip_size: int, longest: float) -> None:
        self._clip_size = clip_size
        self._longest = longest
        self.log = BoundedLog()
        self.info: MediaInfo | None = None
        self.clip_pixels = bytearray()
        self.color_pixels = bytearray()
        self.times: list[float] = []
        self.last_duration = 0.0
        self.video_end = 0.0
        self.file_end = 0.0
        self._time_bases: dict[int, Fraction] = {}
        self._line = b""
        self._pending: deque[int] = deque()  # timestamps of frames whose pixels are still to come
        self._motion_pixels = bytearray()
        self._meter: MotionMeter | None = None

    def read_times(self, chunk: bytes) -> None:
        """Takes lines of ffmpeg's `framecrc`: `#tb stream: base`, then `stream, dts, pts, duration, size, checksum`.

        Raises:
            ItemError: TooLong, TooLarge.
        """
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"#tb "):
                stream, base = line[4:].split(b":")
                self._time_bases[int(stream)] = Fraction(base.strip().decode())
            elif line and not line.startswith(b"#"):
                number, _, pts, duration = (int(field) for field in line.split(b",", 4)[:4])
                self._add_packet(number, pts, duration)

    def _add_packet(self, stream: int, pts: int, duration: int) -> None:
        """Takes the times of one frame (stream 0) or one packet (the other streams)."""
        base = self._time_bases[stream]
        if stream:
            end = (pts + duration) * base.numerator / base.denominator
            self.video_end = max(self.video_end, end) if stream == 1 else self.video_end
            self.file_end = max(self.file_end, end)
            return
        if self._meter is None:
            self._start()
        time = pts * base.numerator / base.denominator
        if time > self._longest:
            raise too_long(time, self._longest)
        if len(self.times) == MOST_FRAMES:
            raise ItemError(
                "TooLarge", f"more than {MOST_FRAMES:,} frames: convert the video to a usual frame rate, as 60 a second"
            )
        self.times.append(max(time, self.times[-1]) if self.times else time)
        self.last_duration = duration * base.numerator / base.denominator
        self._pending.append(pts)

    def _start(self) -> None:
        """Called before the first frame: refuses a video that need not be read to its end."""
        self.info = parse_media_info(self.log.text)
        if self.info.duration is not None and self.info.duration > 2 * self._longest:
            raise too_long(self.info.duration, self._longest)
        self._meter = MotionMeter()

    def read_motion(self, chunk: bytes) -> None:
        """Takes pixels of the small frames."""
        self._motion_pixels += chunk
        self._measure()

    def _measure(self) -> None:
        """Measures the small frames whose pixels and times have both come."""
        width, height = MOTION_SIZE
        size = width * height * 3
        ready = min(len(self._pending), len(self._motion_pixels) // size)
        if not ready or self._meter is None:
            return
        whole = bytes(memoryview(self._motion_pixels)[: ready * size])
        del self._motion_pixels[: ready * size]
        for frame in np.frombuffer(whole, np.uint8).reshape(ready, height, width, 3):
            self._meter.add(frame, self._pending.popleft(), self._time_bases[0])

    @property
    def duration(self) -> float:
        """Seconds from 0 to the end of the last frame.

        If the last frame's own duration is missing or a mere tick of the clock, the usual duration is taken: the median
        gap between frames, or else what the declared frame rate gives.
        """
        gaps = np.diff(self.times)
        usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 0.0
        if not usual and self.info and self.info.video and self.info.video.rate:
            usual = 1.0 / self.info.video.rate
        last = self.last_duration if self.last_duration >= usual / 2 else usual
        return self.times[-1] + last if self.times else 0.0

    def columns(self, info: MediaInfo) -> Row:
        """Returns the columns of `DECODED`, after all outputs were read."""
        self._measure()
        assert info.video is not None
        assert self._meter is not None
        seconds, side = whole_seconds(self.duration), self._clip_size
        return {
            "duration": self.duration,
            "media": {
                "width": info.video.width,
                "height": info.video.height,
                "fps": len(self.times) / self.duration,
                "codec": info.video.codec,
                "has_audio": info.has_audio,
            },
            "clip_frames": _frames_of_seconds(self.clip_pixels, side, self.times, seconds),
            "color_frames": _frames_of_seconds(self.color_pixels, COLOR_SIZE, self.times, seconds),
            "frame_times": np.array(self.times, np.float64),
            "difference": self._meter.difference,
            "cuts": self._meter.cuts,
        }


def _frames_of_seconds(data: bytearray, side: int, times: list[float], seconds: int) -> Pixels:
    """Returns [seconds, side, side, 3] RGB: the frame of each second, from the bytes of those of `FIRST_OF_SECOND`."""
    frames = np.frombuffer(data, np.uint8, len(data) // (side * side * 3) * side * side * 3).reshape(-1, side, side, 3)
    index = np.minimum(frame_of_second(times, seconds), len(frames) - 1)
    return frames[:seconds] if np.array_equal(index, np.arange(seconds)) else frames[index]


def frame_of_second(times: list[float], seconds: int) -> npt.NDArray[np.int64]:
    """Returns which of the frames picked by `FIRST_OF_SECOND` belongs to each second.

    Args:
        times: [frames] times in seconds, rising.
        seconds: number of seconds.

    Returns:
        [seconds] index among the picked frames. The number of picked frames, one past the last index, stands for a
        second without a frame of its own, which gets the last frame.
    """
    picked = [times[0]]
    for time in times[1:]:
        if time + TICK >= np.floor(picked[-1] + TICK) + 1:
            picked.append(time)
    return np.searchsorted(np.array(picked) + TICK, np.arange(seconds), side="left")


def too_long(seconds: float, longest: float) -> ItemError:
    """Returns the error of a video that lasts `seconds` where `longest` are allowed."""
    most = f"the longest that can be scored is {longest / 60:.0f} minutes"
    return ItemError("TooLong", f"the video lasts {seconds / 60:.1f} minutes or more, {most}: cut it into parts")
