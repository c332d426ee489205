"""Scale: the pipeline with thousands of clips, and a stage that returns noise in place of the networks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest

from models.sampling.settings import SamplingSettings
from pipeline.cluster.resources import Layout, Machine
from pipeline.cluster.session import cluster
from pipeline.destination.ledger import Ledger
from pipeline.destination.report import report_page
from pipeline.destination.status import run_status
from pipeline.discovery import discover
from pipeline.planning.estimate import plan
from pipeline.scoring import steps as steps_module
from pipeline.scoring.run import run
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import STAGE_SHARES
from pipeline.scoring.streaming import Step
from pipeline.storage.storage import Storage
from stages.base import Stage
from stages.contracts import DECODED, SOUND, Contract, Row
from tests.support.listener import RecordedProgress
from tests.support.videos import gray, write_video

SETTINGS = RunSettings(sampling=SamplingSettings(steps=1))
SAMPLE_RATE = 44100


class Noise(Stage):
    """A stage in place of all between decoding and muxing: it returns noise as long as the video at once."""

    name: ClassVar[str] = "sound"
    reads: ClassVar[Contract] = DECODED
    writes: ClassVar[Contract] = SOUND

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [self._made(row) for row in rows]

    def _made(self, row: Row) -> Row:
        chance = np.random.default_rng(int(row["item_id"][:8], 16))
        samples = round(row["duration"] * SAMPLE_RATE)
        return {
            "waveform": chance.integers(-3000, 3000, (samples, 2), dtype=np.int16),
            "rhythm": np.zeros((1, 3, round(row["duration"] * 21.5)), np.float32),
        }


def without_networks(
    settings: RunSettings,
    destination: Storage,
    layout: Layout,
    attempts: Mapping[str, int],
    lock: str,
    *,
    scoring_steps: Any,
) -> dict[str, Step]:
    """Steps whose stages have workers of their own, as on a cluster, also where this machine would need only one."""
    layout = Machine.here().layout(STAGE_SHARES, large_model=True)
    steps = scoring_steps(settings, destination, layout, attempts, lock)
    return {
        "decode": steps["decode"],
        "sound": Step(Noise, 1, layout["sound"]),
        "mix": steps["mix"],
        "mux": steps["mux"],
    }


def write_links(folder: Path, count: int, different: int = 50) -> Path:
    """Videos of one second, some of them different, each under many names."""
    folder.mkdir()
    for number in range(min(count, different)):
        write_video(folder / f"{number:05}.mp4", [gray((5 * number + i) % 256) for i in range(25)])
    for number in range(different, count):
        os.link(folder / f"{number % different:05}.mp4", folder / f"{number:05}.mp4")
    return folder


@dataclass
class Watch:
    """The memory of a run's processes, measured every few seconds.

    Attributes:
        listener: knows the progress of the run.
        every: seconds between two measurements.
        seen: for each measurement items done, seconds since the beginning, and MiB of this process, of Ray's objects
            and of all processes of Ray.
        ahead: greatest number of items that were decoded and not yet done.
    """

    listener: RecordedProgress
    every: float
    seen: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    ahead: int = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        stop, began = threading.Event(), time.monotonic()

        def watch() -> None:
            while not stop.wait(self.every):
                counts = self.listener.counts
                done = counts.get("mux", 0)
                self.ahead = max(self.ahead, counts.get("decode", 0) - done)
                with suppress(IndexError, ValueError):  # before Ray is there, and after
                    self.seen.append((done, time.monotonic() - began, *_mebibytes()))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _mebibytes() -> tuple[float, float, float]:
    """MiB of this process, of the objects in Ray's store, and of all processes of Ray."""
    import ray
    from ray._private.internal_api import node_stats

    of_ray = 0
    for process in psutil.Process().children(recursive=True):
        try:
            info = process.memory_info()
        except psutil.Error:
            continue
        of_ray += info.rss - info.shared
    (node,) = ray.nodes()
    held = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"]).store_stats.object_store_bytes_used
    return psutil.Process().memory_info().rss / 2**20, held / 2**20, of_ray / 2**20


KINDS = {
    "raylet": "raylet",
    "gcs_server": "gcs",
    "ray::ProgressTracker": "progress tracker",
    "ray::Map": "workers",
    "ray::": "other actors",
}


def _processor_seconds() -> dict[str, float]:
    """Processor seconds of this process, which drives the run, and of each kind of Ray's processes so far."""
    spent = dict.fromkeys(("driver", *KINDS.values()), 0.0)
    spent["driver"] = sum(psutil.Process().cpu_times()[:2])
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            title = process.name(), " ".join(process.cmdline())[:60]
            kind = next((kind for mark, kind in KINDS.items() if any(name.startswith(mark) for name in title)), None)
            if kind:
                spent[kind] += sum(process.cpu_times()[:2])
    return spent


def measure(folder: Path, count: int, every: float) -> dict[str, float]:
    """Figures of a run with `count` items, and of reading its destination afterwards."""
    source, destination, listener = write_links(folder / "in", count), Storage.open(folder / "out"), RecordedProgress()
    watch, figures = Watch(listener, every), dict[str, float]()
    began = time.monotonic()
    manifest = discover([str(source)], destination)
    figures["discover s"] = time.monotonic() - began
    with cluster(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            steps_module, "scoring_steps", partial(without_networks, scoring_steps=steps_module.scoring_steps)
        )
        began = time.monotonic()
        with watch.watching():
            summary = run(manifest, SETTINGS, destination, listener)
        figures["run s"] = time.monotonic() - began
        for kind, seconds in _processor_seconds().items():
            figures[f"{kind}, processor ms an item"] = 1000 * seconds / count
    assert (summary.done, summary.failures) == (count, [])
    figures["items/s"] = count / figures["run s"]
    figures["items decoded ahead, at most"] = watch.ahead
    for done, seconds, driver, held, of_ray in watch.seen:
        print(f"{seconds:7.0f} s {done:6} done, MiB: driver {driver:5.0f}, objects {held:5.0f}, Ray {of_ray:6.0f}")
    going = [sample for sample in watch.seen if count / 10 <= sample[0] < count]
    first, last = going[0], going[-1]
    figures |= {
        f"{name} growth after the first tenth, MiB": last[i] - first[i]
        for i, name in ((2, "driver"), (3, "objects"), (4, "Ray"))
    }
    figures |= _readings(manifest, destination)
    return figures


def _readings(manifest: Any, destination: Storage) -> dict[str, float]:
    """Seconds that it takes to read the destination of a run in several ways."""
    figures = dict[str, float]()
    for name, read in {
        "ledger s": lambda: Ledger(destination).table(),
        "status s": lambda: run_status(destination),
        "plan s": lambda: plan(manifest, SETTINGS, destination, Machine.here()),
    }.items():
        began = time.monotonic()
        read()
        figures[name] = time.monotonic() - began
    began = time.monotonic()
    figures["report MiB"] = len(report_page(run_status(destination), destination)) / 2**20
    figures["report s"] = time.monotonic() - began
    return figures


def show(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name:45} {value:8.2f}")


def test_every_item_is_recorded_and_memory_is_measured(tmp_path: Path) -> None:
    figures = measure(tmp_path, 24, 0.5)
    show(figures)
    assert figures["ledger s"] < 10
    assert figures["status s"] < 10
    assert figures["plan s"] < 10


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_10000_items(tmp_path: Path) -> None:
    """Run with `-s` to see the figures."""
    figures = measure(tmp_path, 10_000, 30.0)
    show(figures)
    for name in ("ledger s", "status s", "plan s"):
        assert figures[name] < 10, name
    for name in ("driver", "objects"):
        assert figures[f"{name} growth after the first tenth, MiB"] < 200
    assert figures["items decoded ahead, at most"] < 1000
    assert figures["report MiB"] < 20
