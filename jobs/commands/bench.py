"""`bench`: what networks and whole runs cost on this machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.options import DeviceName, PrecisionName

if TYPE_CHECKING:
    from jobs.studies.throughput import Figures
    from pipeline.scoring.settings import RunSettings


class Size(StrEnum):
    """Networks that are measured: as shipped, half of the released one's width and depth, as released."""

    TINY = "tiny"
    MIDDLE = "middle"
    FULL = "full"


class Part(StrEnum):
    """What is measured."""

    MODELS = "models"
    RUNS = "runs"


SEED = 40_000  # of the first composed clip


def bench_command(
    size: Annotated[list[Size] | None, typer.Option(help="A network; tiny and middle if left out. Repeatable.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Clips of a step; 1 and 4. Repeatable.")] = None,
    precision: Annotated[PrecisionName, typer.Option(help="Numbers of the large layers.")] = PrecisionName.AUTO,
    device: Annotated[DeviceName, typer.Option(help="Where the networks run.")] = DeviceName.AUTO,
    compiling: Annotated[bool, typer.Option("--compile", help="Measure compiled blocks, too.")] = False,
    clips: Annotated[list[int] | None, typer.Option(min=1, help="Clips of a run; 8 and 64. Repeatable.")] = None,
    seconds: Annotated[float, typer.Option(min=2, max=600, help="Length of each clip.")] = 10.0,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps of a run; the default if left out.")] = None,
    only: Annotated[Part | None, typer.Option(help="Measure one part alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")] = False,
) -> None:
    """Measure this machine: a step of the networks beside what it could do, and whole runs of composed clips."""
    from jobs.exits import reported
    from pipeline.scoring.settings import RunSettings

    with reported(stopped="nothing is kept"):
        report: dict[str, Any] = {"about": about()}

        def say(line: str) -> None:
            print(line, file=sys.stderr if as_json else sys.stdout, flush=True)

        say(", ".join(f"{name} {value}" for name, value in report["about"].items()))
        if only is not Part.RUNS:
            report["models"] = _models(
                size or [Size.TINY, Size.MIDDLE], batch or [1, 4], precision, device.value, say, compiling=compiling
            )
        if only is not Part.MODELS:
            settings = RunSettings(steps=steps, device=device.value, precision=precision.value, compiled=compiling)
            report["runs"] = _runs(clips or [8, 64], seconds, settings, say)
        if as_json:
            print(json.dumps(report))


def about() -> dict[str, str]:
    """What the figures hold for."""
    return {
        "diff-v2m": importlib.metadata.version("diff-v2m"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()}",
        "torch": importlib.metadata.version("torch"),
        "ray": importlib.metadata.version("ray"),
    }


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _models(
    sizes: list[Size], batches: list[int], precision: PrecisionName, device: str, say: Any, *, compiling: bool
) -> dict[str, Any]:
    from models.bench import bench, device_of
    from models.precision import dtype_of

    where = device_of(device)
    numbers = dtype_of(precision.value, where.type)
    return bench([s.value for s in sizes], batches, where, numbers, say, compiling=compiling)


def _runs(counts: list[int], seconds: float, settings: RunSettings, say: Any) -> list[dict[str, Any]]:
    from jobs.studies.throughput import bench_runs, facts_of
    from pipeline.datasets.synthetic_videos import make_corpus

    found = list[Any]()
    with tempfile.TemporaryDirectory(prefix="diff-v2m-bench-") as folder:
        say(f"{max(counts)} clips of {seconds:g} s are made")
        make_corpus(Path(folder) / "in", max(counts), SEED, seconds)
        videos = sorted((Path(folder) / "in").glob("*.mp4"))
        for figures in bench_runs(videos, counts, settings, Path(folder)):
            found.append(figures)
            say(described(figures))
    if len(found) > 1:
        first, last = found[0], found[-1]
        growth = last.per_hour / first.per_hour
        say(f"from {first.clips} to {last.clips} clips: {growth:.2f} times the clips an hour, "
            f"{last.memory - first.memory:+.0f} MiB")  # fmt: skip
    return facts_of(found)


def described(figures: Figures) -> str:
    """One line about a run."""
    whole = sum(figures.stages.values())
    stages = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in figures.stages.items())
    return (
        f"{figures.clips} clips: {figures.seconds:.1f} s, {figures.start:.1f} of them to start; "
        f"{figures.per_hour:.0f} clips an hour, {figures.music / (figures.seconds - figures.start):.1f} s of music a "
        f"second; sampler busy {figures.busy:.0%}; {stages}; {figures.memory:.0f} MiB"
    )
