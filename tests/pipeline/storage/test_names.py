"""Names and URLs: odd names work everywhere, and none leaves the root."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.storage.storage import Storage, StorageError, localize
from tests.support.s3 import Bucket

pytestmark = pytest.mark.usefixtures("no_waits")

ODD_NAMES = [
    "sp ace.mp4",
    'it\'s "quoted".mp4',
    "-rf.mp4",
    "--out=x.mp4",
    "漢字 é ü 🎵.mp4",
    "100%.mp4",
    "a%20b.mp4",
    "what?.mp4",
    "a#1+b&c=d;e,f.mp4",
    "back\\slash.mp4",
    "$HOME `id` *[x]{y}~.mp4",
    "deep/er/and deeper/x.mp4",
    "dots..in...name.mp4",
    " lead and trail ",
]
FORBIDDEN = ["", "..", ".", "../x", "a/../b", "a/..", "/etc/passwd", "a//b", "a/", "./a", "nul\0.mp4", "bad\udcff.mp4"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_survive_every_way(storage: Storage, name: str) -> None:
    storage.write(name, name.encode())
    assert storage.read(name) == name.encode()
    assert [(e.name, e.size) for e in storage.files()] == [(name, len(name.encode()))]
    with localize(storage.uri(name)) as path:
        assert path.read_bytes() == name.encode()
    storage.delete(name)
    assert not storage.exists(name)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_names_that_leave_the_root_are_refused(storage: Storage, name: str) -> None:
    for use in (storage.read, storage.delete, storage.size, storage.uri, lambda n: storage.write(n, b"x")):
        with pytest.raises(StorageError) as caught:
            use(name)
        assert caught.value.kind == "BadName"
        assert "\n" not in str(caught.value)


@settings(max_examples=200)
@given(st.text(st.characters(blacklist_categories=()), max_size=40) | st.text("./\\\0a~ %", max_size=12))
def test_every_accepted_name_stays_below_the_root(name: str) -> None:
    root = "/some/where/root"
    try:
        uri = Storage.open(root).uri(name)
    except StorageError:
        return
    assert os.path.normpath(uri).startswith(root + "/")
    assert os.path.normpath(uri) == uri
    assert Storage.locate(uri)[0].uri(Storage.locate(uri)[1]) == uri


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=50))
def test_any_file_name_round_trips_on_disk(tmp_path: Path, name: str) -> None:
    storage = Storage.open(tmp_path / uuid.uuid4().hex)
    if name in (".", ".."):
        return
    storage.write(name, b"x")
    assert [e.name for e in storage.files(hidden=True)] == [name]
    assert storage.read(name) == b"x"


@pytest.mark.parametrize(
    ("url", "scheme", "root"),
    [
        ("/a/b/", "file", "/a/b"),
        ("file:///a/b%20c%23", "file", "/a/b c#"),
        ("/a/s3:/b", "file", "/a/s3:/b"),
        ("s3://bucket", "s3", "bucket"),
        ("s3://bucket/", "s3", "bucket"),
        ("S3://bucket/a b/c%20d?e#f/", "s3", "bucket/a b/c%20d?e#f"),
        ("gs://bucket/x", "gs", "bucket/x"),
    ],
)
def test_open_reads_urls(url: str, scheme: str, root: str) -> None:
    assert Storage.open(url) == Storage(scheme, root)


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://b/../c", "s3://bu cket/x", "ftp://x/y", "", "a\0b"])
def test_open_refuses_what_is_no_place(url: str) -> None:
    with pytest.raises(StorageError) as caught:
        Storage.open(url)
    assert caught.value.kind == "BadName"


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Storage.open("out").root == str(tmp_path / "out")


def test_credentials_in_a_url_are_refused_without_repeating_them() -> None:
    with pytest.raises(StorageError, match="environment") as caught:
        Storage.open("s3://AKID:topsecret@bucket/x")
    assert "topsecret" not in str(caught.value)


def test_spelling_escapes_control_characters_for_object_stores_only() -> None:
    assert Storage.open("s3://bucket").spelling("a\nb\x7f 100%.mp4") == "a%0Ab%7F 100%.mp4"
    assert Storage.open("/x").spelling("a\nb.mp4") == "a\nb.mp4"


def test_a_newline_works_on_disk_and_is_refused_plainly_on_s3(tmp_path: Path, bucket: Bucket) -> None:
    local = Storage.open(tmp_path)
    local.write("new\nline\r.mp4", b"1")
    assert [e.name for e in local.files()] == ["new\nline\r.mp4"]
    with pytest.raises(StorageError, match="control characters"):
        Storage.open(bucket.url).write("new\nline.mp4", b"1")
