"""The program of the child process that reads a stranger's container with PyAV, and describes it as JSON.

It is run by its path in an isolated interpreter (`python -I probe_child.py LIBRARIES FILE OPTIONS DESCRIPTOR`), imports
nothing of this project, and writes one JSON object to an open descriptor. `stages.video.probe` runs and bounds it.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

DISCARD_ALL = 48
"""The mark of a track whose content libavformat has read itself, such as the names of chapters."""
TAIL = 5.0
"""Seconds before the declared end from which the packets are read that tell where the picture ends."""
LARGEST_JUMP = 10.0
"""Seconds by which the clock of a transport or program stream may jump before ffmpeg closes the jump
(its `dts_delta_threshold`)."""
WITHOUT_TIMES = ("avi", "mpegvideo")
"""Containers that count frames in the order of decoding and do not store when each is shown."""
WITHOUT_TIMES_IF_REORDERED = ("asf",)
"""Containers that store the times of decoding, which are those of display only where both have the same order."""
MOST_PACKETS = 2_000_000
"""Packets that are read at most; a longer video has no known end before it is decoded."""

MOST_ERRORS = 1000
"""Errors of a damaged container that are stepped over at most."""
MOST_REORDERED = 16
"""Frames by which the order of decoding may differ from the order on the screen."""


def describe(path: str, formats: str, max_pixels: int, is_whole: bool) -> dict[str, Any]:
    """Returns the description of a file, as `stages.video.probe` reads it.

    Args:
        path: path of a local file.
        formats: names of the demuxers that may open it, with commas between.
        max_pixels: pixels of a frame above which no frame is decoded.
        is_whole: whether all bytes of the file are there. Where some are missing, nothing is read between both ends.
    """
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": formats}
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as messages:
            container = av.open("file:" + path, options=options, metadata_errors="replace")
    except MemoryError:
        return {"no_memory": True}
    except (av.error.FFmpegError, ValueError) as error:
        return {"opened": False, "reason": str(error)[:500]}
    with container:
        streams = [_describe_stream(stream) for stream in container.streams]
        pictures = [s for s in container.streams.video if not _is_still(s)]
        start = (container.start_time or 0) / av.time_base
        # An estimate from the rate of bits is no declaration.
        is_declared = container.duration is not None and not any("Estimating duration" in text for *_, text in messages)
        found: dict[str, Any] = {
            "opened": True,
            "format": container.format.name,
            "start": start,
            "duration": (container.duration or 0) / av.time_base if is_declared else None,
            "created": container.metadata.get("creation_time"),
            "streams": streams,
            "video": None,
        }
        if pictures:
            stream = pictures[0]
            found["video"] = _describe_picture(container, stream)
            found["video"] |= _end_of_picture(container, stream, start, is_declared, is_whole)
            found["video"]["rotation"] = _rotation(container, stream, max_pixels)
        return found


def _is_still(stream: Any) -> bool:
    """Whether a video stream is a mere picture, such as cover art; ffmpeg's specifier `V` leaves out the same."""
    kinds = stream.disposition
    return bool(kinds & (kinds.attached_pic | kinds.timed_thumbnails | kinds.still_image))


def _describe_stream(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "index": stream.index,
        "type": stream.type,
        "codec": context.name if context is not None else None,
        "channels": context.channels if stream.type == "audio" and context is not None else None,
        "still": stream.type == "video" and _is_still(stream),
        "timecode": "timecode" in stream.metadata,
        "chapters": stream.type == "data" and stream.discard == DISCARD_ALL,
    }


def _describe_picture(container: Any, stream: Any) -> dict[str, Any]:
    rates = [float(rate) for rate in (stream.average_rate, stream.base_rate) if rate]
    width, height = _size(stream)
    shape = stream.sample_aspect_ratio
    return {
        "index": stream.index,
        "codec": stream.codec_context.name if stream.codec_context is not None else None,
        "width": width,
        "height": height,
        "pixel_shape": float(shape) if shape else 1.0,
        # Some containers declare the rate of their fine clock as the mean rate. The base rate is then the true one.
        "rate": min(rates, default=0.0),
        "tick": float(stream.time_base or 0),
        "stores_times": _stores_times(container, stream),
    }


def _stores_times(container: Any, stream: Any) -> bool:
    """Returns whether the container stores when each frame is shown, and not only the order of decoding."""
    reorders = stream.codec_context is not None and bool(stream.codec_context.has_b_frames)
    return container.format.name not in (*WITHOUT_TIMES, *(WITHOUT_TIMES_IF_REORDERED if reorders else ()))


def _size(stream: Any) -> tuple[int, int]:
    """Returns width and height in pixels as stored; 0 where the codec is unknown."""
    context = stream.codec_context
    return (context.width or 0, context.height or 0) if context is not None else (0, 0)


def _end_of_picture(container: Any, stream: Any, start: float, is_declared: bool, is_whole: bool) -> dict[str, Any]:
    """Returns the times of the last frame and of its end, in seconds from the start of the container, from packets."""
    has_index = container.format.name.startswith("mov,")
    clock_jumps = container.format.name in ("mpegts", "mpeg")
    ends = None
    if is_declared and not clock_jumps:
        ends = _ends(_tail(container, stream))
    if ends is None and is_whole:
        ends = _ends(_all_packets(container, stream, clock_jumps))
    if ends is None:
        return {"last": None, "end": None, "steps": [], "hidden": "none"}
    first, last, end, steps, has_hidden = ends
    tick = float(stream.time_base)
    offset = round(start / tick) * tick if tick else start
    if not _stores_times(container, stream):
        offset = first * tick
    return {
        "last": last * tick - offset,
        "end": end * tick - offset,
        "steps": [step * tick for step in steps],
        "hidden": _hidden(stream) if has_index else "edges" if has_hidden else "none",
    }


def _tail(container: Any, stream: Any) -> Iterator[tuple[int, int, bool]]:
    """Yields the times of the first packets and of those near the declared end; nothing where it cannot seek."""
    import av

    for number, packet in enumerate(container.demux(stream)):
        yield from _times(packet, container)
        if number >= 100:
            break
    first = container.start_time or 0
    target = first + container.duration - round(TAIL * av.time_base)
    if container.format.name == "matroska,webm":
        target -= first  # its duration counts from 0, wherever it starts
    try:
        container.seek(max(target, first), backward=True)
    except av.error.FFmpegError:
        return
    yield from (times for packet in _packets(container, stream) for times in _times(packet, container))


def _all_packets(container: Any, stream: Any, clock_jumps: bool) -> Iterator[tuple[int, int, bool]]:
    """Yields the times of all packets; where a transport stream's clock jumps, it goes on as the decoder lets it."""
    import av

    try:
        container.seek(container.start_time or 0, backward=True)
    except av.error.FFmpegError:
        return
    largest = round(LARGEST_JUMP / stream.time_base)
    shift, expected = 0, None
    for packet in _packets(container, stream):
        if packet.dts is not None and clock_jumps:
            if expected is not None and abs(packet.dts + shift - expected) > largest:
                shift = expected - packet.dts
            expected = packet.dts + shift + (packet.duration or 0)
        yield from ((pts + shift, length, hidden) for pts, length, hidden in _times(packet, container))


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yields a stream's packets from here on; damage is stepped over, as the decoder does."""
    import av

    for _ in range(MOST_ERRORS):
        try:
            yield from container.demux(stream)
            return
        except av.error.FFmpegError:
            continue


def _times(packet: Any, container: Any) -> Iterator[tuple[int, int, bool]]:
    """Yields a packet's time, its duration, and whether an edit list hides it; nothing of an empty packet."""
    is_stored = packet.pts is not None and _stores_times(container, packet.stream)
    time = packet.pts if is_stored else packet.dts
    if time is not None and packet.size:
        yield time, packet.duration or 0, packet.is_discard


def _ends(packets: Iterator[tuple[int, int, bool]]) -> tuple[int, int, int, list[int], bool] | None:
    """Returns the first and last shown times, the end, the gaps between the last frames, and whether any is hidden."""
    recent: dict[int, int] = {}
    first, has_hidden = None, False
    for count, (time, duration, hidden) in enumerate(packets):
        has_hidden |= hidden
        if not hidden:
            recent[time] = duration
            first = time if first is None else min(first, time)
        if len(recent) > 2000:
            recent = dict(sorted(recent.items())[-1000:])
        if count > MOST_PACKETS:
            return None
    if first is None:
        return None
    times = sorted(recent)
    steps = [after - before for before, after in itertools.pairwise(times)]
    return first, times[-1], times[-1] + recent[times[-1]], steps[-200:], has_hidden


def _hidden(stream: Any) -> str:
    """Returns where an edit list hides frames of a MOV or MP4 file: "none", "edges" or "middle"."""
    shown = [number for number, entry in enumerate(stream.index_entries) if not entry.is_discard]
    if len(shown) == len(stream.index_entries):
        return "none"
    # Around an edge, shown and hidden frames may be mixed, because they are stored in the order of decoding.
    between = [after - before for before, after in itertools.pairwise(shown)]
    return "middle" if any(step > MOST_REORDERED for step in between) else "edges"


def _rotation(container: Any, stream: Any, max_pixels: int) -> int:
    """Returns the degrees by which a player turns the first frame; 0 where no frame can be decoded."""
    import av

    width, height = _size(stream)
    if not 0 < width * height <= max_pixels:
        return 0
    try:
        container.seek(container.start_time or 0, backward=True)
        for number, packet in enumerate(container.demux(stream)):
            for frame in packet.decode():
                return int(frame.rotation)
            if number > 200:
                break
    except (av.error.FFmpegError, MemoryError):
        pass
    return 0


def main(libraries: str, path: str, options: str, descriptor: str) -> None:
    """Writes the description of a file to an open descriptor."""
    sys.path.append(libraries)
    found = describe(path, **json.loads(options))
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as output:
        json.dump(found, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
