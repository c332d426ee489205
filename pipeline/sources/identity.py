"""Identity of videos: ids that follow from a file's content, and from that together with its output's name."""

from __future__ import annotations

import hashlib

from pipeline.storage.errors import StorageError
from pipeline.storage.storage import Storage

BLOCK_BYTES, BLOCKS = 16 << 10, 8
"""Size and number of the blocks that a content id is made of, for a file that is larger than all blocks together."""


def content_id(storage: Storage, name: str, size: int) -> str:
    """Returns the content id of a file: a hexadecimal SHA-256 of its size and of blocks of it, the noise's seed.

    Files up to 128 KiB are read whole. Of larger ones eight blocks of 16 KiB are read: the first, the last and six
    evenly between, so that a bucket of large videos need not be downloaded to be listed. Two files of the same size
    that differ only between those blocks get the same id. A re-encoded, cut or re-tagged video always gets another id.
    A file that was patched in place in the middle may not, and is then taken for the old one if its name is the same.

    Args:
        storage: storage that holds the file.
        name: its path below the storage's root.
        size: its size in bytes.

    Raises:
        StorageError: it cannot be read, or has another size by now.
    """
    whole = size <= BLOCK_BYTES * BLOCKS
    offsets = [0] if whole else [(size - BLOCK_BYTES) * i // (BLOCKS - 1) for i in range(BLOCKS)]
    length = size + 1 if whole else BLOCK_BYTES  # one byte more shows a file that has grown
    blocks = storage.ranges(name, [(offset, length) for offset in offsets])
    if sum(map(len, blocks)) != (size if whole else BLOCK_BYTES * BLOCKS):
        raise StorageError("CutShort", f"{storage.uri(name)}: it changed while it was read; try again")
    digest = hashlib.sha256(f"{size}\n".encode())
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def item_id(content: str, output: str) -> str:
    """Returns the item id, 32 hexadecimal digits: a hash of content id and output, so two copies are two items."""
    return hashlib.sha256(content.encode() + b"\0" + as_utf8(output)).hexdigest()[:32]


def as_utf8(text: str) -> bytes:
    """Returns a name as UTF-8; bytes of a file name that are no UTF-8 are written as escapes."""
    return text.encode("utf-8", "backslashreplace")
