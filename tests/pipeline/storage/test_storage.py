"""A local disk and S3 behind one object: the same tests for both."""

from __future__ import annotations

import hashlib
import pickle
import re
import time
from pathlib import Path

import pytest

from pipeline.storage.file_set import deliver_set
from pipeline.storage.storage import Storage, StorageError
from tests.support.s3 import KEY, SECRET
from tests.support.stored_files import stored_files

pytestmark = pytest.mark.usefixtures("no_waits")


def test_deliver_hashes_verifies_and_leaves_only_the_file(storage: Storage, clip: Path) -> None:
    content = clip.read_bytes()
    (output,) = deliver_set(storage, [(clip, "sub/a.mp4")])
    assert output == {
        "name": "sub/a.mp4",
        "path": storage.uri("sub/a.mp4"),
        "size": 9 << 20,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert storage.read("sub/a.mp4") == content
    assert stored_files(storage) == {"sub/a.mp4": 9 << 20}


def test_deliver_replaces_what_stood_there(storage: Storage, tmp_path: Path) -> None:
    storage.write("a.mp4", b"old and longer")
    (tmp_path / "new").write_bytes(b"new")
    deliver_set(storage, [(tmp_path / "new", "a.mp4")])
    assert storage.read("a.mp4") == b"new"
    assert storage.size("a.mp4") == 3


def test_files_are_sorted_with_size_and_time(storage: Storage) -> None:
    before = time.time()
    for name in ("b.mp4", "a/2.mp4", "a/10.mp4", ".hidden/x.mp4", "a/.y.mp4", f"a/.diff-v2m-{'0' * 32}.tmp"):
        storage.write(name, name.encode())
    entries = storage.files()
    assert [e.name for e in entries] == ["a/10.mp4", "a/2.mp4", "b.mp4"]
    assert [e.size for e in entries] == [8, 7, 5]
    assert all(before - 2 <= e.modified.timestamp() <= time.time() + 2 for e in entries)
    assert [e.name for e in storage.files(hidden=True)] == [".hidden/x.mp4", "a/.y.mp4", *(e.name for e in entries)]


def test_nothing_there_yet(storage: Storage) -> None:
    assert storage.files() == []
    assert storage.size("a.mp4") is None
    assert not storage.exists("a/b.mp4")
    storage.delete("a.mp4")
    with pytest.raises(StorageError, match=re.escape(storage.uri("a.mp4"))) as caught:
        storage.read("a.mp4")
    assert caught.value.kind == "NotFound"


def test_ranges_of_one_file(storage: Storage) -> None:
    storage.write("x", bytes(range(200)))
    head, tail, beyond = storage.ranges("x", [(0, 3), (197, 50), (500, 4)])
    assert (head, tail, beyond) == (b"\x00\x01\x02", b"\xc5\xc6\xc7", b"")


def test_localize_gives_the_content_with_its_suffix_and_cleans_up(storage: Storage, clip: Path) -> None:
    deliver_set(storage, [(clip, "a b.MOV")])
    with storage.localize("a b.MOV") as path:
        assert path.suffix == ".MOV"
        assert path.read_bytes() == clip.read_bytes()
    assert path.exists() == storage.local
    with pytest.raises(StorageError, match="no such file"), storage.localize("gone.mov"):
        pass


def test_a_storage_travels_between_processes(storage: Storage) -> None:
    storage.write("a", b"1")
    packed = pickle.dumps(storage)
    assert SECRET.encode() not in packed
    assert KEY.encode() not in packed
    assert pickle.loads(packed).read("a") == b"1"


def test_check_with_write_leaves_a_note_only_in_our_folder(storage: Storage) -> None:
    storage.check(write=True)
    assert [e.name for e in storage.files(hidden=True)] == [".diff-v2m/README.txt"]
    assert storage.files() == []
    storage.check()


def test_an_error_travels_between_processes_whole() -> None:
    error = pickle.loads(pickle.dumps(StorageError("DiskFull", "x: the disk\nis full")))
    assert (error.kind, str(error)) == ("DiskFull", "x: the disk is full")
