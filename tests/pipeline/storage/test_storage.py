"""Local disk and S3 behind one object: the same tests for both, and what only one of them can do wrong."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.storage import retry as patience
from pipeline.storage import storage as storage_module
from pipeline.storage.paths import temporary_name
from pipeline.storage.storage import Storage, StorageError, localize
from tests.conftest import Bucket
from tests.support.s3 import KEY, SECRET

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


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAITS", ())


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage.open(tmp_path / "out")
    return Storage.open(f"{request.getfixturevalue('bucket').url}/some/out")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.bin"
    path.write_bytes(os.urandom(9 << 20))  # more than one chunk, and more than one part of an upload
    return path


def test_deliver_hashes_verifies_and_leaves_only_the_file(storage: Storage, clip: Path) -> None:
    content = clip.read_bytes()
    output = storage.deliver(clip, "sub/a.mp4")
    assert output == {
        "name": "sub/a.mp4",
        "path": storage.uri("sub/a.mp4"),
        "size": 9 << 20,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert storage.read("sub/a.mp4") == content
    assert _everything(storage) == {"sub/a.mp4": 9 << 20}


def test_deliver_replaces_what_stood_there(storage: Storage, tmp_path: Path) -> None:
    storage.write("a.mp4", b"old and longer")
    (tmp_path / "new").write_bytes(b"new")
    storage.deliver(tmp_path / "new", "a.mp4")
    assert storage.read("a.mp4") == b"new"
    assert storage.size("a.mp4") == 3


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


def test_files_are_sorted_with_size_and_time(storage: Storage) -> None:
    before = time.time()
    for name in ("b.mp4", "a/2.mp4", "a/10.mp4", ".hidden/x.mp4", "a/.y.mp4", f"a/.diff-v2m-{'0' * 32}.tmp"):
        storage.write(name, name.encode())
    entries = storage.files()
    assert [e.name for e in entries] == ["a/10.mp4", "a/2.mp4", "b.mp4"]
    assert [e.size for e in entries] == [8, 7, 5]
    assert all(before - 2 <= e.modified.timestamp() <= time.time() + 2 for e in entries)
    assert [e.name for e in storage.files(hidden=True)] == [".hidden/x.mp4", "a/.y.mp4", *(e.name for e in entries)]


def test_a_sweep_removes_temporary_files_and_nothing_else(storage: Storage) -> None:
    folder = storage_module.WORK if not storage.local else "a"
    kept = {name: len(name) for name in ("a/b.mp4", f"{storage_module.WORK}/x.json", "a/.diff-v2m-12.tmp")}
    for name in (*kept, f"{folder}/.diff-v2m-{'0' * 32}.tmp", f"{folder}/.diff-v2m-{'f' * 32}.tmp"):
        storage.write(name, name.encode())
    assert storage.sweep() == 2
    assert _everything(storage) == kept
    assert storage.sweep() == 0


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
    storage.deliver(clip, "a b.MOV")
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


def test_an_upload_that_arrives_changed_is_no_output(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is right, a byte is not."""
    whole = Storage._upload
    monkeypatch.setattr(Storage, "_upload", lambda self, name, chunks: whole(self, name, (b"wrong",)) and "0" * 64)
    with pytest.raises(StorageError, match="other bytes arrived than were sent") as caught:
        storage.write("a.bin", b"right")
    assert caught.value.transient
    assert storage.files(hidden=True) == []


def test_an_upload_that_arrives_short_is_no_output(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write("a.mp4", b"whole")
    monkeypatch.setattr(storage_module, "_chunks_of", lambda path: iter([b"half"]))
    with pytest.raises(StorageError, match="4 of") as caught:
        storage.deliver(__file__, "a.mp4")
    assert caught.value.kind == "CutShort"
    assert caught.value.transient
    assert storage.read("a.mp4") == b"whole"
    assert _everything(storage) == {"a.mp4": 5}


def test_a_source_that_breaks_while_it_is_read_leaves_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(path: Path):
        yield b"first"
        raise KeyboardInterrupt

    storage.write("other", b"x")
    monkeypatch.setattr(storage_module, "_chunks_of", breaks)
    with pytest.raises(KeyboardInterrupt):
        storage.deliver(__file__, "a.mp4")
    assert _everything(storage) == {"other": 1}


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

    monkeypatch.setattr(storage_module, "_chunks_of", breaks)
    with pytest.raises(KeyboardInterrupt):
        place.deliver(__file__, "a.mp4")
    assert len(begun) == 1
    assert "Uploads" not in bucket.s3.client().list_multipart_uploads(Bucket=bucket.name)
    assert _everything(place) == {}


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


def test_check_with_write_leaves_a_note_only_in_our_folder(storage: Storage) -> None:
    storage.check(write=True)
    assert [e.name for e in storage.files(hidden=True)] == [".diff-v2m/README.txt"]
    assert storage.files() == []
    storage.check()


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


def test_a_missing_bucket_is_said_fast_and_never_created(bucket: Bucket) -> None:
    missing = Storage.open("s3://no-such-bucket/x")
    started = time.perf_counter()
    for use in (missing.check, missing.files, lambda: missing.write("a", b"x"), lambda: missing.check(write=True)):
        with pytest.raises(StorageError, match=r"s3://no-such-bucket.*no such bucket") as caught:
            use()
        assert caught.value.kind == "NoBucket"
        assert not caught.value.transient
    assert time.perf_counter() - started < 5
    assert "no-such-bucket" not in [b["Name"] for b in bucket.s3.client().list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    ("who", "kind", "words"),
    [
        ("right", None, ""),
        ("unknown key", "Credentials", "wrong or have expired"),
        ("wrong secret", "Credentials", "wrong or have expired"),
        ("no rights", "AccessDenied", "access denied"),
        ("nobody", "Credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_credentials(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: str, kind: str | None, words: str
) -> None:
    key, secret = bucket.s3.user(allowed=who != "no rights")
    key = "AKIDUNKNOWN" if who == "unknown key" else key
    secret = "wrong-secret-value" if who == "wrong secret" else secret
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    if who == "nobody":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    else:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    storage = Storage.open(f"{bucket.url}/out")
    with bucket.s3.guarded():
        if kind is None:
            storage.check(write=True)
            assert storage.read(".diff-v2m/README.txt").startswith(b"This folder")
            return
        for use in (storage.check, storage.files, lambda: storage.check(write=True)):
            started = time.perf_counter()
            with pytest.raises(StorageError, match=re.escape(bucket.url)) as caught:
                use()
            assert time.perf_counter() - started < 10
            assert caught.value.kind == kind
            assert words in str(caught.value)
            shown = f"{caught.value!r} {caught.value.__cause__} {storage!r}"
            assert secret not in shown
            assert caught.value.__suppress_context__


def test_a_server_that_is_not_there_or_never_answers(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for listening in (False, True):
            if listening:
                silent.listen()
            started = time.perf_counter()
            with pytest.raises(StorageError, match="cannot be reached") as caught:
                Storage.open("s3://bucket/x").check()
            assert time.perf_counter() - started < 15
            assert caught.value.transient


def test_the_s3_variable_wins_over_the_general_endpoint(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.s3.endpoint)
    assert Storage.open(bucket.url).read("a") == b"1"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = temporary_name()
    monkeypatch.setattr(storage_module, "temporary_name", lambda: name)
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


def test_an_error_travels_between_processes_whole() -> None:
    error = pickle.loads(pickle.dumps(StorageError("DiskFull", "x: the disk\nis full")))
    assert (error.kind, str(error)) == ("DiskFull", "x: the disk is full")


def _everything(storage: Storage) -> dict[str, int]:
    """What really lies there, temporary files and folder marks included."""
    if not storage.local:
        from tests.support.s3 import S3

        bucket, _, prefix = storage.root.partition("/")
        keys = S3(os.environ["AWS_ENDPOINT_URL"]).keys(bucket)
        mark = f"{prefix}/.diff-v2m/"  # the client's, that our own folder exists
        return {key.removeprefix(f"{prefix}/"): size for key, size in keys.items() if key != mark}
    root = Path(storage.root)
    return {str(p.relative_to(root)): p.stat().st_size for p in root.rglob("*") if p.is_file()}
