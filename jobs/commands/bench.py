"""The command `bench`: what networks and whole runs cost on this machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.exits import exit_on_error
from jobs.options import Device, DeviceName, Json, Precision, PrecisionName, expand_options

if TYPE_CHECKING:
    from jobs.studies.throughput import Throughput
    from pipeline.scoring.settings import RunSettings

FIRST_SEED = 40_000
"""Seed of the first composed clip of a measured run."""


class Size(StrEnum):
    """Networks that are measured: as shipped, half of the released one's width and depth, as released."""

    TINY = "tiny"
    MIDDLE = "middle"
    FULL = "full"


class Part(StrEnum):
    """Parts of the measurement."""

    MODELS = "models"
    RUNS = "runs"


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options of `bench`."""

    size: Annotated[
        list[Size], typer.Option(help="A network; tiny and middle if left out. Repeatable.", show_default=False)
    ] = field(default_factory=lambda: [Size.TINY, Size.MIDDLE])
    batch: Annotated[
        list[int], typer.Option(min=1, help="Clips of a step; 1 and 4. Repeatable.", show_default=False)
    ] = field(default_factory=lambda: [1, 4])
    precision: Precision = PrecisionName.AUTO
    device: Device = DeviceName.AUTO
    compiled: Annotated[bool, typer.Option("--compile", help="Measure compiled blocks, too.")] = False
    clips: Annotated[
        list[int], typer.Option(min=1, help="Clips of a run; 8 and 64. Repeatable.", show_default=False)
    ] = field(default_factory=lambda: [8, 64])
    seconds: Annotated[float, typer.Option(min=2, max=600, help="Length of each clip.")] = 10.0
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps of a run; the default if left out.")] = None
    only: Annotated[Part | None, typer.Option(help="Measure one part alone.")] = None

    def run_settings(self) -> RunSettings:
        """The settings of the runs that are measured."""
        from models.sampling.settings import SamplingSettings
        from pipeline.scoring.settings import RunSettings

        sampling = SamplingSettings(steps=self.steps, precision=self.precision.value, compiled=self.compiled)
        return RunSettings(device=self.device.value, sampling=sampling)


@expand_options
def bench_command(options: BenchOptions, as_json: Json = False) -> None:
    """Measure this machine: a step of the networks beside what it could do, and whole runs of composed clips."""
    with exit_on_error(stopped="nothing is kept"):
        report: dict[str, Any] = {"about": machine_info()}

        def print_line(line: str) -> None:
            print(line, file=sys.stderr if as_json else sys.stdout, flush=True)

        print_line(", ".join(f"{name} {value}" for name, value in report["about"].items()))
        if options.only is not Part.RUNS:
            report["models"] = measure_models(options, print_line)
        if options.only is not Part.MODELS:
            report["runs"] = measure_runs(options, print_line)
        if as_json:
            print(json.dumps(report))


def machine_info() -> dict[str, str]:
    """Names and versions of what is measured, and of the machine."""
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


def measure_models(options: BenchOptions, print_line: Callable[[str], None]) -> dict[str, Any]:
    """Measures steps of the networks; prints a line for each, and returns the entry `models` of the report."""
    from models.bench import bench, device_of
    from models.precision import dtype_of

    device = device_of(options.device.value)
    dtype = dtype_of(options.precision.value, device.type)
    sizes = [size.value for size in options.size]
    return bench(sizes, options.batch, device, dtype, print_line, compiling=options.compiled)


def measure_runs(options: BenchOptions, print_line: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measures runs of composed clips; prints a line for each, and returns the entry `runs` of the report."""
    from jobs.studies.throughput import measure_throughput
    from pipeline.datasets.synthetic_videos import make_corpus

    measured = list[Any]()
    with tempfile.TemporaryDirectory(prefix="diff-v2m-bench-") as folder:
        print_line(f"{max(options.clips)} clips of {options.seconds:g} s are made")
        make_corpus(Path(folder) / "in", max(options.clips), FIRST_SEED, options.seconds, people="none")
        videos = sorted((Path(folder) / "in").glob("*.mp4"))
        for throughput in measure_throughput(videos, options.clips, options.run_settings(), Path(folder)):
            measured.append(throughput)
            print_line(throughput_line(throughput))
    if len(measured) > 1:
        first, last = measured[0], measured[-1]
        growth = last.clips_per_hour / first.clips_per_hour
        print_line(f"from {first.clips} to {last.clips} clips: {growth:.2f} times the clips an hour, "
                   f"{last.memory - first.memory:+.0f} MiB")  # fmt: skip
    return [throughput.to_dict() for throughput in measured]


def throughput_line(throughput: Throughput) -> str:
    """One line about a measured run."""
    work = sum(throughput.stages.values())
    stages = ", ".join(f"{name} {seconds / work:.0%}" for name, seconds in throughput.stages.items())
    music_rate = throughput.music / (throughput.seconds - throughput.start)
    return (
        f"{throughput.clips} clips: {throughput.seconds:.1f} s, {throughput.start:.1f} of them to start; "
        f"{throughput.clips_per_hour:.0f} clips an hour, {music_rate:.1f} s of music a second; "
        f"sampler busy {throughput.busy:.0%}; {stages}; {throughput.memory:.0f} MiB"
    )
