"""The sound files of a result: the music in the wanted formats, the parts of the mix, and music for another mix."""

from __future__ import annotations

from pathlib import Path

from stages.audio.formats import FORMATS, PART, OutputSettings, resampled, write_sound
from stages.audio.kept_music import write_kept_music
from stages.contracts import Row

SOUNDS = ("waveform", "mix", "original_sound")
"""Columns of `MIXED` with sounds that are written at the wanted rate."""

NamedFiles = list[tuple[Path, str]]
"""Local files, and the names that they get below the destination."""


def at_rate(row: Row, sample_rate: int | None) -> Row:
    """Returns a row whose sounds have a rate; None leaves them as they are."""
    rate = sample_rate or row["sample_rate"]
    sounds = {name: row[name] for name in SOUNDS if row[name] is not None}
    new = {name: resampled(samples, row["sample_rate"], rate) for name, samples in sounds.items()}
    return row | new | {"sample_rate": rate}


def write_music(row: Row, folder: Path, stem: str, settings: OutputSettings) -> NamedFiles:
    """Writes the music of a row in every format.

    Raises:
        OSError, soundfile.LibsndfileError: a file cannot be written.
    """
    files = [(folder / f"scored{FORMATS[name].suffix}", name) for name in settings.formats]
    for path, name in files:
        write_sound(path, row["waveform"], row["sample_rate"], FORMATS[name])
    return [(path, f"{stem}{FORMATS[name].suffix}") for path, name in files]


def write_parts(row: Row, folder: Path, stem: str, kept_music: str) -> NamedFiles:
    """Writes the parts of a mix, and the music for another one.

    Args:
        kept_music: folder below the destination that keeps music.

    Raises:
        OSError, soundfile.LibsndfileError: a file cannot be written.
    """
    files = [(folder / "music.arrow", f"{kept_music}/{row['item_id']}.arrow")]
    write_kept_music(row, files[0][0])
    for column, part in (("mix", "mix"), ("original_sound", "original")):
        if row[column] is not None:
            suffix = PART.suffix.format(part=part)
            files.append((folder / f"part{suffix}", f"{stem}{suffix}"))
            write_sound(files[-1][0], row[column], row["sample_rate"], PART)
    return files
