"""Mix: gives the music the level that the result is to have, and measures its loudness."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models.mixing.settings import MixingSettings
from stages.base import Stage, process_each
from stages.contracts import MIXED, SOUND, Row

SAMPLE_RATE = 44100


@dataclass(frozen=True)
class MixSettings:
    """How the sound of a result is mixed.

    Attributes:
        mixing: what is asked of the mix.
        sample_rate: samples of the music per second.
    """

    mixing: MixingSettings = MixingSettings()
    sample_rate: int = SAMPLE_RATE


class Mix(Stage):
    """Adds `sample_rate` and `loudness`, and gives `waveform` its level; by default the music stays as it is."""

    name = "mix"
    reads, writes = SOUND, MIXED

    def __init__(self, settings: MixSettings = MixSettings()) -> None:
        self.settings = settings

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return process_each(rows, self._mix)

    def _mix(self, row: Row) -> Row:
        from models.mixing.leveling import leveled, measured
        from models.mixing.sound import StoredSound

        music, target = StoredSound(row["waveform"], self.settings.sample_rate), self.settings.mixing.loudness
        waveform, levels = (music.data, measured(music)) if target is None else leveled(music, target)
        return {"waveform": waveform, "sample_rate": music.sample_rate, "loudness": asdict(levels)}
