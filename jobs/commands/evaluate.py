"""What `evaluate` does: measure a model against its bars, and show a person how it goes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.options import DeviceName, PresetName, WeightSet

if TYPE_CHECKING:
    from models.metrics.thresholds import Result
    from pipeline.evaluation.evaluator import Material
    from pipeline.evaluation.held_out import Reader
    from stages.contracts import Row

Told = Callable[[str, int, int], None]

LONG_SECONDS = 180.0


@dataclass(frozen=True)
class EvaluateOrder:
    """What a person asked for, option by option.

    Attributes:
        work: folder that keeps the held-out clips and what was read of them, for the next time.
        films: how many long films.
        only: some of `pipeline.evaluation.evaluator.MEASURES`; all if empty.
    """

    out: Path
    preset: str = "tiny"
    weights: Path | None = None
    weight_set: str = "online"
    clip: Path | None = None
    clips: int = 64
    seconds: float = 24.0
    seeds: int = 3
    films: int = 4
    steps: int | None = None
    guidance: float | None = None
    videos: list[Path] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    work: Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Evaluated:
    """What came of it: results, what they are of, and videos that could not be used with the reason."""

    results: list[Result]
    facts: dict[str, Any]
    unusable: dict[str, str]
    seconds: float

    @property
    def report(self) -> dict[str, Any]:
        """For machines."""
        return self.facts | {
            "results": [result.facts for result in self.results],
            "unusable_videos": self.unusable,
            "seconds": round(self.seconds, 1),
        }

    @property
    def page(self) -> str:
        """For people, in Markdown."""
        from models.metrics.thresholds import markdown

        facts = self.facts
        lines = [
            f"{facts['clips']} held-out clips of {facts['seconds_of_clip']:g} s, {facts['seeds']} noise seeds, "
            f"model `{facts['model']}` ({facts['weights']}), {facts['steps']} steps, guidance {facts['guidance']:g}; "
            "r per second leaves out a clip's first and last second, in which all music begins and ends",
            markdown(self.results),
        ]
        return "\n\n".join(lines)


def evaluate_model(order: EvaluateOrder, *, as_json: bool = False) -> Evaluated:
    """Measure the model that the order names; write `evaluation.json` and `evaluation.md`, and show the table.

    Raises:
        SettingsError, CheckpointError, ConfigError, ClipWeightsError, SourceError: the order cannot be met.
    """
    from jobs.commands.score import Order, SettingsError
    from pipeline.evaluation.evaluator import MEASURES, Measuring
    from pipeline.evaluation.generator import Evaluation, EvaluationError, EvaluationSettings

    started = time.monotonic()
    unknown = sorted(set(order.only) - set(MEASURES))
    if unknown:
        raise SettingsError(f"unknown measures {', '.join(unknown)}: choose from {', '.join(MEASURES)}")
    if order.seconds < 6:
        raise SettingsError(f"--seconds must be at least 6, got {order.seconds:g}")
    run = Order(
        [], "", order.preset, order.weights, order.weight_set, order.clip, 0, order.steps, order.guidance
    ).settings()
    _check(order)
    settings = EvaluationSettings(run.model, order.device, steps=order.steps, guidance=order.guidance)
    try:
        musician = Evaluation(settings)
    except EvaluationError as fault:
        raise SettingsError(str(fault)) from None
    only = order.only or [name for name in MEASURES if name != "videos" or order.videos]
    with _bars() if sys.stderr.isatty() else _lines() as told:
        material, unusable = _material(order, only, run.clip, told)
        evaluated = Evaluated([], _facts(order, run), unusable, time.monotonic() - started)
        for rows in Measuring(musician, material, range(order.seeds), told).measured(only):
            evaluated = replace(evaluated, results=[*evaluated.results, *rows], seconds=time.monotonic() - started)
            _write(evaluated, order.out)
    _show(evaluated, as_json)
    return evaluated


def _check(order: EvaluateOrder) -> None:
    """What would otherwise be seen when the clips are made, minutes later.

    Raises:
        SettingsError, SourceError: the order cannot be met.
    """
    from jobs.commands.score import SettingsError

    _paths(order.videos)
    if "videos" in order.only and not order.videos:
        raise SettingsError("real videos are measured with --videos FOLDER: name one")
    if order.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise SettingsError("there is no GPU that torch can use: leave --device out")
    try:
        order.out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise SettingsError(f"cannot write to --out {order.out}: {fault.strerror}") from fault


def _facts(order: EvaluateOrder, run: Any) -> dict[str, Any]:
    """What the results are of."""
    facts = {name: value for name, value in run.facts.items() if name not in ("fingerprint", "seed", "take")}
    numbers = {"clips": order.clips, "seconds_of_clip": order.seconds, "seeds": order.seeds}
    return facts | {"digest": run.model.digest} | numbers


def _write(evaluated: Evaluated, out: Path) -> None:
    """Keep what is known so far: the next measure may take an hour."""
    (out / "evaluation.json").write_text(json.dumps(evaluated.report, indent=1) + "\n", encoding="utf-8")
    (out / "evaluation.md").write_text(evaluated.page, encoding="utf-8")


def _material(order: EvaluateOrder, only: list[str], clip: str, told: Told) -> tuple[Material, dict[str, str]]:
    """The clips, films and videos that the measures take, and the videos that cannot be used."""
    from pipeline.evaluation.evaluator import ON_CLIPS, Material
    from pipeline.evaluation.held_out import Reader, held_out_clips

    work = order.work or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "diff-v2m" / "evaluation"
    reader = Reader(clip, order.device, work / "features")
    clips, films = [], []
    if ON_CLIPS & set(only):
        folder = work / f"clips-{order.seconds:g}s"
        clips = held_out_clips(folder, order.clips, order.seconds, reader, progress=_of(told, "held-out clips"))
    if "long" in only:
        folder = work / f"clips-{LONG_SECONDS:g}s"
        films = held_out_clips(folder, order.films, LONG_SECONDS, reader, progress=_of(told, "long films"))
    rows, unusable = _videos(order.videos, reader) if "videos" in only else ([], {})
    return Material(clips, films, rows), unusable


def _videos(sources: list[Path], reader: Reader) -> tuple[list[Row], dict[str, str]]:
    """Rows of the videos in folders, and why others are left out."""
    from pipeline.evaluation.scorecard import EVENTS
    from stages.base import ItemError

    paths = _paths(sources)
    rows, unusable = list[Any](), dict[str, str]()
    for path in paths:
        try:
            row = reader.read(path)
        except ItemError as fault:
            unusable[str(path)] = f"{fault.kind}: {fault}"
            continue
        if len(row["cuts"]) < EVENTS:
            unusable[str(path)] = f"{len(row['cuts'])} cuts, fewer than {EVENTS}"
        else:
            rows.append(row)
    return rows, unusable


def _paths(sources: list[Path]) -> list[Path]:
    """The videos in folders, searched all the way down; a file that is named itself is taken whatever it is called.

    Raises:
        SourceError: a source does not exist or holds no video.
    """
    from pipeline.discovery import VIDEO_SUFFIXES, SourceError

    paths: list[Path] = []
    for source in sources:
        if not source.exists():
            raise SourceError(f"{source} does not exist")
        inside = sorted(source.rglob("*")) if source.is_dir() else []
        found = [p for p in inside if p.is_file() and p.suffix.lower().lstrip(".") in VIDEO_SUFFIXES]
        if source.is_dir() and not found:
            raise SourceError(f"{source} holds no video")
        paths += found or [source]
    return paths


def _of(told: Told, what: str) -> Callable[[int, int], None]:
    return lambda done, total: told(what, done, total)


@contextmanager
def _bars() -> Iterator[Told]:
    """A progress bar for each kind of work."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield told


@contextmanager
def _lines(interval: float = 10.0) -> Iterator[Told]:
    """A line when work begins or ends, and at most every few seconds between."""
    last, told_of = time.monotonic(), ""

    def told(what: str, done: int, total: int) -> None:
        nonlocal last, told_of
        if what != told_of or done == total or time.monotonic() - last >= interval:
            last, told_of = time.monotonic(), what
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    yield told


def _show(evaluated: Evaluated, as_json: bool) -> None:
    """Print the results."""
    if as_json:
        print(json.dumps(evaluated.report))
        return
    from rich.console import Console
    from rich.table import Table

    from models.metrics.thresholds import HEAD

    table = Table(*HEAD)
    for result in evaluated.results:
        table.add_row(*result.cells)
    console = Console(highlight=False)
    console.print(table)
    for path, why in evaluated.unusable.items():
        console.print(f"left out {path}: {why}", markup=False)


def evaluate_command(
    preset: Annotated[PresetName, typer.Option(help="A model by name.")] = PresetName.TINY,
    weights: Annotated[
        Path | None, typer.Option(help="A checkpoint in the released layout, or its folder; takes the preset's place.")
    ] = None,
    weight_set: Annotated[
        WeightSet, typer.Option("--weight-set", help="Weights as trained, or their moving average.")
    ] = WeightSet.ONLINE,
    clip: Annotated[
        Path | None, typer.Option(help="CLIP weights of open_clip; clip.safetensors beside the checkpoint.")
    ] = None,
    clips: Annotated[int, typer.Option(min=2, help="How many held-out clips.")] = 64,
    seconds: Annotated[float, typer.Option(help="How long they are.")] = 24.0,
    seeds: Annotated[int, typer.Option(min=1, help="Pieces of music for each clip, each from other noise.")] = 3,
    films: Annotated[int, typer.Option(min=1, help="How many long films of 3 min.")] = 4,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps; the model's default if left out.")] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0, max=100, help="How closely the picture steers; the model's default.")
    ] = None,
    videos: Annotated[
        list[Path] | None, typer.Option(help="A real video, or a folder of them; may be given again.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="vae, tune, pulse, given, picture, mood, spectrum, long or videos; may be given again."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for evaluation.json and evaluation.md.")] = Path(
        "evaluation"
    ),
    work: Annotated[Path | None, typer.Option(help="Folder that keeps the held-out clips for the next time.")] = None,
    device: Annotated[DeviceName, typer.Option(help="Where the networks run.")] = DeviceName.AUTO,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, to standard output.")
    ] = False,
) -> None:
    """Measure a model against its bars: held-out clips, rhythm, tune, mood, seams, real videos."""
    from jobs.exits import ALL_DONE, reported

    with reported(f"what was measured so far is in {out}; measures that were not can be asked for with --only"):
        order = EvaluateOrder(
            out,
            preset,
            weights,
            weight_set,
            clip,
            clips,
            seconds,
            seeds,
            films,
            steps,
            guidance,
            list(videos or ()),
            list(only or ()),
            work,
            device,
        )
        evaluate_model(order, as_json=as_json)
    raise typer.Exit(ALL_DONE)
