"""The command `train`: a network is trained as a file says."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.exits import ALL_DONE, exit_on_error
from jobs.options import Json, Verbosity, expand_options
from jobs.progress import Display, progress_display

if TYPE_CHECKING:
    from pipeline.training.launch import TrainingSummary

NOT_SHOWN = {"rate", "gradient", "logit_scale"}
"""Values that are logged with the losses and are none."""


@expand_options
def train_command(
    config: Annotated[Path, typer.Argument(help="A JSON file that says what to train, on what, for how long.")],
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Train for at most so long, then keep a checkpoint and end.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster; several workers get one on this machine if left out.")
    ] = None,
    verbosity: Verbosity = Verbosity(),
    as_json: Json = False,
) -> None:
    """Train a network of your own. Run it again to go on where it stopped."""
    with exit_on_error(verbosity=verbosity):
        train_from_file(config, seconds=seconds, address=address, as_json=as_json)
    raise typer.Exit(ALL_DONE)


class TrainingDisplay:
    """Shows on a display how far a training is; see `pipeline.training.viewer.Viewer`.

    Args:
        display: where it is shown.
        steps: steps of the training.
    """

    def __init__(self, display: Display, steps: int) -> None:
        self._display, self._steps = display, steps

    def on_composed(self, done: int, total: int) -> None:
        """Shows how many pieces of the corpus are composed."""
        self._display.update("pieces composed", done, total)

    def on_losses(self, step: int, values: Mapping[str, float]) -> None:
        """Shows the losses of a step."""
        self._display.update("step", step, self._steps, format_losses(values))


def format_losses(values: Mapping[str, float]) -> str:
    """The losses of a step as text: the whole loss, then its parts."""
    return ", ".join(
        f"{name} {value:.4g}"
        for name, value in sorted(values.items(), key=lambda item: item[0] != "loss")
        if name not in NOT_SHOWN and not name.startswith("seconds")
    )


def train_from_file(
    path: Path, *, seconds: float | None = None, address: str | None = None, as_json: bool = False
) -> TrainingSummary:
    """Trains as a file says, or goes on; shows progress, and where the weights are.

    Args:
        seconds: greatest time that the training may take now; the file's if left out.
        address: a Ray cluster.

    Raises:
        TrainingError: the file or the data cannot be used, or the training cannot go on.
        ClusterError: there is no cluster at the address.
    """
    from models.training.config import TrainConfig
    from pipeline.cluster.session import check_address
    from pipeline.training.launch import train

    if address:
        check_address(address)
    config = TrainConfig.from_file(path)
    if seconds is not None:
        config = replace(config, loop=replace(config.loop, seconds=seconds))
    started = time.monotonic()
    with progress_display() as display:
        summary = train(config, TrainingDisplay(display, config.loop.steps), address)
    elapsed = time.monotonic() - started
    if as_json:
        weights = str(summary.weights) if summary.weights else None
        report = {"out": str(config.out), "done": summary.done, "step": summary.step, "steps": summary.steps}
        print(json.dumps(report | {"weights": weights, "seconds": round(elapsed, 3)}))
    elif summary.done:
        print(f"{summary.steps} steps done; weights in {summary.weights}, losses in {config.out / 'losses.jsonl'}")
    else:
        print(f"{summary.step} of {summary.steps} steps done; the time is up; the same command goes on from here")
    return summary
