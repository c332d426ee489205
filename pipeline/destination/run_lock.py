"""One run at a time in a destination: a claim lies in it that lives as long as its run gives signs of life.

A bucket has no locks, so runs agree by what they read: each writes a claim, looks, writes that it holds, and looks
again. Of two that begin at once, the one whose claim has the greater name sees the other at one of the two looks, and
leaves. All it takes is that a listing shows what was written before it, as local disks and today's object stores do.
Ages are told by the storage's own clock: a claim against one that was written just now.
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

from pipeline.background import told_every
from pipeline.storage.errors import StorageError, printable
from pipeline.storage.storage import WORK, Entry, Storage

log = logging.getLogger(__name__)

CLAIMS, STOPS = f"{WORK}/claims", f"{WORK}/stops"
"""What runs write, and what asks a run to stop: a file of the same name."""
SIGN_EVERY = 10.0
"""Seconds between two signs of life."""
DEAD_AFTER = 60.0
"""Seconds of silence after which a run of another machine counts as dead."""


class ClaimError(Exception):
    """Another run is at work in the destination, in one line."""


class Cancelled(Exception):
    """A run was asked to stop, in one line."""


@dataclass(frozen=True)
class Process:
    """A process of some machine, told from all others that ever had its number.

    Attributes:
        machine: its name.
        boot: of the machine, and the space its process numbers are of.
        born: ticks of the machine's clock when the process began.
    """

    machine: str
    boot: str
    pid: int
    born: str

    @classmethod
    def this(cls) -> Process:
        """The process that asks."""
        return cls(socket.gethostname(), _boot(), os.getpid(), _born(os.getpid()))

    @property
    def is_dead(self) -> bool:
        """Whether it surely lives no more; False where it may live on another machine."""
        return bool(self.boot) and self.boot == _boot() and self.born != _born(self.pid)


@dataclass(frozen=True)
class Claim:
    """What a run writes into its claim."""

    process: Process
    since: str
    holds: bool = False

    @property
    def data(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, data: bytes) -> Claim:
        """What cannot be understood may be the claim of another version: one that holds."""
        try:
            raw = json.loads(data)
            return cls(Process(**raw["process"]), str(raw["since"]), bool(raw["holds"]))
        except (ValueError, TypeError, KeyError):
            return cls(Process("some machine", "", 0, ""), "some time", holds=True)


class Claiming:
    """A run's claim on a destination."""

    def __init__(self, destination: Storage) -> None:
        self.storage = _below(destination, CLAIMS)
        self.stops = _below(destination, STOPS)
        self.destination = destination
        self.claim = Claim(Process.this(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        self.name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.json"
        self.lost = self.stopped = self._told = False

    def take(self) -> None:
        """Take the destination.

        Raises:
            ClaimError: another run holds it, or takes it at this moment.
            StorageError: it cannot be reached.
        """
        try:
            self._write()
            for name, other in self._others():
                if other.holds or name < self.name:
                    raise self._refusal(other)
            self.claim = replace(self.claim, holds=True)
            self._write()
            for name, other in self._others():
                if name < self.name:
                    raise self._refusal(other)
        except BaseException:
            self.leave()
            raise

    def sign(self) -> None:
        """Give a sign of life, unless others took this run for dead and have the destination; see who asks to stop."""
        with suppress(StorageError):  # a storage that stumbles gets the next sign
            self.stopped = self.stopped or self.stops.size(self.name) is not None
            if self.storage.size(self.name) is None:
                self.lost = True
            else:
                self._write()
                self.lost = any(other.holds for _, other in self._others())
        if (self.stopped or self.lost) and not self._told:
            self._told = True
            _interrupt()

    def check(self) -> None:
        """Stop a run that somebody cancelled, or that was taken for dead, as one whose machine slept.

        Raises:
            Cancelled: it was asked to stop.
            ClaimError: another run may be at work here by now.
        """
        if self.stopped:
            raise Cancelled("the run was cancelled; what is done is kept, the same command goes on from here")
        if self.lost:
            raise ClaimError(
                f"{self.destination.url} was left without a sign of life for {DEAD_AFTER:g} s and is no longer this "
                "run's; what is done is kept, start the run again"
            )

    def leave(self) -> None:
        """Give the destination back."""
        with suppress(StorageError):
            self.storage.delete(self.name)
            self.stops.delete(self.name)

    def _write(self) -> None:
        self.storage.write(self.name, self.claim.data)

    def _others(self) -> list[tuple[str, Claim]]:
        """Claims of other runs that may live; those of dead ones are removed."""
        entries = {entry.name: entry for entry in self.storage.files()}
        if self.name not in entries:
            self.lost = True
            self.check()
        now, found = entries.pop(self.name).modified, []
        for entry in entries.values():
            claim = self.of(entry)
            if claim is None:
                continue
            if claim.process.is_dead or (now - entry.modified).total_seconds() > DEAD_AFTER:
                log.info("the claim of a run that is dead is removed: %s", printable(entry.name))
                self.storage.delete(entry.name)
            else:
                found.append((entry.name, claim))
        return found

    def of(self, entry: Entry) -> Claim | None:
        """A claim that was listed; None if its run has left since."""
        try:
            return Claim.read(self.storage.read(entry.name))
        except StorageError as fault:
            if fault.kind == "NotFound":  # left between listing and reading
                return None
            raise

    def _refusal(self, other: Claim) -> ClaimError:
        who = f"process {other.process.pid} on {printable(other.process.machine)}, since {printable(other.since)}"
        return ClaimError(
            f"another run is at work in {self.destination.url} ({who}): wait for it, or take another --out; if that "
            f"machine is gone, its claim ends {DEAD_AFTER:g} s after its last sign of life"
        )


@contextmanager
def claimed(destination: Storage) -> Iterator[Claiming]:
    """Hold a destination while the work inside goes on.

    Raises:
        Cancelled, ClaimError: as `Claiming.check`; the work inside is interrupted for it, whatever it waits for.
        ClaimError: another run is at work there.
        StorageError: it cannot be reached.
    """
    claiming = Claiming(destination)
    claiming.take()
    try:
        with told_every(SIGN_EVERY, claiming.sign):
            yield claiming
    except KeyboardInterrupt:
        claiming.check()
        raise
    finally:
        claiming.leave()


def claims(destination: Storage) -> dict[str, Claim]:
    """Claims of runs that hold a destination and are not known to be dead, by name; nothing is changed.

    Without a claim of one's own there is no age: a run of another machine that died is named until the next one begins.
    """
    claiming = Claiming(destination)
    found = {entry.name: claiming.of(entry) for entry in claiming.storage.files()}
    return {name: claim for name, claim in found.items() if claim and claim.holds and not claim.process.is_dead}


def cancel(destination: Storage) -> list[Claim]:
    """Ask the runs that are at work in a destination, on whatever machine, to stop; which they are.

    A run stops with its next sign of life. What is in work then leaves nothing.

    Raises:
        StorageError: it cannot be reached.
    """
    found = claims(destination)
    for name in found:
        _below(destination, STOPS).write(name, b"stop\n")
    return list(found.values())


def _interrupt() -> None:
    """Interrupt the main thread, as a person would; done from another one, that watches over its work."""
    main = threading.main_thread()
    if threading.current_thread() is not main and main.ident is not None:
        signal.pthread_kill(main.ident, signal.SIGINT)


def _below(destination: Storage, folder: str) -> Storage:
    return Storage(destination.scheme, f"{destination.root.rstrip('/')}/{folder}")


def _boot() -> str:
    """Of this machine, until it is started anew, and its space of process numbers; empty where that is not told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process of this machine began, in ticks of its clock; empty if none lives or it is not told."""
    try:
        state, *facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else facts[18]
    except (OSError, ValueError, IndexError):
        return ""
