"""A run of the program on several raylets of this machine, of which parts are killed every few seconds."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipeline.destination.ledger import DONE, Ledger

KINDS = ("child", "worker", "raylet", "driver")
"""Kinds of victims: an ffmpeg, an actor that holds a stage, a raylet with all its actors, the command's process."""

ORDER = ("child", "worker", "raylet", "child", "worker", "driver", "child", "worker")
"""Order of the kills. A run starts again after its driver was killed; that takes many seconds, so the driver is only
killed if the run has finished something since."""
MAX_WAIT_S = 10.0
"""Seconds to wait for a victim of one kind before the next kind is tried."""


class Raylets:
    """A cluster of a head and some nodes, each a raylet of its own with one processor."""

    def __init__(self, nodes: int = 2, cpus: float = 1) -> None:
        from ray.cluster_utils import Cluster

        os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        options = {"include_dashboard": False, "num_cpus": cpus, "object_store_memory": 200 << 20}
        self._cluster, self._cpus = Cluster(initialize_head=True, head_node_args=options), cpus
        self._nodes = [self._node() for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    @property
    def processes(self) -> list[psutil.Process]:
        """The processes below the raylets: workers, actors, and their children."""
        found = []
        for node in (self._cluster.head_node, *self._nodes):
            with suppress(psutil.Error):
                found += psutil.Process(_raylet(node)).children(recursive=True)
        return found

    def kill_one(self, chance: random.Random) -> bool:
        """Kills a raylet, not that of the head, and starts another one in its place."""
        node = self._nodes.pop(chance.randrange(len(self._nodes)))
        self._cluster.remove_node(node, allow_graceful=False)
        self._nodes.append(self._node())
        return True

    def close(self) -> None:
        self._cluster.shutdown()

    def _node(self) -> object:
        return self._cluster.add_node(num_cpus=self._cpus, object_store_memory=200 << 20)


def _raylet(node: object) -> int:
    (info,) = node.all_processes["raylet"]  # type: ignore[attr-defined]
    return int(info.process.pid)


@contextmanager
def raylets() -> Iterator[Raylets]:
    """A cluster that ends with the block. Its workers get the environment variables that are set when it starts."""
    cluster = Raylets()
    try:
        yield cluster
    finally:
        cluster.close()


@dataclass
class Chaos:
    """A command that is run to its end while parts of it are killed.

    Attributes:
        cluster: the raylets that the command runs on.
        command: the command, as a list of words.
        settled: returns the number of videos that are done or failed so far.
        every: seconds between two kills.
        kills: number of kills at most.
        seed: seed of the choice of victims.
        killed: number of kills of each kind.
        starts: number of times that the command was started.
    """

    cluster: Raylets
    command: Sequence[str]
    settled: Callable[[], int]
    every: float
    kills: int
    seed: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    starts: int = 0

    def run(self, log: Path, seconds: float = 3000) -> int:
        """Runs the command until it ends by itself, again after each kill, and returns its exit code."""
        chance, turn, end = random.Random(self.seed), 0, time.monotonic() + seconds
        driver, before = self._started(log), 0
        last = time.monotonic()
        while time.monotonic() < end:
            kind = ORDER[turn % len(ORDER)]
            time.sleep(0.05 if kind == "child" else 1.0)  # a child lives for a moment
            if driver.poll() is not None:
                return driver.returncode
            if sum(self.killed.values()) >= self.kills or time.monotonic() - last < self.every:
                continue
            if kind == "driver" and (settled := self.settled()) > before:
                before = settled
                driver.kill()
                driver.wait()
                driver = self._started(log)
            elif kind == "driver" or not self._kill(kind, chance):
                turn += time.monotonic() - last > self.every + MAX_WAIT_S  # there is nothing of this kind to kill
                continue
            self.killed[kind] += 1
            turn, last = turn + 1, time.monotonic()
        driver.kill()
        raise TimeoutError(f"the command still ran after {seconds:g} s, {dict(self.killed)} were killed")

    def _kill(self, kind: str, chance: random.Random) -> bool:
        if kind == "raylet":
            return self.cluster.kill_one(chance)
        is_wanted = {"child": _is_ffmpeg, "worker": _is_stage}[kind]
        found = [process for process in self.cluster.processes if is_wanted(process)]
        if found:
            with suppress(psutil.NoSuchProcess):
                chance.choice(found).kill()
                return True
        return False

    def _started(self, log: Path) -> subprocess.Popen[bytes]:
        self.starts += 1
        with log.open("ab") as lines:
            return subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=lines, stderr=lines)


def _is_ffmpeg(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.name().startswith("ffmpeg")
    return False


def _is_stage(process: psutil.Process) -> bool:
    """Whether it is an actor of Ray Data; the progress tracker is another kind of actor."""
    with suppress(psutil.Error):
        return process.name().startswith("ray::Map") or " ".join(process.cmdline()).startswith("ray::Map")
    return False


def score(source: Path, out: str, *options: str) -> list[str]:
    """The command `score` as a list of words."""
    return [sys.executable, "-m", "jobs.cli", "score", str(source), "--out", out, *options]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run, read from its ledger.

    Attributes:
        done: hashes of each item's outputs.
        failed: error type of each item whose last attempt failed.
        attempts: number of rows.
        duplicates: number of done rows of items that were done before.
        remade: number of rows of items that were done before.
    """

    done: dict[str, dict[str, str]]
    failed: dict[str, str]
    attempts: int
    duplicates: int
    remade: int

    @classmethod
    def of(cls, ledger: Ledger) -> Outcome:
        done, failed = dict[str, dict[str, str]](), dict[str, str]()
        duplicates = remade = 0
        rows = sorted(ledger.table().to_pylist(), key=lambda row: row["finished"])
        for row in rows:
            item = row["item_id"]
            remade += item in done
            if row["state"] == DONE:
                duplicates += item in done
                done[item] = {output["name"]: output["sha256"] for output in row["outputs"]}
                failed.pop(item, None)
            elif item not in done:
                failed[item] = row["error_type"]
        return cls(done, failed, len(rows), duplicates, remade)

    def music(self) -> dict[str, str]:
        """Hash of each sound file by name. Videos and sidecars also hold times, which differ from run to run."""
        return {name: sha for files in self.done.values() for name, sha in files.items() if name.endswith(".wav")}
