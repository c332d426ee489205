"""Finding soundfonts: in the folders where systems keep them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

FOLDERS = (
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/sounds/sf2",
    "/usr/local/share/soundfonts",
    "/opt/homebrew/share/soundfonts",
    "~/.local/share/sounds/sf2",
    "~/.local/share/soundfonts",
)
ENDINGS = (".sf2", ".sf3")


def installed_soundfonts(folders: Iterable[str | os.PathLike[str]] = FOLDERS) -> list[Path]:
    """Returns the soundfonts in some folders, the largest first; links to the same file count once."""
    found: dict[Path, Path] = {}
    for folder in folders:
        try:
            files = sorted(Path(folder).expanduser().iterdir())
        except (OSError, RuntimeError):  # the folder is not there, or nobody is at home
            continue
        for file in files:
            if file.suffix.lower() in ENDINGS and file.is_file():
                found.setdefault(file.resolve(), file)
    return sorted(found.values(), key=lambda file: (-file.stat().st_size, file.name))
