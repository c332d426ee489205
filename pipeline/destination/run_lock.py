"""The run lock: one run at a time works in a destination, and its lock lives as long as its heartbeats.

Object stores have no locks, so runs agree by what they read. Each run writes a lock record, lists the others, writes
that it holds the lock, and lists the others again. Of two runs that begin at once, the one whose record has the greater
name sees the other at one of the two listings, and gives up. All that this needs is that a listing shows what was
written before it, as local disks and today's object stores guarantee. The age of a record is measured by the storage's
own clock: against a record that was written just now.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from models.errors import STOPPED, UserError
from pipeline.background import run_every
from pipeline.storage.errors import StorageError, printable
from pipeline.storage.storage import WORK, Entry, Storage
from stages.error_kinds import NOT_FOUND

log = logging.getLogger(__name__)

LOCKS, STOPS = f"{WORK}/claims", f"{WORK}/stops"
"""Folders of the lock records, and of the requests to stop: each a file with the name of the run's lock record."""
HEARTBEAT_INTERVAL_S = 10.0
"""Seconds between two heartbeats."""
DEAD_AFTER_S = 60.0
"""Seconds without a heartbeat after which a run on another machine counts as dead."""


class RunLockError(UserError):
    """Another run is at work in the destination."""


class Cancelled(UserError):
    """The run was asked to stop."""

    exit_code = STOPPED


@dataclass(frozen=True)
class Process:
    """A process on some machine, distinct from all others that ever had its number.

    Attributes:
        machine: name of the machine.
        boot: identity of the machine's current boot and of the namespace of its process numbers; empty if not known.
        pid: number of the process.
        born: start of the process, in ticks of the machine's clock; empty if not known.
    """

    machine: str
    boot: str
    pid: int
    born: str

    @classmethod
    def this(cls) -> Process:
        """Returns the process that asks."""
        return cls(socket.gethostname(), _boot(), os.getpid(), _born(os.getpid()))

    @property
    def is_dead(self) -> bool:
        """Whether the process has surely ended; False if it may live on another machine."""
        return bool(self.boot) and self.boot == _boot() and self.born != _born(self.pid)


@dataclass(frozen=True)
class LockRecord:
    """The file that a run writes about itself.

    Attributes:
        process: the process that drives the run.
        since: time of the start, for people.
        holds: whether the run holds the lock; before that it only wants it.
    """

    process: Process
    since: str
    holds: bool = False

    @property
    def data(self) -> bytes:
        """The record as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, data: bytes) -> LockRecord:
        """Reads a record. One that cannot be understood may be another version's, and is taken to hold the lock."""
        try:
            raw = json.loads(data)
            return cls(Process(**raw["process"]), str(raw["since"]), bool(raw["holds"]))
        except (ValueError, TypeError, KeyError):
            return cls(Process("some machine", "", 0, ""), "some time", holds=True)


class RunLock:
    """One run's lock on a destination.

    Attributes:
        destination: the storage to lock.
        record: the run's lock record.
        name: name of the record's file; names sort by time.
        lost: whether another run may have taken this run for dead.
        stopped: whether somebody asked this run to stop.
    """

    def __init__(self, destination: Storage) -> None:
        self.destination = destination
        self.records = _below(destination, LOCKS)
        self.stops = _below(destination, STOPS)
        self.record = LockRecord(Process.this(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        self.name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.json"
        self.lost = self.stopped = self._interrupted = False

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            RunLockError: another run holds it, or takes it at this moment.
            StorageError: the destination cannot be reached.
        """
        try:
            self._write()
            for name, other in self._others():
                if other.holds or name < self.name:
                    raise self._refusal(other)
            self.record = replace(self.record, holds=True)
            self._write()
            for name, other in self._others():
                if name < self.name:
                    raise self._refusal(other)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Gives the lock back."""
        with suppress(StorageError):
            self.records.delete(self.name)
            self.stops.delete(self.name)

    def heartbeat(self) -> None:
        """Renews the lock record, and interrupts the main thread if the run is to stop.

        The run is to stop if somebody asked for it, or if another run took this one for dead and has the destination.
        """
        with suppress(StorageError):  # a storage that fails for a moment gets the next heartbeat
            self.stopped = self.stopped or self.stops.size(self.name) is not None
            if self.records.size(self.name) is None:
                self.lost = True
            else:
                self._write()
                self.lost = any(other.holds for _, other in self._others())
        if (self.stopped or self.lost) and not self._interrupted:
            self._interrupted = True
            _interrupt_main_thread()

    def check(self) -> None:
        """Stops a run that was cancelled, or that was taken for dead, for instance because its machine slept.

        Raises:
            Cancelled: the run was asked to stop.
            RunLockError: another run may be at work in the destination by now.
        """
        if self.stopped:
            raise Cancelled("the run was cancelled; what is done is kept, the same command goes on from here")
        if self.lost:
            raise RunLockError(
                f"{self.destination.url} had no heartbeat of this run for {DEAD_AFTER_S:g} s and is no longer this "
                "run's; what is done is kept, start the run again"
            )

    def read(self, entry: Entry) -> LockRecord | None:
        """Reads a record that was listed. Returns None if its run has released it since."""
        try:
            return LockRecord.read(self.records.read(entry.name))
        except StorageError as error:
            if error.kind == NOT_FOUND:
                return None
            raise

    def _write(self) -> None:
        self.records.write(self.name, self.record.data)

    def _others(self) -> list[tuple[str, LockRecord]]:
        """Returns names and records of other runs that may live; records of dead runs are removed."""
        entries = {entry.name: entry for entry in self.records.files()}
        if self.name not in entries:
            self.lost = True
            self.check()
        now, found = entries.pop(self.name).modified, []
        for entry in entries.values():
            record = self.read(entry)
            if record is None:
                continue
            if record.process.is_dead or (now - entry.modified).total_seconds() > DEAD_AFTER_S:
                log.info("the claim of a run that is dead is removed: %s", printable(entry.name))
                self.records.delete(entry.name)
            else:
                found.append((entry.name, record))
        return found

    def _refusal(self, other: LockRecord) -> RunLockError:
        who = f"process {other.process.pid} on {printable(other.process.machine)}, since {printable(other.since)}"
        return RunLockError(
            f"another run is at work in {self.destination.url} ({who}): wait for it, or take another --out; if that "
            f"machine is gone, its lock ends {DEAD_AFTER_S:g} s after its last heartbeat"
        )


@contextmanager
def locked(destination: Storage) -> Iterator[RunLock]:
    """Holds the run lock of a destination while the block runs.

    Raises:
        Cancelled: somebody asked the run to stop. The block is interrupted for it, whatever it waits for.
        RunLockError: another run is at work there, or took this one for dead and interrupted the block.
        StorageError: the destination cannot be reached.
    """
    lock = RunLock(destination)
    lock.acquire()
    try:
        with run_every(HEARTBEAT_INTERVAL_S, lock.heartbeat):
            yield lock
    except KeyboardInterrupt:
        lock.check()
        raise
    finally:
        lock.release()


def check_lock(destination: Storage, name: str) -> None:
    """Checks that a run still has its lock. Its workers ask: they may live on for a moment after it was killed.

    Args:
        destination: the storage that the run works in.
        name: name of the run's lock.

    Raises:
        RunLockError: the lock was given back, or another run has removed it.
        StorageError: the destination cannot be reached.
    """
    if _below(destination, LOCKS).size(name) is None:
        raise RunLockError(f"{destination.url} is no longer this run's: the run ended, or another one took its place")


def lock_records(destination: Storage) -> dict[str, LockRecord]:
    """Returns the records of runs that hold a destination's lock and are not known to be dead, by name.

    Nothing is changed. Without a record of one's own the ages are not known, so a run that died on another machine is
    listed until the next run begins.

    Raises:
        StorageError: the destination cannot be reached.
    """
    lock = RunLock(destination)
    found = {entry.name: lock.read(entry) for entry in lock.records.files()}
    return {name: record for name, record in found.items() if record and record.holds and not record.process.is_dead}


def cancel(destination: Storage) -> list[LockRecord]:
    """Asks the runs that are at work in a destination, on whatever machine, to stop, and returns their records.

    A run stops at its next heartbeat. Videos that are in work then leave no files behind.

    Raises:
        StorageError: the destination cannot be reached.
    """
    found = lock_records(destination)
    for name in found:
        _below(destination, STOPS).write(name, b"stop\n")
    return list(found.values())


def _interrupt_main_thread() -> None:
    """Interrupts the main thread, as a person at the keyboard would; called in a thread that watches over its work."""
    main = threading.main_thread()
    if threading.current_thread() is not main and main.ident is not None:
        signal.pthread_kill(main.ident, signal.SIGINT)


def _below(destination: Storage, folder: str) -> Storage:
    return Storage(destination.scheme, f"{destination.root.rstrip('/')}/{folder}")


def _boot() -> str:
    """Returns an identity of this machine's current boot and of its process numbers; empty if the system hides it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """Returns the start of a process of this machine in clock ticks; empty if it has ended or the system hides it."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    except (OSError, ValueError, IndexError):
        return ""
