"""The options that choose what becomes of the music and of the original sound, and how they become settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.options import MusicTrackName, OriginalName, SettingsError

if TYPE_CHECKING:
    from models.mixing.settings import MixingSettings
    from stages.audio.formats import OutputSettings


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


def parse_formats(text: str) -> tuple[str, ...]:
    """The names of formats that a list with commas holds, each once.

    Raises:
        SettingsError: one is unknown, or two of them have the same file.
    """
    from stages.audio.formats import FORMATS

    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in FORMATS]:
        raise SettingsError(f"--formats: expected {', '.join(FORMATS)}, got {unknown[0]!r}")
    if len({FORMATS[name].suffix for name in names}) < len(names):
        raise SettingsError("--formats: wav, wav24 and wav32f would be one file: choose one of them")
    return names


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """Options of the mix and of the files with its sound; one that would change nothing is refused."""

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

    formats: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Formats of the music beside the video: wav, wav24, wav32f, flac, mp3, ogg, with commas between.",
        ),
    ] = "wav"
    rate: Annotated[
        int | None, typer.Option(help="Samples per second of all sound, 44100 or 48000; the model's if left out.")
    ] = None
    music_track: Annotated[
        MusicTrackName,
        typer.Option(help="The soundtrack replaces the video's own, or is added behind the video's own tracks."),
    ] = MusicTrackName.REPLACE

    @property
    def outputs(self) -> OutputSettings:
        """The settings of the files that are written.

        Raises:
            SettingsError: there is no such rate or format.
        """
        from stages.audio.formats import RATES, OutputSettings

        if self.rate is not None and self.rate not in RATES:
            raise SettingsError(f"--rate: expected {' or '.join(map(str, RATES))}, got {self.rate}")
        return OutputSettings(parse_formats(self.formats), self.rate, self.music_track.value, self.stems)

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
