"""Training that is killed and resumed, or shared by two workers: are the losses the same, and how fast is it?

The first steps of a training are done four times: twice undisturbed, once with the process killed half way, and once by
two Ray Train workers. It is the command `diff-v2m experiment resume`.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models.training.checkpoints import LOSSES, TrainingError
from models.training.config import TrainConfig
from pipeline.training.launch import train
from pipeline.training.viewer import SilentViewer

STEP_PARTS = ("data", "forward", "backward", "update")
"""Parts of a step's time, as `losses.jsonl` has them."""
WARM_UP_STEPS = 3
"""First steps, which do not count as time: memory and threads are set up in them."""

LossRows = Sequence[Mapping[str, float]]
"""Rows of `losses.jsonl`, one for each step."""


def shortened(config: TrainConfig, out: Path, steps: int, workers: int = 1) -> TrainConfig:
    """The first `steps` steps of a training, in a folder of their own, with a line of losses for each.

    Its learning rate falls within these few steps.
    """
    every = max(1, steps // 4)
    loop = replace(config.loop, steps=steps, checkpoint_every=every, log_every=1, sample_every=0, seconds=0.0)
    return replace(config, out=out, loop=loop, workers=workers)


def losses_of(config: TrainConfig) -> list[dict[str, float]]:
    """The losses of a training so far, a row for each step."""
    return [json.loads(line) for line in (config.out / LOSSES).read_text(encoding="utf-8").splitlines()]


def train_killed(config: TrainConfig, at: int) -> int:
    """Trains in a process that is killed as soon as `at` steps are logged, then goes on to the end.

    Returns:
        The number of steps that were logged before the process was killed.

    Raises:
        TrainingError: the process ended before it could be killed.
    """
    arguments = config, torch.get_num_threads()
    process = multiprocessing.get_context("spawn").Process(target=_train, args=arguments)
    process.start()
    logged = 0
    while logged < at:
        if not process.is_alive():
            raise TrainingError(f"the training ended after {logged} of {config.loop.steps} steps, before it was killed")
        time.sleep(0.02)
        logged = len(losses_of(config)) if (config.out / LOSSES).is_file() else 0
    process.kill()
    process.join()
    train(config, SilentViewer())
    return logged


def _train(config: TrainConfig, threads: int) -> None:
    """Trains with as many threads as elsewhere: the order of a sum's terms depends on them."""
    torch.set_num_threads(threads)
    train(config, SilentViewer())


def largest_difference(one: LossRows, other: LossRows, name: str = "loss") -> float:
    """The largest relative difference of a loss at any step.

    Raises:
        TrainingError: the rows are not of the same steps.
    """
    if [row["step"] for row in one] != [row["step"] for row in other]:
        raise TrainingError(f"expected losses of the same steps, got {len(one)} and {len(other)} lines")
    return max(abs(a[name] - b[name]) / abs(a[name]) for a, b in zip(one, other, strict=True))


def seconds_per_step(rows: LossRows) -> float:
    """The median time of a step, without the first steps."""
    seconds = sorted(row["seconds_per_step"] for row in rows[WARM_UP_STEPS:] or rows)
    return seconds[len(seconds) // 2]


def format_report(
    config: TrainConfig, undisturbed: LossRows, again: LossRows, resumed: LossRows, shared: LossRows, killed: int
) -> str:
    """The results as a Markdown table.

    Args:
        undisturbed, again: losses of two undisturbed trainings.
        resumed: losses of the training whose process was killed after `killed` steps.
        shared: losses of the training by two workers.
    """
    one, two = seconds_per_step(undisturbed), seconds_per_step(shared)
    counted = undisturbed[WARM_UP_STEPS:] or undisturbed
    sums = {part: sum(row[f"seconds_{part}"] for row in counted) for part in STEP_PARTS}
    shares = ", ".join(f"{part} {seconds / sum(sums.values()):.0%}" for part, seconds in sums.items())
    lines = {
        f"one worker: windows a second (batch of {config.loop.batch})": f"{config.loop.batch / one:.2f}",
        "one worker: where the time of a step goes": shares,
        "one worker again: largest relative difference of the loss": f"{largest_difference(undisturbed, again):.1e}",
        f"killed after step {killed}, gone on with: the same": f"{largest_difference(undisturbed, resumed):.1e}",
        "two workers, the same batches: the same": f"{largest_difference(undisturbed, shared):.1e}",
        "two workers: windows a second": f"{config.loop.batch / two:.2f}",
    }
    head = f"|  | over {len(undisturbed)} steps |\n| --- | --- |\n"
    return head + "".join(f"| {name} | {value} |\n" for name, value in lines.items())


def compare_resumed(config: TrainConfig, out: Path, steps: int) -> str:
    """Does all four trainings.

    Args:
        config: the training whose first steps are done.
        out: absolute path of the folder that takes them and the report, `trial.md`; earlier ones there are removed.
        steps: steps of each training, at least 4.

    Returns:
        The report in Markdown.

    Raises:
        TrainingError: the training cannot be done.
    """
    one, again, resumed = (shortened(config, out / name, steps) for name in ("one", "again", "resumed"))
    shared = shortened(config, out / "shared", steps, workers=2)
    for each in (one, again, resumed, shared):
        shutil.rmtree(each.out, ignore_errors=True)
    train(one, SilentViewer())
    train(again, SilentViewer())
    killed = train_killed(resumed, steps // 2 + 1)
    train(shared, SilentViewer())
    text = format_report(config, losses_of(one), losses_of(again), losses_of(resumed), losses_of(shared), killed)
    (out / "trial.md").write_text(text, encoding="utf-8")
    return text
