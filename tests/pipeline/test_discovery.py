"""Discovery: which videos sources lead to, the names of their outputs, and which sources are refused."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import discovery
from pipeline.discovery import (
    BLOCK_BYTES,
    BLOCKS,
    VIDEO_SUFFIXES,
    SourceError,
    content_id,
    discover,
    item_id,
    reread,
)
from pipeline.naming import names_of_output, plain_names
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, rows_of, table_of
from tests.support.s3 import Bucket


class Place:
    """Where sources are put: a folder, or a prefix of a bucket."""

    def __init__(self, root: str, bucket: Bucket | None) -> None:
        self.root, self.bucket, self.storage = root, bucket, Storage.open(root)
        self.destination = Storage.open(root + "-out")

    def put(self, *names: str, data: bytes | None = None) -> None:
        for name in names:
            self.storage.write(name, data if data is not None else name.encode())


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(str(tmp_path / "in"), None)
    bucket: Bucket = request.getfixturevalue("bucket")
    return Place(f"{bucket.url}/in", bucket)


def test_a_folder_gives_its_videos_sorted_by_output(place: Place) -> None:
    place.put("b.MP4", "a/c.avi", "a/d.webm", "notes.txt", "x.jpg", ".hidden.mp4", ".git/e.mp4", "a/noise.wav", "z.TS")
    table = MANIFEST.check(discover([place.root], place.destination))
    rows = table.to_pylist()
    assert [row["output"] for row in rows] == ["a/c.mkv", "a/d.webm", "b.mp4", "z.mkv"]
    assert [row["uri"] for row in rows] == [f"{place.root}/{name}" for name in ("a/c.avi", "a/d.webm", "b.MP4", "z.TS")]
    assert [row["size"] for row in rows] == [7, 8, 5, 4]
    assert [row["error"] for row in rows] == [None] * 4
    assert [row["content_id"] for row in rows] == [
        hashlib.sha256(b"%d\n%b" % (len(name), name)).hexdigest()
        for name in (b"a/c.avi", b"a/d.webm", b"b.MP4", b"z.TS")
    ]
    assert len({row["item_id"] for row in rows}) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", row["item_id"]) for row in rows)


def test_a_named_file_is_taken_whatever_it_is_called(place: Place) -> None:
    place.put("text.txt", "none", "deep/.hidden.mp4")
    named = [f"{place.root}/{name}" for name in ("text.txt", "none", "deep/.hidden.mp4")]
    rows = discover(named, place.destination).to_pylist()
    assert {row["uri"]: row["output"] for row in rows} == dict(
        zip(named, ["text.mkv", "none.mkv", ".hidden.mp4"], strict=True)
    )


def test_ids_hang_on_content_and_output_not_on_the_place(place: Place, tmp_path: Path) -> None:
    data = os.urandom(BLOCK_BYTES * BLOCKS + 12345)
    place.put("a.mp4", "copy.mp4", data=data)
    elsewhere = Storage.open(tmp_path / "elsewhere")
    elsewhere.write("a.mp4", data)
    first, copy = discover([place.root], place.destination).to_pylist()
    (again,) = discover([elsewhere.root], place.destination).to_pylist()
    assert (again["content_id"], again["item_id"]) == (first["content_id"], first["item_id"])
    assert copy["content_id"] == first["content_id"]
    assert copy["item_id"] != first["item_id"]


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


def test_a_file_that_cannot_be_read_is_a_row_with_an_error(tmp_path: Path) -> None:
    source = Storage.open(tmp_path / "in")
    source.write("good.mp4", b"1")
    os.symlink("/nowhere/at/all", tmp_path / "in" / "broken.mp4")
    (tmp_path / "in" / os.fsdecode(b"latin\xe9.mp4")).write_bytes(b"1")
    rows = discover([source.root], Storage.open(tmp_path / "out")).to_pylist()
    broken, good, latin = rows
    assert good["error"] is None
    assert broken["output"] == "broken.mp4"
    assert {(row["error"]["stage"], row["error"]["type"]) for row in (broken, latin)} == {("source", "Unreadable")}
    assert broken["error"]["message"] == f"{tmp_path}/in/broken.mp4: no such file or folder"
    assert "not valid UTF-8; rename the file" in latin["error"]["message"]
    assert latin["uri"] == f"{tmp_path}/in/latin\\udce9.mp4"
    assert len({row["item_id"] for row in rows}) == 3


def test_no_permission_is_a_row_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Storage.open(tmp_path / "in").write("a.mp4", b"1")

    def refuse(self: Storage, name: str, wanted: object) -> list[bytes]:
        from pipeline.storage.errors import translate_errors

        with translate_errors(self.uri(name)):
            raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(Storage, "ranges", refuse)
    (row,) = discover([str(tmp_path / "in")], Storage.open(tmp_path / "out")).to_pylist()
    assert row["error"]["type"] == "Unreadable"
    assert "permission denied; check the rights" in row["error"]["message"]


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    storage.write("x", b"12345")
    for size in (4, 6, BLOCK_BYTES * BLOCKS + 1):
        with pytest.raises(discovery.StorageError, match="changed while it was read"):
            content_id(storage, "x", size)


def test_odd_names_become_rows(tmp_path: Path) -> None:
    names = ["sp ace.mp4", 'it\'s "q".mp4', "new\nline.mp4", "-dash.mp4", "--out.mp4", "漢é.mp4", "%0A?#.mp4"]
    source = Storage.open(tmp_path / "in")
    for name in names:
        source.write(name, name.encode())
    local = discover([source.root], Storage.open(tmp_path / "out")).to_pylist()
    assert sorted(row["output"] for row in local) == sorted(names)
    assert {row["uri"] for row in local} == {f"{tmp_path}/in/{name}" for name in names}
    remote = discover([source.root], Storage.open("s3://bucket/out")).to_pylist()
    assert {row["output"] for row in remote} == {name.replace("\n", "%0A") for name in names}


def test_odd_names_are_taken_as_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-dash.mp4", "a b\n.mp4"):
        (tmp_path / name).write_bytes(b"1")
    rows = discover(["-dash.mp4", "./a b\n.mp4"], Storage.open("out")).to_pylist()
    assert [row["uri"] for row in rows] == [f"{tmp_path}/-dash.mp4", f"{tmp_path}/a b\n.mp4"]


def test_several_sources_and_repeats_and_a_limit(place: Place, tmp_path: Path) -> None:
    place.put("sub/a.mp4", "b.mp4")
    other = Storage.open(tmp_path / "more")
    other.write("c.mp4", b"1")
    sources = [other.root, place.root, f"{place.root}/", f"{place.root}/b.mp4"]
    assert discover(sources, place.destination)["output"].to_pylist() == ["b.mp4", "c.mp4", "sub/a.mp4"]
    assert discover(sources, place.destination, limit=2)["output"].to_pylist() == ["b.mp4", "c.mp4"]
    assert discover(sources[::-1], place.destination).equals(discover(sources, place.destination))
    with pytest.raises(SourceError, match="at least 1, got 0"):
        discover(sources, place.destination, limit=0)


@pytest.mark.parametrize(
    ("name", "too_long"), [("a" * 250 + ".mp4", False), ("a" * 251 + ".mp4", True), ("b" * 252 + ".ts", True)]
)
def test_names_of_results_that_no_disk_takes_are_found_before_anything_is_computed(
    tmp_path: Path, name: str, too_long: bool
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"video")
    (row,) = rows_of(discover([str(tmp_path / "in")], Storage.open(tmp_path / "out")))
    assert (row["error"] and row["error"]["type"]) == ("BadName" if too_long else None)
    assert reread(table_of([row], MANIFEST))["error"].to_pylist() == [row["error"]]
    if too_long:
        assert re.search(r"has 25[67] bytes, at most 255 fit: rename the video", row["error"]["message"])


def test_what_does_not_exist_or_holds_no_video(place: Place) -> None:
    place.put("notes.txt", "a/b.wav")
    with pytest.raises(SourceError) as caught:
        discover([place.root], place.destination)
    assert str(caught.value) == (
        f"{place.root}: none of its 2 files is a video; looked for names that end in "
        + ", ".join(f".{suffix}" for suffix in VIDEO_SUFFIXES)
    )
    missing = f"{place.root}/none"
    words = "no such file or folder" if place.bucket is None else "there are no files below it"
    with pytest.raises(SourceError, match=re.escape(f"{missing}: {words}")):
        discover([missing], place.destination)
    with pytest.raises(SourceError, match="no source given"):
        discover([], place.destination)


def test_arguments_that_are_no_place(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    for source, words in [
        ("ftp://x/y.mp4", "ftp:// is not supported"),
        ("a\0b", "NUL"),
        (str(tmp_path / "pipe"), "neither a file nor a folder"),
        (str(tmp_path / "empty"), "there are no files below it"),
        ("s3://key:topsecret@bucket", "must hold no credentials"),
    ]:
        with pytest.raises(SourceError, match=words) as caught:
            discover([source], Storage.open(tmp_path / "out"))
        assert "topsecret" not in str(caught.value)


def test_a_bucket_that_is_missing_or_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = Storage.open(tmp_path)
    for source in ("s3://no-such-bucket", "s3://no-such-bucket/a/b.mp4"):
        with pytest.raises(SourceError, match=r"s3://no-such-bucket.*: there is no such bucket"):
            discover([source], out)
    bucket.put("a.mp4", b"1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-value")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.s3.user(allowed=True)[0])
    with bucket.s3.guarded():
        for source in (bucket.url, f"{bucket.url}/a.mp4"):
            with pytest.raises(SourceError, match="credentials in the environment are wrong") as caught:
                discover([source], out)
            assert "wrong-secret-value" not in str(caught.value)


@pytest.mark.parametrize("inside", ["", "/", "/out", "/deep/out"])
def test_a_destination_in_a_source_is_refused(place: Place, inside: str) -> None:
    place.put("a.mp4")
    with pytest.raises(SourceError, match="its results would be scored again"):
        discover([place.root], Storage.open(place.root + inside))
    for beside in (place.root + "2", f"{place.root}-out"):
        assert discover([place.root], Storage.open(beside)).num_rows == 1


def test_a_destination_in_a_source_is_seen_through_links(tmp_path: Path) -> None:
    Storage.open(tmp_path / "in").write("a.mp4", b"1")
    (tmp_path / "in" / "out").mkdir()
    os.symlink(tmp_path / "in", tmp_path / "way")
    os.symlink(tmp_path / "in" / "out", tmp_path / "results")
    for source, out in [("way", "in/new/deep"), ("in", "way/x"), ("in", "results"), ("way", "way")]:
        with pytest.raises(SourceError, match="scored again"):
            discover([str(tmp_path / source)], Storage.open(tmp_path / out))


def test_a_result_over_a_source_is_refused(place: Place) -> None:
    place.put("a.mp4", "in/b/c.mp4", "b/c.mp4", "b/x.wav", "y/b/x.mp4")
    above = Storage.open(place.root)
    first, second, victim = (f"{place.root}/{name}" for name in ("in", "b/c.mp4", "b/x.wav"))
    with pytest.raises(SourceError, match=re.escape(f"scoring {place.root}/a.mp4 would overwrite the source")):
        discover([f"{place.root}/a.mp4"], above)
    with pytest.raises(SourceError, match=re.escape(f"{first}/b/c.mp4 would overwrite the source {second}")):
        discover([first, second], above)
    assert discover([f"{place.root}/y"], above)["output"].to_pylist() == ["b/x.mp4"]
    with pytest.raises(SourceError, match=re.escape(f"y/b/x.mp4 would overwrite the source {victim}")):
        discover([f"{place.root}/y", victim], above)


@pytest.mark.parametrize(
    ("first", "second", "written"),
    [
        ("one/a.mp4", "two/a.mp4", "a.mp4"),
        ("one/a.mov", "one/a.mp4", "a.wav"),
        ("one/a.avi", "two/a.flv", "a.mkv"),
        ("one/A.mp4", "two/a.mp4", "A.mp4 and a.mp4"),
        ("one/e\u0301.mp4", "two/\u00e9.mov", "e\u0301.wav and \u00e9.wav"),
        ("one/a.avi", "two/a.mkv/b.mp4", "a.mkv and a.mkv/b.mp4"),
        ("one/a.mp4", "two/a.json/b.mp4", "a.json and a.json/b.mp4"),
    ],
)
def test_two_sources_for_one_output_are_named(tmp_path: Path, first: str, second: str, written: str) -> None:
    storage = Storage.open(tmp_path)
    storage.write(first, b"1")
    storage.write(second, b"2")
    folders = sorted({str(tmp_path / name.split("/")[0]) for name in (first, second)})
    with pytest.raises(SourceError) as caught:
        discover(folders, Storage.open(tmp_path / "out"))
    message = str(caught.value)
    assert all(str(tmp_path / name) in message for name in (first, second))
    assert f"would both be written to {written}; " in message
    assert "\n" not in message


def test_thousands_of_files_are_listed_in_seconds(tmp_path: Path) -> None:
    import time

    (tmp_path / "in").mkdir()
    for number in range(2000):
        (tmp_path / "in" / f"{number:05}.mp4").write_bytes(b"%d" % number)
    started = time.perf_counter()
    table = discover([str(tmp_path / "in")], Storage.open(tmp_path / "out"))
    assert time.perf_counter() - started < 10
    assert len(set(table["content_id"].to_pylist())) == 2000


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=30).filter(
    lambda name: name not in (".", "..")
)


@settings(max_examples=200)
@given(NAMES, NAMES)
def test_every_file_written_for_a_name_stays_below_the_destination(folder: str, name: str) -> None:
    output = plain_names(f"{folder}/{name}").output
    for destination in (Storage.open("/out"), Storage.open("s3://bucket/out")):
        written = [destination.uri(name) for name in names_of_output(destination.spelling(output)).written]
        assert all(uri.startswith(f"{destination.url}/") for uri in written)
        assert len(set(written)) == 3
        assert os.path.dirname(written[1]) == os.path.dirname(written[0])
    assert output.rpartition(".")[2] in ("mp4", "m4v", "mov", "webm", "mkv")


@settings(max_examples=200)
@given(st.sets(st.tuples(st.text("0123456789abcdef", min_size=64, max_size=64), NAMES), min_size=2, max_size=5))
def test_item_ids_are_distinct(pairs: set[tuple[str, str]]) -> None:
    assert len({item_id(content, output) for content, output in pairs}) == len(pairs)
