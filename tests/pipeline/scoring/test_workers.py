"""Workers that die: their rows are computed again one by one, rows that kill get an error, all others are unharmed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.cluster.resources import Pool
from pipeline.cluster.session import RunError, cluster
from pipeline.destination.ledger import Ledger
from pipeline.scoring import streaming
from pipeline.scoring.progress import RECORDED, ProgressTracker, RunProgress
from pipeline.scoring.resume import remaining_work
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.streaming import Step, run_steps
from pipeline.scoring.workers import MAX_DEATHS, MAX_STARTS, with_error
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, Row, table_of
from stages.error_kinds import FINISHED, WORKER_DIED
from tests.support.ledger import failed
from tests.support.listener import RecordedProgress


class Passing:
    """A stage that writes down what it computes, batch by batch, and dies at certain rows.

    Args:
        log: file that takes a line for each batch.
        kills: item ids at which it dies, each so many times.
        remembers: whether it records its results.
        pause: seconds that each batch takes.
    """

    def __init__(self, log: Path, kills: dict[str, int], remembers: bool = False, pause: float = 0.0) -> None:
        self.log, self.kills, self.pause = log, kills, pause
        if remembers:
            self.recorded = self._recorded

    def __call__(self, table: pa.Table) -> pa.Table:
        valid = [row["item_id"] for row in table.to_pylist() if row["error"] is None]
        with self.log.open("a") as lines:
            lines.write(" ".join(valid) + "\n")
        time.sleep(self.pause)
        for item in valid:
            died = self.log.with_name(f"{item}.deaths")
            died.touch()
            if died.stat().st_size < self.kills.get(item, 0):
                died.write_text(died.read_text() + "x")
                os.kill(os.getpid(), signal.SIGKILL)
        return table

    def _recorded(self, table: pa.Table) -> pa.Table:
        known = [row["item_id"] for row in table.to_pylist() if (self.log.parent / f"{row['item_id']}.deaths").exists()]
        return with_error(table, "last", "Recorded", "") if known else table.slice(0, 0)


class Slow:
    """A stage that takes its time and writes down how many batches of the one before wait for it."""

    def __init__(self, before: Path, pending: Path) -> None:
        self.before, self.pending, self.calls = before, pending, 0

    def __call__(self, table: pa.Table) -> pa.Table:
        time.sleep(0.03)
        self.calls += 1
        with self.pending.open("a") as lines:
            lines.write(f"{len(self.before.read_text().splitlines()) - self.calls}\n")
        return table


class Waiting:
    """A stage that keeps each row until the stage before has begun two rows, and writes down whether it has."""

    def __init__(self, before: Path, log: Path) -> None:
        self.before, self.log = before, log

    def __call__(self, table: pa.Table) -> pa.Table:
        end = time.monotonic() + 60
        while (begun := len(self.before.read_text().splitlines())) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        with self.log.open("a") as lines:
            lines.write(f"{begun}\n")
        return table


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module", autouse=True)
def ray_alone() -> Iterator[None]:
    with cluster(num_cpus=2):
        yield


def manifest(count: int) -> pa.Table:
    rows: list[Row] = [
        {"item_id": f"item{i}", "content_id": "c", "uri": f"{i}.mp4", "output": f"{i}.mp4", "size": 1, "seconds": {}}
        for i in range(count)
    ]
    return table_of(rows, MANIFEST)


def passed(
    count: int, *, grouped: bool = False, **stages: tuple[Callable[[], object], int]
) -> tuple[list[Row], RecordedProgress]:
    """Returns the rows that come out of the stages, by item: rows whose worker died come later than others.

    Args:
        grouped: whether all stages share one worker.
    """
    listener = RecordedProgress()
    listener.begin(count)
    pools = [Pool(1, 0.1, 0, 1) if grouped else Pool(1, 0.1 + i / 1000, 0, 1) for i in range(len(stages))]
    steps = {name: Step(build, batch, pool) for (name, (build, batch)), pool in zip(stages.items(), pools, strict=True)}
    rows = [row for table in run_steps(manifest(count), steps, listener) for row in table.to_pylist()]
    return sorted(rows, key=lambda row: str(row["item_id"])), listener


def test_fast_stages_wait_for_a_slow_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 3 rows, of which 24 may be on their way: two tasks of three workers four times."""
    monkeypatch.setattr(streaming, "MAX_BLOCKS", 100)
    before, pending = tmp_path / "before", tmp_path / "pending"
    stages = {
        "first": (partial(Passing, before, {}), 1),
        "second": (partial(Passing, tmp_path / "second", {}), 1),
        "slow": (partial(Slow, before, pending), 1),
    }
    rows, _ = passed(240, **stages)
    assert len(rows) == 240
    assert 20 < max(map(int, pending.read_text().split())) < 3 * 24 + 10


def test_a_row_that_kills_twice_is_left_alone_and_the_others_pass(tmp_path: Path) -> None:
    kills = {"item2": 99, "item5": 1}
    rows, listener = passed(
        8, first=(partial(Passing, tmp_path / "log", kills), 1), last=(partial(Passing, tmp_path / "two", {}), 1)
    )
    assert sorted(row["item_id"] for row in rows) == [f"item{i}" for i in range(8)]
    (bad,) = [row for row in rows if row["error"]]
    assert (bad["item_id"], bad["error"]["stage"], bad["error"]["type"]) == ("item2", "first", WORKER_DIED)
    assert "2 workers died with it at first" in bad["error"]["message"]
    tries = (tmp_path / "log").read_text().split()
    assert {item: tries.count(item) for item in ("item1", "item2", "item5")} == {
        "item1": 1,
        "item2": MAX_DEATHS,
        "item5": 2,
    }
    assert listener.counts == {"first": 8, "last": 8}


def test_in_a_group_only_the_row_that_kills_fails_and_each_row_counts_once(tmp_path: Path) -> None:
    """Beside the row that kills at the second stage, others are at work at the first and the third."""
    stages = {
        name: (partial(Passing, tmp_path / name / "log", kills, pause=0.2), 1)
        for name, kills in (("first", {}), ("second", {"item1": 99, "item4": 1}), ("third", {}))
    }
    for name in stages:
        (tmp_path / name).mkdir()
    rows, listener = passed(6, grouped=True, **stages)
    errors = {row["item_id"]: row["error"] for row in rows}
    assert {item: error and (error["stage"], error["type"]) for item, error in errors.items()} == {
        "item0": None, "item1": ("second", WORKER_DIED), "item2": None, "item3": None, "item4": None, "item5": None,
    }  # fmt: skip
    assert (tmp_path / "second" / "log").read_text().split().count("item1") == MAX_DEATHS
    assert listener.counts == {"first": 6, "second": 6, "third": 6}
    assert listener.progress.ready == {"first", "second", "third"}


def test_in_a_group_a_stage_begins_the_next_row_while_another_has_the_one_before(tmp_path: Path) -> None:
    first, second = partial(Passing, tmp_path / "log", {}), partial(Waiting, tmp_path / "log", tmp_path / "begun")
    rows, _ = passed(3, grouped=True, first=(first, 1), second=(second, 1))
    assert [row["error"] for row in rows] == [None] * 3
    assert all(int(begun) >= 2 for begun in (tmp_path / "begun").read_text().split())


def test_a_batch_with_a_killer_is_computed_row_by_row(tmp_path: Path) -> None:
    rows, _ = passed(4, last=(partial(Passing, tmp_path / "log", {"item1": 99}), 4))
    assert [row["item_id"] for row in rows if row["error"]] == ["item1"]
    first, *alone = (tmp_path / "log").read_text().splitlines()
    assert first == "item0 item1 item2 item3"
    assert all(len(line.split()) <= 1 for line in alone)


def test_workers_that_die_as_they_start_end_the_run() -> None:
    with pytest.raises(RunError, match=r"workers of first die as they start: too little memory.*start the run again"):
        passed(1, first=(die, 1))


def test_what_was_recorded_is_not_made_again(tmp_path: Path) -> None:
    rows, _ = passed(2, last=(partial(Passing, tmp_path / "log", {"item0": 1}, remembers=True), 1))
    assert [row["error"] and row["error"]["type"] for row in rows] == ["Recorded", None]
    assert sorted((tmp_path / "log").read_text().split()) == ["item0", "item1"]


def test_the_tracker_counts_deaths_and_finished_rows() -> None:
    tracker = ProgressTracker(["first", "last"])
    assert tracker.begin("first", ["a", "b"]) == [0, 0]
    assert tracker.begin("first", ["b", "c"]) == [1, 0]
    assert tracker.begin("first", ["c"]) == [0]  # the question before began nothing
    tracker.finish("first", ["a", "b"], [2.5, 1.0])
    assert tracker.begin("first", ["b"]) == [0]
    tracker.finish("first", ["b"], [1.0])  # again, because its worker died at a later stage
    tracker.finish("last", ["d"], [2.0])
    assert tracker.begin("last", ["d"]) == [0]  # it left, but nothing was recorded
    tracker.finish("last", ["d", "d"], [2.0, 2.0])
    tracker.finish("last", ["a", "c"], [2.5, None], recorded=True)
    tracker.finish("last", ["a"], [2.5], recorded=True)
    assert tracker.begin("first", ["a"]) == [RECORDED]
    assert tracker.read() == RunProgress({"first": 2, "last": 3}, failed=1, music=4.5, stages=("first", "last"))
    assert [tracker.starting("first") for _ in range(MAX_STARTS + 1)][-1] > MAX_STARTS
    tracker.started("first")
    assert tracker.starting("first") == 1


def test_what_killed_workers_is_left_alone_by_later_runs_too(tmp_path: Path) -> None:
    ledger = Ledger(Storage.open(tmp_path))
    settings = RunSettings()
    print_of_run = {"fingerprint": settings.fingerprint}
    ledger.append(
        [
            failed("item0", error_type=WORKER_DIED, **print_of_run),
            failed("item1", error_type="Timeout", **print_of_run),
        ]
    )
    state = remaining_work(manifest(3), settings, ledger)
    assert state.todo["item_id"].to_pylist() == ["item1", "item2"]
    assert remaining_work(manifest(3), settings, ledger, retry_permanent=True).todo.num_rows == 3


def test_a_later_error_does_not_hide_an_earlier_error() -> None:
    table = with_error(with_error(manifest(1), "first", WORKER_DIED, "why"), "second", FINISHED, "")
    assert table["error"].to_pylist() == [{"stage": "first", "type": WORKER_DIED, "message": "why"}]
