"""Reading: what the decoder puts out, taken in while it runs."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from models.lengths import whole_seconds
from stages.base import ItemError
from stages.contracts import Row
from stages.video.ffmpeg import Log
from stages.video.motion import PaceMeter
from stages.video.streams import FileFacts, file_facts

COLOR_SIZE = 150  # side of the frames for the color histogram
PACE_SIZE = (160, 90)  # width, height of the frames for cuts and differences; the cost of both goes with their area
MOST_FRAMES = 1_000_000  # of a video: half an hour at more than 500 a second
TICK = 1e-6  # seconds; what two times may differ by and be the same
# The first frame of each second; ffmpeg's `t` is in seconds on its output's time axis.
FIRST_OF_SECOND = f"isnan(prev_selected_t)+gte(t+{TICK:.6f},floor(prev_selected_t+{TICK:.6f})+1)"

Pixels = npt.NDArray[np.uint8]


class Reading:
    """What comes out of the decoder, taken in as it comes: only the frames of whole seconds are kept.

    Args:
        clip_size: side of the frames for the image encoder.
        longest: seconds after which a video is refused.
    """

    def __init__(self, clip_size: int, longest: float) -> None:
        self._clip_size = clip_size
        self._longest = longest
        self.log = Log()
        self.facts: FileFacts | None = None
        self.clip = bytearray()
        self.color = bytearray()
        self.times: list[float] = []
        self.last_duration = 0.0  # of the last frame, in seconds, as the file has it
        self.film_end = 0.0  # of the video stream's packets, whether or not they could be decoded
        self.file_end = 0.0  # of the packets of all streams
        self._bases: dict[int, Fraction] = {}
        self._line = b""
        self._waiting: deque[int] = deque()  # timestamps of frames whose pixels are still to come
        self._pixels = bytearray()
        self._meter: PaceMeter | None = None

    def take_time(self, chunk: bytes) -> None:
        """Lines of ffmpeg's `framecrc`: `#tb stream: base`, then `stream, dts, pts, duration, size, checksum`."""
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"#tb "):
                stream, base = line[4:].split(b":")
                self._bases[int(stream)] = Fraction(base.strip().decode())
            elif line and not line.startswith(b"#"):
                number, _, pts, duration = (int(field) for field in line.split(b",", 4)[:4])
                self._take(number, pts, duration)

    def _take(self, stream: int, pts: int, duration: int) -> None:
        base = self._bases[stream]
        if stream:
            end = (pts + duration) * base.numerator / base.denominator
            self.film_end = max(self.film_end, end) if stream == 1 else self.film_end
            self.file_end = max(self.file_end, end)
            return
        if self._meter is None:
            self._begin()
        time = pts * base.numerator / base.denominator
        if time > self._longest:
            raise too_long(time, self._longest)
        if len(self.times) == MOST_FRAMES:
            raise ItemError(
                "TooLarge", f"more than {MOST_FRAMES:,} frames: convert the video to a usual frame rate, as 60 a second"
            )
        self.times.append(max(time, self.times[-1]) if self.times else time)
        self.last_duration = duration * base.numerator / base.denominator
        self._waiting.append(pts)

    def _begin(self) -> None:
        """Before the first frame: refuse what need not be read to its end."""
        self.facts = file_facts(self.log.text)
        if self.facts.duration is not None and self.facts.duration > 2 * self._longest:
            raise too_long(self.facts.duration, self._longest)
        self._meter = PaceMeter()

    def take_pace(self, chunk: bytes) -> None:
        """Pixels of the small frames."""
        self._pixels += chunk
        self._measure()

    def _measure(self) -> None:
        width, height = PACE_SIZE
        size = width * height * 3
        ready = min(len(self._waiting), len(self._pixels) // size)
        if not ready or self._meter is None:
            return
        whole = bytes(memoryview(self._pixels)[: ready * size])
        del self._pixels[: ready * size]
        for frame in np.frombuffer(whole, np.uint8).reshape(ready, height, width, 3):
            self._meter.add(frame, self._waiting.popleft(), self._bases[0])

    @property
    def duration(self) -> float:
        """Seconds from 0 to the end of the last frame.

        A last frame whose own duration is missing or a mere tick of the clock lasts as long as the usual one.
        """
        gaps = np.diff(self.times)
        usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 0.0
        if not usual and self.facts and self.facts.video and self.facts.video.rate:
            usual = 1.0 / self.facts.video.rate
        last = self.last_duration if self.last_duration >= usual / 2 else usual
        return self.times[-1] + last if self.times else 0.0

    def columns(self, facts: FileFacts) -> Row:
        """The columns of `DECODED`, once all is read."""
        self._measure()
        assert facts.video is not None
        assert self._meter is not None
        seconds, side = whole_seconds(self.duration), self._clip_size
        return {
            "duration": self.duration,
            "media": {
                "width": facts.video.width,
                "height": facts.video.height,
                "fps": len(self.times) / self.duration,
                "codec": facts.video.codec,
                "has_audio": facts.has_audio,
            },
            "clip_frames": _of_seconds(self.clip, side, self.times, seconds),
            "color_frames": _of_seconds(self.color, COLOR_SIZE, self.times, seconds),
            "frame_times": np.array(self.times, np.float64),
            "difference": self._meter.difference,
            "cuts": self._meter.cuts,
        }


def _of_seconds(data: bytearray, side: int, times: list[float], seconds: int) -> Pixels:
    """[seconds, side, side, 3]: the frames of `FIRST_OF_SECOND`, each in the seconds that are its own."""
    frames = np.frombuffer(data, np.uint8, len(data) // (side * side * 3) * side * side * 3).reshape(-1, side, side, 3)
    index = np.minimum(frame_of_second(times, seconds), len(frames) - 1)
    return frames[:seconds] if np.array_equal(index, np.arange(seconds)) else frames[index]


def frame_of_second(times: list[float], seconds: int) -> npt.NDArray[np.int64]:
    """Which of the frames that `FIRST_OF_SECOND` picks belongs to each second; one past them all: the last frame.

    Args:
        times: [frames] seconds, rising.
        seconds: number of seconds.
    """
    picked = [times[0]]
    for time in times[1:]:
        if time + TICK >= np.floor(picked[-1] + TICK) + 1:
            picked.append(time)
    return np.searchsorted(np.array(picked) + TICK, np.arange(seconds), side="left")


def too_long(seconds: float, longest: float) -> ItemError:
    """The error of a video that lasts `seconds` where `longest` are allowed."""
    most = f"the longest that can be scored is {longest / 60:.0f} minutes"
    return ItemError("TooLong", f"the video lasts {seconds / 60:.1f} minutes or more, {most}: cut it into parts")
