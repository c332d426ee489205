"""Uploads that break, arrive damaged or are left behind: a file is at its name whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pipeline.storage import staging
from pipeline.storage.file_set import deliver_set
from pipeline.storage.location import Location
from pipeline.storage.paths import WORK, temporary_name
from pipeline.storage.storage import Storage, StorageError
from tests.support.s3 import Bucket
from tests.support.stored_files import stored_files

pytestmark = pytest.mark.usefixtures("no_waits")


def test_a_sweep_removes_temporary_files_and_nothing_else(storage: Storage) -> None:
    folder = WORK if not storage.local else "a"
    kept = {name: len(name) for name in ("a/b.mp4", f"{WORK}/x.json", "a/.diff-v2m-12.tmp")}
    for name in (*kept, f"{folder}/.diff-v2m-{'0' * 32}.tmp", f"{folder}/.diff-v2m-{'f' * 32}.tmp"):
        storage.write(name, name.encode())
    assert storage.sweep() == 2
    assert stored_files(storage) == kept
    assert storage.sweep() == 0


def test_an_upload_that_arrives_changed_is_no_output(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is right, a byte is not."""
    whole = staging.upload

    def change(location: Location, name: str, chunks: Iterable[bytes]) -> str:
        return whole(location, name, (b"wrong",)) and "0" * 64

    monkeypatch.setattr(staging, "upload", change)
    with pytest.raises(StorageError, match="other bytes arrived than were sent") as caught:
        storage.write("a.bin", b"right")
    assert caught.value.transient
    assert storage.files(hidden=True) == []


def test_an_upload_that_arrives_short_is_no_output(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write("a.mp4", b"whole")
    monkeypatch.setattr(staging, "read_chunks", lambda path: iter([b"half"]))
    with pytest.raises(StorageError, match="4 of") as caught:
        deliver_set(storage, [(__file__, "a.mp4")])
    assert caught.value.kind == "CutShort"
    assert caught.value.transient
    assert storage.read("a.mp4") == b"whole"
    assert stored_files(storage) == {"a.mp4": 5}


def test_a_source_that_breaks_while_it_is_read_leaves_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(path: Path):
        yield b"first"
        raise KeyboardInterrupt

    storage.write("other", b"x")
    monkeypatch.setattr(staging, "read_chunks", breaks)
    with pytest.raises(KeyboardInterrupt):
        deliver_set(storage, [(__file__, "a.mp4")])
    assert stored_files(storage) == {"other": 1}


def test_a_sweep_ends_uploads_that_were_broken_off(bucket: Bucket) -> None:
    """Those of our own folder; others may be somebody's who goes on."""
    client, place = bucket.s3.client(), Storage.open(f"{bucket.url}/out")
    ours, theirs = f"out/.diff-v2m/{temporary_name()}", "out/clip.mp4"
    for key in (ours, theirs):
        upload = client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
        client.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=b"half")
    assert place.sweep() == 0
    left = client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
    assert [upload["Key"] for upload in left] == [theirs]


def test_an_upload_that_breaks_is_ended(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one part, the last of which never comes."""
    place = Storage.open(f"{bucket.url}/out")
    begun: list[str] = []

    def breaks(path: Path) -> Iterator[bytes]:
        for _ in range(3):
            yield bytes(8 << 20)
        uploads = bucket.s3.client().list_multipart_uploads(Bucket=bucket.name)["Uploads"]
        begun.extend(upload["Key"] for upload in uploads)
        raise KeyboardInterrupt

    monkeypatch.setattr(staging, "read_chunks", breaks)
    with pytest.raises(KeyboardInterrupt):
        deliver_set(place, [(__file__, "a.mp4")])
    assert len(begun) == 1
    assert "Uploads" not in bucket.s3.client().list_multipart_uploads(Bucket=bucket.name)
    assert stored_files(place) == {}
