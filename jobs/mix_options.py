"""The options that choose what becomes of the music and of the original sound, and how they become settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.options import OriginalName, SettingsError

if TYPE_CHECKING:
    from models.mixing.settings import MixingSettings


def parse_loudness(text: str | float | None) -> float | None:
    """The loudness in LUFS that a number or the name of a preset stands for; None for `none`.

    Raises:
        typer.BadParameter: it is neither.
    """
    from models.mixing.settings import LOUDEST, LOUDNESS_PRESETS, QUIETEST

    if text is None or text == "none":
        return None
    try:
        loudness = LOUDNESS_PRESETS[text] if text in LOUDNESS_PRESETS else float(text)
    except ValueError:
        names = ", ".join(LOUDNESS_PRESETS)
        raise typer.BadParameter(f"expected a number of LUFS such as -14, {names} or none, got {text}") from None
    if not QUIETEST <= loudness <= LOUDEST:
        raise typer.BadParameter(f"expected {QUIETEST:g} to {LOUDEST:g} LUFS, got {loudness:g}")
    return loudness


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """Options of the mix; one that would change nothing is refused."""

    loudness: Annotated[
        float | None,
        typer.Option(
            parser=parse_loudness,
            metavar="LUFS",
            help="Loudness in LUFS, or youtube, spotify, ebu or atsc; none: as released, the peak at full scale.",
        ),
    ] = None
    original: Annotated[
        OriginalName,
        typer.Option(help="The original sound: replaced, kept over the music, or kept with the music ducked under it."),
    ] = OriginalName.DROP
    original_track: Annotated[
        int | None, typer.Option(min=1, help="Number of the audio track that is kept; 1 if left out.")
    ] = None
    music_level: Annotated[
        float | None,
        typer.Option(
            min=-40, max=30, help="Loudness of the music in LU relative to a sound that is kept; -8 if left out."
        ),
    ] = None
    duck_depth: Annotated[
        float | None,
        typer.Option(min=0, max=40, help="Decibels by which the music sinks while somebody speaks; 12 if left out."),
    ] = None

    stems: Annotated[
        bool,
        typer.Option(
            "--stems", help="Write the parts of each mix too, and keep the music: another mix makes no new music."
        ),
    ] = False

    @property
    def mixing(self) -> MixingSettings:
        """The settings of the mix.

        Raises:
            SettingsError: an option would have no effect.
        """
        from models.mixing.settings import MixingSettings

        chosen: dict[str, Any] = {
            "original_track": self.original_track,
            "music_level": self.music_level,
            "duck_depth": self.duck_depth,
        }
        given = {name: value for name, value in chosen.items() if value is not None}
        if given and self.original is OriginalName.DROP:
            flag = "--" + next(iter(given)).replace("_", "-")
            raise SettingsError(f"{flag} has no effect on a sound that is dropped: add --original keep or duck")
        if self.duck_depth is not None and self.original is not OriginalName.DUCK:
            raise SettingsError("--duck-depth has no effect without --original duck")
        return MixingSettings(loudness=self.loudness, original=self.original.value, **given)
