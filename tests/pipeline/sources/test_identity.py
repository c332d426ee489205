"""Identity: content ids follow the content, and item ids tell outputs apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.identity import BLOCK_BYTES, BLOCKS, content_id, item_id
from pipeline.storage.storage import Storage, StorageError

HEXADECIMAL = st.text("0123456789abcdef", min_size=64, max_size=64)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES * BLOCKS, BLOCK_BYTES * BLOCKS + 1, 3 << 20])
def test_content_id_follows_size_head_middle_and_tail(tmp_path: Path, size: int) -> None:
    storage, data = Storage.open(tmp_path), os.urandom(size)
    seen = set()
    is_whole = size <= BLOCK_BYTES * BLOCKS
    places = {0, size // 2, max(size - 1, 0)} if is_whole else {0, BLOCK_BYTES - 1, size - BLOCK_BYTES, size - 1}
    storage.write("x", data)
    seen.add(content_id(storage, "x", size))
    for at in places if size else ():
        changed = bytearray(data)
        changed[at] ^= 1
        storage.write("x", bytes(changed))
        seen.add(content_id(storage, "x", size))
    storage.write("x", data + b"\0")
    seen.add(content_id(storage, "x", size + 1))
    assert len(seen) == (len(places) if size else 0) + 2


def test_content_id_samples_every_eighth_of_a_large_file(tmp_path: Path) -> None:
    storage, size = Storage.open(tmp_path), 4 << 20
    ids = []
    for part in range(BLOCKS):
        data = bytearray(size)
        data[(size - BLOCK_BYTES) * part // (BLOCKS - 1) + 7] = 1
        storage.write("x", bytes(data))
        ids.append(content_id(storage, "x", size))
    assert len(set(ids)) == BLOCKS


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    storage.write("x", b"12345")
    for size in (4, 6, BLOCK_BYTES * BLOCKS + 1):
        with pytest.raises(StorageError, match="changed while it was read"):
            content_id(storage, "x", size)


@settings(max_examples=200)
@given(
    st.sets(
        st.tuples(st.text("0123456789abcdef", min_size=64, max_size=64), st.text(min_size=1, max_size=30)),
        min_size=2,
        max_size=5,
    )
)
def test_item_ids_are_distinct(pairs: set[tuple[str, str]]) -> None:
    assert len({item_id(content, output) for content, output in pairs}) == len(pairs)
