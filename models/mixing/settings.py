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
        loudness: integrated loudness in LUFS; None leaves the music with its peak at full scale, as released.
    """

    loudness: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The settings that are not the defaults, by their names on disk."""
        defaults = asdict(MixingSettings())
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}
