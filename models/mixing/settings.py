"""Settings of the mix: everything that changes the sound of a result after its music is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

LOUDNESS_PRESETS = {"youtube": -14.0, "spotify": -14.0, "ebu": -23.0, "atsc": -24.0}
"""Integrated loudness in LUFS that a platform or a rule of broadcasters asks for."""
QUIETEST, LOUDEST = -50.0, -5.0
"""Bounds of a loudness that can be asked for, in LUFS."""


@dataclass(frozen=True)
class MixingSettings:
    """What becomes of the music after it is made. With the defaults it stays as the model releases it, bit for bit.

    Attributes:
        loudness: integrated loudness in LUFS; None leaves the level as it is.
        original: `drop`: the music replaces the original sound; `keep`: the music lies under it; `duck`: the music also
            sinks while somebody speaks.
        original_track: number of the audio track that is kept, from 1.
        music_level: loudness of the music under a sound that is kept, in LU relative to that sound.
        duck_depth: decibels by which the music sinks while somebody speaks.
    """

    loudness: float | None = None
    original: str = "drop"
    original_track: int = 1
    music_level: float = -8.0
    duck_depth: float = 12.0

    def to_dict(self) -> dict[str, Any]:
        """The settings that are not the defaults and change something, by their names on disk."""
        defaults = asdict(MixingSettings())
        idle = {"drop": {"original_track", "music_level", "duck_depth"}, "keep": {"duck_depth"}}.get(self.original, ())
        return {name: value for name, value in asdict(self).items() if value != defaults[name] and name not in idle}
