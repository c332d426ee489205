"""Probe: what a video's container says of it, in milliseconds and without decoding it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stages.base import ItemError
from stages.video import ffmpeg as child
from stages.video.streams import FileFacts, file_facts
from stages.video.validation import DecodeSettings, check_file, judge_header, judge_length

SETTINGS = replace(DecodeSettings(), deadline=60.0, memory=2 << 30)


def probe(path: Path, settings: DecodeSettings = SETTINGS) -> FileFacts:
    """What a container declares, read by the same bounded child process that decodes.

    A file that ends early, and damage in its middle, show only when it is decoded.

    Raises:
        OSError: it cannot be read.
        ItemError: `Decode` would refuse it too: of the kinds of `stages.decode.decode`.
    """
    check_file(path)
    source = child.media_input(str(path), max_pixels=settings.max_pixels)
    options = source.node.kwargs
    named = [word for name, value in options.items() if name != "filename" for word in (f"-{name}", str(value))]
    try:
        # Without an output ffmpeg describes its input, and ends with an error that is none.
        outcome = child.run([*named, "-i", options["filename"]], child.Limits(settings.deadline, settings.memory))
    except child.DeadlinePassed:
        raise ItemError("DecodeTimeout", f"its header took more than {settings.deadline:g} s to read") from None
    except child.MemoryExhausted:
        raise ItemError("DecodeMemory", f"its header needs more than {settings.memory >> 20} MiB of memory") from None
    except child.Killed as fault:
        raise ItemError(fault.kind, str(fault)) from None
    facts = file_facts(outcome.log)
    judge_header(path, facts, outcome, settings)
    if facts.duration is not None:
        judge_length(facts.duration, settings)
    return facts
