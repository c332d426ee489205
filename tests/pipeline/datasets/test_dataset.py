"""Datasets on storage: what is written is read, and what is no dataset is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.dataset import FAILURES, MANIFEST, Dataset, DatasetError, read_failures, read_shards
from pipeline.datasets.writer import ITEMS_AT_RISK, DatasetWriter
from pipeline.storage.storage import Storage
from stages.contracts import rows_of
from stages.cut_segments import decode_flac
from tests.support.s3 import Bucket
from tests.support.segment_tables import SETTINGS, segments


def failure(name: str) -> dict[str, str]:
    return {
        "item_id": name,
        "uri": f"/videos/{name}",
        "stage": "listen",
        "error_type": "NoAudio",
        "error_message": "no sound",
    }


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.open(tmp_path / "set")


@pytest.fixture
def writer(storage: Storage) -> DatasetWriter:
    return DatasetWriter(storage, SETTINGS)


def test_what_is_written_is_read(storage: Storage, writer: DatasetWriter, tmp_path: Path) -> None:
    tables = [segments(name, count) for name, count in (("a", 2), ("b", 1), ("c", 3))]
    for table in tables:
        writer.add(table)
    writer.flush()
    dataset = Dataset.open(storage.url, tmp_path / "cache")
    assert len(dataset) == 6
    assert dataset.seconds == pytest.approx(6 * 2.9)
    assert dataset.settings == SETTINGS
    assert list(dataset.segment(0)) == tables[0].column_names
    wanted = [row for table in tables for row in rows_of(table)]
    for number in (5, 0, 3, 1, 2, 4):
        row = dataset.segment(number)
        for name, value in wanted[number].items():
            np.testing.assert_array_equal(row[name], value, strict=isinstance(value, np.ndarray))
    assert list(dataset.segment(2, ["uri", "curve"])) == ["uri", "curve"]
    assert decode_flac(dataset.segment(0)["sound"]).shape == (64, 2)
    with pytest.raises(IndexError):
        dataset.segment(6)


def test_a_dataset_travels_and_is_read_from_its_cache(storage: Storage, writer: DatasetWriter, tmp_path: Path) -> None:
    writer.add(segments("a"))
    writer.flush()
    dataset = Dataset.open(storage.url, tmp_path / "cache")
    first = dataset.segment(1)
    for shard in read_shards(storage):
        storage.delete(shard.name)
    again = pickle.loads(pickle.dumps(dataset)).segment(1)
    np.testing.assert_array_equal(again["mel"], first["mel"])
    assert not first["mel"].flags.writeable


def test_an_empty_dataset_is_one(storage: Storage, writer: DatasetWriter, tmp_path: Path) -> None:
    dataset = Dataset.open(storage.url, tmp_path / "cache")
    assert (len(dataset), dataset.seconds, dataset.failures()) == (0, 0.0, [])


def test_shards_are_written_as_they_fill_and_at_least_every_few_videos(storage: Storage, writer: DatasetWriter) -> None:
    for number in range(ITEMS_AT_RISK + 1):
        writer.add(segments(str(number)))
    assert [len(shard.items) for shard in read_shards(storage)] == [ITEMS_AT_RISK]
    small = DatasetWriter(storage, SETTINGS, shard_bytes=1)
    small.add(segments("x"))
    assert len(read_shards(storage)) == 2


def test_what_is_done_is_known_again(storage: Storage, writer: DatasetWriter) -> None:
    writer.add(segments("a"))
    writer.add_failure(failure("b"))
    writer.add_failure(failure("c"))
    writer.flush()
    again = DatasetWriter(storage, SETTINGS)
    assert set(again.items) == {"a"}
    assert set(again.failed) == {"b", "c"}
    again.add(segments("b"))
    again.flush()
    assert set(DatasetWriter(storage, SETTINGS).failed) == {"c"}
    counts = json.loads(storage.read(MANIFEST))["counts"]
    assert counts == {"videos": 2, "segments": 4, "seconds": pytest.approx(11.6), "failed": 1}


def test_a_video_made_by_two_runs_counts_once(storage: Storage, tmp_path: Path) -> None:
    first, second = DatasetWriter(storage, SETTINGS), DatasetWriter(storage, SETTINGS)
    for run, names in ((first, "ab"), (second, "bc")):
        for name in names:
            run.add(segments(name))
        run.flush()
    dataset = Dataset.open(storage.url, tmp_path / "cache")
    found = [dataset.segment(i, ["item_id"])["item_id"] for i in range(len(dataset))]
    assert sorted(found) == list("aabbcc")


def test_long_footers_are_read_whole(storage: Storage, tmp_path: Path) -> None:
    writer = DatasetWriter(storage, SETTINGS)
    name = "n" * 200_000
    writer.add(segments(name))
    writer.flush()
    assert list(read_shards(storage)[0].items) == [name]


def test_other_settings_are_refused(storage: Storage, writer: DatasetWriter) -> None:
    with pytest.raises(DatasetError, match=r"pace 'frames', not 'seconds'.*another --out"):
        DatasetWriter(storage, SETTINGS | {"pace": "seconds"})


def test_what_is_no_dataset_is_refused_in_one_line(storage: Storage, writer: DatasetWriter, tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(DatasetError, match=match) as error:
            Dataset.open(storage.url, tmp_path / "cache")
        assert "\n" not in str(error.value)

    manifest = json.loads(storage.read(MANIFEST))
    storage.write(MANIFEST, json.dumps(manifest | {"version": 99}).encode())
    refused("version 99, this program reads 1")
    storage.write(MANIFEST, b"[1, 2]")
    refused("not the manifest")
    storage.write(MANIFEST, b"{")
    refused("not the manifest")
    storage.delete(MANIFEST)
    refused("is no dataset")


@pytest.mark.parametrize("length", [0, 5, 1000])
def test_a_damaged_shard_is_named(storage: Storage, writer: DatasetWriter, tmp_path: Path, length: int) -> None:
    writer.add(segments("a"))
    writer.flush()
    name = read_shards(storage)[0].name
    storage.write(name, storage.read(name)[:length])
    with pytest.raises(DatasetError, match="damaged"):
        Dataset.open(storage.url, tmp_path / "cache")
    storage.write(FAILURES, b"")
    with pytest.raises(DatasetError, match=FAILURES):
        read_failures(storage)


def test_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    storage = Storage.open(f"{bucket.url}/sets/one")
    writer = DatasetWriter(storage, SETTINGS)
    writer.add(segments("a"))
    writer.add_failure(failure("b"))
    writer.flush()
    dataset = Dataset.open(storage.url, tmp_path / "cache")
    np.testing.assert_array_equal(dataset.segment(1)["curve"], rows_of(segments("a"))[1]["curve"])
    assert dataset.failures() == [failure("b")]
