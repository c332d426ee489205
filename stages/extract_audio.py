"""ExtractAudio: reads the sound that a video brings along, on the time axis of its picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.base import ItemError, Stage, process_each
from stages.contracts import FEATURES, SOURCE_AUDIO, Row
from stages.video.child_process import DeadlinePassed, Limits, MemoryExhausted, Pipe
from stages.video.ffmpeg import media_input, run_ffmpeg
from stages.video.probe import read_media_info
from stages.video.source_file import Localize, local_path, open_source

Samples = npt.NDArray[np.int16]
SAMPLE_RATE, CHANNELS = 44100, 2
QUIETEST_DB = -60.0
"""Level in decibels of full scale; a sound whose greatest sample lies below it counts as silent."""
UNREADABLE = "cannot read the file again ({reason})"


@dataclass(frozen=True)
class ExtractAudioSettings:
    """Bounds of the decoder: `deadline` seconds of wall time for one video, `memory` bytes of address space."""

    deadline: float = 900.0
    memory: int = 2 << 30


class ExtractAudio(Stage):
    """Adds `sound` [samples, 2]: the first audio stream as 44.1 kHz stereo int16, exactly as long as the picture.

    Args:
        settings: bounds of the decoder.
        localize: gives a local path for a uri, for as long as its context is open.
    """

    name = "listen"
    reads = FEATURES
    writes = SOURCE_AUDIO

    def __init__(self, settings: ExtractAudioSettings | None = None, localize: Localize = local_path) -> None:
        self.settings = settings or ExtractAudioSettings()
        self._localize = localize

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return process_each(rows, self._extract)

    def _extract(self, row: Row) -> Row:
        if not row["media"]["has_audio"]:
            raise no_audio()
        with open_source(row["uri"], self._localize, UNREADABLE) as path:
            return {"sound": extract_audio(path, row["duration"], self.settings)}


def no_audio() -> ItemError:
    """Returns the error of a video without sound."""
    return ItemError("NoAudio", "the video has no sound to learn from: add its music, or leave it out")


def extract_audio(path: Path, duration: float, settings: ExtractAudioSettings) -> Samples:
    """Returns the first audio stream of a local file: [round(duration * 44100), 2].

    Sample 0 is at time 0 of the picture. Where a stream starts later, has a gap or ends early, there is silence; what
    lies outside the picture is cut off.

    Raises:
        ItemError: NoAudio, SilentAudio, AudioTimeout, AudioMemory or AudioFailed.
    """
    data = bytearray()
    limits = Limits(settings.deadline, settings.memory)
    try:
        with Pipe(data.extend) as pcm:
            result = run_ffmpeg(audio_command(path, duration, pcm.url), limits, [pcm])
    except DeadlinePassed:
        raise ItemError("AudioTimeout", f"decoding the sound took more than {settings.deadline:g} s") from None
    except MemoryExhausted:
        most = f"{settings.memory >> 20} MiB"
        raise ItemError("AudioMemory", f"decoding the sound needs more than {most} of memory") from None
    info = read_media_info(path)
    if result.code:
        if info.opened and not info.has_audio:
            raise no_audio()
        why = result.errors[-1] if result.errors else f"exit code {result.code}"
        raise ItemError("AudioFailed", f"the sound cannot be decoded ({why}): export the video again with AAC sound")
    decoded = np.frombuffer(data, np.int16, len(data) // 4 * 2).reshape(-1, CHANNELS)
    if not len(decoded):
        raise no_audio()
    if info.channels == 1:  # ffmpeg gives each side of a single channel half its power
        decoded = np.rint(decoded * math.sqrt(2)).clip(-32768, 32767).astype(np.int16)
    loudest = max(int(decoded.max()), -int(decoded.min()))
    if loudest < 32768 * 10 ** (QUIETEST_DB / 20):
        raise ItemError("SilentAudio", f"the sound is silent, below {QUIETEST_DB:g} dB throughout: leave the video out")
    sound = np.zeros((round(duration * SAMPLE_RATE), CHANNELS), np.int16)
    sound[: len(decoded)] = decoded[: len(sound)]
    return sound


def audio_command(path: Path, duration: float, pcm: str) -> list[str]:
    """Returns ffmpeg's arguments: the first audio stream of a file as raw samples, from the start of the container.

    Args:
        pcm: url of the output.
    """
    import ffmpeg

    source = media_input(str(path))
    resampled = source["a:0"].filter("aresample", SAMPLE_RATE, **{"async": 1, "first_pts": 0})
    options: dict[str, Any] = {"f": "s16le", "ac": CHANNELS, "t": f"{duration:.6f}"}
    return [*map(str, ffmpeg.get_args(ffmpeg.output(resampled, pcm, **options)))]
