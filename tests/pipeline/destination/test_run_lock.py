"""The run lock: of runs that begin in any order never two hold it; dead runs hold nothing, living ones are named."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.destination import run_lock as run_lock_module
from pipeline.destination.run_lock import (
    DEAD_AFTER_S,
    LOCKS,
    Cancelled,
    LockRecord,
    Process,
    RunLock,
    RunLockError,
    cancel,
    locked,
)
from pipeline.storage.errors import StorageError
from pipeline.storage.storage import Entry, Storage
from tests.support.s3 import Bucket


class Turns:
    """Threads that take turns, one use of a storage each, in an order that is chosen from outside."""

    def __init__(self, works: Sequence[Callable[[], None]]) -> None:
        self._back, self._mine = threading.Semaphore(0), threading.local()
        self._go = [threading.Semaphore(0) for _ in works]
        self._threads = [threading.Thread(target=self._run, args=(i, work)) for i, work in enumerate(works)]

    def _run(self, number: int, work: Callable[[], None]) -> None:
        self._mine.number = number
        self._go[number].acquire()
        work()
        self._back.release()

    def step(self) -> None:
        """Wait for the next turn."""
        self._back.release()
        self._go[self._mine.number].acquire()

    def play(self, choices: Sequence[int]) -> None:
        """Let the threads go on in the order of the choices, then as they come, to their ends."""
        for thread in self._threads:
            thread.start()
        turn = 0
        while alive := [i for i, thread in enumerate(self._threads) if thread.is_alive()]:
            chosen = alive[choices[turn] % len(alive)] if turn < len(choices) else alive[0]
            turn += 1
            self._go[chosen].release()
            self._back.acquire()
            self._threads[chosen].join(0.001)


@dataclass
class Memory:
    """A storage in memory; each use of it is one turn."""

    step: Callable[[], None] = lambda: None
    kept: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)

    def write(self, name: str, data: bytes) -> None:
        self.step()
        self.kept[name] = data, datetime.now(UTC)

    def files(self) -> list[Entry]:
        self.step()
        return [Entry(name, len(data), when) for name, (data, when) in sorted(self.kept.items())]

    def read(self, name: str) -> bytes:
        self.step()
        if name not in self.kept:
            raise StorageError("NotFound", "gone")
        return self.kept[name][0]

    def size(self, name: str) -> int | None:
        return len(self.kept[name][0]) if name in self.kept else None

    def delete(self, name: str) -> None:
        self.step()
        self.kept.pop(name, None)


@given(st.integers(2, 3), st.lists(st.integers(0, 2), max_size=30))
def test_of_runs_that_begin_in_any_order_never_two_hold(count: int, choices: list[int]) -> None:
    storage, holders = Memory(), list[RunLock]()
    locks = [RunLock(Storage("file", "/nowhere")) for _ in range(count)]

    def work(lock: RunLock) -> Callable[[], None]:
        def begin() -> None:
            try:
                lock.acquire()
            except RunLockError:
                return
            holders.append(lock)

        return begin

    turns = Turns([work(lock) for lock in locks])
    storage.step = turns.step
    for lock in locks:
        lock.records = storage  # type: ignore[assignment]
    turns.play(choices)
    assert len(holders) <= 1
    assert len(storage.kept) == len(holders)  # a run that gives up removes its record
    if not holders:  # then the next run gets the lock
        storage.step = lambda: None
        locks[0].acquire()


@pytest.fixture(params=["local", "s3"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage.open(tmp_path / "out")
    bucket: Bucket = request.getfixturevalue("bucket")
    return Storage.open(f"{bucket.url}/out")


def test_the_second_run_says_who_is_there_and_leaves(destination: Storage) -> None:
    with locked(destination):
        said = rf"another run is at work in .*out \(process {os.getpid()} on .*, since 20.* UTC\)"
        with pytest.raises(RunLockError, match=said), locked(destination):
            pytest.fail("two runs")
        assert len(Storage(destination.scheme, f"{destination.root}/{LOCKS}").files()) == 1
    with locked(destination):
        pass
    assert Storage(destination.scheme, f"{destination.root}/{LOCKS}").files() == []


def put(destination: Storage, process: Process) -> RunLock:
    """A lock that some process left behind."""
    lock = RunLock(destination)
    lock.record = LockRecord(process, "yesterday", holds=True)
    lock._write()
    return lock


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pipeline.destination.run_lock import RunLock\n"
        "from pipeline.storage.storage import Storage\n"
        "RunLock(Storage.open(sys.argv[1])).acquire(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    destination = Storage.open(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        while not list(tmp_path.rglob("*.json")):
            assert process.poll() is None or list(tmp_path.rglob("*.json"))
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but its parent has not waited for it yet
        with locked(destination):
            assert len(list(tmp_path.rglob("*.json"))) == 1
    finally:
        process.wait()


def test_another_machines_run_counts_as_dead_after_its_silence(tmp_path: Path) -> None:
    destination = Storage.open(tmp_path)
    left = put(destination, Process("elsewhere", "another boot", 7, "1"))
    with pytest.raises(RunLockError, match="process 7 on elsewhere, since yesterday"):
        RunLock(destination).acquire()
    when = (datetime.now(UTC) - timedelta(seconds=DEAD_AFTER_S + 1)).timestamp()
    os.utime(tmp_path / LOCKS / left.name, (when, when))
    with locked(destination):
        left.heartbeat()
        with pytest.raises(RunLockError, match="no longer this run's"):
            left.check()


def test_heartbeats_keep_a_lock(tmp_path: Path) -> None:
    destination = Storage.open(tmp_path)
    with locked(destination) as lock:
        path = tmp_path / LOCKS / lock.name
        when = (datetime.now(UTC) - timedelta(seconds=DEAD_AFTER_S + 1)).timestamp()
        os.utime(path, (when, when))
        lock.heartbeat()
        assert path.stat().st_mtime > when + DEAD_AFTER_S
        lock.check()


def test_a_record_that_cannot_be_read_holds_the_lock(tmp_path: Path) -> None:
    (tmp_path / LOCKS).mkdir(parents=True)
    (tmp_path / LOCKS / "9.json").write_text("{}")
    with pytest.raises(RunLockError, match="on some machine"):
        RunLock(Storage.open(tmp_path)).acquire()


def test_this_process_lives_and_an_earlier_one_of_its_number_does_not() -> None:
    this = Process.this()
    assert not this.is_dead
    assert replace(this, born="1").is_dead
    assert not replace(this, boot="elsewhere", born="1").is_dead


def test_a_run_is_cancelled_from_anywhere(destination: Storage) -> None:
    assert cancel(destination) == []
    with locked(destination) as run:
        run.check()
        assert cancel(destination) == [run.record]
        run.check()  # until its next heartbeat
        run.heartbeat()
        with pytest.raises(Cancelled, match="what is done is kept"):
            run.check()
    with locked(destination) as again:  # the next one is not asked to stop
        again.heartbeat()
        again.check()
    assert destination.files(hidden=True) == []


def test_a_run_that_waits_for_something_is_cancelled_too(destination: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock_module, "HEARTBEAT_INTERVAL_S", 0.05)
    began = time.monotonic()

    def run() -> None:
        with locked(destination):
            cancel(destination)
            time.sleep(30)

    with pytest.raises(Cancelled):
        run()
    assert time.monotonic() - began < 10
    assert destination.files(hidden=True) == []
