"""Sets of files that belong together: they are delivered whole or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.storage.errors import StorageError, translate_errors
from pipeline.storage.staging import COPY_LIMIT, Output, Staged
from pipeline.storage.storage import Storage

log = logging.getLogger(__name__)


def deliver_set(storage: Storage, files: Sequence[tuple[str | os.PathLike[str], str]]) -> list[Output]:
    """Copies local files to their names, all of them or none.

    First every file is written to a temporary name and verified; only then do they get their names. If one cannot get
    its name, the others are taken back, and files that stood there before stand there again. Only an earlier object of
    a bucket that is too large to be copied within it (5 GiB) cannot be brought back.

    Args:
        storage: storage that takes the files.
        files: path and name of each file.

    Returns:
        The delivered files, in the order of `files`.

    Raises:
        StorageError: a file cannot be written; nothing of the set is left at the names.
    """
    staged, before, outputs = list[Staged](), dict[str, str | None](), dict[str, Output]()
    try:
        for path, name in sorted(files, key=lambda file: _is_large(file[0])):  # what cannot be taken back comes last
            staged.append(storage.stage(path, name))
        for file in staged:
            before[file.name] = None if file.direct else storage.preserve(file.name)
            outputs[file.name] = storage.place(file)
    except BaseException:
        for file in staged:
            _take_back(storage, file, before)
        raise
    for kept in filter(None, before.values()):
        storage.discard(kept)
    return [outputs[name] for _, name in files]


def _is_large(path: str | os.PathLike[str]) -> bool:
    """Whether a file is uploaded to its name at once.

    Raises:
        StorageError: the file cannot be read.
    """
    with translate_errors(os.fspath(path)):
        return Path(path).stat().st_size > COPY_LIMIT


def _take_back(storage: Storage, file: Staged, before: dict[str, str | None]) -> None:
    """Brings the name of a staged file back into the state before, as far as that is possible."""
    try:
        # A rename on a disk is done or not; a move in a bucket may have broken off between its copy and its deletion.
        placed = file.direct or (file.name in before and not (storage.local and storage.exists(file.temporary)))
        if kept := before.get(file.name):
            storage.restore(kept, file.name)
            storage.discard(kept)  # two links to one file both stay when one is renamed to the other
        elif placed:
            storage.delete(file.name)
        if not file.direct:
            storage.discard(file.temporary)
    except StorageError as error:
        log.warning("a part of a result that failed is left behind: %s", error)
