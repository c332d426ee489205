"""The way to the first soundtrack: wall time, processor time and memory of whole commands, of one checkout or several.

Each command is run as a person would run it, in a process of its own. The checkouts take turns, so that a machine that
is busy at times is busy for all of them.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from models.errors import UserError
from pipeline.datasets.synthetic_videos import make_corpus

FIRST_SEED = 50_000
"""Seed of the first composed clip."""
INTERVAL_S = 0.25
"""Seconds between two looks at the processes of a run."""


@dataclass(frozen=True)
class Case:
    """A run that is measured: `score` of some clips of one length, or `demo` if there are none."""

    clips: int
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.clips} x {self.seconds:g} s" if self.clips else "demo"


CASES = {"one": Case(1, 10.0), "short": Case(24, 2.0), "long": Case(24, 20.0), "demo": Case(0)}
"""The cases by the names that the command knows them by."""


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        wall: seconds from the start of the command to its end.
        processor: seconds of processor time of all its processes, as they were last seen.
        memory: greatest memory of all its processes in MiB; what they share counts once.
    """

    wall: float
    processor: float
    memory: float


class StudyError(UserError):
    """A command that is measured does not end well."""


def measure_first_soundtrack(
    checkouts: Sequence[Path], cases: Sequence[str], runs: int, print_line: Callable[[str], None]
) -> str:
    """Measures commands, and returns a table in Markdown.

    Args:
        checkouts: folders of the product, each with its `.venv`. The others are compared with the first.
        cases: names of `CASES`.
        runs: number of runs of each case and checkout.
        print_line: receives a line about each run.

    Raises:
        StudyError: a folder has no `.venv/bin/diff-v2m`, or the command fails.
    """
    programs = {checkout: _program(checkout) for checkout in checkouts}
    found: dict[tuple[str, Path], list[Cost]] = {}
    with tempfile.TemporaryDirectory(prefix="diff-v2m-") as scratch:
        for name in cases:
            case, folder = CASES[name], Path(scratch) / name
            if case.clips:
                make_corpus(folder, case.clips, FIRST_SEED, case.seconds, people="none")
            for run in range(runs):
                for checkout, program in programs.items():
                    out = Path(scratch) / f"{name}-{run}-{list(programs).index(checkout)}"
                    source = ["score", *map(str, sorted(folder.glob("*.mp4")))] if case.clips else ["demo"]
                    cost = run_measured([str(program), *source, "--out", str(out)])
                    found.setdefault((name, checkout), []).append(cost)
                    print_line(
                        f"{case}, {checkout}: {cost.wall:.1f} s, {cost.processor:.1f} s of processors, "
                        f"{cost.memory:.0f} MiB"
                    )
    return costs_table(found)


def _program(checkout: Path) -> Path:
    program = checkout.absolute() / ".venv" / "bin" / "diff-v2m"
    if not program.is_file():
        raise StudyError(f"{checkout} has no .venv/bin/diff-v2m: run `uv sync` there")
    return program


def run_measured(command: Sequence[str]) -> Cost:
    """Runs a command, and measures it with all processes below it.

    Raises:
        StudyError: the command fails.
    """
    started, memory, processor = time.monotonic(), 0.0, dict[int, float]()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while process.poll() is None:
                memory = max(memory, _look(process.pid, processor))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(INTERVAL_S)
        finally:
            process.terminate()
            process.wait()
        wall = time.monotonic() - started
        if process.returncode:
            log.seek(0)
            reason = " ".join(log.read().split())[-300:]
            raise StudyError(f"`{' '.join(command[:2])}` ended with {process.returncode}: {reason}")
    return Cost(wall, sum(processor.values()), memory)


def _look(pid: int, processor: dict[int, float]) -> float:
    """Returns the memory of a process and all below it in MiB, and notes the processor time of each."""
    total = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                times = process.cpu_times()
                processor[process.pid] = times.user + times.system
                total += process.memory_full_info().pss
    return total / 2**20


def costs_table(found: Mapping[tuple[str, Path], Sequence[Cost]]) -> str:
    """Returns a table of the medians in Markdown; each checkout is compared with the first one of its case.

    Args:
        found: costs by the name of a case and the checkout.
    """
    lines = [
        "| run | checkout | wall time | of the first | processor time | memory |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    first: dict[str, float] = {}
    for (name, checkout), costs in found.items():
        walls = [cost.wall for cost in costs]
        wall = statistics.median(walls)
        spread = f" ({min(walls):.1f} to {max(walls):.1f})" if len(walls) > 1 else ""
        ratio = f"{wall / first.setdefault(name, wall):.2f}"
        processor = statistics.median(cost.processor for cost in costs)
        memory = max(cost.memory for cost in costs)
        lines.append(
            f"| {CASES[name]} | {checkout} | {wall:.1f} s{spread} | {ratio} | {processor:.1f} s | {memory:.0f} MiB |"
        )
    return "\n".join(lines)
