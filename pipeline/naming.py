"""Names of results: the video, the sound and the sidecar that are written for one source, below a destination."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

KEPT_SUFFIXES = ("mp4", "m4v", "mov", "webm", "mkv")
"""Suffixes of the containers that are written; a video with another suffix becomes a .mkv."""
SUFFIXES_BESIDE = (".wav", ".json")
"""Suffixes of the files that are written beside every scored video."""


@dataclass(frozen=True)
class ResultNames:
    """The names of one video's results, as paths below the destination.

    Attributes:
        output: the scored video, with its suffix.
        stem: the path to which the suffixes of `SUFFIXES_BESIDE` are appended.
    """

    output: str
    stem: str

    @property
    def written(self) -> tuple[str, ...]:
        """All files that are written: the video, and those beside it."""
        return (self.output, *(f"{self.stem}{suffix}" for suffix in SUFFIXES_BESIDE))


def plain_names(name: str) -> ResultNames:
    """Returns the usual names for a source's relative path: `a.mp4` with the stem `a`, or `a.mkv` for an `a.avi`."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    kept = suffix if suffix[1:] in KEPT_SUFFIXES else ".mkv"
    return ResultNames(str(path.with_name(path.stem + kept)), str(path.with_name(path.stem)))


def names_of_output(output: str) -> ResultNames:
    """Returns the usual names where the scored video's own is known."""
    return ResultNames(output, output[: len(output) - len(PurePosixPath(output).suffix)])
