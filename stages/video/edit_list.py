"""Edit list: sets when the picture of a MOV or MP4 file that ffmpeg wrote ends.

ffmpeg copies frames that only serve to decode others, and hides those at the beginning, but not those at the end that
come before the last shown frame in the order of decoding. The edit list's length hides them from every player.
(Source: ISO/IEC 14496-12, boxes `moov`, `mvhd`, `trak`, `hdlr`, `edts`, `elst`.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PARENTS = (b"moov", b"trak", b"mdia", b"edts")


def end_picture_at(path: Path, seconds: float) -> bool:
    """Makes the picture of a MOV or MP4 file end at a time, in place; the file keeps its length and its other tracks.

    Args:
        path: a file of one video track, as ffmpeg writes it.
        seconds: time of the end, from the start of the file.

    Returns:
        Whether the file has an edit list that could be set.
    """
    with path.open("r+b") as file:
        found = [(start, size) for kind, start, size in _boxes(file, path.stat().st_size) if kind == b"moov"]
        if not found:
            return False
        start, size = found[0]
        file.seek(start)
        movie = bytearray(file.read(size))
        if not _set_end(movie, seconds):
            return False
        file.seek(start)
        file.write(movie)
    return True


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, offset and size of the contents of a file's boxes."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length, header = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(head[8:16], "big"), 16
        if length < header:
            return
        yield head[4:8], position + header, length - header
        position += length


def _set_end(movie: bytearray, seconds: float) -> bool:
    """Sets the length of the video track's last edit, in the bytes of `moov`."""
    timescale, is_picture, edits = 0, False, -1
    picture_edits = -1
    for kind, start in _walk(movie, 0, len(movie)):
        if kind == b"mvhd":
            timescale = _number(movie, start + (20 if movie[start] else 12), 4)
        elif kind == b"trak":
            is_picture, edits = False, -1
        elif kind == b"elst":
            edits = start
        elif kind == b"hdlr" and movie[start + 8 : start + 12] == b"vide":
            is_picture = True
        if is_picture and edits >= 0 and picture_edits < 0:
            picture_edits = edits
    if picture_edits < 0 or not timescale:
        return False
    wide = 8 if movie[picture_edits] else 4
    count, first, each = _number(movie, picture_edits + 4, 4), picture_edits + 8, 2 * wide + 4
    before = sum(_number(movie, first + each * number, wide) for number in range(count - 1))
    last = first + each * (count - 1)
    length = min(round(seconds * timescale) - before, _number(movie, last, wide))
    movie[last : last + wide] = struct.pack(">Q" if wide == 8 else ">I", max(length, 0))
    return True


def _walk(data: bytearray, start: int, stop: int) -> Iterator[tuple[bytes, int]]:
    """Yields kind and offset of the contents of all boxes, parents before their children."""
    while start + 8 <= stop:
        length, kind = _number(data, start, 4), bytes(data[start + 4 : start + 8])
        if length < 8:
            return
        yield kind, start + 8
        if kind in _PARENTS:
            yield from _walk(data, start + 8, start + length)
        start += length


def _number(data: bytearray, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "big")
