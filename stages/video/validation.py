"""Validation: which files and lengths of video are refused, and why."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from stages.base import ItemError
from stages.video import ffmpeg as child
from stages.video.frame_reader import Reading, too_long
from stages.video.streams import FileFacts

MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")


# Signs in ffmpeg's log that the file ends before its container does.
CUT_OFF = ("partial file", "File ended prematurely")


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
