"""Videos of the awkward kinds that people reported, made with the bundled ffmpeg."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.support.videos import SMALL, ffmpeg

CODING = {".webm": ("-c:v", "libvpx", "-b:v", "300k", "-deadline", "realtime", "-cpu-used", "8")}
SOUND = {".webm": "libopus", ".mpg": "mp2"}


def moving_picture(seconds: float, rate: float = 25) -> tuple[str, ...]:
    """Returns ffmpeg's input of a moving picture."""
    return ("-f", "lavfi", "-i", f"testsrc2=size=128x72:rate={rate}:duration={seconds}")


def with_sound(path: Path, seconds: float, *options: str) -> Path:
    """Writes a moving picture with a tone."""
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}")
    coding = CODING.get(path.suffix, (*SMALL, "-g", "25"))
    ffmpeg(*moving_picture(seconds), *tone, *coding, "-c:a", SOUND.get(path.suffix, "aac"), *options, path)
    return path


def timecode(path: Path) -> Path:
    """Writes 3 s with a timecode track, as cameras and editing programs do."""
    ffmpeg(*moving_picture(3), *SMALL, "-timecode", "01:02:03:04", path)
    return path


def longer_subtitles(path: Path) -> Path:
    """Writes 3 s whose subtitles go on to 44 s."""
    base = with_sound(path.with_name("base.mp4"), 3)
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n\n2\n00:00:40,000 --> 00:00:44,000\ncredits\n\n")
    ffmpeg("-i", base, "-i", text, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "copy", "-c:s", "srt", path)
    base.unlink()
    return path


def starts_late(path: Path) -> Path:
    """Writes 3 s whose first timestamp is 100 s."""
    base = path.with_name("base.mp4")
    ffmpeg(*moving_picture(3), *SMALL, base)
    ffmpeg("-copyts", "-i", base, "-c", "copy", "-output_ts_offset", "100", path)
    base.unlink()
    return path


def sparse(path: Path) -> Path:
    """Writes 25 s of a screen recording with frames at 0, 11, 12 and 24 s."""
    pick = "select='eq(n,0)+eq(n,11)+eq(n,12)+eq(n,24)'"
    coding = CODING.get(path.suffix, SMALL)
    ffmpeg(*moving_picture(30, 1), "-vf", pick, "-fps_mode", "vfr", *coding, path)
    return path


def slideshow(path: Path) -> Path:
    """Writes three slides of 6 s, whose last frame comes at 18 s and has the duration of a frame at 25 frames/s."""
    pick = "select='eq(mod(n,6),0)'"
    ffmpeg(*moving_picture(19, 1), "-vf", pick, "-fps_mode", "vfr", *SMALL, path)
    data = bytearray(path.read_bytes())
    at = data.index(b"stts")
    (count,) = struct.unpack_from(">I", data, at + 8)
    timescale = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    last = at + 12 + 8 * (count - 1)
    samples, step = struct.unpack_from(">II", data, last)
    assert (samples, step / timescale) in ((1, 6.0), (1, 1.0)), (samples, step, timescale)
    short = round(0.04 * timescale)
    struct.pack_into(">I", data, last + 4, short)
    for box, offset in ((b"mdhd", 20),):
        place = data.index(box) + offset
        (length,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, length - step + short)
    edits = data.index(b"elst")
    (movie,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    struct.pack_into(">I", data, edits + 12, round(18.04 * movie))
    path.write_bytes(data)
    return path


def clock_jumps(path: Path) -> Path:
    """Writes two joined transport streams of 2 s, the second of which begins at 3000 s."""
    first, second = path.with_name("first.ts"), path.with_name("second.ts")
    ffmpeg(*moving_picture(2), *SMALL, "-g", "25", first)
    ffmpeg(*moving_picture(2), *SMALL, "-g", "25", "-output_ts_offset", "3000", second)
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


def open_ended(path: Path) -> Path:
    """Writes 3 s whose header declares no length, as browsers record them."""
    ffmpeg(*moving_picture(3), *CODING.get(path.suffix, SMALL), "-f", "matroska", "-live", "1", path)
    return path


def head_hidden(path: Path) -> Path:
    """Writes 4 s whose first 0.7 s an edit list hides, because they only serve to decode what follows."""
    base = path.with_name("base.mp4")
    ffmpeg(*moving_picture(4), *SMALL, "-bf", "2", "-g", "50", base)
    ffmpeg("-ss", "0.7", "-i", base, "-c", "copy", path)
    base.unlink()
    return path


def tail_hidden(path: Path) -> Path:
    """Writes 4 s of which an edit list hides the last 2 s."""
    ffmpeg(*moving_picture(4), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2", "-g", "50", path)
    data = bytearray(path.read_bytes())
    (timescale,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    struct.pack_into(">I", data, data.index(b"elst") + 12, 2 * timescale)
    path.write_bytes(data)
    return path


def zeros_inside(path: Path, start: float, stop: float) -> Path:
    """Writes 10 s of which the bytes between two shares of the file are zeros."""
    with_sound(path, 10)
    data = bytearray(path.read_bytes())
    first, last = round(start * len(data)), round(stop * len(data))
    data[first:last] = bytes(last - first)
    path.write_bytes(data)
    return path
