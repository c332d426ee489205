"""Sets of files: all are at their names, or what was there before is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.storage import staging
from pipeline.storage.errors import StorageError
from pipeline.storage.file_set import deliver_set
from pipeline.storage.location import Location
from pipeline.storage.staging import Staged
from pipeline.storage.storage import Storage
from tests.support.s3 import Bucket
from tests.support.stored_files import stored_files

pytestmark = pytest.mark.usefixtures("no_waits")
NAMES = ("sub/a.mp4", "sub/a.wav", "sub/a.json")


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[Path, str]]:
    """Three files of different sizes, and their names."""
    paths = [tmp_path / f"{number}.bin" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(b"new" * (number + 1))
    return list(zip(paths, NAMES, strict=True))


def test_a_set_is_delivered_in_its_order(storage: Storage, files: list[tuple[Path, str]]) -> None:
    storage.write(NAMES[1], b"old")
    outputs = deliver_set(storage, files)
    assert [(output["name"], output["size"]) for output in outputs] == list(zip(NAMES, (3, 6, 9), strict=True))
    assert stored_files(storage) == dict(zip(NAMES, (3, 6, 9), strict=True))


@pytest.mark.parametrize("step", ["stage", "preserve", "place"])
@pytest.mark.parametrize("failing", range(3))
@pytest.mark.parametrize("error", [StorageError("DiskFull", "no room"), KeyboardInterrupt()])
def test_what_was_there_is_there_again_when_a_file_of_the_set_fails(
    storage: Storage, files: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch, step: str, failing: int,
    error: BaseException,
) -> None:  # fmt: skip
    for name in NAMES[:2]:
        storage.write(name, f"old {name}".encode())
    before = stored_files(storage)
    whole = getattr(Storage, step)

    def fail(self: Storage, subject: object, *more: object) -> object:
        name = subject.name if isinstance(subject, Staged) else more[0] if more else subject
        if name == NAMES[failing]:
            raise error
        return whole(self, subject, *more)

    monkeypatch.setattr(Storage, step, fail)
    with pytest.raises(type(error)):
        deliver_set(storage, files)
    assert stored_files(storage) == before
    assert [storage.read(name) for name in NAMES[:2]] == [f"old {name}".encode() for name in NAMES[:2]]


@pytest.mark.parametrize("broken", NAMES[:2])
def test_a_move_that_breaks_after_its_copy_is_taken_back(
    bucket: Bucket, files: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """In a bucket a move is a copy and a deletion."""
    storage = Storage.open(f"{bucket.url}/out")
    storage.write(NAMES[0], b"old")
    whole, breaks = staging.rename, [broken]

    def copy_only(location: Location, temporary: str, name: str) -> None:
        if name in breaks:
            breaks.remove(name)
            location.client.copy_file(location.path(temporary), location.path(name))
            raise StorageError("Unreachable", "the connection broke")
        whole(location, temporary, name)

    monkeypatch.setattr(staging, "rename", copy_only)
    with pytest.raises(StorageError, match="connection broke"):
        deliver_set(storage, files)
    left = {name: size for name, size in stored_files(storage).items() if not name.endswith("/")}  # marks of folders
    assert left == {NAMES[0]: 3}
    assert storage.read(NAMES[0]) == b"old"


def test_an_answer_that_is_lost_after_a_move_is_no_failure(
    bucket: Bucket, files: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.open(f"{bucket.url}/out")
    whole = staging.rename

    def lose_answer(location: Location, temporary: str, name: str) -> None:
        whole(location, temporary, name)
        raise StorageError("NotFound", "no such file")

    monkeypatch.setattr(staging, "rename", lose_answer)
    assert len(deliver_set(storage, files)) == 3
    assert stored_files(storage) == dict(zip(NAMES, (3, 6, 9), strict=True))


def test_a_folder_at_a_name_leaves_nothing(tmp_path: Path, files: list[tuple[Path, str]]) -> None:
    storage = Storage.open(tmp_path / "out")
    (tmp_path / "out" / NAMES[2]).mkdir(parents=True)
    with pytest.raises(StorageError) as caught:
        deliver_set(storage, files)
    assert caught.value.kind == "NotAFile"
    assert stored_files(storage) == {}


def test_a_disk_without_links_keeps_the_old_files_too(
    tmp_path: Path, files: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    storage = Storage.open(tmp_path / "out")
    storage.write(NAMES[0], b"old")
    (tmp_path / "out" / NAMES[2]).mkdir(parents=True)
    monkeypatch.setattr("os.link", refuse)
    with pytest.raises(StorageError):
        deliver_set(storage, files)
    assert storage.read(NAMES[0]) == b"old"
    assert stored_files(storage) == {NAMES[0]: 3}
