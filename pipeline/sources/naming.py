"""Names of results: the video, the sound and the sidecar that are written for each source, below a destination.

The usual names of `a.mp4` are `a.mp4`, `a.wav` and `a.json`. A video whose usual names are taken gets its full name as
the stem: `a.mov` beside `a.mp4` gives `a.mov`, `a.mov.wav` and `a.mov.json`, and `a.avi` beside `a.mkv` gives
`a.avi.mkv`, `a.avi.wav` and `a.avi.json`. If these are taken as well, a number is appended: `a.mov.2.mov`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

KEPT_SUFFIXES = ("mp4", "m4v", "mov", "webm", "mkv")
"""Suffixes of the containers that are written; a video with another suffix becomes a .mkv."""
SUFFIXES_BESIDE = (".wav", ".json")
"""Suffixes of the files that are written beside every scored video."""
FALLBACK_SUFFIX = ".mkv"
"""Suffix of the container that holds nearly every kind of picture."""


@dataclass(frozen=True)
class ResultNames:
    """The names of one video's results, as paths below the destination.

    Attributes:
        output: the scored video, with its suffix.
        stem: the path to which the suffixes of `SUFFIXES_BESIDE` are appended.
        fallback: the scored video if the container of `output` cannot hold its picture: always a .mkv, which no other
            video writes.
        blocked_by: a file of an earlier result that stands where these names need a folder; usually None.
    """

    output: str
    stem: str
    fallback: str
    blocked_by: str | None = None

    @property
    def written(self) -> tuple[str, ...]:
        """All files that are written: the video, and those beside it."""
        return (self.output, *(f"{self.stem}{suffix}" for suffix in SUFFIXES_BESIDE))

    @property
    def possible(self) -> tuple[str, ...]:
        """All files that may be written: those that are, and the fallback."""
        return (*self.written, self.fallback)


def usual_names(name: str) -> ResultNames:
    """Returns the usual names for a video's relative path: `a.mp4` with the stem `a`, or `a.mkv` for an `a.avi`.

    The fallback is the one for a video that nobody else clashes with.
    """
    stem, _, container = name_parts(name)
    return ResultNames(stem + container, stem, stem + FALLBACK_SUFFIX)


def names_with_full_stem(name: str) -> tuple[ResultNames, ...]:
    """Returns the names with the full name as the stem: `a.mov` or `a.mov.mov` of a .mov, `a.avi.mkv` of a .avi."""
    _, full, container = name_parts(name)
    outputs = (full, full + container) if full.endswith(container) else (full + container,)
    return tuple(ResultNames(output, full, full + FALLBACK_SUFFIX) for output in outputs)


def names_with_stem(name: str, stem: str) -> Iterator[ResultNames]:
    """Yields those names with a stem that a video of this name can get."""
    usual = usual_names(name)
    full = name_parts(name)[1]
    if stem == usual.stem:
        yield usual
    if stem == full:
        yield from names_with_full_stem(name)
    number = stem[len(full) + 1 :]
    if stem.startswith(f"{full}.") and number.isascii() and number.isdigit() and number[0] != "0":
        yield numbered_names(name, int(number))


def numbered_names(name: str, number: int) -> ResultNames:
    """Returns the names with the full name and a number as the stem: `a.mov.2.mov` with the stem `a.mov.2`."""
    _, full, container = name_parts(name)
    stem = f"{full}.{number}"
    return ResultNames(stem + container, stem, stem + FALLBACK_SUFFIX)


def name_parts(name: str) -> tuple[str, str, str]:
    """Returns a path without its suffix, the path with its suffix in lower case, and the suffix of the scored video."""
    suffix = PurePosixPath(name).suffix
    stem = name[: len(name) - len(suffix)]
    suffix = suffix.lower()
    return stem, stem + suffix, suffix if suffix[1:] in KEPT_SUFFIXES else FALLBACK_SUFFIX


def folders_of(name: str) -> Iterator[str]:
    """Yields the folders that a file lies in, folded."""
    path = folded(name)
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def folded(name: str) -> str:
    """Returns a name without the differences that some disks cannot tell apart."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()
