"""Listen: the sound that a video brings along, on the time axis of its picture."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.base import ItemError, Stage
from stages.contracts import FEATURES, LISTENED, Row
from stages.video import ffmpeg as child
from stages.video.localize import Localize, local_path
from stages.video.streams import file_facts
from stages.video.validation import check_file

Samples = npt.NDArray[np.int16]
SAMPLE_RATE, CHANNELS = 44100, 2
QUIETEST_DB = -60.0
"""A sound whose greatest sample lies below this, in decibels of full scale, is silence."""
_FIRST_IS_MONO = re.compile(r"\A(?:(?!: Audio: ).)*: Audio: [^\n]*? Hz, (?:mono|1 channels)\b", re.S)


@dataclass(frozen=True)
class ListenSettings:
    """Bounds of the decoder: `deadline` seconds of wall time for one video, `memory` bytes of address space."""

    deadline: float = 900.0
    memory: int = 2 << 30


class Listen(Stage):
    """Adds `sound` [samples, 2]: 44.1 kHz stereo int16 of the first audio stream, exactly as long as the picture.

    Args:
        settings: see `ListenSettings`.
        localize: gives a local path for a uri, for as long as its context is open.
    """

    name = "listen"
    reads = FEATURES
    writes = LISTENED

    def __init__(self, settings: ListenSettings | None = None, localize: Localize = local_path) -> None:
        self.settings = settings or ListenSettings()
        self._localize = localize

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        results: list[Row | Exception] = []
        for row in rows:
            try:
                results.append({"sound": self._sound(row)})
            except ItemError as fault:
                results.append(fault)
        return results

    def _sound(self, row: Row) -> Samples:
        if not row["media"]["has_audio"]:
            raise no_audio()
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(self._localize(row["uri"]))
                check_file(path)
            except OSError as fault:
                raise ItemError("Unreadable", f"cannot read the file again ({fault.strerror or fault})") from None
            return sound_of(path, row["duration"], self.settings)


def no_audio() -> ItemError:
    """The error of a video that brings no sound."""
    return ItemError("NoAudio", "the video has no sound to learn from: add its music, or leave it out")


def sound_of(path: Path, duration: float, settings: ListenSettings) -> Samples:
    """The first audio stream of a local file: [round(duration * 44100), 2].

    Sample 0 is at time 0 of the picture. A stream that starts later, has a gap or ends early is filled with silence;
    what lies outside the picture is cut off.

    Raises:
        ItemError: NoAudio, SilentAudio, AudioTimeout, AudioMemory or AudioFailed.
    """
    data = bytearray()
    limits = child.Limits(settings.deadline, settings.memory)
    try:
        with child.Pipe(data.extend) as pcm:
            outcome = child.run(command(path, duration, pcm.url), limits, [pcm])
    except child.DeadlinePassed:
        raise ItemError("AudioTimeout", f"decoding the sound took more than {settings.deadline:g} s") from None
    except child.MemoryExhausted:
        most = f"{settings.memory >> 20} MiB"
        raise ItemError("AudioMemory", f"decoding the sound needs more than {most} of memory") from None
    if outcome.code:
        if file_facts(outcome.log).opened and not file_facts(outcome.log).has_audio:
            raise no_audio()
        why = outcome.errors[-1] if outcome.errors else f"exit code {outcome.code}"
        raise ItemError("AudioFailed", f"the sound cannot be decoded ({why}): export the video again with AAC sound")
    came = np.frombuffer(data, np.int16, len(data) // 4 * 2).reshape(-1, CHANNELS)
    if not len(came):
        raise no_audio()
    if _FIRST_IS_MONO.match(outcome.log):  # ffmpeg gives each side of a single channel half its power
        came = np.rint(came * math.sqrt(2)).clip(-32768, 32767).astype(np.int16)
    loudest = max(int(came.max()), -int(came.min()))
    if loudest < 32768 * 10 ** (QUIETEST_DB / 20):
        raise ItemError("SilentAudio", f"the sound is silent, below {QUIETEST_DB:g} dB throughout: leave the video out")
    sound = np.zeros((round(duration * SAMPLE_RATE), CHANNELS), np.int16)
    sound[: len(came)] = came[: len(sound)]
    return sound


def command(path: Path, duration: float, pcm: str) -> list[str]:
    """ffmpeg's arguments: the first audio stream of a file as raw samples to `pcm`, from the container's start."""
    import ffmpeg

    source = child.media_input(str(path))
    heard = source["a:0"].filter("aresample", SAMPLE_RATE, **{"async": 1, "first_pts": 0})
    options: dict[str, Any] = {"f": "s16le", "ac": CHANNELS, "t": f"{duration:.6f}"}
    return [*map(str, ffmpeg.get_args(ffmpeg.output(heard, pcm, **options)))]
