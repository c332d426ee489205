"""The status of a destination: counts add up to the manifest, whatever else the ledger holds."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.destination.ledger import Ledger, LedgerError
from pipeline.destination.run_lock import locked
from pipeline.destination.run_records import ABOUT, RUNS, WANTED, RunRecords
from pipeline.destination.status import run_status
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, table_of
from tests.support.ledger import START, failed, manifest, row
from tests.support.rows import common


@pytest.fixture(params=["local", "s3"])
def destination(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Storage:
    if request.param == "local":
        return Storage.open(tmp_path_factory.mktemp("out"))
    return Storage.open(f"{request.getfixturevalue('bucket').url}/out")


def test_counts_add_up_to_the_manifest(destination: Storage) -> None:
    RunRecords(destination).begin(manifest("a", "b", "c", "d"), "F", {"seed": 7})
    ledger = Ledger(destination)
    ledger.append([failed("a", 0), failed("b", 1)])
    ledger.append([row("a", 2, attempt=2), row("z", 3), row("c", 4, fingerprint="other")])
    found = run_status(destination)
    assert (found.total, found.done, len(found.failures), found.pending) == (4, 1, 1, 2)
    assert found.attempts == 3
    assert found.music == pytest.approx(30.03)
    assert found.seconds == {"decode": 1.5, "sample": 6.0}
    assert found.causes == {("decode", "NotAVideo"): 1}
    assert found.last == START + timedelta(minutes=2, seconds=30, microseconds=5)
    assert found.rate == pytest.approx(3 * 3600 / 150, rel=0.01)
    assert found.hours_left == pytest.approx(2 / found.rate)
    assert found.to_dict()["causes"] == [{"stage": "decode", "error_type": "NotAVideo", "count": 1}]


def test_only_the_last_minutes_make_the_rate(destination: Storage) -> None:
    RunRecords(destination).begin(manifest("a", "b", "c"), "F", {})
    Ledger(destination).append([row("a", 0), row("b", 60), row("c", 65)])
    assert run_status(destination).rate == pytest.approx(2 * 3600 / 330, rel=0.01)


def test_two_runs_into_one_destination_count_together_and_the_same_one_once(destination: Storage) -> None:
    records = RunRecords(destination)
    first = records.begin(manifest("a", "b"), "F", {})
    assert records.begin(manifest("a", "b"), "F", {}) == first
    records.begin(manifest("q"), "another", {})
    second = records.begin(manifest("b", "c"), "F", {"seed": 1})
    assert [run.name for run in records.all()][-1] == second.name
    assert (second.total, second.settings) == (2, {"seed": 1})
    found = run_status(destination)
    assert (found.total, found.pending, found.rate, found.hours_left) == (3, 3, 0.0, None)


def test_a_run_at_work_is_named(destination: Storage) -> None:
    RunRecords(destination).begin(manifest("a"), "F", {})
    assert run_status(destination).at_work == ()
    with locked(destination) as lock:
        assert run_status(destination).at_work == (lock.record,)


def test_what_is_no_record_is_named(destination: Storage) -> None:
    with pytest.raises(LedgerError, match="holds no run"):
        run_status(destination)
    run = RunRecords(destination).begin(manifest("a"), "F", {})
    destination.write(f"{RUNS}/{run.name}/manifest.parquet", b"half")
    with pytest.raises(LedgerError, match="no manifest of a run"):
        run_status(destination)
    destination.write(f"{RUNS}/{run.name}/{ABOUT}", b"{")
    with pytest.raises(LedgerError, match="no record of a run; move it away"):
        run_status(destination)


def test_manifests_of_earlier_versions_are_read(destination: Storage) -> None:
    records = RunRecords(destination)
    run = records.begin(manifest("a", "b/c.x"), "F", {})
    sink = pa.BufferOutputStream()
    pq.write_table(manifest("a", "b/c.x").drop_columns(["stem", "fallback"]), sink)
    destination.write(f"{RUNS}/{run.name}/{WANTED}", sink.getvalue().to_pybytes())
    found = records.manifest(run)
    assert found["stem"].to_pylist() == ["a", "b/c.x"]
    assert found["fallback"].to_pylist() == ["a.mkv", "b/c.x.mkv"]
    assert run_status(destination).pending == 2


def test_a_file_that_was_replaced_counts_once(destination: Storage) -> None:
    records = RunRecords(destination)
    records.begin(manifest("a", "b"), "F", {})
    Ledger(destination).append([row("a", 0), failed("b", 1)])
    replaced = [common(item) | {"item_id": item, "output": name} for item, name in (("a", "a.mp4"), ("new b", "b.mp4"))]
    records.begin(table_of(replaced, MANIFEST), "F", {})
    Ledger(destination).append([row("new b", 2)])
    found = run_status(destination)
    assert (found.total, found.done, found.failures, found.pending) == (2, 2, [], 0)


def test_a_video_that_got_other_names_before_it_was_scored_counts_once(destination: Storage) -> None:
    """An interrupted run, and a file that came before the next one."""
    records = RunRecords(destination)
    a, b = common("a.mov") | {"item_id": "a"}, common("b.mp4") | {"item_id": "b"}
    records.begin(table_of([a, b], MANIFEST), "F", {})
    Ledger(destination).append([row("b")])
    renamed = [a | {"item_id": "new a", "output": "a.mov.mov"}, b | {"item_id": "new b", "output": "b.mp4.mp4"}]
    records.begin(table_of(renamed, MANIFEST), "F", {})
    found = run_status(destination)
    assert (found.total, found.done, found.pending) == (3, 1, 2)  # what is done stays
