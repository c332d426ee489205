"""The display of a run through stages: how far each stage is, rates, the time left, and the use of the GPU."""

from __future__ import annotations

import math
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from jobs.progress import Display, Part, progress_display
from pipeline.background import run_every

if TYPE_CHECKING:
    from pipeline.scoring.progress import RunProgress

SCORE_INTERVAL_S = 60.0
"""Seconds between two lines about a run of `score`, which may take a night."""
WAIT_INTERVAL_S = 1.0
"""Seconds between two updates of how long a run has waited for what must come before its first progress."""
LOADING = "loading networks"
"""What a run waits for once Ray is there."""
GPU_INTERVAL_S = 10.0
"""Fewest seconds between two questions to the GPU's driver."""


class Speed:
    """Rates of a run over the last seconds.

    Args:
        span: length of that time in seconds.
    """

    def __init__(self, span: float = 180.0) -> None:
        self._span = span
        self._samples: deque[tuple[float, RunProgress]] = deque()

    def add(self, progress: RunProgress, now: float | None = None) -> None:
        """Remembers how far the run was at a time, in seconds of a clock that never goes back; now if left out."""
        now = time.monotonic() if now is None else now
        self._samples.append((now, progress))
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._span:
            self._samples.popleft()

    def videos_per_minute(self, stage: str) -> float:
        """Videos that leave a stage in a minute."""
        return 60 * self._per_second(lambda progress: progress.completed.get(stage, 0))

    @property
    def music(self) -> float:
        """Seconds of music that are finished in a second."""
        return self._per_second(lambda progress: progress.music)

    def seconds_left(self, progress: RunProgress, total: int, last_stage: str) -> float | None:
        """Seconds until the last row leaves the last stage, at the recent rate; None while there is no rate."""
        rate = self.videos_per_minute(last_stage) / 60
        return (total - progress.completed.get(last_stage, 0)) / rate if rate > 0 else None

    def _per_second(self, value: Callable[[RunProgress], float]) -> float:
        if len(self._samples) < 2:
            return 0.0
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (value(last) - value(first)) / max(end - start, 1e-9)


class RunDisplay:
    """Shows on a display how far a run is; see `pipeline.scoring.progress.ProgressListener`.

    Args:
        display: where it is shown.
        stages: names of the run's stages, in their order.
        purpose: what happens to the videos: "3 to score".
        starts_ray: whether a run that has anything to do starts Ray first.
    """

    def __init__(
        self, display: Display, stages: Sequence[str], purpose: str = "score", *, starts_ray: bool = True
    ) -> None:
        self._display, self._stages, self._purpose, self._starts_ray = display, tuple(stages), purpose, starts_ray
        self._speed, self._tries = Speed(), 0
        self._lock = threading.Lock()
        self._waiting: tuple[str, float, int] | None = None  # what is waited for, since when, by how many videos
        self._gpu_read = -math.inf
        self._gpu_percent: int | None = None

    def begin(self, total: int) -> None:
        """Announces a run, or that the videos that failed for a reason that may pass are tried again."""
        if self._tries:
            self._display.announce(f"{total} failed for a reason that may pass: trying again")
        else:
            self._display.announce(
                f"{total} to {self._purpose}" + ("; starting Ray" if total and self._starts_ray else "")
            )
        what = "starting workers" if self._tries else "starting Ray"
        with self._lock:
            self._waiting = (what, time.monotonic(), total) if total and self._starts_ray else None
        self._tries += 1
        self._speed = Speed()

    def tick(self) -> None:
        """Shows what the run waits for, and for how long, as long as there is no progress to show."""
        with self._lock:
            if self._waiting is not None:
                what, since, total = self._waiting
                parts = {stage: Part(0) for stage in self._stages}
                self._display.update("", 0, total, wait_note(what, time.monotonic() - since), parts)

    def __call__(self, progress: RunProgress, total: int) -> None:
        """Shows how far the run has come."""
        stages = progress.stages or self._stages
        if not any(progress.completed.values()) and len(progress.ready) < len(stages):
            with self._lock:
                if self._waiting is None or self._waiting[0] != LOADING:
                    self._waiting = LOADING, time.monotonic(), total
            return
        with self._lock:
            self._waiting = None
        self._speed.add(progress)
        parts = {
            stage: Part(progress.completed.get(stage, 0), stage_note(stage, progress, total, self._speed, stages))
            for stage in stages
        }
        note = run_note(progress, total, self._speed, stages, self._gpu())
        self._display.update("", progress.completed.get(stages[-1], 0), total, note, parts)

    def _gpu(self) -> int | None:
        if time.monotonic() - self._gpu_read >= GPU_INTERVAL_S:
            self._gpu_read, self._gpu_percent = time.monotonic(), gpu_use()
        return self._gpu_percent


@contextmanager
def show_run(
    stages: Sequence[str], purpose: str = "score", interval: float = SCORE_INTERVAL_S, *, starts_ray: bool = True
) -> Iterator[RunDisplay]:
    """Opens a display for a run on standard error; see `RunDisplay` for the arguments.

    Args:
        interval: fewest seconds between two lines where there is no terminal.
    """
    with progress_display(interval, time_left=False) as display:
        listener = RunDisplay(display, stages, purpose, starts_ray=starts_ray)
        with run_every(WAIT_INTERVAL_S, listener.tick):
            yield listener


def wait_note(what: str, seconds: float) -> str:
    """A line about what a run waits for."""
    return f"{what}, {seconds:.0f} s"


def queued(progress: RunProgress, total: int, stage: str, stages: Sequence[str]) -> int:
    """Number of rows that have left the stage before this one, but not this one: at work there, or waiting for it."""
    before = stages.index(stage) - 1
    arrived = progress.completed.get(stages[before], 0) if before >= 0 else total
    return arrived - progress.completed.get(stage, 0)


def stage_note(stage: str, progress: RunProgress, total: int, speed: Speed, stages: Sequence[str]) -> str:
    """A line about a stage; empty when all rows have left it."""
    completed = progress.completed.get(stage, 0)
    if completed == total:
        return ""
    if stage not in progress.ready and not completed:
        return "its workers start"
    return f"{speed.videos_per_minute(stage):.1f} a minute, {queued(progress, total, stage, stages)} in line"


def run_note(progress: RunProgress, total: int, speed: Speed, stages: Sequence[str], gpu_percent: int | None) -> str:
    """A line about a run."""
    settled = progress.completed.get(stages[-1], 0)
    in_flight = max(progress.completed.get(stages[0], 0) - settled, 0)
    line = f"{settled - progress.failed} of {total} done, {progress.failed} failed, {in_flight} in flight"
    if speed.music:
        line += f", {speed.music:.1f} s of music a second"
    if settled < total and (seconds := speed.seconds_left(progress, total, stages[-1])) is not None:
        line += f", {timedelta(seconds=round(seconds))} left"
    if gpu_percent is not None:
        line += f", GPU {gpu_percent}%"
    return line


def gpu_use() -> int | None:
    """Mean use of this machine's GPUs in percent; None where there is no GPU, or none that says how busy it is."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        percents = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.split()
        return round(sum(map(int, percents)) / len(percents))
    except (OSError, subprocess.SubprocessError, ValueError, ZeroDivisionError):
        return None
