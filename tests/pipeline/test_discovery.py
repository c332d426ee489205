"""Discovery: which videos sources lead to, the names of their outputs, and which sources are refused."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from pipeline.destination.ledger import Ledger
from pipeline.discovery import discover, find_videos, reread
from pipeline.sources.explore import VIDEO_SUFFIXES, SourceError
from pipeline.sources.identity import BLOCK_BYTES, BLOCKS
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, rows_of, table_of
from tests.support.ledger import record_as_done
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


def test_odd_names_become_rows(tmp_path: Path, bucket: Bucket) -> None:
    names = ["sp ace.mp4", 'it\'s "q".mp4', "new\nline.mp4", "-dash.mp4", "--out.mp4", "漢é.mp4", "%0A?#.mp4"]
    source = Storage.open(tmp_path / "in")
    for name in names:
        source.write(name, name.encode())
    local = discover([source.root], Storage.open(tmp_path / "out")).to_pylist()
    assert sorted(row["output"] for row in local) == sorted(names)
    assert {row["uri"] for row in local} == {f"{tmp_path}/in/{name}" for name in names}
    remote = discover([source.root], Storage.open(f"{bucket.url}/out")).to_pylist()
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


def test_what_stands_in_the_way_of_results_is_found_before_anything_is_computed(tmp_path: Path) -> None:
    source, destination = Storage.open(tmp_path / "in"), Storage.open(tmp_path / "out")
    for name in ("a.mp4", "b/c.mp4", "d.mp4"):
        source.write(name, name.encode())
    (tmp_path / "out" / "a.wav").mkdir(parents=True)
    destination.write("b", b"a file")
    errors = discover([source.root], destination)["error"].to_pylist()
    assert [error and error["message"] for error in errors] == [
        "a folder stands where a.wav is to be written: rename the video, or choose another destination",
        "a part of the path of b/c.mp4 is a file: rename the video, or choose another destination",
        None,
    ]


def test_names_of_results_that_no_bucket_takes_are_found(tmp_path: Path, bucket: Bucket) -> None:
    folder = "/".join(["x" * 250] * 4)
    Storage.open(tmp_path / "in").write(f"{folder}/{'y' * 12}.mp4", b"1")
    short, long = (Storage.open(f"{bucket.url}/{prefix}") for prefix in ("o", "out"))
    assert discover([str(tmp_path / "in")], short)["error"].to_pylist() == [None]
    (error,) = discover([str(tmp_path / "in")], long)["error"].to_pylist()
    assert error["type"] == "BadName"
    assert "has 1025 bytes, at most 1024 fit" in error["message"]


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
    ("first", "second", "stems", "outputs"),
    [
        ("one/a.mov", "one/a.mp4", ["a", "a.mp4"], ["a.mov", "a.mp4"]),
        ("one/a.avi", "one/a.mkv", ["a", "a.avi"], ["a.mkv", "a.avi.mkv"]),
        ("one/a.avi", "one/a.mp4", ["a", "a.mp4"], ["a.mkv", "a.mp4"]),
        ("one/a.mp4", "two/a.mp4", ["a", "a.mp4"], ["a.mp4", "a.mp4.mp4"]),
        ("one/A.mp4", "two/a.mp4", ["A", "a.mp4"], ["A.mp4", "a.mp4.mp4"]),
        ("one/e\u0301.mp4", "two/\u00e9.mov", ["e\u0301", "\u00e9.mov"], ["e\u0301.mp4", "\u00e9.mov"]),
        ("one/a.avi", "two/a.mkv/b.mp4", ["a.avi", "a.mkv/b"], ["a.avi.mkv", "a.mkv/b.mp4"]),
        ("one/a.mp4", "two/a.json/b.mp4", ["a.json/b", "a.mp4"], ["a.json/b.mp4", "a.mp4"]),
    ],
)
def test_videos_of_one_stem_are_told_apart(
    place: Place, first: str, second: str, stems: list[str], outputs: list[str]
) -> None:
    place.put(first, second)
    folders = sorted({f"{place.root}/{name.split('/')[0]}" for name in (first, second)})
    rows = discover(folders, place.destination).to_pylist()
    assert [row["stem"] for row in rows] == stems
    assert [row["output"] for row in rows] == outputs
    assert [row["error"] for row in rows] == [None, None]
    assert len({row["item_id"] for row in rows}) == 2
    assert discover(folders, place.destination, limit=1).to_pylist() == rows[:1]
    assert discover(folders[::-1], place.destination).to_pylist() == rows


def test_a_file_that_comes_later_renames_nothing(place: Place) -> None:
    place.put("b.mov", "c.mp4")
    before = discover([place.root], place.destination)
    record_as_done(place.destination, before)
    place.put("b.avi", "b.mkv", "b.mp4", "C.mp4")
    after = {row["uri"].rpartition("/")[2]: row for row in discover([place.root], place.destination).to_pylist()}
    for row in before.to_pylist():
        again = after[row["uri"].rpartition("/")[2]]
        assert [again[name] for name in ("item_id", "output", "stem")] == [row["item_id"], row["output"], row["stem"]]
    assert {name: (row["output"], row["stem"]) for name, row in after.items()} == {
        "b.avi": ("b.avi.mkv", "b.avi"),
        "b.mkv": ("b.mkv", "b.mkv"),
        "b.mov": ("b.mov", "b"),
        "b.mp4": ("b.mp4", "b.mp4"),
        "C.mp4": ("C.mp4.mp4", "C.mp4"),
        "c.mp4": ("c.mp4", "c"),
    }
    assert after["b.mov"]["fallback"] == "b.mov.mkv"  # b.mkv is another video's
    assert after["b.mp4"]["fallback"] == "b.mp4.mkv"


def test_results_of_other_sources_are_never_written_over(place: Place) -> None:
    """Shards: each is a run of its own into the same destination."""
    place.put("one/a.mp4", "two/a.mov", "three/a.mp4")
    for shard, stem in (("one", "a"), ("two", "a.mov"), ("three", "a.mp4")):
        (row,) = (found := discover([f"{place.root}/{shard}"], place.destination)).to_pylist()
        assert row["stem"] == stem
        record_as_done(place.destination, found)
        assert discover([f"{place.root}/{shard}"], place.destination).equals(found)
    results = Ledger(place.destination).results()["outputs"].to_pylist()
    assert len({output["name"] for outputs in results for output in outputs}) == 9


def test_an_earlier_file_where_a_folder_is_needed_costs_one_video(place: Place) -> None:
    place.put("one/a.avi", "two/a.mkv/b.mp4", "two/c.mp4")
    record_as_done(place.destination, discover([f"{place.root}/one"], place.destination))
    blocked, fine = discover([f"{place.root}/two"], place.destination).to_pylist()
    assert blocked["error"]["type"] == "BadName"
    assert "need a folder where an earlier run has written the file a.mkv" in blocked["error"]["message"]
    assert (fine["output"], fine["error"]) == ("c.mp4", None)


def test_what_is_passed_over_is_counted_by_suffix(place: Place) -> None:
    place.put("a.mp4", "b.TXT", "sub/c.txt", "d.tar.gz", "README", ".hidden.txt", ".git/x.txt")
    found = find_videos([place.root, f"{place.root}/"], place.destination)
    assert found.passed_over == {".txt": 2, ".gz": 1, "": 1}
    assert found.manifest.num_rows == 1


def test_thousands_of_files_are_listed_in_seconds(tmp_path: Path) -> None:
    import time

    (tmp_path / "in").mkdir()
    for number in range(2000):
        (tmp_path / "in" / f"{number:05}.mp4").write_bytes(b"%d" % number)
    started = time.perf_counter()
    table = discover([str(tmp_path / "in")], Storage.open(tmp_path / "out"))
    assert time.perf_counter() - started < 10
    assert len(set(table["content_id"].to_pylist())) == 2000
