"""Delivery: outputs are verified before the ledger row is written; some errors fail one row, others stop the run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipeline.destination.ledger import Ledger
from pipeline.destination.run_lock import RunLock, RunLockError
from pipeline.discovery import discover
from pipeline.scoring.delivery import Delivery, DeliverySettings
from pipeline.scoring.resume import remaining_work
from pipeline.scoring.settings import RunSettings
from pipeline.storage.staging import Output, Staged
from pipeline.storage.storage import Storage, StorageError
from stages.contracts import MIXED, Row, rows_of, table_of
from tests.support.rows import MIX_COLUMNS, common
from tests.support.videos import ffmpeg, gray, write_video


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    """One clip with its sound, and one that failed before."""
    video = write_video(tmp_path / "clip.mp4", [gray(i) for i in range(25)])
    good: Row = common(
        "deep/clip.mp4",
        1.0,
        uri=str(video),
        waveform=np.ones((44100, 2), np.int16),
        cuts=np.zeros(0),
        rhythm=np.zeros((1, 30, 1), np.float32),
        seconds={"decode": 0.1},
        **MIX_COLUMNS,
    )
    bad: Row = common("bad.mp4", error={"stage": "decode", "type": "NotAVideo", "message": "no"})
    return table_of([good, bad], MIXED)


def delivery(destination: Storage) -> Delivery:
    return Delivery(DeliverySettings(destination, RunSettings(seed=5), {common("bad.mp4")["item_id"]: 2}))


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever happens, nothing stays in the scratch folder."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def test_rows_record_delivered_files_and_errors(table: pa.Table, tmp_path: Path) -> None:
    destination = Storage.open(tmp_path / "out")
    step = delivery(destination)
    rows = step(table).to_pylist()
    assert [(row["state"], row["attempt"], row["seed"]) for row in rows] == [("done", 1, 5), ("failed", 3, 5)]
    assert (rows[1]["stage"], rows[1]["error_type"], rows[1]["outputs"]) == ("decode", "NotAVideo", None)
    for output in rows[0]["outputs"]:
        assert destination.size(output["name"]) == output["size"]
    assert [output["name"] for output in rows[0]["outputs"]] == ["deep/clip.mp4", "deep/clip.wav", "deep/clip.json"]
    assert Ledger(destination).table().to_pylist() == rows


def test_an_error_of_one_upload_fails_one_row(table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("CutShort", "half of it arrived; try again")

    monkeypatch.setattr(Storage, "stage", refuse)
    step = delivery(Storage.open(tmp_path / "out"))
    row = step(table).to_pylist()[0]
    assert (row["state"], row["stage"], row["error_type"]) == ("failed", "deliver", "CutShort")


def test_a_set_is_delivered_whole_or_not_at_all(table: pa.Table, tmp_path: Path) -> None:
    """The name of the second of three files is a folder."""
    destination = Storage.open(tmp_path / "out")
    (tmp_path / "out" / "deep" / "clip.wav").mkdir(parents=True)
    destination.write("deep/clip.mp4", b"earlier")
    row = delivery(destination)(table).to_pylist()[0]
    assert (row["state"], row["stage"], row["error_type"]) == ("failed", "deliver", "NotAFile")
    assert destination.read("deep/clip.mp4") == b"earlier"
    assert [file.name for file in destination.files()] == ["deep/clip.mp4"]


@pytest.mark.parametrize("kind", ["DiskFull", "Credentials", "AccessDenied", "NoBucket"])
def test_a_destination_that_takes_nothing_stops_the_run(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError(kind, "nothing goes here any more")

    destination = Storage.open(tmp_path / "out")
    step = delivery(destination)
    monkeypatch.setattr(Storage, "stage", refuse)
    with pytest.raises(StorageError, match="nothing goes here"):
        step(table)
    assert Ledger(destination).table().num_rows == 0


@pytest.mark.parametrize("ended", ["before the delivery", "during the delivery"])
def test_a_worker_that_outlives_its_run_records_nothing(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """The run was killed and the next one has taken its place; it removes what the worker is just writing."""
    destination = Storage.open(tmp_path / "out")
    lock = RunLock(destination)
    lock.acquire()
    step = Delivery(DeliverySettings(destination, RunSettings(seed=5), lock=lock.name))
    assert step(table).num_rows == 2
    if ended == "before the delivery":
        lock.release()
    else:
        place = Storage.place

        def place_after_the_end(storage: Storage, staged: Staged) -> Output:
            lock.release()
            storage.sweep()
            return place(storage, staged)

        monkeypatch.setattr(Storage, "place", place_after_the_end)
    before = {file.name: file.modified for file in destination.files(hidden=True) if "claims" not in file.name}
    with pytest.raises(RunLockError, match="no longer this run's"):
        step(table)
    assert {file.name: file.modified for file in destination.files(hidden=True)} == before


@pytest.mark.parametrize("stage", ["decode", "mux"])
def test_a_full_disk_of_a_worker_stops_the_run(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    if stage == "decode":  # a copy of a source in a bucket found no room
        error = {"stage": "decode", "type": "DiskFull", "message": "/tmp: the disk is full"}
        table = table_of([common("bad.mp4", error=error)], MIXED)
    else:
        no_space = OSError(28, "No space left")
        monkeypatch.setattr(soundfile, "SoundFile", lambda *_, **__: (_ for _ in ()).throw(no_space))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    destination = Storage.open(tmp_path / "out")
    with pytest.raises(StorageError, match=f"{stage}: ") as caught:
        delivery(destination)(table)
    assert caught.value.kind == "DiskFull"
    assert Ledger(destination).table().num_rows == 0


def test_videos_of_one_stem_are_scored_once_each_whatever_is_added(tmp_path: Path) -> None:
    """First with a limit, then all, then with a file that wants the names of one that is done."""
    source, destination, settings = tmp_path / "in", Storage.open(tmp_path / "out"), RunSettings(seed=5)
    source.mkdir()
    video = write_video(source / "a.mp4", [gray(i) for i in range(25)])
    shutil.copy(video, source / "a.mov")
    ffmpeg("-i", video, "-c:v", "mpeg4", source / "a.avi")
    made = {"duration": 1.0, "cuts": np.zeros(0), "rhythm": np.zeros((1, 30, 1), np.float32), "seconds": {}}
    made |= MIX_COLUMNS

    def score(limit: int | None = None) -> list[str]:
        found = discover([str(source)], destination, limit)
        todo = remaining_work(found, settings, Ledger(destination)).todo
        rows = [row | made | {"waveform": np.ones((44100, 2), np.int16)} for row in rows_of(todo)]
        records = [row for one in rows for row in delivery(destination)(table_of([one], MIXED)).to_pylist()]
        assert [row["state"] for row in records] == ["done"] * len(records)
        return [output["name"] for row in records for output in row["outputs"]]

    assert score(limit=1) == ["a.mkv", "a.wav", "a.json"]
    assert score() == ["a.mov", "a.mov.wav", "a.mov.json", "a.mp4", "a.mp4.wav", "a.mp4.json"]
    ffmpeg("-i", video, "-c", "copy", source / "a.mkv")
    assert score() == ["a.mkv.mkv", "a.mkv.wav", "a.mkv.json"]
    assert score() == []
