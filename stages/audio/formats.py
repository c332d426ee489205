"""Formats of the sound files beside a scored video, and how samples are written to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]
"""Samples [samples, channels] as 16-bit PCM."""
BLOCK = 1 << 16
"""Samples that are written at once: the encoder of Vorbis has little room for more."""


@dataclass(frozen=True)
class Format:
    """A format of sound files.

    Attributes:
        suffix: what is appended to the stem of a result. No suffix of one kind of file ends with that of another, so
            no two videos write one file, whatever their names are.
        container, subtype: libsndfile's names.
    """

    suffix: str
    container: str
    subtype: str


FORMATS = {
    "wav": Format(".wav", "WAV", "PCM_16"),
    "wav24": Format(".wav", "WAV", "PCM_24"),
    "wav32f": Format(".wav", "WAV", "FLOAT"),
    "flac": Format(".music.flac", "FLAC", "PCM_16"),
    "mp3": Format(".music.mp3", "MP3", "MPEG_LAYER_III"),
    "ogg": Format(".music.ogg", "OGG", "VORBIS"),
}
"""Formats by the names that a person types."""
PART = Format(".{part}.flac", "FLAC", "PCM_16")
"""The format of the parts of a mix."""
RATES = (44100, 48000)
"""Samples per second that results can have."""


@dataclass(frozen=True)
class OutputSettings:
    """The files of a result. The defaults are those of a result without any wishes.

    Attributes:
        formats: names of `FORMATS` in which the music is written beside the video.
        sample_rate: samples per second of all sound; None for those of the model.
        music_track: `replace`: the soundtrack takes the place of the video's own; `add`: it stands behind the video's
            own tracks.
        stems: whether the parts of each mix are written too, and the music is kept for another mix.
    """

    formats: tuple[str, ...] = ("wav",)
    sample_rate: int | None = None
    music_track: str = "replace"
    stems: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The settings that are not the defaults, by their names on disk."""
        defaults = asdict(OutputSettings())
        chosen = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}

    @classmethod
    def of_dict(cls, chosen: dict[str, Any]) -> OutputSettings:
        """Returns the settings that `to_dict` wrote."""
        return cls(**chosen | ({"formats": tuple(chosen["formats"])} if "formats" in chosen else {}))


def write_sound(path: Path, samples: Pcm, sample_rate: int, form: Format) -> None:
    """Writes samples to a file.

    Raises:
        OSError, soundfile.LibsndfileError: the file cannot be written.
    """
    import soundfile

    in_integers = form.subtype.startswith("PCM")
    with soundfile.SoundFile(
        path, "w", sample_rate, samples.shape[1], subtype=form.subtype, format=form.container
    ) as file:
        for start in range(0, len(samples), BLOCK):
            part = samples[start : start + BLOCK]
            file.write(part if in_integers else part.astype(np.float32) / np.float32(32768))


def resampled(samples: Pcm, rate: int, new_rate: int) -> Pcm:
    """Returns samples at another rate; they last as long, to half a sample."""
    if rate == new_rate:
        return samples
    import soxr

    found: Pcm = soxr.resample(samples, rate, new_rate, "VHQ")
    exact = np.zeros((round(len(samples) * new_rate / rate), samples.shape[1]), np.int16)
    exact[: len(found)] = found[: len(exact)]
    return exact
