"""Decode: a video file to pictures once a second and the pace of all its frames, in one pass."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages import ffmpeg as child
from stages.contracts import DECODED, MANIFEST, Row
from stages.reading import COLOR_SIZE, FIRST_OF_SECOND, PACE_SIZE, TICK, Reading, too_long
from stages.stage import ItemError, Stage
from stages.streams import FileFacts, file_facts

MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
# Signs in ffmpeg's log that the file ends before its container does.
CUT_OFF = ("partial file", "File ended prematurely")
Localize = Callable[[str], AbstractContextManager[Path]]


@dataclass(frozen=True)
class DecodeSettings:
    """How videos are read, and which are refused.

    Attributes:
        clip_size: side of the pictures for the image encoder, in pixels.
        shortest, longest: seconds that a video may last.
        max_pixels: of one frame.
        deadline: seconds of wall time for one video.
        memory: bytes of address space for the decoder.
        threads: of the decoder. One costs the least processor time; a pool of workers keeps the other cores busy.
    """

    clip_size: int = 224
    shortest: float = 0.5
    longest: float = 1801.0
    max_pixels: int = 8192 * 4608
    deadline: float = 3600.0
    memory: int = 6 << 30
    threads: int = 1


@contextlib.contextmanager
def local_path(uri: str) -> Iterator[Path]:
    """A local file under its own path."""
    yield Path(uri)


class Decode(Stage):
    """Reads each video once, in a bounded child process.

    The frame of second i is the first that is shown at i seconds or later, or else the last one. Times are the file's
    own timestamps as ffmpeg puts them out by default (the container's start is 0), so they fit a copied stream.

    Args:
        settings: see `DecodeSettings`.
        localize: gives a local path for a uri, for as long as its context is open.
    """

    name = "decode"
    reads = MANIFEST
    writes = DECODED

    def __init__(self, settings: DecodeSettings | None = None, localize: Localize = local_path) -> None:
        self.settings = settings or DecodeSettings()
        self._localize = localize

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        results: list[Row | Exception] = []
        for row in rows:
            try:
                with self._opened(row["uri"]) as path:
                    results.append(decode(path, self.settings))
            except ItemError as fault:
                results.append(fault)
        return results

    @contextlib.contextmanager
    def _opened(self, uri: str) -> Iterator[Path]:
        """The local path of a uri that can be read."""
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(self._localize(uri))
                check_file(path)
            except OSError as fault:
                reason = fault.strerror or str(fault)
                hint = "check that it is there and may be read"
                raise ItemError("Unreadable", f"cannot read the file ({reason}): {hint}") from None
            yield path


def check_file(path: Path) -> None:
    """Refuse a file that need not be decoded to be known as bad.

    Raises:
        OSError: it cannot be read.
        ItemError: `EmptyFile`, or `Truncated` by the size in its own first bytes.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        head = file.read(12)
        size = os.fstat(file.fileno()).st_size
    if not head:
        raise ItemError("EmptyFile", "the file is empty (0 bytes): copy or export it again")
    declared = int.from_bytes(head[4:8], "little") + 8
    if head[:4] == b"RIFF" and head[8:] == b"AVI " and size + 1 < declared < 1 << 32:
        raise ItemError("Truncated", f"the file holds {size} of its {declared} bytes: copy or export it again")


def decode(path: Path, settings: DecodeSettings) -> Row:
    """The columns of `DECODED` for one local video file.

    Raises:
        ItemError: of one of the kinds NotAVideo, NoVideoStream, UnsupportedCodec, NoFrames, Truncated, TooShort,
            TooLong, TooLarge, DecodeTimeout, DecodeMemory, DecodeFailed.
    """
    reading = Reading(settings.clip_size, settings.longest)
    limits = child.Limits(settings.deadline, settings.memory)
    try:
        with (
            child.Pipe(reading.take_time) as times,
            child.Pipe(reading.take_pace) as pace,
            child.Pipe(reading.clip.extend) as clip,
            child.Pipe(reading.color.extend) as color,
        ):
            arguments = command(path, settings, times=times.url, pace=pace.url, clip=clip.url, color=color.url)
            # Times before frames: a frame's time is then known when the frame comes.
            outcome = child.run(arguments, limits, [times, pace, clip, color], reading.log)
    except child.DeadlinePassed:
        hint = "cut the video into parts, or raise the deadline"
        raise ItemError("DecodeTimeout", f"decoding took more than {settings.deadline:g} s: {hint}") from None
    except child.MemoryExhausted:
        size = f"{settings.memory >> 20} MiB"
        raise ItemError("DecodeMemory", f"decoding needs more than {size} of memory: scale the video down") from None
    facts = reading.facts or file_facts(outcome.log)
    judge(path, facts, reading, outcome, settings)
    return reading.columns(facts)


def command(path: Path, settings: DecodeSettings, *, times: str, pace: str, clip: str, color: str) -> list[str]:
    """ffmpeg's arguments: one input, one graph, and an output for each of the four urls.

    `times` gets a line for every frame (its stream 0), every packet of the film (1) and of all streams (the rest);
    `pace` gets small BGR frames of every frame, `clip` and `color` the RGB frames of each second.
    """
    import ffmpeg

    source = child.media_input(str(path), threads=settings.threads, max_pixels=settings.max_pixels)
    every, some = (branch := source["V:0"].filter_multi_output("split"))[0], branch[1]
    small = every.filter("scale", *PACE_SIZE, flags="fast_bilinear").filter("format", "bgr24")
    small = small.filter_multi_output("split")
    # Copies of the last frame, up to the next second at least, so that it comes out even if it is late.
    some = some.filter("tpad", stop_mode="clone", stop_duration=1.1).filter("tpad", stop_mode="clone", stop=1)
    some = some.filter("select", FIRST_OF_SECOND).filter_multi_output("split")
    side = settings.clip_size
    # As CLIP's own preprocessing: the shorter side to the size by Catmull-Rom cubics, then the middle. What lies far
    # outside the middle goes first, or a strip of a picture would be scaled to a huge one.
    shape = "iw*sar/ih"
    square = (
        some[0]
        .filter("crop", "min(iw,8*ih)", "min(ih,8*iw)")
        .filter(
            "scale",
            f"if(gte({shape},1),trunc({side}*{shape}+{TICK:.6f}),{side})",
            f"if(gte({shape},1),{side},trunc({side}/({shape})+{TICK:.6f}))",
            flags="bicubic+accurate_rnd+full_chroma_int+full_chroma_inp",
            param0=0,
            param1=0.5,
        )
        .filter("format", "rgb24")
        .filter("crop", side, side)
    )
    tiny = some[1].filter("scale", COLOR_SIZE, COLOR_SIZE, flags="bilinear+accurate_rnd+full_chroma_int")
    raw: dict[str, Any] = {"f": "rawvideo", "fps_mode": "passthrough", "threads": 1}
    clock = {"f": "framecrc", "fps_mode:v:0": "passthrough", "enc_time_base:v:0": "filter", "c:v:0": "wrapped_avframe"}
    copied = {"c": "copy", "flush_packets": 1, "max_interleave_delta": 1}  # each line at once, in no order of streams
    packets = [source["V:0"], source["v?"], source["a?"]]
    outputs = ffmpeg.merge_outputs(
        ffmpeg.output(small[0], *packets, times, **clock, **copied),
        ffmpeg.output(small[1], pace, **raw),
        ffmpeg.output(square, clip, **raw),
        ffmpeg.output(tiny.filter("format", "rgb24"), color, **raw),
    )
    return [*map(str, ffmpeg.get_args(outputs.global_args("-filter_complex_threads", "1")))]


def judge(path: Path, facts: FileFacts, reading: Reading, outcome: child.Outcome, settings: DecodeSettings) -> None:
    """Refuse what was read if it is not a whole video that can be scored.

    Raises:
        ItemError: see `decode`.
    """
    judge_header(path, facts, outcome, settings)
    last = outcome.errors[-1] if outcome.errors else f"exit code {outcome.code}"
    _judge_end(facts, reading, outcome)
    if outcome.code:
        raise ItemError("DecodeFailed", f"the decoder gave up ({last}): convert the video to H.264 in MP4")
    judge_length(reading.duration, settings)


def judge_length(seconds: float, settings: DecodeSettings) -> None:
    """Refuse a video that is too short or too long.

    Raises:
        ItemError: TooShort, TooLong.
    """
    if seconds < settings.shortest:
        lengths = f"the video lasts {seconds:.2f} s, expected at least {settings.shortest:g} s"
        raise ItemError("TooShort", f"{lengths}: there is too little to score")
    if seconds > settings.longest:
        raise too_long(seconds, settings.longest)


def judge_header(path: Path, facts: FileFacts, outcome: child.Outcome, settings: DecodeSettings) -> None:
    """Refuse a file for what its container says of it.

    Raises:
        ItemError: DecodeFailed, Truncated, NotAVideo, NoVideoStream, TooLarge, UnsupportedCodec.
    """
    if outcome.code < 0:
        raise ItemError(
            "DecodeFailed", f"the decoder crashed (signal {-outcome.code}): convert the video to H.264 in MP4"
        )
    if not facts.opened:
        if _begins_like_video(path):
            raise ItemError("Truncated", "the file is cut off or damaged, its index is missing: copy it again")
        raise ItemError("NotAVideo", "expected a video file, found something else: check the file's content")
    if facts.video is None:
        found = "sound alone" if facts.has_audio else "none"
        raise ItemError("NoVideoStream", f"expected a video stream, found {found}: score a file with pictures")
    pixels = facts.video.width * facts.video.height
    if pixels > settings.max_pixels or "exceeds specified max pixel count" in outcome.log:
        size = f"{facts.video.width} x {facts.video.height} pixels" if pixels else "frames"
        most = f"more than the {settings.max_pixels / 1e6:.0f} million pixels that can be read"
        raise ItemError("TooLarge", f"{size} are {most}: scale the video down")
    if facts.video.codec == "none" or "no decoder found" in outcome.log or "Decoder not found" in outcome.log:
        raise ItemError("UnsupportedCodec", f"the codec {facts.video.codec} cannot be decoded: convert it to H.264")


def _judge_end(facts: FileFacts, reading: Reading, outcome: child.Outcome) -> None:
    """Refuse a file whose pictures are not all there."""
    declared, seen = facts.duration or 0.0, reading.duration
    cut_off = any(sign in outcome.log for sign in CUT_OFF)
    lengths = f"the file should last {declared:.1f} s, its pictures end at {seen:.1f} s"
    hint = "it is cut off or damaged, copy or export it again"
    # All streams count here: a film may rightly be shorter than its sound.
    if declared - max(seen, reading.file_end) > (0.25 if cut_off else max(1.0, 0.03 * declared)):
        raise ItemError("Truncated", f"{lengths}: {hint}")
    if not reading.times:
        raise ItemError("NoFrames", "the video stream has no frames that can be shown: export the video again")
    if reading.film_end - seen > max(1.0, 0.03 * declared):
        raise ItemError(
            "Truncated", f"the video's data end at {reading.film_end:.1f} s, what it shows at {seen:.1f} s: {hint}"
        )


def _begins_like_video(path: Path) -> bool:
    """Whether the first bytes are those of a container, whatever became of the rest."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] in MOV_BOXES or head[:4] in (b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS") or head[8:] == b"AVI "
