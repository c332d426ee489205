"""Mix: music alone, or under the sound that the video brings along, at the level that the result is to have."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from models.mixing.settings import MixingSettings
from stages.audio.reader import CHANNELS, gain_of_track, read_sound
from stages.base import ItemError, Stage, process_each
from stages.contracts import MIXED, SOUND, Row
from stages.video.child_process import Limits
from stages.video.source_file import Localize, local_path, open_source

if TYPE_CHECKING:
    from models.mixing.ducking import Span
    from models.mixing.sound import Sound
    from models.mixing.speech import SpeechDetector

SAMPLE_RATE = 44100
UNREADABLE = "cannot read the file again for its sound ({reason})"


@dataclass(frozen=True)
class MixSettings:
    """How the sound of a result is mixed.

    Attributes:
        mixing: what is asked of the mix.
        sample_rate: samples of the music per second.
        stems: whether the parts of the mix are handed on: the music as released, and the original sound.
        deadline: seconds of wall time that decoding the original sound may take.
        memory: bytes of address space that its decoder may take.
    """

    mixing: MixingSettings = MixingSettings()
    sample_rate: int = SAMPLE_RATE
    stems: bool = False
    deadline: float = 900.0
    memory: int = 2 << 30


class Mix(Stage):
    """Gives `waveform` its level, and adds `mix`, the sum with the original sound, where that is kept.

    The original sound lies in a temporary file while it is mixed. Both sounds are read in blocks, so the memory does
    not depend on how long or how many channels the original is.

    Args:
        settings: how the sound is mixed.
        localize: gives a local path for a uri, for as long as its context is open.
    """

    name = "mix"
    reads, writes = SOUND, MIXED

    def __init__(self, settings: MixSettings = MixSettings(), localize: Localize = local_path) -> None:
        self.settings = settings
        self._localize = localize

    @cached_property
    def _speech(self) -> SpeechDetector:
        from models.mixing.speech import SpeechDetector

        return SpeechDetector()

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return process_each(rows, self._mix)

    def _mix(self, row: Row) -> Row:
        mixing = self.settings.mixing
        if mixing.original == "drop":
            return self._alone(row, "dropped")
        if not row["media"]["has_audio"]:
            return self._alone(row, "none")
        with open_source(row["uri"], self._localize, UNREADABLE) as path, tempfile.TemporaryFile() as file:

            def take(chunk: bytes) -> None:
                file.write(chunk)

            limits = Limits(self.settings.deadline, self.settings.memory)
            with _room_needed():
                rate, track = self.settings.sample_rate, mixing.original_track
                info = read_sound(path, row["duration"], take, limits, rate, track=track, is_float=True)
                file.flush()
            return self._under(row, _stored(file, rate, gain_of_track(info, track)))

    def _alone(self, row: Row, original: str) -> Row:
        """Returns the columns of a result that has music alone."""
        from models.mixing.leveling import leveled, measured
        from models.mixing.sound import StoredSound

        music, target = StoredSound(row["waveform"], self.settings.sample_rate), self.settings.mixing.loudness
        waveform, levels = (music.data, measured(music)) if target is None else leveled(music, target)
        return self._columns(row, waveform) | {"loudness": asdict(levels), "original": original}

    def _under(self, row: Row, original: Sound) -> Row:
        """Returns the columns of a result whose music lies under the original sound."""
        from models.mixing.bed import Bed, MixedSound
        from models.mixing.ducking import ASIDE_DB, BESIDE_MUSIC, ducking_envelope, speech_spans
        from models.mixing.leveling import leveled, rendered
        from models.mixing.loudness import integrated_loudness
        from models.mixing.own_music import music_spans
        from models.mixing.sound import StoredSound
        from models.mixing.speech import STEP_S

        mixing, music = self.settings.mixing, StoredSound(row["waveform"], self.settings.sample_rate)
        reference, own = integrated_loudness(original), integrated_loudness(music)
        if not math.isfinite(reference):
            return self._alone(row, "silent")
        gain = reference + mixing.music_level - own if math.isfinite(own) else 0.0
        spans: list[Span] = []
        own_music: list[Span] = []
        envelope = None
        if mixing.original == "duck":
            spans = speech_spans(self._speech(original), STEP_S)
            own_music = music_spans(original, spans)
            under = ducking_envelope(spans, row["duration"], mixing.duck_depth)
            envelope = np.minimum(under, ducking_envelope(own_music, row["duration"], ASIDE_DB, BESIDE_MUSIC))
        bed = Bed(music, gain, envelope)
        mix, levels = leveled(MixedSound(bed, original), mixing.loudness)
        stem = rendered(Bed(music, gain + levels.gain, envelope))
        parts = {"original_sound": rendered(Bed(original, levels.gain))} if self.settings.stems else {}
        return (
            self._columns(row, stem)
            | parts
            | {
                "mix": mix,
                "loudness": asdict(levels),
                "original": "kept" if mixing.original == "keep" else "ducked",
                "original_track": mixing.original_track,
                "speech": np.asarray(spans, np.float64).reshape(-1, 2),
                "own_music": np.asarray(own_music, np.float64).reshape(-1, 2),
            }
        )

    def _columns(self, row: Row, waveform: np.ndarray) -> Row:
        music = {"music": row["waveform"]} if self.settings.stems else {}
        return {"waveform": waveform, "sample_rate": self.settings.sample_rate} | music


def _stored(file: IO[bytes], sample_rate: int, gain: float) -> Sound:
    """Returns the sound whose raw stereo samples lie in a file."""
    from models.mixing.bed import Bed
    from models.mixing.sound import StoredSound, decibels

    size = file.seek(0, 2) // (4 * CHANNELS)
    data: Any = np.zeros((0, CHANNELS), np.float32)
    if size:
        data = np.memmap(cast(Any, file), np.float32, "r", shape=(size, CHANNELS))
    return Bed(StoredSound(data, sample_rate), decibels(gain))


@contextmanager
def _room_needed() -> Iterator[None]:
    """Turns the error of a full disk into one that says so."""
    try:
        yield
    except OSError as error:
        place = tempfile.gettempdir()
        hint = "free some space, or set TMPDIR elsewhere"
        raise ItemError("DiskFull", f"no room for the original sound in {place} ({error.strerror}): {hint}") from error
