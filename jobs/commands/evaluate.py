"""The command `evaluate`: a model is measured against its thresholds."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from jobs.console import is_quiet, make_console
from jobs.exits import ALL_DONE, exit_on_error
from jobs.options import Device, DeviceName, Json, SettingsError, Verbosity, expand_options
from jobs.progress import Display, progress_display
from jobs.score_options import ModelOptions

if TYPE_CHECKING:
    from models.metrics.thresholds import Result
    from pipeline.evaluation.evaluator import EvaluationSet
    from pipeline.evaluation.held_out import FeatureReader
    from pipeline.scoring.settings import RunSettings
    from stages.contracts import Row

LONG_SECONDS = 180.0
"""Length of a long film: several windows of the model."""
MIN_SECONDS = 6.0
"""Least length of a held-out clip."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ModelOptions):
    """Options of `evaluate`."""

    clips: Annotated[int, typer.Option(min=2, help="How many held-out clips.")] = 64
    seconds: Annotated[float, typer.Option(help="How long they are.")] = 24.0
    seeds: Annotated[int, typer.Option(min=1, help="Pieces of music for each clip, each from other noise.")] = 3
    films: Annotated[int, typer.Option(min=1, help="How many long films of 3 min.")] = 4
    videos: Annotated[list[Path], typer.Option(help="A real video, or a folder of them; may be given again.")] = field(
        default_factory=list
    )
    only: Annotated[
        list[str],
        typer.Option(help="vae, tune, pulse, given, picture, mood, spectrum, long or videos; may be given again."),
    ] = field(default_factory=list)
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for evaluation.json and evaluation.md.")] = Path(
        "evaluation"
    )
    work: Annotated[Path | None, typer.Option(help="Folder that keeps the held-out clips for the next time.")] = None
    device: Device = DeviceName.AUTO


@expand_options
def evaluate_command(options: EvaluateOptions, verbosity: Verbosity = Verbosity(), as_json: Json = False) -> None:
    """Measure a model against its thresholds: held-out clips, rhythm, tune, mood, seams, real videos."""
    stopped = f"what was measured so far is in {options.out}; measures that were not can be asked for with --only"
    with exit_on_error(stopped, verbosity):
        evaluate_model(options, as_json=as_json)
    raise typer.Exit(ALL_DONE)


@dataclass(frozen=True)
class EvaluationReport:
    """The results of an evaluation.

    Attributes:
        results: the measured values.
        settings: the model and the sizes of the evaluation, by the names of `evaluation.json`.
        unusable: path of each video that could not be used -> the reason.
        seconds: time that it took.
    """

    results: list[Result]
    settings: dict[str, Any]
    unusable: dict[str, str]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The content of `evaluation.json`."""
        return self.settings | {
            "results": [result.to_dict() for result in self.results],
            "unusable_videos": self.unusable,
            "seconds": round(self.seconds, 1),
        }

    def to_markdown(self) -> str:
        """The content of `evaluation.md`."""
        from models.metrics.thresholds import markdown

        about = self.settings
        lines = [
            f"{about['clips']} held-out clips of {about['seconds_of_clip']:g} s, {about['seeds']} noise seeds, "
            f"model `{about['model']}` ({about['weights']}), {about['steps']} steps, guidance {about['guidance']:g}; "
            "r per second leaves out a clip's first and last second, in which all music begins and ends",
            markdown(self.results),
        ]
        return "\n\n".join(lines)

    def write(self, folder: Path) -> None:
        """Writes both files into a folder."""
        (folder / "evaluation.json").write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        (folder / "evaluation.md").write_text(self.to_markdown(), encoding="utf-8")

    def show(self) -> None:
        """Prints the results as a table, and the videos that were left out."""
        from models.metrics.thresholds import HEAD

        table = Table(*HEAD)
        for result in self.results:
            table.add_row(*result.cells)
        console = make_console()
        console.print(table)
        for path, reason in self.unusable.items():
            console.print(f"left out {path}: {reason}", markup=False)


def evaluate_model(options: EvaluateOptions, *, as_json: bool = False) -> EvaluationReport:
    """Measures the model that the options name; writes the report after each measure, and prints it at the end.

    Raises:
        SettingsError, CheckpointError, ConfigError, ClipWeightsError, EvaluationError, SourceError: the options cannot
            be met.
    """
    from pipeline.evaluation.evaluator import MEASURES, Evaluator
    from pipeline.evaluation.generator import EvaluatedGenerator, EvaluationSettings

    started = time.monotonic()
    unknown = sorted(set(options.only) - set(MEASURES))
    if unknown:
        raise SettingsError(f"unknown measures {', '.join(unknown)}: choose from {', '.join(MEASURES)}")
    if options.seconds < MIN_SECONDS:
        raise SettingsError(f"--seconds must be at least {MIN_SECONDS:g}, got {options.seconds:g}")
    run = options.settings()
    check_before_work(options)
    sampling = replace(run.sampling, precision="float32")
    model = EvaluatedGenerator(EvaluationSettings(run.model, options.device.value, sampling=sampling))
    only = options.only or [name for name in MEASURES if name != "videos" or options.videos]
    with progress_display() as display:
        evaluation_set, unusable = make_evaluation_set(options, only, run.clip_weights, display)
        report = EvaluationReport([], settings_of(options, run), unusable, time.monotonic() - started)
        evaluator = Evaluator(model, evaluation_set, range(options.seeds), display.update)
        for results in evaluator.measured(only):
            report = replace(report, results=[*report.results, *results], seconds=time.monotonic() - started)
            report.write(options.out)  # the next measure may take an hour
    if as_json:
        print(json.dumps(report.to_dict()))
    elif is_quiet():
        print(f"{len(report.results)} values measured; they are in {options.out}")
    else:
        report.show()
    return report


def check_before_work(options: EvaluateOptions) -> None:
    """Checks what would otherwise show minutes later, when the clips are made; makes the folder of the report.

    Raises:
        SettingsError, SourceError: the options cannot be met.
    """
    find_videos(options.videos)
    if "videos" in options.only and not options.videos:
        raise SettingsError("real videos are measured with --videos FOLDER: name one")
    if options.device is DeviceName.CUDA:
        import torch

        if not torch.cuda.is_available():
            raise SettingsError("there is no GPU that torch can use: leave --device out")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot write to --out {options.out}: {error.strerror}") from error


def settings_of(options: EvaluateOptions, run: RunSettings) -> dict[str, Any]:
    """The model and the sizes of an evaluation, by the names of `evaluation.json`."""
    model = {name: value for name, value in run.to_dict().items() if name not in ("fingerprint", "seed", "take")}
    sizes = {"clips": options.clips, "seconds_of_clip": options.seconds, "seeds": options.seeds}
    return model | {"digest": run.model.digest} | sizes


def make_evaluation_set(
    options: EvaluateOptions, only: list[str], clip_weights: str, display: Display
) -> tuple[EvaluationSet, dict[str, str]]:
    """The clips, films and videos that the measures in `only` take.

    Returns:
        The evaluation set, and the path of each video that cannot be used -> the reason.
    """
    from pipeline.evaluation.evaluator import ON_CLIPS, EvaluationSet
    from pipeline.evaluation.held_out import FeatureReader, held_out_clips

    work = options.work or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "diff-v2m" / "evaluation"
    reader = FeatureReader(clip_weights, options.device.value, work / "features")
    clips, films = [], []
    if ON_CLIPS & set(only):
        folder = work / f"clips-{options.seconds:g}s"
        on_progress = partial(display.update, "held-out clips")
        clips = held_out_clips(folder, options.clips, options.seconds, reader, on_progress=on_progress)
    if "long" in only:
        folder = work / f"clips-{LONG_SECONDS:g}s"
        on_progress = partial(display.update, "long films")
        films = held_out_clips(folder, options.films, LONG_SECONDS, reader, on_progress=on_progress)
    rows, unusable = read_videos(options.videos, reader) if "videos" in only else ([], {})
    return EvaluationSet(clips, films, rows), unusable


def read_videos(sources: list[Path], reader: FeatureReader) -> tuple[list[Row], dict[str, str]]:
    """Reads the real videos of an evaluation.

    Returns:
        Rows of `FEATURES`, and the path of each video that cannot be used -> the reason.
    """
    from pipeline.evaluation.scorecard import EVENTS
    from stages.base import ItemError

    rows, unusable = list[Any](), dict[str, str]()
    for path in find_videos(sources):
        try:
            row = reader.read(path)
        except ItemError as error:
            unusable[str(path)] = f"{error.kind}: {error}"
            continue
        if len(row["cuts"]) < EVENTS:
            unusable[str(path)] = f"{len(row['cuts'])} cuts, fewer than {EVENTS}"
        else:
            rows.append(row)
    return rows, unusable


def find_videos(sources: list[Path]) -> list[Path]:
    """The videos in folders, searched all the way down; a file that is named itself is taken whatever it is called.

    Raises:
        SourceError: a source does not exist or holds no video.
    """
    from pipeline.sources.explore import VIDEO_SUFFIXES, SourceError

    paths = list[Path]()
    for source in sources:
        if not source.exists():
            raise SourceError(f"{source} does not exist")
        inside = sorted(source.rglob("*")) if source.is_dir() else []
        found = [p for p in inside if p.is_file() and p.suffix.lower().lstrip(".") in VIDEO_SUFFIXES]
        if source.is_dir() and not found:
            raise SourceError(f"{source} holds no video")
        paths += found or [source]
    return paths
