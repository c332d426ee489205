"""ExtractAudio: reads the sound that a video brings along, on the time axis of its picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.audio.reader import CHANNELS, gain_of_track, no_audio, read_sound
from stages.base import ItemError, Stage, process_each
from stages.contracts import FEATURES, SOURCE_AUDIO, Row
from stages.video.child_process import Limits
from stages.video.source_file import Localize, local_path, open_source

Samples = npt.NDArray[np.int16]
SAMPLE_RATE = 44100
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


def extract_audio(path: Path, duration: float, settings: ExtractAudioSettings) -> Samples:
    """Returns the first audio stream of a local file: [round(duration * 44100), 2].

    Sample 0 is at time 0 of the picture. Where a stream starts later, has a gap or ends early, there is silence; what
    lies outside the picture is cut off.

    Raises:
        ItemError: NoAudio, SilentAudio, AudioTimeout, AudioMemory or AudioFailed.
    """
    data = bytearray()
    limits = Limits(settings.deadline, settings.memory)
    info = read_sound(path, duration, data.extend, limits, SAMPLE_RATE)
    decoded = np.frombuffer(data, np.int16, len(data) // 4 * 2).reshape(-1, CHANNELS)
    if not len(decoded):
        raise no_audio()
    if (gain := gain_of_track(info)) != 1:
        decoded = np.rint(decoded * gain).clip(-32768, 32767).astype(np.int16)
    loudest = max(int(decoded.max()), -int(decoded.min()))
    if loudest < 32768 * 10 ** (QUIETEST_DB / 20):
        raise ItemError("SilentAudio", f"the sound is silent, below {QUIETEST_DB:g} dB throughout: leave the video out")
    sound = np.zeros((round(duration * SAMPLE_RATE), CHANNELS), np.int16)
    sound[: len(decoded)] = decoded[: len(sound)]
    return sound
