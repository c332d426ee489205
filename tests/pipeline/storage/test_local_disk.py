"""What only a local disk can do wrong: no room, odd kinds of files, links, names that are too long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage import staging
from pipeline.storage.paths import temporary_name
from pipeline.storage.storage import Storage, StorageError


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = temporary_name()
    monkeypatch.setattr(staging, "temporary_name", lambda: name)
    os.symlink("/dev/full", tmp_path / name)
    with pytest.raises(StorageError, match="disk is full; free some space") as caught:
        Storage.open(tmp_path).write("a.mp4", b"x" * 100_000)
    assert caught.value.kind == "DiskFull"
    assert os.listdir(tmp_path) == []


def test_local_things_that_are_no_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage.open(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real.mp4").write_bytes(b"1")
    os.mkfifo(tmp_path / "pipe.mp4")
    os.symlink(tmp_path, tmp_path / "loop")
    os.symlink(tmp_path / "folder" / "real.mp4", tmp_path / "link.mp4")
    os.symlink(tmp_path / "nowhere", tmp_path / "broken.mp4")
    assert [e.name for e in storage.files()] == ["broken.mp4", "folder/real.mp4", "link.mp4"]
    assert "loop is a linked folder" in caplog.text
    for name, kind in (("pipe.mp4", "NotAFile"), ("folder", "NotAFile"), ("broken.mp4", "NotFound")):
        with pytest.raises(StorageError) as caught:
            storage.read(name)
        assert caught.value.kind == kind
    for name in ("folder", "link.mp4/below.mp4"):
        with pytest.raises(StorageError, match="file"):
            storage.write(name, b"x")
    assert [p.name for p in tmp_path.rglob("*.tmp")] == []
    with pytest.raises(StorageError, match="no such folder"):
        Storage.open(tmp_path / "none").check()


def test_a_name_too_long_for_the_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="too long") as caught:
        Storage.open(tmp_path).write("x" * 300, b"x")
    assert caught.value.kind == "BadName"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_vanishes_while_its_folder_is_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    walk = os.walk

    def slow(root: str, **options: Any) -> Iterator[Any]:
        for found in walk(root, **options):
            (tmp_path / "a").unlink()
            yield found

    monkeypatch.setattr(os, "walk", slow)
    assert [entry.name for entry in Storage.open(tmp_path).files()] == ["b"]
