"""What `train` does: train a network as a file says, and show a person how it goes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipeline.training.launch import Summary

CONTINUED = "the time is up; the same command goes on from here"


class TrainLines:
    """A line of losses, at most every few seconds, and one at the end."""

    def __init__(self, steps: int, interval: float = 10.0) -> None:
        self.steps, self._interval, self._last = steps, interval, 0.0

    @contextmanager
    def shown(self) -> Iterator[TrainLines]:
        yield self

    def composed(self, done: int, total: int) -> None:
        self._say(f"{done} of {total} pieces composed", done == total)

    def told(self, step: int, values: Mapping[str, float]) -> None:
        self._say(f"step {step} of {self.steps}: {told_losses(values)}", step >= self.steps)

    def _say(self, line: str, last: bool) -> None:
        if last or time.monotonic() - self._last >= self._interval:
            self._last = time.monotonic()
            print(line, file=sys.stderr, flush=True)


class TrainBars:
    """A bar, with the losses beside it."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, TextColumn("{task.fields[losses]}"), console=Console(stderr=True))
        self.steps = steps
        self._bars: dict[str, Any] = {}

    @contextmanager
    def shown(self) -> Iterator[TrainBars]:
        with self._progress:
            yield self

    def composed(self, done: int, total: int) -> None:
        self._show("composing", done, total)

    def told(self, step: int, values: Mapping[str, float]) -> None:
        self._show("training", step, self.steps, told_losses(values))

    def _show(self, name: str, done: int, total: int, losses: str = "") -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total, losses="")
        self._progress.update(self._bars[name], completed=done, losses=losses)


def told_losses(values: Mapping[str, float]) -> str:
    """The loss first, then its parts."""
    hidden = {"rate", "gradient", "logit_scale"}
    return ", ".join(
        f"{name} {value:.4g}"
        for name, value in sorted(values.items(), key=_loss_first)
        if name not in hidden and not name.startswith("seconds")
    )


def _loss_first(item: tuple[str, float]) -> bool:
    return item[0] != "loss"


def train_from(
    path: Path, *, seconds: float | None = None, address: str | None = None, as_json: bool = False
) -> Summary:
    """Train as a file says, or go on; show progress and where the weights are.

    Raises:
        TrainingError: the file or the data cannot be used, or the training cannot go on.
    """
    from models.training.config import TrainConfig
    from pipeline.cluster.session import check_address
    from pipeline.training.launch import train

    if address:
        check_address(address)
    config = TrainConfig.from_file(path)
    if seconds is not None:
        config = replace(config, loop=replace(config.loop, seconds=seconds))
    steps = config.loop.steps
    viewer = TrainBars(steps) if sys.stderr.isatty() and not as_json else TrainLines(steps)
    started = time.monotonic()
    with viewer.shown():
        summary = train(config, viewer, address)
    elapsed = time.monotonic() - started
    if as_json:
        print(json.dumps(_report(summary, config.out, elapsed)))
    elif summary.done:
        print(f"{summary.steps} steps done; weights in {summary.weights}, losses in {config.out / 'losses.jsonl'}")
    else:
        print(f"{summary.step} of {summary.steps} steps done; {CONTINUED}")
    return summary


def _report(summary: Summary, out: Path, elapsed: float) -> dict[str, Any]:
    return {
        "out": str(out),
        "done": summary.done,
        "step": summary.step,
        "steps": summary.steps,
        "weights": str(summary.weights) if summary.weights else None,
        "seconds": round(elapsed, 3),
    }


def train_command(
    config: Annotated[Path, typer.Argument(help="A JSON file that says what to train, on what, for how long.")],
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Train for at most so long, then keep a checkpoint and end.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster; several workers get one on this machine if left out.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, to standard output.")
    ] = False,
) -> None:
    """Train a network of your own. Run it again to go on where it stopped."""
    from jobs.exits import ALL_DONE, reported

    with reported():
        train_from(config, seconds=seconds, address=address, as_json=as_json)
    raise typer.Exit(ALL_DONE)
