"""FrameReader: takes the outputs of the decoder while it runs, and keeps only what the later stages need."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from models.lengths import whole_seconds
from stages.base import ItemError
from stages.contracts import Row
from stages.video.cuts.transitions import hit_times
from stages.video.damage import NO_DAMAGE, Damage, lost_frames
from stages.video.media_info import MediaInfo, picture_end
from stages.video.motion.columns import motion_columns
from stages.video.motion.meter import MotionMeter

COLOR_SIZE = 150  # side of the frames for the color histogram, in pixels
MOTION_SIZE = (160, 90)  # width and height of the frames for cuts and differences, whose cost is that of their area
MOST_FRAMES = 1_000_000  # frames of a video: half an hour at more than 500 per second
KEY, HIDDEN = 1, 4  # flags of packets: a key frame, and a frame that an edit list hides
NO_TIME = -(1 << 63)  # timestamp of a packet that has none
Pixels = npt.NDArray[np.uint8]


class FrameReader:
    """Takes the decoder's outputs as they come; of the large frames only those of whole seconds are kept.

    Args:
        info: what the container declares.
        clip_size: side of the frames for the image encoder, in pixels.
        longest: length in seconds above which a video is refused.

    Attributes:
        clip_pixels, color_pixels: bytes of the frames of whole seconds, for the image encoder and the color histogram.
        times: time in seconds of every frame.
        packet_times: time in seconds of every packet of the video stream that could be shown, in the file's order.
        last_duration: seconds that the last frame is shown, as the file declares.
        video_end: time in seconds at which the packets of the video stream end that could be shown.
        file_end: time in seconds at which the packets of all streams end.
    """

    def __init__(self, info: MediaInfo, clip_size: int, longest: float) -> None:
        self.info = info
        self._clip_size = clip_size
        self._longest = longest
        self.clip_pixels = bytearray()
        self.color_pixels = bytearray()
        self.times: list[float] = []
        self.packet_times: list[float] = []
        self.last_duration = 0.0
        self.video_end = 0.0
        self.file_end = 0.0
        self._damage = NO_DAMAGE
        self._time_bases: dict[int, Fraction] = {}
        self._line = b""
        self._first_dts: int | None = None  # of the video stream
        self._pending: deque[int] = deque()  # timestamps of frames whose pixels are still to come
        self._motion_pixels = bytearray()
        self._meter = MotionMeter()

    def read_times(self, chunk: bytes) -> None:
        """Takes lines of ffmpeg's `framecrc`: `#tb stream: base`, then `stream, dts, pts, duration, size, checksum`.

        A packet that is no key frame has `F=0x0` at its end; one that an edit list hides has a flag of 4 there.

        Raises:
            ItemError: TooLong, TooLarge.
        """
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"#tb "):
                stream, base = line[4:].split(b":")
                self._time_bases[int(stream)] = Fraction(base.strip().decode())
            elif line and not line.startswith(b"#"):
                number, dts, pts, duration, size = (int(field) for field in line.split(b",", 5)[:5])
                if number and not self.info.stores_times:
                    if number == 1 and self._first_dts is None:
                        self._first_dts = dts
                    pts = dts - (self._first_dts or 0) if number == 1 else dts
                flags = line.partition(b"F=0x")[2]
                self._add_packet(number, pts, duration, size, int(flags.split(b",")[0], 16) if flags else KEY)

    def _add_packet(self, stream: int, pts: int, duration: int, size: int, flags: int) -> None:
        """Takes the times of one frame (stream 0) or one packet (the other streams)."""
        base = self._time_bases[stream]
        time, length = (value * base.numerator / base.denominator for value in (pts, duration))
        if stream:
            self.file_end = max(self.file_end, time + length)
            if stream == 1 and not flags & HIDDEN:
                self.video_end = max(self.video_end, time + length)
                # What comes before the first key frame can be shown by no decoder, and an empty packet has no frame.
                if size and pts != NO_TIME and (self.packet_times or flags & KEY):
                    self.packet_times.append(time)
            return
        if time > self._longest:
            raise too_long(time, self._longest)
        if len(self.times) == MOST_FRAMES:
            raise ItemError(
                "TooLarge", f"more than {MOST_FRAMES:,} frames: convert the video to a usual frame rate, as 60 a second"
            )
        self.times.append(max(time, self.times[-1]) if self.times else time)
        self.last_duration = length
        self._pending.append(pts)

    def read_motion(self, chunk: bytes) -> None:
        """Takes pixels of the small frames."""
        self._motion_pixels += chunk
        self._measure()

    def _measure(self) -> None:
        """Measures the small frames whose pixels and times have both come."""
        width, height = MOTION_SIZE
        size = width * height * 3
        ready = min(len(self._pending), len(self._motion_pixels) // size)
        if not ready:
            return
        whole = bytes(memoryview(self._motion_pixels)[: ready * size])
        del self._motion_pixels[: ready * size]
        for frame in np.frombuffer(whole, np.uint8).reshape(ready, height, width, 3):
            self._meter.add(frame, self._pending.popleft(), self._time_bases[0])

    @property
    def duration(self) -> float:
        """Seconds from 0 to the end of the picture (`picture_end`)."""
        rate = self.info.video.rate if self.info.video else 0.0
        steps = np.diff(self.times).tolist()
        return picture_end(self.times[-1], self.last_duration, steps, rate, self.info.duration) if self.times else 0.0

    def damage(self, *, is_damaged: bool) -> Damage:
        """Returns, and keeps for `columns`, how many frames are missing.

        Args:
            is_damaged: whether the decoder complained about the file's data.
        """
        self._damage = lost_frames(self.times, self.packet_times, is_damaged=is_damaged)
        return self._damage

    def columns(self) -> Row:
        """Returns the columns of `DECODED`, after all outputs were read."""
        self._measure()
        video = self.info.video
        assert video is not None
        transitions = self._meter.transitions()
        cuts = np.array(hit_times(transitions), np.float64)
        seconds, side = whole_seconds(self.duration), self._clip_size
        return {
            "duration": self.duration,
            "media": {
                "width": video.width,
                "height": video.height,
                "fps": len(self.times) / self.duration,
                "codec": video.codec,
                "has_audio": self.info.has_audio,
                "created": self.info.created,
                "stores_times": self.info.stores_times,
                "hides_frames": video.hidden != "none",
                "frames_lost": self._damage.frames_lost,
                "seconds_held": self._damage.seconds_held,
                "left_behind": self.info.left_behind,
            },
            "clip_frames": _frames_of_seconds(self.clip_pixels, side, seconds),
            "color_frames": _frames_of_seconds(self.color_pixels, COLOR_SIZE, seconds),
            "frame_times": np.array(self.times, np.float64),
            "difference": self._meter.difference,
            "cuts": cuts,
            "content_cuts": self._meter.content_cuts,
            "transitions": [asdict(transition) for transition in transitions],
            **motion_columns(self._meter.motion(), [transition.start for transition in transitions]),
        }


def _frames_of_seconds(data: bytearray, side: int, seconds: int) -> Pixels:
    """Returns [seconds, side, side, 3] RGB from the bytes of one frame per second; the last frame stands for the rest.

    Args:
        data: frames of second 0, 1, 2 and so on, one for each (`stages.video.decode_command`).
    """
    frames = np.frombuffer(data, np.uint8, len(data) // (side * side * 3) * side * side * 3).reshape(-1, side, side, 3)
    if len(frames) >= seconds:
        return frames[:seconds]
    return frames[np.minimum(np.arange(seconds), len(frames) - 1)]


def too_long(seconds: float, longest: float) -> ItemError:
    """Returns the error of a video that lasts `seconds` where `longest` are allowed."""
    most = f"the longest that can be scored is {longest / 60:.0f} minutes"
    return ItemError("TooLong", f"the video lasts {seconds / 60:.1f} minutes or more, {most}: cut it into parts")
